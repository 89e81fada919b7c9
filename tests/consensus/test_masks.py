"""Masks of several specialists for one region."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.masks import MaskColumns, MaskFusionConfig, fuse
from engine import masks
from engine.errors import RecordError

HEIGHT, WIDTH = 40, 60


def square(x0, y0, x1, y1, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def columns(*regions, scores=None):
    """A list of masks for each region; their places are the specialists."""
    flat = [(r, k, mask) for r, said in enumerate(regions) for k, mask in enumerate(said)]
    sizes = np.array([said[0].shape if said else (HEIGHT, WIDTH) for said in regions]).reshape(-1, 2)
    return MaskColumns(
        [masks.encode(mask) for _, _, mask in flat],
        np.array([r for r, _, _ in flat], int),
        np.array([k for _, k, _ in flat], int),
        np.full(len(flat), np.nan) if scores is None else np.array(scores, float),
        sizes[:, 0],
        sizes[:, 1],
    )


def drawn(found, i, height=HEIGHT, width=WIDTH):
    return masks.decode(found.rles[i], height, width)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_three_alike_masks_become_what_most_of_them_say():
    said = [square(10, 10, 30, 30), square(11, 10, 31, 30), square(10, 11, 30, 31)]
    found = fuse(columns(said), MaskFusionConfig())
    assert np.array_equal(drawn(found, 0), np.sum(said, axis=0) >= 2)
    assert found.agreement == pytest.approx([iou(drawn(found, 0), mask) for mask in said])
    assert found.confidence[0] == pytest.approx(found.agreement.mean())


def test_a_region_with_one_mask_keeps_it_and_one_with_none_has_none():
    one, empty = square(5, 5, 20, 40), np.zeros((HEIGHT, WIDTH), bool)
    found = fuse(columns([one], [], [empty, empty], scores=[0.7, 0.9, 0.9]), MaskFusionConfig())
    assert np.array_equal(drawn(found, 0), one)
    assert found.confidence[0] == pytest.approx(0.7)
    assert found.rles[1:] == [None, None]
    assert np.isnan(found.confidence[1:]).all()


def test_no_regions_at_all():
    found = fuse(columns(), MaskFusionConfig())
    assert (found.rles, len(found.confidence), len(found.agreement)) == ([], 0, 0)


def test_a_mask_that_promises_more_is_followed_where_two_disagree():
    small, large = square(10, 10, 20, 20), square(10, 10, 30, 20)
    for scores, better in (([0.95, 0.5], small), ([0.5, 0.95], large)):
        found = fuse(columns([small, large], scores=scores), MaskFusionConfig())
        assert np.array_equal(drawn(found, 0), better)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_all_say_is_kept_what_nobody_says_is_not_and_order_is_no_matter(seed):
    rng = np.random.default_rng(seed)
    sizes = [(int(h), int(w)) for h, w in rng.integers(1, 12, (3, 2))]
    regions = [[rng.random(size) < 0.5 for _ in range(rng.integers(1, 5))] for size in sizes]
    found = fuse(columns(*regions), MaskFusionConfig())
    turned = fuse(columns(*[said[::-1] for said in regions[::-1]]), MaskFusionConfig())
    for i, (said, size) in enumerate(zip(regions, sizes, strict=True)):
        mine = drawn(found, i, *size) if found.rles[i] else np.zeros(size, bool)
        assert not (mine & ~np.any(said, axis=0)).any()
        if found.rles[i]:
            assert (mine | ~np.all(said, axis=0)).all()
        assert found.rles[i] == turned.rles[len(regions) - 1 - i]
    assert found.confidence == pytest.approx(turned.confidence[::-1], nan_ok=True)


def test_masks_of_other_images_and_too_many_are_refused():
    wrong = columns([square(1, 1, 5, 5)])
    with pytest.raises(RecordError, match="pixels"):
        fuse(MaskColumns(wrong.rles, wrong.regions, wrong.specialists, wrong.scores, wrong.heights + 1, wrong.widths),
             MaskFusionConfig())  # fmt: skip
    with pytest.raises(RecordError, match="41 masks"):
        fuse(columns([square(1, 1, 5, 5)] * 41), MaskFusionConfig())
