"""Which images are no use, by the columns that filters are given."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from engine.pixel_measures import REPEATED
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


def test_torn_is_a_grey_band_at_the_bottom_or_one_row_again_and_again():
    rows = [
        (640, 480, 50, 0.2, GREY),
        (640, 480, 50, 0.04, GREY),
        (640, 480, 50, 0.2, 0xFFFFFF),  # a product on white
        (640, 480, 50, 0.2, 0x808060),  # sand
        (640, 480, 50, 0.2, 0x7E8183),  # grey that was saved once more
        (640, 480, 50, 0.2, 0),  # padded with black at the bottom, or a PNG file that broke off: nobody can tell
        (640, 480, 50, 0.2, REPEATED),
        (640, 480, 50, 0.04, REPEATED),
    ]
    found = said(images.torn(columns(*rows), Torn()))
    torn = ("torn", 0.2, 0.05)
    assert found == [torn, None, None, None, torn, None, torn, None]


def test_what_a_torn_image_is_filled_with_can_be_said():
    rows = [(640, 480, 50, 0.2, colour) for colour in (GREY, 0x020100, 0xFFFFFF, REPEATED)]
    assert [found is not None for found in said(images.torn(columns(*rows), Torn(repeated=False)))] == [1, 0, 0, 0]
    fills = Torn(fills=("#000000", "#fffFFF"))
    assert [found is not None for found in said(images.torn(columns(*rows), fills))] == [0, 1, 1, 1]
    with pytest.raises(ValidationError, match="fills"):
        Torn(fills=("black",))
