"""From what grounders found to the places of each phrase: consensus alone, before anything is filtered."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.boxes import BoxColumns
from consensus.phrases import GroundedPhrases, PhraseFusionConfig, merge
from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Frames, Grouped
from filters import regions as region_filters
from filters.decision import Decision, first, reject
from pipelines.decide import columns as c


class GroundingsConfig(BaseModel):
    """How the boxes of several grounders become one place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a box under this score does not take part (our choice)"
    )
    fusion: PhraseFusionConfig = Field(default=PhraseFusionConfig(), description="when boxes of a phrase are one")
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={}, description="how much a grounder's score counts; 1 for those not named (our choice)"
    )
    ask: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="segmenters look at boxes from this score on; filters cannot accept less (our choice)",
    )


def decide(
    frames: Frames,
    phrases: Grouped,
    groundings: Mapping[str, Grouped],
    config: GroundingsConfig,
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pa.Table:
    """One row for each phrase and place, a table `engine.schema.DECIDED_TRIPLETS` without regions, and one without a
    place for each phrase that nobody looked for.

    `phrases` are the rows of DECIDED_PHRASES that were asked, `groundings` by grounder (PREDICTED_PHRASES), `answered`
    (images,) for which images a grounder answered at all (absent: for every image). Confidence is
    the mean score over the grounders (`consensus.phrases.merge`), `phrase_score` that of the phrase's best place. Rows
    stand by phrase, then in descending confidence. Reasons in order: degenerate, score, unlikely; not looked for.

    Raises:
        StoreError: a box was found for a phrase that was not asked, or a table is not over the images of `frames`.
        ConfigError: a weight is given for a grounder that does not take part.
    """
    pool = c.pool(groundings, s.PREDICTED_PHRASES, len(frames.ids))
    columns, rows = _by_phrase(pool, phrases.table)
    early = first([region_filters.degenerate(columns.boxes), region_filters.score(columns.scores, config.min_score)])
    clean = BoxColumns(
        np.nan_to_num(columns.boxes, posinf=0.0, neginf=0.0),
        np.nan_to_num(columns.scores),
        columns.specialists,
        columns.labels,
        columns.offsets,
    )
    weights = pool.weights(config.weights, "consensus.phrases")
    silent = c.absent(pool.names, answered or {}, len(frames.ids))[phrases.image_index()]
    merged = merge(clean, weights, config.fusion, ~early.kept, silent)
    unlikely = region_filters.score(merged.scores, config.ask, "unlikely")
    decision = first([early.take(merged.clusters.winners), unlikely])
    unasked = np.flatnonzero(silent.all(axis=1))
    found = _rows(phrases.table, pool, merged, rows, decision)
    absent = without_place(phrases.table, unasked, reject(np.ones(len(unasked), bool), "not looked for"))
    return by_phrase(found, merged.clusters.groups(), absent, unasked)


def _by_phrase(pool: c.Pool, phrases: pa.Table) -> tuple[BoxColumns, NDArray[np.int64]]:
    """The boxes grouped by phrase, and their rows in the pool."""
    found = pc.index_in(pool.table.column(s.PHRASE_ID), value_set=c.flat(phrases.column(s.PHRASE_ID)))
    index = c.flat(pc.fill_null(found, -1)).to_numpy(zero_copy_only=False).astype(np.int64)
    if np.any(index < 0):
        stray = pool.table.column(s.PHRASE_ID)[int(np.argmax(index < 0))].as_py()
        raise StoreError(f"a box was found for phrase {stray!r}, which nobody was asked to find")
    rows = np.argsort(index, kind="stable")
    columns = BoxColumns(
        c.box_matrix(pool.table)[rows],
        c.floats(pool.table, s.SCORE)[rows],
        pool.specialist[rows],
        np.zeros(len(rows), np.int64),
        c.starts(index[rows], phrases.num_rows),
    )
    return columns, rows


def _rows(
    phrases: pa.Table, pool: c.Pool, merged: GroundedPhrases, rows: NDArray[np.int64], decision: Decision
) -> pa.Table:
    clusters = merged.clusters
    phrase = clusters.groups()
    best = np.zeros(phrases.num_rows)
    np.maximum.at(best, phrase, np.where(merged.counted, merged.scores, 0.0))
    said = rows[clusters.members]
    votes = {
        s.SPECIALIST: c.names_of(pool.names, pool.specialist[said]),
        s.LABEL: c.take(phrases.column(s.PHRASE), phrase[clusters.cluster_of_members()]),
        s.SCORE: c.take(pool.table.column(s.SCORE), said),
        **c.box_columns(c.box_matrix(pool.table)[said]),
    }
    columns = {
        **phrase_columns(phrases, phrase),
        s.PHRASE_SCORE: pa.array(best[phrase].astype(np.float32)),
        **c.box_columns(clusters.boxes),
        s.REGION_ID: pa.nulls(len(phrase), pa.string()),
        s.CONFIDENCE: pa.array(merged.scores.astype(np.float32)),
        s.VOTES: c.lists(clusters.member_offsets, c.records(s.VOTE, votes)),
        **decision.columns(),
    }
    return c.table(s.DECIDED_TRIPLETS, columns)


def without_place(phrases: pa.Table, index: NDArray[np.int64], decision: Decision) -> pa.Table:
    """Rows of DECIDED_TRIPLETS without a box for the given rows of DECIDED_PHRASES; `decision` (rows,) says why."""
    n = len(index)
    return c.table(
        s.DECIDED_TRIPLETS,
        {
            **{field.name: pa.nulls(n, field.type) for field in s.DECIDED_TRIPLETS},
            **phrase_columns(phrases, index),
            s.PHRASE_SCORE: pa.array(np.zeros(n, np.float32)),
            s.VOTES: c.lists(np.zeros(n + 1, np.int64), pa.array([], s.VOTE)),
            **decision.columns(),
        },
    )


def by_phrase(found: pa.Table, phrase: NDArray[np.int64], absent: pa.Table, missing: NDArray[np.int64]) -> pa.Table:
    """Places and rows without one, of the phrases numbered `phrase` and `missing`, by phrase and falling confidence."""
    whole = pa.concat_tables([found, absent])
    confidence = np.nan_to_num(c.floats(whole, s.CONFIDENCE))
    x0, y0, x1, y1 = np.nan_to_num(c.box_matrix(whole)).T
    order = np.lexsort((y1, x1, y0, x0, -confidence, np.concatenate([phrase, missing])))
    return c.take_rows(whole, order).combine_chunks()


def phrase_columns(phrases: pa.Table, index: NDArray[np.int64]) -> dict[str, pa.Array]:
    """What triplets repeat of their phrase, for the given rows of DECIDED_PHRASES."""
    names = (s.IMAGE_ID, s.TEXT_ID, s.PHRASE_ID, s.PHRASE, s.START, s.END)
    return {name: c.take(phrases.column(name), index) for name in names}
