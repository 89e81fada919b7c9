"""From what grounders found to text-phrase-region triplets, kept and rejected."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxColumns
from consensus.phrases import GroundedPhrases, PhraseFusionConfig, Places, confirm, merge, places
from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Frames, Grouped
from filters import phrases as phrase_filters
from filters import regions as region_filters
from filters.decision import Decision, first, reject
from pipelines.decide import columns as c
from pipelines.decide import things
from pipelines.decide.regions import OBJECT


class TripletsConfig(BaseModel):
    """Which boxes a phrase gets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a box under this score does not take part (our choice)"
    )
    min_phrase_score: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="lowest score of a phrase, that of its best box (section 4.3 names a threshold; value our choice)",
    )
    min_box_score: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="lowest score of a box (section 4.3 names a threshold; value our choice)",
    )
    region_iou: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="a box is an accepted region from this IoU on (our choice, as PASCAL VOC)",
    )
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={}, description="how much a grounder's score counts; 1 for those not named (our choice)"
    )
    fusion: PhraseFusionConfig = Field(default=PhraseFusionConfig(), description="when boxes of a phrase are one")


def decide(
    frames: Frames,
    phrases: Grouped,
    groundings: Mapping[str, Grouped],
    regions: Grouped,
    config: TripletsConfig,
    words: things.Words | None = None,
) -> pa.Table:
    """One row for each phrase and box, a table `engine.schema.DECIDED_TRIPLETS`.

    `phrases` are kept rows of DECIDED_PHRASES, `groundings` by grounder (PREDICTED_PHRASES), `regions` kept rows of
    DECIDED_REGIONS, of which the objects count; `words` says which labels a word may mean beyond itself. Confidence is
    the mean score over the grounders and, where the phrase names an accepted region, the regions' own
    (`consensus.phrases.confirm`); `phrase_score` is that of the phrase's best box. A box is linked to the region that it
    covers, first to one that the phrase names. A phrase that nobody found has one rejected row without a box. Rows
    stand by phrase, then in descending confidence.
    Reasons in order: degenerate, score, number, phrase score, box score; not found.

    Raises:
        StoreError: a box was found for a phrase that was not asked, or a table is not over the images of `frames`.
        ConfigError: a weight is given for a grounder that does not take part.
    """
    pool = c.pool(groundings, s.PREDICTED_PHRASES, len(frames.ids))
    columns, rows = _by_phrase(pool, phrases.table)
    boxes = columns.boxes
    early = first([region_filters.degenerate(boxes), region_filters.score(columns.scores, config.min_score)])
    clean = BoxColumns(
        np.nan_to_num(boxes, posinf=0.0, neginf=0.0),
        np.nan_to_num(columns.scores),
        columns.specialists,
        columns.labels,
        columns.offsets,
    )
    numbers = phrases.table.column(s.NUMBER).to_numpy().astype(np.int64)
    merged = merge(clean, pool.weights(config.weights, "consensus.phrases"), config.fusion, ~early.kept)
    phrase = merged.clusters.groups()
    region, named, contradicted = _regions(merged, phrases, regions, config.region_iou, words or {})
    value = confirm(merged.scores, named, contradicted)
    ranked = places(merged, value, numbers)
    phrase_score = np.zeros(phrases.table.num_rows)
    np.maximum.at(phrase_score, phrase, np.where(merged.counted, value, 0.0))
    decision = _decision(merged, ranked, early, value, phrase_score[phrase], config)
    found = _found_rows(phrases.table, pool, merged, rows, phrase_score[phrase], region, value, decision)
    missing = np.setdiff1d(np.arange(phrases.table.num_rows), phrase)
    whole = pa.concat_tables([found, _missing_rows(phrases.table, missing, config.min_phrase_score)])
    confidence = np.nan_to_num(c.floats(whole, s.CONFIDENCE))
    x0, y0, x1, y1 = np.nan_to_num(c.box_matrix(whole)).T
    order = np.lexsort((y1, x1, y0, x0, -confidence, np.concatenate([phrase, missing])))
    return whole.take(pa.array(order)).combine_chunks()


def _by_phrase(pool: c.Pool, phrases: pa.Table) -> tuple[BoxColumns, NDArray[np.int64]]:
    """The boxes grouped by phrase, and their rows in the pool."""
    found = pc.index_in(pool.table.column(s.PHRASE_ID), value_set=c.flat(phrases.column(s.PHRASE_ID)))
    index = c.flat(pc.fill_null(found, -1)).to_numpy(zero_copy_only=False).astype(np.int64)
    if np.any(index < 0):
        stray = pool.table.column(s.PHRASE_ID)[int(np.argmax(index < 0))].as_py()
        raise StoreError(f"a box was found for phrase {stray!r}, which is not among the accepted phrases")
    rows = np.argsort(index, kind="stable")
    columns = BoxColumns(
        c.box_matrix(pool.table)[rows],
        c.floats(pool.table, s.SCORE)[rows],
        pool.specialist[rows],
        np.zeros(len(rows), np.int64),
        c.starts(index[rows], phrases.num_rows),
    )
    return columns, rows


