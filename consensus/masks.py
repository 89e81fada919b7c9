"""Masks of several specialists for one region become one, by expectation-maximisation over its pixels.

The model is STAPLE (Warfield, Zou and Wells 2004): a pixel is foreground or not, a specialist marks foreground with its
sensitivity and background with its false rate, and the truth and both rates are estimated in turn. As in MAP-STAPLE
(Commowick and Warfield 2010) every region has rates of its own under a prior: what its predicted IoU promises. Pixels
with the same votes are one cell, so that no image is ever drawn: all is computed from the borders of runs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine import masks
from engine.errors import RecordError

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_Votes = tuple[I64, I64, NDArray[np.bool_]]

_MOST: Final = 40  # masks of a region: their votes on a pixel are the bits of one number
_TURNS: Final = 15
_LOWEST, _HIGHEST = 0.005, 0.995  # of a rate: nobody is never wrong


class MaskFusionConfig(BaseModel):
    """How masks of a region are fused. Every value is our choice: the paper uses one segmenter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    promised_iou: float = Field(
        default=0.8, gt=0.0, lt=1.0, description="what a mask without predicted IoU is taken to promise (our choice)"
    )
    prior_weight: float = Field(
        default=1.0,
        gt=0.0,
        description="weight of what a predicted IoU promises against what a region's own pixels show (our choice)",
    )


@dataclass(frozen=True, slots=True)
class MaskColumns:
    """Masks sorted by region, those of a region by specialist, at most one of each.

    `rles` n codes for whole images; `regions` (n,) ascending numbers below len(heights); `specialists` (n,) numbers;
    `scores` (n,) predicted IoU in 0..1, NaN where none is given; `heights`, `widths` (regions,) of the region's image.
    """

    rles: list[str]
    regions: NDArray[np.integer]
    specialists: NDArray[np.integer]
    scores: NDArray[np.floating]
    heights: NDArray[np.integer]
    widths: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class FusedMasks:
    """One mask a region: `rles` regions (None: it has no mask, or only empty ones); `agreement` (masks,) is
    each mask's IoU with the fused one; `confidence` (regions,) is their mean, or the predicted IoU where there is one
    mask only (NaN: no mask). The IoU that the model itself expects is no use: neighbouring pixels err together."""

    rles: list[str | None]
    confidence: F64
    agreement: F64


