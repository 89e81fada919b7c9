"""Real detectors on real photographs: what they said, what ours and its peers make of it, and AP quick enough to search.

Specialists and labels are numbered in the sorted order of their names.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks._measures import Said
from benchmarks._simulated import Truth, columns_of
from consensus.boxes import BoxColumns, reference_fusion
from consensus.fusion import fuse
from consensus.learning import estimate
from consensus.reliability import Reliabilities
from consensus.sample import Shard
from filters import regions
from filters.decision import first
from filters.region_checks import RegionColumns
from filters.registry import ask
from pipelines.decide.objects import ObjectsConfig
from pipelines.decide.regions import RegionsConfig

DATA = Path(__file__).parents[1] / "../shared/data/real_detectors"
DETECTORS = ("fastest_v2", "fastest_xl", "nanodet_416", "picodet_s", "yolov5n", "yolov8n", "yolox_nano")
PEOPLE = "people"
OBJECTS = ObjectsConfig()
_NEVER, _THING, _CROWD = 0, 1, 2  # what a box is matched with


@dataclass(frozen=True)
class Crew:
    """What some specialists said of all images; `names` are sorted and number `columns.specialists`."""

    names: tuple[str, ...]
    columns: BoxColumns

    def of(self, names: Sequence[str]) -> "Crew":
        """Some of them."""
        number = np.full(len(self.names), -1)
        number[[self.names.index(name) for name in names]] = np.arange(len(names))
        specialists = number[self.columns.specialists]
        return Crew(tuple(names), kept(replace(self.columns, specialists=specialists), specialists >= 0))

    def with_one(self, truth: Truth, name: str, more: Said) -> "Crew":
        """And one more, who said `more`."""
        names = tuple(sorted((*self.names, name)))
        number = np.array([names.index(one) for one in self.names])
        c = self.columns
        pairs = [(c.groups(), more.image), (c.boxes, more.boxes), (c.scores, more.scores),
                 (number[c.specialists], np.full(len(more.scores), names.index(name))), (c.labels, more.labels)]  # fmt: skip
        return Crew(names, columns_of(truth, *(np.concatenate(pair) for pair in pairs)))

    def said(self, name: str) -> Said:
        """What one of them said."""
        c = self.columns
        mine = c.specialists == self.names.index(name)
        return Said(c.groups()[mine], c.boxes[mine], c.scores[mine], c.labels[mine])


def read(split: str) -> tuple[Truth, Crew]:
    """The truth of a split, and what all detectors said of it, clipped to the images."""
    truth = _by_name(Truth.read(DATA / split / "truth.json.gz"))
    image_of = {number: place for place, number in enumerate(truth.image_ids)}
    label_of = {number: place for place, number in enumerate(truth.category_ids)}
    parts: list[tuple[NDArray[Any], ...]] = []
    for number, name in enumerate(DETECTORS):
        said = json.loads(gzip.decompress((DATA / split / f"{name}.json.gz").read_bytes()))
        corners = np.array([d["bbox"] for d in said], float)
        corners[:, 2:] += corners[:, :2]
        parts.append((np.array([image_of[d["image_id"]] for d in said]), corners, np.array([d["score"] for d in said]),
                      np.full(len(said), number), np.array([label_of[d["category_id"]] for d in said])))  # fmt: skip
    return truth, Crew(DETECTORS, columns_of(truth, *(np.concatenate(column) for column in zip(*parts, strict=True))))


def _by_name(truth: Truth) -> Truth:
    """The same with labels in the sorted order of their names."""
    order = np.argsort(truth.names)
    ids, names = np.array(truth.category_ids)[order], np.array(truth.names)[order]
    return replace(truth, category_ids=ids.tolist(), names=names.tolist(), labels=np.argsort(order)[truth.labels])


def kept(columns: BoxColumns, rows: NDArray[np.bool_]) -> BoxColumns:
    """Some rows (n,) of columns."""
    offsets = np.concatenate([[0], np.cumsum(rows)])[columns.offsets].astype(np.int64)
    c = columns
    return BoxColumns(c.boxes[rows], c.scores[rows], c.specialists[rows], c.labels[rows], offsets)


def ours(truth: Truth, crew: Crew) -> Said:
    """All claims of the learned consensus, no labels given."""
    nobody, unjudged = np.zeros(len(crew.columns), bool), np.zeros(truth.n_images, bool)
    return _claims(crew.columns, _learned(truth, crew, nobody, unjudged))


def ours_with_people(truth: Truth, crew: Crew, judged: NDArray[np.bool_]) -> Said:
    """The same where people drew all things of the images marked `judged` (images,): learned with these, claimed without."""
    drawn = judged[truth.image]
    boxes = Said(truth.image[drawn], truth.boxes[drawn], np.ones(int(drawn.sum())), truth.labels[drawn])
    both = crew.with_one(truth, PEOPLE, boxes)
    gold = both.columns.specialists == both.names.index(PEOPLE)
    return _claims(kept(both.columns, ~gold), _learned(truth, both, gold, judged))


def shipped(truth: Truth, crew: Crew) -> Said:
    """What is left of the claims by the thresholds that a profile has by default."""
    said = ours(truth, Crew(crew.names, kept(crew.columns, crew.columns.scores >= OBJECTS.min_score)))
    limits, frames = RegionsConfig().objects, truth.frames[said.image]
    boxes, n = np.clip(said.boxes, 0.0, np.tile(frames, 2)), len(said.scores)
    widths, heights = frames.astype(np.int32).T
    words = pa.array(truth.names).take(pa.array(said.labels))
    columns = RegionColumns(boxes.astype(np.float32), widths, heights, np.zeros(n, bool), words,
                            pa.nulls(n, pa.string()), said.scores)  # fmt: skip
    passed = first([
        regions.score(said.scores, max(OBJECTS.ask, limits.min_confidence)), regions.size(boxes, limits.min_side),
        regions.whole_image(boxes, widths, heights, limits.max_area), ask("regions", columns, n, limits.checks),
    ]).kept  # fmt: skip
    best = regions.overlap(boxes, said.scores, said.labels, said.image, limits.nms_iou, candidates=passed).kept
    rows = passed & best
    return Said(said.image[rows], boxes[rows], said.scores[rows], said.labels[rows])


def _learned(truth: Truth, crew: Crew, gold: NDArray[np.bool_], judged: NDArray[np.bool_]) -> Reliabilities:
    """Everybody knows all labels; who is called people is human."""
    knows = np.ones((len(crew.names), len(truth.names)), bool)
    human = np.array([name == PEOPLE for name in crew.names])
    shard = Shard(crew.columns, gold, judged, truth.frames)
    return estimate([shard], crew.names, truth.names, knows, OBJECTS.fusion, gold=human)


def _claims(columns: BoxColumns, reliabilities: Reliabilities) -> Said:
    fused = fuse(columns, reliabilities, OBJECTS.fusion)
    return Said(fused.clusters.groups(), fused.boxes, fused.confidence, fused.labels)


def wbf(crew: Crew, weights: NDArray[np.float64], iou: float) -> Said:
    """Weighted boxes fusion, `conf_type` avg."""
    clusters = reference_fusion(crew.columns, weights, iou, 0.0, "avg")
    return Said(clusters.groups(), clusters.boxes, clusters.scores, clusters.labels)


def ensemble(rule: str, truth: Truth, crew: Crew, iou: float) -> Said:
    """A rule of ensemble_boxes ("nms", "non_maximum_weighted") at equal weights, image by image."""
    import ensemble_boxes

    fuse_image, c, n = getattr(ensemble_boxes, rule), crew.columns, len(crew.names)
    parts = []
    for image, frame in enumerate(np.tile(truth.frames, 2)):
        part = slice(c.offsets[image], c.offsets[image + 1])
        who = c.specialists[part]
        values = (c.boxes[part] / frame, c.scores[part], c.labels[part])
        boxes, scores, labels = fuse_image(*([value[who == s] for s in range(n)] for value in values), iou_thr=iou)
        if len(scores):
            parts.append((np.full(len(scores), image), boxes * frame, scores, labels.astype(int)))
    return Said(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def noise(truth: Truth, each: int, seed: int) -> Said:
    """Random boxes, `each` of an image, with random scores and labels."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(truth.n_images), each)
    points = rng.random((len(image), 2, 2))
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1) * np.tile(truth.frames, 2)[image]
    return Said(image, boxes, rng.random(len(image)), rng.integers(0, len(truth.names), len(image)))


