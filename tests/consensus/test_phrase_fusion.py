"""Boxes of several grounders for a phrase."""

import numpy as np
import pytest

from consensus.boxes import BoxColumns
from consensus.phrases import PhraseFusionConfig, confirm, merge, places


def grounded(n_phrases, *rows, alone=None, n_grounders=2):
    """Rows of (phrase, grounder, score, x0, y0, x1, y1), sorted by phrase."""
    table = np.array(rows, float).reshape(-1, 7)
    offsets = np.searchsorted(table[:, 0], np.arange(n_phrases + 1))
    columns = BoxColumns(
        table[:, 3:], table[:, 2], table[:, 1].astype(int), np.zeros(len(table), int), offsets.astype(np.int64)
    )
    return merge(columns, np.ones(n_grounders), PhraseFusionConfig(), alone)


def beyond(at):
    return (at.wanted > 0) & (at.rank > at.wanted)


def test_the_box_both_found_beats_the_surer_box_of_one():
    found = grounded(1, (0, 0, 0.9, 100, 0, 150, 50), (0, 0, 0.6, 0, 0, 50, 50), (0, 1, 0.6, 2, 0, 50, 50))
    assert found.scores == pytest.approx([0.6, 0.45])
    at = places(found.clusters.groups(), found.counted, found.scores, np.array([1]))
    assert beyond(at).tolist() == [False, True]
    assert at.rank.tolist() == [1, 2]


def test_finding_nothing_speaks_less_against_a_box_than_finding_another():
    elsewhere = grounded(1, (0, 0, 0.8, 0, 0, 50, 50), (0, 1, 0.7, 100, 0, 150, 50))
    silent = grounded(1, (0, 0, 0.8, 0, 0, 50, 50))
    assert elsewhere.scores[0] == pytest.approx(0.8 / 2)
    assert silent.scores[0] == pytest.approx(0.8 / 1.5)


def test_a_box_that_was_rejected_before_is_no_answer():
    rows = [(0, 0, 0.8, 0, 0, 50, 50), (0, 1, 0.05, 100, 0, 150, 50)]
    found = grounded(1, *rows, alone=np.array([False, True]))
    assert found.scores[found.counted] == pytest.approx([0.8 / 1.5])


def test_a_phrase_keeps_as_many_as_it_asks_for_and_a_bare_plural_all():
    boxes = [(0.9, 0, 0, 10, 10), (0.8, 20, 0, 30, 10), (0.7, 40, 0, 50, 10)]
    rows = [(phrase, 0, *box) for phrase in range(3) for box in boxes]
    found = grounded(3, *rows)
    at = places(found.clusters.groups(), found.counted, found.scores, np.array([2, 0, 5]))
    assert beyond(at).tolist() == [False, False, True] + [False] * 6
    assert at.wanted.tolist() == [2, 2, 2, 0, 0, 0, 5, 5, 5]


def test_boxes_rejected_before_do_not_take_a_place():
    found = grounded(1, (0, 0, 0.9, 0, 0, 10, 10), (0, 1, 0.8, 0, 0, 10, 10), alone=np.array([True, False]))
    assert len(found.clusters) == 2
    at = places(found.clusters.groups(), found.counted, found.scores, np.array([1]))
    assert not beyond(at).any()
    assert sorted(at.rank) == [0, 1]


def test_regions_help_boxes_that_they_name_and_halve_those_that_they_contradict():
    value = confirm(np.array([0.4, 0.9, 0.6]), np.array([0.8, 0.3, np.nan]), np.array([False, False, True]))
    assert value == pytest.approx([0.6, 0.9, 0.3])


def test_the_value_of_a_box_and_not_its_place_decides_what_is_too_much():
    found = grounded(1, (0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.5, 50, 0, 60, 10))
    assert beyond(places(found.clusters.groups(), found.counted, np.array([0.2, 0.7]), np.array([1]))).tolist() == [
        True,
        False,
    ]


def test_nothing_found():
    found = grounded(2)
    assert len(found.scores) == 0
    assert found.clusters.offsets.tolist() == [0, 0, 0]
    assert len(places(found.clusters.groups(), found.counted, found.scores, np.array([1, 0])).rank) == 0
