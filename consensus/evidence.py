"""What a shard tells about the specialists, as sums that add up over shards in any order to the same bits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns, BoxFusionConfig, Clusters, cluster
from consensus.reliability import BINS, LOGIT_LIMIT, QUARTERS, SIZE_LIMITS, SIZES, Model

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

GRID = 2048  # cells of the histogram of scores, equal in logits
_FIXED = 2.0**24  # sums are kept as whole multiples of 2^-24, because integers add up the same in every order
_HIDDEN = 0.3  # of things that are found this rarely it cannot be told how many nobody found
_DEGREES = 4.0  # of freedom of Student's t: its weight is (d + 1) / (d + distance^2)


@dataclass(frozen=True, slots=True)
class Shard:
    """Predictions of some images; rows marked `gold` (n,) are human, in images marked `judged` a human looked.

    `absent` (images, S): a specialist that gave no answer for an image, so that its silence says nothing (None: nobody).
    """

    columns: BoxColumns
    gold: Flags
    judged: Flags
    absent: Flags | None = None

    def present(self, clusters: Clusters, n: int) -> Flags:
        """Which of the n specialists looked at the image of each cluster: (k, S)."""
        if self.absent is None:
            return np.ones((len(clusters), n), bool)
        return np.ascontiguousarray(~self.absent[clusters.groups()])


@dataclass(frozen=True, slots=True)
class Weighed:
    """Clusters of a shard and what the model says about them.

    `sizes` (k,) 0..2, `exists` (k,) P(something is there), `labels` (k,), `certainty` (k,) P(label | something),
    `places` (k, 4), `imagined` (k, S) P(nothing is there, and that specialist imagined it first).
    `rows` (k, S) is the box by which a specialist voted, or -1; `evidence` (n,) what each box's score says, `quarters`
    (n,) in which quarter of its specialist's scores it is.
    """

    clusters: Clusters
    sizes: I64
    exists: F64
    labels: I64
    certainty: F64
    places: F64
    imagined: F64
    rows: I64
    evidence: F64
    quarters: I64


@dataclass(frozen=True, slots=True)
class Statistics:
    """Weighted counts in fixed point; see `_count` for each. `error_keys` and `errors` are a sparse matrix."""

    things: I64
    found: I64
    chances: I64
    founds: I64
    joined: I64
    could_join: I64
    label_mass: I64
    noise_mass: I64
    named: I64
    agreeing: I64
    together: I64
    scores: I64
    alike: I64
    sides: I64
    error_keys: I64
    errors: I64


def without(shard: Shard, rows: Flags) -> Shard:
    """The shard but for some of its rows (n,)."""
    c, kept = shard.columns, ~rows
    offsets = np.concatenate([[0], np.cumsum(kept)])[c.offsets].astype(np.int64)
    columns = BoxColumns(c.boxes[kept], c.scores[kept], c.specialists[kept], c.labels[kept], offsets)
    return Shard(columns, shard.gold[kept], shard.judged, shard.absent)


def merge(parts: Sequence[Statistics]) -> Statistics:
    """The statistics of all shards together; the order of `parts` changes nothing."""
    keys, place = np.unique(np.concatenate([part.error_keys for part in parts]), return_inverse=True)
    errors = np.zeros(len(keys), np.int64)
    np.add.at(errors, place, np.concatenate([part.errors for part in parts]))
    names = [field.name for field in fields(Statistics)][:-2]
    sums = {name: np.sum([getattr(part, name) for part in parts], axis=0) for name in names}
    return Statistics(**sums, error_keys=keys, errors=errors)


def _fixed(values: F64) -> I64:
    return np.asarray(np.rint(values * _FIXED), np.int64)


def real(values: I64) -> F64:
    """A sum in fixed point as a number."""
    return np.asarray(values / _FIXED, np.float64)


def logits(scores: NDArray[np.floating]) -> F64:
    """log odds of scores (n,), limited to what the model uses."""
    inside = np.clip(np.asarray(scores, np.float64), 1e-9, 1 - 1e-9)
    return np.clip(np.log(inside / (1 - inside)), -LOGIT_LIMIT, LOGIT_LIMIT)


def histogram(columns: BoxColumns, n: int) -> I64:
    """How many boxes of each specialist have a score in each cell: (S, GRID)."""
    cell = np.minimum((logits(columns.scores) + LOGIT_LIMIT) / (2 * LOGIT_LIMIT) * GRID, GRID - 1).astype(np.int64)
    counted = np.bincount(columns.specialists * GRID + cell, minlength=n * GRID)
    return np.asarray(counted.reshape(n, GRID), np.int64)


def weigh(shard: Shard, model: Model, config: BoxFusionConfig, alone: Flags | None = None) -> Weighed:
    """Cluster a shard and weigh every cluster; what a human drew is there, and what a human did not draw is not.

    Boxes are clustered in the order of how likely each is right by itself, times how exact its specialist is.
    """
    from consensus import weighing
    from consensus.repeats import repeated

    columns = shard.columns
    again = repeated(columns, model.original) & ~shard.gold
    n, says = len(model.right), columns.specialists.astype(np.int64)
    scores, labels = np.asarray(columns.scores, np.float64), columns.labels.astype(np.int64)
    llr, quarters = weighing.evidence(scores, says, model.score_at, model.score_llr, LOGIT_LIMIT)
    likely = np.where(again, 0.0, _likely(model, says, llr))  # so a repeat moves nothing
    exact = model.spread.mean(axis=(1, 2)) ** -0.5
    clusters = cluster(replace(columns, scores=likely), exact / exact.max(initial=0.0), config, shard.gold, alone)
    box = clusters.boxes
    sizes = np.searchsorted(SIZE_LIMITS, (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]))
    imagined, rows = np.zeros((len(clusters), n)), np.full((len(clusters), n), -1)
    exists, best, certainty, places = weighing.weigh(
        clusters.member_offsets, clusters.members, sizes, np.asarray(columns.boxes, np.float64), says, labels,
        shard.gold | again, llr, 1 / model.laxness[says, quarters], weighing.tables(model), shard.present(clusters, n), imagined, rows,
    )  # fmt: skip
    silent = (rows < 0).all(axis=1)  # nobody voted, so where it is and its label are as they were found
    best[silent], places[silent] = clusters.labels[silent], box[silent]
    of = clusters.cluster_of_members()
    human = shard.gold[clusters.members]
    if human.any():
        drawn = np.zeros(len(clusters), bool)
        drawn[of[human]] = True
        best[of[human]], places[drawn] = labels[clusters.members[human]], box[drawn]
        exists, certainty = np.where(drawn, 1.0, exists), np.where(drawn, 1.0, certainty)
        imagined[drawn] = 0.0
    return Weighed(clusters, sizes, exists, best, certainty, places, imagined, rows, llr, quarters)


def judge(shard: Shard, weighed: Weighed, gold_knows: Flags) -> Weighed:
    """In images where a human looked, clusters of labels that the human knows (L,) without a human box are nothing."""
    c = weighed.clusters
    drawn = np.zeros(len(c), bool)
    drawn[c.cluster_of_members()[shard.gold[c.members]]] = True
    empty = shard.judged[c.groups()] & ~drawn & gold_knows[weighed.labels]
    mass = weighed.imagined.sum(axis=1, keepdims=True)
    blame = np.where(mass > 0, weighed.imagined / np.where(mass > 0, mass, 1), 0.0)
    imagined = np.where(empty[:, None], blame, weighed.imagined)
    return replace(weighed, exists=np.where(empty, 0.0, weighed.exists), imagined=imagined)


def credit(shard: Shard, weighed: Weighed, model: Model, precision: F64) -> Weighed:
    """Believe a lone vote at least as far as `precision` (S, BINS), what its score means elsewhere."""
    votes = weighed.rows >= 0
    lone = np.flatnonzero(votes.sum(axis=1) == 1)
    who = votes[lone].argmax(axis=1) if len(lone) else lone
    scores = shard.columns.scores[weighed.rows[lone, who]]
    exists, imagined = weighed.exists.copy(), weighed.imagined.copy()
    exists[lone] = np.maximum(exists[lone], precision[who, _bins(scores, who, model)])
    imagined[lone, who] = 1 - exists[lone]
    return replace(weighed, exists=exists, imagined=imagined)


def _likely(model: Model, says: I64, llr: F64) -> F64:
    """How likely each box (n,) is right by itself."""
    recall = (model.recall.mean(axis=2) @ model.things)[says]
    odds = np.exp(np.clip(llr, -30, 30)) * recall / np.maximum(model.founds.sum(axis=1)[says], 1e-9)
    return np.asarray(odds / (1 + odds))


def count(shard: Shard, weighed: Weighed, model: Model) -> Statistics:
    """The E-step's sums: what each specialist did where things are, and where nothing is."""
    p, rows, best, z = weighed.exists, weighed.rows, weighed.labels, weighed.sizes
    n, n_labels = len(model.right), len(model.share)
    votes = rows >= 0
    eligible = votes | model.knows[:, best].T & shard.present(weighed.clusters, n)
    recall = model.recall[:, z, best].T
    seen = 1 - np.prod(np.where(eligible, 1 - recall, 1.0), axis=1)
    unseen = np.where(shard.judged[weighed.clusters.groups()], 0.0, p * (1 - seen) / np.maximum(seen, _HIDDEN))
    whole = p + unseen
    by_size = np.eye(len(SIZES))[z]
    label_of = np.where(votes, shard.columns.labels[np.maximum(rows, 0)], 0) if len(rows) else rows
    broader = np.isin(best[:, None] * n_labels + label_of, model.above_keys)  # "animal" of a dog is no wrong name
    hit = votes & ((label_of == best[:, None]) | broader)
    several = votes.sum(axis=1) > 1
    keys, errors = _errors(np.where(several, p, 0.0), best, label_of, votes & ~hit, n_labels)
    parts: dict[str, NDArray[Any]] = {
        "things": by_size.T @ whole,
        "found": _by_thing(z, best, votes * p[:, None], n_labels),
        "chances": _by_thing(z, best, eligible * whole[:, None], n_labels),
        "founds": weighed.imagined.T @ by_size,
        "joined": weighed.imagined.T @ votes,
        "could_join": weighed.imagined.T @ eligible,
        "label_mass": np.bincount(best, p, minlength=n_labels),
        "noise_mass": np.bincount(label_of[votes], np.repeat(1 - p, votes.sum(axis=1)), minlength=n_labels),
        "named": np.stack([(p * several) @ hit, (p * several) @ votes]),
        "agreeing": _agreeing(1 - p, label_of, votes, 1 - model.kin),
        "together": _together(p, votes, eligible, recall),
        "scores": _scores(weighed, shard.columns, model, n),
        "errors": errors,
    }
    return Statistics(
        error_keys=keys,
        alike=alike(weighed),
        sides=sides(shard, weighed, model),
        **{name: _fixed(part) for name, part in parts.items()},
    )


