"""Parquet files with one row an image: its bytes, or where it is.

Columns are found by name (the lists below) or told by SourceOptions. Bytes may be a binary column or, as Hugging Face
datasets store images, a struct of `bytes` and `path`. Relative paths count from the folder of the Parquet file. Every
other column without bytes becomes meta. Without an id column the id is the path or URL as it stands, or, for bytes,
`<name of the file without ending>:<row in the file>`. Planning reads no image.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine import schema as s
from engine.errors import SourceError
from engine.sources import files, locators
from engine.sources.base import Item, SourceOptions, checked, to_meta

ID_COLUMNS: Final = (s.IMAGE_ID, "id", "key", "__key__")
IMAGE_COLUMNS: Final = ("image", "bytes", "jpg", "jpeg", "png", "webp", "image_bytes", "content")
URI_COLUMNS: Final = (s.URI, "url", "path", "file_name", "filename", "image_path", "image_url", "image")
_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class _Columns:
    ids: str | None
    images: str | None
    uris: str | None
    meta: tuple[str, ...]


class ParquetSource:
    """One Parquet file or several, in order."""

    kind = "parquet"

    def __init__(self, uri: str, tables: list[files.Entry], options: SourceOptions, ignored: Mapping[str, int]) -> None:
        """`ignored`: what was left aside in finding the files."""
        self.uri = uri
        self.ignored: dict[str, int] = dict(ignored)
        self._tables = tables
        self._options = options

    def items(self) -> Iterator[Item]:
        """See Source; in the order of the files and of their rows."""
        return checked(self._items(), f"{self.uri} has no rows; give a Parquet file with at least one image")

    def signature(self) -> str:
        """See Source."""
        return files.signature(self.kind, self._tables)

    def _items(self) -> Iterator[Item]:
        for table in self._tables:
            try:
                with files.open_file(table.uri) as raw:
                    yield from self._rows(table, pq.ParquetFile(raw, pre_buffer=False))
            # Arrow's errors are ValueError, OSError or its own; thrift's corruption messages come as OSError.
            except (OSError, ValueError, pa.ArrowException) as error:
                raise SourceError(f"cannot read {table.uri} as Parquet: {error}. Write it again.") from error

    def _rows(self, table: files.Entry, file: pq.ParquetFile) -> Iterator[Item]:
        columns = _find(table.uri, file.schema_arrow, self._options)
        wanted = [name for name in (columns.ids, columns.uris, *columns.meta) if name is not None]
        number = 0
        for group in range(file.num_row_groups):
            for row, fields in enumerate(_dicts(file, group, wanted)):
                yield _item(table, columns, fields, (group, row, number))
                number += 1


def _dicts(file: pq.ParquetFile, group: int, wanted: list[str]) -> Iterator[dict[str, Any]]:
    if not wanted:
        yield from ({} for _ in range(file.metadata.row_group(group).num_rows))
        return
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=wanted, use_threads=False):
        yield from batch.to_pylist()


def _item(table: files.Entry, columns: _Columns, fields: dict[str, Any], place: tuple[int, int, int]) -> Item:
    """`place`: row group, row in the group, row in the file."""
    group, row, number = place
    where = f"row {number} of {table.uri}"
    reference = fields[columns.uris] if columns.uris else None
    if columns.images:
        uri = locators.of_cell(table.uri, group, row, columns.images)
    elif reference is None:
        raise SourceError(f"{where} has no path in column {columns.uris!r}; every row needs one")
    else:
        uri = locators.of_file(files.beside(table.uri, str(reference)))
    if columns.ids is not None:
        if fields[columns.ids] is None:
            raise SourceError(f"{where} has no id in column {columns.ids!r}; every image needs one of its own")
        image_id = str(fields[columns.ids])
    else:
        image_id = f"{table.name.rpartition('.')[0]}:{number}" if columns.images else str(reference)
    return Item(image_id, uri, to_meta({name: fields[name] for name in columns.meta}))


def _find(uri: str, schema: pa.Schema, options: SourceOptions) -> _Columns:
    ids = _told(uri, schema, options.id_column, "id_column") or next((n for n in ID_COLUMNS if n in schema.names), None)
    images = _told(uri, schema, options.image_column, "image_column")
    uris = _told(uri, schema, options.uri_column, "uri_column")
    if images is not None and not _holds_bytes(schema.field(images).type):
        raise SourceError(f"image_column {images!r} of {uri} holds {schema.field(images).type}, not bytes")
    if images is None and uris is None:
        images = next((n for n in IMAGE_COLUMNS if n in schema.names and _holds_bytes(schema.field(n).type)), None)
    if images is None and uris is None:
        uris = next((n for n in URI_COLUMNS if n in schema.names and _is_text(schema.field(n).type)), None)
    if images is None and uris is None:
        raise SourceError(
            f"{uri} has neither a column of image bytes nor one of paths that is known by its name. "
            f"Its columns: {', '.join(schema.names)}. Set image_column or uri_column."
        )
    taken = {ids, images} if images else {ids, uris}
    meta = tuple(f.name for f in schema if f.name not in taken and not _has_binary(f.type))
    return _Columns(ids, images, None if images else uris, meta)


def _told(uri: str, schema: pa.Schema, name: str | None, option: str) -> str | None:
    if name is not None and name not in schema.names:
        raise SourceError(f"{option} is {name!r}, but {uri} has no such column. It has: {', '.join(schema.names)}.")
    return name


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _has_binary(kind: pa.DataType) -> bool:
    if _is_binary(kind):
        return True
    return any(_has_binary(kind.field(i).type) for i in range(kind.num_fields))
