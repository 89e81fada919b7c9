"""What writers composed, as tables; and what their texts say of regions, for which nobody has to look again.

A composed text speaks of accepted regions, and begins with an accepted caption. So its phrases are the writer's mentions
and those of the caption, and their places are the regions' and those that grounders found for the caption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine import ids
from engine import schema as s
from engine.errors import StoreError
from engine.grouped import Frames, Grouped
from engine.records import Composition
from pipelines.decide import columns as c
from pipelines.decide.groundings import phrase_columns
from pipelines.decide.texts import text_ids

_TOKEN = [s.TOKEN.field(i).name for i in range(s.TOKEN.num_fields)]


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where the phrases (n,) of composed texts come from, by text and from left to right: `text` is the row of theirs,
    `caption` that of a caption's phrase, or `mention` that of a mention; -1 for the other. `start`, `end`: characters."""

    text: NDArray[np.int64]
    caption: NDArray[np.int64]
    mention: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def take(self, rows: NDArray[np.integer]) -> "_Sources":
        return _Sources(self.text[rows], self.caption[rows], self.mention[rows], self.start[rows], self.end[rows])


@dataclass(frozen=True, slots=True)
class _Spoken:
    """Phrases (n,) of composed texts: a table DECIDED_PHRASES, and of each the row of the caption's phrase that it is (-1:
    none), the ids of the regions that a writer means by it (null: none), and the writer."""

    table: pa.Table
    caption: NDArray[np.int64]
    regions: pa.Array
    writer: pa.Array


def composed_table(
    image_ids: Sequence[str],
    answers: Sequence[Composition],
    regions: Sequence[Sequence[str]],
    captions: Sequence[Sequence[str]],
) -> pa.Table:
    """Schema COMPOSED; `regions` and `captions` are the ids of the rows of each scene that was given."""
    texts = [(i, n) for i, answer in enumerate(answers) for n in range(len(answer.captions.texts))]
    quoted = [int(answers[i].quoted[n]) for i, n in texts]
    columns = {
        s.IMAGE_ID: pa.array([image_ids[i] for i, _ in texts], pa.string()),
        s.TEXT: pa.array([answers[i].captions.texts[n] for i, n in texts], pa.string()),
        s.GRANULARITY: pa.array([answers[i].captions.granularities[n] for i, n in texts], pa.string()),
        s.SCORE: c.numbers([float(answers[i].captions.scores[n]) for i, n in texts], pa.float32()),
        s.WORDS: _words(answers),
        s.MENTIONS: _mentions(answers, regions),
        s.QUOTED: pa.array(
            [None if row < 0 else captions[i][row] for (i, _), row in zip(texts, quoted, strict=True)], pa.string()
        ),
        s.SHIFT: pa.array([int(answers[i].shift[n]) for i, n in texts], pa.int32()),
    }
    return c.table(s.COMPOSED, columns)


def _words(answers: Sequence[Composition]) -> pa.Array:
    sizes = [np.diff(answer.tokens.offsets) for answer in answers]
    columns = {
        name: pa.array([v for answer in answers for v in getattr(answer.tokens, name)], s.TOKEN.field(name).type)
        for name in _TOKEN
    }
    return c.lists(np.cumsum(np.concatenate([[0], *sizes]).astype(np.int64)), c.records(s.TOKEN, columns))


def _mentions(answers: Sequence[Composition], regions: Sequence[Sequence[str]]) -> pa.Array:
    found = [answer.mentions for answer in answers]
    sizes = [
        np.bincount(m.text, minlength=len(a.captions.texts)).astype(np.int64)
        for m, a in zip(found, answers, strict=True)
    ]
    named = [[names[row] for row in rows] for m, names in zip(found, regions, strict=True) for rows in m.regions]
    columns = {
        s.START: pa.array([v for m in found for v in m.start], pa.int32()),
        s.END: pa.array([v for m in found for v in m.end], pa.int32()),
        s.HEAD: pa.array([v for m in found for v in m.heads], pa.string()),
        s.NUMBER: pa.array([v for m in found for v in m.numbers], pa.int32()),
        s.REGION_IDS: pa.array(named, pa.list_(pa.string())),
    }
    return c.lists(np.cumsum(np.concatenate([[0], *sizes]).astype(np.int64)), c.records(s.MENTION, columns))


def as_said(composed: Grouped) -> Grouped:
    """The texts of COMPOSED as PREDICTED_TEXTS."""
    return Grouped(composed.table.select(s.PREDICTED_TEXTS.names), composed.offsets)


