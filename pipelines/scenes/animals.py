"""Animals, each facing right. Poses are the actions that `kinds` lists."""

from typing import Final

from pipelines.scenes.palette import INK, PAPER, Rgb
from pipelines.scenes.pen import Pen, Point

_BEAK: Final[Rgb] = (250, 160, 30)
_ROSE: Final[Rgb] = (240, 150, 160)
_FOAM: Final[Rgb] = (225, 240, 250)


def speed_lines(pen: Pen, x: float, ys: tuple[float, ...], length: float = 0.22) -> None:
    """Marks of motion behind a thing that moves to the right."""
    for i, y in enumerate(ys):
        start = x - (0.06 if i % 2 else 0.0)
        pen.line([(start - length, y), (start, y)], 0.025, (250, 250, 250), edged=False, solid=False)


def eye(pen: Pen, x: float, y: float, r: float) -> None:
    """A round eye with a glint."""
    pen.oval(x, y, r, r * 1.1, PAPER, edged=False)
    pen.oval(x + 0.15 * r, y, r * 0.68, r * 0.78, INK, edged=False)


def dog(pen: Pen, pose: str) -> None:
    """Floppy ear, long snout, collar."""
    if pose == "sitting":
        pen.line([(-0.28, -0.08), (-0.5, -0.1), (-0.6, -0.26)], 0.09, pen.dark, smooth=True)
        pen.blob(
            [(-0.34, -0.05), (-0.33, -0.3), (-0.12, -0.55), (0.02, -0.72), (0.24, -0.66), (0.26, -0.4), (0.2, -0.04)]
        )
        pen.line([(0.12, -0.42), (0.14, -0.06), (0.22, -0.05)], 0.1, pen.main)
        pen.line([(0.22, -0.45), (0.25, -0.06), (0.33, -0.05)], 0.1, pen.main)
        pen.oval(-0.12, -0.17, 0.2, 0.16, pen.main)
        pen.line([(-0.14, -0.05), (0.05, -0.05)], 0.09, pen.main)
        _dog_head(pen, 0.16, -0.8)
        return
    running = pose == "running"
    legs: tuple[tuple[Point, Point, Point], ...]
    if running:
        legs = (
            ((-0.36, -0.42), (-0.6, -0.28), (-0.78, -0.16)), ((0.26, -0.42), (0.5, -0.3), (0.66, -0.12)),
            ((-0.3, -0.4), (-0.46, -0.2), (-0.62, -0.04)), ((0.2, -0.4), (0.4, -0.18), (0.48, -0.02)),
        )  # fmt: skip
    else:
        legs = (
            ((-0.3, -0.4), (-0.3, -0.2), (-0.28, -0.05)), ((0.2, -0.4), (0.2, -0.2), (0.22, -0.05)),
            ((-0.42, -0.4), (-0.44, -0.2), (-0.42, -0.05)), ((0.32, -0.4), (0.32, -0.2), (0.34, -0.05)),
        )  # fmt: skip
    tail = (
        [(-0.46, -0.54), (-0.66, -0.62), (-0.84, -0.6)] if running else [(-0.46, -0.54), (-0.6, -0.68), (-0.62, -0.86)]
    )
    pen.line(tail, 0.08, pen.main, smooth=True)
    for leg in legs[:2]:
        pen.line(leg, 0.1, pen.dark)
    for leg in legs[2:]:
        pen.line(leg, 0.1, pen.main)
    pen.blob(
        [
            (-0.5, -0.48),
            (-0.42, -0.63),
            (0, -0.61),
            (0.3, -0.68),
            (0.44, -0.52),
            (0.34, -0.32),
            (0, -0.36),
            (-0.38, -0.32),
        ]
    )
    _dog_head(pen, 0.46, -0.78)
    if running:
        speed_lines(pen, -0.95, (-0.6, -0.45, -0.3))


def _dog_head(pen: Pen, x: float, y: float) -> None:
    collar = (40, 60, 150) if pen.main[0] > pen.main[2] else (210, 40, 40)
    pen.line([(x - 0.17, y + 0.15), (x + 0.06, y + 0.22)], 0.07, collar)
    pen.oval(x + 0.24, y + 0.05, 0.18, 0.105, pen.light)
    pen.oval(x, y, 0.21, 0.19, pen.main)
    pen.oval(x + 0.24, y + 0.055, 0.15, 0.085, pen.light, edged=False)
    pen.oval(x + 0.39, y - 0.0, 0.055, 0.045, INK, edged=False)
    pen.line([(x + 0.2, y + 0.11), (x + 0.33, y + 0.09)], 0.02, INK, edged=False)
    pen.blob(
        [(x - 0.08, y - 0.17), (x - 0.22, y - 0.13), (x - 0.27, y + 0.1), (x - 0.16, y + 0.19), (x - 0.06, y + 0.02)],
        pen.dark,
    )
    eye(pen, x + 0.09, y - 0.06, 0.045)


