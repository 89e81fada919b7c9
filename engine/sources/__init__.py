"""Where images come from: a folder, WebDataset tars, Parquet or a JSON-lines manifest, local or at any fsspec URL.

`open_source` recognises what a SOURCE is; its `items` name every image; `read_bytes` and `read_many` fetch them later,
on any machine, from the locators alone.
"""

from collections import Counter
from typing import Final

from engine.errors import SourceError
from engine.images import IMAGE_SUFFIXES
from engine.sources import files
from engine.sources.base import Item, Source, SourceOptions
from engine.sources.folders import FolderSource
from engine.sources.locators import Reader, read_bytes, read_many
from engine.sources.manifests import ManifestSource
from engine.sources.tables import ParquetSource
from engine.sources.tars import COMPRESSED, TarSource

__all__ = ["Item", "Reader", "Source", "SourceOptions", "open_source", "read_bytes", "read_many"]

_TAR: Final = (".tar",)
_PARQUET: Final = (".parquet", ".pq")
_MANIFEST: Final = (".jsonl", ".ndjson", ".json")
_KINDS: Final = "a folder of images, .tar files (WebDataset), .parquet files, or a .jsonl manifest"


def open_source(uri: str, options: SourceOptions | None = None) -> Source:
    """The source at a path, URL, or pattern such as `shard-{000..009}.tar` or `data/*.parquet`.

    In a folder, the first file (in order of its path) that is an image, a tar or a Parquet file decides what the folder
    is; files of the other kinds are then ignored and counted.

    Raises:
        SourceError: nothing is there, or it is of no known kind; the message is for the user.
    """
    options = options or SourceOptions()
    uri = files.absolute(uri)
    entry = files.find(uri)
    if entry is not None:
        return _open_folder(uri, options) if entry.is_folder else _open_files(uri, [entry], options)
    if files.is_pattern(uri):
        return _open_files(uri, files.expand(uri), options)
    raise SourceError(
        f"{uri} does not exist. A SOURCE is {_KINDS}, as a local path or a URL such as s3://bucket/folder."
    )


def _open_folder(uri: str, options: SourceOptions) -> Source:
    skipped: Counter[str] = Counter()
    for entry in files.walk(uri, skipped):
        ending = files.suffix(entry.name)
        if ending in IMAGE_SUFFIXES:
            return FolderSource(uri)
        if ending in _TAR + _PARQUET:
            same = _TAR if ending in _TAR else _PARQUET
            found = [e for e in files.walk(uri, Counter(), sizes=True) if files.suffix(e.name) in same]
            return TarSource(uri, found) if same is _TAR else ParquetSource(uri, found, options)
        _refuse_compressed(entry)
    return FolderSource(uri)  # its items say that there are none


def _open_files(uri: str, entries: list[files.Entry], options: SourceOptions) -> Source:
    for entry in entries:
        _refuse_compressed(entry)
    endings = {files.suffix(entry.name) for entry in entries}
    if endings <= set(_TAR):
        return TarSource(uri, entries)
    if endings <= set(_PARQUET):
        return ParquetSource(uri, entries, options)
    if endings <= set(_MANIFEST) and len(entries) == 1:
        return ManifestSource(entries[0].uri, entries[0], options)
    if endings & IMAGE_SUFFIXES:
        raise SourceError(f"{uri} is an image, or several; give the folder they are in, or a manifest that names them.")
    named = ", ".join(sorted(ending or "no ending" for ending in endings))
    raise SourceError(
        f"{uri} is none of the known kinds ({named}). A SOURCE is {_KINDS}; a pattern names files of one kind."
    )


def _refuse_compressed(entry: files.Entry) -> None:
    if entry.name.lower().endswith(COMPRESSED):
        raise SourceError(
            f"{entry.uri} is compressed, so one image in it cannot be read without all before it. Unpack it to a "
            "plain .tar first (images inside are compressed already; the tar hardly grows)."
        )