def _by_thing(sizes: I64, best: I64, mass: F64, n_labels: int) -> F64:
    """Sums (S, 3, L) of (k, S) by size and label."""
    cell, cells = sizes * n_labels + best, len(SIZES) * n_labels
    sums = [np.bincount(cell, column, minlength=cells) for column in mass.T]
    return np.array(sums, np.float64).reshape(-1, len(SIZES), n_labels)


def _errors(p: F64, best: I64, label_of: I64, wrong: Flags, n_labels: int) -> tuple[I64, F64]:
    cluster_, who = np.nonzero(wrong & (p[:, None] > 0))
    pairs = best[cluster_] * n_labels + label_of[cluster_, who]
    keys, place = np.unique(pairs, return_inverse=True)
    return keys.astype(np.int64), np.bincount(place, p[cluster_], minlength=len(keys)).astype(np.float64)


def _pairs(n: int, of_pair: Callable[[int, int], F64], shape: tuple[int, ...]) -> F64:
    """An array (S, S, ...) filled below the diagonal."""
    out = np.zeros((n, n, *shape))
    for a in range(n):
        for b in range(a):
            out[a, b] = of_pair(a, b)
    return out


def _agreeing(q: F64, label_of: I64, votes: Flags, own: F64) -> F64:
    """Of pairs of votes for nothing: how many name one label, and how many there are, kin left out: (2,)."""
    said = np.where(votes, label_of, -1 - np.arange(votes.shape[1]))
    same = _pairs(votes.shape[1], lambda a, b: np.asarray(q @ (said[:, a] == said[:, b])), ())
    both = (votes * q[:, None]).T @ votes
    return np.array([(own * same).sum(), np.tril(own * both, -1).sum()])


