"""Boxes and masks against the truth: COCO's average precision, of the consensus and of every single detector."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine import schema as s
from pipelines.evaluate.matching import IOU, areas, iou, mask_ious, mean, one_to_one, pairs, shared_area
from pipelines.evaluate.published import boxes, floats
from pipelines.evaluate.truth import Things, Truth, normal

Index = NDArray[np.int64]
NO_SCORE: Final = -1.0  # a region without a confidence ranks below all others
_EVERYTHING: Final = 1e10
# Areas in square pixels between which COCO calls a thing small, medium, large (pycocotools, cocoeval.py, Params).
_SIZES: Final = {
    "all": (0.0, _EVERYTHING),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, _EVERYTHING),
}
# The same as shares of an image's area, for images that are all of one size (our choice).
_BANDS: Final = {"below_1_percent": (0.0, 0.01), "from_1_to_4_percent": (0.01, 0.04), "above_4_percent": (0.04, 1.0)}
_MOST: Final = 100  # detections of a class and image that count
_SHOWN: Final = 20  # unknown labels that are listed


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes that somebody gave (n): `image`; `kind`, -1 where the truth does not know the label; `boxes` (n, 4) in
    pixels; `scores` (n,), NaN for none; `masks` n RLE or None; `strangers`: labels the truth does not know."""

    image: Index
    kind: Index
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    masks: Sequence[str | None]
    strangers: Counter[str]

    @property
    def ranks(self) -> NDArray[np.float64]:
        """The scores, with NO_SCORE for NaN."""
        return np.nan_to_num(self.scores, nan=NO_SCORE)


@dataclass(frozen=True, slots=True)
class Judged:
    """Which boxes could be judged and which of those are right: `rows`, `right` (n,); `thing` (n,) the true object of a
    right one, -1 for others."""

    rows: Index
    right: NDArray[np.bool_]
    thing: Index


def found_boxes(table: pa.Table, image: Index, score: str, truth: Truth) -> Found:
    """From rows with label, box, mask and a column of scores."""
    labels = [normal(label or "") for label in table.column(s.LABEL).to_pylist()]
    position = {kind: i for i, kind in enumerate(truth.kinds)}
    kind = np.array([position.get(label, -1) for label in labels], np.int64)
    strangers = Counter(label for label, code in zip(labels, kind.tolist(), strict=True) if code < 0)
    return Found(image, kind, boxes(table), floats(table.column(score)), table.column(s.MASK).to_pylist(), strangers)


def measure_boxes(found: Found, truth: Truth) -> dict[str, Any]:
    """AP and its kin of boxes, and the labels that could not be compared."""
    return {
        **_average_precision(found, truth, np.arange(len(found.kind)), "bbox"),
        "regions": len(found.kind),
        "without_score": int(np.isnan(found.scores).sum()),
        "unknown_labels": {"regions": found.strangers.total(), "labels": dict(found.strangers.most_common(_SHOWN))},
    }


def measure_masks(found: Found, judged: Judged, truth: Truth) -> dict[str, Any]:
    """AP and its kin of the masks, and the mean mask IoU of regions that are right by their box.

    A true object without a mask takes no part.
    """
    rows = np.array([i for i, mask in enumerate(found.masks) if mask is not None], np.int64)
    right = judged.rows[judged.right]
    overlap = mask_ious(
        [found.masks[i] for i in right.tolist()],
        [truth.things.masks[i] for i in judged.thing[judged.right].tolist()],
        found.image[right],
        truth.sizes,
    )
    return {
        **_average_precision(found, truth, rows, "segm"),
        "masks": len(rows),
        "truths_without_mask": sum(mask is None for mask in truth.things.masks),
        "mean_iou": mean(overlap),
        "compared": int(np.isfinite(overlap).sum()),
    }


def judge(found: Found, things: Things) -> Judged:
    """Match boxes to true objects of their label, one to one, the most confident first, at IOU.

    Labels that the truth does not know cannot be judged, nor can a box that only a true crowd covers.
    """
    width = int(max(things.kind.max(initial=0), found.kind.max(initial=0))) + 2
    i, k = pairs(found.image * width + found.kind + 1, things.image * width + things.kind + 1)
    single = ~things.crowd[k]
    overlap = iou(found.boxes[i], things.boxes[k])
    near = single & (overlap >= IOU)
    kept = one_to_one(i[near], k[near], overlap[near], found.ranks)
    thing = np.full(len(found.kind), -1, np.int64)
    thing[i[near][kept]] = k[near][kept]
    inside = shared_area(found.boxes[i], things.boxes[k]) >= IOU * np.maximum(areas(found.boxes[i]), 1e-9)
    crowded = np.zeros(len(found.kind), np.bool_)
    crowded[i[~single & inside]] = True
    rows = np.flatnonzero((found.kind >= 0) & ((thing >= 0) | ~crowded)).astype(np.int64)
    return Judged(rows, thing[rows] >= 0, thing[rows])


# ---- pycocotools -------------------------------------------------------------------------------------


