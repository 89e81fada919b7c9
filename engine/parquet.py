"""Parquet bytes: one way to write, the same bytes for the same table, and the footer that says where it came from."""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StoreError
from engine.schema import IMAGE_ID

FOOTER_KEY = b"fld"


def to_bytes(table: pa.Table, footer: Mapping[str, Any]) -> bytes:
    """zstd Parquet with page index, BYTE_STREAM_SPLIT floats, sorted by image id, and `footer` as JSON metadata."""
    schema = table.schema.with_metadata({FOOTER_KEY: canonical(footer).encode()})
    floats = _leaves(schema, floating=True)
    sink = BytesIO()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=_leaves(schema, floating=False),
        use_byte_stream_split=floats,
        write_page_index=True,
        sorting_columns=_sorting(schema),
        store_schema=True,
    ) as writer:
        writer.write_table(table.cast(schema), row_group_size=max(table.num_rows, 1))
    return sink.getvalue()


def from_bytes(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """The table in Parquet bytes, its footer metadata dropped.

    Raises:
        StoreError: the bytes are not Parquet.
    """
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(columns=columns, use_threads=False)
    except pa.ArrowInvalid as error:
        raise StoreError(f"not a Parquet file: {error}") from error
    return table.replace_schema_metadata(None)


def footer_of(data: bytes) -> dict[str, Any]:
    """What `to_bytes` was given as footer.

    Raises:
        StoreError: the file was not written by this project.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(data)).metadata or {}
    except pa.ArrowInvalid as error:
        raise StoreError(f"not a Parquet file: {error}") from error
    if FOOTER_KEY not in metadata:
        raise StoreError("a Parquet file without this project's footer; it was not written by `fld`")
    footer: dict[str, Any] = json.loads(metadata[FOOTER_KEY])
    return footer


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sorting(schema: pa.Schema) -> list[pq.SortingColumn]:
    return [pq.SortingColumn(schema.get_field_index(IMAGE_ID))] if schema.names[0] == IMAGE_ID else []


def _leaves(schema: pa.Schema, *, floating: bool) -> list[str]:
    """Parquet paths of the leaf columns that are (or are not) floating point."""
    found: list[str] = []

    def walk(kind: pa.DataType, path: str) -> None:
        if pa.types.is_list(kind):
            walk(kind.value_type, f"{path}.list.element")
        elif pa.types.is_struct(kind):
            for field in kind:
                walk(field.type, f"{path}.{field.name}")
        elif pa.types.is_floating(kind) == floating and not pa.types.is_boolean(kind):
            found.append(path)

    for field in schema:
        walk(field.type, field.name)
    return found
