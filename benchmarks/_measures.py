"""How good predictions are against COCO truth: average precision by pycocotools, and calibration."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._simulated import Truth

BINS = 15


@dataclass(frozen=True)
class Said:
    """Boxes with the image of each (n,), `boxes` (n, 4), `scores` (n,), and `labels` (n,)."""

    image: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


class Judge:
    """Compares with one truth."""

    def __init__(self, truth: Truth) -> None:
        from pycocotools.coco import COCO

        self.truth = truth
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO()
            self.coco.dataset = truth.coco
            self.coco.createIndex()

    def average_precision(self, said: Said) -> float:
        """COCO AP of boxes at IoU 0.5:0.95, all sizes, at most 100 an image."""
        return float(self._evaluated(said).stats[0])

    def calibration_error(self, said: Said) -> float:
        """Expected calibration error in 15 bins; right is what pycocotools matches at IoU 0.5, ignored boxes left out."""
        matched = self._evaluated(said, everything=True)
        scores, right = [], []
        for entry in matched.evalImgs:
            if entry is None or entry["aRng"] != matched.params.areaRng[0]:
                continue
            counted = ~entry["dtIgnore"][0].astype(bool)
            scores.append(np.array(entry["dtScores"])[counted])
            right.append(entry["dtMatches"][0][counted] > 0)
        score, hit = np.concatenate(scores), np.concatenate(right)
        cell = np.minimum((score * BINS).astype(int), BINS - 1)
        gap = np.bincount(cell, score, minlength=BINS) - np.bincount(cell, hit, minlength=BINS)
        return float(np.abs(gap).sum() / max(len(score), 1))

    def _evaluated(self, said: Said, everything: bool = False) -> Any:
        from pycocotools.cocoeval import COCOeval

        rows = np.column_stack([
            np.array(self.truth.image_ids)[said.image], said.boxes[:, :2], said.boxes[:, 2:] - said.boxes[:, :2],
            said.scores, np.array(self.truth.category_ids)[said.labels],
        ])  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self.coco, self.coco.loadRes(rows), "bbox")
            if everything:
                evaluation.params.iouThrs, evaluation.params.maxDets = np.array([0.5]), [1, 10, 10_000]
                evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
            evaluation.evaluate()
            if not everything:
                evaluation.accumulate()
                evaluation.summarize()
        return evaluation
