"""The compiled loops of the consensus: clusters of boxes, votes, and pairs of captions.

Everything here works on flat NumPy columns in a fixed order, without fast-math, so the same input gives the same
bits. numba keeps the machine code on disk; the GIL is released while a kernel runs. Import this module late:
numba costs a quarter of a second.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

# Two labels of one specialist in one place name two things if its scores for them are together at least this much. Those
# of alternatives would add up to 1 if they were probabilities, but detectors have a sigmoid for each label: in 300 drawn
# scenes all 30 such pairs with 1.0 to 1.4 were one thing, and two of three above (our choice).
_BOTH: Final = 1.5

# What may happen to a box in `cluster`.
FUSE: Final = 0  # joins the best cluster, or founds one
GOLD: Final = 1  # founds a cluster whose geometry it fixes; never joins another
ALONE: Final = 2  # founds a cluster that nobody may join
SKIP: Final = 3  # is in no cluster


def kernel(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True)(function))


@kernel
def iou(ax0: float, ay0: float, ax1: float, ay1: float, bx0: float, by0: float, bx1: float, by1: float) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1); 0 where the union has no area."""
    width = min(ax1, bx1) - max(ax0, bx0)
    height = min(ay1, by1) - max(ay0, by0)
    if not (width > 0.0 and height > 0.0):
        return 0.0
    shared = width * height
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
    return shared / union if union > 0.0 else 0.0


@kernel
def _before(
    a: int,
    b: int,
    late: NDArray[np.bool_],
    strengths: NDArray[np.float64],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    specialists: NDArray[np.int64],
) -> bool:
    if late[a] != late[b]:
        return bool(late[b])
    if strengths[a] != strengths[b]:
        return bool(strengths[a] > strengths[b])
    for k in (0, 2, 1, 3):
        if boxes[a, k] != boxes[b, k]:
            return bool(boxes[a, k] < boxes[b, k])
    if labels[a] != labels[b]:
        return bool(labels[a] < labels[b])
    return bool(specialists[a] < specialists[b])


