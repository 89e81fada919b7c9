"""Masks of detectors and segmenters to one mask a box."""

import numpy as np

from engine import masks as rle
from engine import schema as s
from pipelines.decide import masks
from pipelines.decide.masks import MasksConfig
from tests.pipelines.decide_tables import box, frames, grouped, regions_of, seen

SIZE = (40, 60)
BOX = (10, 10, 30, 30)


def square(x0, y0, x1, y1):
    pixels = np.zeros(SIZE, bool)
    pixels[y0:y1, x0:x1] = True
    return rle.encode(pixels)


def drawn(*items):
    return [
        {s.IMAGE_ID: "img0", s.REGION_ID: "img0:r0", s.MASK: mask, s.SCORE: score, **box(*corners)}
        for corners, mask, score in items
    ]


def decide(segmented, detections=None, gold=frozenset(), config=None):
    these = frames(1, width=SIZE[1], height=SIZE[0])
    said = {name: grouped(s.PREDICTED_REGIONS, rows, these) for name, rows in (detections or {}).items()}
    things = regions_of(these, said, {}, gold=gold)
    tables = [(name, grouped(s.PREDICTED_MASKS, rows, these)) for name, rows in segmented.items()]
    clusters = grouped(s.DECIDED_REGIONS, things.to_pylist(), these)
    table = masks.decide(these, clusters, said, tables, config or MasksConfig(), gold)
    assert table.schema == s.DECIDED_MASKS
    return table.to_pylist()


def test_three_masks_outvote_the_odd_one():
    true, odd = square(*BOX), square(10, 10, 50, 38)
    (row,) = decide({name: drawn((BOX, mask, 0.9)) for name, mask in (("a", true), ("b", odd), ("c", true))})
    assert row[s.MASK] == true
    votes = {vote[s.SPECIALIST]: vote[s.SCORE] for vote in row[s.VOTES]}
    assert votes["a"] == votes["c"] == 1.0 > votes["b"]


def test_of_two_the_one_that_promises_more_stands():
    one, other = square(*BOX), square(12, 12, 28, 28)
    (row,) = decide({"a": drawn((BOX, one, 0.6)), "b": drawn((BOX, other, 0.8))})
    assert row[s.MASK] == other
    assert [vote[s.SPECIALIST] for vote in row[s.VOTES]] == ["b"]
    assert row[s.SCORE] == np.float32(0.8)


def test_each_box_has_its_own_mask_and_none_where_nobody_drew():
    far = (40, 0, 55, 9)
    rows = decide({"a": drawn((BOX, square(*BOX), 0.9), (far, square(*far), 0.7), ((0, 0, 5, 5), None, 0.9))})
    assert {(row[s.X0], row[s.MASK]) for row in rows} == {(10.0, square(*BOX)), (40.0, square(*far))}


def test_a_persons_mask_stands_alone_and_votes_bring_their_masks():
    person, machine = square(*BOX), square(11, 10, 31, 30)
    said = {
        "human": [seen("img0", "dog", 1.0, BOX, person)],
        "net": [seen("img0", "dog", 0.9, (11, 10, 31, 30), machine)],
        "blind": [seen("img0", "dog", 0.9, BOX)],
    }
    (row,) = decide({}, said, gold=frozenset({"human"}))
    assert row[s.MASK] == person
    (row,) = decide({}, {name: said[name] for name in ("net", "blind")})
    assert row[s.MASK] == machine
    assert (row[s.X0], row[s.Y0]) == (10.5, 10.0)  # under the box of the thing, between the two


def test_nothing_in_nothing_out():
    assert decide({}) == []
    assert decide({"a": []}, {"d": [seen("img0", "dog", 0.9, BOX)]}) == []
