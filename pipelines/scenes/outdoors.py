"""Things that stand outdoors: buildings, plants, street furniture, toys."""

from typing import Final

from pipelines.scenes.animals import speed_lines
from pipelines.scenes.lettering import aspect
from pipelines.scenes.palette import INK, PAPER, Rgb, edge, shade
from pipelines.scenes.pen import Pen

_GLASS: Final[Rgb] = (190, 228, 245)
_WOOD: Final[Rgb] = (140, 95, 60)
_LEAF: Final[Rgb] = (70, 150, 65)
_ROOFS: Final[tuple[Rgb, ...]] = ((150, 75, 55), (95, 95, 110), (120, 60, 45), (70, 90, 105))


def house(pen: Pen, _pose: str) -> None:
    """Walls of the colour, a pitched roof, a door, two windows, a chimney."""
    roof = _ROOFS[pen.variety % len(_ROOFS)]
    pen.rect(0.2, -0.98, 0.34, -0.7, shade(roof, 0.8))
    pen.rect(-0.44, -0.6, 0.44, 0.0)
    pen.poly([(-0.56, -0.58), (-0.02, -1.0), (0.56, -0.58)], roof)
    pen.rect(-0.1, -0.34, 0.12, 0.0, _WOOD)
    pen.oval(0.075, -0.16, 0.02, 0.02, (245, 215, 80), edged=False)
    for x in (-0.36, 0.19):
        pen.rect(x, -0.48, x + 0.18, -0.28, _GLASS)
        pen.line([(x + 0.09, -0.48), (x + 0.09, -0.28)], 0.016, PAPER, edged=False)
        pen.line([(x, -0.38), (x + 0.18, -0.38)], 0.016, PAPER, edged=False)
    pen.oval(0.0, -0.72, 0.065, 0.065, _GLASS)
    pen.anchors["top"] = (-0.3, -0.78)


def tree(pen: Pen, _pose: str) -> None:
    """A trunk under a round crown, or a fir of three tiers; the leaves have the colour."""
    pen.poly([(-0.07, 0.0), (-0.05, -0.45), (0.05, -0.45), (0.07, 0.0)], _WOOD)
    if pen.variety % 3 == 0:
        for top, bottom, half in ((-0.6, -0.16, 0.38), (-0.82, -0.4, 0.31), (-1.0, -0.64, 0.22)):
            pen.poly([(0.0, top), (half, bottom), (-half, bottom)])
    else:
        crown = [
            (-0.36, -0.38),
            (-0.42, -0.6),
            (-0.3, -0.78),
            (-0.2, -0.96),
            (0.06, -1.0),
            (0.26, -0.9),
            (0.4, -0.7),
            (0.4, -0.46),
            (0.2, -0.34),
            (0.0, -0.38),
            (-0.18, -0.32),
        ]
        pen.blob(crown)
        for x, y in ((-0.2, -0.62), (0.1, -0.78), (0.22, -0.54)):
            pen.line([(x - 0.08, y), (x, y + 0.05), (x + 0.08, y)], 0.02, pen.dark, smooth=True, edged=False)


def flower(pen: Pen, _pose: str) -> None:
    """Six petals about a heart, a stem, two leaves."""
    pen.line([(0.0, -0.02), (0.02, -0.3), (0.0, -0.6)], 0.055, _LEAF, smooth=True)
    pen.blob([(0.0, -0.12), (0.18, -0.34), (0.36, -0.36), (0.24, -0.16)], _LEAF)
    pen.blob([(0.0, -0.08), (-0.18, -0.28), (-0.36, -0.28), (-0.22, -0.1)], _LEAF)
    for dx, dy in ((0.2, 0.0), (0.1, 0.17), (-0.1, 0.17), (-0.2, 0.0), (-0.1, -0.17), (0.1, -0.17)):
        pen.oval(dx, -0.7 + dy, 0.14, 0.14)
    heart = (250, 205, 60) if pen.main != (250, 215, 50) else (150, 90, 40)
    pen.oval(0.0, -0.7, 0.115, 0.115, heart)
    pen.anchors["grip"] = (0.01, -0.16)


def mushroom(pen: Pen, _pose: str) -> None:
    """A domed cap with spots on a pale stem."""
    pen.blob([(-0.16, -0.02), (-0.12, -0.3), (-0.14, -0.5), (0.14, -0.5), (0.12, -0.3), (0.17, -0.02)], (245, 235, 215))
    pen.blob(
        [
            (-0.54, -0.44),
            (-0.44, -0.74),
            (-0.18, -0.96),
            (0.18, -0.96),
            (0.44, -0.74),
            (0.54, -0.44),
            (0.2, -0.38),
            (-0.2, -0.38),
        ]
    )
    spots = shade(pen.main, 0.6) if min(pen.main) > 120 else PAPER
    for x, y, r in ((-0.24, -0.62, 0.09), (0.06, -0.8, 0.1), (0.28, -0.58, 0.08), (0.0, -0.52, 0.06)):
        pen.oval(x, y, r, r * 0.85, spots, edged=False)


