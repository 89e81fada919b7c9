"""Masks as outlines that a browser draws."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine import masks

DETAIL: Final = 768  # an outline follows its mask to 0.8 pixels of a picture with this longer side
_RINGS: Final = 48  # the largest parts and holes of a mask; what is left out is speckle


def path(rle: str, height: int, width: int) -> str:
    """The mask's outline as SVG path data in pixels of the image, to be filled with `evenodd`; "" for an empty mask.

    Raises:
        RecordError: `rle` is not the code of a mask of this size.
    """
    import cv2

    mask = masks.decode(rle, height, width)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return ""
    step = max(1, max(height, width) // DETAIL)
    part = mask[rows[0] : rows[-1] + 1 : step, columns[0] : columns[-1] + 1 : step]
    # findContours goes through the middles of border pixels: two of ours to each keep things one pixel wide visible.
    fine = np.ascontiguousarray(part.repeat(2, axis=0).repeat(2, axis=1), np.uint8)
    rings, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    ranked = sorted(rings, key=cv2.contourArea, reverse=True)[:_RINGS]
    tolerance = max(1.0, 1.6 * max(height, width) / (DETAIL * step))  # in halves of a cell
    corner = np.array([columns[0], rows[0]])
    return "".join(_ring((_simple(ring, tolerance) + 0.5) * (step / 2) + corner) for ring in ranked)


def _simple(ring: NDArray[np.int32], tolerance: float) -> NDArray[np.int32]:
    """The corners (n, 2) of a ring that matter; all of them where it would become a line."""
    import cv2

    simple: NDArray[np.int32] = cv2.approxPolyDP(ring, tolerance, True)
    return (simple if len(simple) > 2 else ring)[:, 0, :]


def _ring(points: NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{x:.4g},{y:.4g}" if max(x, y) < 1000 else f"{x:.0f},{y:.0f}" for x, y in points) + "Z"