def _together(p: F64, votes: Flags, eligible: Flags, recall: F64) -> F64:
    """Covariance of presence beyond recall, and what it would be at most: (2, S, S)."""
    rest = np.where(eligible, votes - recall, 0.0)
    most = np.where(eligible, np.sqrt(recall * (1 - recall)), 0.0)
    return np.stack([(rest * p[:, None]).T @ rest, (most * p[:, None]).T @ most])


def _scores(weighed: Weighed, columns: BoxColumns, model: Model, n: int) -> F64:
    """How many boxes of each stratum and bin of score stand on nothing, and on things: (2, S, 6, BINS).

    Strata are the sizes of things whose label nobody else knows, and then the sizes of all others.
    """
    cluster_, who = np.nonzero(weighed.rows >= 0)
    row = weighed.rows[cluster_, who]
    bins = _bins(columns.scores[row], who, model)
    label = columns.labels[row]
    others = model.knows.sum(axis=0)[label] > model.knows[who, label]
    stratum = others * len(SIZES) + weighed.sizes[cluster_]
    cell = (who * 2 * len(SIZES) + stratum) * BINS + bins
    p, shape = weighed.exists[cluster_], (n, 2 * len(SIZES), BINS)
    both = [np.bincount(cell, weight, minlength=np.prod(shape)).reshape(shape) for weight in (1 - p, p)]
    return np.stack(both)


