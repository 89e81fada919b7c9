"""Boxes of several grounders for a phrase."""

import numpy as np
import pytest

from consensus.boxes import BoxColumns
from consensus.phrases import PhraseFusionConfig, merge


def grounded(numbers, *rows, alone=None):
    """Rows of (phrase, grounder, score, x0, y0, x1, y1), sorted by phrase, from two grounders."""
    table = np.array(rows, float).reshape(-1, 7)
    offsets = np.searchsorted(table[:, 0], np.arange(len(numbers) + 1))
    columns = BoxColumns(
        table[:, 3:], table[:, 2], table[:, 1].astype(int), np.zeros(len(table), int), offsets.astype(np.int64)
    )
    return merge(columns, np.array(numbers), np.ones(2), PhraseFusionConfig(), alone)


def test_the_box_both_found_beats_the_surer_box_of_one():
    found = grounded([1], (0, 0, 0.9, 100, 0, 150, 50), (0, 0, 0.6, 0, 0, 50, 50), (0, 1, 0.6, 2, 0, 50, 50))
    assert found.scores == pytest.approx([0.6, 0.45])
    assert found.surplus.tolist() == [False, True]
    assert found.rank.tolist() == [1, 2]


def test_a_phrase_keeps_as_many_as_it_asks_for_and_a_bare_plural_all():
    boxes = [(0.9, 0, 0, 10, 10), (0.8, 20, 0, 30, 10), (0.7, 40, 0, 50, 10)]
    rows = [(phrase, 0, *box) for phrase in range(3) for box in boxes]
    found = grounded([2, 0, 5], *rows)
    assert found.surplus.tolist() == [False, False, True] + [False] * 6
    assert found.wanted.tolist() == [2, 2, 2, 0, 0, 0, 5, 5, 5]


def test_boxes_rejected_before_do_not_take_a_place():
    found = grounded([1], (0, 0, 0.9, 0, 0, 10, 10), (0, 1, 0.8, 0, 0, 10, 10), alone=np.array([True, False]))
    assert len(found.clusters) == 2
    assert not found.surplus.any()
    assert sorted(found.rank) == [0, 1]


def test_nothing_found():
    found = grounded([1, 0])
    assert len(found.scores) == 0
    assert found.clusters.offsets.tolist() == [0, 0, 0]
