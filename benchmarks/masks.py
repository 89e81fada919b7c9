"""Masks of several segmenters fused, beside a vote, the surest mask, and every segmenter alone.

    python -m benchmarks masks [--seeds 3] [--truth ../shared/data/coco50/instances.json]

Segmenters are simulated on COCO's masks: one shifts them, one draws them too small, one too large, one loses a part of
every fifth mask, one has a coarse outline. Three know roughly how good a mask is; the others promise the same for all.
Prints the mean IoU with the truth over all things of at least 200 pixels, and the mean confidence.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from consensus.masks import MaskColumns, MaskFusionConfig, fuse
from engine import masks

Pixels = NDArray[np.bool_]
NAMES = ("shifted", "eroded", "dilated", "holed", "coarse")
TRIOS = {"all five": (0, 1, 2, 3, 4), "shifted + eroded + dilated": (0, 1, 2), "eroded + dilated": (1, 2),
         "shifted + eroded": (0, 1), "eroded + eroded + shifted": (1, 5, 0)}  # fmt: skip
SHIPPED = Path(__file__).parents[2] / "shared" / "data" / "coco50" / "instances.json"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--things", type=int, default=1000, help="at most so many")
    parser.add_argument("--truth", type=Path, default=SHIPPED)
    chosen = parser.parse_args(arguments)
    truths = _truths(chosen.truth)[: chosen.things]
    print(f"{len(truths)} masks, {chosen.seeds} seeds; mean IoU ")
    header = ("best single", "surest", "vote", "fused", "confidence", "masks/s")
    print(f"{'':28}" + "".join(f"{name:>12}" for name in header))
    drawn = [_segmented(truths, seed) for seed in range(chosen.seeds)]
    for name, who in TRIOS.items():
        rows = [_compared(truths, said, scores, who) for said, scores in drawn]
        print(f"{name:28}" + "".join(f"{value:12.4f}" for value in np.mean(rows, axis=0)[:-1]), end="")
        print(f"{np.mean(rows, axis=0)[-1]:12.0f}")


def _compared(
    truths: list[Pixels], said: list[list[Pixels]], scores: NDArray[np.float64], who: tuple[int, ...]
) -> list[float]:
    single = [np.mean([_iou(truths[i], said[s][i]) for i in range(len(truths))]) for s in who]
    surest = np.argmax(np.where(np.isnan(scores[list(who)]), 0.8, scores[list(who)]), axis=0)
    first = np.mean([_iou(truth, said[who[surest[i]]][i]) for i, truth in enumerate(truths)])
    # a tie of an even number counts as marked: with two this is the union, which beats the intersection here
    vote = np.mean([_iou(t, np.mean([said[s][i] for s in who], axis=0) >= 0.5) for i, t in enumerate(truths)])
    columns = _columns(said, scores, who)
    begun = time.process_time()
    found = fuse(columns, MaskFusionConfig())
    spent = time.process_time() - begun
    return [
        max(single), first, vote, _mean_iou(truths, found.rles), float(np.mean(found.confidence)),
        len(columns.rles) / spent,
    ]  # fmt: skip


def _columns(said: list[list[Pixels]], scores: NDArray[np.float64], who: tuple[int, ...]) -> MaskColumns:
    n = len(said[0])
    pairs = [(i, s) for i in range(n) for s in sorted(who)]
    return MaskColumns(
        [masks.encode(said[s][i]) for i, s in pairs],
        np.array([i for i, _ in pairs]),
        np.array([s for _, s in pairs]),
        np.array([scores[s, i] for i, s in pairs]),
        np.array([m.shape[0] for m in said[0]]),
        np.array([m.shape[1] for m in said[0]]),
    )


def _segmented(truths: list[Pixels], seed: int) -> tuple[list[list[Pixels]], NDArray[np.float64]]:
    """Masks by segmenter and thing, and what each promises; the sixth errs like the second, on other things."""
    rng = np.random.default_rng(seed)
    makers = (_shifted, _eroded, _dilated, _holed, _coarse, _eroded)
    said = [[maker(truth, rng) for truth in truths] for maker in makers]
    real = np.array([[_iou(t, m) for t, m in zip(truths, mine, strict=True)] for mine in said])
    scores = np.clip(real + rng.normal(0.0, 0.1, real.shape), 0.0, 1.0)
    scores[[1, 4]] = 0.9
    return said, scores


def _shifted(truth: Pixels, rng: np.random.Generator) -> Pixels:
    side = np.sqrt(truth.sum())
    dy, dx = np.round(rng.normal(0.0, 0.06, 2) * side).astype(int)
    return _or_truth(np.roll(truth, (dy, dx), (0, 1)), truth)


def _eroded(truth: Pixels, rng: np.random.Generator) -> Pixels:
    return _or_truth(cv2.erode(truth.astype(np.uint8), _disc(truth, rng)).astype(bool), truth)


def _dilated(truth: Pixels, rng: np.random.Generator) -> Pixels:
    return cv2.dilate(truth.astype(np.uint8), _disc(truth, rng)).astype(bool)


def _holed(truth: Pixels, rng: np.random.Generator) -> Pixels:
    jittered = _shifted(truth, rng)
    if rng.random() < 0.2:
        columns = np.flatnonzero(truth.any(axis=0))
        jittered[:, : int(np.quantile(columns, rng.uniform(0.3, 0.6)))] = False
    return _or_truth(jittered, truth)


def _coarse(truth: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = truth.shape
    step = max(2.0, rng.uniform(0.2, 0.5) * np.sqrt(truth.sum()))
    small = cv2.resize(
        truth.astype(np.float32),
        (max(1, round(width / step)), max(1, round(height / step))),
        interpolation=cv2.INTER_AREA,
    )
    return _or_truth(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5, truth)


def _disc(truth: Pixels, rng: np.random.Generator) -> NDArray[np.uint8]:
    radius = max(1, round(rng.uniform(0.01, 0.06) * np.sqrt(truth.sum())))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.uint8)


def _or_truth(made: Pixels, truth: Pixels) -> Pixels:
    """What was made, unless nothing is left of it."""
    return made if made.any() else truth


def _truths(path: Path) -> list[Pixels]:
    """The true masks in a frame of their own, with room around."""
    coco = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    found = []
    for thing in coco["annotations"]:
        if thing["iscrowd"]:
            continue
        height, width = sizes[thing["image_id"]]
        mask = masks.decode(masks.from_polygons(thing["segmentation"], height, width), height, width)
        if mask.sum() < 200:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        room = int(0.3 * np.sqrt(mask.sum())) + 2
        found.append(np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], room))
    return found


def _mean_iou(truths: list[Pixels], rles: list[str | None]) -> float:
    """Nothing where a mask should be counts 0."""
    pairs = zip(truths, rles, strict=True)
    return float(np.mean([_iou(t, masks.decode(r, *t.shape)) if r else 0.0 for t, r in pairs]))


def _iou(a: Pixels, b: Pixels) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))
