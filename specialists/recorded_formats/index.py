"""The index: records by image in a SQLite file, so that memory does not grow with the number of images.

It is derived data in a cache folder, named after the content of what it was built from. It is written under another
name and then renamed, so a build that dies or races with another never leaves a broken index.
"""

import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import numpy as np

from engine.errors import ConfigError
from specialists.recorded_formats import names
from specialists.recorded_formats.names import Entry

REVISION: Final = 2  # rises when the same file would give another index
_EXAMPLES: Final = 5
_CHUNK: Final = 500  # parameters of one query; SQLite accepts at least 999
_STALE: Final = 24 * 3600  # seconds after which nobody still writes a temporary file
_LONGER: Final = 20  # more candidates than this are not worth listing
_TABLES: Final = """
CREATE TABLE images (key INTEGER PRIMARY KEY, id TEXT NOT NULL, name TEXT, backwards TEXT, width INTEGER,
                     height INTEGER);
CREATE TABLE categories (key TEXT PRIMARY KEY, name TEXT);
CREATE TABLE records (seq INTEGER PRIMARY KEY, image TEXT NOT NULL, shape BLOB, score REAL, crowd INTEGER,
                      label TEXT, body TEXT, fault TEXT);
CREATE TABLE orphans (message TEXT NOT NULL);
CREATE UNIQUE INDEX images_id ON images (id);
"""
# Built at the end: sorting once costs less than keeping an index sorted.
_INDEXES: Final = """
CREATE INDEX images_backwards ON images (backwards);
CREATE INDEX records_image ON records (image);
"""


class Row(NamedTuple):
    """One record: `shape` 4 (box) or 8 (quad) numbers, `label` a category key or granularity, `body` mask or text."""

    shape: bytes
    score: float | None
    crowd: int
    label: str | None
    body: str | None
    fault: str | None


class Builder:
    """Takes what a format's reader finds, in any order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._orphans = 0
        self.images = 0

    def image(self, id: str, name: str | None = None, width: int = 0, height: int = 0) -> bool:
        """An image that the file speaks of; False if that id was there before (the first one stays)."""
        key = names.backwards(name) if name else None
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO images (id, name, backwards, width, height) VALUES (?, ?, ?, ?, ?)",
            (id, name, key, width, height),
        )
        self.images += cursor.rowcount > 0
        return cursor.rowcount > 0

    def category(self, key: str, name: str) -> None:
        """The name that a record's label stands for."""
        self._db.execute("INSERT OR IGNORE INTO categories VALUES (?, ?)", (key, name))

    def box(
        self,
        image: str,
        corners: Sequence[float],
        *,
        label: str,
        score: float = 1.0,
        crowd: bool = False,
        mask: str | None = None,
    ) -> None:
        """A region: corners x0, y0, x1, y1; empty: those of the mask; `label` is a category key.

        `mask` is JSON: polygons, {counts, size}, or a string (compressed RLE of the image's own size).
        """
        self._add(image, corners, score=score, crowd=crowd, label=label, body=mask)

    def text(
        self,
        image: str,
        text: str,
        *,
        granularity: str | None = None,
        score: float | None = None,
        quad: Sequence[float] = (),
    ) -> None:
        """A text of the whole image, or of the quad x0, y0 … x3, y3."""
        self._add(image, quad, score=score, crowd=False, label=granularity, body=text)

    def fault(self, image: str, message: str) -> None:
        """A broken record of a known image."""
        self._db.execute("INSERT INTO records (image, fault) VALUES (?, ?)", (image, message))

    def orphan(self, message: str) -> None:
        """A record so broken that nobody can say which image it is about."""
        self._orphans += 1
        if self._orphans <= _EXAMPLES:
            self._db.execute("INSERT INTO orphans VALUES (?)", (message,))

    def finish(self) -> None:
        """Sort what was added and make it durable."""
        # Records may speak of images that no list names (results without an index file): their ids are all we know.
        if self._db.execute("SELECT 1 FROM images LIMIT 1").fetchone() is None:
            self._db.execute("INSERT INTO images (id) SELECT image FROM records GROUP BY image ORDER BY min(seq)")
        self._db.executescript(_INDEXES)
        self._db.execute(f"PRAGMA user_version = {min(self._orphans, 2**31 - 1)}")
        self._db.commit()

    def _add(
        self,
        image: str,
        shape: Sequence[float],
        *,
        score: float | None,
        crowd: bool,
        label: str | None,
        body: str | None,
    ) -> None:
        blob = np.asarray(shape, "<f8").tobytes()
        self._db.execute(
            "INSERT INTO records (image, shape, score, crowd, label, body) VALUES (?, ?, ?, ?, ?, ?)",
            (image, blob, score, int(crowd), label, body),
        )


