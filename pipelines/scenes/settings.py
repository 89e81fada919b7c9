"""The six places where scenes play: their backgrounds, and what belongs where in them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.scenes.palette import Rgb, shade
from pipelines.scenes.pen import Pen, Shape

# Backgrounds reach beyond the image, so that perspective never shows an edge.
_LOW, _HIGH = -0.4, 1.4


@dataclass(frozen=True, slots=True)
class Zone:
    """A band of the picture: things whose feet (lowest point) stand between `top` and `bottom`, as fractions.

    `share` is how often a thing is drawn from it, relative to the others; `members` are (kind, its poses here, relative frequency).
    """

    name: str
    top: float
    bottom: float
    share: float
    members: tuple[tuple[str, tuple[str, ...], int], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A place: how captions name it, for things that stand in it and for things above it, and its zones."""

    name: str
    noun: str
    inside: tuple[str, ...]
    over: str
    paint: Callable[[np.random.Generator], list[Shape]]
    zones: tuple[Zone, ...]


def _band(pen: Pen, y0: float, y1: float, fill: Rgb) -> None:
    pen.poly([(_LOW, y0), (_HIGH, y0), (_HIGH, y1), (_LOW, y1)], fill)


def _sky(pen: Pen, y: float, top: Rgb, bottom: Rgb, steps: int = 8) -> None:
    _band(pen, _LOW, 0.0, top)
    for i in range(steps):
        t = i / (steps - 1)
        r, g, b = (round(a + (c - a) * t) for a, c in zip(top, bottom, strict=True))
        _band(pen, y * i / steps, y, (r, g, b))


def _hills(pen: Pen, rng: np.random.Generator, y: float, height: float, fill: Rgb) -> None:
    xs = np.linspace(_LOW, _HIGH, 10)
    ys = y - height * rng.uniform(0.1, 1.0, len(xs))
    pen.blob([*zip(xs.tolist(), ys.tolist(), strict=True), (_HIGH + 0.2, y + 0.1), (_LOW - 0.2, y + 0.1)], fill)


def _tufts(pen: Pen, rng: np.random.Generator, y0: float, y1: float, count: int, fill: Rgb) -> None:
    for x, y in rng.uniform((0.0, y0), (1.0, y1), (count, 2)).tolist():
        pen.line([(x - 0.012, y - 0.018), (x, y), (x + 0.012, y - 0.018)], 0.005, fill)


def meadow(rng: np.random.Generator) -> list[Shape]:
    """Blue sky, hills, grass."""
    pen = Pen((0, 0, 0))
    _sky(pen, 0.5, (140, 200, 245), (225, 243, 252))
    _hills(pen, rng, 0.47, 0.1, (150, 205, 140))
    grass = (150, 208, 105)
    _band(pen, 0.46, _HIGH, grass)
    _band(pen, 0.72, _HIGH, (140, 200, 95))
    _tufts(pen, rng, 0.52, 0.98, 26, shade(grass, 0.78))
    return pen.shapes


def sea(rng: np.random.Generator) -> list[Shape]:
    """Sky above, the water cut open below, sand at the bottom."""
    pen = Pen((0, 0, 0))
    _sky(pen, 0.4, (150, 208, 248), (232, 246, 252))
    for i in range(6):
        _band(pen, 0.38 + 0.1 * i, _HIGH, shade((110, 195, 225), 1 - 0.055 * i))
    crest = [(x, 0.38 + (0.008 if i % 2 else -0.006)) for i, x in enumerate(np.linspace(_LOW, _HIGH, 37).tolist())]
    pen.line(crest, 0.012, (235, 248, 252), smooth=True)
    sand = (238, 216, 160)
    _hills(pen, rng, 0.95, 0.04, sand)
    _band(pen, 0.94, _HIGH, sand)
    for x in rng.uniform(0.03, 0.97, 3).tolist():
        weed = [(x, 0.96), (x + 0.015, 0.91), (x - 0.015, 0.86), (x + 0.01, 0.81)]
        pen.line(weed, 0.014, (70, 150, 110), smooth=True)
    return pen.shapes


