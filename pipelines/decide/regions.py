"""From what detectors and readers said to the regions of each image, kept and rejected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxColumns, BoxFusionConfig, Clusters, cluster
from consensus.confidence import confidence
from engine import ids
from engine import schema as s
from engine.errors import StoreError
from engine.geometry import quad_to_box
from engine.grouped import Frames, Grouped
from filters import regions as region_filters
from filters import texts as text_filters
from filters.decision import Decision, first, reject
from filters.regions import RegionFilterConfig
from pipelines.decide import columns as c

OBJECT: Final = "object"
WRITING: Final = "text"
_QUAD = 8


class KindConfig(BaseModel):
    """How the regions of one kind are formed and filtered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a prediction under this score does not take part (our choice)"
    )
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={}, description="how much a specialist's score counts; 1 for those not named (our choice)"
    )
    fusion: BoxFusionConfig = Field(default=BoxFusionConfig(), description="when boxes are one thing")
    filters: RegionFilterConfig = Field(default=RegionFilterConfig(), description="limits on the fused regions")


class RegionsConfig(BaseModel):
    """Objects and text regions; no value is in the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: KindConfig = Field(default=KindConfig(), description="regions of detectors")
    writing: KindConfig = Field(
        default=KindConfig(min_score=0.5, fusion=BoxFusionConfig(iou=0.5, label_bonus=0.1)),
        description="text regions of readers (0.5 is the default of RapidOCR; the rest our choice)",
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """Predictions of one kind, ready to be clustered; `words` are labels or readings as they were said."""

    pool: c.Pool
    columns: BoxColumns
    weights: NDArray[np.float64]
    words: pa.Array
    gold: NDArray[np.bool_]
    early: Decision


def decide(
    frames: Frames,
    detections: Mapping[str, Grouped],
    readings: Mapping[str, Grouped],
    config: RegionsConfig,
    gold: frozenset[str] = frozenset(),
    vocabularies: Mapping[str, frozenset[str] | None] | None = None,
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pa.Table:
    """The regions of every image: a table `engine.schema.DECIDED_REGIONS`.

    Every prediction is a vote of exactly one row: of a kept region, of a region rejected after fusion, or, if it was
    rejected before (crowd, no area, score), of a row of its own. Rows are ordered by image, kind (objects first),
    descending confidence and coordinates, and numbered in that order. Specialists in `gold` are human: each of their
    boxes is kept as a region of its own with confidence 1, except boxes around crowds (ignore regions, as in the COCO
    evaluation) and boxes without area. `vocabularies` says which labels a detector knows (None or absent: any);
    `answered` (images,) for which images a specialist answered at all (absent: for every image).
    Labels are compared in lower case and written as the strongest member with the winning label has them.

    Raises:
        StoreError: a table is not over the images of `frames`, or has a quad that is not eight numbers.
        ConfigError: a weight is given for a specialist that does not take part.
    """
    vocabularies, answered = vocabularies or {}, answered or {}
    parts = [
        _objects(frames, detections, config.objects, gold, vocabularies, answered),
        _writing(frames, readings, config.writing, gold, answered),
    ]
    image = np.concatenate([index for index, _ in parts])
    whole = pa.concat_tables([part for _, part in parts])
    kind = np.repeat([0, 1], [len(index) for index, _ in parts])
    x0, y0, x1, y1 = c.box_matrix(whole).T
    order = np.lexsort((y1, x1, y0, x0, -whole.column(s.CONFIDENCE).to_numpy(), kind, image))
    image = image[order]
    place = c.places(image, len(frames.ids))
    names = list(map(ids.region_id, map(frames.ids.__getitem__, image.tolist()), place.tolist()))
    ordered = whole.take(pa.array(order))
    at = s.DECIDED_REGIONS.get_field_index(s.REGION_ID)
    return ordered.set_column(at, s.REGION_ID, pa.array(names, pa.string())).cast(s.DECIDED_REGIONS).combine_chunks()


def _objects(
    frames: Frames,
    detections: Mapping[str, Grouped],
    config: KindConfig,
    gold: frozenset[str],
    vocabularies: Mapping[str, frozenset[str] | None],
    answered: Mapping[str, NDArray[np.bool_]],
) -> tuple[NDArray[np.int64], pa.Table]:
    pool = c.pool(detections, s.PREDICTED_REGIONS, len(frames.ids))
    labels, names = c.numbered(c.normal(pool.table.column(s.LABEL)))
    crowd = reject(c.flags(pool.table.column(s.CROWD)), "crowd")
    said = _said(
        pool, c.box_matrix(pool.table), labels, pool.table.column(s.LABEL), gold, config, "consensus.objects", crowd
    )
    clusters = cluster(said.columns, said.weights, config.fusion, said.gold, ~said.early.kept)
    knows = np.array([_knows(vocabularies.get(name), names) for name in pool.names], bool)
    could_see = knows.reshape(len(pool.names), len(names))[:, clusters.labels] & _answers(pool, answered, clusters)
    extra = {
        s.LABEL: c.take(said.words, clusters.winners),
        s.TEXT: pa.nulls(len(clusters), pa.string()),
        s.QUAD: pa.nulls(len(clusters), pa.list_(pa.float32())),
        s.MASK: _best_masks(pool, clusters),
    }
    return _rows(frames, said, clusters, clusters.boxes, clusters.labels, could_see, config, OBJECT, extra)


def _writing(
    frames: Frames,
    readings: Mapping[str, Grouped],
    config: KindConfig,
    gold: frozenset[str],
    answered: Mapping[str, NDArray[np.bool_]],
) -> tuple[NDArray[np.int64], pa.Table]:
    pool = c.pool(readings, s.PREDICTED_READINGS, len(frames.ids))
    column = c.flat(pool.table.column(s.QUAD))
    quads = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if len(quads) != _QUAD * len(column) or not c.flags(pc.equal(pc.list_value_length(column), _QUAD)).all():
        raise StoreError("a reading has a quad that is not eight numbers; readers give x0, y0, ... x3, y3")
    boxes = quad_to_box(quads.reshape(-1, _QUAD))
    trimmed = c.flat(pc.utf8_trim_whitespace(pc.fill_null(pool.table.column(s.TEXT), "")))
    texts, _ = c.numbered(trimmed)
    blank = text_filters.empty(trimmed)
    said = _said(pool, boxes, texts, trimmed, gold, config, "consensus.writing", blank)
    clusters = cluster(said.columns, said.weights, config.fusion, said.gold, ~said.early.kept)
    extra = {
        s.LABEL: pa.nulls(len(clusters), pa.string()),
        s.TEXT: c.take(trimmed, clusters.winners),
        s.QUAD: c.take(column, clusters.winners),
        s.MASK: pa.nulls(len(clusters), pa.string()),
    }
    own = boxes[clusters.winners].astype(np.float64)
    could_see = _answers(pool, answered, clusters)
    return _rows(frames, said, clusters, own, np.zeros(len(own), np.int64), could_see, config, WRITING, extra)


def _said(
    pool: c.Pool,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    words: c.Array,
    gold: frozenset[str],
    config: KindConfig,
    where: str,
    earlier: Decision,
) -> _Said:
    human = np.array([name in gold for name in pool.names], bool)
    is_gold = human[pool.specialist] if len(human) else np.zeros(0, bool)
    scores = c.floats(pool.table, s.SCORE)
    weak = region_filters.score(scores, config.min_score).only(~is_gold)
    early = first([earlier, region_filters.degenerate(boxes), weak])
    finite = np.nan_to_num(boxes, posinf=0.0, neginf=0.0)  # the rest was rejected as degenerate
    columns = BoxColumns(finite, np.nan_to_num(scores), pool.specialist, labels, pool.rows.offsets)
    weights = pool.weights(config.weights, where)
    return _Said(pool, columns, weights, c.flat(words), is_gold & early.kept, early)


def _rows(
    frames: Frames,
    said: _Said,
    clusters: Clusters,
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    could_see: NDArray[np.bool_],
    config: KindConfig,
    kind: str,
    extra: Mapping[str, pa.Array],
) -> tuple[NDArray[np.int64], pa.Table]:
    """The rows of one kind, still without ids, and the image of each."""
    image = clusters.groups()
    value, n_eligible = confidence(clusters, said.columns, said.weights, could_see, said.gold)
    human = said.gold[clusters.winners]
    limits = config.filters
    decision = first(
        [
            said.early.take(clusters.winners),
            region_filters.size(boxes, limits.min_side).only(~human),
            region_filters.whole_image(boxes, frames.widths[image], frames.heights[image], limits.max_area).only(
                ~human
            ),
            region_filters.score(value, limits.min_confidence, "confidence").only(~human),
        ]
    )
    nms = region_filters.overlap(boxes, value, labels, image, limits.nms_iou, human, decision.kept)
    columns = {
        s.IMAGE_ID: c.names_of(frames.ids, image),
        s.REGION_ID: pa.nulls(len(image), pa.string()),
        s.KIND: pa.array([kind], pa.string()).take(pa.array(np.zeros(len(image), np.int64))),
        **c.box_columns(boxes),
        **extra,
        s.CONFIDENCE: pa.array(value.astype(np.float32)),
        s.VOTES: _votes(said, clusters),
        s.N_ELIGIBLE: pa.array(n_eligible),
        **first([decision, nms]).columns(),
    }
    return image, c.table(s.DECIDED_REGIONS, columns)


def _votes(said: _Said, clusters: Clusters) -> pa.Array:
    members = clusters.members
    table = said.pool.table
    values = {
        s.SPECIALIST: c.names_of(said.pool.names, said.columns.specialists[members]),
        s.LABEL: c.take(said.words, members),
        s.SCORE: c.take(table.column(s.SCORE), members),
        **c.box_columns(np.asarray(said.columns.boxes)[members]),
    }
    return c.lists(clusters.member_offsets, c.records(s.VOTE, values))


def _best_masks(pool: c.Pool, clusters: Clusters) -> pa.Array:
    """For each cluster the mask of its strongest member that has one."""
    present = ~pc.is_null(pool.table.column(s.MASK)).to_numpy().astype(bool)
    with_mask = np.flatnonzero(present[clusters.members])
    owner, earliest = np.unique(clusters.cluster_of_members()[with_mask], return_index=True)
    best = np.full(len(clusters), -1, np.int64)
    best[owner] = clusters.members[with_mask[earliest]]
    return c.take(pool.table.column(s.MASK), best)


def _knows(vocabulary: frozenset[str] | None, labels: list[str]) -> list[bool]:
    if vocabulary is None:
        return [True] * len(labels)
    words = {word.strip().lower() for word in vocabulary}
    return [label in words for label in labels]


def _answers(pool: c.Pool, answered: Mapping[str, NDArray[np.bool_]], clusters: Clusters) -> NDArray[np.bool_]:
    """Whether each specialist answered for the image of each cluster: (specialists, clusters)."""
    image = clusters.groups()
    everywhere = np.ones(len(image), bool)
    rows = [answered[name][image] if name in answered else everywhere for name in pool.names]
    return np.array(rows, bool).reshape(len(pool.names), len(image))
