"""From index rows to what a role returns, in the frame of the image at hand."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine import masks
from engine.errors import RecordError
from engine.geometry import is_box, order_quads, quad_to_box
from engine.records import Captions, Granularity, Image, Readings, Regions
from specialists.recorded_formats.index import Row


def to_regions(
    rows: Sequence[Row], faults: Sequence[str], image: Image, categories: Mapping[str, str], relative: bool
) -> Regions:
    """Boxes clipped to the image. `relative`: coordinates are fractions of its sides. Rows that fail become faults."""
    told = list(faults)
    kept: list[tuple[NDArray[np.float32], float, str, str | None, bool]] = []
    side = np.array([image.width, image.height] * 2 if relative else [1, 1, 1, 1], np.float64)
    limit = np.array([image.width, image.height] * 2, np.float64)
    corners, usable = _clipped_boxes(rows, side, limit)
    for i, row in enumerate(rows):
        if row.fault is not None:
            told.append(row.fault)
            continue
        try:
            label = _label(row, categories)
            mask = _mask(row.body, image, relative) if row.body else None
            box = corners[i]
            if not row.shape and mask is not None:
                box = masks.bbox([mask], image.height, image.width)[0]
                usable[i] = box[2] > box[0]
            if not usable[i]:
                raise RecordError(f"the box {_shown(row, side)} has no part inside the image")
            kept.append((box, cast(float, row.score), label, mask, bool(row.crowd)))
        except RecordError as error:
            told.append(f"a record labelled {row.label!r}: {error}")
    return Regions(
        boxes=np.array([k[0] for k in kept], np.float32).reshape(-1, 4),
        scores=np.array([k[1] for k in kept], np.float32),
        labels=[k[2] for k in kept],
        masks=[k[3] for k in kept] if any(k[3] is not None for k in kept) else None,
        crowd=np.array([k[4] for k in kept], np.bool_),
        faults=tuple(told),
    )


def to_captions(rows: Sequence[Row], faults: Sequence[str]) -> Captions:
    """Texts with their granularities; a missing score is NaN."""
    good = [row for row in rows if row.fault is None]
    return Captions(
        texts=[row.body or "" for row in good],
        granularities=[cast(Granularity, row.label) for row in good],
        scores=np.array([np.nan if row.score is None else row.score for row in good], np.float32),
        faults=(*faults, *(row.fault for row in rows if row.fault is not None)),
    )


def to_readings(rows: Sequence[Row], faults: Sequence[str], image: Image) -> Readings:
    """Quads clockwise from the top left, clipped to the image."""
    told = [*faults, *(row.fault for row in rows if row.fault is not None)]
    good = [row for row in rows if row.fault is None]
    limit = np.array([image.width, image.height] * 4, np.float64)
    raw = np.frombuffer(b"".join(row.shape for row in good), "<f8").reshape(-1, 8)
    quads = order_quads(np.clip(raw, 0, limit).astype(np.float32))
    boxes = quad_to_box(quads)
    keep = is_box(boxes)
    told += [f"the quad {raw[i].tolist()} has no part inside the image" for i in np.flatnonzero(~keep)]
    good = [row for row, inside in zip(good, keep, strict=True) if inside]
    return Readings(
        quads=quads[keep],
        texts=[row.body or "" for row in good],
        scores=np.array([row.score for row in good], np.float32),
        faults=tuple(told),
    )


def _clipped_boxes(
    rows: Sequence[Row], side: NDArray[np.float64], limit: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n, 4) boxes inside the image, and which of them (n,) have an area there; rows without a box get zeros."""
    none = bytes(32)
    raw = np.frombuffer(b"".join(row.shape or none for row in rows), "<f8").reshape(-1, 4)
    # Clipped in float64: float32 would overflow on the far side of a box that reaches beyond all measure.
    boxes = np.clip(raw * side, 0, limit).astype(np.float32)
    return boxes, is_box(boxes)


def _label(row: Row, categories: Mapping[str, str]) -> str:
    label = categories.get(row.label or "")
    if label is None:
        raise RecordError("no category has that id")
    return label


def _mask(body: str, image: Image, relative: bool) -> str:
    spec: Any = json.loads(body)
    height, width = image.height, image.width
    if isinstance(spec, str):
        masks.check([spec], height, width)
        return spec
    if isinstance(spec, list):
        if relative:
            spec = [(np.array(points).reshape(-1, 2) * [width, height]).ravel().tolist() for points in spec]
        return masks.from_polygons(spec, height, width)
    if spec["size"] != [height, width]:
        size = " x ".join(str(n) for n in reversed(spec["size"]))
        raise RecordError(f"its mask is for {size} pixels, the image has {width} x {height}")
    if isinstance(spec["counts"], str):
        masks.check([spec["counts"]], height, width)
        return str(spec["counts"])
    return masks.from_uncompressed(spec["counts"], height, width)


def _shown(row: Row, side: NDArray[np.float64]) -> list[float]:
    return [round(float(v), 2) for v in np.frombuffer(row.shape or bytes(32), "<f8") * side]
