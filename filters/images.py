"""Which images are no use: too small, too long, nothing to be seen, or torn. Copies: `filters.near_duplicates`."""

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from engine.pixel_measures import REPEATED
from filters.decision import Decision, first, reject
from filters.registry import FilterConfig, declare

_MISSING: Final = "#808080"  # what libjpeg puts where data is missing: coefficients of 0, which is mid grey
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]


@dataclass(frozen=True, slots=True)
class ImageColumns:
    """The columns that a filter of images is given, for n images.

    `uri`, `format`, `meta` (the source's own fields, JSON) and `widths`, `heights` (pixels), each (n,); `contrast` (n,),
    `tails` (n,) and `tail_colours` (n,), 0xRRGGBB or `REPEATED`, as in `engine.pixel_measures`.
    """

    uri: pa.Array
    format: pa.Array
    meta: pa.Array
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    contrast: NDArray[np.float32]
    tails: NDArray[np.float32]
    tail_colours: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.widths)


class Small(FilterConfig):
    """Images with too few pixels."""

    min_side: int = Field(32, ge=1, description="fewest pixels of the shorter side (our choice)")
    min_area: int = Field(4096, ge=1, description="fewest pixels, width x height (our choice: 64 x 64)")


class Aspect(FilterConfig):
    """Images that are far longer than wide, or wider than long: banners, rules, stitched strips."""

    max_aspect: float = Field(8.0, ge=1.0, description="most times the longer side may be the shorter (our choice)")


class Blank(FilterConfig):
    """Images of one colour."""

    min_contrast: float = Field(
        2.0,
        ge=0.0,
        le=127.5,
        description="lowest standard deviation of pixel values, in grey levels, in the colour where it is largest "
        "(our choice: what JPEG and sensors add to a plain colour stays below)",
    )


class Torn(FilterConfig):
    """Images whose file broke off: a decoder filled what was missing, and the result was saved again."""

    max_tail: float = Field(
        0.05,
        ge=0.0,
        le=1.0,
        description="largest part of the height that a dead band at the bottom may have (our choice)",
    )
    fills: tuple[Colour, ...] = Field(
        (_MISSING,),
        description="colours that a dead band has; #000000 finds PNG files that Pillow was made to read, and also images "
        "that were padded with black at the bottom alone (our choice)",
    )
    tolerance: int = Field(
        3, ge=0, le=127, description="grey levels by which the band may differ from such a colour (our choice)"
    )
    repeated: bool = Field(
        True, description="whether a band that repeats one row, not of one colour, is dead (our choice)"
    )


@declare("images", "small", Small, source="our choice")
def small(images: ImageColumns, config: Small) -> Decision:
    """Reject images with too few pixels: by the shorter side, then by the area."""
    sides = np.minimum(images.widths, images.heights)
    areas = images.widths.astype(np.int64) * images.heights
    return first(
        [
            reject(sides < config.min_side, "small side", sides, config.min_side),
            reject(areas < config.min_area, "small area", areas, config.min_area),
        ]
    )


@declare("images", "aspect", Aspect, source="our choice")
def aspect(images: ImageColumns, config: Aspect) -> Decision:
    """Reject images whose longer side is too many times the shorter."""
    sides = np.stack([images.widths, images.heights]).astype(np.float64)
    times = sides.max(axis=0) / np.maximum(sides.min(axis=0), 1.0)
    return reject(times > config.max_aspect, "aspect", times, config.max_aspect)


@declare("images", "blank", Blank, source="our choice")
def blank(images: ImageColumns, config: Blank) -> Decision:
    """Reject images in which nothing is to be seen."""
    return reject(images.contrast < config.min_contrast, "blank", images.contrast, config.min_contrast)


@declare("images", "torn", Torn, source="our choice; mid grey is libjpeg's (jdhuff.c, insufficient_data)")
def torn(images: ImageColumns, config: Torn) -> Decision:
    """Reject images that end in a dead band: mid grey, or one row again and again. Their file broke off.

    Strict decoding quarantines a broken file (`engine.images`); this finds those that somebody repaired. Bars above and
    below are no tail (`engine.pixel_measures.tail`). Damage that leaves no band is not found: shifted blocks, and the
    lower half of a progressive JPEG, which is only less sharp.
    """
    dead = (images.tail_colours == REPEATED) & config.repeated
    for fill in config.fills:
        dead |= (images.tail_colours >= 0) & (_distances(images.tail_colours, int(fill[1:], 16)) <= config.tolerance)
    return reject(dead & (images.tails > config.max_tail), "torn", images.tails, config.max_tail)


def _distances(colours: NDArray[np.int32], other: int) -> NDArray[np.int32]:
    """In how many levels colours (n,) differ from another, all 0xRRGGBB, in the channel where they do most: (n,)."""
    channels = [np.abs((colours >> shift & 255) - (other >> shift & 255)) for shift in (16, 8, 0)]
    return np.asarray(np.max(channels, axis=0), np.int32)
