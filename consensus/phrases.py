"""Boxes that several grounders found for a phrase become the phrase's regions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxColumns, BoxFusionConfig, Clusters, cluster


class PhraseFusionConfig(BaseModel):
    """How groundings of a phrase are merged. Every value is our choice: the paper uses one grounder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    iou: float = Field(
        default=0.55,
        ge=0.0,
        le=1.0,
        description="boxes of two grounders for a phrase are one region above this IoU (our choice)",
    )
    duplicate_iou: float = Field(
        default=0.9,
        ge=0.0,
        le=1.0,
        description="two boxes of one grounder for a phrase are one from this IoU on (our choice)",
    )


@dataclass(frozen=True, slots=True)
class GroundedPhrases:
    """The regions of each phrase.

    `clusters` has phrases as groups; `scores` (k,) in 0..1 is the mean over the grounders, 0 for one that did not find
    the region; `rank` (k,) counts the regions of a phrase from 1, the best first (0: not counted); `wanted` (k,) is how
    many the phrase asks for (0: all); `surplus` (k,) marks those beyond it.
    """

    clusters: Clusters
    scores: NDArray[np.float64]
    rank: NDArray[np.int64]
    wanted: NDArray[np.int64]
    surplus: NDArray[np.bool_]


def merge(
    columns: BoxColumns,
    numbers: NDArray[np.integer],
    weights: NDArray[np.floating],
    config: PhraseFusionConfig,
    alone: NDArray[np.bool_] | None = None,
) -> GroundedPhrases:
    """Cluster the boxes of each phrase by IoU, vote, and keep as many as the phrase's number allows.

    `columns` is grouped by phrase; `numbers` (phrases,) is how many things a phrase asks for: 1 for a singular, n for
    "n dogs", 0 for an unknown number. `weights` has one entry for each grounder that was asked. Boxes marked `alone`
    (n,) were rejected before: they form clusters of their own and have rank 0.
    """
    fusion = BoxFusionConfig(iou=config.iou, label_bonus=0.0, duplicate_iou=config.duplicate_iou)
    clusters = cluster(columns, weights, fusion, alone=alone)
    counted = np.ones(len(clusters), bool) if alone is None else ~alone[clusters.winners]
    before = np.concatenate([[0], np.cumsum(counted)])
    rank = np.where(counted, before[1:] - before[clusters.offsets[clusters.groups()]], 0)
    wanted = np.asarray(numbers, np.int64)[clusters.groups()]
    total = float(np.sum(weights))
    return GroundedPhrases(
        clusters,
        clusters.scores / total if total > 0.0 else clusters.scores,
        rank,
        wanted,
        (wanted > 0) & (rank > wanted),
    )
