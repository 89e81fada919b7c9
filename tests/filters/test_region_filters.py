"""Which boxes are noise."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import regions


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return w * h / (sum(area) - w * h)


def nms_by_hand(boxes, scores, labels, groups, threshold, protected, candidates):
    kept = []
    order = sorted(np.flatnonzero(candidates), key=lambda i: (not protected[i], -scores[i], i))
    for i in order:
        rivals = [j for j in kept if groups[j] == groups[i] and labels[j] == labels[i]]
        if protected[i] or all(iou(boxes[i], boxes[j]) <= threshold for j in rivals):
            kept.append(i)
    return {i for i in np.flatnonzero(candidates) if i not in kept}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.sampled_from([0.2, 0.5, 0.8]))
def test_nms_is_the_greedy_definition(seed, n, threshold):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(5, 20, (n, 2))], axis=1).astype(np.float32)
    scores, labels = np.round(rng.random(n), 1), rng.integers(0, 2, n)
    groups = np.sort(rng.integers(0, 3, n))
    protected, candidates = rng.random(n) < 0.2, rng.random(n) < 0.9
    found = regions.overlap(boxes, scores, labels, groups, threshold, protected, candidates)
    wanted = nms_by_hand(boxes.astype(float), scores, labels, groups, threshold, protected, candidates)
    assert set(np.flatnonzero(~found.kept)) == wanted
    assert np.all(found.value[~found.kept] > threshold)


def test_boxes_without_area_or_with_strange_numbers_are_degenerate():
    nan, inf = np.nan, np.inf
    boxes = np.array(
        [[0, 0, 5, 5], [5, 5, 5, 9], [5, 0, 0, 5], [9, 9, 0, 0], [nan, 0, 5, 5], [0, 0, inf, 5]], np.float32
    )
    assert regions.degenerate(boxes).kept.tolist() == [True, False, False, False, False, False]


def test_scores_under_the_threshold_and_nan_go():
    found = regions.score(np.array([0.3, 0.29, np.nan, 1.0]), 0.3)
    assert found.kept.tolist() == [True, False, False, True]


def test_small_and_whole_image_boxes_go():
    boxes = np.array([[0, 0, 100, 3], [0, 0, 100, 50], [0, 0, 50, 50]], np.float32)
    assert regions.size(boxes, 4).kept.tolist() == [False, True, True]
    side = np.array([100, 100, 100]), np.array([50, 50, 50])
    assert regions.whole_image(boxes, *side, 0.98).kept.tolist() == [True, False, True]
    assert regions.whole_image(boxes, *side, 1.0).kept.all()


def test_no_boxes():
    nothing = np.zeros((0, 4), np.float32)
    assert len(regions.overlap(nothing, np.zeros(0), np.zeros(0, int), np.zeros(0, int), 0.5)) == 0
    assert len(regions.degenerate(nothing)) == 0
