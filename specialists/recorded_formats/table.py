"""Parquet with this project's own column names; one row a record, further columns are ignored."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine import schema as s
from engine.errors import ConfigError, RecordError
from specialists.recorded_formats import checks
from specialists.recorded_formats.index import Builder
from specialists.recorded_formats.names import id_text, is_text

SUFFIX: Final = ".parquet"
_BATCH: Final = 2048  # rows in memory at a time
Add = Callable[[Builder, str, Mapping[str, Any]], None]


def regions(files: Sequence[Path], gold: bool, build: Builder) -> None:
    """image_id, x0, y0, x1, y1, label, score (1 for gold without one) [, mask, crowd].

    Raises:
        ConfigError: a file is not Parquet, or lacks a column.
    """

    def add(build: Builder, image: str, row: Mapping[str, Any]) -> None:
        corners = checks.box([checks.number(row[side], side) for side in s.BOX], "the box")
        label = checks.text(row[s.LABEL], s.LABEL)
        score = 1.0 if gold and row.get(s.SCORE) is None else checks.score(row[s.SCORE])
        mask = row.get(s.MASK)
        if mask is not None and not (isinstance(mask, str) and mask):
            raise RecordError(f"{s.MASK} is {checks.short(mask)}, not a run-length code")
        build.category(label, label)
        code = json.dumps(mask) if mask else None
        build.box(image, corners, label=label, score=score, crowd=bool(row.get(s.CROWD)), mask=code)

    needs = (*s.BOX, s.LABEL) if gold else (*s.BOX, s.LABEL, s.SCORE)
    _read(files, add, build, role="detector", needs=needs, may=(s.SCORE, s.MASK, s.CROWD))


def texts(files: Sequence[Path], granularity: str, build: Builder) -> None:
    """image_id, text [, granularity, score].

    Raises:
        ConfigError: a file is not Parquet, or lacks a column.
    """

    def add(build: Builder, image: str, row: Mapping[str, Any]) -> None:
        said = row.get(s.GRANULARITY)
        score = row.get(s.SCORE)
        build.text(
            image,
            checks.text(row[s.TEXT], s.TEXT),
            granularity=granularity if said is None else checks.granularity(said),
            score=None if _missing(score) else checks.score(score),
        )

    _read(files, add, build, role="captioner", needs=(s.TEXT,), may=(s.GRANULARITY, s.SCORE))


def readings(files: Sequence[Path], gold: bool, build: Builder) -> None:
    """image_id, quad (8 numbers), text, score (1 for gold without one).

    Raises:
        ConfigError: a file is not Parquet, or lacks a column.
    """

    def add(build: Builder, image: str, row: Mapping[str, Any]) -> None:
        quad = checks.numbers(row[s.QUAD], 8, s.QUAD)
        checks.box((min(quad[::2]), min(quad[1::2]), max(quad[::2]), max(quad[1::2])), s.QUAD)
        score = 1.0 if gold and row.get(s.SCORE) is None else checks.score(row[s.SCORE])
        build.text(image, checks.text(row[s.TEXT], s.TEXT), score=score, quad=quad)

    needs = (s.QUAD, s.TEXT) if gold else (s.QUAD, s.TEXT, s.SCORE)
    _read(files, add, build, role="reader", needs=needs, may=(s.SCORE,))


def _missing(score: Any) -> bool:
    return score is None or (isinstance(score, float) and math.isnan(score))  # NaN: the captioner gave none


def _read(
    files: Sequence[Path], add: Add, build: Builder, *, role: str, needs: Sequence[str], may: Sequence[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                present = file.schema_arrow.names
                missing = [name for name in (s.IMAGE_ID, *needs) if name not in present]
                if missing:
                    raise ConfigError(
                        f"{path} has no column {', '.join(map(repr, missing))}; a recorded {role} needs "
                        f"{', '.join((s.IMAGE_ID, *needs))}. It has {', '.join(present[:20])}."
                    )
                columns = [name for name in (s.IMAGE_ID, *dict.fromkeys((*needs, *may))) if name in present]
                number = 0
                for batch in file.iter_batches(_BATCH, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        _record(row, number, path.name, add, build)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read as Parquet: {error}") from error


def _record(row: Mapping[str, Any], number: int, file: str, add: Add, build: Builder) -> None:
    image = id_text(row[s.IMAGE_ID])
    if image is None or not is_text(image):
        build.orphan(f"{file}, row {number}: {s.IMAGE_ID} is {checks.short(row[s.IMAGE_ID])}")
        return
    build.image(image, image)
    try:
        add(build, image, row)
    except RecordError as error:
        build.fault(image, f"{file}, row {number}: {error}")
