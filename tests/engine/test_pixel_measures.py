"""What pixels say about an image: contrast, and the band that a broken file leaves."""

import numpy as np
import pytest
import simplejpeg

from engine.pixel_measures import REPEATED, contrast, tail

GREY = 128 << 16 | 128 << 8 | 128


def noise(height=120, width=160, seed=0):
    """Smooth, as photographs are: noise of 12 x 16 cells, ten pixels each."""
    cells = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return cells.repeat(10, axis=0).repeat(10, axis=1)


def saved(pixels, quality=90):
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (1000, 700)])
def test_one_colour_has_no_contrast(shape):
    assert contrast(np.full((*shape, 3), (10, 200, 30), np.uint8)) == 0.0


def test_half_black_half_white_has_the_most():
    pixels = np.zeros((600, 400, 3), np.uint8)
    pixels[:, 200:] = 255
    assert contrast(pixels) == pytest.approx(127.5)


def test_contrast_in_one_colour_counts():
    """Red on cyan of the same brightness is something to see."""
    pixels = np.full((64, 64, 3), (0, 100, 100), np.uint8)
    pixels[::2, :, 0] = 20
    assert contrast(pixels) == pytest.approx(10.0)


def test_large_images_are_measured_on_a_grid():
    pixels = np.random.default_rng(1).normal(128, 20, (1500, 2000, 3)).clip(0, 255).astype(np.uint8)
    assert contrast(pixels) == pytest.approx(20.0, rel=0.02)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_that_broke_off_ends_in_grey_even_when_it_is_saved_again(part, quality):
    """libjpeg, asked not to be strict, gives the rows that it has and grey below."""
    whole = saved(noise())
    torn = simplejpeg.decode_jpeg(whole[: int(len(whole) * part)], strict=False)
    share, colour = tail(simplejpeg.decode_jpeg(saved(torn, quality)))
    assert share == pytest.approx(1 - part, abs=0.15)
    assert max(abs((colour >> shift & 255) - 128) for shift in (0, 8, 16)) <= 1


def test_a_band_of_a_colour_is_measured_to_the_row():
    pixels = noise()
    pixels[-37:] = (250, 120, 3)
    assert tail(pixels) == (37 / 120, 250 << 16 | 120 << 8 | 3)
    pixels[90, 5, 1] = 125  # five levels off: that row is not plain, those below are
    assert tail(pixels)[0] == 29 / 120


@pytest.mark.parametrize("quality", [75, 95])
@pytest.mark.parametrize("rows", [12, 40, 100])
def test_a_last_row_again_and_again_is_a_band_without_a_colour(rows, quality):
    """What a decoder leaves that goes on with the last row it has, saved again."""
    pixels = np.random.default_rng(2).normal(128, 30, (120, 160, 3)).clip(0, 255).astype(np.uint8)
    pixels[-rows:] = pixels[-rows]
    share, colour = tail(simplejpeg.decode_jpeg(saved(pixels, quality)))
    assert share == pytest.approx(rows / 120, abs=8 / 120)  # JPEG mixes the rows of one block
    assert colour == REPEATED


def backdrop():
    """Lighter from left to right, and the same in every row: a studio's wall below something."""
    pixels = np.linspace(200, 250, 160).astype(np.uint8)[None, :, None].repeat(120, axis=0).repeat(3, axis=2)
    pixels[:60] = noise(60)
    return pixels


def icon():
    """Ten rows, of which the last three are the same: less than a block of JPEG."""
    pixels = np.random.default_rng(3).integers(0, 256, (10, 10, 3), np.uint8)
    pixels[-3:] = pixels[-1]
    return pixels


@pytest.mark.parametrize(
    "pixels",
    [
        noise(),
        backdrop(),
        np.vstack([noise(100), noise(10)[:1].repeat(18, axis=0)]),  # cells of 10 rows above, one of 18 at the bottom
        np.tile(noise(10)[:1], (120, 1, 1)),
        icon(),
        np.full((50, 60, 3), 128, np.uint8),
        np.pad(noise(), ((20, 20), (0, 0), (0, 0)), constant_values=128),  # bars above and below
        np.pad(noise(), ((5, 20), (5, 5), (0, 0))),  # a black frame
        noise(10, 10)[:1],
    ],
    ids=["a photograph", "a backdrop", "a mosaic", "stripes", "an icon", "one colour", "bars", "a frame", "one row"],
)
def test_what_did_not_break_off_has_no_tail(pixels):
    assert tail(pixels) == (0.0, 0)


def test_a_tail_to_nearly_the_top():
    pixels = np.full((300, 20, 3), 128, np.uint8)
    pixels[0] = noise(10, 20)[0] // 2 * 2 + np.arange(20, dtype=np.uint8)[:, None] % 2
    share, colour = tail(pixels)
    assert (share, colour) == (299 / 300, GREY)