def fuse(columns: MaskColumns, config: MaskFusionConfig) -> FusedMasks:
    """Fuse the masks of every region by itself; a region with one mask keeps it, with its predicted IoU.

    A specialist is trusted as far as its predicted IoU says. The fused mask is the set of pixels with the highest
    expected IoU, which may be more or less than those of probability above a half (Nowozin 2014), and never has a pixel
    that nobody marked. Neither the order of regions nor of specialists matters.

    Raises:
        RecordError: a code is not the code of a mask of its image, or a region has more than 40 masks.
    """
    found = _cells(columns)
    votes = _votes(found, columns)
    truth = _estimate(found, votes, *_prior(found, votes, columns, config), config.prior_weight)
    chosen = _best_sets(found, truth)
    agreement = _agreement(found, votes, chosen, columns)
    rles = _drawn(found, chosen, columns)
    promised = np.nan_to_num(np.asarray(columns.scores, np.float64), nan=config.promised_iou)
    each = np.bincount(columns.regions, minlength=len(rles))
    value = np.where(each[columns.regions] == 1, promised, agreement)
    confidence = np.bincount(columns.regions, value, minlength=len(rles)) / np.maximum(each, 1)
    drawn = np.array([rle is not None for rle in rles], bool)
    return FusedMasks(rles, np.where(drawn, confidence, np.nan), agreement)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Stretches of pixels with the same votes, and the cells they make up.

    Of segments: `start`, `length` (segments,) in column-major pixels, `cell` (segments,). Of cells, sorted by region
    and votes: `region`, `code` (cells,) with bit k set by the region's k-th mask, `size` (cells,) pixels; the first
    cell of a region with a mask has code 0 and holds the rest of the union of its masks' boxes. `area` (regions,) of
    that union.
    """

    start: I64
    length: I64
    cell: I64
    region: I64
    code: I64
    size: F64
    area: F64


def _cells(columns: MaskColumns) -> _Cells:
    region = np.asarray(columns.regions, np.int64)
    place = np.arange(len(region)) - np.searchsorted(region, region)
    if place.size and place.max() >= _MOST:
        raise RecordError(f"a region has {int(place.max()) + 1} masks; at most {_MOST} can be fused")
    mask, at, area = _borders(columns)
    order = np.lexsort((at, region[mask]))
    mask, at = mask[order], at[order]
    # every mask crosses its border an even number of times, so each region starts from 0 again
    code = np.bitwise_xor.accumulate(np.int64(1) << place[mask]) if len(mask) else np.zeros(0, np.int64)
    length = np.diff(at, append=0)
    marked = (code > 0) & (length > 0)
    of, code, at, length = region[mask][marked], code[marked], at[marked], length[marked]
    covered = np.unique(region)
    empty = np.zeros(len(covered), np.int64)
    keys, where = np.unique(np.concatenate([of, covered]) << _MOST | np.concatenate([code, empty]), return_inverse=True)
    cell = where.ravel()[: len(of)]
    size = np.bincount(cell, length, minlength=len(keys)).astype(np.float64)
    owner, votes = keys >> _MOST, keys & ((1 << _MOST) - 1)
    taken = np.bincount(owner, size, minlength=len(area))
    size = np.where(votes == 0, area[owner] - taken[owner], size)
    return _Cells(at, length, cell, owner, votes, size, area)


def _borders(columns: MaskColumns) -> tuple[I64, I64, F64]:
    """Where masks begin and end: number of the mask, pixel; and the area of the union of each region's boxes."""
    region = np.asarray(columns.regions, np.int64)
    sizes = np.stack([columns.heights, columns.widths], axis=1)[region].astype(np.int64).reshape(-1, 2)
    low, high = np.full((len(columns.heights), 2), np.inf), np.zeros((len(columns.heights), 2))
    mask, at = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for height, width in np.unique(sizes, axis=0).tolist():
        rows = np.flatnonzero((sizes == (height, width)).all(axis=1))
        codes = [columns.rles[i] for i in rows.tolist()]
        lengths, offsets = masks.runs(codes, height, width)
        runs = np.diff(offsets)
        owner = np.repeat(np.arange(len(rows)), runs)
        ends = np.cumsum(lengths) - owner * (height * width)
        last = np.arange(len(ends)) == offsets[1:][owner] - 1
        crossing = ~last | (runs[owner] % 2 == 0)  # a mask that runs to the last pixel ends there
        mask.append(rows[owner[crossing]])
        at.append(ends[crossing])
        boxes = masks.bbox(codes, height, width).astype(np.float64)
        real = boxes[:, 2] > boxes[:, 0]
        np.minimum.at(low, region[rows[real]], boxes[real, :2])
        np.maximum.at(high, region[rows[real]], boxes[real, 2:])
    area = np.prod(np.where(np.isfinite(low), high - low, 0.0), axis=1)
    return np.concatenate(mask), np.concatenate(at), area


def _votes(found: _Cells, columns: MaskColumns) -> _Votes:
    """Every mask's vote on every cell of its region: cell (v,), mask (v,) and whether it marks it (v,)."""
    n_masks = np.bincount(columns.regions, minlength=len(columns.heights))
    each = n_masks[found.region]
    cell = np.repeat(np.arange(len(each)), each)
    k = np.arange(len(cell)) - np.repeat(np.cumsum(each) - each, each)
    mask = np.searchsorted(columns.regions, found.region)[cell] + k
    return cell, mask, (found.code[cell] >> k & 1).astype(bool)


def _prior(found: _Cells, votes: _Votes, columns: MaskColumns, config: MaskFusionConfig) -> tuple[F64, F64]:
    """Sensitivity and false rate of every mask, before its pixels are looked at: (masks,) each.

    A mask of IoU q that errs as often by too much as by too little has a sensitivity of 2q / (1 + q), its Dice.
    """
    score = np.clip(np.nan_to_num(columns.scores, nan=config.promised_iou), 0.0, 1.0)
    dice = 2.0 * score / (1.0 + score)
    own = _of_masks(votes, found.size, len(columns.rles))
    rest = np.maximum(found.area[columns.regions] - own, 1.0)
    return _rate(dice), np.minimum(_rate(own * (1.0 - dice) / rest), 0.5)


