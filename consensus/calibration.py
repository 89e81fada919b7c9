"""What people's boxes in a few images say of the confidence of all others: beta calibration, and how good everybody is."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns
from consensus.fusion import Claims, looked_at
from consensus.reliability import UNTOLD, Model
from consensus.sample import Shard

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

CELLS: Final = 1000  # of histograms of confidence, half of them below 0.1
_IOU: Final = 0.5  # from which on a claim is the thing that people drew
_PRIOR: Final = np.diag([5.0, 5.0, 0.5])  # claims by which the three numbers are drawn to (1, 1, 0); our choice
_IMAGES: Final = 10  # in which people drew are the fewest that confidence is calibrated by; our choice
_NONE: Final = np.array([1.0, 1.0, 0.0])
_STEPS: Final = 50
_HALVINGS: Final = 40
_POSITIVE: Final = 0.05


def learned(
    shards: Sequence[Shard], machines: Sequence[Shard], found: Sequence[Claims], model: Model, human: Flags
) -> Model:
    """The model with what people's boxes in judged images say of its claims, and of each specialist's alone.

    Too few judged images (`_IMAGES`) say nothing. `machines` are the shards without people's rows, `found` their claims;
    claims of labels that no person knows, and in
    crowds, are left out.
    """
    if sum(int(shard.judged.sum()) for shard in shards) < _IMAGES:
        return model
    n = len(human)
    told = np.zeros((n + 1, 2, CELLS), np.int64)
    things = 0
    for shard, rest, claim in zip(shards, machines, found, strict=True):
        gold, drawn = shard.columns.only(shard.gold), np.zeros((n + 1, 2, CELLS), np.int64)
        drawn[n] = _judged(
            shard, gold, claim.clusters.offsets, claim.boxes, claim.labels, claim.value, claim, model, human
        )
        for i in np.flatnonzero(~human & (model.trust > 0)):
            own = rest.columns.only(rest.columns.specialists == i)
            boxes, labels = np.asarray(own.boxes, np.float64), np.asarray(own.labels, np.int64)
            scores = np.asarray(own.scores, np.float64)
            drawn[i] = _judged(shard, gold, own.offsets, boxes, labels, scores, None, model, human)
        told += drawn
        things += len(gold)
    precision = np.array([_average_precision(told[i], things) for i in range(n + 1)])
    precision[:n][human | (model.trust <= 0)] = UNTOLD
    return model._replace(calibration=_beta(told[n]), judged=np.array([told[n].sum()], np.int64), gold_ap=precision)


def _judged(
    shard: Shard,
    gold: BoxColumns,
    offsets: I64,
    boxes: F64,
    labels: I64,
    value: F64,
    claim: Claims | None,
    model: Model,
    human: Flags,
) -> I64:
    """How many claims that people could judge are wrong and right, by cells of confidence: (2, CELLS)."""
    from consensus import pooling

    groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((np.arange(len(value)), -value, groups))
    n_labels = model.knows.shape[1]
    right = pooling.hits(
        offsets, order, np.ascontiguousarray(boxes), labels, gold.offsets, np.ascontiguousarray(gold.boxes, np.float64),
        np.asarray(gold.labels, np.int64), model.above_keys, n_labels, _IOU,
    )  # fmt: skip
    known: Flags = np.asarray(model.knows[human].any(axis=0))
    counts = shard.judged[groups] & known[labels] & (labels >= 0)
    if claim is not None and shard.crowds is not None:
        looked = looked_at(claim.clusters, len(human), None, shard.crowds, model.above_keys, n_labels)
        counts &= looked[:, human].all(axis=1) | right
    cell = _cell(value)
    return np.stack([np.bincount(cell[counts & hit], minlength=CELLS) for hit in (~right, right)])


def _cell(value: F64) -> I64:
    """Cells of confidences (k,): square roots, because most claims are of little confidence."""
    return np.asarray(np.minimum(np.sqrt(np.clip(value, 0.0, 1.0)) * CELLS, CELLS - 1), np.int64)


def _beta(told: I64) -> F64:
    """The three numbers of beta calibration by Newton's method from how many claims are wrong and right (2, CELLS); the
    first two are positive, so that order stays."""
    centre = ((np.arange(CELLS) + 0.5) / CELLS) ** 2
    x = np.column_stack([np.log(centre), -np.log1p(-centre), np.ones(CELLS)])
    total, right = told.sum(axis=0).astype(np.float64), told[1].astype(np.float64)
    if not total.any():
        return _NONE.copy()

    def loss(numbers: F64) -> float:
        z = x @ numbers
        apart = numbers - _NONE
        return float((total * np.logaddexp(0.0, z) - right * z).sum() + apart @ _PRIOR @ apart / 2)

    numbers = _NONE.copy()
    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-x @ numbers))
        slope = x.T @ (total * p - right) + _PRIOR @ (numbers - _NONE)
        bend = (x * (total * p * (1.0 - p))[:, None]).T @ x + _PRIOR
        step, before = np.linalg.solve(bend, slope), loss(numbers)
        for _ in range(_HALVINGS):
            tried = numbers - step
            tried[:2] = np.maximum(tried[:2], _POSITIVE)
            if loss(tried) <= before:
                break
            step = step / 2
        else:
            break
        if np.abs(tried - numbers).max() < 1e-10:
            break
        numbers = tried
    return numbers


def _average_precision(told: I64, things: int) -> float:
    """Average precision of claims (2, CELLS wrong and right) of so many things, all words together."""
    if not things:
        return UNTOLD
    wrong, right = np.cumsum(told[:, ::-1], axis=1)
    precision = right / np.maximum(wrong + right, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * told[1, ::-1]).sum() / things)
