"""What a build publishes is the mended text, and its spans are of that; labels become category phrases."""

import numpy as np
import pyarrow as pa
import pytest

from engine import schema as s
from pipelines.decide import texts
from pipelines.decide.categories import category_phrases
from pipelines.decide.texts import TextsConfig
from pipelines.stages.decision import published
from tests.pipelines.decide_tables import box, frames, grouped, parse, parsed, told


@pytest.mark.parametrize(
    ("label", "phrase"),
    [
        ("the dogs", "dog"),
        ("a Traffic Light", "traffic light"),
        ("traffic_light", "traffic light"),
        ("Two  people", "person"),
        ("snowmen", "snowman"),
        ("Ramen", "ramen"),
        ("scissors", "scissors"),
        ("wine glasses", "wine glass"),
        ("A", "a"),
        (None, ""),
    ],
)
def test_category_phrases_name_one_thing(label, phrase):
    assert category_phrases(pa.array([label], pa.string())).to_pylist() == [phrase]


def test_category_phrases_of_a_column():
    labels = pa.chunked_array([["Dogs", "cat"], ["Dogs"]])
    assert category_phrases(labels).to_pylist() == ["dog", "cat", "dog"]


def test_the_published_text_is_the_mended_one_and_what_was_said_stays():
    these = frames(1)
    said = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", "A  DOG CHASES\u200b TWO CATS.")], these)}
    mended = published(said["a"]).table.column(s.TEXT).to_pylist()
    assert mended == ["A dog chases two cats."]
    _, tokens = parse("A/DET/2/det dog/NOUN/3/nsubj chases/VERB/0/root two/NUM/5/nummod cats./NOUN/3/obj")
    assert mended[0][tokens.start[1] : tokens.end[1]] == "dog"
    rows = parsed(["img0"], texts.text_ids(these, said), tokens, these)
    found = texts.decide(these, said, rows, {}, TextsConfig(checks={"capitals": {"enabled": False}})).to_pylist()
    assert [(row[s.TEXT], row[s.REASON]) for row in found] == [(mended[0], None)]
    strict = texts.decide(these, said, rows, {}, TextsConfig()).to_pylist()
    assert [row[s.REASON] for row in strict] == ["capitals"]
    assert said["a"].table.column(s.TEXT).to_pylist() == ["A  DOG CHASES\u200b TWO CATS."]


def test_what_is_written_in_the_image_is_no_caption():
    these = frames(1)
    said = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", "Joe's fine pizza"), told("img0", "a pizza sign")], these)}
    writing = {s.IMAGE_ID: "img0", s.KIND: "text", s.TEXT: "JOE'S FINE PIZZA", **box(0, 0, 9, 9)}
    doubted = {**writing, s.TEXT: "a pizza sign", s.REASON: "confidence"}
    regions = grouped(s.DECIDED_REGIONS, [writing, doubted], these)
    _, tokens = parse(
        "Joe's/PROPN/3/nmod:poss fine/ADJ/3/amod pizza/NOUN/0/root",
        "a/DET/3/det pizza/NOUN/3/compound sign/NOUN/0/root",
    )
    rows = parsed(["img0"] * 2, texts.text_ids(these, said), tokens, these)
    found = texts.decide(these, said, rows, {}, TextsConfig(), regions=regions).to_pylist()
    assert [(row[s.REASON], row[s.VALUE]) for row in found] == [("echo", 1.0), (None, None)]
    assert len(np.unique([row[s.TEXT_ID] for row in found])) == 2
