"""Specialists that are copies of others, and the boxes by which they only repeat them.

A copy says again what its original said: the same box with whatever score, or the same score to the last bit about the
same place. Such a box is no second opinion: it has no vote. Copies that only resemble each other (two checkpoints of one
family) are left to `kin` in `consensus.reliability`. Import this module late, as `consensus.kernels`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns
from consensus.kernels import iou, kernel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_OVERLAP: Final = 0.5  # IoU of two boxes with one score that are the same box, moved a little (our choice)
_CHANCE: Final = 0.05  # of equal scores, from which on they are no sign of a copy: scores all 1, or one decimal


@kernel
def _same(boxes: F64, scores: F64, a: int, b: int) -> int:
    """2: the very same box; 1: the very same score about the same place; 0: two opinions."""
    if boxes[a, 0] == boxes[b, 0] and boxes[a, 1] == boxes[b, 1] and boxes[a, 2] == boxes[b, 2] \
            and boxes[a, 3] == boxes[b, 3]:  # fmt: skip
        return 2
    if scores[a] != scores[b]:
        return 0
    overlap = iou(
        boxes[a, 0], boxes[a, 1], boxes[a, 2], boxes[a, 3], boxes[b, 0], boxes[b, 1], boxes[b, 2], boxes[b, 3]
    )
    return 1 if overlap >= _OVERLAP else 0


@kernel
def _met(offsets: I64, boxes: F64, scores: F64, specialists: I64, labels: I64, n: int) -> I64:
    """How many boxes of the first specialist the second said too, by the same box or the same score: (2, S, S)."""
    out = np.zeros((2, n, n), np.int64)
    best = np.zeros(n, np.int64)
    for g in range(len(offsets) - 1):
        for a in range(offsets[g], offsets[g + 1]):
            best[:] = 0
            for b in range(offsets[g], offsets[g + 1]):
                if labels[a] == labels[b] and specialists[a] != specialists[b]:
                    best[specialists[b]] = max(best[specialists[b]], _same(boxes, scores, a, b))
            for s in range(n):
                if best[s] > 0:
                    out[2 - best[s], specialists[a], s] += 1
    return out


@kernel
def _repeated(offsets: I64, boxes: F64, scores: F64, specialists: I64, labels: I64, original: I64) -> NDArray[np.bool_]:
    out = np.zeros(len(scores), np.bool_)
    for g in range(len(offsets) - 1):
        for a in range(offsets[g], offsets[g + 1]):
            source = original[specialists[a]]
            if source >= 0:
                for b in range(offsets[g], offsets[g + 1]):
                    if specialists[b] == source and labels[a] == labels[b] and _same(boxes, scores, a, b) > 0:
                        out[a] = True
                        break
    return out


def repeated(columns: BoxColumns, original: I64) -> NDArray[np.bool_]:
    """Which boxes (n,) only repeat one of the specialist's original (S,) (-1: it is no copy)."""
    if not (original >= 0).any():
        return np.zeros(len(columns), bool)
    return np.asarray(_repeated(*_plain(columns), original))


def originals(shards: Sequence[BoxColumns], n: int, histograms: I64, apart: NDArray[np.bool_]) -> I64:
    """For each specialist the one that it is a copy of, or -1: (S,); an original is never a copy itself.

    A copy has at least half of its boxes from its original; the same scores count only where chance would not give them,
    by `histograms` (S, cells) of all scores. Of a family that one is the original whose coordinates are not rounded to
    whole pixels, then the one that says more, then the first. Who is `apart` (S,) is neither.
    """
    met = np.sum([_met(*_plain(columns), n) for columns in shards], axis=0)
    said = histograms.sum(axis=1)
    frequent = histograms / np.maximum(said[:, None], 1)
    chance = frequent @ frequent.T
    shared = met[0] + np.where(chance <= _CHANCE, met[1], 0)
    copies = (shared * 2 >= said[:, None]) & (shared > 0) & ~apart[:, None] & ~apart[None, :]
    whole = np.sum([_whole(columns, n) for columns in shards], axis=0) * 2 > said
    found = np.full(n, -1)
    heads: list[int] = []
    for s in np.lexsort((np.arange(n), -said, whole)).tolist():
        source = [head for head in heads if copies[s, head]]
        if source:
            found[s] = source[0]
        else:
            heads.append(s)
    return found


def _whole(columns: BoxColumns, n: int) -> I64:
    """How many boxes of each specialist lie on whole pixels: (S,)."""
    boxes = np.asarray(columns.boxes)
    rounded = (boxes == np.rint(boxes)).all(axis=1)
    return np.bincount(columns.specialists[rounded], minlength=n)


def _plain(columns: BoxColumns) -> tuple[I64, F64, F64, I64, I64]:
    return (
        np.asarray(columns.offsets, np.int64),
        np.ascontiguousarray(columns.boxes, np.float64),
        np.asarray(columns.scores, np.float64),
        np.asarray(columns.specialists, np.int64),
        np.asarray(columns.labels, np.int64),
    )
