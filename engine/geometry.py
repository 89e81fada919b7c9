"""Boxes (n, 4) x0, y0, x1, y1 and quads (n, 8) in absolute pixels, float32; no function loops over them."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Quads = NDArray[np.float32]


def is_box(boxes: Boxes) -> NDArray[np.bool_]:
    """Which rows (n,) are boxes: finite, with a width and a height above 0."""
    finite = np.isfinite(boxes).all(axis=1)
    valid: NDArray[np.bool_] = finite & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return valid


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Area (n,) in square pixels; 0 for a box that is inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return areas


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """The part of each box inside an image of that size; a box wholly outside gets an area of 0."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)


def iou_matrix(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m) in 0..1.

    Two boxes without area have an IoU of 0. Computed in float64, because areas of large boxes exceed the
    24 bits in which float32 counts exactly.
    """
    left, right = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    sizes = [np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1) for box in (left, right)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(iou, np.float32)


def quad_to_box(quads: Quads) -> Boxes:
    """The tightest upright box (n, 4) around each quad (n, 8)."""
    points = quads.reshape(-1, 4, 2)
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float32)


def order_quads(quads: Quads) -> Quads:
    """The corners of each quad (n, 8) clockwise as seen on the screen (y grows downwards), top left first.

    Corners are sorted by their angle around the mean of the four, so a self-crossing quad is untangled; top left
    is the corner with the smallest x + y, and among equals the highest.
    """
    points = quads.reshape(-1, 4, 2).astype(np.float64)
    around = points - points.mean(axis=1, keepdims=True)
    turn = np.argsort(np.arctan2(around[..., 1], around[..., 0]), axis=1, kind="stable")
    points = np.take_along_axis(points, turn[..., None], axis=1)
    total = points.sum(axis=2)
    smallest = total == total.min(axis=1, keepdims=True)
    first = np.where(smallest, points[..., 1], np.inf).argmin(axis=1)
    index = (first[:, None] + np.arange(4)) % 4
    return np.take_along_axis(points, index[..., None], axis=1).reshape(-1, 8).astype(np.float32)
