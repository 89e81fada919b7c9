"""Animals of the water, each facing right. Poses are the actions that `kinds` lists."""

from typing import Final

from pipelines.scenes.animals import eye
from pipelines.scenes.palette import INK, Rgb, shade
from pipelines.scenes.pen import Pen

_FOAM: Final[Rgb] = (225, 240, 250)


def fish(pen: Pen, pose: str) -> None:
    """An oval body, a forked tail, fins and scales."""
    pen.poly([(-0.38, -0.5), (-0.86, -0.88), (-0.72, -0.5), (-0.86, -0.12)], pen.dark)
    pen.blob([(-0.2, -0.78), (0.02, -1.0), (0.3, -0.92), (0.26, -0.74)], pen.dark)
    pen.blob([(-0.04, -0.2), (0.1, 0.0), (-0.16, -0.02), (-0.2, -0.2)], pen.dark)
    pen.blob(
        [
            (-0.5, -0.5),
            (-0.28, -0.72),
            (0.14, -0.84),
            (0.56, -0.7),
            (0.74, -0.48),
            (0.56, -0.28),
            (0.14, -0.14),
            (-0.28, -0.28),
        ]
    )
    pen.line([(0.34, -0.72), (0.42, -0.5), (0.34, -0.26)], 0.03, pen.dark, smooth=True, edged=False)
    pen.poly([(0.2, -0.5), (-0.06, -0.36), (-0.04, -0.58)], pen.dark)
    pen.line([(0.6, -0.34), (0.7, -0.4)], 0.03, INK, edged=False)
    eye(pen, 0.54, -0.58, 0.08)
    if pose == "swimming":
        for x, y, r in ((0.86, -0.72, 0.05), (0.98, -0.9, 0.065), (0.9, -1.12, 0.045)):
            pen.oval(x, y, r, r, _FOAM, edged=False, solid=False)
    else:
        pen.turn(-38)
        for dx in (-0.6, -0.25, 0.1):
            pen.oval(dx - 0.2, 0.1 - abs(dx), 0.05, 0.07, _FOAM, edged=False, solid=False)


def crab(pen: Pen, pose: str) -> None:
    """Eyes on stalks, two raised claws, six legs."""
    stretch = 0.06 if pose == "walking" else 0.0
    for side in (-1, 1):
        for i, y in enumerate((-0.38, -0.28, -0.2)):
            reach = 0.62 - 0.12 * i + (stretch if (i + side) % 2 else 0)
            pen.line([(side * 0.3, y), (side * reach, y - 0.06), (side * (reach + 0.1), -0.02)], 0.06, pen.dark)
        pen.line([(side * 0.34, -0.44), (side * 0.66, -0.56), (side * 0.66, -0.72)], 0.09, pen.main)
        claw = [
            (0.56, -0.7),
            (0.46, -0.86),
            (0.5, -1.02),
            (0.62, -1.06),
            (0.64, -0.88),
            (0.72, -1.04),
            (0.86, -0.94),
            (0.84, -0.78),
        ]
        pen.poly([(side * x, y) for x, y in claw], pen.main)
        pen.line([(side * 0.13, -0.56), (side * 0.15, -0.74)], 0.05, pen.main)
        eye(pen, side * 0.15, -0.8, 0.085)
    pen.blob([(-0.48, -0.42), (-0.3, -0.6), (0.3, -0.6), (0.48, -0.42), (0.32, -0.16), (-0.32, -0.16)])
    pen.line([(-0.14, -0.3), (0, -0.25), (0.14, -0.3)], 0.03, INK, smooth=True, edged=False)


def whale(pen: Pen, pose: str) -> None:
    """A big round head, a pale belly, flukes, a spout."""
    pen.blob(
        [
            (-0.66, -0.46),
            (-0.98, -0.72),
            (-1.12, -0.98),
            (-0.9, -0.94),
            (-0.84, -0.82),
            (-0.66, -1.0),
            (-0.56, -0.9),
            (-0.62, -0.7),
        ],
        pen.dark,
    )
    pen.blob(
        [
            (-0.8, -0.6),
            (-0.5, -0.5),
            (-0.1, -0.74),
            (0.44, -0.74),
            (0.82, -0.5),
            (0.8, -0.2),
            (0.4, 0.0),
            (-0.3, -0.04),
            (-0.64, -0.24),
        ]
    )
    pen.blob(
        [(0.81, -0.26), (0.4, -0.26), (-0.1, -0.16), (-0.4, -0.1), (-0.1, -0.01), (0.4, 0.0), (0.7, -0.1)],
        shade(pen.main, 1.75),
    )
    for x in (0.1, 0.3, 0.5):
        pen.line([(x, -0.2), (x - 0.05, -0.05)], 0.018, pen.dark, edged=False)
    pen.poly([(0.1, -0.2), (-0.16, 0.1), (-0.22, -0.12)], pen.dark)
    eye(pen, 0.54, -0.42, 0.055)
    if pose == "spouting":
        pen.line([(0.3, -0.74), (0.3, -0.98)], 0.05, _FOAM)
        pen.line([(0.3, -0.96), (0.14, -1.14), (0.02, -1.0)], 0.06, _FOAM, smooth=True)
        pen.line([(0.3, -0.96), (0.46, -1.14), (0.58, -1.0)], 0.06, _FOAM, smooth=True)
        pen.lift(-0.5)  # half of it is under water
