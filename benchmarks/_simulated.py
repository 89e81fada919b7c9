"""Simulated specialists that look at COCO truth and err in known ways; the same seed gives the same predictions.

Every specialist draws the same kinds of mistake with its own strength: it misses (small things more than large, hard
things more than easy ones), shifts the sides of a box, takes one class for another, and sees what is not there; families
share what they imagine and what they find hard. A score is a noisy view of whether the box is right, bent by a curve.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consensus.boxes import BoxColumns

SIZES = (32.0**2, 96.0**2)  # COCO's limits of small and medium


@dataclass(frozen=True)
class Truth:
    """Things of all images, crowds left out; `labels` index `names`; those of image i stand at offsets[i]:offsets[i+1]."""

    coco: dict[str, Any]
    image_ids: list[int]
    frames: NDArray[np.float64]
    category_ids: list[int]
    names: list[str]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    image: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> "Truth":
        raw = path.read_bytes()
        coco = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        coco.setdefault("info", {})
        images = sorted(coco["images"], key=lambda image: image["id"])
        categories = sorted(coco["categories"], key=lambda category: category["id"])
        place = {image["id"]: i for i, image in enumerate(images)}
        label = {category["id"]: i for i, category in enumerate(categories)}
        things = [a for a in coco["annotations"] if not a.get("iscrowd") and min(a["bbox"][2:]) > 1]
        things.sort(key=lambda a: place[a["image_id"]])
        corners = np.array([a["bbox"] for a in things], float)
        corners[:, 2:] += corners[:, :2]
        return cls(
            coco,
            [image["id"] for image in images],
            np.array([[image["width"], image["height"]] for image in images], float),
            [category["id"] for category in categories],
            [category["name"] for category in categories],
            corners,
            np.array([label[a["category_id"]] for a in things]),
            np.array([place[a["image_id"]] for a in things]),
        )

    @property
    def n_images(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True)
class Character:
    """One specialist: `recall` by size; `noise` of a side relative to the box; false boxes an image, of its own and of
    its family's; how often it errs in the class; `separation` of right and wrong in its score; `bend` of the score
    curve (above 1: too modest, below 1: too sure); which part of the classes it knows."""

    name: str
    recall: tuple[float, float, float]
    noise: float
    false: float
    confusion: float
    separation: float
    bend: float
    knows: float = 1.0
    family: int = -1
    shared: float = 0.0


CHARACTERS = (
    Character("steady", (0.40, 0.70, 0.85), 0.040, 1.0, 0.10, 1.6, 1.0),
    Character("sharp", (0.25, 0.55, 0.75), 0.020, 0.8, 0.12, 1.2, 2.5),
    Character("keen", (0.55, 0.65, 0.60), 0.070, 3.0, 0.15, 1.2, 0.4, family=0, shared=0.6),
    Character("bold", (0.30, 0.60, 0.75), 0.060, 3.0, 0.20, 1.0, 0.2, family=0, shared=0.6),
    Character("half", (0.45, 0.75, 0.85), 0.035, 0.6, 0.08, 1.6, 1.5, knows=0.5),
    Character("loud", (0.15, 0.25, 0.30), 0.120, 15.0, 0.50, 0.2, 0.05),
)


def look(truth: Truth, characters: tuple[Character, ...], seed: int) -> BoxColumns:
    """What they all say, as one table of columns; specialist numbers follow `characters`."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 0.7, len(truth.labels))
    kin = {c.family: rng.normal(0, 0.5, len(truth.labels)) for c in characters if c.family >= 0}
    mirages = {c.family: _imagine(truth, 1.5, rng) for c in characters if c.family >= 0}
    rival = rng.permutation(len(truth.names))  # each class has one that it is mostly taken for
    said = [_say(truth, c, n, hardness + kin.get(c.family, 0.0), mirages.get(c.family), rival, rng)
            for n, c in enumerate(characters)]  # fmt: skip
    image, boxes, scores, specialists, labels = (np.concatenate(column) for column in zip(*said, strict=True))
    return columns_of(truth, image, boxes, scores, specialists, labels)