@kernel
def canonical(
    offsets: NDArray[np.int64],
    late: NDArray[np.bool_],
    strengths: NDArray[np.float64],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    specialists: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Rows of each group in an order that does not depend on the order of input: (n,).

    Rows that are not `late` first, then descending strength, then coordinates, label and specialist ascending.
    """
    order = np.empty(len(strengths), np.int64)
    for g in range(len(offsets) - 1):
        lo, hi = offsets[g], offsets[g + 1]
        order[lo:hi] = lo + np.argsort(-strengths[lo:hi])
        for i in range(lo + 1, hi):  # by strength they stand already; this moves late rows and settles ties
            row, at = order[i], i
            while at > lo and _before(row, order[at - 1], late, strengths, boxes, labels, specialists):
                order[at] = order[at - 1]
                at -= 1
            order[at] = row
    return order


@kernel
def latest_first(offsets: NDArray[np.int64], strengths: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of each group in descending strength, of equal ones the later first, as ensemble_boxes takes them: (n,)."""
    order = np.empty(len(strengths), np.int64)
    for g in range(len(offsets) - 1):
        lo, hi = offsets[g], offsets[g + 1]
        order[lo:hi] = lo + np.argsort(strengths[lo:hi], kind="mergesort")[::-1]
    return order


@kernel
def rivals(one: int, other: int, known: NDArray[np.uint64], above: NDArray[np.int64]) -> bool:
    """Whether two labels name two things: some specialist knows both (`known`, a bit for each, empty: nobody does), and
    neither contains the other (`above`, sorted narrow * L + broad)."""
    if one == other or len(known) == 0 or (known[one] & known[other]) == 0:
        return False
    for key in (one * len(known) + other, other * len(known) + one):
        at = np.searchsorted(above, key)
        if at < len(above) and above[at] == key:
            return False
    return True


@kernel
def _meets(
    box: int,
    head: int,
    following: NDArray[np.int64],
    boxes: NDArray[np.float64],
    specialists: NDArray[np.int64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    known: NDArray[np.uint64],
    above: NDArray[np.int64],
    duplicate_iou: float,
) -> tuple[bool, bool, bool]:
    """Whether a member from `head` on has the box's label, is of its specialist, and whether one bars it: its label is a
    rival, or its specialist's own box is elsewhere, or the specialist is sure of both names."""
    same_label, twin, barred = False, False, False
    m = head
    while m >= 0:
        same_label = same_label or labels[m] == labels[box]
        barred = barred or rivals(labels[m], labels[box], known, above)
        if specialists[m] == specialists[box]:
            twin = True
            overlap = iou(
                boxes[m, 0], boxes[m, 1], boxes[m, 2], boxes[m, 3],
                boxes[box, 0], boxes[box, 1], boxes[box, 2], boxes[box, 3],
            )  # fmt: skip
            both = labels[m] != labels[box] and scores[m] + scores[box] >= _BOTH
            barred = barred or both or overlap < duplicate_iou
        m = following[m]
    return same_label, twin, barred


@kernel
def _join(
    box: int,
    first: int,
    founded: int,
    boxes: NDArray[np.float64],
    specialists: NDArray[np.int64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    heads: NDArray[np.int64],
    following: NDArray[np.int64],
    open_: NDArray[np.bool_],
    means: NDArray[np.float64],
    near: NDArray[np.int64],
    known: NDArray[np.uint64],
    above: NDArray[np.int64],
    iou_threshold: float,
    label_bonus: float,
    duplicate_iou: float,
) -> tuple[int, bool]:
    """The cluster in first:founded that `box` joins (-1: none), and whether it is a twin of its specialist's own."""
    best, best_value, best_twin = -1, iou_threshold, False
    x0, y0, x1, y1 = boxes[box, 0], boxes[box, 1], boxes[box, 2], boxes[box, 3]
    # IoU is at most the shared part of a side, so a cluster must reach past these lines (with room for rounding)
    least = max(best_value - label_bonus - 1e-9, 0.0)
    left, right = x0 + least * (x1 - x0), x1 - least * (x1 - x0)
    top, bottom = y0 + least * (y1 - y0), y1 - least * (y1 - y0)
    n = 0
    for c in range(first, founded):  # without a branch that nobody can predict
        near[n] = c
        n += (means[c, 2] > left) & (means[c, 0] < right) & (means[c, 3] > top) & (means[c, 1] < bottom) & open_[c]
    for c in near[:n]:
        value = iou(means[c, 0], means[c, 1], means[c, 2], means[c, 3], x0, y0, x1, y1)
        if value + label_bonus <= best_value:
            continue
        same_label, twin, barred = _meets(
            box, heads[c], following, boxes, specialists, labels, scores, known, above, duplicate_iou
        )
        if same_label:
            value += label_bonus
        if not barred and value > best_value:
            best, best_value, best_twin = c, value, twin
    return best, best_twin


@kernel
def _join_own(
    box: int,
    newest: int,
    older: NDArray[np.int64],
    boxes: NDArray[np.float64],
    specialists: NDArray[np.int64],
    heads: NDArray[np.int64],
    following: NDArray[np.int64],
    open_: NDArray[np.bool_],
    means: NDArray[np.float64],
    iou_threshold: float,
    duplicate_iou: float,
) -> tuple[int, bool]:
    """`_join` where all other labels are rivals: only the chain of clusters of the box's label from `newest` is tried."""
    best, best_value, best_twin = -1, iou_threshold, False
    c = newest
    while c >= 0:
        value = iou(
            means[c, 0], means[c, 1], means[c, 2], means[c, 3],
            boxes[box, 0], boxes[box, 1], boxes[box, 2], boxes[box, 3],
        )  # fmt: skip
        if open_[c] and (value > best_value or (value == best_value and best >= 0)):  # ties go to the oldest
            twin, barred = False, False
            m = heads[c]
            while m >= 0:
                if specialists[m] == specialists[box]:
                    twin = True
                    overlap = iou(
                        boxes[m, 0], boxes[m, 1], boxes[m, 2], boxes[m, 3],
                        boxes[box, 0], boxes[box, 1], boxes[box, 2], boxes[box, 3],
                    )  # fmt: skip
                    barred = barred or overlap < duplicate_iou
                m = following[m]
            if not barred:
                best, best_value, best_twin = c, value, twin
        c = older[c]
    return best, best_twin


@kernel
def _join_same(
    box: int,
    newest: int,
    older: NDArray[np.int64],
    boxes: NDArray[np.float64],
    means: NDArray[np.float64],
    iou_threshold: float,
) -> int:
    """The cluster of highest IoU above the threshold (-1: none) in the chain from `newest`; ties go to the oldest."""
    best, best_value = -1, iou_threshold
    c = newest
    while c >= 0:
        value = iou(
            means[c, 0], means[c, 1], means[c, 2], means[c, 3],
            boxes[box, 0], boxes[box, 1], boxes[box, 2], boxes[box, 3],
        )  # fmt: skip
        if value > best_value or (value == best_value and best >= 0):
            best, best_value = c, value
        c = older[c]
    return best


@kernel
def _move(
    means: NDArray[np.float64], sums: NDArray[np.float64], c: int, boxes: NDArray[np.float64], b: int, strength: float,
    total: float, founder: bool, reference: bool,
) -> None:  # fmt: skip
    """Add box b to the sums of cluster c and set its mean box; `total` is its strength with this box."""
    for k in range(4):
        term = sums[c, k] + strength * boxes[b, k]
        sums[c, k] = np.float64(np.float32(term)) if reference else term
        if founder:
            means[c, k] = boxes[b, k]
        elif total > 0.0:
            means[c, k] = np.float64(np.float32(sums[c, k] / total)) if reference else sums[c, k] / total


@kernel
def cluster(
    boxes: NDArray[np.float64],
    order: NDArray[np.int64],
    offsets: NDArray[np.int64],
    strengths: NDArray[np.float64],
    scores: NDArray[np.float64],
    specialists: NDArray[np.int64],
    labels: NDArray[np.int64],
    roles: NDArray[np.int8],
    known: NDArray[np.uint64],
    above: NDArray[np.int64],
    iou_threshold: float,
    label_bonus: float,
    duplicate_iou: float,
    reference: bool,
    apart: bool,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Assign every box to a cluster of its group, greedily in `order`.

    `order` (n,) lists the boxes of group g at offsets[g]:offsets[g+1], strongest first. A box joins the open
    cluster with the highest IoU (plus `label_bonus` where a member has its label) above `iou_threshold`, unless a
    member's label is a rival of its own (`rivals`); `apart` says that all labels are rivals of each other. With
    `reference` only clusters of the same label match, specialists are ignored, and sums are rounded to float32
    as in ensemble_boxes, so that both decide alike.

    Returns:
        geometry of the clusters (k, 4), clusters by group (groups + 1,), and the rows of each cluster in `order`:
        offsets (k + 1,) into rows (n - skipped,).
    """
    n = len(order)
    following = np.full(len(boxes), -1, np.int64)
    means, sums, totals = np.zeros((n, 4)), np.zeros((n, 4)), np.zeros(n)
    heads, tails, older = np.full(n, -1, np.int64), np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    chained = reference or apart
    newest = np.full(labels.max() + 1 if chained and n else 0, -1, np.int64)  # the last cluster of each label
    open_, near = np.ones(n, np.bool_), np.empty(n + 1, np.int64)
    groups = np.zeros(len(offsets), np.int64)
    founded = 0
    for g in range(len(offsets) - 1):
        first = founded
        if chained:
            for at in range(offsets[g], offsets[g + 1]):
                newest[labels[order[at]]] = -1
        for at in range(offsets[g], offsets[g + 1]):
            b = order[at]
            if roles[b] == SKIP:
                continue
            c, twin = -1, False
            if reference:
                c = _join_same(b, newest[labels[b]], older, boxes, means, iou_threshold)
            elif roles[b] == FUSE and apart:
                c, twin = _join_own(
                    b, newest[labels[b]], older, boxes, specialists, heads, following, open_, means,
                    iou_threshold - label_bonus, duplicate_iou,
                )  # fmt: skip
            elif roles[b] == FUSE:
                c, twin = _join(
                    b, first, founded, boxes, specialists, labels, scores, heads, following, open_, means, near, known,
                    above, iou_threshold, label_bonus, duplicate_iou,
                )  # fmt: skip
            founder = c < 0
            if founder:
                c, founded = founded, founded + 1
                heads[c], open_[c] = b, roles[b] != ALONE
                if chained:
                    older[c], newest[labels[b]] = newest[labels[b]], c
            else:
                following[tails[c]] = b
            tails[c] = b
            if founder or not (twin or roles[heads[c]] == GOLD):
                totals[c] += strengths[b]
                _move(means, sums, c, boxes, b, strengths[b], totals[c], founder, reference)
        groups[g + 1] = founded
    member_offsets, members = _chained(heads[:founded], following)
    return means[:founded], groups, member_offsets, members


@kernel
def _chained(heads: NDArray[np.int64], following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The chains that begin at `heads` one after another: offsets and rows."""
    offsets, rows = np.zeros(len(heads) + 1, np.int64), np.empty(len(following), np.int64)
    n = 0
    for c in range(len(heads)):
        row = heads[c]
        while row >= 0:
            rows[n] = row
            n += 1
            row = following[row]
        offsets[c + 1] = n
    return offsets, rows[:n]


@kernel
def vote(
    member_offsets: NDArray[np.int64],
    members: NDArray[np.int64],
    specialists: NDArray[np.int64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    strengths: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The winning member and the summed strength of each cluster.

    A specialist counts once in the sum (its strongest member, which comes first), and once for each label it gave.
    The label with the highest summed strength wins; ties go to the higher summed score, then to the lower label
    number.

    Returns:
        position in `members` of the first member with the winning label (clusters,), summed strengths (clusters,).
    """
    k = len(member_offsets) - 1
    winner, support = np.zeros(k, np.int64), np.zeros(k)
    for c in range(k):
        lo, hi = member_offsets[c], member_offsets[c + 1]
        best_strength, best_score, best_label = -np.inf, -np.inf, 0
        winner[c] = lo
        for i in range(lo, hi):
            m = members[i]
            known_label, known_specialist = False, False
            for j in range(lo, i):
                known_label = known_label or labels[members[j]] == labels[m]
                known_specialist = known_specialist or specialists[members[j]] == specialists[m]
            if not known_specialist:
                support[c] += strengths[m]
            if known_label:
                continue
            strength, score = 0.0, 0.0
            for j in range(i, hi):
                other = members[j]
                if labels[other] != labels[m]:
                    continue
                counted = True
                for h in range(i, j):
                    if labels[members[h]] == labels[m] and specialists[members[h]] == specialists[other]:
                        counted = False
                        break
                if counted:
                    strength += strengths[other]
                    score += scores[other]
            if (strength, score, -labels[m]) > (best_strength, best_score, -best_label):
                best_strength, best_score, best_label = strength, score, labels[m]
                winner[c] = i
    return winner, support


@kernel
def best_match(
    boxes: NDArray[np.float64],
    groups: NDArray[np.int64],
    others: NDArray[np.float64],
    offsets: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each box of group groups[i] the best of others[offsets[g]:offsets[g+1]] (-1: none overlaps) and its IoU.

    Ties go to the earlier one.
    """
    index, value = np.full(len(boxes), -1, np.int64), np.zeros(len(boxes))
    for b in range(len(boxes)):
        for o in range(offsets[groups[b]], offsets[groups[b] + 1]):
            overlap = iou(
                boxes[b, 0], boxes[b, 1], boxes[b, 2], boxes[b, 3],
                others[o, 0], others[o, 1], others[o, 2], others[o, 3],
            )  # fmt: skip
            if overlap > value[b]:
                index[b], value[b] = o, overlap
    return index, value


@kernel
def _token_f1(ids: NDArray[np.int64], a: int, a_end: int, b: int, b_end: int) -> float:
    total = (a_end - a) + (b_end - b)
    shared = 0
    while a < a_end and b < b_end:
        if ids[a] == ids[b]:
            shared, a, b = shared + 1, a + 1, b + 1
        elif ids[a] < ids[b]:
            a += 1
        else:
            b += 1
    return 2.0 * shared / total if total > 0 else 0.0


@kernel
def agree(
    ids: NDArray[np.int64],
    token_offsets: NDArray[np.int64],
    group_offsets: NDArray[np.int64],
    specialists: NDArray[np.int64],
    n_specialists: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Token F1 between the texts of each group; `ids` of a text are sorted.

    Returns:
        mean F1 with the group's other texts (texts,) (NaN: there is no other), and the highest F1 with any text of
        each specialist (texts, specialists) (NaN: it has no text in the group; of its author it is 1).
    """
    n = len(token_offsets) - 1
    mean, closest = np.full(n, np.nan), np.full((n, n_specialists), np.nan)
    for g in range(len(group_offsets) - 1):
        lo, hi = group_offsets[g], group_offsets[g + 1]
        for t in range(lo, hi):
            closest[t, specialists[t]] = 1.0
            total = 0.0
            for u in range(lo, hi):
                if u == t:
                    continue
                f1 = _token_f1(ids, token_offsets[t], token_offsets[t + 1], token_offsets[u], token_offsets[u + 1])
                total += f1
                if not closest[t, specialists[u]] >= f1:
                    closest[t, specialists[u]] = f1
            if hi - lo > 1:
                mean[t] = total / (hi - lo - 1)
    return mean, closest
