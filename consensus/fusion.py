"""What learned reliabilities make of a shard: every cluster with a place, a label and a calibrated confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consensus import evidence as e
from consensus.boxes import BoxColumns, BoxFusionConfig, Clusters
from consensus.reliability import Reliabilities


@dataclass(frozen=True, slots=True)
class Fused:
    """`clusters` as they were found, and for each: `boxes` (k, 4), `labels` (k,), `confidence` (k,) the probability
    that such a thing is there and is called so, and `n_eligible` (k,), how many specialists know that label or voted."""

    clusters: Clusters
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    n_eligible: NDArray[np.int32]


def fuse(
    columns: BoxColumns,
    reliabilities: Reliabilities,
    fusion: BoxFusionConfig,
    gold: NDArray[np.bool_] | None = None,
    alone: NDArray[np.bool_] | None = None,
    absent: NDArray[np.bool_] | None = None,
) -> Fused:
    """Weigh the clusters of a shard by what was learned.

    Specialists and labels of `columns` are numbered as in `reliabilities`. Rows marked `gold` (n,) are human: each is a
    cluster of its own place and label with confidence 1. Rows marked `alone` (n,) are never joined. Specialists that are
    `absent` (images, S) gave no answer for an image: their silence there says nothing.

    Raises:
        ValueError: a coordinate or a score is not finite.
    """
    columns.check_finite()
    nobody = np.zeros(len(columns), bool)
    shard = e.Shard(columns, nobody if gold is None else gold, np.zeros(len(columns.offsets) - 1, bool), absent)
    weighed = e.weigh(shard, reliabilities.model, fusion, alone)
    eligible = np.ascontiguousarray(reliabilities.model.knows[:, weighed.labels].T)
    eligible &= shard.present(weighed.clusters, eligible.shape[1])
    eligible |= weighed.rows >= 0
    members, of = weighed.clusters.members, weighed.clusters.cluster_of_members()
    said = (reliabilities.model.original[columns.specialists[members]] >= 0) | shard.gold[members]
    eligible[of[said], columns.specialists[members[said]]] = True  # copies and people have no vote, but they said it
    return Fused(
        weighed.clusters,
        weighed.places,
        weighed.labels,
        weighed.exists * weighed.certainty,
        eligible.sum(axis=1).astype(np.int32),
    )
