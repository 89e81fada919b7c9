"""`publish`: a shard's decisions become its five tables. Pure: the engine writes what is returned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine.graph import INGEST, Batch, Fault
from engine.grouped import Grouped, interleave
from engine.parquet import canonical
from pipelines.decide.columns import box_keys, with_column
from pipelines.decide.rejected import rejected_rows
from pipelines.stages.decision import DETAILS

# Stage → family of annotation, in the order of the graph; every stage whose rows carry a reason.
DECISIONS = {
    "images": "images",
    "regions": "region_text",
    "region_text": "region_text",
    "texts": "text",
    "details": "text",
    "phrases": "text_phrase_region",
    "triplets": "text_phrase_region",
    "phrases_details": "text_phrase_region",
    "triplets_details": "text_phrase_region",
}
QUARANTINED = "quarantined"
FIRST_ROUND = 0


def tables_of(batch: Batch, faults: Mapping[str, Sequence[Fault]]) -> dict[str, pa.Table]:
    """The five published tables.

    Of an image that is rejected nothing is published but that; what was decided about it stays in the sidecars.
    """
    rejected = batch.inputs["images"].table
    batch = _published(batch)
    return {
        "images": batch.images.select(s.IMAGES.names).cast(s.IMAGES),
        "text": _texts(batch),
        "region_text": _region_texts(batch),
        "text_phrase_region": _triplets(batch),
        "rejected": _rejected(batch, rejected, faults),
    }


def _published(batch: Batch) -> Batch:
    """Without the images that are rejected, and all that was said about them."""
    ids = batch.inputs["images"].kept().table.column(s.IMAGE_ID)
    if len(ids) == len(batch):
        return batch
    kept = ids.to_pylist()
    images = batch.images.filter(pc.is_in(batch.images.column(s.IMAGE_ID), value_set=ids.combine_chunks()))
    return replace(
        batch, images=images, inputs={name: Grouped.of(group.table, kept) for name, group in batch.inputs.items()}
    )


def _texts(batch: Batch) -> pa.Table:
    kept = [batch.inputs[name].kept() for name in ("texts", "details") if name in batch.inputs]
    table = interleave(kept, s.DECIDED_TEXTS).table
    return _finished(table, s.TEXT_TABLE)


def _region_texts(batch: Batch) -> pa.Table:
    regions = batch.inputs["regions"].kept().table
    words = batch.inputs["region_text"].kept().table
    chosen = _looked_up(regions.column(s.REGION_ID), words, s.REGION_ID)
    regions = regions.filter(pc.is_valid(chosen))
    said = words.take(chosen.drop_null())
    for name in (s.TEXT, s.GRANULARITY, s.SIMILARITY, s.CANDIDATES):
        regions = with_column(regions, name, said.column(name))
    regions = with_column(regions, s.MASK, _masks(batch, regions))
    return _finished(regions, s.REGION_TEXT)


def _triplets(batch: Batch) -> pa.Table:
    """A triplet's mask is its region's where it is one, else that of its own box."""
    table = _of_both(batch, "triplets", s.DECIDED_TRIPLETS)
    things = batch.inputs["objects"].table
    region = _looked_up(table.column(s.REGION_ID), things, s.REGION_ID)
    table = with_column(table, s.MASK, pc.coalesce(_masks(batch, things).take(region), _masks(batch, table)))
    return _finished(table, s.TEXT_PHRASE_REGION)


def _masks(batch: Batch, table: pa.Table) -> pa.ChunkedArray:
    """What was decided for the box of each row."""
    masks = batch.inputs["masks"].table
    return masks.column(s.MASK).take(pc.index_in(box_keys(table), value_set=box_keys(masks)))


def _of_both(batch: Batch, kind: str, schema: pa.Schema) -> pa.Table:
    """The kept rows about captions, then those about written texts, by image."""
    kept = [batch.inputs[name].kept() for name in (kind, kind + DETAILS) if name in batch.inputs]
    return interleave(kept, schema).table


def _rejected(batch: Batch, images: pa.Table, faults: Mapping[str, Sequence[Fault]]) -> pa.Table:
    """Rejected rows of every decision, and images in quarantine, by image, then in the order of the graph.

    `images` decides on all images; the rest of `batch` is about those that are published.
    """
    decided = {name: group.table for name, group in batch.inputs.items()} | {"images": images}
    tables = [rejected_rows(name, family, decided[name]) for name, family in DECISIONS.items() if name in decided]
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


def _looked_up(keys: pa.ChunkedArray, table: pa.Table, column: str) -> pa.Array:
    """For each key the first row of `table` with it, or null."""
    found = table.column(column).combine_chunks()
    index = pc.index_in(keys, value_set=found, skip_nulls=True)
    return index.combine_chunks() if isinstance(index, pa.ChunkedArray) else index


def _finished(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The published columns in order, with the round, typed."""
    table = with_column(table, s.ROUND, pa.chunked_array([pa.array(np.full(table.num_rows, FIRST_ROUND, np.int32))]))
    return table.select(schema.names).cast(schema).combine_chunks()