def cat(pen: Pen, pose: str) -> None:
    """Pointed ears, whiskers, a long tail; the face looks at the reader."""
    if pose == "sleeping":
        pen.blob([(-0.62, -0.02), (-0.66, -0.3), (-0.36, -0.52), (0.06, -0.5), (0.4, -0.3), (0.44, -0.02)])
        pen.line([(-0.58, -0.08), (-0.3, -0.06), (0.06, -0.1)], 0.11, pen.dark, smooth=True)
        _cat_head(pen, 0.36, -0.27, asleep=True)
        return
    if pose == "sitting":
        pen.line([(0.14, -0.07), (0.46, -0.08), (0.54, -0.3), (0.44, -0.46)], 0.09, pen.main, smooth=True)
        pen.blob(
            [
                (-0.28, -0.02),
                (-0.3, -0.22),
                (-0.17, -0.46),
                (-0.14, -0.62),
                (0.14, -0.62),
                (0.17, -0.46),
                (0.3, -0.22),
                (0.28, -0.02),
            ]
        )
        pen.line([(-0.07, -0.3), (-0.08, -0.05)], 0.1, pen.main)
        pen.line([(0.07, -0.3), (0.08, -0.05)], 0.1, pen.main)
        _cat_head(pen, 0.0, -0.7)
        return
    pen.line([(-0.42, -0.44), (-0.66, -0.56), (-0.64, -0.8), (-0.78, -0.92)], 0.085, pen.main, smooth=True)
    for x, fill in ((-0.26, pen.dark), (0.22, pen.dark), (-0.38, pen.main), (0.34, pen.main)):
        step = 0.07 if fill == pen.main else -0.06
        pen.line([(x, -0.32), (x + step, -0.05)], 0.095, fill)
    pen.blob(
        [
            (-0.48, -0.36),
            (-0.4, -0.52),
            (0, -0.5),
            (0.36, -0.54),
            (0.46, -0.36),
            (0.34, -0.22),
            (0, -0.26),
            (-0.38, -0.22),
        ]
    )
    _cat_head(pen, 0.46, -0.62)


def _cat_head(pen: Pen, x: float, y: float, asleep: bool = False) -> None:
    for side in (-1, 1):
        pen.poly([(x + side * 0.24, y - 0.04), (x + side * 0.22, y - 0.34), (x + side * 0.04, y - 0.19)], pen.main)
        pen.poly(
            [(x + side * 0.2, y - 0.13), (x + side * 0.19, y - 0.26), (x + side * 0.1, y - 0.19)], _ROSE, edged=False
        )
    pen.oval(x, y, 0.26, 0.215, pen.main)
    for side in (-1, 1):
        if asleep:
            pen.line(
                [(x + side * 0.16, y - 0.03), (x + side * 0.1, y), (x + side * 0.05, y - 0.03)], 0.025, INK, edged=False
            )
        else:
            pen.oval(x + side * 0.105, y - 0.04, 0.055, 0.062, (190, 225, 90), edged=False)
            pen.oval(x + side * 0.105, y - 0.04, 0.024, 0.058, INK, edged=False)
        for dy in (0.03, 0.09):
            pen.line([(x + side * 0.1, y + 0.07), (x + side * 0.36, y + dy)], 0.014, INK, edged=False)
    pen.poly([(x - 0.04, y + 0.045), (x + 0.04, y + 0.045), (x, y + 0.085)], _ROSE, edged=False)
    pen.line([(x - 0.06, y + 0.13), (x, y + 0.09), (x + 0.06, y + 0.13)], 0.02, INK, edged=False)


