"""Which boxes are noise."""

from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from filters.decision import Decision, below, reject
from filters.registry import Chosen, choose


class RegionFilterConfig(BaseModel):
    """Limits on fused regions. The paper names a confidence threshold and NMS and gives no value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_confidence: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="lowest fused confidence (paper section 4.2 names a threshold; value our choice)",
    )
    min_side: float = Field(default=4.0, ge=0.0, description="shortest side of a box in pixels (our choice)")
    max_area: float = Field(
        default=0.98, gt=0.0, le=1.0, description="largest part of the image a box may cover; 1 allows all (our choice)"
    )
    checks: Annotated[Chosen, BeforeValidator(partial(choose, "regions"))] = Field(
        default={}, validate_default=True, description="settings of the declared filters of regions, by name"
    )
    nms_iou: float = Field(
        default=0.8,
        gt=0.0,
        le=1.0,
        description="a region of the same label above this IoU with a better one is dropped "
        "(paper section 4.2 names NMS; value our choice)",
    )


class ThingFilterConfig(RegionFilterConfig):
    """The same for objects, whose confidence says how often such a claim is right."""

    min_confidence: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="lowest confidence of an object (paper section 4.2 names a threshold; our choice: confidence says how "
        "sure a region is, and whoever wants sure ones asks for confidence >= 0.5)",
    )


def degenerate(boxes: NDArray[np.floating]) -> Decision:
    """Reject boxes (n, 4) without area or with a coordinate that is no finite number; the value is the area."""
    area = _area(boxes)
    return reject(~(np.isfinite(area) & (area > 0.0) & (boxes[:, 2] > boxes[:, 0])), "degenerate", area, 0.0)


def score(scores: NDArray[np.floating], threshold: float, reason: str = "score") -> Decision:
    """Reject scores (n,) under the threshold; NaN counts as under it."""
    return reject(below(scores, threshold), reason, scores, threshold)


def size(boxes: NDArray[np.floating], min_side: float) -> Decision:
    """Reject boxes (n, 4) whose shorter side is under `min_side` pixels."""
    side = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]).astype(np.float64)
    return reject(side < min_side, "size", side, min_side)


def whole_image(
    boxes: NDArray[np.floating], widths: NDArray[np.integer], heights: NDArray[np.integer], max_area: float
) -> Decision:
    """Reject boxes (n, 4) that cover more than `max_area` of their image; widths and heights are (n,) pixels."""
    part = _area(boxes) / np.maximum(widths.astype(np.float64) * heights, 1.0)
    return reject(part > max_area, "whole image", part, max_area)


def overlap(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer],
    iou_threshold: float,
    protected: NDArray[np.bool_] | None = None,
    candidates: NDArray[np.bool_] | None = None,
) -> Decision:
    """Non-maximum suppression within a group (image) and label: greedy, best score first.

    All columns are (n,), boxes (n, 4). Rows marked `protected` come first and are never rejected; rows that are not
    `candidates` are kept and suppress nobody. Equal scores: the earlier row wins. The value is the IoU with the
    better box.
    """
    from filters import kernels

    n = len(boxes)
    safe = np.zeros(n, bool) if protected is None else protected
    rows = np.arange(n) if candidates is None else np.flatnonzero(candidates)
    group = np.asarray(groups, np.int64)
    order = rows[np.lexsort((rows, -np.asarray(scores, np.float64)[rows], ~safe[rows], group[rows]))]
    offsets = np.searchsorted(group[order], np.arange(group.max(initial=-1) + 2)).astype(np.int64)
    found = kernels.suppress(
        np.ascontiguousarray(boxes, np.float64), order, offsets, np.asarray(labels, np.int64), safe, iou_threshold
    )
    return reject(found > 0.0, "overlap", found, iou_threshold)


def _area(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    x0, y0, x1, y1 = boxes.astype(np.float64).T
    with np.errstate(invalid="ignore"):
        return np.asarray((x1 - x0) * (y1 - y0))
