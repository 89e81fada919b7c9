"""Masks as compressed COCO run-length codes (ASCII strings), checked before C code sees them.

A code holds the lengths of alternating runs of 0 and 1, column by column. Each length is written in groups of
five bits, one ASCII character a group (offset 48, bit 5: more follows, bit 4 of the last: sign), and from the
fourth length on as the difference to the length two before (pycocotools, `common/maskApi.c`, rleToString).
pycocotools trusts its input and reads beyond its buffers when it is wrong, so every code is parsed here first; what
can be said from the runs alone is, and pycocotools encodes, fills polygons and intersects.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as _coco

from engine.errors import RecordError

MAX_CELLS = 2**31 - 1  # pycocotools counts pixels in 32 bits
MAX_COORDINATE = 2.0**20  # it computes 5 * coordinate in 32 bits; more than any image is wide
MAX_OUTLINE = 2_000_000  # pixels of outline; it allocates about 80 bytes for each
_MAX_GROUPS = 7  # 35 bits hold any run of at most MAX_CELLS and any difference of two


def encode(mask: NDArray[np.bool_]) -> str:
    """The code of a mask (height, width). Fastest where the mask is in Fortran order, as `decode` returns it.

    Raises:
        RecordError: the mask is not a two-dimensional array of truth values with at least one pixel.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise RecordError(f"a mask must be a boolean array (height, width), not {mask.dtype} {mask.shape}")
    _check_size(*mask.shape)
    return _text(_coco.encode(np.asfortranarray(mask).view(np.uint8)))


def encode_part(mask: NDArray[np.bool_], left: int, top: int, height: int, width: int) -> str | None:
    """The code of a small mask (h, w) at its place in an image, without drawing the image; None for an empty mask.

    Raises:
        RecordError: the mask leaves the image.
    """
    _check_size(height, width)
    if min(left, top) < 0 or top + mask.shape[0] > height or left + mask.shape[1] > width:
        raise RecordError(f"a mask {mask.shape} at row {top} and column {left} leaves an image of {width} x {height}")
    steps = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T  # one row a column of the image
    column, start = np.nonzero(steps == 1)
    _, end = np.nonzero(steps == -1)
    if not column.size:
        return None
    base = (left + column) * height + top
    borders = np.stack([base + start, base + end], axis=1).ravel()
    return _from_counts(np.diff(np.concatenate([[0], borders, [height * width]])), height, width)


def decode(rle: str, height: int, width: int) -> NDArray[np.bool_]:
    """The mask (height, width) of a code, in Fortran order.

    Raises:
        RecordError: the code is not the code of a mask of this size.
    """
    counts, _ = _checked([rle], height, width)
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape((height, width), order="F")


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> str:
    """The code of the union of polygons [x0, y0, x1, y1, …] in pixels, filled as COCO fills them.

    Raises:
        RecordError: no polygon, an odd number of coordinates, fewer than three points, or a coordinate that is
            not finite or far outside any image.
    """
    _check_size(height, width)
    if not polygons:
        raise RecordError("a segmentation must have at least one polygon, and has none")
    checked = [_polygon(points, i) for i, points in enumerate(polygons)]
    # MAX_OUTLINE holds for all of them together: many small polygons cost as much as one long one.
    outline = sum(_outline(points) for points in checked)
    if outline > MAX_OUTLINE:
        raise RecordError(f"the polygons have an outline of {outline:.0f} pixels; at most {MAX_OUTLINE} is accepted")
    rles = _coco.frPyObjects([points.tolist() for points in checked], height, width)
    return _text(_coco.merge(rles))


def from_uncompressed(counts: Sequence[int], height: int, width: int) -> str:
    """The code of run lengths given as numbers (COCO's form for `iscrowd` regions), zeros first, by columns.

    Raises:
        RecordError: a length is not a whole number of at least 0, or they do not add up to height * width.
    """
    _check_size(height, width)
    if any(isinstance(c, bool) or not isinstance(c, (int, np.integer)) or not 0 <= c <= MAX_CELLS for c in counts):
        raise RecordError("run lengths must be whole numbers of at least 0")
    return _from_counts(np.asarray(counts, np.int64), height, width)


