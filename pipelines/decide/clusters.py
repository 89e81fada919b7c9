"""From what detectors and readers said to the things of each image: consensus alone, before anything is filtered.

Specialists that look at regions are asked about these, so no filter's threshold makes them look again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxFusionConfig, Clusters, cluster
from consensus.confidence import confidence
from consensus.fusion import fuse
from engine import ids
from engine import schema as s
from engine.grouped import Frames, Grouped
from filters import regions as region_filters
from filters.decision import first
from pipelines.decide import columns as c
from pipelines.decide import said
from pipelines.decide.reliability import Learned, reconciled
from pipelines.decide.said import OBJECT, WRITING, Said


class KindConfig(BaseModel):
    """How boxes of one kind become things."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a prediction under this score does not take part (our choice)"
    )
    fusion: BoxFusionConfig = Field(default=BoxFusionConfig(), description="when boxes are one thing")
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={}, description="how much a specialist's score counts; 1 for those not named (our choice)"
    )
    ask: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="specialists look at regions from this confidence on; filters cannot accept less (our choice)",
    )


class ObjectsConfig(KindConfig):
    """The same for objects, whose detectors can be weighed by what is learned about them."""

    method: Literal["auto", "learned", "weighted"] = Field(
        default="auto",
        description="learned: reliabilities by expectation-maximisation, without labels; weighted: mean score by "
        "`weights`; auto: learned where two detectors that are no people take part and no weights are given",
    )


class ClustersConfig(BaseModel):
    """Objects and text regions; no value is in the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: ObjectsConfig = Field(default=ObjectsConfig(), description="boxes of detectors")
    writing: KindConfig = Field(
        default=KindConfig(min_score=0.5, fusion=BoxFusionConfig(iou=0.5, label_bonus=0.1)),
        description="quads of readers (0.5 is the default of RapidOCR; the rest our choice)",
    )


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Clusters and what is made of them: boxes (k, 4), label numbers, words, confidence and eligible specialists."""

    clusters: Clusters
    boxes: NDArray[np.float64]
    labels: pa.Array
    confidence: NDArray[np.float64]
    n_eligible: NDArray[np.int32]
    winners: NDArray[np.int64]


def decide(
    frames: Frames,
    detections: Mapping[str, Grouped],
    readings: Mapping[str, Grouped],
    config: ClustersConfig,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, Sequence[str] | None] | None = None,
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
    learned: Learned | None = None,
) -> pa.Table:
    """The things of every image: a table `engine.schema.DECIDED_REGIONS`.

    Every prediction is a vote of exactly one row: of a thing, or, if it took no part (crowd, no area, score), of a row
    of its own. Rows are ordered by image, kind (objects first), descending confidence and coordinates, and numbered in
    that order. Specialists in `gold` are human: each of their boxes is a thing of its own with confidence 1, except
    boxes around crowds (ignore regions, as in the COCO evaluation) and boxes without area. `vocabularies` says which
    labels a detector knows (None or absent: any); `answered` (images,) for which images a specialist answered at all
    (absent: for every image). With what was `learned`, objects have a calibrated probability, places weighed by how
    exact each detector is, and one word for a thing; without, the mean of the scores, and the strongest one's word.
    Reasons in order: those of `pipelines.decide.said`, for what took no part; unlikely, for what nobody is asked about.

    Raises:
        StoreError: a table is not over the images of `frames`, or has a quad that is not eight numbers.
        ConfigError: a weight is given for a specialist that does not take part.
    """
    vocabularies, answered = vocabularies or {}, answered or {}
    things = said.objects(detections, len(frames.ids), config.objects.min_score, gold)
    if learned is None:
        weighed = _by_scores(things, config.objects, vocabularies, answered)
    else:
        weighed = _by_reliability(things, frames, config.objects, vocabularies, answered, learned)
    extra = {s.LABEL: weighed.labels, s.MASK: _best_masks(things, weighed)}
    parts = [_rows(frames, things, weighed, config.objects.ask, OBJECT, extra)]
    parts.append(_writing(frames, readings, config.writing, gold, answered))
    return _numbered(frames, parts)


def _numbered(frames: Frames, parts: Sequence[tuple[NDArray[np.int64], pa.Table]]) -> pa.Table:
    """Both kinds in order, with their ids."""
    image = np.concatenate([index for index, _ in parts])
    whole = pa.concat_tables([part for _, part in parts])
    kind = np.repeat(np.arange(len(parts)), [len(index) for index, _ in parts])
    x0, y0, x1, y1 = c.box_matrix(whole).T
    order = np.lexsort((y1, x1, y0, x0, -whole.column(s.CONFIDENCE).to_numpy(), kind, image))
    image = image[order]
    place = c.places(image, len(frames.ids))
    names = list(map(ids.region_id, map(frames.ids.__getitem__, image.tolist()), place.tolist()))
    ordered = whole.take(pa.array(order))
    at = s.DECIDED_REGIONS.get_field_index(s.REGION_ID)
    return ordered.set_column(at, s.REGION_ID, pa.array(names, pa.string())).cast(s.DECIDED_REGIONS).combine_chunks()


