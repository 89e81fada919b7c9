"""Shapes of one thing in its own units: x to the right, y down, the ground at y = 0, the top near y = -1.

A thing draws itself facing right with a `Pen`, which only records; `raster` puts the record on a canvas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.palette import Rgb, shade

Point = tuple[float, float]
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """One painted shape: a polygon, or a stroke where `width` is not 0 (all in the thing's units).

    `body` shapes carry the pattern; `edged` ones an outline; those that are not `solid` (motion lines, strings of
    bubbles) are painted on the background only and belong to no mask.
    """

    points: Points
    fill: Rgb
    width: float = 0.0
    body: bool = False
    edged: bool = True
    solid: bool = True


@dataclass(frozen=True, slots=True)
class Lettering:
    """A printed word in a box of the thing's units (x0, y0, x1, y1), the ink filling the box."""

    text: str
    font: str
    box: tuple[float, float, float, float]
    fill: Rgb


@dataclass(slots=True)
class Pen:
    """Records the shapes of one thing; `main` is its colour, `variety` picks among skins, roofs and the like."""

    main: Rgb
    variety: int = 0
    patterned: bool = False  # stripes or dots will be painted on the body: leave out panels of its own
    shapes: list[Shape] = field(default_factory=list)
    letters: list[Lettering] = field(default_factory=list)
    anchors: dict[str, Point] = field(default_factory=dict)  # places where other things attach
    words: tuple[str, ...] = ()  # what a sign says
    font: str = ""

    @property
    def dark(self) -> Rgb:
        """The colour in the shade."""
        return shade(self.main, 0.72)

    @property
    def light(self) -> Rgb:
        """The colour in the light."""
        return shade(self.main, 1.35)

    def poly(self, points: Sequence[Point], fill: Rgb | None = None, *, edged: bool = True, solid: bool = True) -> None:
        """A polygon; without `fill` it is the body: the main colour, with the pattern."""
        self._add(np.array(points, np.float64), fill, edged, solid)

    def blob(self, points: Sequence[Point], fill: Rgb | None = None, *, edged: bool = True) -> None:
        """A smooth closed curve through the points."""
        self._add(_smooth(np.array(points, np.float64), closed=True), fill, edged, True)

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Rgb | None = None,
        *,
        turn: float = 0.0,
        edged: bool = True,
        solid: bool = True,
    ) -> None:
        """An ellipse about (x, y), turned clockwise by `turn` degrees."""
        self._add(_arc(x, y, rx, ry, 0, 360, turn), fill, edged, solid)

    def pie(self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Rgb | None = None) -> None:
        """The part of an ellipse between two angles (degrees clockwise from the right), closed by a straight line."""
        self._add(_arc(x, y, rx, ry, start, end, 0.0), fill, True, True)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb | None = None, *, round_: float = 0.0) -> None:
        """A rectangle, with corners of radius `round_`."""
        if not round_:
            self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)
            return
        r = round_
        corners = ((x1 - r, y0 + r, 270), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180))
        self._add(np.concatenate([_arc(x, y, r, r, a, a + 90, 0.0, 6) for x, y, a in corners]), fill, True, True)

    def line(
        self,
        points: Sequence[Point],
        width: float,
        fill: Rgb | None = None,
        *,
        smooth: bool = False,
        edged: bool = True,
        solid: bool = True,
    ) -> None:
        """A stroke with round ends, through the points."""
        path = np.array(points, np.float64)
        if smooth:
            path = _smooth(path, closed=False)
        self.shapes.append(Shape(path, self.main if fill is None else fill, width, False, edged, solid))

    def word(self, text: str, box: tuple[float, float, float, float], fill: Rgb) -> None:
        """A printed word that fills the box (x0, y0, x1, y1)."""
        self.letters.append(Lettering(text, self.font, box, fill))

    def turn(self, degrees: float, about: Point = (0.0, -0.5)) -> None:
        """Turn everything drawn so far clockwise about a point."""
        angle = math.radians(degrees)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        centre = np.array(about)
        self.shapes = [
            Shape((s.points - centre) @ turn + centre, s.fill, s.width, s.body, s.edged, s.solid) for s in self.shapes
        ]

    def lift(self, by: float) -> None:
        """Raise everything drawn so far above the ground."""
        up = np.array([0.0, -by])
        self.shapes = [Shape(s.points + up, s.fill, s.width, s.body, s.edged, s.solid) for s in self.shapes]
        self.anchors = {name: (x, y - by) for name, (x, y) in self.anchors.items()}

    def extent(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the solid shapes, in the thing's units."""
        low = np.min([s.points.min(axis=0) - s.width / 2 for s in self.shapes if s.solid], axis=0)
        high = np.max([s.points.max(axis=0) + s.width / 2 for s in self.shapes if s.solid], axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def _add(self, points: Points, fill: Rgb | None, edged: bool, solid: bool) -> None:
        self.shapes.append(Shape(points, self.main if fill is None else fill, 0.0, fill is None, edged, solid))


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, turn: float, steps: int = 28) -> Points:
    angle = np.radians(np.linspace(start, end, steps, endpoint=end - start < 360))
    px, py = rx * np.cos(angle), ry * np.sin(angle)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return np.stack([x + c * px - s * py, y + s * px + c * py], axis=1)


def _smooth(points: Points, closed: bool, steps: int = 6) -> Points:
    """Uniform Catmull-Rom spline through the points (Catmull and Rom 1974, tension 0.5)."""
    if closed:
        p = np.concatenate([points[-1:], points, points[:2]])
    else:
        p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (q[:, None, :] for q in (p[:-3], p[1:-2], p[2:-1], p[3:]))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat: Points = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])
