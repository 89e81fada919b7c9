"""Captions to texts, texts to phrases, crop captions to region texts, and tokens there and back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from filters.texts import DetailedLimits, TextFilterConfig, TextLimits
from pipelines.decide import chunks, phrases, region_text, texts, things
from pipelines.decide.phrases import PhrasesConfig
from pipelines.decide.region_text import RegionTextConfig
from pipelines.decide.texts import Seen, TextsConfig
from pipelines.decide.tokens import tokens_of, tokens_table
from tests.pipelines.decide_tables import box, frames, grouped, kept, parse, parsed, rejected, told

COCO50 = Path(__file__).parents[3] / "shared" / "data" / "coco50" / "captions.json"

DOG = "A/DET/2/det dog/NOUN/3/nsubj chases/VERB/0/root two/NUM/5/nummod cats/NOUN/3/obj"
VIEW = "A/DET/2/det view/NOUN/0/root of/ADP/5/case a/DET/5/det beach/NOUN/2/nmod"
SHORT = "dog/NOUN/0/root"


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Tokens.__slots__)


def test_tokens_survive_the_table_in_any_order_of_texts():
    _, tokens = parse(DOG, VIEW, "", SHORT)
    names = ["t0", "t1", "t2", "t3"]
    table = tokens_table(["i"] * 4, names, tokens)
    assert table.schema == s.TOKENS
    assert same(tokens_of(table, names), tokens)
    _, turned = parse(SHORT, "", DOG)
    assert same(tokens_of(table, ["t3", "t2", "t0"]), turned)
    assert tokens_of(table, ["nobody"]).offsets.tolist() == [0, 0]
    assert tokens_of(s.TOKENS.empty_table(), []).offsets.tolist() == [0]
    with pytest.raises(StoreError, match="twice"):
        tokens_of(table, ["t0", "t0"])
    with pytest.raises(StoreError, match="4 texts"):
        tokens_table(["i"], ["t0"], tokens)


def decided(rows_by_specialist, sentences, config=None, similarities=None, n=1):
    """Decide texts whose tokens are parsed from `sentences` by their text."""
    these = frames(n)
    captions = {name: grouped(s.PREDICTED_TEXTS, rows, these) for name, rows in rows_by_specialist.items()}
    plain, _ = parse(*sentences)
    lookup = dict(zip(plain, sentences, strict=True))
    rows = [
        row for image in these.ids for name in sorted(rows_by_specialist) for row in rows_by_specialist[name]
        if row[s.IMAGE_ID] == image
    ]  # fmt: skip
    _, tokens = parse(*[lookup.get(row[s.TEXT], "") for row in rows])
    names = texts.text_ids(these, captions)
    tables = {k: grouped(s.SIMILARITIES, v, these) for k, v in (similarities or {}).items()}
    return texts.decide(
        these,
        captions,
        parsed([row[s.IMAGE_ID] for row in rows], names, tokens, these),
        tables,
        config or TextsConfig(),
    )


def test_texts_are_named_measured_and_rejected_with_reasons():
    (dog, view, short), _ = parse(DOG, VIEW, SHORT)
    said = {
        "b": [told("img0", dog), told("img1", view), told("img0", dog.upper())],
        "a": [told("img0", dog), told("img0", short), told("img0", "  ")],
    }
    upper = DOG.replace("A/", "A/").replace("dog/", "DOG/").replace("chases/", "CHASES/")
    upper = upper.replace("two/", "TWO/").replace("cats/", "CATS/")
    table = decided(said, [DOG, VIEW, SHORT, upper], n=2)
    assert table.schema == s.DECIDED_TEXTS
    rows = {row[s.TEXT_ID]: row for row in table.to_pylist()}
    assert list(rows) == ["img0:a:0", "img0:a:1", "img0:a:2", "img0:b:0", "img0:b:1", "img1:b:0"]
    assert [row[s.REASON] for row in rows.values()] == [None, "too short", "empty", "duplicate", "capitals", None]
    first = rows["img0:a:0"]
    assert (first[s.N_TOKENS], first[s.N_OBJECTS], first[s.N_ACTIONS]) == (5, 2, 1)
    assert first[s.CONFIDENCE] == pytest.approx(1.0)  # both that passed say the same words
    assert first[s.VOTES] == [{s.SPECIALIST: "a", s.SCORE: 1.0}, {s.SPECIALIST: "b", s.SCORE: 1.0}]
    assert rows["img1:b:0"][s.CONFIDENCE] is None
    assert (rows["img0:a:1"][s.VALUE], rows["img0:a:1"][s.THRESHOLD]) == (1.0, 3.0)


def test_limits_go_by_granularity():
    (dog,), _ = parse(DOG)
    config = TextsConfig(filters=TextFilterConfig(detailed=DetailedLimits(min_tokens=8)))
    said = {"a": [told("img0", dog), told("img0", dog, "detailed")]}
    table = decided(said, [DOG], config)
    assert [row[s.REASON] for row in table.to_pylist()] == [None, "too short"]


def test_similarity_is_the_mean_of_the_scorers_and_may_reject():
    (dog, view), _ = parse(DOG, VIEW)
    said = {"a": [told("img0", dog), told("img0", view)]}
    scored = {
        "clip": [
            {s.IMAGE_ID: "img0", s.TEXT: dog, s.SIMILARITY: 0.4},
            {s.IMAGE_ID: "img0", s.TEXT: view, s.SIMILARITY: 0.1},
        ],
        "other": [{s.IMAGE_ID: "img0", s.TEXT: dog, s.SIMILARITY: 0.2}],
    }
    table = decided(said, [DOG, VIEW], TextsConfig(min_similarity=0.2), scored)
    assert table.column(s.SIMILARITY).to_pylist() == pytest.approx([0.3, 0.1])
    assert table.column(s.REASON).to_pylist() == [None, "similarity"]


def test_the_best_agreeing_texts_are_chosen_where_few_are_wanted():
    other = DOG.replace("two/NUM/5/nummod", "the/DET/5/det")
    (dog, variant, view), _ = parse(DOG, other, VIEW)
    said = {"a": [told("img0", view), told("img0", dog), told("img0", variant)]}
    table = decided(said, [DOG, other, VIEW], TextsConfig(max_per_granularity=2))
    assert table.column(s.REASON).to_pylist() == ["rank", None, None]
    assert table.column(s.VALUE).to_pylist() == [3.0, None, None]


def test_leaks_and_boilerplate_are_dropped_but_not_human_ones_and_plain_captions():
    these = frames(1)
    lines = {
        "leak": ["<|im_end|> a dog on a beach", "As an AI language model I like dogs", "I cannot see the image",
                 "caption: a dog on a beach"],
        "boilerplate": ["a dog on a beach, see www.dogs.example", "DSC_0042 dog beach", "dog.jpg on a beach",
                        "Stock photo of a dog", "a dog © 2019 all rights reserved"],
        "framing": ["the picture shows a dog on a beach"],
        None: ["a picture of a dog on a beach", "a man is unable to stand", "a user of a phone", "2 < 3 > 1 on a sign"],
    }  # fmt: skip
    flat = [(reason, line) for reason, group in lines.items() for line in group]
    limits = TextLimits(min_tokens=0, min_object_complexity=0.0)
    config = TextsConfig(filters=TextFilterConfig(brief=limits))
    said = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", line) for _, line in flat], these)}
    nothing = Grouped.of(s.TOKENS.empty_table(), these.ids)
    table = texts.decide(these, said, nothing, {}, config)
    assert table.column(s.REASON).to_pylist() == [reason for reason, _ in flat]
    assert not rejected(texts.decide(these, said, nothing, {}, config, gold=frozenset(["a"])))


BIRD = "A/DET/2/det bird/NOUN/3/nsubj chases/VERB/0/root two/NUM/5/nummod cats/NOUN/3/obj"
EMPTY = "A/DET/2/det street/NOUN/0/root without/ADP/5/case a/DET/5/det bird/NOUN/2/nmod"
NO_BIRD = "A/DET/2/det dog/NOUN/3/nsubj chases/VERB/0/root no/DET/5/det bird/NOUN/3/obj"


def seen_things(these, *rows, vocabulary=("dog", "cat", "bird", "hot dog"), words=None, detectors=1):
    """Regions as (image, label, kept), each of confidence 0.5, and what each of some detectors knows."""
    table = [
        {
            s.IMAGE_ID: image,
            s.KIND: "object",
            s.LABEL: label,
            s.VOTES: [{s.SPECIALIST: "d", s.LABEL: label, s.SCORE: 0.5, **box(0, 0, 9, 9)}],
            s.CONFIDENCE: 0.5,
            s.REASON: None if is_kept else "confidence",
            **box(0, 0, 9, 9),
        }
        for image, label, is_kept in rows
    ]
    known = {f"d{i}": vocabulary for i in range(detectors)}
    return Seen(grouped(s.DECIDED_REGIONS, table, these), {**known, "open": None}, words or {})


def reasons(sentences_by_captioner, seen, gold=frozenset()):
    these = frames(1)
    sentences = [line for (line,) in sentences_by_captioner.values()]
    plain, _ = parse(*sentences)
    captions = {
        name: grouped(s.PREDICTED_TEXTS, [told("img0", text)], these)
        for name, text in zip(sentences_by_captioner, plain, strict=True)
    }
    names = texts.text_ids(these, captions)
    order = sorted(sentences_by_captioner)
    _, tokens = parse(*[sentences_by_captioner[name][0] for name in order])
    table = texts.decide(
        these, captions, parsed(["img0"] * len(order), names, tokens, these), {}, TextsConfig(), gold, seen
    )
    return dict(zip(order, table.to_pylist(), strict=True))


def test_a_text_that_names_a_thing_nobody_saw_is_dropped_unless_another_says_it_too():
    these = frames(1)
    seen = seen_things(these, ("img0", "dog", True), ("img0", "Cat", True))
    odd = reasons({"a": [DOG], "b": [DOG.replace("chases", "sees")], "c": [BIRD]}, seen)
    assert [row[s.REASON] for row in odd.values()] == [None, None, "unseen thing"]
    assert odd["c"][s.VALUE] < odd["c"][s.THRESHOLD] == 0.5
    assert odd["a"][s.CONFIDENCE] > 0.7
    both = reasons({"a": [DOG], "b": [BIRD.replace("chases", "sees")], "c": [BIRD]}, seen)
    assert [row[s.REASON] for row in both.values()] == [None, None, None]
    there = seen_things(these, ("img0", "dog", True), ("img0", "cat", True), ("img0", "bird", True))
    assert reasons({"a": [DOG], "b": [DOG], "c": [BIRD]}, there)["c"][s.REASON] is None


@pytest.mark.parametrize(("detectors", "reason"), [(1, None), (2, "unseen thing"), (3, "unseen thing")])
def test_a_lone_captioner_is_believed_against_one_detector_but_not_against_several(detectors, reason):
    seen = seen_things(frames(1), ("img0", "cat", True), detectors=detectors)
    assert reasons({"a": [BIRD]}, seen)["a"][s.REASON] == reason


def test_detectors_that_did_not_look_do_not_speak_against_a_text():
    seen = seen_things(frames(1), ("img0", "cat", True), detectors=3)
    alone = seen_things(frames(1), ("img0", "cat", True), detectors=1)
    away = {name: np.zeros(1, bool) for name in ("d1", "d2")}
    one, same = (reasons({"a": [BIRD]}, given)["a"] for given in (alone, replace(seen, answered=away)))
    assert reasons({"a": [BIRD]}, seen)["a"][s.REASON] == "unseen thing"
    assert (same[s.REASON], same[s.CONFIDENCE]) == (None, pytest.approx(one[s.CONFIDENCE]))


def test_who_looked_is_counted_for_each_image_and_label():
    seen = seen_things(frames(2), vocabulary=("dog", "cat"), detectors=2)
    knows = {**seen.vocabularies, "birds": ["bird", "dog"]}
    answered = {"d0": np.array([True, False]), "open": np.array([False, True])}
    found = things.sightings(seen.regions, knows, np.ones((2, 1), bool), answered)
    assert things.vocabulary(knows) == ["bird", "cat", "dog"]
    assert found.knows.tolist() == [1, 2, 3]
    assert found.looked.tolist() == [[1, 2, 3], [1, 1, 2]]


def test_a_lone_captioner_is_not_believed_for_what_the_detectors_hardly_believe():
    def told_so(confidence):
        votes = [{s.SPECIALIST: "d0", s.LABEL: "bird", s.SCORE: 0.3, **box(0, 0, 9, 9)}]
        bird = {s.IMAGE_ID: "img0", s.KIND: "object", s.LABEL: "bird", s.VOTES: votes, s.N_ELIGIBLE: 3,
                s.CONFIDENCE: confidence, s.REASON: "unlikely", **box(0, 0, 9, 9)}  # fmt: skip
        seen = seen_things(frames(1), detectors=3)
        cat = {**bird, s.LABEL: "cat", s.CONFIDENCE: 0.9, s.REASON: None, s.VOTES: []}
        found = grouped(s.DECIDED_REGIONS, [bird, cat], frames(1))
        return reasons({"a": [BIRD]}, Seen(found, seen.vocabularies, {}))["a"][s.REASON]

    assert told_so(0.001) == "unseen thing"
    assert told_so(0.1) is None


def test_a_word_that_was_outvoted_counts_as_much_as_its_own_scores():
    votes = [{s.SPECIALIST: name, s.LABEL: label, s.SCORE: 0.6, **box(0, 0, 9, 9)}
             for name, label in (("a", "dog"), ("b", "dog"), ("c", "cat"))]  # fmt: skip
    row = {s.IMAGE_ID: "img0", s.KIND: "object", s.LABEL: "dog", s.VOTES: votes, s.N_ELIGIBLE: 3, s.CONFIDENCE: 0.4}
    regions = grouped(s.DECIDED_REGIONS, [row, {**row, s.VOTES: [], s.CONFIDENCE: 0.5}], frames(1))
    found = things.sightings(regions, {"a": ["cat", "dog"]}, np.ones((1, 1), bool))
    assert found.confidence[0] == pytest.approx([0.2, 1 - 0.6 * 0.5])
    assert found.accepted.tolist() == [[False, True]]


def test_silence_about_what_no_detector_knows_tells_nothing():
    these = frames(1)
    seen = seen_things(these, ("img0", "dog", True), ("img0", "cat", True), vocabulary=("dog", "cat"))
    said = {"a": [DOG], "b": [DOG.replace("chases", "sees")], "c": [BIRD]}
    assert reasons(said, seen)["c"][s.REASON] is None
    assert reasons({**said, "c": [NO_BIRD]}, seen_things(these, ("img0", "dog", True)))["c"][s.REASON] is None
    known = seen_things(these, ("img0", "dog", True), ("img0", "cat", True))
    assert reasons(said, known, gold=frozenset("c"))["c"][s.REASON] is None


def test_words_reconcile_with_labels_the_longest_first():
    these = frames(1)
    lines = [
        "A/DET/3/det hot/ADJ/3/amod dog/NOUN/0/root",
        "two/NUM/2/nummod puppies/NOUN/0/root",
        "a/DET/2/det view/NOUN/0/root",
    ]
    plain, tokens = parse(*lines)
    labels = ["dog", "hot dog"]
    found = things.named(tokens, plain, labels, {"puppies": frozenset({"dog", "wolf"})})
    assert found.text.tolist() == [0, 1]
    assert [labels[i] for i in found.label] == ["hot dog", "dog"]
    assert things.vocabulary({"a": ["Dog ", "cat"], "b": None, "c": ["dog"]}) == ["cat", "dog"]
    assert things.vocabulary({"open": None}) == []
    assert things.named(parse()[1], [], labels, {}).text.tolist() == []
    seen = seen_things(these, ("img0", "DOG", False))
    found = things.sightings(seen.regions, {"d": labels, "e": ["Dog"], "open": None}, np.ones((1, 1), bool))
    assert found.confidence.tolist() == [[0.5, 0.0]]
    assert found.accepted.tolist() == [[False, False]]
    assert found.knows.tolist() == [2, 1]


def test_the_texts_that_name_what_is_there_are_chosen():
    these = frames(1)
    seen = seen_things(these, ("img0", "dog", True), ("img0", "cat", True))
    other = DOG.replace("two/NUM/5/nummod cats/NOUN/3/obj", "the/DET/5/det street/NOUN/3/obj")
    (dog, street), _ = parse(DOG, other)
    captions = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", street), told("img0", dog)], these)}
    _, tokens = parse(other, DOG)
    rows = parsed(["img0"] * 2, texts.text_ids(these, captions), tokens, these)
    table = texts.decide(these, captions, rows, {}, TextsConfig(max_per_granularity=1), seen=seen)
    assert table.column(s.REASON).to_pylist() == ["rank", None]


def test_no_texts_and_unknown_granularity():
    these = frames(2)
    nothing = Grouped.of(s.TOKENS.empty_table(), these.ids)
    assert texts.decide(these, {}, nothing, {}, TextsConfig()).num_rows == 0
    odd = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", "a dog", "long")], these)}
    with pytest.raises(StoreError, match="granularity"):
        texts.decide(these, odd, nothing, {}, TextsConfig())


def test_phrases_of_kept_texts_with_spans_numbers_and_reasons():
    these = frames(1)
    plain, tokens = parse(DOG, VIEW, "It/PRON/2/nsubj runs/VERB/0/root")
    names = [f"img0:a:{i}" for i in range(3)]
    rows = [{s.IMAGE_ID: "img0", s.TEXT_ID: n, s.TEXT: t} for n, t in zip(names, plain, strict=True)]
    said = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", t) for t in plain], these)}
    asked = Grouped.of(chunks.decide(these, said, parsed(["img0"] * 3, names, tokens, these)), these.ids)
    assert [(r[s.PHRASE], r[s.REASON]) for r in rejected(asked.table)] == [("It", "pronoun")]
    table = phrases.decide(grouped(s.DECIDED_TEXTS, rows, these), asked, PhrasesConfig())
    assert table.schema == s.DECIDED_PHRASES
    found = [(r[s.PHRASE_ID], r[s.PHRASE], r[s.NUMBER], r[s.REASON]) for r in table.to_pylist()]
    assert found == [
        ("img0:a:0:p0", "A dog", 1, None),
        ("img0:a:0:p1", "two cats", 2, None),
        ("img0:a:1:p0", "A view", 1, "blacklist"),
        ("img0:a:1:p1", "a beach", 1, None),
        ("img0:a:2:p0", "It", 1, "pronoun"),
    ]
    by_id = dict(zip(names, plain, strict=True))
    for row in table.to_pylist():
        assert by_id[row[s.TEXT_ID]][row[s.START] : row[s.END]] == row[s.PHRASE]
    some = phrases.decide(grouped(s.DECIDED_TEXTS, rows[1:2], these), asked, PhrasesConfig())
    assert some.column(s.PHRASE_ID).to_pylist() == ["img0:a:1:p0", "img0:a:1:p1"]
    assert phrases.decide(grouped(s.DECIDED_TEXTS, [], these), asked, PhrasesConfig()).num_rows == 0


def test_nobody_is_asked_to_find_what_a_text_denies():
    these = frames(1)
    plain, tokens = parse(NO_BIRD, EMPTY)
    said = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", t) for t in plain], these)}
    rows = parsed(["img0"] * 2, ["img0:a:0", "img0:a:1"], tokens, these)
    found = chunks.decide(these, said, rows).to_pylist()
    assert [(r[s.PHRASE], r[s.REASON]) for r in found] == [
        ("A dog", None), ("no bird", "denied"), ("A street", None), ("a bird", "denied"),
    ]  # fmt: skip


def test_a_thing_that_a_text_denies_is_no_mention_of_it():
    plain, tokens = parse(NO_BIRD, EMPTY, BIRD)
    assert things.named(tokens, plain, ["bird"], {}).text.tolist() == [2]


def regions_table(these):
    rows = [
        {s.IMAGE_ID: "img0", s.REGION_ID: "img0:r0", s.KIND: "object", s.LABEL: " Dog", **box(0, 0, 9, 9)},
        {s.IMAGE_ID: "img0", s.REGION_ID: "img0:r1", s.KIND: "text", s.TEXT: "EXIT", **box(0, 0, 9, 9)},
        {s.IMAGE_ID: "img1", s.REGION_ID: "img1:r0", s.KIND: "object", s.LABEL: "cat", **box(0, 0, 9, 9)},
    ]
    return grouped(s.DECIDED_REGIONS, rows, these)


def crop(region, text):
    return {s.IMAGE_ID: region.split(":")[0], s.REGION_ID: region, s.TEXT: text}


def test_without_scorers_a_region_keeps_its_category_phrase_and_ocr_its_reading():
    these = frames(2)
    said = {"coca": grouped(s.CROP_TEXTS, [crop("img0:r0", "a brown dog")], these)}
    table = region_text.decide(these, regions_table(these), said, {}, RegionTextConfig())
    assert table.schema == s.DECIDED_REGION_TEXTS
    rows = table.to_pylist()
    assert [(r[s.REGION_ID], r[s.TEXT], r[s.GRANULARITY], r[s.REASON]) for r in rows] == [
        ("img0:r0", "dog", "phrase", None),
        ("img0:r1", "EXIT", "ocr", None),
        ("img1:r0", "cat", "phrase", None),
    ]
    assert [(v[s.TEXT], v[s.GRANULARITY], v[s.SPECIALIST]) for v in rows[0][s.CANDIDATES]] == [
        ("dog", "phrase", None),
        ("a brown dog", "brief", "coca"),
    ]


def test_the_candidate_most_similar_to_the_crop_wins():
    these = frames(2)
    said = {"coca": grouped(s.CROP_TEXTS, [crop("img1:r0", "a cat on grass"), crop("img0:r0", "a brown dog")], these)}
    chunks = {"coca": grouped(s.CROP_TEXTS, [crop("img1:r0", "grass"), crop("img1:r0", "a cat")], these)}
    scores = {
        "clip": [
            ("img0:r0", "dog", 0.2),
            ("img0:r0", "a brown dog", 0.2),
            ("img1:r0", "cat", 0.1),
            ("img1:r0", "a cat", 0.5),
            ("img1:r0", "a cat on grass", 0.3),
            ("img1:r0", "grass", 0.0),
        ],
        "other": [("img1:r0", "a cat on grass", 0.6), ("img0:r9", "gone", 1.0)],
    }
    tables = {
        name: grouped(s.SIMILARITIES, [{**crop(r, t), s.SIMILARITY: v} for r, t, v in rows], these)
        for name, rows in scores.items()
    }
    table = region_text.decide(these, regions_table(these), said, tables, RegionTextConfig(min_similarity=0.3), chunks)
    rows = table.to_pylist()
    assert (rows[0][s.TEXT], rows[0][s.REASON], rows[0][s.VALUE]) == ("dog", "similarity", pytest.approx(0.2))
    assert (rows[1][s.TEXT], rows[1][s.REASON]) == ("EXIT", None)
    assert (rows[2][s.TEXT], rows[2][s.GRANULARITY]) == ("a cat", "chunk")
    assert rows[2][s.SIMILARITY] == pytest.approx(0.5)
    assert [v[s.GRANULARITY] for v in rows[2][s.CANDIDATES]] == ["phrase", "brief", "chunk", "chunk"]
    assert rows[2][s.CANDIDATES][1][s.SIMILARITY] == pytest.approx(0.45)


def test_scorers_are_heard_on_their_own_scales_and_noise_is_never_the_text():
    these = frames(2)
    said = {"coca": grouped(s.CROP_TEXTS, [crop("img0:r0", "a brown dog"), crop("img0:r0", "<pad> dog")], these)}
    scores = {  # the wide scorer likes the phrase a little, of its range; the narrow one hates it, of its own
        "wide": [("dog", 60.0), ("a brown dog", 58.0), ("<pad> dog", 40.0)],
        "narrow": [("dog", 0.20), ("a brown dog", 0.24), ("<pad> dog", 0.30)],
    }
    tables = {
        name: grouped(s.SIMILARITIES, [{**crop("img0:r0", t), s.SIMILARITY: v} for t, v in rows], these)
        for name, rows in scores.items()
    }
    row = region_text.decide(these, regions_table(these), said, tables, RegionTextConfig()).to_pylist()[0]
    assert (row[s.TEXT], row[s.REASON]) == ("a brown dog", None)
    loud = {
        "wide": tables["wide"],
        "loud": grouped(s.SIMILARITIES, [{**crop("img0:r0", "<pad> dog"), s.SIMILARITY: 99}], these),
    }
    assert (
        region_text.decide(these, regions_table(these), said, loud, RegionTextConfig()).to_pylist()[0][s.TEXT] == "dog"
    )


def test_a_crop_text_of_another_region_is_left_out_and_an_empty_label_is_rejected():
    these = frames(1)
    rows = [{s.IMAGE_ID: "img0", s.REGION_ID: "img0:r0", s.KIND: "object", s.LABEL: " ", **box(0, 0, 9, 9)}]
    regions = grouped(s.DECIDED_REGIONS, rows, these)
    assert rejected(region_text.decide(these, regions, {}, {}, RegionTextConfig()))[0][s.REASON] == "empty"
    said = {"coca": grouped(s.CROP_TEXTS, [crop("img0:r0", "a dog")], these)}
    assert kept(region_text.decide(these, regions, said, {}, RegionTextConfig()))[0][s.TEXT] == "a dog"
    stray = {"coca": grouped(s.CROP_TEXTS, [crop("img0:r7", "a dog")], these)}
    assert rejected(region_text.decide(these, regions, stray, {}, RegionTextConfig()))[0][s.REASON] == "empty"


def test_chunks_of_crop_texts():
    plain, tokens = parse(DOG, "a/DET/2/det dog/NOUN/0/root", "it/PRON/2/nsubj runs/VERB/0/root", EMPTY)
    rows = [crop(f"img0:r{i}", text) for i, text in enumerate(plain)]
    found = region_text.chunk_rows(pa.Table.from_pylist(rows, schema=s.CROP_TEXTS), tokens)
    assert found.schema == s.CROP_TEXTS
    assert [(r[s.REGION_ID], r[s.TEXT]) for r in found.to_pylist()] == [
        ("img0:r0", "A dog"), ("img0:r0", "two cats"), ("img0:r3", "A street"),
    ]  # fmt: skip


def test_nearly_all_human_captions_survive_the_defaults():
    if not COCO50.is_file():
        pytest.skip("the COCO sample is not beside this checkout")
    from specialists.spacy_parser import SHIPPED, SpacyParser

    if not (SHIPPED / "config.cfg").is_file():
        pytest.skip("the shipped parser is not built; run `make parser`")
    data = json.loads(COCO50.read_text())
    images = [str(image["id"]) for image in data["images"]]
    these = Frames(images, np.ones(len(images), np.int32), np.ones(len(images), np.int32))
    rows = [told(str(a["image_id"]), a["caption"]) for a in data["annotations"]]
    captions = {"human": grouped(s.PREDICTED_TEXTS, rows, these)}
    parser = SpacyParser(SpacyParser.Config())
    parser.load("cpu")
    table = captions["human"].table
    tokens = parser.parse(table.column(s.TEXT).to_pylist())
    names = texts.text_ids(these, captions)
    token_rows = parsed(table.column(s.IMAGE_ID).to_pylist(), names, tokens, these)
    decision = texts.decide(these, captions, token_rows, {}, TextsConfig())
    assert decision.num_rows == len(rows) >= 250
    assert len(rejected(decision)) <= 0.05 * len(rows), rejected(decision)
    asked = Grouped.of(chunks.decide(these, captions, token_rows), images)
    found = phrases.decide(Grouped.of(decision, images).kept(), asked, PhrasesConfig())
    with_phrase = {row[s.TEXT_ID] for row in kept(found)}
    assert len(with_phrase) >= 0.95 * len(kept(decision))
