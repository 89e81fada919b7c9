"""How exact specialists are, from what they say alone; boxes whose errors are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import exactness
from consensus.boxes import BoxColumns, BoxFusionConfig, cluster
from consensus.pooling import votes

FRAME = np.array([[2000.0, 2000.0]])


def seen(noises, things=300, shared=0.0, seed=0, copies=()):
    """One image of things in places of their own; an error may be `shared` by all, and `copies` (of, noise) repeat."""
    rng = np.random.default_rng(seed)
    corner = np.array([(x, y) for x in range(100, 1900, 90) for y in range(100, 1900, 90)][:things], float)
    true = np.concatenate([corner, corner + 60], axis=1)
    common = rng.normal(0, shared * 60, true.shape)
    drawn = [true + common + rng.normal(0, noise * 60, true.shape) for noise in noises]
    drawn += [drawn[of] + rng.normal(0, noise * 60, true.shape) for of, noise in copies]
    n = len(drawn)
    boxes = np.concatenate(drawn)
    data = BoxColumns(
        boxes,
        np.full(len(boxes), 0.8),
        np.repeat(np.arange(n), things),
        np.zeros(len(boxes), int),
        np.array([0, len(boxes)]),
    )
    found = cluster(data, np.ones(n), BoxFusionConfig(iou=0.5, label_bonus=0.0))
    rows = votes(found.member_offsets, found.members, data.specialists, np.zeros(len(boxes), bool), n)
    return exactness.sides(found, boxes, data.scores, rows, FRAME)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.015, 0.06), min_size=3, max_size=6), st.integers(0, 1000))
def test_three_and_more_tell_each_ones_error(noises, seed):
    told = seen(noises, seed=seed)
    found = exactness.from_pairs(told, np.zeros((len(noises), len(noises))))
    np.testing.assert_allclose(found, noises, rtol=0.25, atol=0.006)


def test_an_error_that_all_share_is_nobodys():
    told = seen([0.02, 0.04, 0.03], shared=0.05)
    np.testing.assert_allclose(exactness.from_pairs(told, np.zeros((3, 3))), [0.02, 0.04, 0.03], rtol=0.25)


def test_kin_are_those_whose_boxes_differ_less_than_their_errors():
    told = seen([0.03, 0.03, 0.04, 0.03], copies=[(1, 0.005)])
    kin = exactness.kin(told)
    assert kin[1, 4] == kin[4, 1] > 0.8
    kin[1, 4] = kin[4, 1] = 0.0
    assert kin.max() < 0.25
    assert (exactness.kin(seen([0.03, 0.03, 0.04])) == 0).all()  # three tell nothing of it


def test_shards_add_up_in_any_order_to_the_same_bits():
    parts = [seen([0.02, 0.04, 0.03], things=40, seed=seed) for seed in range(4)]
    one, other = exactness.merged(parts), exactness.merged(parts[::-1])
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_nothing_said_is_no_error(n):
    nothing = BoxColumns(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.array([0, 0]))
    found = cluster(nothing, np.ones(n), BoxFusionConfig())
    told = exactness.sides(found, nothing.boxes, nothing.scores, np.full((0, n), -1), FRAME)
    kin = exactness.kin(told)
    assert np.isfinite(exactness.from_frame(told)).all() and np.isfinite(exactness.from_pairs(told, kin)).all()
