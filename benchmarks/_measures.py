"""How good predictions are against COCO truth: average precision by pycocotools, and calibration."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._simulated import SIZES, Truth

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
        rows, hit = self._right(said)
        return _gap(said.scores[rows], hit)

    def calibration_by(self, said: Said) -> dict[str, float]:
        """The same among boxes of each of COCO's sizes, and of the half of the labels with most and fewest things."""
        rows, hit = self._right(said)
        area = np.prod(said.boxes[rows, 2:] - said.boxes[rows, :2], axis=1)
        size = np.searchsorted(SIZES, area)
        things = np.bincount(self.truth.labels, minlength=len(self.truth.names))
        common = (things > np.median(things[things > 0]))[said.labels[rows]]
        groups = {"small": size == 0, "medium": size == 1, "large": size == 2, "common": common, "rare": ~common}
        return {name: _gap(said.scores[rows][chosen], hit[chosen]) for name, chosen in groups.items()}

    def _right(self, said: Said) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of `said` that count, and whether each is matched."""
        matched = self._evaluated(said, everything=True)
        rows, hits = [], []
        for entry in matched.evalImgs:
            if entry is None or entry["aRng"] != matched.params.areaRng[0]:
                continue
            counted = ~entry["dtIgnore"][0].astype(bool)
            rows.append(np.array(entry["dtIds"], np.int64)[counted] - 1)
            hits.append(entry["dtMatches"][0][counted] > 0)
        return np.concatenate(rows), np.concatenate(hits)

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


def _gap(scores: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    cell = np.minimum((scores * BINS).astype(int), BINS - 1)
    gap = np.bincount(cell, scores, minlength=BINS) - np.bincount(cell, hit, minlength=BINS)
    return float(np.abs(gap).sum() / max(len(scores), 1))
