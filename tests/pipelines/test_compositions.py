"""What composed texts speak of: nobody looks again, and what is known of the caption and the regions is theirs."""

import numpy as np
import pyarrow as pa
import pytest

from engine import schema as s
from engine.errors import ConfigError
from engine.graph import Batch
from engine.records import Captions, Composition, Mentions
from engine.tokens import Tokens
from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.decide import compositions, texts
from pipelines.decide.texts import TextsConfig
from pipelines.query import sql
from pipelines.stages import compose
from pipelines.verify import verify
from tests.pipelines.decide_tables import box, frames, grouped
from tests.pipelines.plugins import AUTHOR, installed
from tests.pipelines.scenes import write_scenes

CAPTION = "- a cat near it -"
TEXT = "A cat near it. Here are two dogs."
OPTIONS = Options(executor="local", say=lambda _: None)


def composition(texts: list[str], quoted: list[int], text: str = TEXT) -> Composition:
    """Every text speaks of regions 1 and 0 as "two dogs"; the words are the least that will do."""
    n = len(texts)
    start, end = (np.full(n, at, np.int32) for at in (text.index("two"), text.index("dogs") + 4))
    words = Tokens(
        np.arange(n + 1), start, end, ["dog"] * n, ["NOUN"] * n, ["NNS"] * n, np.zeros(n, np.int32), ["root"] * n
    )
    return Composition(
        Captions(texts, ["detailed"] * n, np.full(n, 0.5, np.float32)),
        words,
        Mentions(np.arange(n, dtype=np.int32), start, end, ["dog"] * n, np.full(n, 2, np.int32), [(1, 0)] * n),
        np.array(quoted, np.int32),
        np.full(n, -2, np.int32),
    )


def composed(these, *answers):
    regions = [[f"{i}:r0", f"{i}:r1"] for i in these.ids]
    captions = [[f"{i}:said:0"] for i in these.ids]
    table = compositions.composed_table(these.ids, answers, regions, captions)
    return {"writer": grouped(s.COMPOSED, table.to_pylist(), these)}


def chunk(image, place, phrase, start, reason=None):
    text = f"{image}:said:0"
    return {
        s.IMAGE_ID: image, s.TEXT_ID: text, s.PHRASE_ID: f"{text}:p{place}", s.PHRASE: phrase, s.START: start,
        s.END: start + len(phrase), s.HEAD: phrase.split()[-1], s.NUMBER: 1, s.REASON: reason,
    }  # fmt: skip


def chunks_of(image):
    return [chunk(image, 0, "a cat", 2), chunk(image, 1, "it", 13, "pronoun"), chunk(image, 2, "it -", 13)]


def test_phrases_of_a_caption_move_with_it_and_mentions_follow():
    these = frames()
    found = composed(these, composition([TEXT, TEXT], [0, -1]), composition([TEXT], [0]))
    rows = compositions.phrases(
        these, found, grouped(s.DECIDED_PHRASES, [*chunks_of("img0"), *chunks_of("img1")], these)
    )
    told = [(row[s.PHRASE_ID], row[s.PHRASE], row[s.HEAD], row[s.NUMBER], row[s.REASON]) for row in rows.to_pylist()]
    opening = [("A cat", "cat", 1, None), ("it", "it", 1, "pronoun"), ("two dogs", "dog", 2, None)]
    assert told == [
        *[(f"img0:writer:0:p{n}", *row) for n, row in enumerate(opening)],
        ("img0:writer:1:p0", "two dogs", "dog", 2, None),
        *[(f"img1:writer:0:p{n}", *row) for n, row in enumerate(opening)],
    ]
    assert all(TEXT[row[s.START] : row[s.END]] == row[s.PHRASE] for row in rows.to_pylist())


def test_places_are_those_of_the_caption_and_of_the_regions():
    these = frames(1)
    found, chunks = composed(these, composition([TEXT], [0])), grouped(s.DECIDED_PHRASES, chunks_of("img0"), these)
    vote = {s.SPECIALIST: "finder", s.LABEL: "a cat", s.SCORE: 0.75, **box(0, 0, 5, 5)}
    cat = {
        s.IMAGE_ID: "img0", s.TEXT_ID: "img0:said:0", s.PHRASE_ID: "img0:said:0:p0", s.PHRASE: "a cat", s.START: 2,
        s.END: 7, s.PHRASE_SCORE: 0.75, s.CONFIDENCE: 0.75, s.VOTES: [vote], **box(0, 0, 5, 5),
    }  # fmt: skip
    far = cat | {s.CONFIDENCE: 0.25, s.REASON: "unlikely", **box(7, 7, 9, 9)}
    dogs = [
        {s.IMAGE_ID: "img0", s.REGION_ID: f"img0:r{n}", s.CONFIDENCE: score, **box(n, n, 40, 40)}
        for n, score in enumerate((0.5, 0.875))
    ]
    places = compositions.groundings(
        these, found, chunks, grouped(s.DECIDED_TRIPLETS, [cat, far], these), grouped(s.DECIDED_REGIONS, dogs, these)
    ).to_pylist()
    assert [(row[s.PHRASE], row[s.X0], row[s.CONFIDENCE], row[s.PHRASE_SCORE], row[s.REASON]) for row in places] == [
        ("A cat", 0, 0.75, 0.75, None), ("A cat", 7, 0.25, 0.75, "unlikely"),
        ("two dogs", 1, 0.875, 0.875, None), ("two dogs", 0, 0.5, 0.875, None),
    ]  # fmt: skip
    assert places[0][s.VOTES] == [vote] and places[0][s.TEXT_ID] == "img0:writer:0"
    assert [(v[s.SPECIALIST], v[s.LABEL], v[s.SCORE]) for v in places[2][s.VOTES]] == [("writer", "two dogs", 0.875)]
    assert {row[s.REGION_ID] for row in places} == {None}


