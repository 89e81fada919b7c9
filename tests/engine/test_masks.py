"""Masks: the code against pycocotools' and plain NumPy's answers, and strings from strangers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from engine import masks
from engine.errors import RecordError

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
@given(MASKS)
def test_decode_undoes_encode_and_pycocotools_reads_the_code(mask):
    code = masks.encode(mask)
    height, width = mask.shape
    assert code.isascii()
    assert np.array_equal(masks.decode(code, height, width), mask)
    assert np.array_equal(coco.decode({"size": [height, width], "counts": code.encode()}), mask)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_a_part_encoded_in_its_place_equals_drawing_it(height, width, left, top, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    whole = np.zeros((height + top + seed % 3, width + left + seed % 2), np.bool_)
    whole[top : top + height, left : left + width] = mask
    assert masks.encode_part(mask, left, top, *whole.shape) == (masks.encode(whole) if mask.any() else None)


def test_a_part_outside_the_image_is_refused():
    for left, top in [(-1, 0), (0, -1), (3, 0), (0, 3)]:
        with pytest.raises(RecordError, match="leaves an image of 4 x 4"):
            masks.encode_part(np.ones((2, 2), np.bool_), left, top, 4, 4)


@given(st.lists(arrays(np.bool_, (7, 5)), max_size=20))
def test_area_and_bbox_agree_with_counting_pixels(stack):
    codes = [masks.encode(mask) for mask in stack]
    boxes = masks.bbox(codes, 7, 5)
    assert masks.area(codes, 7, 5).tolist() == [int(mask.sum()) for mask in stack]
    for mask, box in zip(stack, boxes, strict=True):
        ys, xs = np.nonzero(mask)
        wanted = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if xs.size else [0, 0, 0, 0]
        assert box.tolist() == wanted


@given(st.lists(arrays(np.bool_, (6, 9)), min_size=1, max_size=6))
def test_iou_agrees_with_counting_pixels(stack):
    codes = [masks.encode(mask) for mask in stack]
    found = masks.iou(codes, codes[:2], 6, 9)
    for i, a in enumerate(stack):
        for j, b in enumerate(stack[:2]):
            union = (a | b).sum()
            assert found[i, j] == pytest.approx((a & b).sum() / union if union else 0)


def test_area_of_more_masks_than_pycocotools_can_count():
    code = masks.encode(np.ones((4, 4), np.bool_))
    assert masks.area([code] * 1000, 4, 4).tolist() == [16] * 1000
    assert masks.iou([code] * 300, [code] * 300, 4, 4).min() == 1


def test_nothing_in_gives_empty_arrays():
    assert masks.area([], 4, 4).shape == (0,)
    assert masks.bbox([], 4, 4).shape == (0, 4)
    assert masks.iou([], [masks.encode(np.ones((4, 4), np.bool_))], 4, 4).shape == (0, 1)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_runs_of_length_zero_change_nothing(counts):
    total = sum(counts)
    if not total:
        return
    mask = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape((1, total), order="F")
    code = masks.from_uncompressed(counts, 1, total)
    assert np.array_equal(masks.decode(code, 1, total), mask)
    raw = _code_of(counts)
    assert np.array_equal(masks.decode(raw, 1, total), mask)
    assert masks.iou([raw], [code], 1, total)[0, 0] == pytest.approx(1.0 if mask.any() else 0.0)


def _code_of(counts):
    """The code as COCO's API defines it, without merging anything."""
    out = []
    for i, count in enumerate(counts):
        x = count - (counts[i - 2] if i > 2 else 0)
        more = True
        while more:
            c = x & 31
            x >>= 5
            more = x != -1 if c & 16 else x != 0
            out.append(chr(c + (32 if more else 0) + 48))
    return "".join(out)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30).filter(sum))
def test_long_runs_are_parsed_as_the_definition_writes_them(counts):
    total = sum(counts)
    assert masks.area([_code_of(counts)], total, 1)[0] == sum(counts[1::2])


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=40), st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=40)))
def test_strings_from_strangers_are_refused_or_whole(text):
    if masks.is_valid(text, 5, 7):
        assert masks.decode(text, 5, 7).shape == (5, 7)
    else:
        for use in (masks.area, masks.bbox, masks.check):
            with pytest.raises(RecordError):
                use([text], 5, 7)
        with pytest.raises(RecordError):
            masks.decode(text, 5, 7)


@given(MASKS, st.data())
def test_a_code_for_another_size_is_refused(mask, data):
    height, width = mask.shape
    other = data.draw(st.integers(1, 200).filter(lambda n: n != height * width))
    with pytest.raises(RecordError, match="pixels"):
        masks.decode(masks.encode(mask), 1, other)


@pytest.mark.parametrize("code", [None, b"9", 3, {"counts": "9"}])
def test_what_is_not_a_string_is_refused(code):
    assert not masks.is_valid(code, 3, 3)


def test_a_rectangle_as_polygon_covers_its_pixels():
    code = masks.from_polygons([[2, 1, 6, 1, 6, 4, 2, 4]], 10, 10)
    assert masks.bbox([code], 10, 10).tolist() == [[2, 1, 6, 4]]
    assert masks.area([code], 10, 10).tolist() == [12]


def test_polygons_are_united_not_added():
    square = [0, 0, 4, 0, 4, 4, 0, 4]
    assert masks.from_polygons([square, square], 8, 8) == masks.from_polygons([square], 8, 8)


@pytest.mark.parametrize(
    "polygons",
    [
        [],
        [[0, 0, 1, 1]],
        [[0, 0, 1, 1, 2]],
        [[0, 0, 1, 1, 2, 1e9]],
        [[0, 0, 1, 1, 2, -1e18]],
        [[0, 0, 1, 1, 2, float("nan")]],
        [[0, 0, 1, 1, 2, float("inf")]],
        [["a", 0, 1, 1, 2, 2]],
        [[[0, 0], [1, 1], [2, 2]]],
        [[0, 0, 1, 1, 2, 10**400]],
        [[0, 0, 1e6, 1e6, 0, 1e6, 1e6, 0]],
    ],
)
def test_polygons_that_would_harm_the_process_are_refused(polygons):
    with pytest.raises(RecordError):
        masks.from_polygons(polygons, 10, 10)


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(-50, 50), min_size=6, max_size=12), min_size=1, max_size=3))
def test_polygons_partly_outside_give_a_mask_of_the_image(polygons):
    code = masks.from_polygons([p[: len(p) // 2 * 2] for p in polygons], 9, 13)
    assert masks.decode(code, 9, 13).shape == (9, 13)


@pytest.mark.parametrize("counts", [[], [5], [3, -1, 7], [4, 6], [1.5, 7.5], [True, 8], [2**40, 1], ["9"]])
def test_run_lengths_that_do_not_fit_are_refused(counts):
    with pytest.raises(RecordError):
        masks.from_uncompressed(counts, 3, 3)


@pytest.mark.parametrize("mask", [np.ones((2, 2), np.uint8), np.ones((2, 2, 1), np.bool_), np.ones((0, 3), np.bool_)])
def test_arrays_that_are_not_masks_are_refused(mask):
    with pytest.raises(RecordError):
        masks.encode(mask)
