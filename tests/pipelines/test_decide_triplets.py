"""Groundings to triplets, and rejected rows of every family."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Grouped
from pipelines.decide import groundings, triplets
from pipelines.decide.groundings import GroundingsConfig
from pipelines.decide.rejected import rejected_rows
from pipelines.decide.triplets import TripletsConfig
from tests.pipelines.decide_tables import box, frames, grouped, kept, regions_of, rejected, seen


def phrase_rows(these, *items):
    """Items of (image, phrase, number); ids are numbered over all; the head is the last word."""
    rows = [
        {
            s.IMAGE_ID: i,
            s.TEXT_ID: f"{i}:t",
            s.PHRASE_ID: f"{i}:t:p{n}",
            s.PHRASE: p,
            s.START: 0,
            s.END: len(p),
            s.HEAD: p.rpartition(" ")[2].removesuffix("s"),
            s.NUMBER: k,
        }
        for n, (i, p, k) in enumerate(items)
    ]
    return grouped(s.DECIDED_PHRASES, rows, these)


def decide(these, phrases, boxes, accepted, *more, **others):
    """What becomes of the boxes of grounders: the places of each phrase, then what of them passes the limits."""
    places = groundings.decide(these, phrases, boxes, GroundingsConfig())
    return triplets.decide(phrases, Grouped.of(places, these.ids), accepted, TripletsConfig(), *more, **others)


def found(phrase_id, score, corners):
    return {s.IMAGE_ID: phrase_id.split(":")[0], s.PHRASE_ID: phrase_id, s.SCORE: score, **box(*corners)}


def region_rows(these, *items):
    """Items of (region id, confidence, corners, kind[, label])."""
    rows = [
        {
            s.IMAGE_ID: r.split(":")[0],
            s.REGION_ID: r,
            s.KIND: k,
            s.CONFIDENCE: q,
            s.LABEL: label[0] if label else None,
            **box(*c),
        }
        for r, q, c, k, *label in items
    ]
    return grouped(s.DECIDED_REGIONS, rows, these)


def test_phrases_find_regions_and_what_nobody_found_says_so():
    these = frames(2)
    phrases = phrase_rows(these, ("img0", "a dog", 1), ("img0", "two cats", 2), ("img1", "a red car", 1))
    boxes = {
        "a": grouped(
            s.PREDICTED_PHRASES,
            [
                found("img0:t:p0", 0.6, (0, 0, 100, 100)),
                found("img0:t:p0", 0.5, (300, 0, 400, 100)),
                found("img1:t:p2", 0.3, (0, 0, 50, 50)),
            ],
            these,
        ),
        "b": grouped(s.PREDICTED_PHRASES, [found("img0:t:p0", 0.8, (0, 0, 100, 100))], these),
    }
    accepted = region_rows(
        these,
        ("img0:r0", 0.9, (0, 0, 100, 110), "object", "Dog"),
        ("img0:r1", 0.9, (0, 0, 100, 100), "text"),
        ("img1:r0", 0.9, (0, 0, 50, 50), "object", "truck"),
    )
    table = decide(these, phrases, boxes, accepted)
    assert table.schema == s.DECIDED_TRIPLETS
    best, second, missing, car = table.to_pylist()
    assert (best[s.PHRASE], best[s.REGION_ID], best[s.REASON]) == ("a dog", "img0:r0", None)
    assert best[s.PHRASE_SCORE] == pytest.approx((0.7 + 0.9) / 2)
    assert best[s.CONFIDENCE] == pytest.approx((0.7 + 0.9) / 2)
    assert sorted(vote[s.SPECIALIST] for vote in best[s.VOTES]) == ["a", "b"]
    assert {vote[s.LABEL] for vote in best[s.VOTES]} == {"a dog"}
    assert (second[s.REASON], second[s.VALUE], second[s.THRESHOLD], second[s.REGION_ID]) == ("number", 2, 1, None)
    assert (missing[s.PHRASE], missing[s.REASON], missing[s.X0], missing[s.VOTES]) == (
        "two cats",
        "not found",
        None,
        [],
    )
    assert (missing[s.VALUE], missing[s.THRESHOLD], missing[s.PHRASE_SCORE]) == (0.0, 0.25, 0.0)
    # found by one of two, the other silent; the truck under it says nothing about a car
    assert (car[s.REASON], car[s.VALUE], car[s.THRESHOLD]) == ("phrase score", pytest.approx(0.3 / 1.5), 0.25)
    assert car[s.REGION_ID] == "img1:r0"


def test_a_phrase_prefers_the_region_that_it_names_and_loses_by_one_of_another_name():
    these = frames(1)
    phrases = phrase_rows(these, ("img0", "a cat", 1), ("img0", "a teddy bear", 1))
    rows = [
        found("img0:t:p0", 0.8, (0, 0, 100, 100)),
        found("img0:t:p0", 0.5, (200, 0, 300, 100)),
        found("img0:t:p1", 0.6, (400, 0, 500, 100)),
    ]
    accepted = region_rows(
        these,
        ("img0:r0", 0.9, (0, 0, 100, 100), "object", "dog"),
        ("img0:r1", 0.7, (200, 0, 300, 120), "object", "cat"),
        ("img0:r2", 0.8, (400, 0, 500, 100), "object", "teddy bear"),
        ("img0:r3", 0.8, (0, 200, 100, 300), "object", "bear"),
    )
    table = decide(these, phrases, {"a": grouped(s.PREDICTED_PHRASES, rows, these)}, accepted)
    cat, dog, bear = table.to_pylist()
    assert (cat[s.REGION_ID], cat[s.REASON]) == ("img0:r1", None)
    assert cat[s.CONFIDENCE] == pytest.approx((0.5 + 0.7) / 2)
    assert (dog[s.REGION_ID], dog[s.REASON], dog[s.VALUE]) == (None, "number", 2)
    assert (bear[s.REGION_ID], bear[s.REASON]) == ("img0:r2", None)


def test_words_may_mean_labels():
    these = frames(1)
    phrases = phrase_rows(these, ("img0", "two puppies", 2))
    rows = [found("img0:t:p0", 0.4, (0, 0, 100, 100))]
    accepted = region_rows(these, ("img0:r0", 0.8, (0, 0, 100, 100), "object", "dog"))
    grounder = {"a": grouped(s.PREDICTED_PHRASES, rows, these)}
    words = {"puppies": frozenset({"dog"})}
    (plain,) = kept(decide(these, phrases, grounder, accepted))
    (told,) = kept(decide(these, phrases, grounder, accepted, words))
    assert plain[s.CONFIDENCE] == pytest.approx(0.4)
    assert told[s.CONFIDENCE] == pytest.approx((0.4 + 0.8) / 2)
    assert plain[s.REGION_ID] == told[s.REGION_ID] == "img0:r0"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_box_is_one_vote_and_every_phrase_has_a_row(seed):
    rng = np.random.default_rng(seed)
    these = frames(3)
    asked = [(image, "a dog", int(rng.integers(0, 3))) for image in these.ids for _ in range(rng.integers(0, 3))]
    phrases = phrase_rows(these, *asked)
    names = phrases.table.column(s.PHRASE_ID).to_pylist()
    rows = {
        grounder: [
            found(name, float(np.round(rng.random(), 1)), (x, 0, x + rng.integers(0, 60), 50))
            for name in names
            for x in rng.integers(0, 40, rng.integers(0, 4))
        ]
        for grounder in ("b", "a")
    }
    accepted = region_rows(these, *[(f"{image}:r0", 0.5, (0, 0, 50, 50), "object") for image in these.ids[:2]])
    tables = {k: grouped(s.PREDICTED_PHRASES, v, these) for k, v in rows.items()}
    table = decide(these, phrases, tables, accepted)
    said = Counter(
        (row[s.PHRASE_ID], k, np.float32(row[s.SCORE]), row[s.X0], row[s.X1]) for k in rows for row in rows[k]
    )
    votes = Counter(
        (row[s.PHRASE_ID], vote[s.SPECIALIST], np.float32(vote[s.SCORE]), vote[s.X0], vote[s.X1])
        for row in table.to_pylist()
        for vote in row[s.VOTES]
    )
    assert votes == said
    assert list(dict.fromkeys(table.column(s.PHRASE_ID).to_pylist())) == names
    for row in kept(table):
        number = phrases.table.column(s.NUMBER)[names.index(row[s.PHRASE_ID])].as_py()
        mates = [other for other in kept(table) if other[s.PHRASE_ID] == row[s.PHRASE_ID]]
        assert number == 0 or len(mates) <= number
    turned = {k: grouped(s.PREDICTED_PHRASES, [v[i] for i in rng.permutation(len(v))], these) for k, v in rows.items()}
    assert table.equals(decide(these, phrases, turned, accepted))


def test_no_phrases_no_grounders_and_a_box_for_an_unknown_phrase():
    these = frames(1)
    nothing = region_rows(these)
    assert decide(these, phrase_rows(these), {}, nothing).num_rows == 0
    asked = phrase_rows(these, ("img0", "a dog", 1))
    assert decide(these, asked, {}, nothing).column(s.REASON).to_pylist() == ["not looked for"]
    stray = {"a": grouped(s.PREDICTED_PHRASES, [found("img0:t:p9", 0.6, (0, 0, 9, 9))], these)}
    with pytest.raises(StoreError, match="p9"):
        decide(these, asked, stray, nothing)


def test_a_phrase_is_not_found_only_where_somebody_looked():
    these = frames(2)
    phrases = phrase_rows(these, ("img0", "a dog", 1), ("img1", "a dog", 1))
    nothing = {name: grouped(s.PREDICTED_PHRASES, [], these) for name in "ab"}
    answered = {"a": np.array([False, False]), "b": np.array([False, True])}
    places = groundings.decide(these, phrases, nothing, GroundingsConfig(), answered)
    table = triplets.decide(phrases, Grouped.of(places, these.ids), region_rows(these), TripletsConfig())
    assert table.schema == s.DECIDED_TRIPLETS
    rows = [(row[s.PHRASE_ID], row[s.REASON], row[s.VALUE], row[s.X0], row[s.VOTES]) for row in table.to_pylist()]
    assert rows == [("img0:t:p0", "not looked for", None, None, []), ("img1:t:p1", "not found", 0.0, None, [])]
    assert kept(places) == []  # nobody is asked to segment what has no place


def test_what_blind_grounders_alone_found_needs_an_accepted_region():
    these = frames(1)
    phrases = phrase_rows(these, ("img0", "a dog", 1), ("img0", "a cat", 1))
    blind = [found("img0:t:p0", 0.6, (0, 0, 100, 100)), found("img0:t:p1", 0.6, (200, 0, 300, 100))]
    sees = [found("img0:t:p1", 0.5, (200, 0, 300, 100))]
    boxes = {"match": grouped(s.PREDICTED_PHRASES, blind, these), "eyes": grouped(s.PREDICTED_PHRASES, sees, these)}
    dog, cat = decide(these, phrases, boxes, region_rows(these), blind=frozenset({"match"})).to_pylist()
    assert (dog[s.PHRASE], dog[s.REASON]) == ("a dog", "no region")
    assert (cat[s.PHRASE], cat[s.REASON], cat[s.REGION_ID]) == ("a cat", None, None)


def test_the_regions_are_heard_once_for_a_phrase():
    these = frames(1)
    phrases = phrase_rows(these, ("img0", "a dog", 1))
    corners = (0, 0, 100, 100)
    accepted = region_rows(these, ("img0:r0", 0.8, corners, "object", "dog"))

    def confidence(blind=frozenset({"match"}), **scores):
        boxes = {
            name: grouped(s.PREDICTED_PHRASES, [found("img0:t:p0", score, corners)], these)
            for name, score in scores.items()
        }
        (row,) = decide(these, phrases, boxes, accepted, blind=blind).to_pylist()
        assert row[s.REGION_ID] == "img0:r0"
        return pytest.approx(row[s.CONFIDENCE])

    assert confidence(eyes=0.5) == (0.5 + 0.8) / 2
    # whoever sees nothing but regions has said already how sure the region is, and how well the word fits
    assert confidence(match=0.72) == 0.72
    assert confidence(eyes=0.5, match=0.72) == (0.5 + 0.72) / 2
    assert confidence(eyes=0.5, match=0.72, blind=frozenset()) == ((0.5 + 0.72) / 2 + 0.8) / 2


def test_rejected_rows_say_everything_in_compact_json():
    these = frames(1)
    rows = [seen("img0", "dög", 0.005, (1 / 3, 10, 60, 60)), seen("img0", "dog", 0.9, (100, 10, 160, 60))]
    table = regions_of(these, {"d": grouped(s.PREDICTED_REGIONS, rows, these)}, {})
    (row,) = (found := rejected_rows("regions", "region_text", table)).to_pylist()
    assert found.schema == s.REJECTED
    assert (row[s.STAGE], row[s.FAMILY], row[s.REASON], row[s.THRESHOLD]) == ("regions", "region_text", "score", 0.01)
    item = json.loads(row[s.ITEM])
    assert item[s.X0] == 0.3333
    assert item[s.VOTES][0] == {s.SPECIALIST: "d", s.LABEL: "dög", s.SCORE: 0.005, **box(0.3333, 10, 60, 60)}
    assert s.MASK not in item
    assert not {s.IMAGE_ID, s.REASON, s.VALUE, s.THRESHOLD} & set(item)
    assert ": " not in row[s.ITEM]


@pytest.mark.parametrize(
    "schema",
    [s.DECIDED_REGIONS, s.DECIDED_REGION_TEXTS, s.DECIDED_TEXTS, s.DECIDED_PHRASES, s.DECIDED_TRIPLETS],
)
def test_every_decision_table_gives_rejected_rows(schema):
    assert rejected_rows("x", "y", schema.empty_table()).schema == s.REJECTED
    nan = pa.Table.from_pylist([{s.IMAGE_ID: "i", s.REASON: "r"}], schema=schema)
    assert rejected_rows("x", "y", nan).column(s.ITEM).to_pylist() == ["{}"]
    assert Grouped.of(rejected_rows("x", "y", nan), ["i"]).table.num_rows == 1
    assert len(rejected(nan)) == 1