def horse(pen: Pen, pose: str) -> None:
    """Long neck, mane, hooves, flowing tail."""
    mane = INK if sum(pen.main) > 260 else PAPER
    if pose == "running":
        legs = (
            ((-0.3, -0.42), (-0.5, -0.3), (-0.62, -0.12)), ((0.24, -0.42), (0.46, -0.36), (0.5, -0.16)),
            ((-0.36, -0.42), (-0.46, -0.22), (-0.7, -0.06)), ((0.2, -0.42), (0.42, -0.24), (0.64, -0.2)),
        )  # fmt: skip
    else:
        legs = (
            ((-0.24, -0.4), (-0.25, -0.2), (-0.24, -0.04)), ((0.16, -0.4), (0.16, -0.2), (0.16, -0.04)),
            ((-0.36, -0.4), (-0.38, -0.2), (-0.37, -0.04)), ((0.26, -0.4), (0.27, -0.2), (0.27, -0.04)),
        )  # fmt: skip
    for i, leg in enumerate(legs):
        pen.line(leg, 0.075, pen.dark if i < 2 else pen.main)
        pen.line([leg[2], (leg[2][0] + 0.015, leg[2][1] + 0.015)], 0.09, INK)
    tail = -0.16 if pose == "running" else 0.0
    pen.blob(
        [
            (-0.42, -0.62),
            (-0.54 + tail, -0.58),
            (-0.6 + tail, -0.3 + tail),
            (-0.52 + tail, -0.24 + tail),
            (-0.46, -0.44),
        ],
        mane,
    )
    pen.blob(
        [
            (-0.47, -0.5),
            (-0.38, -0.64),
            (0, -0.6),
            (0.2, -0.64),
            (0.36, -0.5),
            (0.26, -0.35),
            (0, -0.34),
            (-0.36, -0.36),
        ]
    )
    pen.poly([(0.08, -0.58), (0.3, -0.92), (0.46, -0.86), (0.36, -0.5)], pen.main)
    pen.poly([(0.29, -0.92), (0.32, -1.04), (0.38, -0.92)], pen.main)
    pen.blob(
        [
            (0.28, -0.9),
            (0.4, -0.94),
            (0.54, -0.82),
            (0.64, -0.7),
            (0.6, -0.62),
            (0.52, -0.64),
            (0.4, -0.72),
            (0.32, -0.76),
        ],
        pen.main,
    )
    pen.blob([(0.34, -0.98), (0.24, -0.94), (0.08, -0.72), (0.04, -0.56), (0.12, -0.56), (0.22, -0.74)], mane)
    pen.oval(0.59, -0.7, 0.018, 0.018, INK, edged=False)
    eye(pen, 0.43, -0.84, 0.03)
    if pose == "running":
        speed_lines(pen, -0.86, (-0.6, -0.48, -0.36), 0.18)


def rabbit(pen: Pen, pose: str) -> None:
    """Long upright ears and a round tail."""
    if pose == "jumping":
        pen.oval(-0.46, -0.36, 0.1, 0.1, PAPER)
        pen.line([(-0.3, -0.2), (-0.5, -0.06), (-0.62, 0.06)], 0.1, pen.dark)
        pen.line([(0.24, -0.2), (0.42, -0.04)], 0.09, pen.main)
        pen.blob(
            [(-0.46, -0.28), (-0.3, -0.46), (0.1, -0.46), (0.34, -0.36), (0.26, -0.14), (-0.1, -0.12), (-0.4, -0.12)]
        )
    else:
        pen.oval(-0.36, -0.14, 0.1, 0.1, PAPER)
        pen.blob([(-0.34, -0.02), (-0.36, -0.26), (-0.14, -0.48), (0.14, -0.5), (0.28, -0.28), (0.24, -0.02)])
        pen.oval(-0.1, -0.14, 0.18, 0.13, pen.main)
        pen.line([(-0.12, -0.05), (0.06, -0.05)], 0.09, pen.main)
        pen.line([(0.18, -0.24), (0.22, -0.05), (0.28, -0.05)], 0.08, pen.main)
    x, y = (0.34, -0.46) if pose == "jumping" else (0.2, -0.54)
    for lean, fill in ((-0.16, pen.dark), (-0.02, pen.main)):
        tip = (x + lean - 0.03, y - 0.44)
        pen.blob(
            [
                (x - 0.1 + lean / 2, y - 0.1),
                (tip[0] - 0.05, tip[1] + 0.12),
                tip,
                (tip[0] + 0.07, tip[1] + 0.12),
                (x + 0.04 + lean / 2, y - 0.1),
            ],
            fill,
        )
    pen.line([(x - 0.03, y - 0.18), (x - 0.045, y - 0.36)], 0.035, _ROSE, edged=False)
    pen.oval(x, y, 0.17, 0.15, pen.main)
    pen.oval(x + 0.165, y + 0.02, 0.025, 0.025, _ROSE, edged=False)
    pen.line([(x + 0.08, y + 0.06), (x + 0.24, y + 0.03)], 0.012, INK, edged=False)
    pen.line([(x + 0.08, y + 0.07), (x + 0.23, y + 0.09)], 0.012, INK, edged=False)
    eye(pen, x + 0.06, y - 0.03, 0.038)
    if pose == "jumping":
        pen.lift(0.3)
        pen.turn(-12)


