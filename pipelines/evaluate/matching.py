"""Pairing what was found with what is true: whole columns at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import masks

Index = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
IOU = 0.5  # from here on two boxes are of one thing (PASCAL VOC, Everingham et al. 2010)


def pairs(left: Index, right: Index) -> tuple[Index, Index]:
    """Every pair (i, k) with left[i] == right[k], by i and then by k: two columns of positions."""
    order = np.argsort(right, kind="stable")
    keys = right[order]
    first, last = np.searchsorted(keys, left, side="left"), np.searchsorted(keys, left, side="right")
    counts = last - first
    i = np.repeat(np.arange(len(left)), counts)
    step = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return i.astype(np.int64), order[first[i] + step].astype(np.int64)


def shared_area(a: Floats, b: Floats) -> Floats:
    """Area in square pixels that box a[i] shares with box b[i]: (n, 4) and (n, 4) to (n,)."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    found: Floats = np.prod(np.maximum(sides, 0.0), axis=1)
    return found


def areas(boxes: Floats) -> Floats:
    """(n,) in square pixels, 0 for a box that is inside out."""
    found: Floats = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)
    return found


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of a[i] and b[i]: (n,), 0 where neither has an area."""
    shared = shared_area(a, b)
    union = areas(a) + areas(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def one_to_one(left: Index, right: Index, overlap: Floats, confidence: Floats) -> Index:
    """Positions of the pairs that a greedy match keeps: each left and each right at most once.

    As COCO's: the most confident left first, each takes the free right that overlaps most. Among the pairs still free,
    one that is the first of its left and of its right is what the greedy walk takes, so all of those go at once.
    """
    waiting = np.lexsort((right, -overlap, left, -confidence[left]))
    kept: list[Index] = []
    while len(waiting):
        is_first = np.zeros(len(waiting), np.bool_)
        is_first[np.unique(left[waiting], return_index=True)[1]] = True
        alone = np.zeros(len(waiting), np.bool_)
        alone[np.unique(right[waiting], return_index=True)[1]] = True
        taken = waiting[is_first & alone]
        kept.append(taken)
        free = ~np.isin(left[waiting], left[taken]) & ~np.isin(right[waiting], right[taken])
        waiting = waiting[free]
    return np.sort(np.concatenate([*kept, np.zeros(0, np.int64)])).astype(np.int64)


def mask_ious(
    a: Sequence[str | None], b: Sequence[str | None], image: Index, sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """IoU of mask a[i] and mask b[i] in image[i] (sizes: width, height of each image); NaN where one has no mask."""
    found = np.full(len(image), np.nan)
    both = np.array([x is not None and y is not None for x, y in zip(a, b, strict=True)], np.bool_)
    rows = np.flatnonzero(both)
    rows = rows[np.argsort(image[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(image[rows])) + 1):
        if len(group):
            width, height = sizes[image[group[0]]].tolist()
            left, right = ([side[i] or "" for i in group.tolist()] for side in (a, b))
            found[group] = np.diagonal(masks.iou(left, right, height, width))
    return found


def share(part: float, whole: float) -> float | None:
    """part / whole with 4 decimals, None of nothing."""
    return round(float(part) / float(whole), 4) if whole else None


def mean(values: Floats) -> float | None:
    """The mean of the finite values with 4 decimals, None of nothing."""
    finite = values[np.isfinite(values)]
    return share(float(finite.sum()), len(finite))


def rates(claims: int, right: int, truths: int, found: int) -> dict[str, Any]:
    """Precision `right / claims`, recall `found / truths` and their harmonic mean, with the counts."""
    precision, recall = share(right, claims), share(found, truths)
    f1 = None
    if precision is not None and recall is not None:
        f1 = round(2 * precision * recall / (precision + recall), 4) if precision + recall else 0.0
    return {
        "precision": precision, "recall": recall, "f1": f1,
        "claims": int(claims), "right": int(right), "truths": int(truths), "found": int(found),
    }  # fmt: skip
