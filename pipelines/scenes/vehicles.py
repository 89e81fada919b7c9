"""Things that carry people, facing right."""

from typing import Final

from pipelines.scenes.animals import speed_lines
from pipelines.scenes.lettering import aspect
from pipelines.scenes.palette import INK, PAPER, Rgb
from pipelines.scenes.pen import Pen

_GLASS: Final[Rgb] = (185, 225, 245)
_TYRE: Final[Rgb] = (45, 45, 50)
_STEEL: Final[Rgb] = (200, 205, 210)
_WOOD: Final[Rgb] = (150, 100, 60)


def _wheel(pen: Pen, x: float, y: float, r: float) -> None:
    pen.oval(x, y, r, r, _TYRE)
    pen.oval(x, y, r * 0.5, r * 0.5, _STEEL, edged=False)


def car(pen: Pen, pose: str) -> None:
    """A small car with two windows; height 1, length about 2.1."""
    pen.blob(
        [
            (-0.72, -0.52),
            (-0.52, -0.88),
            (-0.3, -0.98),
            (0.12, -0.98),
            (0.34, -0.86),
            (0.6, -0.5),
            (0.2, -0.44),
            (-0.4, -0.44),
        ]
    )
    pen.poly([(-0.58, -0.55), (-0.42, -0.84), (-0.12, -0.86), (-0.12, -0.55)], _GLASS)
    pen.poly([(-0.02, -0.55), (-0.02, -0.86), (0.16, -0.85), (0.42, -0.55)], _GLASS)
    pen.blob(
        [
            (-1.02, -0.3),
            (-1.0, -0.52),
            (-0.6, -0.58),
            (0.5, -0.56),
            (0.92, -0.48),
            (1.04, -0.3),
            (1.0, -0.18),
            (-0.98, -0.18),
        ]
    )
    pen.oval(0.95, -0.38, 0.06, 0.07, (255, 240, 160))
    pen.oval(-0.98, -0.4, 0.04, 0.07, (200, 30, 30))
    pen.line([(-0.2, -0.46), (-0.08, -0.46)], 0.03, INK, edged=False)
    _wheel(pen, -0.56, -0.19, 0.19)
    _wheel(pen, 0.58, -0.19, 0.19)
    if pose == "driving":
        speed_lines(pen, -1.14, (-0.5, -0.36, -0.2), 0.26)


def bus(pen: Pen, pose: str) -> None:
    """A long box with a row of windows, a door and a word on its side."""
    pen.rect(-0.98, -1.0, 0.98, -0.16, None, round_=0.1)
    for i in range(4):
        x = -0.88 + 0.36 * i
        pen.rect(x, -0.9, x + 0.28, -0.6, _GLASS)
    pen.rect(0.6, -0.88, 0.84, -0.2, _GLASS)
    pen.line([(0.72, -0.86), (0.72, -0.2)], 0.02, INK, edged=False)
    if pen.words:
        pen.rect(-0.78, -0.55, 0.5, -0.25, PAPER)
        ratio = aspect(pen.words[0], pen.font)
        half = min(0.22 * ratio, 1.14) / 2
        pen.word(pen.words[0], (-0.14 - half, -0.4 - half / ratio, -0.14 + half, -0.4 + half / ratio), INK)
    pen.oval(0.93, -0.3, 0.05, 0.06, (255, 240, 160))
    _wheel(pen, -0.58, -0.15, 0.15)
    _wheel(pen, 0.42, -0.15, 0.15)
    if pose == "driving":
        speed_lines(pen, -1.08, (-0.6, -0.42, -0.24), 0.24)


def bicycle(pen: Pen, _pose: str) -> None:
    """Two spoked wheels and a diamond frame."""
    for x in (-0.56, 0.56):
        path = [(x + 0.4 * c, -0.42 + 0.4 * s) for c, s in _CIRCLE]
        pen.line(path, 0.075, _TYRE)
        for c, s in _CIRCLE[:6:2]:
            pen.line(
                [(x - 0.36 * c, -0.42 - 0.36 * s), (x + 0.36 * c, -0.42 + 0.36 * s)],
                0.015,
                (120, 120, 125),
                edged=False,
            )
    hub, seat, steer, rear, front = (-0.04, -0.4), (-0.2, -0.84), (0.36, -0.82), (-0.56, -0.42), (0.56, -0.42)
    for a, b in ((rear, hub), (rear, seat), (hub, steer), (seat, steer), (hub, seat), (steer, front)):
        pen.line([a, b], 0.075, pen.main)
    pen.line([seat, (-0.23, -0.93)], 0.06, pen.main)
    pen.line([(-0.36, -0.95), (-0.1, -0.95)], 0.08, INK)
    pen.line([steer, (0.32, -0.98), (0.48, -1.0)], 0.06, INK)
    pen.oval(*hub, 0.09, 0.09, _STEEL)


_CIRCLE: Final = (
    (1.0, 0.0), (0.866, 0.5), (0.5, 0.866), (0.0, 1.0), (-0.5, 0.866), (-0.866, 0.5), (-1.0, 0.0), (-0.866, -0.5),
    (-0.5, -0.866), (0.0, -1.0), (0.5, -0.866), (0.866, -0.5), (1.0, 0.0),
)  # fmt: skip


def boat(pen: Pen, pose: str) -> None:
    """A sailing boat: the hull and the flag have the colour, the sails are white or coloured by the pattern."""
    pen.line([(0.0, -0.24), (0.0, -0.98)], 0.035, _WOOD)
    pen.poly([(0.05, -0.92), (0.05, -0.32), (0.5, -0.32)], PAPER)
    pen.poly([(-0.05, -0.84), (-0.05, -0.32), (-0.42, -0.32)])
    pen.poly([(0.0, -1.0), (-0.16, -0.95), (0.0, -0.9)], pen.main)
    pen.poly([(-0.66, -0.27), (0.7, -0.27), (0.48, 0.0), (-0.46, 0.0)])
    pen.line([(-0.66, -0.27), (0.7, -0.27)], 0.045, _WOOD)
    if pose == "sailing":
        for x in (-0.5, -0.1, 0.32):
            pen.line([(x - 0.14, 0.03), (x, -0.02), (x + 0.14, 0.03)], 0.04, (225, 240, 250), smooth=True, edged=False)


def airplane(pen: Pen, _pose: str) -> None:
    """A passenger airplane from the side, nose up a little."""
    pen.poly([(-0.1, -0.5), (-0.42, -0.9), (-0.24, -0.9), (0.24, -0.52)], pen.dark)
    pen.poly([(-0.82, -0.58), (-1.06, -1.06), (-0.82, -1.06), (-0.5, -0.6)], pen.dark)
    pen.blob(
        [
            (-1.0, -0.58),
            (-0.7, -0.68),
            (0.6, -0.68),
            (0.94, -0.56),
            (1.0, -0.44),
            (0.84, -0.34),
            (0.5, -0.3),
            (-0.5, -0.36),
        ]
    )
    pen.poly([(-0.78, -0.5), (-1.1, -0.42), (-1.02, -0.36), (-0.56, -0.44)], pen.dark)
    for i in range(6):
        pen.oval(-0.5 + 0.2 * i, -0.56, 0.05, 0.055, _GLASS)
    pen.poly([(0.72, -0.64), (0.92, -0.55), (0.7, -0.52)], _GLASS)
    pen.oval(0.06, -0.2, 0.16, 0.075, _STEEL)
    pen.poly([(0.24, -0.42), (-0.12, -0.4), (-0.5, 0.04), (-0.3, 0.04)], pen.main)
    pen.turn(-8)
