"""From recorded shapes to pixels: a supersampled canvas with a map of which thing owns each pixel."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scenes.lettering import glyphs
from pipelines.scenes.palette import Rgb, contrast, edge
from pipelines.scenes.pen import Lettering, Pen, Points, Shape

SUPERSAMPLE: Final = 4  # canvas pixels a side for each pixel of the image
_SHIFT: Final = 4  # fractional bits of the coordinates that cv2 receives
_REACH: Final = 3  # canvases; shapes farther away than this are cut, so that memory stays bounded
Matrix = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class Canvas:
    """`pixels` (s, s, 3) RGB and `owner` (s, s): 0 for the background, else 1 + the number of the thing in front."""

    pixels: Pixels
    owner: NDArray[np.uint8]
    ink: float  # width of outlines in canvas pixels

    @classmethod
    def blank(cls, size: int) -> "Canvas":
        """An empty canvas for an image of `size` pixels a side."""
        side = size * SUPERSAMPLE
        # Outlines of 0.9 pixels at 256, never thinner than one canvas pixel.
        ink = max(1.0, side / 280)
        return cls(np.full((side, side, 3), 255, np.uint8), np.zeros((side, side), np.uint8), ink)

    def sample(self) -> tuple[Pixels, NDArray[np.uint8]]:
        """The image (size, size, 3), each pixel the mean of its block, and the owner at the centre of each block."""
        size = self.owner.shape[0] // SUPERSAMPLE
        pixels = cv2.resize(self.pixels, (size, size), interpolation=cv2.INTER_AREA)
        half = SUPERSAMPLE // 2
        return np.asarray(pixels, np.uint8), self.owner[half::SUPERSAMPLE, half::SUPERSAMPLE].copy()


def paint(canvas: Canvas, pen: Pen, pattern: str, matrix: Matrix, owner: int) -> tuple[int, dict[int, int]]:
    """Paint one thing in front of everything so far.

    `matrix` (3, 3) takes the thing's units to canvas pixels; `owner` is the thing's number in the owner map. Returns
    its whole area in image pixels, hidden or cut off or not, and how many image pixels of which others it now covers.
    """
    scale = _scale(matrix, pen)
    placed = [(shape, project(matrix, shape.points)) for shape in pen.shapes]
    solid = [(shape, points) for shape, points in placed if shape.solid]
    x0, y0, x1, y1 = _bounds(solid, scale, canvas)
    patch = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    mask = np.zeros(patch.shape[:2], np.uint8)
    origin = np.array([x0, y0], np.float64)
    for shape, points in solid:
        _shape(patch, mask, shape, points - origin, pattern, scale, canvas.ink)
    for letters in pen.letters:
        _letters(patch, letters, matrix, origin)
    for shape, points in placed:
        if not shape.solid:
            _behind(canvas, shape, points, scale)
    covered = _lay(canvas, patch, mask, x0, y0, owner)
    half = SUPERSAMPLE // 2
    # The same grid as Canvas.sample, continued beyond the border: what the whole thing would own.
    grid = mask[(half - y0) % SUPERSAMPLE :: SUPERSAMPLE, (half - x0) % SUPERSAMPLE :: SUPERSAMPLE]
    return int(np.count_nonzero(grid)), covered


def paint_background(canvas: Canvas, shapes: list[Shape], matrix: Matrix) -> None:
    """Paint background shapes (in units of the image, 0..1) straight on the canvas."""
    side = canvas.owner.shape[0]
    for shape in shapes:
        points = project(matrix, shape.points)
        if shape.width:
            cv2.polylines(
                canvas.pixels, [_fixed(points)], False, shape.fill, max(1, round(shape.width * side)), 8, _SHIFT
            )
        else:
            cv2.fillPoly(canvas.pixels, [_fixed(points)], shape.fill, 8, _SHIFT)


def project(matrix: Matrix, points: Points) -> Points:
    """Points (n, 2) through a homography (3, 3)."""
    q = points @ matrix[:, :2].T + matrix[:, 2]
    projected: Points = q[:, :2] / q[:, 2:]
    return projected


def _shape(
    patch: Pixels, mask: NDArray[np.uint8], shape: Shape, points: Points, pattern: str, scale: float, ink: float
) -> None:
    fixed = [_fixed(points)]
    outline = edge(shape.fill)
    if shape.width:
        width = max(1, round(shape.width * scale))
        rim = width + 2 * round(ink) if shape.edged else width
        cv2.polylines(mask, fixed, False, 1, rim, 8, _SHIFT)
        if shape.edged:
            cv2.polylines(patch, fixed, False, outline, rim, 8, _SHIFT)
        cv2.polylines(patch, fixed, False, shape.fill, width, 8, _SHIFT)
        return
    cv2.fillPoly(patch, fixed, shape.fill, 8, _SHIFT)
    cv2.fillPoly(mask, fixed, 1, 8, _SHIFT)
    if shape.body and pattern != "plain":
        _pattern(patch, fixed, points, pattern, scale, contrast(shape.fill))
    if shape.edged:
        thick = max(1, round(1.5 * ink))
        cv2.polylines(patch, fixed, True, outline, thick, 8, _SHIFT)
        cv2.polylines(mask, fixed, True, 1, thick, 8, _SHIFT)


def _pattern(
    patch: Pixels, fixed: list[NDArray[np.int32]], points: Points, pattern: str, scale: float, ink: Rgb
) -> None:
    """Stripes or dots inside one polygon, 0.1 units apart but never so fine that the image cannot show them."""
    low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int) + 1
    low = np.clip(low, 0, [patch.shape[1], patch.shape[0]])
    high = np.clip(high, 0, [patch.shape[1], patch.shape[0]])
    if (high <= low).any():
        return
    inside = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(inside, [fixed[0] - (low << _SHIFT).astype(np.int32)], 1, 8, _SHIFT)
    step = max(0.11 * scale, 4.6 * SUPERSAMPLE)
    y, x = np.ogrid[: inside.shape[0], : inside.shape[1]]
    if pattern == "striped":
        marks = (x - 0.35 * y) % step < 0.42 * step
    else:
        row = np.floor(y / step)
        dx, dy = (x + 0.5 * step * (row % 2)) % step - step / 2, y % step - step / 2
        marks = dx * dx + dy * dy < (0.29 * step) ** 2
    region = patch[low[1] : high[1], low[0] : high[0]]
    region[marks & (inside > 0)] = ink


def _letters(patch: Pixels, letters: Lettering, matrix: Matrix, origin: Points) -> None:
    """Print a word, through the same transform as the thing that carries it."""
    ink = glyphs(letters.text, letters.font)
    height, width = ink.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    target = (project(matrix, box_corners(letters.box)) - origin).astype(np.float32)
    if not word_reads_forward(target):
        target = target[[1, 0, 3, 2]]  # on a thing that faces left, letters still face right
    warp = cv2.getPerspectiveTransform(corners, target)
    alpha = cv2.warpPerspective(ink, warp, (patch.shape[1], patch.shape[0]), flags=cv2.INTER_AREA)
    weight = alpha.astype(np.float32)[..., None] / 255
    mixed = patch * (1 - weight) + np.array(letters.fill, np.float32) * weight
    patch[...] = np.round(mixed).astype(np.uint8)


def box_corners(box: tuple[float, float, float, float]) -> Points:
    """The corners (4, 2) of a box, clockwise from the top left."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def word_reads_forward(quad: NDArray[np.floating]) -> bool:
    """Whether the quad's first side runs to the right, which a mirrored thing's does not."""
    return bool(quad[1, 0] > quad[0, 0])


