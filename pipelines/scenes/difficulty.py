"""What makes scenes harder to read: perspective before painting; light, blur, noise and JPEG after."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Ranges from which each scene draws; all zero on `easy`, which is written as PNG.

    `tilt`: how far each corner moves, as a fraction of the image; `light`: change of contrast and brightness as a
    fraction; `blur`: sigma in pixels of a 256-pixel image; `noise`: sigma in grey levels; `quality`: of the JPEG.
    """

    tilt: float
    light: float
    blur: tuple[float, float]
    noise: tuple[float, float]
    quality: tuple[int, int] | None


LEVELS: Final[dict[str, Difficulty]] = {
    "easy": Difficulty(0.0, 0.0, (0.0, 0.0), (0.0, 0.0), None),
    "normal": Difficulty(0.02, 0.08, (0.0, 0.6), (1.0, 5.0), (75, 93)),
    "hard": Difficulty(0.055, 0.2, (0.4, 1.1), (5.0, 13.0), (38, 70)),
}


def level(name: str) -> Difficulty:
    """The difficulty of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in LEVELS:
        raise ConfigError(f"there is no difficulty {name!r}; choose one of {', '.join(LEVELS)}.")
    return LEVELS[name]


def perspective(rng: np.random.Generator, how: Difficulty) -> NDArray[np.float64]:
    """A homography (3, 3) of the unit square that moves each corner by up to `tilt`; the identity on easy."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    moved = square + rng.uniform(-how.tilt, how.tilt, (4, 2)).astype(np.float32)
    if not how.tilt:
        return np.eye(3)
    return np.asarray(cv2.getPerspectiveTransform(square, moved), np.float64)


def degrade(
    pixels: NDArray[np.uint8], rng: np.random.Generator, how: Difficulty
) -> tuple[NDArray[np.uint8], int | None]:
    """The image (h, w, 3) as a poorer camera sees it, and the JPEG quality to write it with (None: losslessly)."""
    if how.quality is None:
        return pixels, None
    gain, offset = 1 + rng.uniform(-how.light, how.light), 128 * rng.uniform(-how.light, how.light)
    sigma = rng.uniform(*how.blur) * pixels.shape[0] / 256
    seen = pixels.astype(np.float32)
    if sigma > 0.2:  # below that the kernel is a single pixel
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sigma))
    noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(*how.noise))
    seen = (seen - 128) * np.float32(gain) + np.float32(128 + offset) + noise
    return np.clip(np.round(seen), 0, 255).astype(np.uint8), int(rng.integers(*how.quality))