def tokens(frames: Frames, composed: Mapping[str, Grouped]) -> pa.Table:
    """The tokens of composed texts (COMPOSED by writer): TOKENS by `texts.text_ids`.

    Raises:
        StoreError: a table is not over the images of `frames`.
    """
    pool, names = _pooled(frames, composed)
    words = c.flat(pool.table.column(s.WORDS))
    text = _parents(words)
    found = words.flatten()
    columns = {name: pc.struct_field(found, name) for name in _TOKEN}
    image_ids = c.take(pool.table.column(s.IMAGE_ID), text)
    return c.table(s.TOKENS, {s.IMAGE_ID: image_ids, s.TEXT_ID: c.names_of(names, text), **columns})


def phrases(frames: Frames, composed: Mapping[str, Grouped], chunks: Grouped) -> pa.Table:
    """The noun phrases of composed texts: one row for each mention, and for each phrase of a caption that a text begins
    with; a table `engine.schema.DECIDED_PHRASES` as `pipelines.decide.chunks` makes it.

    `composed` (COMPOSED) by writer; `chunks` (DECIDED_PHRASES) are those of the captions.

    Raises:
        StoreError: a table is not over the images of `frames`.
    """
    return _spoken(frames, composed, chunks).table


def groundings(
    frames: Frames, composed: Mapping[str, Grouped], chunks: Grouped, found: Grouped, regions: Grouped
) -> pa.Table:
    """The places of those phrases: of a mention its regions, with the writer's vote; of a caption's phrase those that
    were `found` for it (`pipelines.decide.groundings`, all rows). A table `engine.schema.DECIDED_TRIPLETS` without
    regions; rows stand by phrase, then in descending confidence.

    Raises:
        StoreError: a table is not over the images of `frames`, or a mention names a region that is not in `regions`.
    """
    spoken = _spoken(frames, composed, chunks)
    parts = [_places_of_captions(spoken, chunks.table, found.table), _places_of_mentions(spoken, regions.table)]
    table = pa.concat_tables([part for _, part in parts])
    phrase = np.concatenate([index for index, _ in parts])
    x0, y0, x1, y1 = c.box_matrix(table).T
    order = np.lexsort((y1, x1, y0, x0, -c.floats(table, s.CONFIDENCE), phrase))
    return c.take_rows(table, order).combine_chunks()


def _pooled(frames: Frames, composed: Mapping[str, Grouped]) -> tuple[c.Pool, list[str]]:
    """All composed texts, and their ids."""
    pool = c.pool(composed, s.COMPOSED, len(frames.ids))
    return pool, text_ids(frames, {name: as_said(group) for name, group in composed.items()})


def _spoken(frames: Frames, composed: Mapping[str, Grouped], chunks: Grouped) -> _Spoken:
    pool, names = _pooled(frames, composed)
    said = c.flat(pool.table.column(s.MENTIONS)).flatten()
    of = _sources(pool.table, chunks.table)
    place = c.places(of.text, len(names))

    def either(column: str) -> pa.Array:
        return pc.coalesce(
            c.take(chunks.table.column(column), of.caption), c.take(pc.struct_field(said, column), of.mention)
        )

    columns = {
        s.IMAGE_ID: c.take(pool.table.column(s.IMAGE_ID), of.text),
        s.TEXT_ID: c.names_of(names, of.text),
        s.PHRASE_ID: pa.array(
            map(ids.phrase_id, map(names.__getitem__, of.text.tolist()), place.tolist()), pa.string()
        ),
        s.PHRASE: pa.array(_characters(pool.table, of), pa.string()),
        s.START: pa.array(of.start, pa.int32()),
        s.END: pa.array(of.end, pa.int32()),
        s.HEAD: either(s.HEAD),
        s.NUMBER: either(s.NUMBER),
        **{field.name: c.take(chunks.table.column(field.name), of.caption) for field in s.DECISION},
    }
    regions = c.take(pc.struct_field(said, s.REGION_IDS), of.mention)
    writer = c.names_of(pool.names, pool.specialist[of.text])
    return _Spoken(c.table(s.DECIDED_PHRASES, columns), of.caption, regions, writer)


