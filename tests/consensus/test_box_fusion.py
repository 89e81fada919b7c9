"""Clusters of boxes: identical to ensemble_boxes when told so, and our own rules otherwise."""

import numpy as np
import pytest
from ensemble_boxes import weighted_boxes_fusion
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.boxes import BoxColumns, BoxFusionConfig, Clusters, Words, cluster, reference_fusion

CONF_TYPES = ["avg", "max", "box_and_model_avg", "absent_model_aware_avg"]


def jittered(rng, n, things=4):
    """n boxes in 0..1 scattered around a few things, so that many overlap."""
    centre, size = rng.uniform(0.25, 0.75, (things, 2)), rng.uniform(0.1, 0.4, (things, 2))
    which = rng.integers(0, things, n)
    centre = centre[which] + rng.normal(0, 0.02, (n, 2))
    size = size[which] * rng.uniform(0.8, 1.2, (n, 2))
    return np.clip(np.concatenate([centre - size / 2, centre + size / 2], axis=1), 0, 1)


def columns(rng, images=3, specialists=3, labels=3, most=12):
    counts = rng.integers(0, most, images)
    n = int(counts.sum())
    return BoxColumns(
        jittered(rng, n),
        rng.uniform(0.01, 1, n),
        rng.integers(0, specialists, n),
        rng.integers(0, labels, n),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def members_of(clusters: Clusters):
    return [
        clusters.members[lo:hi]
        for lo, hi in zip(clusters.member_offsets[:-1], clusters.member_offsets[1:], strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(CONF_TYPES),
    st.sampled_from([0.3, 0.55, 0.8]),
    st.sampled_from([0.0, 0.3]),
    st.booleans(),
)
def test_reference_mode_is_ensemble_boxes(seed, conf_type, threshold, skip, weighted):
    rng = np.random.default_rng(seed)
    data = columns(rng)
    weights = rng.uniform(0.5, 3, 3) if weighted else np.ones(3)
    ours = reference_fusion(data, weights, threshold, skip, conf_type)
    for g, (lo, hi) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
        rows = [np.arange(lo, hi)[data.specialists[lo:hi] == s] for s in range(3)]
        boxes, scores, labels = weighted_boxes_fusion(
            [data.boxes[r] for r in rows],
            [data.scores[r] for r in rows],
            [data.labels[r] for r in rows],
            weights=list(weights),
            iou_thr=threshold,
            skip_box_thr=skip,
            conf_type=conf_type,
        )
        part = slice(ours.offsets[g], ours.offsets[g + 1])
        assert len(scores) == part.stop - part.start
        np.testing.assert_allclose(ours.scores[part], scores, rtol=1e-5, atol=1e-7)
        if len(set(np.round(scores, 5))) < len(scores):
            # scores equal up to rounding may come in either order
            key = np.round(np.column_stack([scores, labels, boxes]), 4)
            mine = np.round(np.column_stack([ours.scores[part], ours.labels[part], ours.boxes[part]]), 4)
            np.testing.assert_allclose(mine[np.lexsort(mine.T)], key[np.lexsort(key.T)], atol=2e-4)
        else:
            np.testing.assert_allclose(ours.boxes[part], boxes, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(ours.labels[part], labels)


def test_reference_mode_skips_boxes_without_area_and_takes_nothing():
    one = BoxColumns(
        np.array([[0.1, 0.1, 0.1, 0.5], [0.1, 0.1, 0.5, 0.5]]),
        np.array([0.9, 0.5]),
        np.array([0, 0]),
        np.array([0, 0]),
        np.array([0, 2, 2]),
    )
    clusters = reference_fusion(one, np.ones(2))
    assert clusters.members.tolist() == [1]
    assert clusters.offsets.tolist() == [0, 1, 1]
    empty = BoxColumns(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), np.zeros(0, int), np.array([0]))
    for conf_type in CONF_TYPES:
        assert len(reference_fusion(empty, np.ones(2), conf_type=conf_type)) == 0
    assert len(cluster(empty, np.ones(2), BoxFusionConfig())) == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_boxes_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    data = columns(rng)
    # few distinct scores, so that ties are common
    scores = np.round(data.scores, 1)
    gold = data.specialists == 2
    weights = np.array([1.0, 0.5, 1.0])
    group = data.groups()
    shuffle = np.lexsort((rng.random(len(data)), group))
    one = cluster(
        BoxColumns(data.boxes, scores, data.specialists, data.labels, data.offsets), weights, BoxFusionConfig(), gold
    )
    other = cluster(
        BoxColumns(data.boxes[shuffle], scores[shuffle], data.specialists[shuffle], data.labels[shuffle], data.offsets),
        weights,
        BoxFusionConfig(),
        gold[shuffle],
    )
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.members, shuffle[other.members])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_box_is_in_one_cluster_and_gold_never_meets_gold(seed):
    rng = np.random.default_rng(seed)
    data = columns(rng, specialists=4)
    gold, alone = data.specialists >= 2, rng.random(len(data)) < 0.1
    gold &= ~alone
    clusters = cluster(data, np.ones(4), BoxFusionConfig(iou=0.3), gold, alone)
    assert sorted(clusters.members) == list(range(len(data)))
    for c, members in enumerate(members_of(clusters)):
        assert gold[members].sum() <= 1
        assert len(members) == 1 or not alone[members].any()
        assert len(set(data.groups()[members])) == 1
        if gold[members].any():
            row = members[gold[members]][0]
            np.testing.assert_array_equal(clusters.boxes[c], data.boxes[row])
            assert clusters.labels[c] == data.labels[row]


def boxes_of(*rows):
    """Rows of (specialist, label, score, x0, y0, x1, y1) in one image."""
    table = np.array(rows, float)
    return BoxColumns(
        table[:, 3:], table[:, 2], table[:, 0].astype(int), table[:, 1].astype(int), np.array([0, len(rows)])
    )


def test_different_words_for_one_thing_meet_and_the_vote_decides():
    sofa, couch = 1, 0
    clusters = cluster(
        boxes_of((0, sofa, 0.5, 0, 0, 100, 50), (1, couch, 0.9, 2, 0, 100, 50), (2, sofa, 0.6, 0, 1, 100, 50)),
        np.ones(3),
        BoxFusionConfig(),
    )
    assert len(clusters) == 1
    assert clusters.labels.tolist() == [sofa]  # 1.1 against 0.9
    assert clusters.scores[0] == pytest.approx(2.0)
    heavy = cluster(
        boxes_of((0, sofa, 0.5, 0, 0, 100, 50), (1, couch, 0.9, 2, 0, 100, 50), (2, sofa, 0.6, 0, 1, 100, 50)),
        np.array([1.0, 2.0, 1.0]),
        BoxFusionConfig(),
    )
    assert heavy.labels.tolist() == [couch]


def test_a_tie_of_labels_goes_to_the_first_name():
    clusters = cluster(boxes_of((0, 4, 0.5, 0, 0, 100, 50), (1, 3, 0.5, 0, 0, 100, 50)), np.ones(2), BoxFusionConfig())
    assert clusters.labels.tolist() == [3]


def test_two_boxes_of_one_specialist_are_two_things_unless_nearly_identical():
    # IoU 0.82: two people beside each other; the other specialist saw both
    two = boxes_of(
        (0, 0, 0.9, 0, 0, 100, 100),
        (0, 0, 0.8, 10, 0, 110, 100),
        (1, 0, 0.7, 0, 0, 100, 100),
        (1, 0, 0.7, 10, 0, 110, 100),
    )
    clusters = cluster(two, np.ones(2), BoxFusionConfig())
    assert sorted(map(sorted, members_of(clusters))) == [[0, 2], [1, 3]]
    # IoU 0.98: one thing said twice, counted once
    for twin in ((0, 0, 0.8, 2, 0, 100, 100), (0, 1, 0.5, 2, 0, 100, 100)):
        clusters = cluster(boxes_of((0, 0, 0.9, 0, 0, 100, 100), twin), np.ones(2), BoxFusionConfig())
        assert len(clusters) == 1
        assert clusters.scores[0] == pytest.approx(0.9)
        np.testing.assert_array_equal(clusters.boxes[0], [0, 0, 100, 100])
    # a person on a chair: it is sure of both words
    both = boxes_of((0, 0, 0.9, 0, 0, 100, 100), (0, 1, 0.8, 2, 0, 100, 100))
    assert len(cluster(both, np.ones(2), BoxFusionConfig())) == 2


def test_the_same_word_needs_less_overlap():
    # IoU 60 / 100
    same = boxes_of((0, 0, 0.9, 0, 0, 100, 10), (1, 0, 0.9, 0, 0, 60, 10))
    other = boxes_of((0, 0, 0.9, 0, 0, 100, 10), (1, 1, 0.9, 0, 0, 60, 10))
    assert len(cluster(same, np.ones(2), BoxFusionConfig())) == 1
    assert len(cluster(other, np.ones(2), BoxFusionConfig())) == 2


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.55, 0.8]))
def test_rival_words_never_meet_and_the_short_way_is_the_long_one(seed, iou):
    """Where one specialist knows all words only boxes of one word are compared; a word above another, which nobody says,
    makes the loop compare all."""
    rng = np.random.default_rng(seed)
    data = columns(rng, most=20)
    scores = np.round(data.scores, 1)
    data = BoxColumns(data.boxes, scores, data.specialists, data.labels, data.offsets)
    knows = np.array([[True] * 5, [True, False, True, False, False], [False] * 5])
    config = BoxFusionConfig(iou=iou, label_bonus=0.0)
    short = Words.of(knows, np.zeros(0, np.int64))
    long = Words.of(knows, np.array([3 * 5 + 4]))
    assert short.apart(data.labels) == (len(data) > 0) and not long.apart(data.labels)
    gold = data.specialists == 2
    one, other = (cluster(data, np.ones(3), config, gold, None, words) for words in (short, long))
    for name in ("offsets", "boxes", "labels", "member_offsets", "members"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for members in members_of(one):
        assert len(set(data.labels[members])) == 1


def test_words_that_nobody_can_tell_apart_and_broader_words_meet():
    """0 a dog, 1 an animal, 2 a doggo, which only the third says, 3 a cat."""
    box = [10.0, 10, 110, 110]
    data = BoxColumns(
        np.array([box] * 4), np.full(4, 0.8), np.array([0, 1, 2, 0]), np.array([0, 1, 2, 3]), np.array([0, 4])
    )
    knows = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]], bool)
    clusters = cluster(data, np.ones(3), BoxFusionConfig(), words=Words.of(knows, np.array([0 * 4 + 1, 3 * 4 + 1])))
    said = sorted(sorted(data.labels[members].tolist()) for members in members_of(clusters))
    assert said == [[0, 1, 2], [3]]
