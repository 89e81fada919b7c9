"""One way from the bytes of an image file to RGB pixels, and one way to fail: ImageError.

What comes out is always RGB uint8 (height, width, 3), upright (the orientation that the file states is applied):

- only the first frame, page or layer composite of a file with several;
- transparency is laid over white;
- 16-bit samples are divided by 257 and rounded, not cut off; 12-bit TIFF by 4095 / 255;
- 32-bit integers and floats: values within 0..1 (floats) or 0..65535 (integers) are taken as black to white;
  floats within 0..255 as they are; anything else is stretched from its minimum to its maximum;
- CMYK by multiplication, CIE L*a*b* through sRGB; embedded colour profiles are not applied.

JPEG is known by its content and decoded by libjpeg-turbo, strictly. Everything else goes to Pillow, which may
use only the formats in FORMATS: none of them runs another program.
"""

import hashlib
import io
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from engine import image_bytes
from engine.errors import ImageError

FORMATS: Final = ("PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "PSD", "ICO")
IMAGE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".avifs")
) | frozenset((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".psd", ".ico"))

Pixels = NDArray[np.uint8]

_PILLOW_BOMB: Final = 178_956_970  # beyond this Pillow itself refuses (Image.MAX_IMAGE_PIXELS, twice)
# A progressive JPEG may ask for thousands of passes over the image: 100 at the largest default size, as many
# more as it is smaller, which is some 10 s of one core. Real files have about 10 passes.
_MAX_SCAN_PIXELS: Final = 100 * 64 * 2**20
_BLOCK: Final = 1 << 22  # samples converted at once where NumPy needs wider numbers
_CCITT: Final = frozenset({"group3", "group4", "tiff_ccitt"})
_PILLOW: Final = r"PIL\."
_STDERR: Final = threading.Lock()
_LARGE: Final = threading.Lock()
_LARGE_PIXELS: Final = 1 << 24


class Limits(BaseModel):
    """What one image may cost, checked from its header before it is decoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes: int = Field(64 * 2**20, ge=1, description="size of the file")
    max_pixels: int = Field(64 * 2**20, ge=1, le=_PILLOW_BOMB, description="width x height; 1.5 GiB at the most")
    max_side: int = Field(65_535, ge=1, description="width or height; what a JPEG can be at most")
    max_frames: int = Field(4096, ge=1, description="frames or pages, of which the first is used")
    seconds: float = Field(20.0, gt=0, description="time to decode, as far as the decoder lets itself be stopped")


@dataclass(frozen=True, slots=True)
class Decoded:
    """`pixels` RGB uint8 (height, width, 3), upright; `format` in lower case ("jpeg", "png", …)."""

    pixels: Pixels
    format: str

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def sha256(data: bytes) -> str:
    """The checksum of a file's bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes, limits: Limits) -> Decoded:
    """The pixels of one image file. Safe in threads.

    Raises:
        ImageError: anything at all that goes wrong; the message says what, and names the original class.
    """
    if len(data) > limits.max_bytes:
        raise ImageError(f"the file has {len(data)} bytes, more than {limits.max_bytes} (the limit max_bytes)")
    image_bytes.refuse_known(data)
    try:
        if image_bytes.is_jpeg(data):
            return Decoded(_jpeg(data, limits), "jpeg")
        return _other(data, limits)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"this is not an image, or it is damaged at its start; formats: JPEG, {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"the image has more pixels than any limit allows ({error})") from error
    except MemoryError as error:
        raise ImageError("decoding the image needs more memory than there is (MemoryError)") from error
    # Image libraries raise eight kinds of exception on hostile files (struct.error, SyntaxError, OverflowError,
    # RecursionError …); this is the boundary that makes all of them one.
    except Exception as error:
        detail = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ImageError(f"the image is damaged or of a kind that cannot be read ({detail})") from error


# ---- JPEG ------------------------------------------------------------------------------------------------


