"""A perceptual hash of 64 bits that gives the same answer in ten years: whole numbers only, no library's resize or DCT.

1. Mean colour of 32 x 32 equal cells; a pixel that lies in two cells counts in each by its share (exact).
2. Luma of ITU-R BT.601 in thousandths (299 R + 587 G + 114 B), then in units of 1/256 grey level, rounded down.
3. Two-dimensional DCT-II of which the 8 x 8 lowest frequencies are kept, with cosines rounded to 1/16384.
4. Bit 8 u + v (from the highest) says whether the coefficient of frequency (u down, v across) is above the median
   of the 63 without (0, 0). That one only tells the brightness, so its bit is always 0.

An image of one colour hashes to 0. The method is that of C. Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions" (2010), 3.2.1, with mean cells instead of a mean filter and a plain reduction.
"""

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_CELLS: Final = 32
_KEPT: Final = 8
_LONGEST: Final = 65_535


def phash(pixels: NDArray[np.uint8]) -> int:
    """The hash, 0 .. 2**64 - 1, of RGB pixels (height, width, 3).

    Raises:
        ValueError: not RGB uint8, empty, or a side beyond 65,535.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"phash needs RGB uint8 (height, width, 3), got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    if not (1 <= height <= _LONGEST and 1 <= width <= _LONGEST):
        raise ValueError(f"phash takes sides of 1 to {_LONGEST} pixels, got {width} x {height}")
    luma = _luma(pixels)
    cosines = _cosines()
    low = (cosines @ luma @ cosines.T).reshape(-1)
    bits = low > np.sort(low[1:])[31]  # the median of 63
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """In how many of their 64 bits two hashes differ."""
    return (a ^ b).bit_count()


def hamming_many(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The same for arrays, by NumPy's broadcasting rules."""
    bits: NDArray[np.uint8] = np.bitwise_count(a ^ b)
    return bits


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Mean luma of the cells (32, 32) in units of 1/256, exact and rounded down."""
    height, width = pixels.shape[:2]
    colour = _cell_sums(pixels.reshape(height, width * 3)).reshape(_CELLS, width, 3)
    luma = 299 * colour[..., 0] + 587 * colour[..., 1] + 114 * colour[..., 2]
    sums: NDArray[np.int64] = _cell_sums(
        np.ascontiguousarray(luma.T)
    ).T  # at most 255,000 * height * width, below 2**50
    mean: NDArray[np.int64] = sums * 256 // (1000 * height * width)
    return mean


def _cell_sums(values: NDArray[Any]) -> NDArray[np.int64]:
    """Sums over 32 equal cells of the first axis (n, m): (32, m) in 1/32 of a row, so the shares are whole.

    Sums of slices, not one matrix product: exact in any order, no faster with BLAS, and BLAS brings its threads.
    """
    n = values.shape[0]
    wide = np.uint32 if values.dtype == np.uint8 else np.int64  # 255 * n fits in 32 bits
    sums = np.empty((_CELLS, values.shape[1]), np.int64)
    for cell in range(_CELLS):
        top, bottom = cell * n, (cell + 1) * n  # in 1/32 of a row
        first, last = -(-top // _CELLS), bottom // _CELLS  # the rows that lie wholly inside
        if first > last:
            np.multiply(values[last], n, out=sums[cell], dtype=np.int64)
            continue
        np.multiply(np.add.reduce(values[first:last], axis=0, dtype=wide), _CELLS, out=sums[cell], dtype=np.int64)
        for row, share in ((first - 1, first * _CELLS - top), (last, bottom - last * _CELLS)):
            if share:
                sums[cell] += values[row].astype(np.int64) * share
    return sums


@cache
def _cosines() -> NDArray[np.int64]:
    """The 8 lowest rows of the 32-point DCT-II (8, 32), in 1/16384."""
    angle = np.pi / _CELLS * np.arange(_KEPT)[:, None] * (np.arange(_CELLS)[None, :] + 0.5)
    cosines: NDArray[np.int64] = np.rint(np.cos(angle) * 16384).astype(np.int64)
    return cosines