class Index:
    """Answers by image; nothing is kept in memory but the names of the categories."""

    def __init__(self, path: Path) -> None:
        # Immutable: the file never changes once it has its name, so no locks are needed, even on shared storage.
        uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
        self._db = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self.categories: dict[str, str] = dict(self._db.execute("SELECT key, name FROM categories ORDER BY rowid"))
        self.orphans: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        self.orphan_examples: list[str] = [row[0] for row in self._db.execute("SELECT message FROM orphans")]

    def find(self, image_ids: Sequence[str]) -> list[list[Entry]]:
        """For each image id the entries that fit it best: none, one, or several when the file is ambiguous."""
        image_ids = [i if names.is_text(i) else "" for i in image_ids]
        keys = [names.backwards(i) for i in image_ids]
        wanted = set(keys) | {tail for key in keys for tail in names.tails(key)}
        numbers = [names.number_of(i) for i in image_ids]
        by_name = self._entries("backwards", wanted)
        by_id = self._entries("id", {*image_ids, *(n for n in numbers if n is not None)})
        found = []
        for image_id, key, number in zip(image_ids, keys, numbers, strict=True):
            rows = by_name.get(key) or self._longer(key)
            if not rows:
                rows = next((by_name[tail] for tail in names.tails(key) if tail in by_name), [])
            if not rows:
                rows = by_id.get(image_id) or (by_id.get(number, []) if number is not None else [])
                rows = [row for row in rows if number is None or not names.contradicts(row.name, number)]
            found.append(names.best(rows, image_id))
        return found

    def records(self, entries: Iterable[Entry]) -> dict[str, list[Row]]:
        """The records of each entry by its id, in the order of the file."""
        ids = sorted({entry.id for entry in entries})
        found: dict[str, list[Row]] = {}
        for chunk in _chunks(ids):
            marks = ",".join("?" * len(chunk))
            columns = "image, shape, score, crowd, label, body, fault"
            query = f"SELECT {columns} FROM records WHERE image IN ({marks}) ORDER BY seq"
            for image, *row in self._db.execute(query, chunk):
                found.setdefault(image, []).append(Row(*row))
        return found

    def survey(self, image_ids: Iterable[str]) -> "Survey":
        """How the file and a source's images fit together; the ids are streamed."""
        survey = Survey()
        self._db.execute("DROP TABLE IF EXISTS temp.seen")
        self._db.execute("CREATE TEMP TABLE seen (key INTEGER PRIMARY KEY, image TEXT)")
        batch: list[str] = []
        for image_id in image_ids:
            batch.append(image_id)
            if len(batch) == _CHUNK:
                self._see(batch, survey)
                batch = []
        self._see(batch, survey)
        unseen = "FROM images WHERE key NOT IN (SELECT key FROM temp.seen)"
        survey.unused = self._count(f"SELECT count(*) {unseen}")
        survey.unused_example = self._example(f"SELECT coalesce(name, id) {unseen} ORDER BY key LIMIT 1")
        survey.unused_records = self._count(f"SELECT count(*) FROM records WHERE image IN (SELECT id {unseen})")
        nameless = "FROM records WHERE image NOT IN (SELECT id FROM images)"
        survey.nameless_records = self._count(f"SELECT count(*) {nameless}")
        survey.nameless_example = self._example(f"SELECT image {nameless} LIMIT 1")
        survey.faults = self._count("SELECT count(*) FROM records WHERE fault IS NOT NULL")
        return survey

    def _see(self, batch: Sequence[str], survey: "Survey") -> None:
        for image_id, entries in zip(batch, self.find(batch), strict=True):
            survey.images += 1
            if not entries:
                survey.unknown += 1
                survey.unknown_example = survey.unknown_example or image_id
            elif len(entries) > 1:
                survey.ambiguous += 1
                survey.ambiguous_example = survey.ambiguous_example or ambiguity(image_id, entries)
            for entry in entries:
                cursor = self._db.execute("INSERT OR IGNORE INTO temp.seen VALUES (?, ?)", (entry.key, image_id))
                if not cursor.rowcount and len(entries) == 1:
                    survey.shared += 1
                    first = self._example("SELECT image FROM temp.seen WHERE key = ?", entry.key)
                    survey.shared_example = survey.shared_example or f"{first} and {image_id}"

    def _entries(self, column: str, values: Iterable[str]) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for chunk in _chunks(sorted(values)):
            marks = ",".join("?" * len(chunk))
            columns = f"{column}, key, name, id, width, height"
            query = f"SELECT {columns} FROM images WHERE {column} IN ({marks}) ORDER BY key"
            for value, key, name, id, width, height in self._db.execute(query, chunk):
                found.setdefault(value, []).append(Entry(key, name or "", id, width or 0, height or 0))
        return found

    def _longer(self, key: str) -> list[Entry]:
        """Entries whose names end like the name of `key` and go on; "0" is the character after "/"."""
        query = (
            "SELECT key, name, id, width, height FROM images WHERE backwards > ? AND backwards < ? ORDER BY key LIMIT ?"
        )
        rows = self._db.execute(query, (key + "/", key + "0", _LONGER)) if key else ()
        return [Entry(k, name or "", id, width or 0, height or 0) for k, name, id, width, height in rows]

    def _count(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    def _example(self, query: str, *values: Any) -> str:
        row = self._db.execute(query, values).fetchone()
        return str(row[0]) if row else ""


class Survey:
    """Counts, each with one example; `Index.survey` fills it and `messages` tells it."""

    def __init__(self) -> None:
        self.images = self.unknown = self.ambiguous = self.shared = 0
        self.unused = self.unused_records = self.nameless_records = self.faults = 0
        self.unknown_example = self.ambiguous_example = self.shared_example = ""
        self.unused_example = self.nameless_example = ""

    def messages(self, file: str) -> list[str]:
        """One plain sentence for each thing that does not fit."""
        hint = f"; a record there is named {self.unused_example}" if self.unused_example else ""
        told = [
            (self.unknown, f"images of {self.images} are not in {file} (first: {self.unknown_example}{hint})."),
            (self.ambiguous, f"images fit several records of {file} and get none: {self.ambiguous_example}."),
            (
                self.shared,
                f"images share their records in {file} with another image of the same name "
                f"(first: {self.shared_example}); name them by fuller paths if they differ.",
            ),
            (
                self.unused,
                f"images of {file} with {self.unused_records} records are not in the source "
                f"(first: {self.unused_example}).",
            ),
            (
                self.nameless_records,
                f"records of {file} are about images that it does not list (first: {self.nameless_example}).",
            ),
            (self.faults, f"records of {file} are broken; each becomes a fault of its image, the others are kept."),
        ]
        return [f"{count} {message}" for count, message in told if count]


def ambiguity(image_id: str, entries: Sequence[Entry]) -> str:
    """Why an image gets no records although several fit."""
    listed = ", ".join(repr(entry.name or entry.id) for entry in entries[:_EXAMPLES])
    return f"image {image_id!r} fits {len(entries)} entries ({listed}); name it there by its fuller path"


def open_index(files: Sequence[Path], root: Path, identity: Any, fill: Callable[[Builder], None]) -> Index:
    """The index of `files`, built by `fill` unless the cache has it.

    `root` is what file names are taken relative to; `identity` is everything else that shapes the index (JSON).
    The cache is `$FLD_CACHE`, else `$XDG_CACHE_HOME/fld`, else `~/.cache/fld`.

    Raises:
        ConfigError: the files cannot be read as what they are said to be, or the cache cannot be written.
    """
    folder = cache_folder()
    path = folder / f"recorded-{_digest(files, root, identity)}.sqlite"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _build(path, fill)
        except (OSError, sqlite3.OperationalError) as error:
            raise ConfigError(
                f"the index of {root} cannot be written to {folder} ({error}). "
                "Make room there, or name another folder in the environment variable FLD_CACHE."
            ) from error
    try:
        return Index(path)
    except sqlite3.DatabaseError:  # damaged on disk; it can be made again
        _build(path, fill)
        return Index(path)


def cache_folder() -> Path:
    """Where derived files live that may be deleted at any time."""
    own = os.environ.get("FLD_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fld"


def _build(path: Path, fill: Callable[[Builder], None]) -> None:
    for left in path.parent.glob("recorded-*.tmp"):  # by builds that were killed
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with closing(sqlite3.connect(temporary)) as connection:
            # A half-built file is thrown away, so journal and fsync would buy nothing until the rename.
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
            builder = Builder(connection)
            fill(builder)
            builder.finish()
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _digest(files: Sequence[Path], root: Path, identity: Any) -> str:
    whole = hashlib.sha256(json.dumps([REVISION, identity], sort_keys=True).encode())
    for file in files:
        name = os.path.relpath(file, root) if root.is_dir() else file.name
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        whole.update(hashlib.sha256(os.fsencode(name)).digest() + content)
    return whole.hexdigest()


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
