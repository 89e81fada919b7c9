"""From what detectors said to the things of each image: consensus alone, before anything is filtered.

Specialists that look at things are asked about these, so no filter's threshold and no reader makes them look again.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from consensus.boxes import BoxFusionConfig, Words, cluster
from consensus.confidence import confidence
from consensus.crowds import inside
from consensus.fusion import fuse
from engine import schema as s
from engine.grouped import Frames, Grouped
from pipelines.decide import columns as c
from pipelines.decide import said
from pipelines.decide.clusters import KindConfig, Weighed, answers, decided_rows, numbered
from pipelines.decide.reliability import Learned, reconciled
from pipelines.decide.said import OBJECT, Said


class ThingFusionConfig(BoxFusionConfig):
    """When boxes of different detectors are one thing. Every value is our choice, on `python -m benchmarks real`."""

    iou: float = Field(default=0.7, ge=0.0, le=1.0, description="boxes are one thing above this IoU (our choice)")
    label_bonus: float = Field(
        default=0.0, ge=0.0, le=1.0, description="a shared label is worth this much IoU (our choice)"
    )


class ObjectsConfig(KindConfig):
    """The same for objects, whose detectors can be weighed by what is learned about them."""

    min_score: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="a prediction under this score does not take part (our choice: on photographs 0.1 costs 0.01 AP, and "
        "a tenth of the things)",
    )
    fusion: ThingFusionConfig = Field(default=ThingFusionConfig(), description="when boxes are one thing")
    least: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="what is less sure is unlikely: no filter can accept it (our choice: on photographs 0.03 costs 0.004 AP "
        "of four detectors and 0.014 of two)",
    )
    ask: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="specialists look at things of at least this confidence, and texts and phrases are about these (our "
        "choice: about 18 an image of photographs, where people drew 8)",
    )
    method: Literal["auto", "learned", "weighted"] = Field(
        default="auto",
        description="learned: claims weighed by what is learned about detectors without labels, and calibrated by people's "
        "boxes (gold) where there are any; weighted: mean score by `weights`; auto: learned where two detectors that are "
        "no people take part, or one and people, and no weights are given",
    )


def decide(
    frames: Frames,
    detections: Mapping[str, Grouped],
    config: ObjectsConfig,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, Sequence[str] | None] | None = None,
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
    learned: Learned | None = None,
) -> pa.Table:
    """The things of every image: a table `engine.schema.DECIDED_REGIONS`, all of kind "object".

    Every prediction is a vote of exactly one row: of a thing, or, if it took no part (crowd, no area, score), of a row
    of its own. Rows are ordered by image, descending confidence and coordinates, and numbered in that order.
    Specialists in `gold` are human: each of their boxes is a thing of its own with confidence 1, except
    boxes around crowds (ignore regions, as in the COCO evaluation) and boxes without area. `vocabularies` says which
    labels a detector knows (None or absent: any); `answered` (images,) for which images a detector answered at all
    (absent: for every image). With what was `learned`, things have a probability, places weighed by how exact
    each detector is, and one word for a thing; without, the mean of the scores, and the strongest one's word.
    Reasons in order: those of `pipelines.decide.said`, for what took no part; unlikely.

    Raises:
        StoreError: a table is not over the images of `frames`.
        ConfigError: a weight is given for a detector that does not take part.
    """
    vocabularies, answered = vocabularies or {}, answered or {}
    things = said.objects(detections, len(frames.ids), config.min_score, gold)
    if learned is None:
        weighed, words = _by_scores(things, config, vocabularies, answered)
    else:
        weighed, words = _by_reliability(things, frames, config, vocabularies, answered, learned)
    extra = {s.LABEL: words, s.MASK: _best_masks(things, weighed)}
    return numbered(decided_rows(frames, things, weighed, config.least, config.ask, OBJECT, extra), frames)


def _by_scores(
    things: Said,
    config: ObjectsConfig,
    vocabularies: Mapping[str, Sequence[str] | None],
    answered: Mapping[str, NDArray[np.bool_]],
) -> tuple[Weighed, pa.Array]:
    weights = things.pool.weights(config.weights, "consensus.objects")
    knows = np.array([_knows(vocabularies.get(name), things.names) for name in things.pool.names], bool)
    knows = knows.reshape(len(things.pool.names), len(things.names))
    words = Words.of(knows, np.zeros(0, np.int64))
    clusters = cluster(things.columns, weights, config.fusion, things.gold, ~things.early.kept, words)
    could_see = knows[:, clusters.labels]
    could_see &= answers(things.pool, answered, clusters)
    crowds = things.columns.only(things.crowd)
    could_see &= ~inside(clusters, crowds, len(things.pool.names), np.zeros(0, np.int64), len(things.names)).T
    value, n_eligible = confidence(clusters, things.columns, weights, could_see, things.gold)
    return Weighed(clusters, clusters.boxes, value, n_eligible), c.take(things.words, clusters.winners)


def _by_reliability(
    things: Said,
    frames: Frames,
    config: ObjectsConfig,
    vocabularies: Mapping[str, Sequence[str] | None],
    answered: Mapping[str, NDArray[np.bool_]],
    learned: Learned,
) -> tuple[Weighed, pa.Array]:
    """Human boxes keep their own word; all others have the one word that is used for the thing in this run."""
    reliabilities, concepts = reconciled(learned, things.names, vocabularies, things.pool.names)
    columns = things.columns
    named = columns.labelled(concepts[columns.labels]) if len(concepts) else columns
    silent = c.absent(things.pool.names, answered, len(frames.ids))
    crowds = named.only(things.crowd)
    fused = fuse(named, reliabilities, config.fusion, things.gold, ~things.early.kept, silent, crowds)
    clusters, image = fused.clusters, fused.clusters.groups()
    limits = np.column_stack([frames.widths[image], frames.heights[image]] * 2).astype(np.float64)
    boxes = np.clip(fused.boxes, 0.0, limits)
    heads = clusters.members[clusters.member_offsets[:-1]]
    own = things.gold[heads] | ~things.early.kept[heads]
    boxes[own] = columns.boxes[heads[own]]  # what is not fused stands as it was said
    names = c.names_of(reliabilities.labels, fused.labels)
    words = pc.if_else(pa.array(own), c.take(things.words, heads), names)
    several = np.count_nonzero((reliabilities.model.trust > 0) & (reliabilities.model.original < 0)) > 1
    basis = s.CALIBRATED if reliabilities.model.judged[0] else s.POOLED if several else s.MEAN
    return Weighed(clusters, boxes, fused.confidence, fused.n_eligible, basis), c.flat(words)


def _best_masks(given: Said, weighed: Weighed) -> pa.Array:
    """For each cluster the mask of its strongest member that has one."""
    clusters, column = weighed.clusters, given.pool.table.column(s.MASK)
    present = ~pc.is_null(column).to_numpy().astype(bool)
    with_mask = np.flatnonzero(present[clusters.members])
    owner, earliest = np.unique(clusters.cluster_of_members()[with_mask], return_index=True)
    best = np.full(len(clusters), -1, np.int64)
    best[owner] = clusters.members[with_mask[earliest]]
    return c.take(column, best)


def _knows(vocabulary: Sequence[str] | None, labels: list[str]) -> list[bool]:
    if vocabulary is None:
        return [True] * len(labels)
    words = set(c.normal_words(vocabulary))
    return [label in words for label in labels]