def _average_precision(found: Found, truth: Truth, rows: Index, mode: str) -> dict[str, Any]:
    """COCO's numbers from pycocotools (mode "bbox" or "segm"), and AP by share of the image's area and by class."""
    sizes = {tuple(size) for size in truth.sizes.tolist()}
    ranges = dict(_SIZES)
    if len(sizes) == 1:
        whole = float(np.prod(next(iter(sizes))))
        ranges |= {name: (low * whole, high * whole) for name, (low, high) in _BANDS.items()}
    precision, recall = _coco_eval(found, truth, rows, mode, list(ranges.values()))
    at = {name: i for i, name in enumerate(ranges)}
    present, counts = np.unique(truth.things.kind[~truth.things.crowd], return_counts=True)
    classes = {
        truth.kinds[kind]: {
            "ap": _known(precision[:, :, i, 0]), "ap50": _known(precision[0, :, i, 0]), "truths": int(count),
        }
        for i, (kind, count) in enumerate(zip(present.tolist(), counts.tolist(), strict=True))
    }  # fmt: skip
    return {
        "ap": _known(precision[:, :, :, 0]), "ap50": _known(precision[0, :, :, 0]), "ap75": _known(precision[5, :, :, 0]),
        **{f"ap_{name}": _known(precision[:, :, :, at[name]]) for name in ("small", "medium", "large")},
        "ar100": _known(recall[:, :, 0]),
        "bands": {name: _known(precision[:, :, :, at[name]]) if name in at else None for name in _BANDS},
        "classes": classes,
    }  # fmt: skip


def _coco_eval(
    found: Found, truth: Truth, rows: Index, mode: str, ranges: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(precision (thresholds, recalls, classes, ranges), recall (thresholds, classes, ranges)); -1 where there is no
    truth. Classes are those of true objects that are no crowds, ascending."""
    things = truth.things
    classes = np.unique(things.kind[~things.crowd])
    known = rows[np.isin(found.kind[rows], classes)]
    if not len(classes):
        return np.full((10, 1, 1, len(ranges)), -1.0), np.full((10, 1, len(ranges)), -1.0)
    with redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        images = [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(truth.sizes.tolist())]
        categories = [{"id": int(kind)} for kind in classes]

        def dataset(annotations: list[dict[str, Any]]) -> Any:
            coco = COCO()
            coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
            coco.createIndex()
            return coco

        masked = np.array([mode == "bbox" or mask is not None for mask in things.masks], np.bool_)
        run = COCOeval(
            dataset(_true_annotations(truth, np.flatnonzero(masked & np.isin(things.kind, classes)), mode)),
            dataset(_found_annotations(found, known, truth, mode)),
            mode,
        )
        run.params.areaRng = [list(pair) for pair in ranges]
        run.params.areaRngLbl = [str(i) for i in range(len(ranges))]
        run.params.maxDets = [_MOST]
        run.evaluate()
        run.accumulate()
    return np.asarray(run.eval["precision"][..., 0]), np.asarray(run.eval["recall"][..., 0])


def _true_annotations(truth: Truth, rows: Index, mode: str) -> list[dict[str, Any]]:
    things = truth.things
    crowd = things.crowd.astype(int)
    return _annotations(things.image, things.kind, things.boxes, things.masks, rows, truth.sizes, mode, lambda i: {
        "area": float(things.area[i]), "iscrowd": int(crowd[i]),
    })  # fmt: skip


def _found_annotations(found: Found, rows: Index, truth: Truth, mode: str) -> list[dict[str, Any]]:
    size = areas(found.boxes)
    if mode == "segm":
        from pycocotools import mask

        codes = [_rle(found.masks[i], truth.sizes[found.image[i]]) for i in rows.tolist()]
        size[rows] = [float(mask.area(code)) for code in codes]
    ranks = found.ranks
    return _annotations(found.image, found.kind, found.boxes, found.masks, rows, truth.sizes, mode, lambda i: {
        "area": float(size[i]), "iscrowd": 0, "score": float(ranks[i]),
    })  # fmt: skip


def _annotations(
    image: Index,
    kind: Index,
    corners: NDArray[np.float64],
    codes: Sequence[str | None],
    rows: Index,
    sizes: Index,
    mode: str,
    more: Callable[[int], dict[str, Any]],
) -> list[dict[str, Any]]:
    """As pycocotools wants them. Their ids begin at 1: it takes a match with id 0 for none."""
    shape = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    found = []
    for number, i in enumerate(rows.tolist(), 1):
        entry = {
            "id": number,
            "image_id": int(image[i]),
            "category_id": int(kind[i]),
            "bbox": shape[i].tolist(),
            **more(i),
        }
        if mode == "segm":
            entry["segmentation"] = _rle(codes[i], sizes[image[i]])
        found.append(entry)
    return found


def _rle(code: str | None, size: Index) -> dict[str, Any]:
    width, height = size.tolist()
    return {"size": [height, width], "counts": (code or "").encode("ascii")}


def _known(values: NDArray[np.float64]) -> float | None:
    """The mean of what is not -1, with 4 decimals: how COCO averages."""
    known = values[values > -1]
    return round(float(known.mean()), 4) if known.size else None


def columns_of(score: str) -> list[str]:
    """The columns that `found_boxes` reads."""
    return [s.IMAGE_ID, *s.BOX, s.LABEL, score, s.MASK]


def of_kind(table: pa.Table, image: Index, kind: str) -> tuple[pa.Table, Index]:
    """The rows of `region_text` of one kind: "object" or "text"."""
    wanted = pc.equal(table.column(s.KIND), kind)
    return table.filter(wanted), image[np.asarray(wanted.to_numpy(zero_copy_only=False), bool)]
