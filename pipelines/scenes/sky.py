"""Things of the sky."""

import math
from typing import Final

from pipelines.scenes.palette import INK, PAPER, Rgb, shade
from pipelines.scenes.pen import Pen

_STRING: Final[Rgb] = (90, 80, 80)


def sun(pen: Pen, _pose: str) -> None:
    """A disc with rays and a face."""
    for i in range(10):
        a = math.radians(36 * i)
        b, c = a - 0.17, a + 0.17
        pen.poly(
            [
                (0.34 * math.cos(b), -0.5 + 0.34 * math.sin(b)),
                (0.5 * math.cos(a), -0.5 + 0.5 * math.sin(a)),
                (0.34 * math.cos(c), -0.5 + 0.34 * math.sin(c)),
            ],
            (250, 165, 45),
        )
    pen.oval(0.0, -0.5, 0.33, 0.33)
    for x in (-0.11, 0.11):
        pen.oval(x, -0.56, 0.035, 0.045, INK, edged=False)
    pen.line([(-0.13, -0.42), (0.0, -0.35), (0.13, -0.42)], 0.035, INK, smooth=True, edged=False)


def moon(pen: Pen, _pose: str) -> None:
    """A crescent."""
    outer = [
        (0.5 * math.cos(math.radians(a)) - 0.06, -0.5 + 0.5 * math.sin(math.radians(a))) for a in range(40, 321, 14)
    ]
    inner = [
        (0.4 * math.cos(math.radians(a)) + 0.12, -0.5 + 0.41 * math.sin(math.radians(a))) for a in range(300, 59, -15)
    ]
    pen.poly(outer + inner)
    pen.oval(-0.36, -0.62, 0.05, 0.05, pen.dark, edged=False)
    pen.oval(-0.3, -0.3, 0.06, 0.06, pen.dark, edged=False)


def star(pen: Pen, _pose: str) -> None:
    """Five points."""
    points = []
    for i in range(10):
        r = 0.5 if i % 2 == 0 else 0.22
        a = math.radians(36 * i - 90)
        points.append((r * math.cos(a), -0.48 + r * math.sin(a)))
    pen.poly(points)


def cloud(pen: Pen, _pose: str) -> None:
    """A flat-bottomed heap of puffs."""
    pen.blob(
        [
            (-0.8, -0.08),
            (-0.98, -0.32),
            (-0.78, -0.56),
            (-0.52, -0.56),
            (-0.36, -0.9),
            (0.02, -1.0),
            (0.32, -0.78),
            (0.56, -0.78),
            (0.76, -0.54),
            (0.98, -0.34),
            (0.84, -0.06),
            (0.4, 0.0),
            (-0.4, 0.0),
        ]
    )
    pen.line([(-0.34, -0.5), (-0.12, -0.62), (0.06, -0.52)], 0.05, shade(pen.main, 0.88), smooth=True, edged=False)
    pen.line([(0.3, -0.4), (0.46, -0.48), (0.6, -0.38)], 0.05, shade(pen.main, 0.88), smooth=True, edged=False)


def kite(pen: Pen, _pose: str) -> None:
    """A diamond with a cross of sticks and a tail of bows."""
    path = [(-0.02, -0.42), (-0.14, -0.3), (-0.02, -0.18), (-0.16, -0.08), (-0.06, 0.0)]
    pen.line(path, 0.022, _STRING, smooth=True, edged=False)
    for x, y in ((-0.13, -0.29), (-0.03, -0.18), (-0.15, -0.08)):
        pen.poly([(x, y), (x - 0.09, y - 0.05), (x - 0.09, y + 0.05)], pen.dark)
        pen.poly([(x, y), (x + 0.09, y - 0.05), (x + 0.09, y + 0.05)], pen.dark)
    pen.poly([(0.0, -1.0), (0.3, -0.76), (-0.02, -0.4), (-0.3, -0.76)])
    pen.line([(0.0, -1.0), (-0.02, -0.4)], 0.022, PAPER if sum(pen.main) < 620 else _STRING, edged=False)
    pen.line([(-0.3, -0.76), (0.3, -0.76)], 0.022, PAPER if sum(pen.main) < 620 else _STRING, edged=False)
    pen.anchors["grip"] = (-0.02, -0.5)
    pen.turn(18)


def balloon(pen: Pen, _pose: str) -> None:
    """A toy balloon with a knot, a glint and a string."""
    pen.line([(0.0, -0.42), (0.05, -0.28), (-0.04, -0.14), (0.02, 0.0)], 0.024, _STRING, smooth=True, edged=False)
    pen.poly([(0.0, -0.46), (0.07, -0.38), (-0.07, -0.38)], pen.dark)
    pen.blob(
        [(0.0, -0.44), (-0.24, -0.62), (-0.28, -0.84), (-0.12, -0.99), (0.12, -0.99), (0.28, -0.84), (0.24, -0.62)]
    )
    pen.oval(-0.11, -0.85, 0.045, 0.075, pen.light, edged=False, turn=25)
    pen.anchors["grip"] = (0.01, -0.03)
