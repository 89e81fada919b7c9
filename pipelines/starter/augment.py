"""What all trainings do to a scene before they show it."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.palette import COLOURS
from pipelines.starter.scenes import SIZE, Example


def zoom(rng: np.random.Generator, least: float, most: float) -> NDArray[np.float64]:
    """An affine matrix (2, 3) that scales by `least`..`most` and moves, so that the frame stays filled if it can."""
    scale = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    room = SIZE - SIZE * scale  # below 0 when the picture is larger than the frame
    x, y = (rng.uniform(min(room, 0.0), max(room, 0.0)) for _ in range(2))
    return np.array([[scale, 0, x], [0, scale, y]], np.float64)


def moved(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left in the picture of boxes (n, 4) that an affine matrix (2, 3) without rotation moves."""
    return np.clip(boxes * np.tile(matrix.diagonal(), 2) + np.tile(matrix[:, 2], 2), 0, SIZE)


def relight(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another contrast and brightness, within a tenth; hues stay, for colours are part of the truth."""
    gain, offset = rng.uniform(0.9, 1.1), rng.uniform(-13, 13)
    table = np.clip((np.arange(256) - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    return np.asarray(table[image], np.uint8)


# Moves a scene out of the picture.
AWAY: Final[NDArray[np.float64]] = np.array([[1.0, 0, 2 * SIZE], [0, 1, 0]])


def plain(rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """A picture of one colour, about one that has a name, and that name: there are pictures without things."""
    name = str(rng.choice(list(COLOURS)))
    colour = np.clip(np.array(COLOURS[name]) + rng.integers(-20, 36, 3), 0, 255).astype(np.uint8)
    return np.full((SIZE, SIZE, 3), colour, np.uint8), name


def cut_out(example: Example, index: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Object number `index` with a little around it, stretched to the square, and the affine matrix that does it.

    From 2 percent less to a tenth more than the box on each side, for a detector's boxes are not exact.
    """
    box = example.boxes()[index]
    sides = np.repeat(box[2:] - box[:2], 2)
    left, right, top, bottom = (-1, 1, -1, 1) * rng.uniform(-0.02, 0.1, 4) * sides
    x0, x1, y0, y1 = box[0] + left, box[2] + right, box[1] + top, box[3] + bottom
    a, b = SIZE / (x1 - x0), SIZE / (y1 - y0)
    matrix = np.array([[a, 0, -a * x0], [0, b, -b * y0]], np.float64)
    image = cv2.warpAffine(example.pixels(), matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(image, np.uint8), matrix
