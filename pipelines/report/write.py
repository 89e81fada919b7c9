"""Write the page: cards one after another into a file that takes its name only when it is whole."""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine import schema as s
from engine.errors import UserError
from engine.images import Limits
from engine.publish import list_markers
from engine.store import Store, open_store
from pipelines.query import connect
from pipelines.report import page, rows
from pipelines.report.picture import Picture, pictures
from pipelines.report.record import palette, record
from pipelines.report.rows import Scene
from pipelines.report.summary import summarise


@dataclass(frozen=True, slots=True)
class Reported:
    """How many of OUT's images are on the page, how many of these without a picture, and its size."""

    images: int
    shown: int
    missing: int
    bytes: int


def report(out: str, file: str, limit: int = 64) -> Reported:
    """Write the first `limit` images of OUT, by id, with all that was decided about them, as one HTML page.

    The page needs no network and no other file: pictures are made small and stand in it. The same OUT and the same
    images give the same bytes. `file` is replaced when the page is whole, and is left as it was if it never is.

    Raises:
        OutError: nothing is built or published in OUT.
        UserError: `file` cannot be written, or `limit` is not positive.
    """
    if limit < 1:
        raise UserError(f"a page of {limit} images has nothing on it; give a limit of at least 1")
    store = open_store(out)
    summary = summarise(store, len(list_markers(store)))
    with connect(out) as connection:
        total = rows.count(connection)
        scenes = rows.scenes(connection, limit)
    missing = 0
    with _replacing(Path(file)) as target:
        colours = palette(scenes)
        records = [record(scene, colours) for scene in scenes]
        target.write(page.head(_name(store), summary, len(scenes), total))
        shown = _pictures(scenes, Limits.model_validate(summary.limits))
        for number, (scene, drawn, picture) in enumerate(zip(scenes, records, shown, strict=True)):
            missing += not picture.jpeg
            target.write(page.card(number, scene, drawn, picture))
        target.write(page.tail(json.dumps(records, ensure_ascii=False, separators=(",", ":"), allow_nan=False)))
    return Reported(total, len(scenes), missing, os.path.getsize(file))


def _pictures(scenes: list[Scene], limits: Limits) -> Iterator[Picture]:
    """A picture, or why there is none, for each scene."""
    known = [scene.image for scene in scenes if scene.image]
    read = pictures([image[s.URI] for image in known], [image[s.SHA256] for image in known], limits)
    for scene in scenes:
        yield next(read) if scene.image else Picture(b"", "it is in quarantine: the file could not be read")


def _name(store: Store) -> str:
    return store.root.rstrip("/").rpartition("/")[2]


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A text file beside `path` that becomes it at the end, and is gone if anything goes wrong."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with open(temporary, "x", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}. Choose another file for the page.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