def _jpeg(data: bytes, limits: Limits) -> Pixels:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    _check_size(width, height, limits)
    scans = image_bytes.jpeg_scans(data)
    if scans * width * height > max(_MAX_SCAN_PIXELS, limits.max_pixels):
        raise ImageError(f"the JPEG has {scans} scans of {width} x {height} pixels, too much to decode")
    with _room_for(width * height):
        if colours in ("CMYK", "YCCK"):
            pixels = _from_inverted_cmyk(simplejpeg.decode_jpeg(data, "CMYK"))
        else:
            pixels = simplejpeg.decode_jpeg(data, "RGB")
        return _upright(pixels, image_bytes.jpeg_orientation(data))


def _from_inverted_cmyk(ink: Pixels) -> Pixels:
    """JPEGs with four components store 255 - ink, as Adobe began it; RGB is then the product with black."""
    rgb = np.empty((*ink.shape[:2], 3), np.uint8)
    for rows in _row_blocks(*ink.shape[:2]):
        part = ink[rows].astype(np.uint16)
        rgb[rows] = (part[..., :3] * part[..., 3:] + 127) // 255
    return rgb


# ---- everything else -------------------------------------------------------------------------------------


class _Deadline(io.BytesIO):
    """Bytes that stop being readable at a moment; what stops a decoder that would read for ever."""

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        self._end = time.monotonic() + self._seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._end:
            raise ImageError(f"decoding took longer than {self._seconds:g} s (the limit seconds)")
        return super().read(size)


def _other(data: bytes, limits: Limits) -> Decoded:
    _ignore_pillow_warnings()
    image_bytes.check_whole(data, limits.max_frames)
    stream = _Deadline(data, limits.seconds)
    with Image.open(stream, formats=FORMATS) as image:
        _check_size(*image.size, limits)
        _check_frames(image, limits)
        _check_tiles(image, limits)
        name = (image.format or "unknown").lower()
        with _room_for(image.width * image.height):
            stream.restart()  # waiting for room is not decoding
            with _no_complaints() if image.info.get("compression") in _CCITT else nullcontext():
                image.load()
            _check_size(*image.size, limits)  # an icon knows its size only now
            orientation = _orientation(image)  # after loading: Pillow turns a TIFF itself, and then says 1
            return Decoded(_upright(_to_rgb(image, _bits(image)), orientation), name)


def _room_for(pixels: int) -> AbstractContextManager[object]:
    """Large images are decoded one at a time in a process, so that threads do not multiply their memory."""
    return _LARGE if pixels > _LARGE_PIXELS else nullcontext()


def _ignore_pillow_warnings() -> None:
    """Pillow warns of odd metadata that does not touch the pixels, and of sizes that we check ourselves.

    warnings.catch_warnings swaps a list that all threads share, so it is not for code that runs in threads; a
    filter for Pillow's modules alone is put in once and stays. It is looked for each time, because a caller
    that swaps filters (pytest does, for each test) takes it away.
    """
    if not any(getattr(module, "pattern", None) == _PILLOW for _, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", category=Warning, module=_PILLOW)


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"the image is {width} x {height} pixels")
    if max(width, height) > limits.max_side:
        raise ImageError(
            f"the image is {width} x {height} pixels; a side may have {limits.max_side} (the limit max_side)"
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            f"the image is {width} x {height} = {width * height} pixels; "
            f"at most {limits.max_pixels} are decoded (the limit max_pixels)"
        )


def _check_frames(image: Image.Image, limits: Limits) -> None:
    if image.format in ("GIF", "PSD"):  # already counted; layers are not frames
        return
    frames = int(getattr(image, "n_frames", 1))
    if frames > limits.max_frames:
        raise ImageError(f"the image has {frames} frames, more than {limits.max_frames} (the limit max_frames)")


