"""GrabCut as a Segmenter: masks from boxes by colour alone, with OpenCV and no weights."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine import masks
from engine.records import Image, Masks, Pixels
from specialists.base import SpecialistConfig, specialist

# GrabCut from a box alone often shrinks to nothing on photographs, so it starts from the shape that things in boxes
# mostly have. With r = 1 on the ellipse that touches the box (2 in its corners): our choice, checked by the test
# against COCO's masks.
SURELY_OBJECT: Final = 0.4  # r below
PROBABLY_OBJECT: Final = 1.2
SURELY_BACKGROUND: Final = 1.5  # r above; keeps a model of the background where the box fills the image
SHORT_SIDE: Final = 24  # pixels; thinner pictures have too few samples for GrabCut's colour models
MIN_SIDE: Final = 2.0  # pixels; a smaller box has no shape
# Mean IoU with COCO's masks that the test measures: what a mask that fills its box well can be expected to have.
EXPECTED_IOU: Final = 0.6


class GrabCutConfig(SpecialistConfig):
    """How large a picture GrabCut sees, and how long it thinks."""

    size: int = Field(128, ge=32, le=512, description="pixels of the long side at which a box is segmented")
    margin: float = Field(0.25, ge=0, le=2, description="background seen around a box, in box sides")
    iterations: int = Field(2, ge=1, le=20, description="rounds of colour models and cuts")
    seed: int = Field(1, ge=0, description="of OpenCV's k-means")


@specialist("grabcut", "segmenter", needs=("cv2",), licence="Apache-2.0")
class GrabCut:
    """GrabCut (Rother et al. 2004) by OpenCV, from boxes; needs no weights."""

    Config = GrabCutConfig

    def __init__(self, config: GrabCutConfig) -> None:
        self.config = config

    def load(self, device: str) -> None:  # noqa: ARG002 (OpenCV's GrabCut runs on the CPU)
        """Import OpenCV."""
        import cv2  # noqa: F401

    def segment(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[Masks]:
        """A mask for each box (n, 4) of each image; None for a box under 2 pixels wide or high, or outside."""
        return [self._segment(image, asked) for image, asked in zip(images, boxes, strict=True)]

    def _segment(self, image: Image, boxes: NDArray[np.float32]) -> Masks:
        found: list[str | None] = []
        scores = np.zeros(len(boxes), np.float32)
        limit = np.array([image.width, image.height] * 2, np.float64)
        for i, asked in enumerate(np.clip(boxes.astype(np.float64), 0, limit)):
            sides = asked[2:] - asked[:2]
            if not np.isfinite(asked).all() or sides.min() < MIN_SIDE:
                found.append(None)
                continue
            x0, y0 = np.floor(asked[:2]).astype(int)
            x1, y1 = np.ceil(asked[2:]).astype(int)
            inside = self._cut(image.pixels, (x0, y0, x1, y1))
            found.append(masks.encode_part(inside, x0, y0, image.height, image.width))
            scores[i] = EXPECTED_IOU * _fills(inside)
        return Masks(found, scores)

    def _cut(self, pixels: Pixels, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
        """The mask inside a box of whole pixels: (y1 - y0, x1 - x0)."""
        import cv2

        x0, y0, x1, y1 = box
        height, width = pixels.shape[:2]
        across, down = round((x1 - x0) * self.config.margin), round((y1 - y0) * self.config.margin)
        left, top = max(0, x0 - across), max(0, y0 - down)
        crop = pixels[top : min(height, y1 + down), left : min(width, x1 + across)]
        scale = self.config.size / max(crop.shape[:2])
        size = [int(np.clip(round(side * scale), SHORT_SIDE, self.config.size)) for side in crop.shape[1::-1]]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(np.ascontiguousarray(crop[..., ::-1]), size, interpolation=way)
        shape = np.array([crop.shape[1], crop.shape[0]] * 2)
        inner = np.array([x0 - left, y0 - top, x1 - left, y1 - top], np.float64) * (size * 2) / shape
        trimap = _trimap(size, inner)
        cv2.setRNGSeed(self.config.seed)
        cv2.grabCut(
            small, trimap, None, np.zeros((1, 65)), np.zeros((1, 65)), self.config.iterations, cv2.GC_INIT_WITH_MASK
        )
        foreground = (trimap & 1).astype(np.float32)  # GC_FGD and GC_PR_FGD are the odd values
        full = cv2.resize(foreground, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        mask: NDArray[np.bool_] = full[y0 - top : y1 - top, x0 - left : x1 - left] > 0.5
        return mask


def _trimap(size: Sequence[int], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """OpenCV's four labels for a picture of size (width, height) in which the object has that box."""
    import cv2

    x = np.arange(size[0])[None, :] + 0.5
    y = np.arange(size[1])[:, None] + 0.5
    r = _ellipse(x, box[0], box[2]) + _ellipse(y, box[1], box[3])
    outside = (x < box[0]) | (x > box[2]) | (y < box[1]) | (y > box[3])
    trimap = np.full(r.shape, cv2.GC_PR_BGD, np.uint8)
    trimap[r < PROBABLY_OBJECT] = cv2.GC_PR_FGD
    trimap[outside | (r > SURELY_BACKGROUND)] = cv2.GC_BGD
    trimap[r < SURELY_OBJECT] = cv2.GC_FGD
    return trimap


def _ellipse(at: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    return ((at - (low + high) / 2) / max((high - low) / 2, 1e-6)) ** 2


def _fills(mask: NDArray[np.bool_]) -> float:
    """How much of its box the mask's own tightest box covers, 0..1: a good mask touches all four sides."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / mask.size)
