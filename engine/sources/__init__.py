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

    What a folder is, its uppermost folder with tars, Parquet files or images decides; where there are images beside
    tars or Parquet files, those are the source. Files of the other kinds are ignored and counted.

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
    ending = _deciding(uri)
    if ending not in _TAR + _PARQUET:
        return FolderSource(uri)  # where there are no images either, its items say so
    same = _TAR if ending in _TAR else _PARQUET
    found, ignored = [], Counter[str]()
    for entry in files.walk(uri, ignored, sizes=True):
        if files.suffix(entry.name) in same:
            found.append(entry)
        else:
            ignored[files.suffix(entry.name) or files.NO_ENDING] += 1
    return TarSource(uri, found, ignored) if same is _TAR else ParquetSource(uri, found, options, ignored)


def _deciding(uri: str) -> str:
    """The ending that says what a folder is; "" where no file below it has one that is known."""
    for entries in files.folders(uri):
        for entry in entries:
            _refuse_compressed(entry)
        endings = {files.suffix(entry.name) for entry in entries}
        if endings & set(_TAR) and endings & set(_PARQUET):
            raise SourceError(f"{uri} holds both tar and Parquet files; say which are meant: {uri}/*.tar or *.parquet")
        for kind in (set(_TAR), set(_PARQUET), IMAGE_SUFFIXES):
            if endings & kind:
                return min(endings & kind)
    return ""


def _open_files(uri: str, entries: list[files.Entry], options: SourceOptions) -> Source:
    for entry in entries:
        _refuse_compressed(entry)
    endings = {files.suffix(entry.name) for entry in entries}
    if endings <= set(_TAR):
        return TarSource(uri, entries, Counter())
    if endings <= set(_PARQUET):
        return ParquetSource(uri, entries, options, Counter())
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
