"""What Florence-2 is asked and what it answers, as text: prompts, location marks, rendering and parsing.

A coordinate is one of 1000 marks `<loc_0>` … `<loc_999>`, a thousandth of the image's width or height. Rendering makes
the targets that a network is trained on, parsing reads what it generated; `parse(render(x)) == quantise(x)`. The
format is that of transformers' `models/florence2/processing_florence2.py`; prompts and parsers here agree with it.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import RecordError

BINS: Final = 1000
BOX: Final = 4  # marks
QUAD: Final = 8
MARKS: Final = tuple(f"<loc_{i}>" for i in range(BINS))
SEPARATOR: Final = "<sep>"
POLYGONS: Final = ("<poly>", "</poly>")

# What each task asks, in the words of the released networks (Florence2Processor); {input} is a text or a region.
PROMPTS: Final[dict[str, str]] = {
    "CAPTION": "What does the image describe?",
    "DETAILED_CAPTION": "Describe in detail what is shown in the image.",
    "MORE_DETAILED_CAPTION": "Describe with a paragraph what is shown in the image.",
    "OCR": "What is the text in the image?",
    "OCR_WITH_REGION": "What is the text in the image, with regions?",
    "OD": "Locate the objects with category name in the image.",
    "DENSE_REGION_CAPTION": "Locate the objects in the image, with their descriptions.",
    "REGION_PROPOSAL": "Locate the region proposals in the image.",
    "CAPTION_TO_PHRASE_GROUNDING": "Locate the phrases in the caption: {input}",
    "OPEN_VOCABULARY_DETECTION": "Locate {input} in the image.",
    "REFERRING_EXPRESSION_SEGMENTATION": "Locate {input} in the image with mask",
    "REGION_TO_SEGMENTATION": "What is the polygon mask of region {input}",
    "REGION_TO_CATEGORY": "What is the region {input}?",
    "REGION_TO_DESCRIPTION": "What does the region {input} describe?",
    "REGION_TO_OCR": "What text is in the region {input}?",
}

_RUN: Final = re.compile(r"([^<]*)((?:<loc_\d+>)+)")
_LOCATION: Final = re.compile(r"<loc_(\d+)>")
_ENDS: Final = re.compile(r"</?s>|<pad>")
_POLYGON: Final = re.compile(rf"((?:<loc_\d+>)+)(?:{SEPARATOR}|$)")
_INSTANCE: Final = re.compile(rf"{POLYGONS[0]}(.*?){POLYGONS[1]}")


# ---- numbers ------------------------------------------------------------------------------------------


def quantise(points: ArrayLike, width: float, height: float) -> NDArray[np.int64]:
    """Bins 0..999 of coordinates in pixels: floor(v / (size / 1000)), clamped.

    `points`: (..., 2k), x and y in turn: boxes (n, 4), quads (n, 8), polygons (n, 2). `width` and `height` of the
    image. Counted in float32, as Florence2PostProcessor.quantize does, so that edges of bins fall alike.
    """
    values = np.asarray(points, np.float32)
    bins = np.floor(values / _steps(values.shape[-1], width, height))
    clamped: NDArray[np.int64] = np.clip(bins, 0, BINS - 1).astype(np.int64)
    return clamped


def dequantise(bins: ArrayLike, width: float, height: float) -> NDArray[np.float32]:
    """The middle of each bin, in pixels; the same layout as `quantise`.

    Florence2PostProcessor cuts the middle down to whole pixels, which a small image cannot afford; this does not, and
    so `quantise(dequantise(b)) == b` for every size.
    """
    values = np.asarray(bins, np.float32)
    middles: NDArray[np.float32] = (values + np.float32(0.5)) * _steps(values.shape[-1], width, height)
    return middles


def to_boxes(bins: NDArray[np.int64], width: float, height: float) -> NDArray[np.float32]:
    """Boxes (n, 4) in pixels from the middle of one bin to that of another; where both are the same bin, from its edge
    to its edge. A box that is inside out stays so."""
    middles = dequantise(bins, width, height)
    half = np.where(bins[:, :2] == bins[:, 2:], _steps(2, width, height) / 2, np.float32(0))
    boxes: NDArray[np.float32] = middles + np.concatenate([-half, half], axis=1)
    return np.clip(boxes, 0, np.array([width, height] * 2, np.float32))


def _steps(columns: int, width: float, height: float) -> NDArray[np.float32]:
    return np.tile(np.array([width / BINS, height / BINS], np.float32), columns // 2)


# ---- rendering ----------------------------------------------------------------------------------------


def prompt(task: str, text: str = "") -> str:
    """The question of a task; `text` is the caption, phrase or region (`render_region`) that it is about."""
    return PROMPTS[task].replace("{input}", text)


def clean_label(text: str, *, only_ascii: bool = True) -> str:
    """A label as a target can hold it: no `<`, single spaces, and letters without accents.

    Parsers of boxes and phrases remove what is not ASCII, those of writing (`only_ascii=False`) do not.
    """
    if only_ascii:
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return " ".join(text.replace("<", " ").split())


def render_od(labels: Sequence[str], boxes: ArrayLike, width: float, height: float) -> str:
    """Objects with category names: `label` and 4 marks for each of its boxes, label after label.

    `boxes` (n, 4) in pixels. Labels in alphabetical order, boxes of a label from left to right (then top to bottom):
    our choice. What comes next is then known from what was said last, and a small network need not plan.

    Raises:
        RecordError: nothing is left of a label once it is clean.
    """
    names = _cleaned(labels)
    bins = _boxes(boxes, width, height)
    order = _left_to_right(bins)
    return _grouped(sorted(order, key=lambda i: names[i]), names, bins)


def render_dense(descriptions: Sequence[str], boxes: ArrayLike, width: float, height: float) -> str:
    """Objects with descriptions, from left to right (then top to bottom); the format of `render_od`.

    Not in alphabetical order, for the order of descriptions says nothing. Neighbours of one description share it.

    Raises:
        RecordError: nothing is left of a description once it is clean.
    """
    names = _cleaned(descriptions)
    bins = _boxes(boxes, width, height)
    return _grouped(_left_to_right(bins), names, bins)


def render_grounding(phrases: Sequence[str], boxes_per_phrase: Sequence[ArrayLike], width: float, height: float) -> str:
    """Phrases in the order given (that of the caption), each with its boxes from left to right.

    `boxes_per_phrase`: one (n, 4) array a phrase, in pixels. A phrase without boxes is left out. (A network that is
    to learn what is not there is given the phrase alone, `clean_label(phrase)`; parsers find nothing in it.)

    Raises:
        RecordError: nothing is left of a phrase once it is clean.
    """
    parts = []
    for phrase, boxes in zip(_cleaned(phrases), boxes_per_phrase, strict=True):
        bins = _boxes(boxes, width, height)
        if len(bins):
            parts.append(phrase + _marks(bins[_left_to_right(bins)]))
    return "".join(parts)


def render_ocr(texts: Sequence[str], quads: ArrayLike, width: float, height: float) -> str:
    """Writing: `text` and 8 marks for its quad (n, 8), clockwise from the top left, from top to bottom (then left to
    right) of the first corner.

    Raises:
        RecordError: nothing is left of a text once it is clean.
    """
    names = _cleaned(texts, only_ascii=False)
    bins = quantise(np.asarray(quads, np.float32).reshape(-1, QUAD), width, height)
    order = np.lexsort((bins[:, 0], bins[:, 1]))
    return "".join(names[i] + _marks(bins[i]) for i in order)


def render_proposals(boxes: ArrayLike, width: float, height: float) -> str:
    """Boxes (n, 4) without labels, from left to right."""
    bins = _boxes(boxes, width, height)
    return _marks(bins[_left_to_right(bins)])


def render_region(box: ArrayLike, width: float, height: float) -> str:
    """One box (4,) in pixels as the {input} of a region task."""
    return _marks(quantise(box, width, height))


def render_polygons(instances: Sequence[Sequence[ArrayLike]], width: float, height: float) -> str:
    """Masks as polygons, each (n, 2) or (2n,) x and y in pixels; several polygons an instance, as given."""
    texts = [
        SEPARATOR.join(_marks(quantise(np.asarray(p, np.float32).reshape(-1, 2), width, height)) for p in polygons)
        for polygons in instances
    ]
    return texts[0] if len(texts) == 1 else "".join(POLYGONS[0] + text + POLYGONS[1] for text in texts)


def _boxes(boxes: ArrayLike, width: float, height: float) -> NDArray[np.int64]:
    return quantise(np.asarray(boxes, np.float32).reshape(-1, BOX), width, height)


def _cleaned(labels: Sequence[str], *, only_ascii: bool = True) -> list[str]:
    names = [clean_label(label, only_ascii=only_ascii) for label in labels]
    for label, name in zip(labels, names, strict=True):
        if not name:
            raise RecordError(
                f"the label {label!r} has no letter that a Florence-2 target can hold; "
                "leave its boxes out (clean_label tells beforehand)."
            )
    return names


def _left_to_right(bins: NDArray[np.int64]) -> list[int]:
    """Indices by x0, then y0, x1, y1."""
    order: list[int] = np.lexsort(bins.T[[3, 2, 1, 0]]).tolist()
    return order


def _grouped(order: Sequence[int], names: Sequence[str], bins: NDArray[np.int64]) -> str:
    """Boxes in `order`; a label is not repeated for the next box."""
    parts, last = [], ""
    for i in order:
        parts.append(_marks(bins[i]) if names[i] == last else names[i] + _marks(bins[i]))
        last = names[i]
    return "".join(parts)


def _marks(bins: NDArray[np.int64]) -> str:
    return "".join([MARKS[i] for i in bins.ravel().tolist()])


# ---- parsing ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """A text and the location marks right after it, as bins."""

    text: str
    bins: Sequence[int]


@dataclass(frozen=True, slots=True)
class Found:
    """What runs hold: `labels` n, `bins` (n, 4) boxes or (n, 8) quads, and where they stood: `run` (n,) is the index
    of the run, `first` (n,) that of the first mark within it."""

    labels: Sequence[str]
    bins: NDArray[np.int64]
    run: NDArray[np.int64]
    first: NDArray[np.int64]


def runs_of(text: str) -> list[Run]:
    """Generated text cut into runs; the marks of beginning, end and padding are passed over."""
    return [
        Run(label, [int(i) for i in _LOCATION.findall(marks)]) for label, marks in _RUN.findall(_ENDS.sub("", text))
    ]


def found_boxes(runs: Sequence[Run], *, labelled: bool = True) -> Found:
    """Four marks a box; one to three at the end of a run are dropped.

    Labels lose what is not ASCII and space around them. Runs without a label are dropped, unless `labelled` is False:
    then labels are empty. (Florence2PostProcessor keeps a label of nothing but spaces, and reads the end of a mark that
    belongs to no box into the next label.)
    """
    names = [run.text.encode("ascii", "ignore").decode("ascii").strip() if labelled else "" for run in runs]
    named = [bool(name) or not labelled for name in names]
    return _found(runs, names, [len(run.bins) // BOX * ok for run, ok in zip(runs, named, strict=True)], BOX)


def found_quads(runs: Sequence[Run]) -> Found:
    """Eight marks a text; runs with fewer are dropped, and marks beyond the eighth too (Florence2PostProcessor takes
    either for writing)."""
    names = [run.text.strip() for run in runs]
    counts = [int(bool(name) and len(run.bins) >= QUAD) for run, name in zip(runs, names, strict=True)]
    return _found(runs, names, counts, QUAD)


def parse_boxes(text: str) -> Found:
    """OD, DENSE_REGION_CAPTION, CAPTION_TO_PHRASE_GROUNDING and boxes of OPEN_VOCABULARY_DETECTION."""
    return found_boxes(runs_of(text))


def parse_ocr(text: str) -> Found:
    """OCR_WITH_REGION."""
    return found_quads(runs_of(text))


def parse_proposals(text: str) -> Found:
    """REGION_PROPOSAL; labels are empty."""
    return found_boxes(runs_of(text), labelled=False)


def parse_polygons(text: str) -> list[list[NDArray[np.int64]]]:
    """Instances, each a list of polygons (n, 2) in bins; the odd coordinate at the end of one is lost."""
    text = _ENDS.sub("", text)
    instances = _INSTANCE.findall(text) or [text]
    parsed = [[_points(marks) for marks in _POLYGON.findall(instance)] for instance in instances]
    return [polygons for polygons in parsed if polygons]


def _found(runs: Sequence[Run], names: Sequence[str], counts: Sequence[int], size: int) -> Found:
    """The first `counts` groups of `size` marks of each run."""
    run = np.repeat(np.arange(len(runs)), counts)
    taken = [i for r, count in zip(runs, counts, strict=True) for i in r.bins[: count * size]]
    bins = np.array(taken, np.int64).reshape(-1, size)
    starts = np.cumsum(counts, dtype=np.int64) - np.asarray(counts, np.int64)
    first = (np.arange(len(run)) - np.repeat(starts, counts)) * size
    return Found([names[i] for i in run.tolist()], bins, run, first)


def _points(marks: str) -> NDArray[np.int64]:
    bins = np.array([int(i) for i in _LOCATION.findall(marks)], np.int64)
    return bins[: len(bins) // 2 * 2].reshape(-1, 2)
