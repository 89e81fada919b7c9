"""What the pixels of one image say about whether anything is to be seen in it."""

from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_ENOUGH: Final = 1 << 14  # pixels; a standard deviation of so many is known to about half a percent
_SAME: Final = 4  # grey levels by which JPEG may change a plain colour
_ROWS: Final = 64


def contrast(pixels: Pixels) -> float:
    """Standard deviation of the values of RGB pixels (height, width, 3), in the colour where it is largest: 0 .. 127.5.

    Of a regular grid of about 16,384 pixels where there are more.
    """
    step = max(1, isqrt(pixels.shape[0] * pixels.shape[1] // _ENOUGH))
    channels = np.ascontiguousarray(pixels[::step, ::step].reshape(-1, 3).T).astype(np.int64)
    count = channels.shape[1]  # whole numbers: exact, in any order
    variance = (count * (channels * channels).sum(axis=1) - channels.sum(axis=1) ** 2) / count**2
    return float(np.sqrt(variance.max()))


def tail(pixels: Pixels) -> tuple[float, int]:
    """The band of one colour at the bottom of RGB pixels (height, width, 3): its part of the height, and 0xRRGGBB.

    Values may differ by 4 grey levels from the mean of the last row. Where the first row has that colour too it is no
    band but a frame, or an image of one colour: then, and where there is no band, both are 0.
    """
    height = len(pixels)
    colour = np.rint(pixels[-1].mean(axis=0)).astype(np.int16)
    if not _plain(pixels[-1:], colour)[0] or _plain(pixels[:1], colour)[0]:
        return 0.0, 0
    first = height - 1
    while first > 0:
        plain = _plain(pixels[max(0, first - _ROWS) : first], colour)
        first -= len(plain) if plain.all() else int(np.argmin(plain[::-1]))
        if not plain.all():
            break
    red, green, blue = (int(value) for value in colour)
    return (height - first) / height, red << 16 | green << 8 | blue


def _plain(rows: Pixels, colour: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which rows (n, width, 3) have that colour throughout: (n,)."""
    same: NDArray[np.bool_] = (np.abs(rows.astype(np.int16) - colour) <= _SAME).all(axis=(1, 2))
    return same