def _behind(canvas: Canvas, shape: Shape, points: Points, scale: float) -> None:
    """Marks of motion and the like, painted only where the background is free."""
    marks = np.zeros_like(canvas.owner)
    if shape.width:
        cv2.polylines(marks, [_fixed(points)], False, 1, max(1, round(shape.width * scale)), 8, _SHIFT)
    else:
        cv2.fillPoly(marks, [_fixed(points)], 1, 8, _SHIFT)
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - 40, 0, None)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 40, 0, None)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    canvas.pixels[window][(marks[window] > 0) & (canvas.owner[window] == 0)] = shape.fill


def _lay(canvas: Canvas, patch: Pixels, mask: NDArray[np.uint8], x0: int, y0: int, owner: int) -> dict[int, int]:
    side = canvas.owner.shape[0]
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x0 + patch.shape[1], side), min(y0 + patch.shape[0], side)
    if right <= left or bottom <= top:
        return {}
    source = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    window = canvas.owner[top:bottom, left:right]
    cv2.copyTo(patch[source], mask[source], canvas.pixels[top:bottom, left:right])
    lost = np.bincount(window[mask[source] > 0], minlength=1)
    cv2.copyTo(np.full_like(window, owner), mask[source], window)
    return {int(i): round(int(lost[i]) / SUPERSAMPLE**2) for i in np.flatnonzero(lost) if i}


def _bounds(solid: list[tuple[Shape, Points]], scale: float, canvas: Canvas) -> tuple[int, int, int, int]:
    side = canvas.owner.shape[0]
    margin = [shape.width * scale / 2 + 2 * canvas.ink + 2 for shape, _ in solid]
    low = np.min([points.min(axis=0) - m for (_, points), m in zip(solid, margin, strict=True)], axis=0)
    high = np.max([points.max(axis=0) + m for (_, points), m in zip(solid, margin, strict=True)], axis=0)
    low, high = np.clip(low, -_REACH * side, _REACH * side), np.clip(high, -_REACH * side, _REACH * side)
    return int(np.floor(low[0])), int(np.floor(low[1])), int(np.ceil(high[0])) + 1, int(np.ceil(high[1])) + 1


def _scale(matrix: Matrix, pen: Pen) -> float:
    """Canvas pixels a unit at the thing's middle, for the width of strokes."""
    x0, y0, x1, y1 = pen.extent()
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    a, b = project(matrix, np.array([[x, y - 0.25], [x, y + 0.25]]))
    return float(np.hypot(*(b - a))) * 2


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
