"""`publish`: a shard's decisions become its five tables. Pure: the engine writes what is returned."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine.graph import INGEST, Batch, Fault
from engine.grouped import Grouped, interleave
from engine.parquet import canonical
from pipelines.decide.rejected import rejected_rows

# Stage → family of annotation, in the order of the graph; every stage whose rows carry a reason.
DECISIONS = {
    "regions": "region_text",
    "region_text": "region_text",
    "texts": "text",
    "details": "text",
    "phrases": "text_phrase_region",
    "triplets": "text_phrase_region",
}
QUARANTINED = "quarantined"
FIRST_ROUND = 0


def tables_of(batch: Batch, faults: Mapping[str, Sequence[Fault]], *, masks: Sequence[str]) -> dict[str, pa.Table]:
    """The five published tables; `masks` names the stages that segmented."""
    drawn = _drawn([batch.inputs[name].table for name in masks])
    return {
        "images": batch.images.select(s.IMAGES.names).cast(s.IMAGES),
        "text": _texts(batch),
        "region_text": _region_texts(batch, drawn),
        "text_phrase_region": _triplets(batch, drawn),
        "rejected": _rejected(batch, faults),
    }


def _texts(batch: Batch) -> pa.Table:
    kept = [batch.inputs[name].kept() for name in ("texts", "details")]
    table = interleave(kept, s.DECIDED_TEXTS).table
    return _finished(table, s.TEXT_TABLE)


def _region_texts(batch: Batch, drawn: pa.Table) -> pa.Table:
    regions = batch.inputs["regions"].kept().table
    words = batch.inputs["region_text"].kept().table
    chosen = _looked_up(regions.column(s.REGION_ID), words, s.REGION_ID)
    regions = regions.filter(pc.is_valid(chosen))
    said = words.take(chosen.drop_null())
    for name in (s.TEXT, s.GRANULARITY, s.SIMILARITY, s.CANDIDATES):
        regions = _with(regions, name, said.column(name))
    regions = _with(regions, s.MASK, pc.coalesce(regions.column(s.MASK), _masks(regions.column(s.REGION_ID), drawn)))
    return _finished(regions, s.REGION_TEXT)


def _triplets(batch: Batch, drawn: pa.Table) -> pa.Table:
    """A triplet's mask is its region's where it is one, else what was segmented for its own box."""
    table = batch.inputs["triplets"].kept().table
    regions = batch.inputs["regions"].kept().table
    own = _own_masks(table, drawn)
    seen = _looked_up(table.column(s.REGION_ID), regions, s.REGION_ID)
    of_region = pc.coalesce(regions.column(s.MASK).take(seen), _masks(table.column(s.REGION_ID), drawn))
    table = _with(table, s.MASK, pc.coalesce(of_region, own))
    return _finished(table, s.TEXT_PHRASE_REGION)


def _rejected(batch: Batch, faults: Mapping[str, Sequence[Fault]]) -> pa.Table:
    """Rejected rows of every decision, and images in quarantine, by image, then in the order of the graph."""
    tables = [rejected_rows(stage, family, batch.inputs[stage].table) for stage, family in DECISIONS.items()]
    lost = [(f.image_id, stage, f) for stage, found in faults.items() for f in found]
    columns = [
        [image_id for image_id, _, _ in lost],
        ["images" if stage == INGEST else "specialist" for _, stage, _ in lost],
        [stage for _, stage, _ in lost],
        [QUARANTINED] * len(lost),
        [None] * len(lost),
        [None] * len(lost),
        [canonical({"error": f.error, "message": f.message}) for _, _, f in lost],
    ]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, s.REJECTED, strict=True)]
    table = pa.concat_tables([pa.Table.from_arrays(arrays, schema=s.REJECTED), *tables])
    ids = sorted(set(table.column(s.IMAGE_ID).to_pylist()))
    return Grouped.of(table, ids).table.combine_chunks()


def _drawn(tables: Sequence[pa.Table]) -> pa.Table:
    """Masks of all segmenters, best first, so that a look-up finds the best."""
    table = pa.concat_tables(
        [t.filter(t.column(s.MASK).is_valid()) for t in tables] or [s.PREDICTED_MASKS.empty_table()]
    )
    order = np.argsort(-table.column(s.SCORE).to_numpy(), kind="stable")
    return table.take(pa.array(order))


def _masks(regions: pa.ChunkedArray, drawn: pa.Table) -> pa.ChunkedArray:
    return drawn.column(s.MASK).take(_looked_up(regions, drawn, s.REGION_ID))


def _own_masks(triplets: pa.Table, drawn: pa.Table) -> pa.ChunkedArray:
    """By phrase and box: a phrase may have several."""
    keys = [_key(t) for t in (triplets, drawn)]
    return drawn.column(s.MASK).take(pc.index_in(keys[0], value_set=keys[1]))


def _key(table: pa.Table) -> pa.Array:
    columns = zip(*(table.column(c).to_pylist() for c in (s.PHRASE_ID, *s.BOX)), strict=True)
    return pa.array([None if name is None else canonical([name, *box]) for name, *box in columns], pa.string())


def _looked_up(keys: pa.ChunkedArray, table: pa.Table, column: str) -> pa.Array:
    """For each key the first row of `table` with it, or null."""
    found = table.column(column).combine_chunks()
    index = pc.index_in(keys, value_set=found, skip_nulls=True)
    return index.combine_chunks() if isinstance(index, pa.ChunkedArray) else index


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _finished(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The published columns in order, with the round, typed."""
    table = _with(table, s.ROUND, pa.chunked_array([pa.array(np.full(table.num_rows, FIRST_ROUND, np.int32))]))
    return table.select(schema.names).cast(schema).combine_chunks()
