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
    silence: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="a grounder that finds nothing for a phrase counts as this much of one that finds it elsewhere: "
        "it may not know the word (our choice)",
    )


@dataclass(frozen=True, slots=True)
class GroundedPhrases:
    """The regions of each phrase.

    `clusters` has phrases as groups; `scores` (k,) in 0..1 is the mean over the grounders, 0 for one that found the
    phrase elsewhere, less than a whole vote for one that found nothing; `counted` (k,) is False for boxes that were
    rejected before.
    """

    clusters: Clusters
    scores: NDArray[np.float64]
    counted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Places:
    """`rank` (k,) counts the regions of a phrase from 1, the best first (0: not counted); `wanted` (k,) is how many the
    phrase asks for (0: all)."""

    rank: NDArray[np.int64]
    wanted: NDArray[np.int64]


def merge(
    columns: BoxColumns,
    weights: NDArray[np.floating],
    config: PhraseFusionConfig,
    alone: NDArray[np.bool_] | None = None,
    absent: NDArray[np.bool_] | None = None,
) -> GroundedPhrases:
    """Cluster the boxes of each phrase by IoU, and vote.

    `columns` is grouped by phrase; `weights` has one entry for each grounder that was asked. Boxes marked `alone` (n,)
    were rejected before: they form clusters of their own, and nobody is counted as having spoken by them. Grounders that
    are `absent` (phrases, grounders) gave no answer: they are not counted at all.
    """
    fusion = BoxFusionConfig(iou=config.iou, label_bonus=0.0, duplicate_iou=config.duplicate_iou)
    clusters = cluster(columns, weights, fusion, alone=alone)
    spoke = np.zeros((len(columns.offsets) - 1, len(weights)), bool)
    heard = np.ones(len(columns), bool) if alone is None else ~alone
    spoke[columns.groups()[heard], np.asarray(columns.specialists, np.int64)[heard]] = True
    silence = config.silence if absent is None else np.where(absent, 0.0, config.silence)
    total = np.where(spoke, 1.0, silence) @ np.asarray(weights, np.float64)
    share = np.where(total > 0.0, total, 1.0)[clusters.groups()]
    counted = np.ones(len(clusters), bool) if alone is None else ~alone[clusters.winners]
    return GroundedPhrases(clusters, np.minimum(clusters.scores / share, 1.0), counted)


def confirm(
    scores: NDArray[np.float64], named: NDArray[np.float64], contradicted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The regions' consensus votes beside the grounders together, with the same weight (our choice): (k,) in 0..1.

    `named` (k,) is the confidence of the accepted region that a box is and its phrase names (NaN: none, or its vote is
    in `scores` already); it can only help. `contradicted` (k,) marks boxes that are an accepted region of another name,
    while the phrase names a region that is somewhere else.
    """
    both = np.fmax(scores, (scores + named) / 2.0)
    return np.where(contradicted, scores / 2.0, both)


def places(
    phrase: NDArray[np.int64],
    counted: NDArray[np.bool_],
    values: NDArray[np.float64],
    numbers: NDArray[np.integer],
) -> Places:
    """Which boxes of each phrase come first by `values` (k,), and how many it asks for.

    `phrase` (k,) ascending is the phrase of each box, `counted` (k,) is False for boxes that were rejected before, and
    `numbers` (phrases,) is how many things a phrase asks for: 1 for a singular, n for "n dogs", 0 for an unknown number.
    """
    order = np.lexsort((np.arange(len(phrase)), -values, ~counted, phrase))
    rank = np.zeros(len(phrase), np.int64)
    rank[order] = np.arange(len(phrase)) - np.searchsorted(phrase, phrase) + 1
    rank[~counted] = 0
    return Places(rank, np.asarray(numbers, np.int64)[phrase])