def area(rles: Sequence[str], height: int, width: int) -> NDArray[np.int64]:
    """Number of pixels of each mask (n,); any number of masks of one image.

    Raises:
        RecordError: a code is not the code of a mask of this size.
    """
    counts, offsets = _checked(rles, height, width)
    ones = np.where(_position(offsets) % 2 == 1, counts, 0)
    total = np.concatenate([[0], np.cumsum(ones)])
    areas: NDArray[np.int64] = total[offsets[1:]] - total[offsets[:-1]]
    return areas


def bbox(rles: Sequence[str], height: int, width: int) -> NDArray[np.float32]:
    """The tightest boxes (n, 4) as x0, y0, x1, y1 in pixels; 0, 0, 0, 0 for an empty mask.

    Raises:
        RecordError: a code is not the code of a mask of this size.
    """
    counts, offsets = _checked(rles, height, width)
    boxes = np.zeros((len(rles), 4), np.float32)
    position = _position(offsets)
    owner = np.repeat(np.arange(len(rles)), np.diff(offsets))
    ends = np.cumsum(counts) - owner * (height * width)  # every code covers exactly one image
    runs = (position % 2 == 1) & (counts > 0)
    if not runs.any():
        return boxes
    owner, first, last = owner[runs], (ends - counts)[runs], ends[runs] - 1
    x0, x1 = first // height, last // height
    whole = x1 > x0  # the run goes on into another column, so it touches bottom and top
    y0, y1 = np.where(whole, 0, first % height), np.where(whole, height - 1, last % height)
    found, starts = np.unique(owner, return_index=True)
    boxes[found] = np.stack(
        [
            np.minimum.reduceat(x0, starts),
            np.minimum.reduceat(y0, starts),
            np.maximum.reduceat(x1, starts) + 1,
            np.maximum.reduceat(y1, starts) + 1,
        ],
        axis=1,
    )
    return boxes


def iou(a: Sequence[str], b: Sequence[str], height: int, width: int) -> NDArray[np.float64]:
    """Intersection over union of every mask of `a` with every mask of `b`: (len(a), len(b)), 0..1.

    Raises:
        RecordError: a code is not the code of a mask of this size.
    """
    left, right = _canonical(a, height, width), _canonical(b, height, width)
    if not left or not right:
        return np.zeros((len(a), len(b)), np.float64)
    found: NDArray[np.float64] = _coco.iou(left, right, [0] * len(right))
    return np.nan_to_num(found.reshape(len(a), len(b)))  # two empty masks share nothing


