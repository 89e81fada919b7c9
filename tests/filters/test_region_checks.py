"""Shapes and readings that are noise."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from filters.region_checks import Aspect, RegionColumns, Scribble, Sliver, aspect, scribble, sliver


def columns(boxes, texts=None, confidence=None, size=(640, 480)):
    n = len(boxes)
    texts = texts or [None] * n
    return RegionColumns(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(n, size[0], np.int32),
        np.full(n, size[1], np.int32),
        np.array([text is not None for text in texts], bool),
        pa.array([None if text is not None else "dog" for text in texts], pa.string()),
        pa.array(texts, pa.string()),
        np.array(confidence if confidence is not None else [0.9] * n),
    )


def reasons(decision):
    return decision.columns()["reason"].to_pylist()


def test_long_objects_go_and_long_lines_of_text_stay():
    shapes = [(0, 100, 600, 110), (0, 100, 600, 110), (0, 100, 100, 200), (5, 0, 15, 300)]
    found = aspect(columns(shapes, [None, "A LONG LINE", None, None]), Aspect())
    assert reasons(found) == ["aspect", None, None, "aspect"]
    assert found.value[0] == 60.0


def test_a_strip_at_the_border_goes_and_a_thin_thing_inside_stays():
    shapes = [
        (0, 50, 8, 200),
        (632, 50, 640, 200),
        (100, 472, 300, 480),
        (300, 50, 308, 200),
        (0, 50, 100, 200),
        (0, 0, 8, 8),
    ]
    assert reasons(sliver(columns(shapes), Sliver())) == ["sliver", "sliver", "sliver", None, None, None]
    assert reasons(sliver(columns(shapes, ["x"] * 6), Sliver())) == [None] * 6


def test_readings_need_characters_and_single_ones_confidence():
    texts = ["--- !", "7", "7", "EXIT", None]
    found = scribble(columns([(0, 0, 9, 9)] * 5, texts, [0.9, 0.7, 0.9, 0.5, 0.1]), Scribble())
    assert reasons(found) == ["no writing", "single character", None, None, None]


def test_scripts_are_what_the_profile_allows():
    texts = ["EXIT 24", "ВЫХОД", "出口", "EXIT 出口"]
    boxes = [(0, 0, 9, 9)] * 4
    assert reasons(scribble(columns(boxes, texts), Scribble())) == [None] * 4
    assert reasons(scribble(columns(boxes, texts), Scribble(scripts=("Latin",)))) == [None] + ["script"] * 3
    assert reasons(scribble(columns(boxes, texts), Scribble(scripts=("Latin", "Han")))) == [None, "script", None, None]
    with pytest.raises(ValidationError, match="Klingon"):
        Scribble(scripts=("Klingon",))


def test_no_regions():
    for judge, config in ((aspect, Aspect()), (sliver, Sliver()), (scribble, Scribble())):
        assert len(judge(columns([]), config)) == 0