def columns_of(
    truth: Truth,
    image: NDArray[np.int64],
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    specialists: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> BoxColumns:
    """Flat columns sorted by image, clipped to it; what has no area left is dropped."""
    limits = np.tile(truth.frames, 2)[image]
    boxes = np.clip(boxes, 0, limits)
    real = (boxes[:, 2] - boxes[:, 0] > 1) & (boxes[:, 3] - boxes[:, 1] > 1)
    order = np.flatnonzero(real)[np.argsort(image[real], kind="stable")]
    offsets = np.searchsorted(image[order], np.arange(truth.n_images + 1)).astype(np.int64)
    return BoxColumns(boxes[order], scores[order], specialists[order], labels[order], offsets)


def _imagine(truth: Truth, rate: float, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """False boxes, sized and shaped like true ones, anywhere: image, boxes, labels."""
    image = np.repeat(np.arange(truth.n_images), rng.poisson(rate, truth.n_images))
    like = truth.boxes[rng.integers(0, len(truth.boxes), len(image))]
    size = like[:, 2:] - like[:, :2]
    size = np.minimum(size * np.exp(rng.normal(0, 0.3, size.shape)), truth.frames[image])
    low = rng.random(size.shape) * (truth.frames[image] - size)
    return image, np.concatenate([low, low + size], axis=1), rng.integers(0, len(truth.names), len(image))


def _say(
    truth: Truth,
    who: Character,
    number: int,
    hardness: NDArray[np.float64],
    mirages: tuple[NDArray[np.int64], ...] | None,
    rival: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[Any], ...]:
    known = knows(truth, who)
    area = np.prod(truth.boxes[:, 2:] - truth.boxes[:, :2], axis=1)
    chance = np.array(who.recall)[np.searchsorted(SIZES, area)]
    odds = np.log(chance / (1 - chance)) - hardness
    seen = np.flatnonzero((rng.random(len(odds)) < 1 / (1 + np.exp(-odds))) & known[truth.labels])
    labels = truth.labels[seen].copy()
    wrong = rng.random(len(seen)) < who.confusion
    anything = rng.integers(0, len(truth.names), len(seen))
    labels[wrong] = np.where(rng.random(len(seen)) < 0.6, rival[labels], anything)[wrong]
    image, boxes, invented = _imagine(truth, who.false, rng)
    if mirages is not None:
        joined = rng.random(len(mirages[0])) < who.shared
        image = np.concatenate([image, mirages[0][joined]])
        boxes = np.concatenate([boxes, mirages[1][joined]])
        invented = np.concatenate([invented, mirages[2][joined]])
    image = np.concatenate([truth.image[seen], image])
    boxes = np.concatenate([truth.boxes[seen], boxes])
    labels = np.concatenate([labels, invented])
    labels = np.where(known[labels], labels, rng.choice(np.flatnonzero(known), len(labels)))
    real = np.arange(len(labels)) < len(seen)
    view = rng.normal(np.where(real, who.separation, 0.0) - 0.5 * real * np.resize(hardness[seen], len(real)), 1.0) \
        if len(seen) else rng.normal(0, 1, len(real))  # fmt: skip
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    # an unsure look is also a blurred one; one side in twenty is far off
    blur = who.noise * np.exp(-0.2 * (view - who.separation))[:, None]
    blur = blur * np.where(rng.random(sides.shape) < 0.05, 3.0, 1.0)
    boxes = boxes + rng.normal(0, 1, sides.shape) * blur * sides
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    scores = (1 / (1 + np.exp(-(1.5 * view - 0.75 * who.separation)))) ** who.bend
    return image, np.concatenate([low, high], axis=1), scores, np.full(len(labels), number), labels


def knows(truth: Truth, who: Character) -> NDArray[np.bool_]:
    """Which classes that specialist knows, and says that it knows: (classes,)."""
    draw = np.random.default_rng(len(who.name)).permutation(len(truth.names))
    return np.asarray(draw < who.knows * len(truth.names))
