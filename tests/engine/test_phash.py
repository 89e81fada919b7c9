"""The hash against a slow reference written from its definition, and what a perceptual hash is for."""

import math
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.images import Limits, decode
from engine.phash import hamming, hamming_many, phash

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "coco50" / "images"


def reference(pixels):
    """Step by step as the module's docstring says, with fractions and plain loops."""
    height, width, _ = pixels.shape

    def shares(side, cell):
        start, end = Fraction(cell * side, 32), Fraction((cell + 1) * side, 32)
        first, last = math.floor(start), math.ceil(end)
        return {i: min(end, Fraction(i + 1)) - max(start, Fraction(i)) for i in range(first, last)}

    luma = [[0] * 32 for _ in range(32)]
    for v in range(32):
        for u in range(32):
            total = Fraction(0)
            for y, down in shares(height, v).items():
                for x, across in shares(width, u).items():
                    r, g, b = (int(c) for c in pixels[y, x])
                    total += down * across * (299 * r + 587 * g + 114 * b)
            mean = total / (Fraction(height, 32) * Fraction(width, 32)) / 1000
            luma[v][u] = math.floor(mean * 256)
    cosine = [[round(math.cos(math.pi / 32 * k * (n + 0.5)) * 16384) for n in range(32)] for k in range(8)]
    low = [
        sum(cosine[u][y] * cosine[v][x] * luma[y][x] for y in range(32) for x in range(32))
        for u in range(8)
        for v in range(8)
    ]
    median = sorted(low[1:])[31]
    return sum(1 << (63 - i) for i in range(1, 64) if low[i] > median)


@settings(max_examples=15, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))))
def test_it_is_what_its_definition_says(pixels):
    assert phash(pixels) == reference(pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (31, 33), (32, 32), (64, 96), (100, 77)])
def test_it_is_what_its_definition_says_for_awkward_sizes(shape):
    pixels = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert phash(pixels) == reference(pixels)


def photographs():
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("needs the photographs of coco50")
    return [decode(p.read_bytes(), Limits()).pixels for p in sorted(PHOTOGRAPHS.iterdir())]


def test_half_the_size_quality_70_and_other_light_stay_near():
    for pixels in photographs():
        whole = phash(pixels)
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        small = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
        again = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(pixels, quality=70))
        darker = (pixels.astype(np.float32) * 0.6 + 20).astype(np.uint8)
        bigger = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        assert max(hamming(whole, phash(other)) for other in (small, again, darker, bigger)) <= 6


def test_different_photographs_are_far_apart():
    hashes = np.array([phash(pixels) for pixels in photographs()], np.uint64)
    far = hamming_many(hashes[:, None], hashes[None, :])
    assert far[~np.eye(len(hashes), dtype=bool)].min() > 10
    assert hamming(int(hashes[0]), int(hashes[1])) == far[0, 1]


@given(st.integers(0, 255), st.integers(1, 80), st.integers(1, 80))
def test_one_colour_hashes_to_zero(level, height, width):
    assert phash(np.full((height, width, 3), level, np.uint8)) == 0


@given(arrays(np.uint8, (40, 40, 3)), st.integers(2, 4))
def test_repeating_every_pixel_changes_nothing(pixels, times):
    assert phash(pixels.repeat(times, axis=0).repeat(times, axis=1)) == phash(pixels)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_hamming_counts_bits(a, b):
    assert hamming(a, b) == bin(a ^ b).count("1") == int(hamming_many(np.uint64(a), np.uint64(b)))


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ValueError, match="phash"):
        phash(pixels)