def street(rng: np.random.Generator) -> list[Shape]:
    """Sky, a far row of roofs, a pavement, the road with its broken line."""
    pen = Pen((0, 0, 0))
    _sky(pen, 0.5, (165, 212, 245), (235, 244, 250))
    x = _LOW
    while x < _HIGH:
        width, height = rng.uniform(0.08, 0.16), rng.uniform(0.06, 0.2)
        tone = int(rng.integers(196, 216))
        pen.rect(x, 0.48 - height, x + width, 0.5, (tone, tone + 6, tone + 14))
        x += width
    _band(pen, 0.48, 0.56, (176, 206, 150))
    _band(pen, 0.55, 0.72, (214, 208, 200))
    _band(pen, 0.71, 0.73, (165, 160, 155))
    _band(pen, 0.73, _HIGH, (118, 120, 126))
    for i in range(-2, 8):
        pen.rect(0.06 + 0.22 * i, 0.86, 0.17 + 0.22 * i, 0.875, (240, 238, 225))
    return pen.shapes


def room(rng: np.random.Generator) -> list[Shape]:
    """A papered wall, a skirting board, a floor of planks, a rug."""
    pen = Pen((0, 0, 0))
    walls: tuple[Rgb, ...] = ((248, 232, 205), (222, 236, 226), (232, 226, 240), (250, 226, 220), (218, 230, 244))
    wall = walls[int(rng.integers(len(walls)))]
    _band(pen, _LOW, 0.64, wall)
    for i in range(-3, 12):
        pen.rect(0.12 * i, _LOW, 0.12 * i + 0.05, 0.62, shade(wall, 0.965))
    _band(pen, 0.62, 0.65, (250, 248, 240))
    floor = (206, 164, 118)
    _band(pen, 0.65, _HIGH, floor)
    for y in (0.72, 0.81, 0.92):
        _band(pen, y, y + 0.005, shade(floor, 0.85))
    rug: tuple[Rgb, ...] = ((196, 130, 120), (130, 160, 175), (160, 175, 130))
    tone = rug[int(rng.integers(len(rug)))]
    pen.oval(0.5, 0.88, 0.42, 0.09, tone)
    pen.oval(0.5, 0.88, 0.37, 0.072, shade(tone, 1.25))
    return pen.shapes


def night(rng: np.random.Generator) -> list[Shape]:
    """A dark sky with specks of starlight over dark grass."""
    pen = Pen((0, 0, 0))
    _sky(pen, 0.62, (24, 28, 72), (74, 78, 136))
    for x, y in rng.uniform((0.0, 0.0), (1.0, 0.5), (30, 2)).tolist():
        pen.oval(x, y, 0.0028, 0.0028, (225, 225, 240))
    _hills(pen, rng, 0.62, 0.1, (44, 70, 84))
    grass = (58, 98, 82)
    _band(pen, 0.6, _HIGH, grass)
    _tufts(pen, rng, 0.66, 0.98, 20, shade(grass, 0.75))
    return pen.shapes


def snow(rng: np.random.Generator) -> list[Shape]:
    """A pale sky, white hills, drifts, flakes in the air."""
    pen = Pen((0, 0, 0))
    _sky(pen, 0.54, (170, 196, 222), (224, 234, 244))
    _hills(pen, rng, 0.52, 0.12, (214, 226, 238))
    _band(pen, 0.5, _HIGH, (232, 239, 246))
    for y in (0.66, 0.82):
        _hills(pen, rng, y + 0.04, 0.03, (224, 233, 243))
        _band(pen, y + 0.05, _HIGH, (234, 241, 247))
    for x, y in rng.uniform((0.0, 0.0), (1.0, 1.0), (36, 2)).tolist():
        pen.oval(x, y, 0.005, 0.005, (252, 253, 255))
    return pen.shapes


_ANY: Final[tuple[str, ...]] = ()
_WALKERS: Final = (
    ("person", ("standing", "running", "walking", "waving", "jumping"), 8),
    ("dog", _ANY, 5),
    ("cat", _ANY, 4),
)
_DAY_SKY: Final = (
    ("sun", _ANY, 4), ("cloud", _ANY, 5), ("bird", ("flying",), 6), ("airplane", _ANY, 3), ("balloon", _ANY, 3),
)  # fmt: skip

