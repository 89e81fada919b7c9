"""Scores of detectors on scenes with truth."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.starter.scenes import SIZE, Example


def average_precision(
    examples: Sequence[Example],
    found: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]],
) -> dict[str, float]:
    """COCO's AP and AP50 of boxes (n, 4) x0 y0 x1 y1 in pixels, scores (n,) and classes (n,), one triple an example."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for i, (example, (boxes, scores, classes)) in enumerate(zip(examples, found, strict=True)):
        for box, kind in zip(example.boxes().tolist(), example.classes().tolist(), strict=True):
            truth.append(_record(i, box, kind) | {"id": len(truth) + 1, "iscrowd": 0})
        for box, score, kind in zip(boxes.tolist(), scores.tolist(), classes.tolist(), strict=True):
            answers.append(_record(i, box, kind) | {"score": score})
    if not answers:
        return {"ap": 0.0, "ap50": 0.0}
    images = [{"id": i, "width": SIZE, "height": SIZE} for i in range(len(examples))]
    kinds = sorted({record["category_id"] for record in truth})
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        coco = COCO()
        coco.dataset = {"images": images, "annotations": truth, "categories": [{"id": k} for k in kinds]}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(answers), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {"ap": float(judge.stats[0]), "ap50": float(judge.stats[1])}


def _record(image: int, box: list[float], kind: int) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    return {"image_id": image, "category_id": kind, "bbox": [x0, y0, width, height], "area": width * height}