def runs(rles: Sequence[str], height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lengths of the alternating runs of 0 and 1 of all codes, flat, and offsets (n + 1,); any masks of one size.

    Raises:
        RecordError: a code is not the code of a mask of this size.
    """
    return _checked(rles, height, width)


def is_valid(rle: str, height: int, width: int) -> bool:
    """Whether `rle` is the code of a mask of this size; never raises, whatever the string."""
    try:
        check([rle], height, width)
    except RecordError:
        return False
    return True


def check(rles: Sequence[str], height: int, width: int) -> None:
    """Refuse codes that C code must not see.

    Raises:
        RecordError: a code is not the code of a mask of this size; the message says which and why.
    """
    _checked(rles, height, width)


def _checked(rles: Sequence[str], height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Run lengths of all codes, flat, and offsets (n + 1,): code i is counts[offsets[i]:offsets[i + 1]]."""
    _check_size(height, width)
    counts, offsets = _counts(rles)
    negative = np.flatnonzero(counts < 0)
    if negative.size:
        raise RecordError(f"mask {_owner(offsets, negative[0])} has a run of negative length")
    long = np.flatnonzero(counts > MAX_CELLS)
    if long.size:
        raise RecordError(f"mask {_owner(offsets, long[0])} has a run longer than any image")
    total = np.concatenate([[0], np.cumsum(counts)])
    sums = total[offsets[1:]] - total[offsets[:-1]]
    wrong = np.flatnonzero(sums != height * width)
    if wrong.size:
        i = int(wrong[0])
        raise RecordError(f"mask {i} covers {sums[i]} pixels, but the image has {width} x {height} = {height * width}")
    return counts, offsets


def _counts(rles: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parse all codes at once, without judging the lengths."""
    for i, rle in enumerate(rles):
        if not isinstance(rle, str) or not rle.isascii() or not rle:
            raise RecordError(f"mask {i} is not a run-length code: it must be a string of ASCII characters")
    if not rles:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    groups = np.frombuffer("".join(rles).encode("ascii"), np.uint8).astype(np.int64) - 48
    bounds = np.concatenate([[0], np.cumsum([len(rle) for rle in rles])])
    outside = np.flatnonzero((groups < 0) | (groups > 63))
    if outside.size:
        raise RecordError(f"mask {_owner(bounds, outside[0])} has a character that no run-length code has")
    last = (groups & 32) == 0
    open_ended = np.flatnonzero(~last[bounds[1:] - 1])
    if open_ended.size:
        raise RecordError(f"mask {int(open_ended[0])} is cut off in the middle of a run")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    size = ends - starts + 1
    if size.max() > _MAX_GROUPS:
        raise RecordError(f"mask {_owner(bounds, starts[size.argmax()])} has a run longer than any image")
    shift = 5 * (np.arange(len(groups)) - np.repeat(starts, size))
    values = np.add.reduceat((groups & 31) << shift, starts)
    values = np.where(groups[ends] & 16, values - (np.int64(1) << (5 * size)), values)
    offsets = np.searchsorted(starts, bounds).astype(np.int64)
    return _undo_differences(values, offsets), offsets


def _undo_differences(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lengths from differences: c[0] and both chains c[1], c[3], … and c[2], c[4], … of each code."""
    position = _position(offsets)
    counts = values.copy()
    for parity in (1, 0):
        chain = np.flatnonzero((position % 2 == parity) & (position > 0))
        running = np.cumsum(values[chain])
        head = np.flatnonzero(position[chain] <= 2)  # where each code's chain begins
        before = np.where(head > 0, running[head - 1], 0) if head.size else running
        counts[chain] = running - np.repeat(before, np.diff(np.append(head, len(chain))))
    return counts


def _position(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of each flat entry within its own code."""
    sizes = np.diff(offsets)
    return np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], sizes)


def _owner(bounds: NDArray[np.int64], index: Any) -> int:
    return int(np.searchsorted(bounds, index, side="right")) - 1


def _from_counts(counts: NDArray[np.int64], height: int, width: int) -> str:
    total = int(counts.sum()) if counts.size else 0
    if total != height * width:
        raise RecordError(f"the runs cover {total} pixels, but the image has {width} x {height} = {height * width}")
    counts = _merge_empty_runs(counts)
    return _text(_coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width))


def _merge_empty_runs(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same mask without empty runs (but for the first), which C code misreads when it intersects."""
    if not (counts[1:] == 0).any():
        return counts
    value = np.arange(len(counts)) % 2
    value, length = value[counts > 0], counts[counts > 0]
    starts = np.flatnonzero(np.diff(value, prepend=-1))
    merged = np.add.reduceat(length, starts)
    return np.concatenate([[0], merged]) if value[0] == 1 else merged


def _canonical(rles: Sequence[str], height: int, width: int) -> list[dict[str, Any]]:
    counts, offsets = _checked(rles, height, width)
    empty = (counts == 0) & (_position(offsets) > 0)
    again = {_owner(offsets, i) for i in np.flatnonzero(empty)}
    return [
        _rle(_from_counts(counts[offsets[i] : offsets[i + 1]], height, width) if i in again else rle, height, width)
        for i, rle in enumerate(rles)
    ]


def _polygon(points: Sequence[float], index: int) -> NDArray[np.float64]:
    try:
        flat = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"polygon {index} must be a list of numbers x0, y0, x1, y1, …") from error
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2:
        raise RecordError(f"polygon {index} must be x0, y0, x1, y1, … with at least 3 points, not shape {flat.shape}")
    if not np.isfinite(flat).all() or np.abs(flat).max() > MAX_COORDINATE:
        raise RecordError(f"polygon {index} has a coordinate that is not finite or beyond {MAX_COORDINATE:.0f}")
    return flat


def _outline(flat: NDArray[np.float64]) -> float:
    points = flat.reshape(-1, 2)
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    return float(np.sum(steps + 1))


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or math.prod((int(height), int(width))) > MAX_CELLS:
        raise RecordError(f"a mask cannot be {width} x {height} pixels; the limit is {MAX_CELLS} in all")


def _rle(rle: str, height: int, width: int) -> dict[str, Any]:
    return {"size": [height, width], "counts": rle.encode("ascii")}


def _text(rle: dict[str, Any]) -> str:
    counts: bytes = rle["counts"]
    return counts.decode("ascii")
