"""One scene from its seed: composed, painted, described."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.captions import describe
from pipelines.scenes.difficulty import degrade, level, perspective
from pipelines.scenes.layout import Layout, Thing, compose
from pipelines.scenes.model import Relation, Scene, SceneObject, Word
from pipelines.scenes.palette import COLOURS
from pipelines.scenes.raster import (
    SUPERSAMPLE,
    Canvas,
    Matrix,
    box_corners,
    paint,
    paint_background,
    project,
    word_reads_forward,
)
from pipelines.scenes.relations import relate

MIN_SIZE, MAX_SIZE = 64, 2048


def scene(
    seed: int, size: int = 256, difficulty: str = "normal", index: int = 0, colours: Collection[str] = COLOURS
) -> Scene:
    """Scene number `index` of the set of a seed; the same arguments give the same scene, bit by bit.

    What is drawn depends on `seed`, `index` and `colours` alone: another difficulty shows the same things less well.
    Things are painted in `colours`; a kind that has none of them (the sun is yellow) keeps its own.

    Raises:
        ConfigError: there is no such difficulty.
        WeightsMissing: a font is not installed.
    """
    how = level(difficulty)
    # A generator for each concern, so that a change of one leaves the others as they were.
    content, camera, teller = (np.random.default_rng([seed, index, stream]) for stream in range(3))
    layout = compose(content, colours)
    canvas = Canvas.blank(size)
    side = float(canvas.owner.shape[0])
    view = np.diag([side, side, 1.0]) @ perspective(camera, how)
    paint_background(canvas, layout.setting.paint(content), view)
    matrices = [view @ thing.matrix() for thing in layout.things]
    totals: list[int] = []
    covered: dict[tuple[int, int], float] = {}
    for i, thing in enumerate(layout.things):
        total, hidden = paint(canvas, thing.pen, thing.pattern, matrices[i], i + 1)
        totals.append(total)
        covered |= {(i + 1, back): pixels / max(totals[back - 1], 1) for back, pixels in hidden.items()}
    pixels, owner = canvas.sample()
    objects = _objects(layout.things, owner, totals)
    relations = relate(objects, _joined(layout), covered, size)
    words = _words(layout.things, matrices, owner)
    captions = describe(layout.setting, objects, relations, words, size, teller)
    seen, quality = degrade(pixels, camera, how)
    return Scene(
        seed, index, difficulty, layout.setting.name, seen, owner, quality,
        tuple(objects), tuple(relations), tuple(words), captions,
    )  # fmt: skip


def _objects(things: list[Thing], owner: NDArray[np.uint8], totals: list[int]) -> list[SceneObject]:
    """What can be seen of each thing; one that is wholly hidden or outside is no object of the scene."""
    found = []
    for i, thing in enumerate(things):
        mask = owner == i + 1
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if not columns.size:
            continue
        x, y = int(columns[0]), int(rows[0])
        box = (x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
        area = int(mask.sum())
        found.append(
            SceneObject(
                i + 1, thing.kind, thing.colour, thing.pattern, thing.size, thing.action, thing.zone,
                box, area, round(min(area / totals[i], 1.0), 4),
            )
        )  # fmt: skip
    return found


def _joined(layout: Layout) -> list[Relation]:
    number = {id(thing): i + 1 for i, thing in enumerate(layout.things)}
    return [Relation(number[id(a)], predicate, number[id(b)]) for a, predicate, b in layout.relations]


def _words(things: list[Thing], matrices: list[Matrix], owner: NDArray[np.uint8]) -> list[Word]:
    words = []
    for i, thing in enumerate(things):
        for letters in thing.pen.letters:
            quad = project(matrices[i], box_corners(letters.box)) / SUPERSAMPLE
            if not word_reads_forward(quad):
                quad = quad[[1, 0, 3, 2]]
            height = float(np.hypot(*(quad[3] - quad[0])) + np.hypot(*(quad[2] - quad[1]))) / 2
            visible = _seen(quad, owner, i + 1)
            if visible <= 0:
                continue
            corners = tuple((round(x, 2), round(y, 2)) for x, y in quad.tolist())
            words.append(Word(letters.text, letters.font, i + 1, corners, round(height, 2), round(visible, 4)))
    return words


def _seen(quad: NDArray[np.float64], owner: NDArray[np.uint8], number: int) -> float:
    """The part of a quad that its sign shows, measured on a grid inside it; what is outside the image counts as hidden."""
    u, v = np.meshgrid((np.arange(24) + 0.5) / 24, (np.arange(8) + 0.5) / 8)
    top = quad[0] + u[..., None] * (quad[1] - quad[0])
    bottom = quad[3] + u[..., None] * (quad[2] - quad[3])
    points = np.floor(top + v[..., None] * (bottom - top)).astype(int).reshape(-1, 2)
    inside = ((points >= 0) & (points < owner.shape[0])).all(axis=1)
    return float((owner[points[inside, 1], points[inside, 0]] == number).sum() / len(points))
