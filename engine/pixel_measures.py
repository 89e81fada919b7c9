"""What the pixels of one image say about whether anything is to be seen in it."""

from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Values = NDArray[np.int16]
REPEATED: Final = -1  # the "colour" of a band whose rows repeat one row
_ENOUGH: Final = 1 << 14  # pixels; a standard deviation of so many is known to about half a percent
_SAME: Final = 4  # grey levels by which JPEG may change a plain colour
_SMOOTH: Final = 2.0  # grey levels; in the last rows of 50 photographs neighbours differ by 1.5 and more, in half by 6
_BLOCK: Final = 8  # rows of the blocks that JPEG is coded in: data that is missing is at least so high
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
    """The dead band at the bottom of RGB pixels (height, width, 3): its part of the height, and its colour.

    Its rows have one colour, 0xRRGGBB; or they repeat the last one, and then the colour is `REPEATED`. Both are what
    decoders put where data is missing. Values may differ by 4 grey levels. Where the first row is the same too, it is a
    frame, or an image of one colour. Rows that repeat are a band only if they are at least 8, not as smooth as a
    backdrop (neighbours differ by more than 2 grey levels on average), and if nowhere above half as many repeat, as in
    drawings and pictures made larger. Where there is no band, both numbers are 0.
    """
    height, last = len(pixels), pixels[-1].astype(np.int16)
    mean = np.rint(last.mean(axis=0)).astype(np.int16)
    plain = bool(_like(last[None], mean).all())
    model = mean if plain else last
    if _like(pixels[:1], model).all() or not (plain or _roughness(last) > _SMOOTH):
        return 0.0, 0
    first = height - 1
    while first > 0:
        same = _like(pixels[max(0, first - _ROWS) : first], model)
        first -= len(same) if same.all() else int(np.argmin(same[::-1]))
        if not same.all():
            break
    if plain:
        red, green, blue = (int(value) for value in mean)
        return (height - first) / height, red << 16 | green << 8 | blue
    if height - first < _BLOCK or 2 * _longest_repeat(pixels[:first]) > height - first:
        return 0.0, 0
    return (height - first) / height, REPEATED


def _like(rows: Pixels | Values, model: Values) -> NDArray[np.bool_]:
    """Which rows (n, width, 3) are like a colour (3,), a row (width, 3) or each its own (n, width, 3) throughout: (n,)."""
    same: NDArray[np.bool_] = (np.abs(rows.astype(np.int16) - model) <= _SAME).all(axis=(1, 2))
    return same


def _roughness(row: Values) -> float:
    """By how many grey levels neighbours in a row (width, 3) differ on average, in the colour where they do most."""
    return float(np.abs(np.diff(row, axis=0)).max(axis=1).mean()) if len(row) > 1 else 0.0


def _longest_repeat(pixels: Pixels) -> int:
    """Of the runs of rows that are like the row above them, how many rows the longest has: 1 and more."""
    again = np.zeros(len(pixels) + 1, np.bool_)
    for lo in range(1, len(pixels), _ROWS):
        above = pixels[lo - 1 : lo + _ROWS - 1]
        here = pixels[lo : lo + _ROWS]
        again[lo : lo + len(here)] = _like(here, above[: len(here)].astype(np.int16))
    return int(np.diff(np.flatnonzero(~again)).max())
