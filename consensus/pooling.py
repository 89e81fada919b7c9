"""The compiled loops that make claims of clusters. The model is described in `consensus.reliability`. Import this module
late, as `consensus.kernels`."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus.kernels import iou, kernel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


_SURE: Final = 1.0 - 1e-6  # is as sure as one voice can make anything


@kernel
def votes(member_offsets: I64, members: I64, specialists: I64, ignored: Flags, n: int) -> I64:
    """The box by which each specialist votes for each cluster, its first that is not `ignored` (-1: none): (k, n)."""
    rows = np.full((len(member_offsets) - 1, n), -1, np.int64)
    for c in range(len(rows)):
        for i in range(member_offsets[c], member_offsets[c + 1]):
            m = members[i]
            if not ignored[m] and rows[c, specialists[m]] < 0:
                rows[c, specialists[m]] = m
    return rows


@kernel
def meaning(scores: F64, specialists: I64, score_at: F64, agreed: F64) -> F64:
    """What each score (n,) is taken for: the geometric mean of itself and of what others say where it is said. Straight
    lines between the points of a specialist's curve, which begins at 0."""
    out = np.zeros(len(scores))
    for i in range(len(scores)):
        s, score = specialists[i], min(max(scores[i], 0.0), 1.0)
        at = np.searchsorted(score_at[s], score)
        last = score_at.shape[1] - 1
        if at > last:
            others = agreed[s, last]
        else:
            low, value = (score_at[s, at - 1], agreed[s, at - 1]) if at > 0 else (0.0, 0.0)
            span = score_at[s, at] - low
            others = value + (agreed[s, at] - value) * ((score - low) / span if span > 0.0 else 1.0)
        out[i] = np.sqrt(others * score)
    return out


@kernel
def _word(rows: I64, n: int, labels: I64, weights: F64, above: I64, n_labels: int) -> int:
    """The label of most weight, a broader word speaking for every narrower one that is said; ties: the lower number."""
    best, best_weight = -1, -1.0
    for a in range(n):
        if rows[a] < 0:
            continue
        label, weight = labels[rows[a]], 0.0
        for b in range(n):
            if rows[b] < 0:
                continue
            said = labels[rows[b]]
            key = label * n_labels + said
            at = np.searchsorted(above, key)
            if said == label or (at < len(above) and above[at] == key):
                weight += weights[b]
        if weight > best_weight or (weight == best_weight and label < best):
            best, best_weight = label, weight
    return best


@kernel
def pool(
    rows: I64,
    labels: I64,
    meant: F64,
    boxes: F64,
    trust: F64,
    exact: F64,
    knows: Flags,
    looked: Flags,
    above: I64,
    voices: float,
) -> tuple[F64, I64, F64]:
    """What each cluster claims, from the votes `rows` (k, S): P(such a thing is there) (k,), its label (k,; -1: nobody
    voted) and its box (k, 4).

    `meant` (n,) is what each box's score is taken for, `trust` (S,) whose words and `exact` (S,) whose sides count how
    much, `knows` (S, L) and `looked` (k, S) who could have voted, `voices` how many independent ones all are worth.
    """
    k, n = rows.shape
    value, label, place = np.zeros(k), np.full(k, -1, np.int64), np.zeros((k, 4))
    weights = np.zeros(n)
    for c in range(k):
        for s in range(n):
            weights[s] = trust[s] * meant[rows[c, s]] if rows[c, s] >= 0 else 0.0
        word = _word(rows[c], n, labels, weights, above, knows.shape[1])
        label[c] = word
        if word < 0:
            continue
        total, squares, doubt, sides = 0.0, 0.0, 0.0, 0.0
        n_votes, only = 0, -1
        for s in range(n):
            row = rows[c, s]
            if row >= 0 or (knows[s, word] and looked[c, s]):
                total += trust[s]
                squares += trust[s] * trust[s]
            if row >= 0:
                n_votes += 1
                only = row
                doubt += trust[s] * np.log(1.0 - min(meant[row], _SURE))
                weight = exact[s] * meant[row] + 1e-12
                sides += weight
                for j in range(4):
                    place[c, j] += weight * boxes[row, j]
        for j in range(4):  # a lone box stands as it was said, to the last bit
            place[c, j] = boxes[only, j] if n_votes == 1 else place[c, j] / sides
        heard = min(voices, total * total / squares)
        value[c] = 1.0 - np.exp(doubt / total * heard)
    return value, label, place


@kernel
def second(offsets: I64, boxes: F64, labels: I64, value: F64, low: float, high: float, n_labels: int) -> F64:
    """How likely each claim (k,) is a thing of its own: a weaker one over a stronger one of its label mostly is not. The
    stronger one's part in that grows from 0 at IoU `low` to 1 at `high`."""
    out = value.copy()
    newest, older = np.full(n_labels, -1, np.int64), np.full(len(value), -1, np.int64)
    for g in range(len(offsets) - 1):
        for c in range(offsets[g], offsets[g + 1]):
            if labels[c] >= 0:
                newest[labels[c]] = -1
        for c in range(offsets[g], offsets[g + 1]):
            if labels[c] < 0:
                continue
            d = newest[labels[c]]
            while d >= 0:
                over = iou(
                    boxes[c, 0], boxes[c, 1], boxes[c, 2], boxes[c, 3],
                    boxes[d, 0], boxes[d, 1], boxes[d, 2], boxes[d, 3],
                )  # fmt: skip
                if over > low:
                    weak, strong = (c, d) if value[c] <= value[d] else (d, c)
                    part = 1.0 - value[strong] * min((over - low) / (high - low), 1.0)
                    out[weak] = min(out[weak], value[weak] * part)
                d = older[d]
            older[c], newest[labels[c]] = newest[labels[c]], c
    return out


@kernel
def hits(
    offsets: I64, order: I64, boxes: F64, labels: I64, gold_offsets: I64, gold_boxes: F64, gold_labels: I64, above: I64,
    n_labels: int, least: float,
) -> Flags:  # fmt: skip
    """Which claims (k,), those of group g in `order`, meet a gold box of their label, or of one that contains it or that
    it contains, at IoU `least`; each gold box is met once, by the first in order."""
    out, taken = np.zeros(len(boxes), np.bool_), np.zeros(len(gold_boxes), np.bool_)
    for g in range(len(offsets) - 1):
        for i in range(offsets[g], offsets[g + 1]):
            c, best, best_over = order[i], -1, least
            for t in range(gold_offsets[g], gold_offsets[g + 1]):
                related = labels[c] == gold_labels[t]
                for key in (labels[c] * n_labels + gold_labels[t], gold_labels[t] * n_labels + labels[c]):
                    at = np.searchsorted(above, key)
                    related = related or (at < len(above) and above[at] == key)
                if taken[t] or not related:
                    continue
                over = iou(
                    boxes[c, 0], boxes[c, 1], boxes[c, 2], boxes[c, 3],
                    gold_boxes[t, 0], gold_boxes[t, 1], gold_boxes[t, 2], gold_boxes[t, 3],
                )  # fmt: skip
                if over >= best_over:
                    best, best_over = t, over
            if best >= 0:
                taken[best] = True
                out[c] = True
    return out
