"""Colours by name, as 8-bit RGB, and the shades a picture book uses of them."""

from typing import Final

Rgb = tuple[int, int, int]

COLOURS: Final[dict[str, Rgb]] = {
    "red": (220, 40, 45),
    "orange": (245, 140, 30),
    "yellow": (250, 215, 50),
    "green": (60, 165, 75),
    "blue": (45, 105, 215),
    "purple": (135, 65, 180),
    "pink": (245, 140, 190),
    "brown": (140, 90, 50),
    "gray": (140, 145, 150),
    "white": (246, 246, 242),
}
PATTERNS: Final = ("plain", "striped", "dotted")
SIZES: Final[dict[str, float]] = {"small": 0.75, "medium": 1.0, "large": 1.3}

INK: Final[Rgb] = (35, 30, 35)
PAPER: Final[Rgb] = (250, 250, 246)
SKIN: Final[tuple[Rgb, ...]] = ((250, 212, 180), (226, 172, 128), (165, 110, 74), (110, 72, 50))
HAIR: Final[tuple[Rgb, ...]] = ((70, 45, 30), (35, 30, 30), (25, 22, 22), (200, 150, 70))
TROUSERS: Final[tuple[Rgb, ...]] = ((50, 65, 110), (80, 75, 75), (105, 80, 60), (45, 90, 85))


def shade(colour: Rgb, factor: float) -> Rgb:
    """The colour darker (`factor` < 1) or nearer to white (`factor` > 1; 2 is white)."""
    if factor <= 1:
        r, g, b = (round(c * factor) for c in colour)
    else:
        r, g, b = (round(c + (255 - c) * (factor - 1)) for c in colour)
    return r, g, b


def edge(colour: Rgb) -> Rgb:
    """The outline of a shape: the colour itself, much darker, so that shapes of one colour stay apart."""
    return shade(colour, 0.45)


def contrast(colour: Rgb) -> Rgb:
    """What stripes and dots on this colour are painted with: white, or the colour darker where it is light itself."""
    r, g, b = colour
    luminance = 0.299 * r + 0.587 * g + 0.114 * b  # ITU-R BT.601
    return shade(colour, 0.58) if luminance > 165 else PAPER
