"""The compiled loop of the filters. Import this module late: numba costs a quarter of a second."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])


def _kernel(function: F) -> F:
    return cast(F, numba.njit(cache=True, nogil=True)(function))


@_kernel
def suppress(
    boxes: NDArray[np.float64],
    order: NDArray[np.int64],
    offsets: NDArray[np.int64],
    labels: NDArray[np.int64],
    protected: NDArray[np.bool_],
    iou_threshold: float,
) -> NDArray[np.float64]:
    """Greedy non-maximum suppression in `order` (m,), whose groups are offsets[g]:offsets[g+1].

    Returns:
        for each box (n,) the IoU with the first kept box of its group and label that exceeds the threshold, or 0 where
        there is none or the box is protected.
    """
    found = np.zeros(len(boxes))
    for g in range(len(offsets) - 1):
        for i in range(offsets[g], offsets[g + 1]):
            a = order[i]
            if protected[a]:
                continue
            area = (boxes[a, 2] - boxes[a, 0]) * (boxes[a, 3] - boxes[a, 1])
            for j in range(offsets[g], i):
                b = order[j]
                if found[b] > 0.0 or labels[a] != labels[b]:
                    continue
                width = min(boxes[a, 2], boxes[b, 2]) - max(boxes[a, 0], boxes[b, 0])
                height = min(boxes[a, 3], boxes[b, 3]) - max(boxes[a, 1], boxes[b, 1])
                if not (width > 0.0 and height > 0.0):
                    continue
                shared = width * height
                overlap = shared / (area + (boxes[b, 2] - boxes[b, 0]) * (boxes[b, 3] - boxes[b, 1]) - shared)
                if overlap > iou_threshold:
                    found[a] = overlap
                    break
    return found
