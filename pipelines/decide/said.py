"""What detectors and readers said of the images of a shard, ready to be clustered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from consensus.boxes import BoxColumns
from engine import schema as s
from engine.errors import StoreError
from engine.geometry import quad_to_box
from engine.grouped import Grouped
from filters import regions as region_filters
from filters import texts as text_filters
from filters.decision import Decision, first, reject
from pipelines.decide import columns as c

OBJECT: Final = "object"
WRITING: Final = "text"
_QUAD = 8


@dataclass(frozen=True, slots=True)
class Said:
    """Predictions of one kind. `columns.labels` number the distinct `names` (labels or readings, normalised).

    `words` are labels or readings as they were said, `gold` (n,) marks usable rows of people, `crowd` (n,) boxes around
    groups that were not told apart, and `early` says which rows take no part, and why.
    """

    pool: c.Pool
    columns: BoxColumns
    names: list[str]
    words: pa.Array
    gold: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    early: Decision


def objects(detections: Mapping[str, Grouped], n_images: int, min_score: float, gold: frozenset[str]) -> Said:
    """The boxes of detectors (PREDICTED_REGIONS by name). Crowds, boxes without area and low scores take no part.

    Raises:
        StoreError: a table is not over `n_images` images.
    """
    pool = c.pool(detections, s.PREDICTED_REGIONS, n_images)
    labels, names = c.numbered(c.normal(pool.table.column(s.LABEL)))
    boxes, crowd = c.box_matrix(pool.table), c.flags(pool.table.column(s.CROWD))
    words = pool.table.column(s.LABEL)
    return _said(pool, boxes, labels, names, words, min_score, gold, crowd, reject(crowd, "crowd"))


def writing(
    readings: Mapping[str, Grouped], n_images: int, min_score: float, gold: frozenset[str]
) -> tuple[Said, pa.Array]:
    """The quads of readers (PREDICTED_READINGS by name) as boxes, and as they are. Blank and unsure ones take no part.

    Raises:
        StoreError: a table is not over `n_images` images, or has a quad that is not eight numbers.
    """
    pool = c.pool(readings, s.PREDICTED_READINGS, n_images)
    quads = c.flat(pool.table.column(s.QUAD))
    flat = quads.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if len(flat) != _QUAD * len(quads) or not c.flags(pc.equal(pc.list_value_length(quads), _QUAD)).all():
        raise StoreError("a reading has a quad that is not eight numbers; readers give x0, y0, ... x3, y3")
    trimmed = c.flat(pc.utf8_trim_whitespace(pc.fill_null(pool.table.column(s.TEXT), "")))
    texts, names = c.numbered(trimmed)
    boxes = quad_to_box(flat.reshape(-1, _QUAD))
    nowhere = np.zeros(len(boxes), bool)
    return _said(pool, boxes, texts, names, trimmed, min_score, gold, nowhere, text_filters.empty(trimmed)), quads


def _said(
    pool: c.Pool,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: list[str],
    words: c.Array,
    min_score: float,
    gold: frozenset[str],
    crowd: NDArray[np.bool_],
    earlier: Decision,
) -> Said:
    human = np.array([name in gold for name in pool.names], bool)
    is_gold = human[pool.specialist] if len(human) else np.zeros(0, bool)
    scores = c.floats(pool.table, s.SCORE)
    weak = region_filters.score(scores, min_score).only(~is_gold)
    early = first([earlier, region_filters.degenerate(boxes), weak])
    finite = np.nan_to_num(boxes, posinf=0.0, neginf=0.0)  # the rest was rejected as degenerate
    columns = BoxColumns(finite, np.nan_to_num(scores), pool.specialist, labels, pool.rows.offsets)
    return Said(
        pool, columns, names, c.flat(words), is_gold & early.kept, crowd & np.isfinite(boxes).all(axis=1), early
    )
