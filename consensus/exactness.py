"""How exact each specialist's boxes are, learned without labels from two things that are known of any photograph.

- **The frame.** Things are cut off by the edge of the image, and where that is nobody has to be told. Where one
  specialist's side lies on the edge, another's should, and how far short of it the other stays is its own error. So even
  of two specialists it can be told whose error their difference is.
- **Three observers.** Of independent errors a - b has the variance of a plus that of b, so from three on each one's own
  follows from the differences of pairs (Gray and Allan 1974, the three-cornered hat; here by weighted least squares over
  all pairs). An error that all share cancels out, and should: where all err alike no weights help.

On seven public detectors the first goes with their AP by a correlation of 0.6 to 0.7 over pairs, and so it is also taken
for a sign of whose scores are to be trusted (`python -m benchmarks real`).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import Clusters

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

# All values are our choice, on `benchmarks real`; none of them moves AP by more than 0.002.
_ON_EDGE: Final = 1.5  # pixels from the edge within which a side lies on it: tools clip at the width or one before
_SURE: Final = 0.1  # score from which on a box can tell
_SHORT: Final = 0.3  # of the box's side is the most that one side counts for, in the frame
_APART: Final = 0.25  # and in a difference
_BOXES: Final = 10.0  # in which two met by which kin are drawn to strangers
_WITNESSES: Final = 30.0  # boxes in which two met are the least that tell of kin; fewer are chance
_SIDES: Final = 20.0  # sides by which what the frame tells of a specialist is drawn to what it tells of all
_LEAST: Final = 0.01  # of the box's side is as exact as anybody is held to be
_SWEEPS: Final = 200
_FIXED: Final = 2.0**24  # sums are kept as whole multiples of 2^-24, because integers add up the same in every order


class Sides(NamedTuple):
    """Sums over clusters that add up over shards in any order to the same bits, in fixed point.

    `edge` (2, S): how far short of the edge each specialist's sides stay where another's lie on it, and how many they
    are. `apart` (2, S, S): squared differences of the sides of pairs, and in how many boxes.
    """

    edge: I64
    apart: I64


def sides(clusters: Clusters, boxes: F64, scores: F64, rows: I64, frames: F64 | None) -> Sides:
    """What the clusters of a shard tell; `rows` (k, S) is each specialist's box in a cluster or -1, `frames` (images, 2)
    width and height in pixels (None: the frame tells nothing)."""
    k, n = rows.shape
    at = np.maximum(rows, 0)
    sure = (rows >= 0) & (scores[at] >= _SURE) if k else np.zeros((k, n), bool)
    box = boxes[at] if k else np.zeros((k, n, 4))
    extent = np.where(sure[..., None], box[..., 2:] - box[..., :2], 0.0).sum(axis=1)
    extent = np.tile(np.maximum(extent / np.maximum(sure.sum(axis=1), 1)[:, None], 1e-6), 2)
    edge = np.zeros((2, n))
    if frames is not None:
        limit = frames[clusters.groups()][:, None, :]
        gap = np.concatenate([box[..., :2], limit - box[..., 2:]], axis=2)
        on = sure[..., None] & (gap <= _ON_EDGE)
        others = on.sum(axis=1, keepdims=True) - on
        told = sure[..., None] & (others > 0)
        short = np.clip(gap / extent[:, None, :], 0.0, _SHORT)
        edge = np.stack([(short * told).sum(axis=(0, 2)), told.sum(axis=(0, 2))])
    apart = np.zeros((2, n, n))
    for a in range(n):
        for b in range(a):
            both = sure[:, a] & sure[:, b]
            off = (box[both, a] - box[both, b]) / extent[both]
            squares = np.minimum(off**2, _APART**2).mean(axis=1).sum()
            apart[:, a, b] = apart[:, b, a] = squares, both.sum()
    return Sides(_fixed(edge), _fixed(apart))


def merged(parts: list[Sides]) -> Sides:
    """The sums of all shards together."""
    return Sides(*(np.sum(column, axis=0) for column in zip(*parts, strict=True)))


def from_frame(told: Sides) -> F64:
    """How far short of the edge each specialist stays, in parts of the box's side, drawn to the mean of all: (S,)."""
    short, seen = told.edge / _FIXED
    common = (short.sum() + 1e-3) / (seen.sum() + 1e-1)
    return np.asarray((short + _SIDES * common) / (seen + _SIDES))


def from_pairs(told: Sides, related: F64) -> F64:
    """Standard deviation of each specialist's sides, in parts of the box's, from differences of pairs: (S,).

    The least squares of differences less the two variances, none of them negative, each difference weighed by how many
    boxes told it; by coordinate descent, which is exact here in the limit.
    """
    squares, boxes = told.apart / _FIXED
    mean = np.where(boxes > 0, squares / np.maximum(boxes, 1.0), 0.0)
    weight = np.where(mean > 0, boxes / np.maximum(mean, _LEAST**2) ** 2, 0.0) * np.maximum(1 - 2 * related, 0.0)
    total = weight.sum(axis=1)
    variance = np.full(len(mean), mean[boxes > 0].mean() / 2 if (boxes > 0).any() else _LEAST**2)
    for _ in range(_SWEEPS):
        for a in range(len(variance)):
            if total[a] > 0:
                variance[a] = max((weight[a] @ (mean[a] - variance)) / total[a], 0.0)
    return np.asarray(np.sqrt(np.maximum(variance, _LEAST**2)))


def kin(told: Sides) -> F64:
    """How far two specialists err alike: the part of their two variances that is missing in their differences, drawn to 0
    by `_BOXES` boxes: (S, S), 0 on the diagonal.

    What any two others, c and d, tell of a is (|a - c|^2 + |a - d|^2 - |c - d|^2) / 2; the least of that counts, so that
    it takes all of them to make kin. With fewer than four specialists nothing is told.
    """
    squares, boxes = told.apart / _FIXED
    apart = np.where(boxes >= _WITNESSES, squares / np.maximum(boxes, 1e-9), np.inf)
    n = len(apart)
    with np.errstate(invalid="ignore"):
        each = (apart[:, :, None] + apart[:, None, :] - apart[None]) / 2
    found = np.zeros((n, n))
    for a in range(n):
        for b in range(a):
            others = np.delete(np.arange(n), [b, a])
            own = sum(_least(each[one][np.ix_(others, others)]) for one in (a, b))
            if boxes[a, b] >= _WITNESSES and own > 0:
                alike = max(1 - apart[a, b] / own, 0.0) * boxes[a, b] / (boxes[a, b] + _BOXES)
                found[a, b] = found[b, a] = alike
    return found


def _least(told: F64) -> float:
    """The least finite variance off the diagonal; 0 where there is none."""
    found = told[np.isfinite(told) & ~np.eye(len(told), dtype=bool)]
    return max(float(found.min()), 0.0) if len(found) else 0.0


def _fixed(values: F64) -> I64:
    return np.asarray(np.rint(values * _FIXED), np.int64)
