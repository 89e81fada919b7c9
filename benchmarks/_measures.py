"""How good predictions are against COCO truth: average precision by pycocotools, and calibration."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._simulated import SIZES, Truth

BINS = 15
FOUND = 0.5  # from this score on a claim is taken to say that the thing is there
SURE = 0.25  # the lowest confidence that is published by default


@dataclass(frozen=True)
class Said:
    """Boxes with the image of each (n,), `boxes` (n, 4), `scores` (n,), and `labels` (n,)."""

    image: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Summary:
    """AP over IoU 0.5:0.95, at 0.5 and at 0.75; calibration error over all claims and over those of 0.25 and more;
    precision and recall of claims of 0.5 and more; `expected` the sum of scores and `found` the number of claims of 0.5
    and more, both by the number of things that are there; `claims`, how many. Claims on crowds count in none but the
    last."""

    ap: float
    ap50: float
    ap75: float
    error: float
    error_sure: float
    precision: float
    recall: float
    expected: float
    found: float
    claims: int


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
        return self.average_precisions(said)[0]

    def average_precisions(self, said: Said) -> tuple[float, float, float]:
        """The same, and at IoU 0.5 and 0.75 alone."""
        precision = self._evaluated(said).eval["precision"][..., 0, 0]  # IoU, recall, label; -1: nothing is there
        mean = [float(part[part > -1].mean()) for part in (precision, precision[0], precision[5])]
        return mean[0], mean[1], mean[2]

    def calibration_error(self, said: Said) -> float:
        """Expected calibration error in 15 bins; right is what pycocotools matches at IoU 0.5, ignored boxes left out."""
        rows, hit = self.right(said)
        return gap(said.scores[rows], hit)

    def summary(self, said: Said) -> Summary:
        """All that is measured of claims."""
        rows, hit = self.right(said)
        score, things = said.scores[rows], len(self.truth.labels)
        sure, found = score >= SURE, score >= FOUND
        right = float(hit[found].sum())
        return Summary(
            *self.average_precisions(said),
            error=gap(score, hit),
            error_sure=gap(score[sure], hit[sure]),
            precision=right / max(int(found.sum()), 1),
            recall=right / things,
            expected=float(score.sum()) / things,
            found=int(found.sum()) / things,
            claims=len(said.scores),
        )

    def calibration_by(self, said: Said) -> dict[str, float]:
        """The same among boxes of each of COCO's sizes, and of the half of the labels with most and fewest things."""
        rows, hit = self.right(said)
        area = np.prod(said.boxes[rows, 2:] - said.boxes[rows, :2], axis=1)
        size = np.searchsorted(SIZES, area)
        things = np.bincount(self.truth.labels, minlength=len(self.truth.names))
        common = (things > np.median(things[things > 0]))[said.labels[rows]]
        groups = {"small": size == 0, "medium": size == 1, "large": size == 2, "common": common, "rare": ~common}
        return {name: gap(said.scores[rows][chosen], hit[chosen]) for name, chosen in groups.items()}

    def right(self, said: Said) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of `said` that count, and whether each is matched at IoU 0.5."""
        matched = self._evaluated(said, everything=True)
        rows, hits = [], []
        for entry in matched.evalImgs:
            if entry is None:
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
            evaluation.params.maxDets = [10_000 if everything else 100]
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
            if everything:
                evaluation.params.iouThrs = np.array([0.5])
            evaluation.evaluate()
            if not everything:
                evaluation.accumulate()
        return evaluation


def gap(scores: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    """Expected calibration error in 15 bins of scores (n,) of which `hit` (n,) are right."""
    cell = np.minimum((scores * BINS).astype(int), BINS - 1)
    gap = np.bincount(cell, scores, minlength=BINS) - np.bincount(cell, hit, minlength=BINS)
    return float(np.abs(gap).sum() / max(len(scores), 1))
