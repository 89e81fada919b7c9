"""How sure the specialists are of a cluster together."""

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns, Clusters


def confidence(
    clusters: Clusters,
    columns: BoxColumns,
    weights: NDArray[np.floating],
    could_see: NDArray[np.bool_],
    gold: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Summed strength of a cluster over the summed weight of the specialists that could have seen it.

    A specialist is eligible for a cluster if `could_see` (specialists, clusters) says so or it voted. With all
    `weights` (specialists,) equal this is the sum of the scores (one a specialist) over the number of the eligible,
    in 0..1 where scores are; a cluster with a `gold` row (n,) has 1, because a human saw it. Our choice; it is a
    ranking until it is calibrated.

    Returns:
        confidence (clusters,) and the number of eligible specialists (clusters,).
    """
    k = len(clusters)
    eligible = could_see.copy()
    of = clusters.cluster_of_members()
    eligible[np.asarray(columns.specialists, np.int64)[clusters.members], of] = True
    weight = np.asarray(weights, np.float64) @ eligible
    value = clusters.scores / np.where(weight > 0.0, weight, 1.0)
    if gold is not None:
        human = np.zeros(k, bool)
        human[of[gold[clusters.members]]] = True
        value = np.where(human, 1.0, value)
    return value, eligible.sum(axis=0).astype(np.int32)
