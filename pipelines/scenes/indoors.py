"""Things of a room."""

from typing import Final

from pipelines.scenes.palette import INK, PAPER, Rgb, shade
from pipelines.scenes.pen import Pen

_WOOD: Final[Rgb] = (140, 95, 60)
_GLOW: Final[Rgb] = (255, 240, 160)


def chair(pen: Pen, _pose: str) -> None:
    """A wooden chair from the side and above: back, seat, four legs."""
    pen.line([(-0.22, -0.46), (-0.22, -0.03)], 0.07, pen.dark)
    pen.line([(0.32, -0.5), (0.32, -0.1)], 0.07, pen.dark)
    pen.line([(-0.32, -0.98), (-0.3, -0.44), (-0.34, -0.02)], 0.08, pen.main)
    pen.line([(-0.1, -1.02), (-0.1, -0.5)], 0.07, pen.main)
    for y in (-0.92, -0.74):
        pen.poly([(-0.34, y - 0.03), (-0.09, y - 0.07), (-0.09, y + 0.05), (-0.34, y + 0.09)])
    pen.poly([(-0.34, -0.42), (-0.12, -0.54), (0.38, -0.54), (0.26, -0.42)])
    pen.poly([(-0.34, -0.42), (0.26, -0.42), (0.26, -0.35), (-0.34, -0.35)], pen.dark)
    pen.line([(0.22, -0.38), (0.22, -0.02)], 0.08, pen.main)
    pen.anchors["top"] = (0.06, -0.46)


def table(pen: Pen, _pose: str) -> None:
    """A table with a cloth over its top and four legs."""
    for x in (-0.62, 0.62):
        pen.line([(x, -0.7), (x, -0.16)], 0.08, shade(_WOOD, 0.7))
    for x in (-0.84, 0.84):
        pen.line([(x, -0.7), (x, -0.04)], 0.09, _WOOD)
    pen.poly([(-0.78, -1.0), (0.78, -1.0), (0.98, -0.78), (-0.98, -0.78)])
    pen.poly([(-0.98, -0.78), (0.98, -0.78), (0.98, -0.58), (-0.98, -0.58)], pen.dark)
    pen.anchors["top"] = (0.0, -0.88)


def lamp(pen: Pen, _pose: str) -> None:
    """A table lamp with a shade."""
    pen.oval(0.0, -0.05, 0.2, 0.055, _WOOD)
    pen.blob(
        [(-0.06, -0.06), (-0.13, -0.22), (-0.04, -0.42), (0.04, -0.42), (0.13, -0.22), (0.06, -0.06)], (190, 150, 100)
    )
    pen.oval(0.0, -0.47, 0.1, 0.06, _GLOW)
    pen.poly([(-0.18, -1.0), (0.18, -1.0), (0.36, -0.46), (-0.36, -0.46)])


def cup(pen: Pen, _pose: str) -> None:
    """A mug with a handle and a dark drink in it."""
    pen.line([(0.34, -0.72), (0.62, -0.66), (0.6, -0.34), (0.32, -0.26)], 0.11, pen.main, smooth=True)
    pen.poly([(-0.42, -0.88), (0.42, -0.88), (0.34, -0.08), (0.24, 0.0), (-0.24, 0.0), (-0.34, -0.08)])
    pen.oval(0.0, -0.88, 0.42, 0.12, pen.light)
    pen.oval(0.0, -0.87, 0.34, 0.08, (95, 60, 40), edged=False)
    pen.anchors["grip"] = (-0.4, -0.45)


def clock(pen: Pen, _pose: str) -> None:
    """A wall clock: a coloured rim, a white face, hour marks and two hands."""
    pen.oval(0.0, -0.5, 0.5, 0.5)
    pen.oval(0.0, -0.5, 0.37, 0.37, PAPER)
    for c, s in (
        (1, 0),
        (0.5, 0.866),
        (-0.5, 0.866),
        (-1, 0),
        (-0.5, -0.866),
        (0.5, -0.866),
        (0, 1),
        (0, -1),
        (0.866, 0.5),
        (-0.866, 0.5),
        (-0.866, -0.5),
        (0.866, -0.5),
    ):
        pen.line([(0.27 * c, -0.5 + 0.27 * s), (0.32 * c, -0.5 + 0.32 * s)], 0.03, INK, edged=False)
    hour = ((0.14, 0.08), (-0.12, 0.1), (-0.16, -0.04), (0.1, -0.12))[pen.variety % 4]
    pen.line([(0.0, -0.5), (hour[0], -0.5 + hour[1])], 0.055, INK, edged=False)
    pen.line([(0.0, -0.5), (0.02, -0.77)], 0.035, INK, edged=False)
    pen.oval(0.0, -0.5, 0.035, 0.035, INK, edged=False)


def book(pen: Pen, _pose: str) -> None:
    """A closed book standing at an angle: cover, spine, pages."""
    pen.poly([(-0.36, -0.96), (0.4, -1.0), (0.46, -0.06), (-0.3, 0.0)], PAPER)
    for x in (0.36, 0.4):
        pen.line([(x, -0.96), (x + 0.05, -0.08)], 0.012, (170, 165, 150), edged=False)
    pen.poly([(-0.4, -0.96), (0.3, -0.92), (0.34, 0.0), (-0.34, 0.0)])
    pen.poly([(-0.4, -0.96), (-0.28, -0.95), (-0.22, 0.0), (-0.34, 0.0)], pen.dark)
    pen.poly([(-0.12, -0.76), (0.2, -0.74), (0.21, -0.54), (-0.11, -0.56)], PAPER)
    pen.line([(-0.04, -0.65), (0.13, -0.64)], 0.03, INK, edged=False)
    pen.anchors["grip"] = (-0.3, -0.4)


def apple(pen: Pen, _pose: str) -> None:
    """An apple with a stalk and a leaf."""
    pen.blob(
        [
            (0.0, -0.76),
            (0.22, -0.84),
            (0.44, -0.7),
            (0.48, -0.4),
            (0.32, -0.08),
            (0.1, -0.0),
            (0.0, -0.04),
            (-0.1, 0.0),
            (-0.32, -0.08),
            (-0.48, -0.4),
            (-0.44, -0.7),
            (-0.22, -0.84),
        ]
    )
    pen.line([(0.0, -0.74), (0.03, -0.88), (0.08, -0.98)], 0.055, (95, 65, 40), smooth=True)
    pen.blob([(0.06, -0.86), (0.22, -1.0), (0.42, -0.96), (0.26, -0.84)], (90, 170, 70))
    pen.oval(-0.24, -0.56, 0.06, 0.12, pen.light, edged=False, turn=20)


def gift(pen: Pen, _pose: str) -> None:
    """A wrapped box with a ribbon and a bow."""
    ribbon = PAPER if min(pen.main) < 170 else (210, 40, 50)
    pen.rect(-0.42, -0.6, 0.42, 0.0)
    pen.rect(-0.48, -0.74, 0.48, -0.54)
    pen.rect(-0.09, -0.74, 0.09, 0.0, ribbon)
    for side in (-1, 1):
        pen.blob([(0.0, -0.74), (side * 0.16, -0.98), (side * 0.36, -0.96), (side * 0.32, -0.78)], ribbon)
    pen.oval(0.0, -0.78, 0.08, 0.07, ribbon)