SETTINGS: Final[dict[str, Setting]] = {
    s.name: s
    for s in (
        Setting("meadow", "meadow", ("in a meadow", "on the green grass"), "over a meadow", meadow, (
            Zone("sky", 0.14, 0.44, 5, (*_DAY_SKY, ("kite", _ANY, 5), ("butterfly", _ANY, 4))),
            Zone("ground", 0.58, 0.97, 11, (
                *_WALKERS, ("house", _ANY, 4), ("tree", _ANY, 5), ("flower", _ANY, 5), ("mushroom", _ANY, 4),
                ("bench", _ANY, 3), ("sign", _ANY, 3), ("ball", ("rolling", "bouncing"), 4), ("horse", _ANY, 4),
                ("rabbit", _ANY, 4), ("bird", ("standing",), 2), ("duck", ("standing",), 2), ("bicycle", _ANY, 3),
            )),
        )),
        Setting("sea", "sea", ("in the sea",), "over the sea", sea, (
            Zone("sky", 0.12, 0.3, 4, _DAY_SKY),
            Zone("surface", 0.385, 0.41, 6, (("boat", _ANY, 8), ("duck", ("swimming",), 5), ("fish", ("jumping",), 3),
                ("whale", ("spouting",), 3),
            )),
            Zone("water", 0.6, 0.86, 8, (("fish", ("swimming",), 8), ("whale", ("swimming",), 4))),
            Zone("bottom", 0.93, 0.985, 3, (("crab", _ANY, 1),)),
        )),
        Setting("street", "street", ("on a street", "in the street"), "over a street", street, (
            Zone("sky", 0.12, 0.34, 4, _DAY_SKY),
            Zone("pavement", 0.58, 0.71, 8, (
                *_WALKERS, ("house", _ANY, 7), ("tree", _ANY, 4), ("lamppost", _ANY, 4), ("sign", _ANY, 6),
                ("bench", _ANY, 4), ("bicycle", _ANY, 3),
            )),
            Zone("road", 0.8, 0.97, 6, (("car", _ANY, 8), ("bus", _ANY, 6), ("ball", ("rolling",), 1), *_WALKERS[:2])),
        )),
        Setting("room", "room", ("in a room", "inside a room"), "in a room", room, (
            Zone("wall", 0.2, 0.38, 3, (("clock", _ANY, 6), ("balloon", _ANY, 3))),
            Zone("ground", 0.74, 0.97, 11, (
                *_WALKERS, ("chair", _ANY, 8), ("table", _ANY, 7), ("ball", ("rolling", "bouncing"), 3),
                ("gift", _ANY, 4), ("book", _ANY, 3), ("rabbit", _ANY, 1), ("umbrella", _ANY, 2), ("lamp", _ANY, 2),
            )),
        )),
        Setting("night sky", "night sky", ("under the night sky", "at night"), "in the night sky", night, (
            Zone("sky", 0.14, 0.4, 5, (
                ("moon", _ANY, 7), ("star", _ANY, 8), ("cloud", _ANY, 2), ("airplane", _ANY, 2), ("bird", ("flying",), 2),
            )),
            Zone("ground", 0.7, 0.97, 9, (
                *_WALKERS, ("house", _ANY, 7), ("tree", _ANY, 5), ("lamppost", _ANY, 4), ("sign", _ANY, 2),
                ("bench", _ANY, 2), ("rabbit", _ANY, 2), ("horse", _ANY, 2), ("mushroom", _ANY, 2), ("car", _ANY, 3),
            )),
        )),
        Setting("snow", "snow", ("in the snow", "on the snow"), "over the snow", snow, (
            Zone("sky", 0.12, 0.38, 4, _DAY_SKY),
            Zone("ground", 0.62, 0.97, 11, (
                *_WALKERS, ("snowman", _ANY, 9), ("tree", _ANY, 5), ("house", _ANY, 4), ("rabbit", _ANY, 4),
                ("sign", _ANY, 3), ("bench", _ANY, 3), ("horse", _ANY, 2), ("gift", _ANY, 3), ("lamppost", _ANY, 2),
                ("bird", ("standing",), 2),
            )),
        )),
    )
}  # fmt: skip
