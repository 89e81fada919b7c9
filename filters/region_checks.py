"""Which shapes and readings are noise, whoever saw them: declared filters of regions."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from filters.decision import Decision, below, first, reject
from filters.registry import FilterConfig, declare

# Scripts as RE2 names them, which OCR engines are made for.
_SCRIPTS = (
    "Arabic",
    "Cyrillic",
    "Devanagari",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Thai",
)


@dataclass(frozen=True, slots=True)
class RegionColumns:
    """The columns that a filter of regions is given, for n regions.

    `boxes` (n, 4) x0 y0 x1 y1 and `widths`, `heights` (n,) of their images, in pixels; `writing` (n,) is True for text
    regions, whose reading is `text` (n,); the others are objects with a `label` (n,); `confidence` (n,).
    """

    boxes: NDArray[np.float32]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    writing: NDArray[np.bool_]
    label: pa.Array
    text: pa.Array
    confidence: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.boxes)


class Aspect(FilterConfig):
    """Objects that are far longer than wide, or wider than long. Lines of text are as long as they are."""

    max_aspect: float = Field(20.0, ge=1.0, description="most times the longer side may be the shorter (our choice)")


class Sliver(FilterConfig):
    """Objects of which the image's border leaves a thin strip."""

    max_part: float = Field(
        0.02,
        ge=0.0,
        le=1.0,
        description="a box at the border this thin, in parts of the image, is a strip (our choice)",
    )
    max_margin: float = Field(1.0, ge=0.0, description="pixels from the border that count as at it (our choice)")
    min_aspect: float = Field(4.0, ge=1.0, description="a strip is at least so many times as long as thin (our choice)")


class Scribble(FilterConfig):
    """Readings that are hardly writing."""

    min_characters: int = Field(1, ge=1, description="fewest letters and digits of a reading (our choice)")
    min_confidence_short: float = Field(
        0.8, ge=0.0, le=1.0, description="lowest confidence of a reading of one letter or digit (our choice)"
    )
    scripts: tuple[str, ...] = Field(
        (), description="scripts that letters may be of, as Latin or Han; none allows all (our choice: by profile)"
    )

    @field_validator("scripts")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(value) - set(_SCRIPTS)):
            raise ValueError(f"{', '.join(unknown)}: choose of {', '.join(_SCRIPTS)}")
        return value


@declare("regions", "aspect", Aspect, source="our choice")
def aspect(regions: RegionColumns, config: Aspect) -> Decision:
    """Reject objects whose longer side is too many times the shorter."""
    sides = _sides(regions)
    times = sides.max(axis=1) / np.maximum(sides.min(axis=1), 1e-6)
    return reject(~regions.writing & (times > config.max_aspect), "aspect", times, config.max_aspect)


@declare("regions", "sliver", Sliver, source="our choice")
def sliver(regions: RegionColumns, config: Sliver) -> Decision:
    """Reject objects that are a thin strip along the image's border: all but nothing of a thing is in the image."""
    boxes, sides = regions.boxes.astype(np.float64), _sides(regions)
    frame = np.stack([regions.widths, regions.heights], axis=1).astype(np.float64)
    at_border = (boxes[:, :2] <= config.max_margin) | (boxes[:, 2:] >= frame - config.max_margin)
    long = sides[:, ::-1] >= config.min_aspect * sides
    part = np.where(at_border & long, sides / np.maximum(frame, 1.0), 1.0).min(axis=1)
    return reject(~regions.writing & (part < config.max_part), "sliver", part, config.max_part)


@declare("regions", "scribble", Scribble, source="our choice")
def scribble(regions: RegionColumns, config: Scribble) -> Decision:
    """Reject readings with too few letters and digits, a single unsure one, or letters of another script."""
    text = pc.fill_null(regions.text, "")
    count = _count(text, r"[\p{L}\p{N}]")
    unsure = (count <= 1) & below(regions.confidence, config.min_confidence_short)
    found = [
        reject(regions.writing & (count < config.min_characters), "no writing", count, config.min_characters),
        reject(regions.writing & unsure, "single character", regions.confidence, config.min_confidence_short),
    ]
    if config.scripts:
        # Letters that scripts share are of each: the long vowel mark of "コーヒー", the micro sign.
        own = "".join(rf"\p{{{script}}}" for script in (*config.scripts, "Common", "Inherited"))
        other = _count(pc.replace_substring_regex(text, f"[{own}]", ""), r"\p{L}")
        found.append(reject(regions.writing & (other > 0), "script", other, 0))
    return first(found)


def _sides(regions: RegionColumns) -> NDArray[np.float64]:
    return (regions.boxes[:, 2:] - regions.boxes[:, :2]).astype(np.float64)


def _count(text: pa.Array, pattern: str) -> NDArray[np.int64]:
    return np.asarray(pc.count_substring_regex(text, pattern).to_numpy(zero_copy_only=False), np.int64)