def _estimate(found: _Cells, votes: _Votes, sensitivity: F64, false_rate: F64, weight: float) -> F64:
    """Probability that each cell is foreground: (cells,). A region's cells count in shares of its masks' boxes."""
    cell, mask, marks = votes
    share = found.size / np.maximum(found.area[found.region], 1.0)
    n = len(sensitivity)
    hit, false = sensitivity, false_rate
    marked = np.bincount(cell, marks, minlength=len(share)) / np.maximum(np.bincount(cell, minlength=len(share)), 1)
    prior = np.clip(np.bincount(found.region, marked * share, minlength=len(found.area)), 0.05, 0.95)[found.region]
    truth = np.zeros(len(share))
    for _ in range(_TURNS):
        evidence = np.where(marks, np.log(hit / false)[mask], np.log((1.0 - hit) / (1.0 - false))[mask])
        odds = np.log(prior / (1.0 - prior)) + np.bincount(cell, evidence, minlength=len(share))
        truth = 1.0 / (1.0 + np.exp(-np.clip(odds, -50.0, 50.0)))
        parts = (truth * share)[cell], ((1.0 - truth) * share)[cell]
        shares = (parts[0] * marks, parts[0], parts[1] * marks, parts[1])
        right, inside, wrong, outside = (np.bincount(mask, share, minlength=n) for share in shares)
        hit = _rate((right + weight * inside * sensitivity) / ((1.0 + weight) * inside + 1e-12))
        false = _rate((wrong + weight * outside * false_rate) / ((1.0 + weight) * outside + 1e-12))
    return truth


def _best_sets(found: _Cells, truth: F64) -> NDArray[np.bool_]:
    """Which cells are in the mask with the highest expected IoU: (cells,).

    Over sets of the likeliest cells the expected overlap divided by the expected union, which is near the expectation
    of their ratio for more than a few pixels (Nowozin 2014, section 4).
    """
    n = len(found.area)
    order = np.lexsort((found.code, -truth, found.code == 0, found.region))
    region, size = found.region[order], found.size[order]
    inside = truth[order] * size
    first = np.searchsorted(region, region)
    overlap = np.cumsum(inside) - (np.cumsum(inside) - inside)[first]
    taken = np.cumsum(size) - (np.cumsum(size) - size)[first]
    whole = np.bincount(region, inside, minlength=n)[region]
    allowed = found.code[order] > 0
    value = np.where(allowed, overlap / np.maximum(taken + whole - overlap, 1e-12), -1.0)
    best = np.full(n, np.nan)
    np.fmax.at(best, region[allowed], value[allowed])
    # the largest set of the best ones: a region's sets are nested, so everything up to its last best is in it
    reached = np.flatnonzero(allowed & (value >= best[region]))
    limit = np.full(n, -1)
    np.maximum.at(limit, region[reached], reached)
    chosen = np.zeros(len(order), bool)
    chosen[order] = np.arange(len(order)) <= limit[region]
    return chosen


def _drawn(found: _Cells, chosen: NDArray[np.bool_], columns: MaskColumns) -> list[str | None]:
    segment = chosen[found.cell]
    region = found.region[found.cell[segment]]
    start, end = found.start[segment], (found.start + found.length)[segment]
    offsets = np.searchsorted(region, np.arange(len(columns.heights) + 1)).tolist()
    rles: list[str | None] = []
    for i, (height, width) in enumerate(zip(columns.heights.tolist(), columns.widths.tolist(), strict=True)):
        lo, hi = offsets[i], offsets[i + 1]
        borders = np.stack([start[lo:hi], end[lo:hi]], axis=1).ravel()
        lengths = np.diff(np.concatenate([[0], borders, [height * width]]))
        rles.append(masks.from_uncompressed(lengths.tolist(), height, width) if hi > lo else None)
    return rles


def _agreement(found: _Cells, votes: _Votes, chosen: NDArray[np.bool_], columns: MaskColumns) -> F64:
    n = len(columns.rles)
    shared = _of_masks(votes, found.size * chosen, n)
    own = _of_masks(votes, found.size, n)
    fused = np.bincount(found.region, found.size * chosen, minlength=len(found.area))[columns.regions]
    return np.asarray(shared / np.maximum(own + fused - shared, 1.0))


def _of_masks(votes: _Votes, values: F64, n: int) -> F64:
    """Sum of the cells' values over those that each mask marks: (n,)."""
    cell, mask, marks = votes
    return np.bincount(mask, values[cell] * marks, minlength=n).astype(np.float64)


def _rate(values: F64) -> F64:
    return np.clip(values, _LOWEST, _HIGHEST)
