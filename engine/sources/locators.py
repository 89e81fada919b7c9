"""Locators: strings from which the bytes of one image can be read by any worker, with no other knowledge.

    /data/a.jpg, s3://bucket/a.jpg                    a file
    /data/x.tar#offset=1024&size=8823                 a range of a file (a member of a tar)
    /data/x.parquet#row_group=3&row=17&column=image   a cell of a Parquet file (row counts within its group)

A file whose own name ends like a fragment is written with `#file` behind it. What is read is decided by the
locator alone; a file that is gone or has shrunk is an ImageError, because it is one image that is lost.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote

import pyarrow.parquet as pq

from engine.errors import ImageError, ReadError, SourceError
from engine.sources import files

_FRAGMENT: Final = re.compile(
    r"#(?:file|offset=(?P<offset>\d{1,18})&size=(?P<size>\d{1,18})"
    r"|row_group=(?P<group>\d{1,18})&row=(?P<row>\d{1,18})&column=(?P<column>[^#&]+))\Z"
)
_ROWS: Final = 16  # of a Parquet file held at once
_BUFFER: Final = 1 << 20
# Trying again cannot help: the file is not there or not ours, or (ValueError: Arrow's) not what it says it is.
_GONE: Final = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ValueError,
    LookupError,
    SourceError,
)


@dataclass(frozen=True, slots=True)
class Locator:
    """A parsed locator: a whole file, a range (offset, size) of it, or a cell (row group, row, column)."""

    container: str
    span: tuple[int, int] | None = None
    cell: tuple[int, int, str] | None = None


def of_file(uri: str) -> str:
    """The locator of a whole file."""
    return f"{uri}#file" if _FRAGMENT.search(uri) else uri


def of_range(uri: str, offset: int, size: int) -> str:
    """The locator of `size` bytes from `offset` on."""
    return f"{uri}#offset={offset}&size={size}"


def of_cell(uri: str, row_group: int, row: int, column: str) -> str:
    """The locator of a value in a Parquet column (bytes, or a struct with `bytes` and `path`)."""
    return f"{uri}#row_group={row_group}&row={row}&column={quote(column, safe='')}"


def parse(locator: str) -> Locator:
    """The parts of a locator."""
    match = _FRAGMENT.search(locator)
    if match is None:
        return Locator(locator)
    container = locator[: match.start()]
    if match["offset"] is not None:
        return Locator(container, span=(int(match["offset"]), int(match["size"])))
    if match["group"] is not None:
        return Locator(container, cell=(int(match["group"]), int(match["row"]), unquote(match["column"])))
    return Locator(container)


def read_bytes(uri: str, max_bytes: int) -> bytes:
    """The bytes of one image. For several of one container, a Reader or `read_many` opens it only once.

    Raises:
        ImageError: it is gone, is not what the plan says, or has more than `max_bytes`.
        ReadError: storage failed in another way; trying again may help.
    """
    with Reader(max_bytes) as reader:
        return reader.read(uri)


def read_many(uris: Sequence[str], max_bytes: int) -> Iterator[bytes | ImageError | ReadError]:
    """For each locator its bytes, or the error that stands in its place; best in the order of the source."""
    with Reader(max_bytes) as reader:
        for uri in uris:
            try:
                yield reader.read(uri)
            except (ImageError, ReadError) as error:
                yield error


class Reader:
    """Reads locators and keeps the last container open, so that neighbours cost one seek. Not for several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._name = ""
        self._file: BinaryIO | None = None
        self._cells: _Cells | None = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the open container."""
        file, self._file, self._cells, self._name = self._file, None, None, ""
        if file is not None:
            file.close()

    def read(self, uri: str) -> bytes:
        """The bytes of one image.

        Raises:
            ImageError: it is gone, is not what the plan says, or has more than `max_bytes`.
            ReadError: storage failed in another way; trying again may help.
        """
        try:
            where = parse(uri)
            if where.span is not None:
                return self._range(where.container, *where.span)
            if where.cell is not None:
                return self._cell(where.container, *where.cell)
            return self._whole(where.container)
        except ImageError:
            raise
        except _GONE as error:
            self.close()
            raise ImageError(f"cannot read {uri} ({type(error).__name__}: {error})") from error
        # Object stores raise whatever their libraries raise; it may be a bad moment, so it is worth another try.
        except Exception as error:
            self.close()
            raise ReadError(f"cannot read {uri} this time ({type(error).__name__}: {error})") from error

    def _whole(self, uri: str) -> bytes:
        if not files.is_url(uri) and not os.path.isfile(uri):  # a pipe or a device would never end
            raise ImageError(f"cannot read {uri}: it is gone, or not a file")
        if files.is_url(uri):
            system, path = files.filesystem(uri)
            self._check_size(uri, int(system.info(path).get("size") or 0))
        with files.open_file(uri) as file:
            data = file.read(self._max_bytes + 1)
        self._check_size(uri, len(data))
        return data

    def _range(self, container: str, offset: int, size: int) -> bytes:
        self._check_size(container, size)
        file = self._opened(container)
        file.seek(offset)
        data = file.read(size)
        if len(data) != size:
            raise ImageError(f"{container} ends before byte {offset + size}; it has changed since the plan was made")
        return data

    def _cell(self, container: str, row_group: int, row: int, column: str) -> bytes:
        file = self._opened(container)
        cells = self._cells
        if cells is None or not cells.can_reach(row_group, row, column):
            cells = self._cells = _Cells(pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER), row_group, column)
        value: Any = cells.at(row)
        reference = None
        if isinstance(value, dict):
            value, reference = value.get("bytes"), value.get("path")
        if value is None and reference:
            return self._whole(files.beside(container, str(reference)))
        if not isinstance(value, bytes):
            raise ImageError(f"row {row} of row group {row_group} of {container} has no image in column {column!r}")
        self._check_size(container, len(value))
        return value

    def _opened(self, container: str) -> BinaryIO:
        if self._file is None or self._name != container:
            self.close()
            self._file, self._name = files.open_file(container), container
        return self._file

    def _check_size(self, uri: str, size: int) -> None:
        if size > self._max_bytes:
            raise ImageError(f"the image in {uri} has more than {self._max_bytes} bytes (the limit max_bytes)")


class _Cells:
    """Walks one column of one row group forwards, a few rows at a time, so a group is read once and never held."""

    def __init__(self, file: pq.ParquetFile, row_group: int, column: str) -> None:
        if not 0 <= row_group < file.num_row_groups:
            raise ImageError(f"the Parquet file has no row group {row_group}; it has changed since the plan was made")
        self._key = (row_group, column)
        self._batches = file.iter_batches(batch_size=_ROWS, row_groups=[row_group], columns=[column], use_threads=False)
        self._start = 0
        self._rows: list[object] = []

    def can_reach(self, row_group: int, row: int, column: str) -> bool:
        return self._key == (row_group, column) and row >= self._start

    def at(self, row: int) -> object:
        while row >= self._start + len(self._rows):
            batch = next(self._batches, None)
            if batch is None:
                raise ImageError(f"row group {self._key[0]} has no row {row}; it has changed since the plan was made")
            if batch.num_columns != 1:
                raise ImageError(f"the Parquet file has no column {self._key[1]!r}")
            self._start, self._rows = self._start + len(self._rows), batch.column(0).to_pylist()
        return self._rows[row - self._start]