def best_at_things(truth: Truth, said: Said) -> NDArray[np.int64]:
    """For each thing the row of the claim of highest score that has IoU 0.5 or more with it, or -1: (things,)."""
    found = np.full(len(truth.labels), -1)
    for image in range(truth.n_images):
        things, claims = np.flatnonzero(truth.image == image), np.flatnonzero(said.image == image)
        if not len(things) or not len(claims):
            continue
        near = _ious(truth.boxes[things], said.boxes[claims]) >= 0.5
        best = np.where(near, said.scores[claims], -1.0).argmax(axis=1)
        found[things] = np.where(near.any(axis=1), claims[best], -1)
    return found


def _ious(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each box of `a` (n, 4) with each of `b` (m, 4): (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(part[:, 2:] - part[:, :2], axis=1) for part in (a, b)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared))


class QuickJudge:
    """AP as pycocotools has it, some thirty times as fast; `Judge` stays the referee (no limit of boxes an image here)."""

    def __init__(self, truth: Truth) -> None:
        image_of = {number: place for place, number in enumerate(truth.image_ids)}
        label_of = {number: place for place, number in enumerate(truth.category_ids)}
        things = truth.coco["annotations"]
        self.n_labels = len(truth.names)
        cell = np.array([image_of[a["image_id"]] * self.n_labels + label_of[a["category_id"]] for a in things])
        crowd = np.array([bool(a.get("iscrowd")) for a in things])
        boxes = np.array([a["bbox"] for a in things], float)
        boxes[:, 2:] += boxes[:, :2]
        order = np.lexsort((crowd, cell))  # crowds last, as pycocotools takes them
        self.boxes, self.crowd = boxes[order], crowd[order]
        self.starts = np.searchsorted(cell[order], np.arange(truth.n_images * self.n_labels + 1))
        self.there = np.bincount(cell[~crowd] % self.n_labels, minlength=self.n_labels)

    def average_precisions(self, said: Said) -> tuple[float, float, float]:
        """AP over IoU 0.5:0.95, at 0.5 and at 0.75."""
        order, matches = self._matches(said, np.linspace(0.5, 0.95, 10))
        labels, ranked = said.labels[order], matches[:, order]
        found = []
        for label in np.flatnonzero(self.there):
            mine = ranked[:, labels == label]
            found.append([_interpolated(row[row != _CROWD] == _THING, self.there[label]) for row in mine])
        mean = np.mean(found, axis=0)
        return float(mean.mean()), float(mean[0]), float(mean[5])

    def right(self, said: Said) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of `said` that count, and whether each is matched at IoU 0.5."""
        match = self._matches(said, np.array([0.5]))[1][0]
        rows = np.flatnonzero(match != _CROWD)
        return rows, match[rows] == _THING

    def _matches(self, said: Said, limits: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """The rows in descending score, and what each row is matched with at each limit of IoU: (limits, n)."""
        order = np.argsort(-said.scores, kind="stable")
        cell, boxes = said.image * self.n_labels + said.labels, np.ascontiguousarray(said.boxes, float)
        return order, _match(order, cell, boxes, self.starts, self.boxes, self.crowd, limits)


def _interpolated(right: NDArray[np.bool_], there: int) -> float:
    """Mean precision at 101 recalls; `right` (n,) in descending score, of `there` things."""
    hits = np.cumsum(right)
    precision = np.maximum.accumulate((hits / np.arange(1, len(right) + 1))[::-1])[::-1]
    place = np.searchsorted(hits / there, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[place].mean())


@numba.njit
def _match(
    order: NDArray[np.int64],
    cell: NDArray[np.int64],
    boxes: NDArray[np.float64],
    starts: NDArray[np.int64],
    things: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    limits: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Each box in turn takes the free thing of its image and label with the highest IoU; a crowd only if none is left."""
    matches = np.full((len(limits), len(order)), _NEVER, np.int8)
    taken = np.zeros((len(limits), len(things)), np.bool_)
    for row in order:
        box, first_one, end = boxes[row], starts[cell[row]], starts[cell[row] + 1]
        area = (box[2] - box[0]) * (box[3] - box[1])
        ious = np.zeros(end - first_one)
        for thing in range(first_one, end):
            other = things[thing]
            width = min(box[2], other[2]) - max(box[0], other[0])
            height = min(box[3], other[3]) - max(box[1], other[1])
            if width > 0 and height > 0:
                both = area + (other[2] - other[0]) * (other[3] - other[1]) - width * height
                ious[thing - first_one] = width * height / (area if crowd[thing] else both)
        for at, limit in enumerate(limits):
            best, best_iou = -1, limit
            for thing in range(first_one, end):
                if crowd[thing] and best >= 0 and not crowd[best]:
                    break
                if (crowd[thing] or not taken[at, thing]) and ious[thing - first_one] >= best_iou:
                    best, best_iou = thing, ious[thing - first_one]
            if best >= 0:
                taken[at, best] = True
                matches[at, row] = _CROWD if crowd[best] else _THING
    return matches
