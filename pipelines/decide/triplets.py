"""From the places of phrases and the regions of an image to text-phrase-region triplets, kept and rejected."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from consensus.phrases import confirm, places
from engine import schema as s
from engine.grouped import Grouped
from filters import phrases as phrase_filters
from filters import regions as region_filters
from filters.decision import Decision, first, reject
from pipelines.decide import columns as c
from pipelines.decide import things
from pipelines.decide.groundings import by_phrase, without_place
from pipelines.decide.said import OBJECT


class TripletsConfig(BaseModel):
    """Which boxes a phrase gets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


@dataclass(frozen=True, slots=True)
class _Linked:
    """Of every place: the id of the accepted object that it is (null: none), that object's confidence if the phrase
    names it (NaN otherwise), and whether it is another object while the phrase names one elsewhere: (k,) each."""

    region: pa.Array
    named: NDArray[np.float64]
    contradicted: NDArray[np.bool_]


def decide(
    phrases: Grouped,
    groundings: Grouped,
    regions: Grouped,
    config: TripletsConfig,
    words: things.Words | None = None,
    blind: frozenset[str] = frozenset(),
) -> pa.Table:
    """One row for each phrase and box, a table `engine.schema.DECIDED_TRIPLETS`.

    `phrases` are kept rows of DECIDED_PHRASES, `groundings` all places (`pipelines.decide.groundings`), `regions` kept
    rows of DECIDED_REGIONS, of which the objects count; `words` says which labels a word may mean beyond itself, and
    `blind` names grounders that see nothing but regions. Confidence is the mean score over the grounders and, where the
    phrase names an accepted region for which no blind grounder spoke, the region's own (`consensus.phrases.confirm`);
    `phrase_score` is that of the phrase's best box. A box is linked to the region that it covers, first to one that the
    phrase names. A phrase that nobody found, or looked for, has one rejected row without a box. Rows stand by phrase,
    then in descending confidence.
    Reasons in order: those that places have, no region (of a box that only blind grounders gave), number, phrase score,
    box score; not looked for; not found.
    """
    placed = pc.is_valid(groundings.table.column(s.X0))
    table, phrase = _of_phrases(phrases, groundings.table.filter(placed))
    unasked, unasked_phrase = _of_phrases(phrases, groundings.table.filter(pc.invert(placed)))
    counted = c.flags(pc.is_null(table.column(s.REASON)))
    linked = _linked(table, phrase, phrases, regions, config.region_iou, words or {})
    spoken, only = _voted(table, blind)
    # a blind grounder's score is the region's own confidence, which must not be heard twice
    named = np.where(spoken, np.nan, linked.named)
    value = confirm(c.floats(table, s.CONFIDENCE), named, linked.contradicted)
    numbers = phrases.table.column(s.NUMBER).to_numpy().astype(np.int64)
    stray = only & c.flags(pc.is_null(linked.region))
    best = np.zeros(phrases.table.num_rows)
    np.maximum.at(best, phrase, np.where(counted & ~stray, value, 0.0))
    decision = first(
        [reject(stray, "no region"), _decision(phrase, counted & ~stray, value, best[phrase], numbers, config)]
    )
    for name, column in ((s.PHRASE_SCORE, best[phrase]), (s.CONFIDENCE, value)):
        table = c.with_column(table, name, pa.array(column.astype(np.float32)))
    found = c.decided(c.with_column(table, s.REGION_ID, linked.region), decision.only(counted), s.DECIDED_TRIPLETS)
    missing = np.setdiff1d(np.arange(phrases.table.num_rows), np.concatenate([phrase, unasked_phrase]))
    not_found = reject(np.ones(len(missing), bool), "not found", 0.0, config.min_phrase_score)
    absent = pa.concat_tables([unasked, without_place(phrases.table, missing, not_found)])
    return by_phrase(found, phrase, absent, np.concatenate([unasked_phrase, missing]))


def _of_phrases(phrases: Grouped, places: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    """The places of these phrases (k,), and the row of each one's phrase: (k,)."""
    position = pc.index_in(places.column(s.PHRASE_ID), value_set=c.flat(phrases.table.column(s.PHRASE_ID)))
    row = c.flat(position.drop_null()).to_numpy(zero_copy_only=False).astype(np.int64)
    return places.filter(pc.is_valid(position)), row


def _decision(
    phrase: NDArray[np.int64],
    counted: NDArray[np.bool_],
    value: NDArray[np.float64],
    best: NDArray[np.float64],
    numbers: NDArray[np.int64],
    config: TripletsConfig,
) -> Decision:
    ranked = places(phrase, counted, value, numbers)
    return first(
        [
            phrase_filters.surplus(ranked.rank, ranked.wanted),
            phrase_filters.score(best, config.min_phrase_score),
            region_filters.score(value, config.min_box_score, "box score"),
        ]
    )


def _voted(table: pa.Table, names: frozenset[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows for which one of `names` voted, and those for which nobody else did: (k,) each."""
    votes = c.flat(table.column(s.VOTES))
    theirs = c.flags(
        pc.is_in(pc.struct_field(votes.flatten(), s.SPECIALIST), value_set=pa.array(sorted(names), pa.string()))
    )
    each = pc.list_value_length(votes).to_numpy(zero_copy_only=False)
    count = np.bincount(np.repeat(np.arange(len(votes)), each)[theirs], minlength=len(votes))
    return count > 0, count == each


def _linked(
    table: pa.Table,
    phrase: NDArray[np.int64],
    phrases: Grouped,
    regions: Grouped,
    threshold: float,
    words: things.Words,
) -> _Linked:
    from consensus import kernels

    objects = regions.where(pc.equal(regions.table.column(s.KIND), OBJECT))
    boxes = np.ascontiguousarray(c.box_matrix(table).astype(np.float64))
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
    return _Linked(c.take(objects.table.column(s.REGION_ID), index), confidence, contradicted)


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
