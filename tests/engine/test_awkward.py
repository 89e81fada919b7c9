"""Ninety-three files from an imaging library's own regression tests, every one of them looked at.

Each is either a picture that a person would call right, or an error for the reason given here.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ImageError
from engine.images import IMAGE_SUFFIXES, Limits, decode

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "awkward_images"

# name (beginning) → why it is not an image, and a word that the message must have
ERRORS = {
    "bmp__b__badbitcount.bmp": ("30,000 bits a pixel", "depth"),
    "bmp__b__badrle.bmp": ("runs leave the picture; what decoders show is noise", "damaged"),
    "bmp__b__pal8badindex.bmp": ("colours that the palette does not have; decoders show black", "palette"),
    "broken_data_stream.png": ("pixel data does not match its checksum", "checksum"),
    "crash-0c7e0e8e": ("a TIFF with strips beyond its end", "damaged"),
    "crash-0da013a1": ("fax data breaks off after 27 of 84 lines", "damaged"),
    "crash-1152ec2d": ("a TIFF with strips beyond its end", "damaged"),
    "crash-2020-10-test.tif": ("a TIFF directory of noise", "damaged"),
    "crash-4f085cc1": ("a TIFF with strips beyond its end", "damaged"),
    "crash-4fb02745": ("a JPEG 2000 stream that breaks off", "damaged"),
    "crash-74d2a784": ("fax data breaks in line 348; a part of the text is missing", "damaged"),
    "decompression_bomb.ico": ("says 65,535 x 65,535 pixels in 198 bytes", "pixels"),
    "hopper_bad_exif.jpg": ("1,214 bytes of pixel data are junk", "extraneous"),
    "hopper_rle8_row_overflow.bmp": ("three rows of 382 pixels in a picture of 128", "damaged"),
    "hopper_unknown_pixel_mode.tif": ("a combination of samples that no mode has", "not an image"),
    "invalid_header_length.jp2": ("a box of impossible length", "not an image"),
    "photoshop-200dpi-broken.jpg": ("16 bytes of junk between segments", "extraneous"),
    "truncated_app14.jpg": ("a segment shorter than it says", "extraneous"),
    "truncated_end_chunk.png": ("the end chunk is missing", "truncated"),
    "truncated_jpeg.jpg": ("ends in the middle of the pixels", "Premature"),
    "zero_height.j2k": ("a height of zero", "not an image"),
}

# name → (width, height) where orientation decides, or mean RGB where the mode does
SHAPES = {
    "g4_orientation_3.tif": (590, 88),
    "g4_orientation_5.tif": (590, 88),
    "g4_orientation_7.tif": (590, 88),
    "orientation_rectangle.jpg": (1, 2),
    "xmp_tags_orientation.png": (326, 268),
    "avif__xmp_tags_orientation.avif": (326, 268),
    "decompression_bomb_extents.gif": (100, 100),
}
# All of these show the same portrait, in whatever format, mode or orientation it is stored.
PORTRAIT = [
    "hopper.png",
    "hopper.bmp",
    "hopper.gif",
    "hopper.jpg",
    "hopper.psd",
    "hopper.tif",
    "hopper.Lab.tif",
    "hopper.iccprofile.tif",
    "hopper_lzma.tif",
    "hopper_float_dpi_3.tif",
    "hopper_8bit_plain.ppm",
    "hopper_webp_write.ppm",
    "hopper_zero_comment_subblocks.gif",
    "hopper_orientation_2.jpg",
    "hopper_orientation_6.jpg",
    "hopper_orientation_7.jpg",
    "hopper_orientation_8.jpg",
    "hopper_orientation_3.webp",
    "hopper_orientation_5.webp",
    "avif__hopper.avif",
    "avif__hopper-missing-pixi.avif",
    "avif__hopper_avif_write.png",
]
GREY_PORTRAIT = [
    "hopper_16bit.pgm",
    "hopper_16bit_plain.pgm",
    "tiff_gray_2_4_bpp__hopper4.tif",
    "tiff_gray_2_4_bpp__hopper4R.tif",
]
# The same picture stored in two ways.
PAIRS = [
    ("tiff_16bit_RGBa.tiff", "tiff_16bit_RGBa_target.png"),
    ("tiff_strip_planar_16bit_RGBa.tiff", "tiff_16bit_RGBa_target.png"),
    ("tiff_tiled_planar_16bit_RGBa.tiff", "tiff_16bit_RGBa_target.png"),
    ("tiff_tiled_planar_16bit_RGB.tiff", "tiff_16bit_RGB_target.png"),
    ("tiff_strip_cmyk_jpeg.tif", "tiff_tiled_cmyk_jpeg.tif"),
    ("16bit.cropped.tif", "16bit.cropped.j2k"),
    ("tiff_gray_2_4_bpp__hopper2.tif", "tiff_gray_2_4_bpp__hopper2I.tif"),
    ("g4_orientation_3.tif", "g4_orientation_5.tif"),
    ("g4_orientation_3.tif", "g4_orientation_7.tif"),
]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the folder awkward_images beside the project")


def names():
    return sorted(p.name for p in FOLDER.iterdir()) if FOLDER.is_dir() else []


def look(name):
    return decode((FOLDER / name).read_bytes(), Limits())


@pytest.mark.parametrize("name", names())
def test_each_file_is_a_picture_or_an_error_that_says_why(name):
    reason = next((why for start, why in ERRORS.items() if name.startswith(start)), None)
    if reason is None:
        found = look(name)
        assert found.pixels.dtype == np.uint8
        assert found.pixels.shape == (found.height, found.width, 3)
        if name in SHAPES:
            assert (found.width, found.height) == SHAPES[name]
    else:
        with pytest.raises(ImageError, match=reason[1]):
            look(name)


def test_every_entry_of_the_table_is_there():
    for start in ERRORS:
        assert sum(name.startswith(start) for name in names()) == 1, start


def test_all_endings_count_as_images():
    assert {Path(name).suffix for name in names()} <= IMAGE_SUFFIXES


@pytest.mark.parametrize("name", PORTRAIT)
def test_the_portrait_is_the_portrait_in_every_format(name):
    wanted, found = look("hopper.png").pixels, look(name).pixels
    assert np.abs(wanted.astype(int) - found.astype(int)).mean() < 8


@pytest.mark.parametrize("name", GREY_PORTRAIT)
def test_the_grey_portrait_is_as_bright_as_the_coloured_one(name):
    luma = look("hopper.png").pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - look(name).pixels[..., 0]).mean() < 10


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_ways_to_store_a_picture_give_one_picture(one, other):
    a, b = look(one).pixels.astype(int), look(other).pixels.astype(int)
    assert a.shape == b.shape
    assert np.abs(a - b).mean() < 6


def test_an_orientation_written_by_imagemagick_is_applied():
    upright, turned = look("exif_text.png").pixels, look("exif_imagemagick_orientation.png").pixels
    assert np.array_equal(turned, upright[::-1, ::-1])


def test_all_of_them_in_one_process_need_little_memory_and_leave_it_alive():
    code = """
import resource, sys
from pathlib import Path
from engine.errors import ImageError
from engine.images import Limits, decode
bad = 0
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode(path.read_bytes(), Limits())
    except ImageError:
        bad += 1
# Not ru_maxrss: a child begins with the peak of the process that forked it.
high = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(bad, int(high.split()[1]) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(FOLDER)], capture_output=True, text=True, check=True, timeout=60
    )
    bad, mib = map(int, done.stdout.split())
    assert bad == len(ERRORS)
    assert mib < 512