def _decision(
    merged: GroundedPhrases,
    ranked: Places,
    early: Decision,
    value: NDArray[np.float64],
    phrase_score: NDArray[np.float64],
    config: TripletsConfig,
) -> Decision:
    return first(
        [
            early.take(merged.clusters.winners),
            reject(ranked.surplus, "number", ranked.rank, ranked.wanted),
            phrase_filters.score(phrase_score, config.min_phrase_score),
            region_filters.score(value, config.min_box_score, "box score"),
        ]
    )


def _regions(
    merged: GroundedPhrases, phrases: Grouped, regions: Grouped, threshold: float, words: things.Words
) -> tuple[pa.Array, NDArray[np.float64], NDArray[np.bool_]]:
    """Of every box: the id of the accepted object that it is (null: none); that object's confidence if the phrase names
    it (NaN otherwise); whether it is an object of another name while the phrase names one elsewhere."""
    from consensus import kernels

    objects = regions.where(pc.equal(regions.table.column(s.KIND), OBJECT))
    boxes, phrase = np.ascontiguousarray(merged.clusters.boxes), merged.clusters.groups()
    corners = c.box_matrix(objects.table).astype(np.float64)
    wanted, offsets = _named(phrases, objects, words)
    own, shared = kernels.best_match(boxes, phrase, corners[wanted], offsets)
    any_, overlap = kernels.best_match(boxes, phrases.image_index()[phrase], corners, objects.offsets)
    sure = shared >= threshold
    contradicted = ~sure & (overlap >= threshold) & (np.diff(offsets)[phrase] > 0)
    index = np.where((overlap >= threshold) & ~contradicted, any_, -1)
    index[sure] = wanted[own[sure]]
    confidence = np.full(len(index), np.nan)
    confidence[sure] = c.floats(objects.table, s.CONFIDENCE)[index[sure]]
    return c.take(objects.table.column(s.REGION_ID), index), confidence, contradicted


def _named(phrases: Grouped, objects: Grouped, words: things.Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The objects that each phrase names: rows of `objects`, flat by phrase, and offsets (phrases + 1,)."""
    labels, label_names = c.numbered(c.normal(objects.table.column(s.LABEL)))
    means = things.meant(phrases.table.column(s.PHRASE), phrases.table.column(s.HEAD), label_names, words)
    image, n = phrases.image_index(), phrases.table.num_rows
    each = np.diff(objects.offsets)[image]
    phrase = np.repeat(np.arange(n), each)
    thing = np.arange(len(phrase)) - np.repeat(np.cumsum(each) - each, each) + objects.offsets[image][phrase]
    named = means[phrase, labels[thing]]
    return thing[named], c.starts(phrase[named], n)


def _found_rows(
    phrases: pa.Table,
    pool: c.Pool,
    merged: GroundedPhrases,
    rows: NDArray[np.int64],
    phrase_score: NDArray[np.float64],
    region: pa.Array,
    value: NDArray[np.float64],
    decision: Decision,
) -> pa.Table:
    clusters = merged.clusters
    phrase = clusters.groups()
    said = rows[clusters.members]
    votes = {
        s.SPECIALIST: c.names_of(pool.names, pool.specialist[said]),
        s.LABEL: c.take(phrases.column(s.PHRASE), phrase[clusters.cluster_of_members()]),
        s.SCORE: c.take(pool.table.column(s.SCORE), said),
        **c.box_columns(c.box_matrix(pool.table)[said]),
    }
    columns = {
        **_phrase_columns(phrases, phrase),
        s.PHRASE_SCORE: pa.array(phrase_score.astype(np.float32)),
        **c.box_columns(clusters.boxes),
        s.REGION_ID: region,
        s.CONFIDENCE: pa.array(value.astype(np.float32)),
        s.VOTES: c.lists(clusters.member_offsets, c.records(s.VOTE, votes)),
        **decision.columns(),
    }
    return c.table(s.DECIDED_TRIPLETS, columns)


def _missing_rows(phrases: pa.Table, missing: NDArray[np.int64], threshold: float) -> pa.Table:
    n = len(missing)
    columns = {name: pa.nulls(n, s.DECIDED_TRIPLETS.field(name).type) for name in s.DECIDED_TRIPLETS.names}
    nobody = c.lists(np.zeros(n + 1, np.int64), pa.array([], s.VOTE))
    return c.table(
        s.DECIDED_TRIPLETS,
        {
            **columns,
            **_phrase_columns(phrases, missing),
            s.PHRASE_SCORE: pa.array(np.zeros(n, np.float32)),
            s.VOTES: nobody,
            **reject(np.ones(n, bool), "not found", 0.0, threshold).columns(),
        },
    )


def _phrase_columns(phrases: pa.Table, index: NDArray[np.int64]) -> dict[str, pa.Array]:
    names = (s.IMAGE_ID, s.TEXT_ID, s.PHRASE_ID, s.PHRASE, s.START, s.END)
    return {name: c.take(phrases.column(name), index) for name in names}
