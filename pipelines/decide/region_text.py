"""From accepted regions and what was said about their crops to one text for each region."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine import schema as s
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from filters import texts, wording
from filters.decision import first
from filters.regions import score
from filters.syntax import noun_chunks
from pipelines.decide import columns as c
from pipelines.decide.categories import category_phrases
from pipelines.decide.said import WRITING

# Raise it with every change of the candidate texts of the same answers: category phrases (`pipelines.decide.categories`,
# `specialists.nouns`) and noun chunks (`chunk_rows`, `filters.syntax`).
CANDIDATES_VERSION: Final = 2
# Granularities of a region's text, in the order in which equally similar candidates win.
GRANULARITIES: Final = ("phrase", "brief", "chunk", "ocr")
_PHRASE, _BRIEF, _CHUNK, _OCR = range(4)


class RegionTextConfig(BaseModel):
    """How the text of a region is chosen: the candidate most similar to the crop (paper section 4.2)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_similarity: float | None = Field(
        default=None,
        description="reject a region whose best text is less similar to it than this; null keeps all (our choice)",
    )


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Candidates in order: `region` (n,) row of the region, `granularity` (n,) number, `specialist` (n,) or -1."""

    region: NDArray[np.int64]
    text: pa.Array
    granularity: NDArray[np.int64]
    specialist: NDArray[np.int64]
    names: list[str]


def decide(
    frames: Frames,
    regions: Grouped,
    crop_texts: Mapping[str, Grouped],
    similarities: Mapping[str, Grouped],
    config: RegionTextConfig,
    chunks: Mapping[str, Grouped] | None = None,
) -> pa.Table:
    """One row for each kept region: a table `engine.schema.DECIDED_REGION_TEXTS`.

    `regions` are the kept rows of DECIDED_REGIONS; what was said about others is left out. Candidates of an object: its
    category phrase (`category_phrases` of its label), the crop texts of each captioner (CROP_TEXTS), and their noun `chunks` (by
    captioner, CROP_TEXTS, see `chunk_rows`). The candidate with the highest mean similarity over the scorers
    (SIMILARITIES) wins, each scorer on its own scale between the region's least and most similar candidate; ties, and
    candidates nobody scored, in the order phrase, brief, chunk. A crop text that is noise (`filters.wording.noise`) is
    never chosen before one that is not. A text region keeps its reading ("ocr"). A candidate's specialist is the
    captioner, null for phrase and ocr, whose specialists stand in the region's votes.

    Raises:
        StoreError: a table is not over the images of `frames`.
    """
    table = regions.table
    found = _candidates(frames, table, crop_texts, chunks or {})
    scored = [
        (_region_rows(part.table, table), part.table.column(s.TEXT), c.floats(part.table, s.SIMILARITY))
        for _, part in sorted(similarities.items())
    ]
    similarity = c.mean_similarity(found.region, found.text, scored)
    offsets = c.starts(found.region, table.num_rows)
    said = np.isin(found.granularity, (_BRIEF, _CHUNK))
    unfit = first([texts.empty(found.text), wording.noise(found.text).only(said)])
    fit = _standing(found, scored, offsets)
    ranked = np.lexsort((np.arange(len(fit)), -fit, ~unfit.kept, found.region))
    best = ranked[offsets[:-1]]
    decisions = [unfit.take(best)]
    if config.min_similarity is not None and similarities:
        known = ~np.isnan(similarity[best])
        decisions.append(score(similarity[best], config.min_similarity, "similarity").only(known))
    values = {
        s.TEXT: found.text,
        s.GRANULARITY: c.names_of(GRANULARITIES, found.granularity),
        s.SPECIALIST: c.names_of(found.names, found.specialist),
        s.SIMILARITY: c.numbers(similarity, pa.float32()),
    }
    columns = {
        s.IMAGE_ID: c.flat(table.column(s.IMAGE_ID)),
        s.REGION_ID: c.flat(table.column(s.REGION_ID)),
        s.TEXT: c.take(found.text, best),
        s.GRANULARITY: c.take(values[s.GRANULARITY], best),
        s.SIMILARITY: c.take(values[s.SIMILARITY], best),
        s.CANDIDATES: c.lists(offsets, c.records(s.CANDIDATE, values)),
        **first(decisions).columns(),
    }
    return c.table(s.DECIDED_REGION_TEXTS, columns)


def _standing(
    found: _Candidates,
    scored: Sequence[tuple[NDArray[np.int64], c.Array, NDArray[np.float64]]],
    offsets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """How well each candidate fits beside the others of its region: mean over the scorers in 0..1; -1: nobody knows.

    Scorers have scales of their own, so the mean of raw similarities would follow whoever has the widest.
    """
    total, count = np.zeros(len(found.region)), np.zeros(len(found.region))
    for one in scored:
        similarity = c.mean_similarity(found.region, found.text, [one])
        known = ~np.isnan(similarity)
        low, high = np.full(len(offsets) - 1, np.inf), np.full(len(offsets) - 1, -np.inf)
        np.minimum.at(low, found.region[known], similarity[known])
        np.maximum.at(high, found.region[known], similarity[known])
        span = (high - low)[found.region]
        # a scorer that sees no difference says nothing about it
        useful = known & (span > 0)
        total[useful] += (similarity[useful] - low[found.region[useful]]) / span[useful]
        count += useful
    seen = c.mean_similarity(found.region, found.text, scored)
    return np.where(count > 0, total / np.maximum(count, 1), np.where(np.isnan(seen), -1.0, 0.5))


def chunk_rows(crop_texts: pa.Table, tokens: Tokens) -> pa.Table:
    """The noun chunks of crop texts, a table CROP_TEXTS; `tokens` are those of the texts, row by row.

    Chunks whose head is a pronoun are left out, and so is a chunk that is the whole text: both would only repeat. So are
    those that deny ("no people").
    """
    texts = crop_texts.column(s.TEXT).to_pylist()
    found = noun_chunks(tokens, texts)
    chunk = pa.array(found.phrase, pa.string())
    row = np.asarray(found.text, np.int64)
    whole = pc.equal(c.normal(chunk), c.take(c.normal(crop_texts.column(s.TEXT)), row))
    useful = ~c.flags(whole) & ~c.flags(pc.equal(pa.array(found.upos, pa.string()), "PRON")) & ~found.denied
    kept = np.flatnonzero(useful)
    rows = crop_texts.take(pa.array(row[kept]))
    at = crop_texts.schema.get_field_index(s.TEXT)
    return rows.set_column(at, s.TEXT, c.take(chunk, kept)).cast(s.CROP_TEXTS)


def _candidates(
    frames: Frames, regions: pa.Table, crop_texts: Mapping[str, Grouped], chunks: Mapping[str, Grouped]
) -> _Candidates:
    writing = c.flags(pc.equal(regions.column(s.KIND), WRITING))
    names = sorted({*crop_texts, *chunks})
    own = pc.if_else(
        pa.array(writing), pc.fill_null(c.flat(regions.column(s.TEXT)), ""), category_phrases(regions.column(s.LABEL))
    )
    region, granularity = [np.arange(regions.num_rows)], [np.where(writing, _OCR, _PHRASE)]
    specialist, texts = [np.full(regions.num_rows, -1)], [c.flat(own)]
    for kind, said in ((_BRIEF, crop_texts), (_CHUNK, chunks)):
        pool = c.pool(said, s.CROP_TEXTS, len(frames.ids))
        of = _region_rows(pool.table, regions)
        about = np.flatnonzero(of >= 0)
        region.append(of[about])
        granularity.append(np.full(len(about), kind))
        index = np.array([names.index(name) for name in pool.names], np.int64)
        specialist.append(index[pool.specialist[about]] if len(index) else pool.specialist)
        texts.append(c.take(pc.fill_null(pool.table.column(s.TEXT), ""), about))
    where, kind_of, who = np.concatenate(region), np.concatenate(granularity), np.concatenate(specialist)
    order = np.lexsort((np.arange(len(where)), who, kind_of, where))
    text = c.take(pa.chunked_array(texts, pa.string()), order)
    return _Candidates(where[order], text, kind_of[order], who[order], names)


def _region_rows(rows: pa.Table, regions: pa.Table) -> NDArray[np.int64]:
    """For each row the position of its region; -1 where that is not there."""
    found = pc.index_in(rows.column(s.REGION_ID), value_set=c.flat(regions.column(s.REGION_ID)))
    return np.asarray(c.flat(pc.fill_null(found, -1)).to_numpy(zero_copy_only=False), np.int64)