def bench(pen: Pen, _pose: str) -> None:
    """Slats of a seat and of a back on iron legs."""
    for x in (-0.7, 0.7):
        pen.line([(x, -0.02), (x, -0.98)], 0.07, INK)
        pen.line([(x, -0.46), (x * 0.9, -0.02)], 0.07, INK)
    for y in (-0.92, -0.7):
        pen.rect(-0.9, y - 0.06, 0.9, y + 0.08)
    pen.poly([(-0.92, -0.5), (0.92, -0.5), (1.0, -0.34), (-1.0, -0.34)])
    pen.anchors["top"] = (0.0, -0.42)


def sign(pen: Pen, _pose: str) -> None:
    """A board with printed words on a post; the board's frame and the post have the colour."""
    rows = [(word, aspect(word, pen.font)) for word in pen.words]
    height = 0.62 / max(len(rows), 1)
    ink = min(0.5 * height + 0.08, 0.3)
    half = max(max((ratio for _, ratio in rows), default=2.0) * ink / 2 + 0.1, 0.36)
    pen.rect(-0.05, -0.5, 0.05, 0.0, _WOOD)
    pen.rect(-half - 0.09, -1.03, half + 0.09, -0.29, None, round_=0.06)
    pen.rect(-half, -0.94, half, -0.38, PAPER)
    for i, (word, ratio) in enumerate(rows):
        y = -0.66 + (i - (len(rows) - 1) / 2) * (ink + 0.07)
        pen.word(word, (-ink * ratio / 2, y - ink / 2, ink * ratio / 2, y + ink / 2), INK)


def ball(pen: Pen, pose: str) -> None:
    """A beach ball: panels that meet at a pole."""
    pen.oval(0.0, -0.5, 0.5, 0.5)
    turn = 30 if pose == "rolling" else -20
    light = PAPER if sum(pen.main) < 690 else shade(pen.main, 0.7)
    if not pen.patterned:
        pen.blob([(0.02, -0.62), (-0.12, -0.96), (0.14, -0.98), (0.34, -0.84)], light, edged=False)
        pen.blob([(0.0, -0.6), (0.3, -0.24), (0.12, -0.04), (-0.12, -0.04)], light, edged=False)
        pen.blob([(0.0, -0.62), (-0.36, -0.2), (-0.48, -0.4), (-0.46, -0.66)], light, edged=False)
        pen.oval(0.01, -0.62, 0.06, 0.06, PAPER)
    pen.line([(0.5 * c, -0.5 + 0.5 * s) for c, s in _RING], 0.03, edge(pen.main), edged=False)
    pen.turn(turn)
    pen.anchors["grip"] = (-0.45, -0.5)
    if pose == "rolling":
        speed_lines(pen, -0.62, (-0.75, -0.5, -0.25), 0.35)
    elif pose == "bouncing":
        pen.lift(0.45)
        for x in (-0.3, 0.0, 0.3):
            pen.line([(x, -0.06), (x, -0.3)], 0.035, PAPER, edged=False, solid=False)


_RING: Final = (
    (1.0, 0.0), (0.966, 0.259), (0.866, 0.5), (0.707, 0.707), (0.5, 0.866), (0.259, 0.966), (0.0, 1.0), (-0.259, 0.966),
    (-0.5, 0.866), (-0.707, 0.707), (-0.866, 0.5), (-0.966, 0.259), (-1.0, 0.0), (-0.966, -0.259), (-0.866, -0.5),
    (-0.707, -0.707), (-0.5, -0.866), (-0.259, -0.966), (0.0, -1.0), (0.259, -0.966), (0.5, -0.866), (0.707, -0.707),
    (0.866, -0.5), (0.966, -0.259), (1.0, 0.0),
)  # fmt: skip


def umbrella(pen: Pen, _pose: str) -> None:
    """An open umbrella with a scalloped rim and a crooked handle."""
    pen.line([(0.0, -0.6), (0.0, -0.1), (0.06, -0.03), (0.13, -0.1)], 0.045, _WOOD)
    pen.line([(0.0, -0.94), (0.0, -1.0)], 0.04, INK)
    rim = [(-0.62, -0.5), (-0.42, -0.57), (-0.2, -0.5), (0.0, -0.57), (0.2, -0.5), (0.42, -0.57), (0.62, -0.5)]
    dome = [(0.55, -0.7), (0.36, -0.86), (0.0, -0.95), (-0.36, -0.86), (-0.55, -0.7)]
    pen.poly(rim + dome)
    for x in (-0.2, 0.2):
        pen.line([(0.0, -0.94), (x * 0.8, -0.75), (x, -0.5)], 0.02, pen.dark, smooth=True, edged=False)
    pen.anchors["grip"] = (0.0, -0.2)


def lamppost(pen: Pen, _pose: str) -> None:
    """A street lamp on a tall post."""
    pen.rect(-0.09, -0.06, 0.09, 0.0, pen.dark)
    pen.rect(-0.028, -0.8, 0.028, -0.05, pen.main)
    pen.poly([(-0.1, -0.95), (0.1, -0.95), (0.07, -0.78), (-0.07, -0.78)], (255, 240, 150))
    pen.poly([(-0.13, -0.94), (0.0, -1.0), (0.13, -0.94)], pen.main)
