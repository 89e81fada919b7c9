"""Records of specialists → flat tables of the schema, and accepted tables → the records that specialists read."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine import schema as s
from engine.graph import Batch, Fault
from engine.grouped import Grouped
from engine.records import Captions, Groundings, Image, Masks, Readings, Regions

Array = NDArray[Any]


def images_of(batch: Batch) -> list[Image]:
    """The batch's images as specialists see them; nothing is decoded yet."""
    return [
        Image(image_id, uri, width, height, _reader(batch, uri))
        for image_id, uri, width, height in zip(
            *(batch.images.column(c).to_pylist() for c in (s.IMAGE_ID, s.URI, s.WIDTH, s.HEIGHT)), strict=True
        )
    ]


def _reader(batch: Batch, uri: str) -> Callable[[], Any]:
    return lambda: batch.read(uri)


def faults_of(batch: Batch, answers: Sequence[Regions | Readings | Captions]) -> list[Fault]:
    """Broken records that specialists reported, one fault each."""
    ids = batch.images.column(s.IMAGE_ID).to_pylist()
    return [
        Fault(image_id, "RecordError", message, lost=False)
        for image_id, answer in zip(ids, answers, strict=True)
        for message in answer.faults
    ]


def unanswered_of(batch: Batch, answers: Sequence[Regions | Readings | Captions]) -> list[str]:
    """Images that the specialist says it has not looked at."""
    ids = batch.images.column(s.IMAGE_ID).to_pylist()
    return [image_id for image_id, answer in zip(ids, answers, strict=True) if not answer.answered]


def regions_table(ids: Sequence[str], answers: Sequence[Regions]) -> pa.Table:
    """Schema PREDICTED_REGIONS."""
    boxes = _stack([a.boxes for a in answers], (0, 4))
    masks = [mask for a in answers for mask in (a.masks or [None] * len(a.boxes))]
    crowd = [a.crowd if a.crowd is not None else np.zeros(len(a.boxes), bool) for a in answers]
    return pa.Table.from_arrays(
        [
            _repeat(ids, [len(a.boxes) for a in answers]),
            *_columns(boxes),
            pa.array([label for a in answers for label in a.labels], pa.string()),
            pa.array(_stack([a.scores for a in answers], (0,)), pa.float32()),
            pa.array(masks, pa.string()),
            pa.array(np.concatenate([*crowd, np.zeros(0, bool)])),
        ],
        schema=s.PREDICTED_REGIONS,
    )


def readings_table(ids: Sequence[str], answers: Sequence[Readings]) -> pa.Table:
    """Schema PREDICTED_READINGS."""
    quads = _stack([a.quads for a in answers], (0, 8))
    return pa.Table.from_arrays(
        [
            _repeat(ids, [len(a.quads) for a in answers]),
            pa.array(list(quads.astype(np.float32)), pa.list_(pa.float32())),
            pa.array([text for a in answers for text in a.texts], pa.string()),
            pa.array(_stack([a.scores for a in answers], (0,)), pa.float32()),
        ],
        schema=s.PREDICTED_READINGS,
    )


def texts_table(ids: Sequence[str], answers: Sequence[Captions]) -> pa.Table:
    """Schema PREDICTED_TEXTS."""
    return pa.Table.from_arrays(
        [
            _repeat(ids, [len(a.texts) for a in answers]),
            pa.array([text for a in answers for text in a.texts], pa.string()),
            pa.array([g for a in answers for g in a.granularities], pa.string()),
            pa.array(_stack([a.scores for a in answers], (0,)), pa.float32(), from_pandas=True),
        ],
        schema=s.PREDICTED_TEXTS,
    )


def groundings_table(
    ids: Sequence[str], phrase_ids: Sequence[Sequence[str]], answers: Sequence[Groundings]
) -> pa.Table:
    """Schema PREDICTED_PHRASES; `phrase_ids` are those of each image, in the order in which they were asked."""
    boxes = _stack([a.boxes for a in answers], (0, 4))
    named = [names[int(i)] for names, a in zip(phrase_ids, answers, strict=True) for i in a.phrase]
    return pa.Table.from_arrays(
        [
            _repeat(ids, [len(a.boxes) for a in answers]),
            pa.array(named, pa.string()),
            *_columns(boxes),
            pa.array(_stack([a.scores for a in answers], (0,)), pa.float32()),
        ],
        schema=s.PREDICTED_PHRASES,
    )


def masks_table(targets: pa.Table, answers: Sequence[Masks]) -> pa.Table:
    """Schema PREDICTED_MASKS; `targets` are the boxes asked for (image_id, region_id, phrase_id, box), in order."""
    masks = pa.array([mask for a in answers for mask in a.masks], pa.string())
    scores = pa.array(_stack([a.scores for a in answers], (0,)), pa.float32())
    columns = [targets.column(name) for name in (s.IMAGE_ID, s.REGION_ID, s.PHRASE_ID, *s.BOX)]
    return pa.Table.from_arrays([*columns, masks, scores], schema=s.PREDICTED_MASKS)


def boxes_of(table: pa.Table) -> NDArray[np.float32]:
    """The four box columns as (rows, 4)."""
    return np.stack([table.column(c).to_numpy() for c in s.BOX], axis=1).astype(np.float32, copy=False)


def regions_of(group: Grouped) -> list[Regions]:
    """Accepted object regions of each image, as specialists read them."""
    boxes, scores = boxes_of(group.table), group.table.column(s.CONFIDENCE).to_numpy()
    labels = group.table.column(s.LABEL).to_pylist()
    bounds = list(zip(group.offsets[:-1].tolist(), group.offsets[1:].tolist(), strict=True))
    return [Regions(boxes[lo:hi], scores[lo:hi], labels[lo:hi]) for lo, hi in bounds]


def _columns(boxes: Array) -> list[pa.Array]:
    return [pa.array(np.ascontiguousarray(boxes[:, i]), pa.float32()) for i in range(4)]


def _repeat(ids: Sequence[str], counts: Iterable[int]) -> pa.Array:
    return pa.array(np.repeat(np.asarray(ids, dtype=object), list(counts)).tolist(), pa.string())


def _stack(arrays: Sequence[Array], empty: tuple[int, ...]) -> Array:
    return np.concatenate([*arrays, np.zeros(empty, np.float32)]).astype(np.float32, copy=False)
