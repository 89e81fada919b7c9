"""What learned reliabilities make of a shard: every claim with a place, a label and a confidence."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns, BoxFusionConfig, Clusters, Words, cluster
from consensus.crowds import inside
from consensus.reliability import VOICES, Model, Reliabilities

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Our choices. A weaker claim of one word over a stronger one: less than _LOW apart they are two things, from _HIGH on one.
_LOW: Final = 0.4
_HIGH: Final = 0.8
_OVERLOOKED: Final = 0.1  # of what machines claim where people drew is what people overlooked
_EDGE: Final = 1e-9  # from certainty, so that log odds are finite


@dataclass(frozen=True, slots=True)
class Fused:
    """`clusters` as they were found, and for each: `boxes` (k, 4), `labels` (k,), `confidence` (k,) the probability
    that such a thing is there and is called so, and `n_eligible` (k,), how many specialists could have voted or did."""

    clusters: Clusters
    boxes: F64
    labels: I64
    confidence: F64
    n_eligible: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims before they are calibrated: `rows` (k, S) the box by which each specialist votes or -1, `labels` (k,; -1:
    nobody voted), `boxes` (k, 4), `value` (k,), and `eligible` (k, S) who could have voted or did."""

    clusters: Clusters
    rows: I64
    labels: I64
    boxes: F64
    value: F64
    eligible: Flags


def fuse(
    columns: BoxColumns,
    reliabilities: Reliabilities,
    fusion: BoxFusionConfig,
    gold: Flags | None = None,
    alone: Flags | None = None,
    absent: Flags | None = None,
    crowds: BoxColumns | None = None,
) -> Fused:
    """Weigh the clusters of a shard by what was learned.

    Specialists and labels of `columns` are numbered as in `reliabilities`. Rows marked `gold` (n,) are human: each is a
    cluster of its own place and label with confidence 1, and what people who drew in an image did not draw there, of the
    labels that they know, is hardly there. Rows marked `alone` (n,) are never joined. Specialists that are `absent`
    (images, S) gave no answer for an image: their silence there says nothing; nor does that of one who drew a crowd of
    that label (`crowds`) around it.

    Raises:
        ValueError: a coordinate or a score is not finite.
    """
    columns.check_finite()
    model = reliabilities.model
    human = np.zeros(len(columns), bool) if gold is None else gold
    found = claims(columns, model, fusion, human, alone, absent, crowds)
    clusters, labels, boxes = found.clusters, found.labels.copy(), found.boxes.copy()
    value = calibrated(found.value, model.calibration)
    unheard = labels < 0
    labels[unheard], boxes[unheard], value[unheard] = clusters.labels[unheard], clusters.boxes[unheard], 0.0
    eligible, members, of = found.eligible.copy(), clusters.members, clusters.cluster_of_members()
    people = _people(columns, human, clusters, labels, model, crowds)
    eligible |= people
    value = np.where(people.any(axis=1), _OVERLOOKED * value, value)
    drawn = human[members]
    labels[of[drawn]], boxes[of[drawn]] = columns.labels[members[drawn]], clusters.boxes[of[drawn]]
    value[of[drawn]] = 1.0
    eligible[of, columns.specialists[members]] = True  # who has no vote, as people and copies, said it all the same
    return Fused(clusters, boxes, labels, value, eligible.sum(axis=1).astype(np.int32))


def claims(
    columns: BoxColumns,
    model: Model,
    fusion: BoxFusionConfig,
    gold: Flags,
    alone: Flags | None = None,
    absent: Flags | None = None,
    crowds: BoxColumns | None = None,
) -> Claims:
    """The claims of machines, in the clusters of all."""
    from consensus import pooling
    from consensus.repeats import repeated

    n, n_labels = model.knows.shape
    says, said = np.asarray(columns.specialists, np.int64), np.asarray(columns.labels, np.int64)
    scores, boxes = np.asarray(columns.scores, np.float64), np.ascontiguousarray(columns.boxes, np.float64)
    ignored = gold | repeated(columns, model.original)
    if alone is not None:
        ignored |= alone
    meant = pooling.meaning(scores, says, model.score_at, model.agreed)
    strength = np.where(ignored & ~gold, 0.0, meant)  # so what has no vote moves nothing
    words = Words.of(model.knows, model.above_keys)
    clusters = cluster(replace(columns, scores=strength), model.exact, fusion, gold, alone, words)
    rows = pooling.votes(clusters.member_offsets, clusters.members, says, ignored, n)
    looked = looked_at(clusters, n, absent, crowds, model.above_keys, n_labels)
    knows = model.knows & ((model.trust > 0) & (model.original < 0))[:, None]
    value, labels, places = pooling.pool(
        rows, said, meant, boxes, model.trust, model.exact, knows, looked, model.above_keys, VOICES
    )
    eligible = (rows >= 0) | (knows[:, labels].T & looked & (labels >= 0)[:, None])
    value = pooling.second(clusters.offsets, places, labels, value, _LOW, _HIGH, n_labels)
    return Claims(clusters, rows, labels, places, value, eligible)


def looked_at(
    clusters: Clusters, n: int, absent: Flags | None, crowds: BoxColumns | None, above: I64, n_labels: int
) -> Flags:
    """Whether each of n specialists looked at each cluster as at a thing: (k, S), not where it is `absent` (images, S)
    or drew a crowd of that label around it."""
    looked = np.ones((len(clusters), n), bool)
    if absent is not None:
        looked &= ~absent[clusters.groups()]
    if crowds is not None and len(crowds):
        looked &= ~inside(clusters, crowds, n, above, n_labels)
    return np.ascontiguousarray(looked)


def calibrated(value: F64, calibration: F64) -> F64:
    """Beta calibration (Kull, Silva Filho and Flach 2017) of probabilities (k,) by its three numbers."""
    if tuple(calibration) == (1.0, 1.0, 0.0):
        return value
    inside_ = np.clip(value, _EDGE, 1.0 - _EDGE)
    a, b, c = calibration
    return np.asarray(1.0 / (1.0 + np.exp(-(a * np.log(inside_) - b * np.log1p(-inside_) + c))))


def _people(
    columns: BoxColumns, gold: Flags, clusters: Clusters, labels: I64, model: Model, crowds: BoxColumns | None
) -> Flags:
    """Which people drew in the image of each cluster and did not draw this, though they know its label: (k, S)."""
    n, n_labels = model.knows.shape
    drew = np.zeros((len(clusters.offsets) - 1, n), bool)
    drew[columns.groups()[gold], columns.specialists[gold]] = True
    silent = looked_at(clusters, n, ~drew, crowds, model.above_keys, n_labels) & model.knows[:, labels].T
    of = clusters.cluster_of_members()
    silent[of[gold[clusters.members]]] = False
    return silent