def _check_tiles(image: Image.Image, limits: Limits) -> None:
    """A small TIFF may be cut from a tile of any size, and the decoder makes room for the whole tile."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return
    width, height = int(tags.get(322, 1)), int(tags.get(323, 1))
    if width * height > limits.max_pixels:
        raise ImageError(f"the TIFF has tiles of {width} x {height} pixels; at most {limits.max_pixels} are decoded")


def _bits(image: Image.Image) -> int:
    """Bits of a sample where a TIFF says 12, else 16."""
    tags: Any = getattr(image, "tag_v2", None)
    return 12 if tags is not None and tags.get(258, (16,))[0] == 12 else 16


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    # Metadata that nobody can read leaves the picture as it lies; what Pillow raises here is as varied as above.
    except Exception:  # noqa: BLE001
        return 1


def _to_rgb(image: Image.Image, bits: int) -> Pixels:
    """Strip by strip, because every step of Pillow's makes another whole picture."""
    width, height = image.size
    if image.mode.startswith("I") or image.mode == "F":
        return _from_numbers(np.asarray(image), image.info.get("transparency"), bits)
    if image.mode == "P":
        _check_palette(image)
    rgb = np.empty((height, width, 3), np.uint8)
    for rows in _row_blocks(height, width):
        rgb[rows] = np.asarray(_strip_to_rgb(image.crop((0, rows.start, width, rows.stop))))
    return rgb


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode == "LAB":
        return _from_lab(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)  # stored multiplied by alpha
    rgba = (image.convert(straight) if straight else image).convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white


def _from_lab(image: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    if turned is None:
        raise ImageError("the L*a*b* colours cannot be turned into RGB")
    return turned


def _from_numbers(values: NDArray[Any], transparent: Any, bits: int) -> Pixels:
    """Grey from integers wider than 8 bits or from floats, by the rules at the top of this file."""
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("the image has pixels that are not finite numbers")
    floor, scale = 0.0, 255.0 / (2**bits - 1)
    if values.dtype.kind == "f" and low >= 0 and high <= 255:
        scale = 255.0 if high <= 1 else 1.0
    elif low < 0 or high > 2**bits - 1 or values.dtype.kind == "f":
        floor, scale = float(low), 255.0 / max(float(high) - float(low), 1e-30)
    rgb = np.empty((*values.shape, 3), np.uint8)
    for rows in _row_blocks(*values.shape):
        grey = np.rint((values[rows].astype(np.float64) - floor) * scale)
        if isinstance(transparent, int):
            grey[values[rows] == transparent] = 255
        rgb[rows] = grey.astype(np.uint8)[..., None]
    return rgb


def _check_palette(image: Image.Image) -> None:
    """A colour that the palette does not have means a damaged file (the transparent one may be anything)."""
    if image.palette is None:
        return
    colours = len(image.palette.palette) // len(image.palette.mode)
    used = np.flatnonzero(image.histogram()[:256])
    beyond = used[(used >= colours) & (used != image.info.get("transparency", -1))] if colours else used[:0]
    if beyond.size:
        raise ImageError(f"the image uses colour {beyond[0]} of a palette of {colours}; the file is damaged")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror as the orientation 2..8 asks (Exif 2.32, 4.6.4.A)."""
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _row_blocks(height: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


@contextmanager
def _no_complaints() -> Iterator[None]:
    """Turn what libtiff prints about damaged fax data into an error.

    For CCITT data, and only there, libtiff reports success after "Bad code word" and leaves the rest of the page
    blank; the complaint on the standard error is all there is. One such file is decoded at a time; what others
    print meanwhile is passed on.
    """
    with _STDERR, tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            os.dup2(caught.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            complaint = _pass_on(caught, kept)
            os.close(kept)
    if complaint:
        raise ImageError(f"the TIFF is damaged ({complaint})")


def _pass_on(caught: IO[bytes], stderr: int) -> str:
    """The first of libtiff's complaints; every other line goes to `stderr`."""
    caught.seek(0)
    complaint = ""
    for line in caught:
        if line.startswith((b"Fax3", b"Fax4", b"TIFF", b"CCITT", b"_tiff")):
            complaint = complaint or line.decode("utf-8", "replace").strip().rstrip(".")
        else:
            os.write(stderr, line)
    return complaint