def test_what_is_counted_is_not_mended():
    these, odd = frames(1), 'The sign says "a &amp; b" beside two dogs.'
    said = {name: compositions.as_said(group) for name, group in composed(these, composition([odd], [-1], odd)).items()}
    none = grouped(s.TOKENS, [], these)
    unlimited = np.zeros(1, bool)
    kept = texts.decide(these, said, none, {}, TextsConfig(), parsed=unlimited, as_they_stand=frozenset(["writer"]))
    assert kept.column(s.TEXT).to_pylist() == [odd]
    mended = texts.decide(these, said, none, {}, TextsConfig(), parsed=unlimited)
    assert mended.column(s.TEXT).to_pylist() == ['The sign says "a & b" beside two dogs.']


def test_a_text_that_repeats_an_unparsed_caption_has_no_measures():
    these = frames(2)
    inputs = {f"write.{name}": group for name, group in composed(these, *[composition([TEXT], [0])] * 2).items()}
    said = compositions.tokens(these, {"writer": inputs["write.writer"]})
    inputs |= {"parse": grouped(s.TOKENS, [], these), "tokens_composed": grouped(s.TOKENS, said.to_pylist(), these)}
    images = pa.table({s.IMAGE_ID: these.ids, s.WIDTH: these.widths, s.HEIGHT: these.heights})
    batch = Batch(images, inputs, lambda _: None, missing={"parse": frozenset(["img1"])})
    told = compose.details(batch, TextsConfig(), frozenset(["writer"]), ("tokens_composed",), measured=True)
    assert told.column(s.N_OBJECTS).to_pylist() == [1, None]
    assert told.column(s.REASON).to_pylist() == [
        "too short",
        None,
    ]  # one token; how many words the other has is unknown


# ---- whole builds -------------------------------------------------------------------------------------


def built(root, *settings, extra=""):
    write_scenes(root, 3, "\n[segmenters]\n" + extra)
    config = load_config(str(root / "config.toml"), None, settings)
    assert build(str(root / "images"), str(root / "out"), config, OPTIONS).quarantined == 0
    assert verify(str(root / "out")) == []
    return str(root / "out")


TOLD = """SELECT DISTINCT p.phrase, r.label FROM text_phrase_region p JOIN region_text r USING (region_id)
WHERE p.text_id LIKE '%:{}:%' ORDER BY ALL"""
MENTIONS = [("The dog", "dog"), ("a dog", "dog"), ("a person", "person"), ("the person", "person"),
            ("the two people", "person"), ("two people", "person")]  # fmt: skip


def test_who_composes_and_who_writes_work_side_by_side(tmp_path):
    with installed(tmp_path / "site", AUTHOR):
        out = built(
            tmp_path / "scenes", extra='[writers.template]\nuses = "template"\n[writers.free]\nuses = "author"\n'
        )
    who = "SELECT specialist, count(*), min(n_objects) FROM text WHERE granularity <> 'brief' GROUP BY 1 ORDER BY 1"
    assert [(name, count) for name, count, least in sql(out, who).rows if least >= 2] == [("free", 3), ("template", 6)]
    assert sql(out, TOLD.format("free")).rows == [("a dog", "dog")]
    assert set(MENTIONS) < set(sql(out, TOLD.format("template")).rows)
    voters = "SELECT DISTINCT v.specialist FROM (SELECT unnest(votes) AS v FROM text_phrase_region) ORDER BY 1"
    assert sql(out, voters).rows == [("label_match",), ("template",)]


@pytest.mark.parametrize("missing", ["parser={}", "grounders={}", "captioners={}"])
def test_mentions_are_linked_whoever_else_is_missing(tmp_path, missing):
    out = built(tmp_path, missing)
    measured = sql(
        out, "SELECT count(*), count(n_tokens), min(n_tokens) > 5 FROM text WHERE specialist = 'template'"
    ).rows
    assert measured == [(6, 0, None) if missing == "parser={}" else (6, 6, True)]
    assert sql(out, TOLD.format("template")).rows == MENTIONS


def test_a_writer_may_not_have_the_name_of_a_grounder(tmp_path):
    write_scenes(tmp_path, 1, '\n[grounders.one_name]\nuses = "label_match"\n[writers.one_name]\nuses = "template"\n')
    with pytest.raises(ConfigError, match="one_name"):
        load_config(str(tmp_path / "config.toml"), None)
