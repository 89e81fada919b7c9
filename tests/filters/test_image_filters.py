"""Which images are no use, by the columns that filters are given."""

import numpy as np
import pyarrow as pa
import pytest

from filters import images
from filters.images import Aspect, Blank, ImageColumns, Small, Torn

GREY = 128 << 16 | 128 << 8 | 128


def columns(*rows):
    """Images as (width, height, contrast, tail, tail colour)."""
    width, height, contrast, tail, colour = zip(*rows, strict=True)
    words = pa.array([""] * len(rows))
    return ImageColumns(
        words, words, words, np.array(width, np.int32), np.array(height, np.int32), np.array(contrast, np.float32),
        np.array(tail, np.float32), np.array(colour, np.int32),
    )  # fmt: skip


def sized(width, height):
    return width, height, 50.0, 0.0, 0


def said(decision):
    """(reason, value, threshold) of each row, None where it is kept."""
    return [
        None if code < 0 else (decision.reasons[code], pytest.approx(float(value)), float(threshold))
        for code, value, threshold in zip(decision.code, decision.value, decision.threshold, strict=True)
    ]


def test_too_small_by_side_or_by_area():
    found = images.small(columns(sized(640, 480), sized(31, 500), sized(32, 128), sized(33, 120)), Small())
    assert said(found) == [None, ("small side", 31, 32), None, ("small area", 33 * 120, 4096)]


def test_extreme_aspect_either_way():
    found = images.aspect(columns(sized(800, 100), sized(801, 100), sized(100, 810)), Aspect())
    assert said(found) == [None, ("aspect", 8.01, 8), ("aspect", 8.1, 8)]


def test_blank():
    found = images.blank(columns((640, 480, 1.9, 0, 0), (640, 480, 2.1, 0, 0)), Blank())
    assert said(found) == [("blank", 1.9, 2), None]


def test_torn_is_a_grey_band_at_the_bottom_and_no_other():
    rows = [
        (640, 480, 50, 0.2, GREY),
        (640, 480, 50, 0.04, GREY),
        (640, 480, 50, 0.2, 0xFFFFFF),  # a product on white
        (640, 480, 50, 0.2, 0x808060),  # sand
        (640, 480, 50, 0.2, 0x7E8183),  # grey that was saved once more
    ]
    assert said(images.torn(columns(*rows), Torn())) == [("torn", 0.2, 0.05), None, None, None, ("torn", 0.2, 0.05)]
