"""What the template says its words are: trees that a person would draw, and the regions that its phrases speak of."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Captions, Composition, Readings, Regions, Scene
from engine.tokens import Tokens, check
from filters.syntax import measures, noun_chunks
from specialists.template import Template, TemplateConfig

LEFT, CENTRE, RIGHT = (0, 30, 20, 60), (40, 40, 60, 60), (80, 30, 100, 60)
LABELS = ["person", "apple", "sheep", "skis", "broccoli", "tv", "wine glass", "hot dog", "fire hydrant", "bag of chips"]
# "a man with a dog -": the dash is no part of the sentence, and the parser took it for its root.
CAPTION = " a man with a dog -"
PARSED = Tokens(
    offsets=np.array([0, 6]),
    start=np.array([1, 3, 7, 12, 14, 18], np.int32),
    end=np.array([2, 6, 11, 13, 17, 19], np.int32),
    lemma=["a", "man", "with", "a", "dog", "-"],
    upos=["DET", "NOUN", "ADP", "DET", "NOUN", "PUNCT"],
    tag=["DT", "NN", "IN", "DT", "NN", ":"],
    head=np.array([1, 5, 4, 4, 1, 5], np.int32),
    dep=["det", "nsubj", "case", "det", "nmod", "root"],
)


def compose(
    things: list[tuple[str, tuple[float, float, float, float]]],
    texts: tuple[str, ...] = (),
    crowd: list[bool] | None = None,
    caption: bool = False,
    parsed: bool = True,
) -> Composition:
    """Of a scene of 100 x 100 pixels."""
    quads = [[10, 10, 40, 10, 40, 14, 10, 14]] * len(texts)
    captions = [CAPTION] if caption else []
    scene = Scene(
        100,
        100,
        Regions(
            np.array([box for _, box in things], np.float32).reshape(-1, 4),
            np.full(len(things), 0.5, np.float32),
            [label for label, _ in things],
            crowd=None if crowd is None else np.array(crowd),
        ),
        Readings(np.array(quads, np.float32).reshape(-1, 8), texts, np.full(len(texts), 0.5, np.float32)),
        Captions(captions, ["brief"] * len(captions), np.full(len(captions), np.nan, np.float32)),
        PARSED if caption and parsed else None,
    )
    [found] = Template(TemplateConfig()).compose([scene])
    return found


def mentioned(found: Composition, text: int) -> list[tuple[str, str, int, tuple[int, ...]]]:
    """Phrase, head, number and regions of every mention of a text."""
    said, rows = found.mentions, found.captions.texts[text]
    return [
        (rows[said.start[i] : said.end[i]], said.heads[i], int(said.numbers[i]), said.regions[i])
        for i in range(len(said.heads))
        if said.text[i] == text
    ]


@pytest.mark.parametrize(
    ("things", "texts", "said", "counts", "complexity"),
    [
        (
            [("fire hydrant", (10 * i, 35 * i, 10 * i + 40, 35 * i + 30)) for i in range(3)]
            + [("hot dog", (0, 40, 20, 60)), ("broccoli", (0, 0, 5, 5)), ("broccoli", (90, 90, 95, 95))],
            (),
            "The image shows three fire hydrants, a hot dog on the left, and some broccoli.",
            (18, 6, 3, 1, 0),  # image, fire, hydrants, dog, left, broccoli; three, fire, hot; shows
            ((2 + 1 + 5 + 5 + 3 + 4) / 6, 3),
        ),
        (
            [],
            ("NO PARKING",),
            'The text "NO PARKING" can be read at the top left.',
            (14, 4, 1, 1, 2),  # text, NO, PARKING, left; top; read; NO, PARKING
            ((3 + 4 + 1 + 4) / 4, 5),
        ),
        (
            [("dog", (0, 0, 100, 90))],
            (),
            "The image shows a dog filling most of the image.",
            (11, 3, 1, 2, 0),  # image, dog, image; most; shows, filling
            ((2 + 3 + 3) / 3, (3 + 2) / 2),
        ),
    ],
)
def test_measures_are_what_a_person_counts(
    things: list[tuple[str, tuple[float, float, float, float]]],
    texts: tuple[str, ...],
    said: str,
    counts: tuple[int, ...],
    complexity: tuple[float, float],
) -> None:
    found = compose(things, texts)
    assert found.captions.texts[0] == said
    told = measures(found.tokens.slice(0, 1))
    names = ("n_tokens", "n_objects", "n_attributes", "n_actions", "n_proper_nouns")
    assert tuple(int(getattr(told, name)[0]) for name in names) == counts
    assert (told.object_complexity[0], told.action_complexity[0]) == pytest.approx(complexity)


def test_a_phrase_speaks_of_the_regions_it_was_made_of() -> None:
    found = compose([("cup", LEFT), ("dog", RIGHT), ("cup", LEFT), ("scissors", (42, 42, 50, 50))])
    assert found.captions.texts[1] == (
        "The image shows two cups, a dog, and a pair of scissors. The two cups are on the left, and the dog is on the "
        "right. The scissors are in the center."
    )
    assert mentioned(found, 1) == [
        ("two cups", "cup", 2, (0, 2)), ("a dog", "dog", 1, (1,)), ("scissors", "scissors", 0, (3,)),
        ("The two cups", "cup", 2, (0, 2)), ("the dog", "dog", 1, (1,)), ("The scissors", "scissors", 0, (3,)),
    ]  # fmt: skip


def test_what_is_not_counted_asks_for_no_number() -> None:
    many = compose([("knife", LEFT)] * 13 + [("person", RIGHT)], crowd=[False] * 13 + [True])
    assert mentioned(many, 0) == [
        ("more than a dozen knives", "knife", 0, tuple(range(13))), ("people", "person", 0, (13,)),
    ]  # fmt: skip


def test_the_caption_opens_and_keeps_its_words() -> None:
    found = compose([("dog", CENTRE)], caption=True)
    text = found.captions.texts[0]
    assert text == "A man with a dog. The image shows a dog in the center."
    assert (found.quoted[0], found.shift[0]) == (0, -1)
    own = found.tokens.slice(0, 1)
    words = [text[a:b] for a, b in zip(own.start, own.end, strict=True)]
    assert words[:6] == ["A", "man", "with", "a", "dog", "."]
    assert own.head[:6].tolist() == [1, 1, 4, 4, 1, 1]
    assert own.dep[:6] == ["det", "root", "case", "det", "nmod", "punct"]
    assert [phrase for phrase, *_ in mentioned(found, 0)] == ["a dog"]


def test_a_caption_that_nobody_parsed_has_no_tokens() -> None:
    found = compose([("dog", CENTRE)], caption=True, parsed=False)
    text, own = found.captions.texts[0], found.tokens.slice(0, 1)
    assert text.startswith("A man with a dog. ")
    assert text[own.start[0] : own.end[0]] == "The" and own.start[0] == text.index("The image")


def _box() -> st.SearchStrategy[tuple[float, float, float, float]]:
    corner = st.tuples(st.floats(0, 80), st.floats(0, 80), st.floats(1, 20), st.floats(1, 20))
    return corner.map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3]))


@given(
    st.lists(st.tuples(st.sampled_from(LABELS), _box()), max_size=20),
    st.lists(st.sampled_from(["STOP", "24 hours", "?", "x1 - 4"]), max_size=3).map(tuple),
    st.booleans(),
    st.data(),
)
def test_every_sentence_is_one_tree_over_all_its_characters(
    things: list[tuple[str, tuple[float, float, float, float]]],
    texts: tuple[str, ...],
    caption: bool,
    data: st.DataObject,
) -> None:
    found = compose(things, texts, [data.draw(st.booleans()) for _ in things], caption)
    said, own = found.captions.texts, check(found.tokens, found.captions.texts)
    chunks = noun_chunks(own, said)
    spans = set(zip(chunks.text.tolist(), chunks.char_start.tolist(), chunks.char_end.tolist(), strict=True))
    for i, (lo, hi) in enumerate(pairwise(own.offsets.tolist())):
        words = [said[i][a:b] for a, b in zip(own.start[lo:hi], own.end[lo:hi], strict=True)]
        assert "".join(words) == "".join(said[i].split())
        roots = [k for k in range(lo, hi) if own.head[k] == k - lo]
        assert [own.dep[k] for k in roots] == ["root"] * len(roots) and own.dep[lo:hi].count("root") == len(roots)
        assert len(roots) == words.count(".")  # one for each sentence
        stops = [0, *(k + 1 for k, word in enumerate(words) if word == ".")]
        for begin, end in pairwise(stops):
            assert all(begin <= head < end for head in own.head[lo + begin : lo + end])
    for i, start, end in zip(found.mentions.text, found.mentions.start, found.mentions.end, strict=True):
        assert (int(i), int(start), int(end)) in spans
    covered = {row for rows in found.mentions.regions for row in rows}
    assert covered <= set(range(len(things)))
