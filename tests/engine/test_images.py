"""Decoding: every mode becomes the right RGB, every orientation upright, and everything else an ImageError."""

import contextlib
import io
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from engine.errors import ImageError
from engine.images import FORMATS, Limits, decode, sha256

LIMITS = Limits()
RNG = np.random.default_rng(7)


def saved(image, kind, **how):
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def smooth(height=24, width=36):
    """Four coloured quadrants of different brightness: every turn and mirror image differs, and codecs keep it."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 20, 20)
    pixels[: height // 2, width // 2 :] = (20, 250, 20)
    pixels[height // 2 :, : width // 2] = (20, 20, 250)
    pixels[height // 2 :, width // 2 :] = (200, 200, 20)
    return Image.fromarray(pixels)


def close(found, wanted, tolerance=12):
    wanted = np.asarray(wanted)
    assert found.dtype == np.uint8
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted.astype(int)).mean() < tolerance


# ---- what an image is ---------------------------------------------------------------------------------------

LOSSLESS = ["PNG", "BMP", "TIFF", "PPM", "GIF", "ICO"]


@pytest.mark.parametrize("kind", [*LOSSLESS, "JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_formats_give_the_picture_and_their_name(kind):
    image = smooth()
    found = decode(saved(image, kind, **({"sizes": [image.size]} if kind == "ICO" else {})), LIMITS)
    close(found.pixels, image, 0.01 if kind in LOSSLESS else 12)
    assert (found.height, found.width) == (24, 36)
    assert found.format == kind.lower()
    assert found.pixels.flags.c_contiguous


def test_a_jpeg_is_known_by_its_content_and_decoded_like_libjpeg_turbo_does():
    data = saved(smooth(), "JPEG")
    assert np.array_equal(decode(data, LIMITS).pixels, simplejpeg.decode_jpeg(data))


UNDO = {  # what turns an upright picture into one that is stored with this orientation (Exif 2.32, 4.6.4.A)
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("orientation", UNDO)
def test_every_orientation_comes_out_upright(kind, orientation):
    upright = smooth()
    stored = upright if UNDO[orientation] is None else upright.transpose(UNDO[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    close(decode(saved(stored, kind, exif=exif), LIMITS).pixels, upright)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_the_orientation_of_a_jpeg_is_found_in_both_byte_orders_and_types(order, kind):
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([6, 0] if kind == 3 else [6]))
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    tiff += struct.pack(order + "HHI", 0x0112, kind, 1) + value + bytes(4)
    plain = saved(smooth(), "JPEG")
    segment = b"Exif\0\0" + tiff
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert decode(data, LIMITS).pixels.shape == (36, 24, 3)


def test_xmp_says_the_orientation_where_exif_does_not():
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="8"/>'
    plain = saved(smooth(), "JPEG")
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + plain[2:]
    assert decode(data, LIMITS).pixels.shape == (36, 24, 3)


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_broken_metadata_leaves_the_picture_as_it_lies(junk):
    plain = saved(smooth(), "JPEG")
    segment = b"Exif\0\0" + junk
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert sorted(decode(data, LIMITS).pixels.shape) == [3, 24, 36]


# ---- every mode ---------------------------------------------------------------------------------------------

RED, WHITE, HALF = (255, 0, 0), (255, 255, 255), (255, 127, 127)


def flat(colour):
    return np.broadcast_to(np.array(colour, np.uint8), (6, 8, 3))


def palette(transparent=None):
    image = Image.new("P", (8, 6), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    return saved(image, "PNG", **({} if transparent is None else {"transparency": transparent}))


CASES = {
    "1": (saved(Image.new("1", (8, 6), 1), "PNG"), WHITE),
    "L": (saved(Image.new("L", (8, 6), 90), "PNG"), (90, 90, 90)),
    "L, transparent": (saved(Image.new("L", (8, 6), 90), "PNG", transparency=90), WHITE),
    "LA": (saved(Image.new("LA", (8, 6), (0, 51)), "PNG"), (204, 204, 204)),
    "P": (palette(), RED),
    "P, transparent": (palette(transparent=1), WHITE),
    "P, half transparent": (palette(transparent=b"\xff\x80"), HALF),
    "RGB": (saved(Image.new("RGB", (8, 6), RED), "PNG"), RED),
    "RGB, transparent": (saved(Image.new("RGB", (8, 6), RED), "PNG", transparency=RED), WHITE),
    "RGBA": (saved(Image.new("RGBA", (8, 6), (255, 0, 0, 128)), "PNG"), HALF),
    "RGBA, WebP": (saved(Image.new("RGBA", (8, 6), (255, 0, 0, 128)), "WEBP", lossless=True), HALF),
    "RGBX": (saved(Image.new("RGBX", (8, 6), RED), "TIFF"), RED),
    "CMYK": (saved(Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "TIFF"), RED),
    "CMYK, JPEG": (saved(Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "JPEG"), RED),
    "YCbCr": (saved(Image.new("RGB", (8, 6), RED).convert("YCbCr"), "TIFF"), RED),
    "grey JPEG": (saved(Image.new("L", (8, 6), 90), "JPEG"), (90, 90, 90)),
    "I;16": (saved(Image.fromarray(np.full((6, 8), 128 * 257, np.uint16)), "PNG"), (128, 128, 128)),
    "I;16, TIFF": (saved(Image.fromarray(np.full((6, 8), 128 * 257, np.uint16)), "TIFF"), (128, 128, 128)),
    "I;16, JPEG 2000": (saved(Image.fromarray(np.full((6, 8), 65535, np.uint16)), "JPEG2000"), WHITE),
    "I": (saved(Image.fromarray(np.full((6, 8), 65535, np.int32)), "TIFF"), WHITE),
    "16-bit PGM": (b"P5 8 6 65535\n" + struct.pack(">H", 128 * 257) * 48, (128, 128, 128)),
    "F, to 1": (saved(Image.fromarray(np.full((6, 8), 0.2, np.float32)), "TIFF"), (51, 51, 51)),
    "F, to 255": (saved(Image.fromarray(np.full((6, 8), 200, np.float32)), "TIFF"), (200, 200, 200)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_mode_becomes_rgb(name):
    data, colour = CASES[name]
    assert np.abs(decode(data, LIMITS).pixels.astype(int) - flat(colour)).max() <= 1


def test_lab_becomes_the_colour_it_was():
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(smooth(), *profiles, outputMode="LAB")
    close(decode(saved(lab, "TIFF"), LIMITS).pixels, smooth(), 4)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_beyond_any_convention_are_stretched(dtype):
    values = np.array([[-1000, 0, 99000]], dtype)
    found = decode(saved(Image.fromarray(values), "TIFF"), LIMITS).pixels[0, :, 0]
    assert found.tolist() == [0, round(255 / 100), 255]


def test_pixels_that_are_not_numbers_are_an_error():
    values = np.array([[0, float("nan")]], np.float32)
    with pytest.raises(ImageError, match="finite"):
        decode(saved(Image.fromarray(values), "TIFF"), LIMITS)


def test_sixteen_bits_are_scaled_and_not_cut_off():
    ramp = np.linspace(0, 65535, 256 * 4).round().astype(np.uint16).reshape(4, 256)
    found = decode(saved(Image.fromarray(ramp), "PNG"), LIMITS).pixels[..., 0]
    assert np.abs(found - ramp / 257).max() <= 0.5


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_of_several_frames_the_first_is_taken(kind):
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), (0, 0, 255))
    data = saved(first, kind, save_all=True, append_images=[second])
    close(decode(data, LIMITS).pixels, first, 6)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["PNG", "TIFF", "PPM", "BMP"]))
def test_lossless_round_trip(height, width, kind):
    pixels = RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)
    assert np.array_equal(decode(saved(Image.fromarray(pixels), kind), LIMITS).pixels, pixels)


def test_strips_join_without_a_seam():
    pixels = RNG.integers(0, 256, (2200, 2100, 3)).astype(np.uint8)  # more than one strip
    assert np.array_equal(decode(saved(Image.fromarray(pixels), "PPM"), LIMITS).pixels, pixels)


# ---- limits, before decoding ---------------------------------------------------------------------------------


def png_header(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "limits", "name"),
    [
        (b"x" * 101, Limits(max_bytes=100), "max_bytes"),
        (png_header(9000, 9000), LIMITS, "max_pixels"),
        (png_header(70_000, 2), LIMITS, "max_side"),
        (saved(smooth(), "JPEG"), Limits(max_pixels=100), "max_pixels"),
        (saved(smooth(), "JPEG"), Limits(max_side=30), "max_side"),
        (saved(smooth(), "GIF", save_all=True, append_images=[smooth(24, 36)] * 3 + [Image.new("RGB", (36, 24))]),
         Limits(max_frames=1), "max_frames"),
        (saved(smooth(), "TIFF", save_all=True, append_images=[smooth()] * 4), Limits(max_frames=4), "max_frames"),
        (saved(smooth(), "PPM"), Limits(seconds=1e-9), "seconds"),
    ],
)  # fmt: skip
def test_each_limit_is_named_in_its_error(data, limits, name):
    with pytest.raises(ImageError, match=name):
        decode(data, limits)


def test_more_pixels_than_pillow_opens_is_the_same_error():
    with pytest.raises(ImageError, match="pixels"):
        decode(png_header(60_000, 60_000), LIMITS)


def test_a_jpeg_that_asks_for_thousands_of_passes_is_refused_before_it_costs_anything():
    data = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="scans"):
        decode(data[:-2] + scan * 5000 + data[-2:], LIMITS)


def test_a_tile_larger_than_any_image_is_refused():
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = (
        b"II*\0"
        + struct.pack("<I", 16)
        + zlib.compress(b"")[:8].ljust(8)
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )
    with pytest.raises(ImageError, match="tiles"):
        decode(data, LIMITS)


# ---- what is not an image -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
        (b"\xd7\xcd\xc6\x9a" + bytes(40), "WMF"),
        (b"<!DOCTYPE html><html><body>404", "web page"),
        (b"  <svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"no image at all", "not an image"),
        (bytes(1000), "not an image"),
        (b"\xff\xd8\xff", "damaged"),
    ],
)
def test_what_is_no_image_is_named(data, what):
    with pytest.raises(ImageError, match=what):
        decode(data, LIMITS)


def test_no_format_that_runs_another_program_is_accepted():
    assert not {"EPS", "WMF", "GRIB", "HDF5", "BUFR", "MPEG", "PDF", "FPX", "MIC"} & set(FORMATS)


# ---- truncated and damaged ------------------------------------------------------------------------------------

PHOTO = Image.fromarray(
    np.cumsum(RNG.integers(-9, 10, (48, 64, 3)), axis=1).clip(-90, 90).astype(np.int16).__add__(120).astype(np.uint8)
)
WHOLE = {
    "PNG": saved(PHOTO, "PNG"),
    "GIF": saved(PHOTO, "GIF"),
    "GIF, animated": saved(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)]),
    "BMP": saved(PHOTO, "BMP"),
    "ICO": saved(PHOTO, "ICO", sizes=[(32, 24)]),
    "TIFF": saved(PHOTO, "TIFF"),
    "TIFF, LZW": saved(PHOTO, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": saved(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, fax": saved(PHOTO.convert("1"), "TIFF", compression="group4"),
    "WebP": saved(PHOTO, "WEBP"),
    "WebP, lossless": saved(PHOTO, "WEBP", lossless=True),
    "AVIF": saved(PHOTO, "AVIF"),
    "JPEG 2000": saved(PHOTO, "JPEG2000"),
    "PPM": saved(PHOTO, "PPM"),
    "JPEG": saved(PHOTO, "JPEG"),
    "JPEG, progressive": saved(PHOTO, "JPEG", progressive=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_file_is_never_another_picture(name):
    data = WHOLE[name]
    whole = decode(data, LIMITS).pixels
    cuts = {len(data) * i // 40 for i in range(1, 40)} | {len(data) - i for i in range(1, 20)}
    errors = 0
    for cut in sorted(cuts):
        try:
            assert np.array_equal(decode(data[:cut], LIMITS).pixels, whole)
        except ImageError:
            errors += 1
    # The last four bytes of fax data are an end mark that many writers leave out.
    assert errors >= len(cuts) - (4 if name == "TIFF, fax" else 0)


@pytest.mark.parametrize("name", ["PNG", "ICO"])
def test_one_changed_byte_is_noticed_where_there_are_checksums(name):
    data = WHOLE[name]
    start = data.index(b"IDAT")
    for at in range(start, len(data) - 1, 37):
        with pytest.raises(ImageError):
            decode(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :], LIMITS)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_whatever_is_done_to_a_file_only_image_errors_come_out(name, data):
    raw = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(1, 3))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(ImageError):
        found = decode(bytes(raw), Limits(max_pixels=10**6))
        assert found.pixels.shape == (found.height, found.width, 3)


MAGIC = [
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
    b"P6 ",
    b"\0\0\1\0",
    b"8BPS",
    b"\xff\xd8\xff",
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_junk_behind_a_magic_number_is_an_error_or_an_image(magic, junk):
    with contextlib.suppress(ImageError):
        decode(magic + junk, Limits(max_pixels=10**6))


# ---- the process around it -----------------------------------------------------------------------------------


def test_threads_see_what_one_thread_sees():
    files = list(WHOLE.values()) * 4
    alone = [decode(data, LIMITS).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data, LIMITS).pixels, files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_warnings_of_pillow_neither_escape_nor_pile_up():
    exif = Image.Exif()
    exif[0x010E] = "x" * 50
    broken = saved(smooth(), "PNG", exif=exif.tobytes()[:-30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            decode(broken, LIMITS)
        before = len(warnings.filters)
        decode(broken, LIMITS)
        assert len(warnings.filters) == before
        with pytest.raises(UserWarning):
            warnings.warn("from elsewhere", UserWarning, stacklevel=1)


def test_the_largest_picture_stays_below_two_gib():
    code = """
import io, resource
from PIL import Image
from engine.images import Limits, decode
out = io.BytesIO()
Image.new("RGBA", (8192, 8192), (9, 9, 9, 128)).save(out, "WEBP", lossless=True, quality=0, method=0)
data = out.getvalue()
shape = decode(data, Limits()).pixels.shape
# Not ru_maxrss: a child begins with the peak of the process that forked it.
high = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(shape, int(high.split()[1]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    shape, mib = done.stdout.rsplit(" ", 1)
    assert shape == "(8192, 8192, 3)"
    assert int(mib) < 2048


def test_sha256_of_nothing_is_the_one_in_the_standard():
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, B.1
