"""Text-phrase-region against the truth: is the thing in the box what the phrase says, and has every phrase its boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate.claims import Named
from pipelines.evaluate.matching import IOU, iou, mask_ious, mean, one_to_one, pairs, rates, share
from pipelines.evaluate.truth import Scenes, Truth

Index = NDArray[np.int64]
_TOLD_BY: Final = ("colour", "pattern")  # attributes that must agree; a size is relative to what else is there
_LONGEST: Final = 1 << 32  # characters of a text


@dataclass(frozen=True, slots=True)
class Triplets:
    """Published boxes of phrases (n): `text`, the position of its text; `start`, `end` (n,) characters; `boxes` (n, 4);
    `confidence` (n,); `masks` n RLE or None."""

    text: Index
    start: Index
    end: Index
    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]
    masks: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Checked:
    """The rows (n,) of triplets that could be judged, and which are right."""

    rows: Index
    right: NDArray[np.bool_]


def measure_triplets(
    triplets: Triplets, named: Named, image: Index, truth: Truth, scenes: Scenes
) -> tuple[dict[str, Any], Checked]:
    """Precision over boxes, recall over what the phrases of the published texts ask for; `image` is each text's."""
    phrase = _phrase_of(triplets, named)
    asked, thing = _meant(named, image, truth, scenes)  # pairs: what each phrase may mean
    rows = np.flatnonzero(phrase >= 0)
    i, k = pairs(phrase[rows], asked)
    row, target = rows[i], thing[k]
    overlap = iou(triplets.boxes[row], truth.things.boxes[target])
    near = overlap >= IOU
    row, target, overlap = row[near], target[near], overlap[near]
    place = phrase[row] * max(1, len(truth.things.kind)) + target  # each phrase has every thing once
    kept = one_to_one(row, place, overlap, np.nan_to_num(triplets.confidence, nan=-1.0))
    row, target = row[kept], target[kept]
    wanted, available = _wanted(named, asked, thing, truth)
    found = np.minimum(np.bincount(phrase[row], minlength=len(named.kind)), wanted)
    overlaps = mask_ious(
        [triplets.masks[j] for j in row.tolist()], [truth.things.masks[j] for j in target.tolist()],
        truth.things.image[target], truth.sizes,
    )  # fmt: skip
    right = np.isin(rows, row)
    return {
        **rates(len(rows), int(right.sum()), int(wanted.sum()), int(found.sum())),
        "boxes": len(phrase),
        "unjudged": len(phrase) - len(rows),
        "precision_if_unjudged_are_wrong": share(int(right.sum()), len(phrase)),
        "phrases": len(named.kind),
        "phrases_true": int((available > 0).sum()),
        "phrases_found": int((found[wanted > 0] == wanted[wanted > 0]).sum()),
        "mask_iou": mean(overlaps),
        "masks": int(np.isfinite(overlaps).sum()),
    }, Checked(rows, right)


def _phrase_of(triplets: Triplets, named: Named) -> Index:
    """For each box the phrase with a kind whose head noun stands in its span: (boxes,), -1 for none."""
    keys = named.text * _LONGEST + named.head  # in the order of the texts, so ascending
    first = np.searchsorted(keys, triplets.text * _LONGEST + triplets.start)
    inside = np.append(keys, -1)[np.minimum(first, len(keys))] < triplets.text * _LONGEST + triplets.end
    return np.where(inside & (first < len(keys)), first, -1).astype(np.int64)


def _meant(named: Named, image: Index, truth: Truth, scenes: Scenes) -> tuple[Index, Index]:
    """Pairs (phrase, thing): things of the phrase's kind in its image that have every colour and pattern it tells."""
    things = truth.things
    width = len(truth.kinds)
    i, k = pairs(image[named.text] * width + named.kind, things.image * width + things.kind)
    attribute = np.array([name for name, _ in scenes.values])
    told = named.values[np.isin(attribute[named.values[:, 1]], _TOLD_BY)] if len(attribute) else named.values[:0]
    a, b = pairs(i, told[:, 0])
    agrees = (scenes.value[k[a]] == told[b, 1][:, None]).any(axis=1)
    good = np.ones(len(i), np.bool_)
    good[a[~agrees]] = False
    return i[good], k[good]


def _wanted(named: Named, asked: Index, thing: Index, truth: Truth) -> tuple[Index, Index]:
    """How many boxes each phrase should have, and how many clear things it may mean: (phrases,) both.

    One for a phrase of one thing or of unknown number, n for a phrase of n, all for a plural of unknown number; never
    more than there are.
    """
    available = np.bincount(asked[truth.things.clear[thing]], minlength=len(named.kind)).astype(np.int64)
    number = named.number.astype(np.int64)
    wanted = np.where(number == 0, available, np.minimum(np.maximum(number, 1), available))
    return wanted, available