def bird(pen: Pen, pose: str) -> None:
    """A songbird: wings spread when flying, folded when it stands."""
    if pose == "flying":
        pen.blob([(0.0, -0.5), (-0.3, -0.86), (-0.52, -1.0), (-0.42, -0.72), (-0.2, -0.44)], pen.dark)
        pen.poly([(-0.36, -0.46), (-0.82, -0.5), (-0.76, -0.38), (-0.84, -0.27), (-0.34, -0.34)], pen.dark)
        pen.blob([(-0.44, -0.42), (-0.2, -0.54), (0.16, -0.56), (0.36, -0.44), (0.16, -0.26), (-0.2, -0.26)])
        pen.poly([(0.52, -0.53), (0.74, -0.46), (0.5, -0.4)], _BEAK)
        pen.oval(0.4, -0.5, 0.17, 0.155, pen.main)
        pen.blob(
            [(0.14, -0.48), (0.06, -0.8), (-0.1, -1.02), (-0.18, -0.98), (-0.26, -0.72), (-0.24, -0.4), (-0.04, -0.34)],
            pen.main,
        )
        eye(pen, 0.45, -0.53, 0.042)
        return
    pen.line([(-0.02, -0.2), (-0.02, -0.02), (0.08, -0.02)], 0.035, _BEAK)
    pen.line([(0.1, -0.2), (0.1, -0.02), (0.2, -0.02)], 0.035, _BEAK)
    pen.poly([(-0.2, -0.4), (-0.72, -0.28), (-0.68, -0.14), (-0.2, -0.22)], pen.dark)
    pen.blob([(-0.38, -0.28), (-0.2, -0.56), (0.08, -0.7), (0.34, -0.62), (0.38, -0.38), (0.18, -0.16), (-0.14, -0.15)])
    pen.poly([(0.4, -0.83), (0.64, -0.74), (0.4, -0.68)], _BEAK)
    pen.oval(0.24, -0.76, 0.21, 0.2, pen.main)
    pen.blob([(-0.42, -0.24), (-0.22, -0.48), (0.04, -0.52), (0.14, -0.38), (-0.02, -0.24)], pen.dark)
    eye(pen, 0.3, -0.8, 0.05)


def duck(pen: Pen, pose: str) -> None:
    """A flat bill, an upright neck, a boat of a body."""
    if pose == "standing":
        for x in (-0.08, 0.1):
            pen.line([(x, -0.2), (x, -0.03)], 0.05, _BEAK)
            pen.poly([(x - 0.04, -0.05), (x + 0.15, -0.03), (x + 0.13, 0.0), (x - 0.05, 0.0)], _BEAK)
    rise = 0.14 if pose == "standing" else 0.0
    pen.blob(
        [
            (-0.62, -0.46 - rise),
            (-0.46, -0.36 - rise),
            (-0.1, -0.42 - rise),
            (0.22, -0.44 - rise),
            (0.42, -0.26 - rise),
            (0.26, -0.02 - rise),
            (-0.24, -0.02 - rise),
            (-0.5, -0.18 - rise),
        ]
    )
    pen.poly(
        [(0.12, -0.34 - rise), (0.14, -0.74 - rise), (0.4, -0.74 - rise), (0.42, -0.24 - rise)], pen.main, edged=False
    )
    pen.blob(
        [(0.44, -0.72 - rise), (0.6, -0.74 - rise), (0.74, -0.7 - rise), (0.72, -0.63 - rise), (0.46, -0.62 - rise)],
        _BEAK,
    )
    pen.oval(0.3, -0.76 - rise, 0.22, 0.2, pen.main)
    pen.poly(
        [(0.14, -0.4 - rise), (0.17, -0.65 - rise), (0.38, -0.65 - rise), (0.38, -0.3 - rise)], pen.main, edged=False
    )
    pen.blob(
        [(-0.42, -0.3 - rise), (-0.1, -0.36 - rise), (0.12, -0.28 - rise), (0.0, -0.12 - rise), (-0.26, -0.14 - rise)],
        pen.dark,
    )
    eye(pen, 0.36, -0.8 - rise, 0.045)
    if pose == "swimming":
        for x in (-0.66, 0.0, 0.5):
            pen.line([(x - 0.14, 0.02), (x, -0.02), (x + 0.14, 0.02)], 0.04, _FOAM, smooth=True, edged=False)


def butterfly(pen: Pen, pose: str) -> None:
    """Four wings about a slim body, seen from above."""
    for side in (-1, 1):
        pen.blob(
            [(side * 0.04, -0.42), (side * 0.4, -0.4), (side * 0.5, -0.16), (side * 0.32, 0.0), (side * 0.1, -0.2)],
            pen.dark,
        )
        pen.blob(
            [
                (side * 0.03, -0.56),
                (side * 0.3, -0.96),
                (side * 0.62, -0.98),
                (side * 0.66, -0.66),
                (side * 0.42, -0.42),
                (side * 0.08, -0.4),
            ]
        )
        pen.oval(side * 0.3, -0.22, 0.07, 0.07, pen.light, edged=False)
        pen.line([(side * 0.02, -0.72), (side * 0.1, -0.94), (side * 0.18, -1.0)], 0.025, INK, smooth=True, edged=False)
    pen.oval(0, -0.46, 0.055, 0.3, INK)
    pen.turn(16 if pose == "flying" else 0)
