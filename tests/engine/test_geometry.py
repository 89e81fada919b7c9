"""Boxes and quads against answers computed one by one."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine import geometry

WHOLE = st.integers(-20, 20)
BOX = st.tuples(WHOLE, WHOLE, st.integers(1, 20), st.integers(1, 20)).map(
    lambda t: [t[0], t[1], t[0] + t[2], t[1] + t[3]]
)
BOXES = st.lists(BOX, max_size=6).map(lambda rows: np.array(rows, np.float32).reshape(-1, 4))


@given(BOXES, BOXES)
def test_iou_agrees_with_the_overlap_of_intervals(a, b):
    found = geometry.iou_matrix(a, b)
    assert found.shape == (len(a), len(b))
    assert found.dtype == np.float32
    for i, p in enumerate(a.tolist()):
        for j, q in enumerate(b.tolist()):
            across = max(0, min(p[2], q[2]) - max(p[0], q[0]))
            down = max(0, min(p[3], q[3]) - max(p[1], q[1]))
            union = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - across * down
            assert math.isclose(found[i, j], across * down / union, rel_tol=1e-6, abs_tol=1e-9)


def test_boxes_without_area_share_nothing():
    flat = np.array([[3, 3, 3, 9], [5, 5, 5, 5]], np.float32)
    assert geometry.iou_matrix(flat, flat).tolist() == [[0, 0], [0, 0]]
    assert geometry.area(np.array([[3, 3, 1, 1]], np.float32)).tolist() == [0]


@given(BOXES, st.integers(1, 15), st.integers(1, 15))
def test_clipped_boxes_lie_inside_and_clipping_twice_changes_nothing(boxes, width, height):
    inside = geometry.clip(boxes, width, height)
    assert (inside >= 0).all()
    assert (inside[:, 0::2] <= width).all()
    assert (inside[:, 1::2] <= height).all()
    assert np.array_equal(geometry.clip(inside, width, height), inside)
    assert (geometry.area(inside) <= geometry.area(boxes)).all()


def test_what_is_a_box():
    nan, inf = float("nan"), float("inf")
    rows = [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 1, nan], [0, 0, inf, 1], [-2, -2, -1, -1]]
    assert geometry.is_box(np.array(rows, np.float32)).tolist() == [True, False, False, False, False, True]


CORNERS = st.tuples(WHOLE, WHOLE, st.integers(1, 20), st.integers(1, 20))


@given(CORNERS, st.permutations(range(4)))
def test_corners_of_a_rectangle_come_clockwise_from_the_top_left_in_whatever_order_given(corner, order):
    x, y, w, h = corner
    right = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    quad = np.array([right[i] for i in order], np.float32).reshape(1, 8)
    assert geometry.order_quads(quad).reshape(4, 2).tolist() == right
    assert geometry.quad_to_box(quad).tolist() == [[x, y, x + w, y + h]]


@given(st.lists(st.tuples(*[st.floats(-100, 100, width=32)] * 8), max_size=5))
def test_ordering_quads_keeps_the_corners_and_turns_clockwise(rows):
    quads = np.array(rows, np.float32).reshape(-1, 8)
    ordered = geometry.order_quads(quads)
    assert np.array_equal(geometry.quad_to_box(ordered), geometry.quad_to_box(quads))
    for before, after in zip(quads.reshape(-1, 4, 2), ordered.reshape(-1, 4, 2), strict=True):
        assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
        following = np.roll(after, -1, axis=0).astype(np.float64)
        # The shoelace sum is positive for clockwise corners where y grows downwards.
        assert np.sum(after[:, 0] * following[:, 1] - following[:, 0] * after[:, 1]) >= -1e-2