def _by_scores(
    things: Said,
    config: KindConfig,
    vocabularies: Mapping[str, Sequence[str] | None],
    answered: Mapping[str, NDArray[np.bool_]],
) -> _Weighed:
    weights = things.pool.weights(config.weights, "consensus.objects")
    clusters = cluster(things.columns, weights, config.fusion, things.gold, ~things.early.kept)
    knows = np.array([_knows(vocabularies.get(name), things.names) for name in things.pool.names], bool)
    could_see = knows.reshape(len(things.pool.names), len(things.names))[:, clusters.labels]
    value, n_eligible = confidence(
        clusters, things.columns, weights, could_see & _answers(things.pool, answered, clusters), things.gold
    )
    words = c.take(things.words, clusters.winners)
    return _Weighed(clusters, clusters.boxes, words, value, n_eligible, clusters.winners)


def _by_reliability(
    things: Said,
    frames: Frames,
    config: ObjectsConfig,
    vocabularies: Mapping[str, Sequence[str] | None],
    answered: Mapping[str, NDArray[np.bool_]],
    learned: Learned,
) -> _Weighed:
    """Human boxes keep their own word; all others have the one word that is used for the thing in this run."""
    reliabilities, concepts = reconciled(learned, things.names, vocabularies, things.pool.names)
    columns = things.columns
    named = type(columns)(columns.boxes, columns.scores, columns.specialists, concepts[columns.labels], columns.offsets)
    silent = c.absent(things.pool.names, answered, len(frames.ids))
    fused = fuse(named, reliabilities, config.fusion, things.gold, ~things.early.kept, silent)
    clusters, image = fused.clusters, fused.clusters.groups()
    limits = np.column_stack([frames.widths[image], frames.heights[image]] * 2).astype(np.float64)
    boxes = np.clip(fused.boxes, 0.0, limits)
    heads = clusters.members[clusters.member_offsets[:-1]]
    own = things.gold[heads] | ~things.early.kept[heads]
    boxes[own] = columns.boxes[heads[own]]  # what is not fused stands as it was said
    names = c.names_of(reliabilities.labels, fused.labels)
    words = pc.if_else(pa.array(own), c.take(things.words, heads), names)
    return _Weighed(clusters, boxes, c.flat(words), fused.confidence, fused.n_eligible, clusters.winners)


def _writing(
    frames: Frames,
    readings: Mapping[str, Grouped],
    config: KindConfig,
    gold: frozenset[str],
    answered: Mapping[str, NDArray[np.bool_]],
) -> tuple[NDArray[np.int64], pa.Table]:
    """A text region is the strongest reader's quad and reading."""
    read, quads = said.writing(readings, len(frames.ids), config.min_score, gold)
    weights = read.pool.weights(config.weights, "consensus.writing")
    clusters = cluster(read.columns, weights, config.fusion, read.gold, ~read.early.kept)
    value, n_eligible = confidence(clusters, read.columns, weights, _answers(read.pool, answered, clusters), read.gold)
    words = c.take(read.words, clusters.winners)
    own = np.asarray(read.columns.boxes)[clusters.winners].astype(np.float64)
    weighed = _Weighed(clusters, own, words, value, n_eligible, clusters.winners)
    return _rows(frames, read, weighed, config.ask, WRITING, {s.TEXT: words, s.QUAD: c.take(quads, clusters.winners)})


def _rows(
    frames: Frames, given: Said, weighed: _Weighed, ask: float, kind: str, extra: Mapping[str, pa.Array]
) -> tuple[NDArray[np.int64], pa.Table]:
    """The rows of one kind, still without ids, and the image of each."""
    image = weighed.clusters.groups()
    missing = {name: pa.nulls(len(image), s.DECIDED_REGIONS.field(name).type)
               for name in (s.REGION_ID, s.LABEL, s.TEXT, s.QUAD, s.MASK)}  # fmt: skip
    heads = weighed.clusters.members[weighed.clusters.member_offsets[:-1]]
    unlikely = region_filters.score(weighed.confidence, ask, "unlikely").only(~given.gold[heads])
    columns = {
        **missing,
        s.IMAGE_ID: c.names_of(frames.ids, image),
        s.KIND: pa.array([kind], pa.string()).take(pa.array(np.zeros(len(image), np.int64))),
        **c.box_columns(weighed.boxes),
        **extra,
        s.CONFIDENCE: pa.array(weighed.confidence.astype(np.float32)),
        s.VOTES: _votes(given, weighed.clusters),
        s.N_ELIGIBLE: pa.array(weighed.n_eligible),
        **first([given.early.take(heads), unlikely]).columns(),
    }
    return image, c.table(s.DECIDED_REGIONS, columns)


def _votes(given: Said, clusters: Clusters) -> pa.Array:
    members = clusters.members
    values = {
        s.SPECIALIST: c.names_of(given.pool.names, given.columns.specialists[members]),
        s.LABEL: c.take(given.words, members),
        s.SCORE: c.take(given.pool.table.column(s.SCORE), members),
        **c.box_columns(np.asarray(given.columns.boxes)[members]),
    }
    return c.lists(clusters.member_offsets, c.records(s.VOTE, values))


def _best_masks(given: Said, weighed: _Weighed) -> pa.Array:
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
    words = {word.strip().lower() for word in vocabulary}
    return [label in words for label in labels]


def _answers(pool: c.Pool, answered: Mapping[str, NDArray[np.bool_]], clusters: Clusters) -> NDArray[np.bool_]:
    """Whether each specialist answered for the image of each cluster: (specialists, clusters)."""
    return ~c.absent(pool.names, answered, len(clusters.offsets) - 1)[clusters.groups()].T