def alike(weighed: Weighed) -> I64:
    """Moments of the scores' evidence where both voted, on nothing and on things: (2, 6, S, S), fixed point."""
    votes = weighed.rows >= 0
    x = np.where(votes, weighed.evidence[np.maximum(weighed.rows, 0)], 0.0) if len(votes) else np.zeros(votes.shape)
    out = []
    for weight in (1 - weighed.exists, weighed.exists):
        w = weight[:, None] * votes
        out.append([w.T @ votes, (w * x).T @ votes, w.T @ x, (w * x * x).T @ votes, w.T @ (x * x), (w * x).T @ x])
    return _fixed(np.array(out))


def support(shard: Shard, weighed: Weighed, model: Model) -> I64:
    """Moments, by specialist, of a box's place among its scores and of how closely others agree: (7, S) fixed point.

    The rows are 1, x, y, xx, yy, xy and how many have a copy. x is the bin of the score in 0..1; y adds for every other specialist in the
    cluster how near the sides of the two are, 1 where they are the same and 0 where they differ by a whole box. A box of
    the very same score is a copy and no witness.
    """
    boxes, scores, rows = np.asarray(shard.columns.boxes, np.float64), shard.columns.scores, weighed.rows
    n = rows.shape[1]
    extent = np.maximum(weighed.places[:, 2:] - weighed.places[:, :2], 1e-6)
    near, copied = np.zeros(rows.shape), np.zeros(rows.shape)
    for a in range(n):
        for b in range(n):
            met = (rows[:, a] >= 0) & (rows[:, b] >= 0) & (a != b)
            same = scores[rows[:, a]] == scores[rows[:, b]]
            copied[met & same, a] = 1.0
            both = np.flatnonzero(met & ~same)
            off = np.abs(boxes[rows[both, a]] - boxes[rows[both, b]]) / np.tile(extent[both], 2)
            near[both, a] += np.clip(1 - off.mean(axis=1), 0, 1)
    cluster_, who = np.nonzero(rows >= 0)
    x = _bins(shard.columns.scores[rows[cluster_, who]], who, model) / (BINS - 1)
    y = near[cluster_, who]
    values = (np.ones(len(x)), x, y, x * x, y * y, x * y, copied[cluster_, who])
    moments = [np.bincount(who, value, minlength=n) for value in values]
    return _fixed(np.array(moments))


def _bins(scores: NDArray[np.floating], who: I64, model: Model) -> I64:
    """The bin of each score (m,) among those of its specialist."""
    middle = (model.score_at[:, 1:] + model.score_at[:, :-1]) / 2
    return np.asarray((logits(scores)[:, None] > middle[who]).sum(axis=1), np.int64)


def sides(shard: Shard, weighed: Weighed, model: Model) -> I64:
    """For pairs that found a thing, by size and the quarters of both scores: mass, differences and squared ones of each
    side: (S, S, 3, QUARTERS, QUARTERS, 9) fixed point. Relative to the fused box, weighed by Student's t.
    """
    n, boxes, place = len(model.right), np.asarray(shard.columns.boxes, np.float64), weighed.places
    extent = np.tile(np.maximum(place[:, 2:] - place[:, :2], 1e-6), 2)
    shape = (len(SIZES), QUARTERS, QUARTERS)

    def of_pair(a: int, b: int) -> F64:
        both = np.flatnonzero((weighed.rows[:, a] >= 0) & (weighed.rows[:, b] >= 0))
        one, other, size = weighed.rows[both, a], weighed.rows[both, b], weighed.sizes[both]
        d = (boxes[one] - boxes[other]) / extent[both]
        qa, qb = weighed.quarters[one], weighed.quarters[other]
        variance = (
            model.spread[a][size] * model.laxness[a][qa, None] + model.spread[b][size] * model.laxness[b][qb, None]
        )
        off = d - (model.bias[a] - model.bias[b])
        weight = (_DEGREES + 1) / (_DEGREES + off**2 / variance)
        values = np.concatenate([np.ones((len(both), 1)), weight * d, weight * off**2], axis=1)
        values *= weighed.exists[both, None]
        cell = np.ravel_multi_index((size, qa, qb), shape)
        sums = [np.bincount(cell, column, minlength=int(np.prod(shape))) for column in values.T]
        return np.asarray(np.stack(sums, axis=1).reshape(*shape, 9), np.float64)

    return _fixed(_pairs(n, of_pair, (*shape, 9)))
