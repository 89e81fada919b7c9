"""People: round heads, coloured shirts, arms and legs posed by their joints."""

from dataclasses import dataclass
from typing import Final

from pipelines.scenes.animals import speed_lines
from pipelines.scenes.palette import HAIR, INK, SKIN, TROUSERS
from pipelines.scenes.pen import Pen, Point

Limb = tuple[Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Pose:
    """Joints in the person's units: each limb from the trunk outwards; `lean` moves head and shoulders forward."""

    far_arm: Limb
    near_arm: Limb
    far_leg: Limb
    near_leg: Limb
    lean: float = 0.0
    drop: float = 0.0  # how much lower than standing the trunk is


_SHOULDER: Final = -0.66
_HIP: Final = -0.38
POSES: Final[dict[str, Pose]] = {
    "standing": Pose(
        ((-0.12, -0.64), (-0.2, -0.5), (-0.2, -0.36)), ((0.12, -0.64), (0.2, -0.5), (0.2, -0.36)),
        ((-0.065, -0.36), (-0.07, -0.18), (-0.075, -0.04)), ((0.065, -0.36), (0.07, -0.18), (0.075, -0.04)),
    ),
    "running": Pose(
        ((0.0, -0.64), (-0.18, -0.56), (-0.26, -0.44)), ((0.1, -0.64), (0.2, -0.5), (0.34, -0.58)),
        ((-0.03, -0.36), (-0.16, -0.22), (-0.36, -0.2)), ((0.04, -0.36), (0.22, -0.26), (0.24, -0.05)),
        lean=0.08,
    ),
    "walking": Pose(
        ((-0.04, -0.64), (-0.16, -0.52), (-0.2, -0.4)), ((0.06, -0.64), (0.16, -0.52), (0.24, -0.42)),
        ((-0.03, -0.36), (-0.1, -0.2), (-0.2, -0.05)), ((0.03, -0.36), (0.12, -0.2), (0.16, -0.04)),
        lean=0.02,
    ),
    "waving": Pose(
        ((-0.12, -0.64), (-0.2, -0.5), (-0.2, -0.36)), ((0.12, -0.64), (0.27, -0.7), (0.3, -0.88)),
        ((-0.065, -0.36), (-0.07, -0.18), (-0.075, -0.04)), ((0.065, -0.36), (0.07, -0.18), (0.075, -0.04)),
    ),
    "jumping": Pose(
        ((-0.12, -0.64), (-0.26, -0.74), (-0.32, -0.9)), ((0.12, -0.64), (0.26, -0.74), (0.32, -0.9)),
        ((-0.06, -0.36), (-0.2, -0.28), (-0.26, -0.12)), ((0.06, -0.36), (0.2, -0.28), (0.26, -0.12)),
    ),
    "sitting": Pose(
        ((-0.1, -0.64), (-0.12, -0.5), (0.04, -0.42)), ((0.1, -0.64), (0.12, -0.5), (0.24, -0.44)),
        ((0.0, -0.37), (0.26, -0.36), (0.28, -0.12)), ((0.04, -0.35), (0.3, -0.34), (0.32, -0.08)),
    ),
    "holding": Pose(
        ((-0.12, -0.64), (-0.2, -0.5), (-0.2, -0.36)), ((0.12, -0.64), (0.22, -0.54), (0.34, -0.6)),
        ((-0.065, -0.36), (-0.07, -0.18), (-0.075, -0.04)), ((0.065, -0.36), (0.07, -0.18), (0.075, -0.04)),
    ),
}  # fmt: skip


def person(pen: Pen, pose: str) -> None:
    """A person; the shirt has the colour. Where things are held is the anchor `hand`."""
    joints = POSES[pose]
    skin = SKIN[pen.variety % len(SKIN)]
    trousers = TROUSERS[(pen.variety // 4) % len(TROUSERS)]
    _arm(pen, joints.far_arm, pen.dark, skin)
    _leg(pen, joints.far_leg, trousers)
    _leg(pen, joints.near_leg, trousers)
    lean = joints.lean
    pen.oval(0.0, _HIP + 0.02, 0.115, 0.06, trousers)
    pen.blob(
        [
            (-0.11, _HIP),
            (-0.115, -0.5),
            (-0.145 + lean, _SHOULDER + 0.01),
            (-0.05 + lean, -0.71),
            (0.05 + lean, -0.71),
            (0.145 + lean, _SHOULDER + 0.01),
            (0.115, -0.5),
            (0.11, _HIP),
        ]
    )
    _arm(pen, joints.near_arm, pen.main, skin)
    _head(pen, 0.01 + 1.3 * lean, -0.845)
    pen.anchors["hand"] = joints.near_arm[2]
    pen.anchors["seat"] = (0.02, -0.33)
    if pose == "jumping":
        pen.lift(0.14)
        for x in (-0.2, 0.0, 0.2):
            pen.line([(x, -0.02), (x, -0.1)], 0.02, (250, 250, 250), edged=False, solid=False)
    if pose == "running":
        speed_lines(pen, -0.42, (-0.62, -0.46, -0.34), 0.14)


def _arm(pen: Pen, limb: Limb, sleeve: tuple[int, int, int], skin: tuple[int, int, int]) -> None:
    pen.line(limb, 0.068, skin)
    pen.oval(*limb[2], 0.042, 0.042, skin)
    (x0, y0), (x1, y1), _ = limb
    pen.line([(x0, y0), (x0 + 0.8 * (x1 - x0), y0 + 0.8 * (y1 - y0))], 0.085, sleeve)


def _leg(pen: Pen, limb: Limb, trousers: tuple[int, int, int]) -> None:
    pen.line(limb, 0.095, trousers)
    x, y = limb[2]
    pen.line([(x, y + 0.015), (x + 0.06, y + 0.015)], 0.06, INK)


def _head(pen: Pen, x: float, y: float) -> None:
    skin = SKIN[pen.variety % len(SKIN)]
    hair = HAIR[pen.variety % len(HAIR)]
    long_hair = pen.variety % 2 == 1
    pen.line([(x - 0.01, y + 0.1), (x - 0.01, y + 0.17)], 0.07, skin)
    if long_hair:
        pen.blob(
            [
                (x - 0.13, y - 0.08),
                (x, y - 0.16),
                (x + 0.12, y - 0.06),
                (x + 0.1, y + 0.12),
                (x - 0.02, y + 0.04),
                (x - 0.15, y + 0.15),
            ],
            hair,
        )
    pen.oval(x, y, 0.125, 0.135, skin)
    pen.blob(
        [
            (x - 0.135, y + 0.0),
            (x - 0.12, y - 0.12),
            (x, y - 0.165),
            (x + 0.12, y - 0.11),
            (x + 0.12, y - 0.05),
            (x + 0.02, y - 0.07),
            (x - 0.08, y - 0.04),
        ],
        hair,
    )
    for dx in (-0.01, 0.08):
        pen.oval(x + dx, y + 0.0, 0.016, 0.021, INK, edged=False)
    pen.line(
        [(x - 0.01, y + 0.06), (x + 0.04, y + 0.075), (x + 0.085, y + 0.055)],
        0.016,
        (150, 40, 40),
        smooth=True,
        edged=False,
    )


def snowman(pen: Pen, _pose: str) -> None:
    """Three balls of snow, a carrot, a hat and a scarf (which has the colour)."""
    snow = (244, 248, 252)
    pen.line([(-0.2, -0.5), (-0.42, -0.64)], 0.03, (100, 65, 40))
    pen.line([(0.2, -0.5), (0.44, -0.66)], 0.03, (100, 65, 40))
    pen.oval(0, -0.2, 0.28, 0.22, snow)
    pen.oval(0, -0.49, 0.21, 0.18, snow)
    pen.oval(0, -0.74, 0.155, 0.145, snow)
    pen.line([(-0.13, -0.62), (0, -0.595), (0.13, -0.62)], 0.08, pen.main, smooth=True)
    pen.poly([(0.06, -0.62), (0.15, -0.6), (0.17, -0.38), (0.08, -0.38)])
    pen.poly([(-0.19, -0.86), (0.19, -0.86), (0.19, -0.83), (-0.19, -0.83)], INK)
    pen.poly([(-0.12, -0.86), (-0.11, -1.0), (0.11, -1.0), (0.12, -0.86)])
    for dx in (-0.05, 0.06):
        pen.oval(dx, -0.77, 0.02, 0.022, INK, edged=False)
    pen.poly([(0.0, -0.75), (0.2, -0.715), (0.0, -0.7)], (245, 130, 30))
    for y in (-0.52, -0.44, -0.28, -0.18):
        pen.oval(-0.01, y, 0.02, 0.02, INK, edged=False)