def _sources(texts: pa.Table, chunks: pa.Table) -> _Sources:
    """Phrases of the captions that texts (COMPOSED) begin with, where the text still has them, and mentions."""
    text, caption = _matches(texts.column(s.QUOTED), chunks.column(s.TEXT_ID))
    shift = texts.column(s.SHIFT).to_numpy().astype(np.int64)[text]
    start, end = (_ints(c.take(chunks.column(name), caption)) + shift for name in (s.START, s.END))
    moved = _Sources(text, caption, np.full(len(text), -1, np.int64), start, end)
    now, before = _characters(texts, moved), c.take(chunks.column(s.PHRASE), caption).to_pylist()
    # the first letter is a capital now, and ends of the caption may be cut
    whole = [at >= 0 and a[1:] == b[1:] for at, a, b in zip(start.tolist(), now, before, strict=True)]
    moved = moved.take(np.flatnonzero(np.array(whole, bool)))
    mentions = c.flat(texts.column(s.MENTIONS))
    said, owner = mentions.flatten(), _parents(mentions)
    start, end = (_ints(pc.struct_field(said, name)) for name in (s.START, s.END))
    own = _Sources(owner, np.full(len(said), -1, np.int64), np.arange(len(said)), start, end)
    both = _Sources(*(np.concatenate([getattr(moved, f.name), getattr(own, f.name)]) for f in fields(_Sources)))
    return both.take(np.lexsort((both.end, both.start, both.text)))


def _characters(texts: pa.Table, of: _Sources) -> list[str]:
    whole = texts.column(s.TEXT).to_pylist()
    spans = zip(of.text.tolist(), of.start.tolist(), of.end.tolist(), strict=True)
    return [whole[text][start:end] for text, start, end in spans]


def _places_of_captions(spoken: _Spoken, chunks: pa.Table, found: pa.Table) -> tuple[NDArray[np.int64], pa.Table]:
    phrase, row = _matches(c.take(chunks.column(s.PHRASE_ID), spoken.caption), found.column(s.PHRASE_ID))
    table = c.take_rows(found, row)
    for name, column in phrase_columns(spoken.table, phrase).items():
        table = c.with_column(table, name, column)
    return phrase, table.select(s.DECIDED_TRIPLETS.names).cast(s.DECIDED_TRIPLETS)


def _places_of_mentions(spoken: _Spoken, regions: pa.Table) -> tuple[NDArray[np.int64], pa.Table]:
    phrase, wanted = _parents(spoken.regions), spoken.regions.flatten()
    found = c.flat(pc.index_in(wanted, value_set=c.flat(regions.column(s.REGION_ID))))
    if found.null_count:
        stray = wanted[found.is_null().index(True).as_py()].as_py()
        raise StoreError(f"a writer speaks of region {stray!r}, which is not there; build into a new OUT")
    row = found.to_numpy(zero_copy_only=False).astype(np.int64)
    boxes, score = c.box_matrix(regions)[row], c.floats(regions, s.CONFIDENCE)[row]
    best = np.zeros(spoken.table.num_rows)
    np.maximum.at(best, phrase, score)
    said = phrase_columns(spoken.table, phrase)
    vote = {s.SPECIALIST: c.take(spoken.writer, phrase), s.LABEL: said[s.PHRASE], s.SCORE: pa.array(score)}
    columns = {
        **said,
        s.PHRASE_SCORE: pa.array(best[phrase]),
        **c.box_columns(boxes),
        s.REGION_ID: pa.nulls(len(row), pa.string()),
        s.CONFIDENCE: pa.array(score),
        s.VOTES: c.lists(np.arange(len(row) + 1), c.records(s.VOTE, {**vote, **c.box_columns(boxes)})),
        **{field.name: pa.nulls(len(row), field.type) for field in s.DECISION},
    }
    return phrase, c.table(s.DECIDED_TRIPLETS, columns)


def _matches(wanted: c.Array, given: c.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every pair of equal values: (row of `wanted`, row of `given`), in the order of `wanted` and then of `given`. Null
    equals nothing."""
    values = c.flat(given).unique()
    code, of = (
        _ints(pc.fill_null(pc.index_in(column, value_set=values, skip_nulls=True), -1)) for column in (wanted, given)
    )
    order = np.argsort(of, kind="stable")
    bounds = c.starts(of[order], len(values))
    count = np.where(code >= 0, np.diff(bounds, append=0)[code], 0)
    left = np.repeat(np.arange(len(code)), count)
    return left, order[bounds[code[left]] + c.places(left, len(code))]


def _parents(lists: pa.Array) -> NDArray[np.int64]:
    """The row that each value of a list column stands in; null has none: (values,)."""
    return np.asarray(pc.list_parent_indices(lists), np.int64)


def _ints(column: c.Array) -> NDArray[np.int64]:
    return np.asarray(c.flat(column).to_numpy(zero_copy_only=False), np.int64)
