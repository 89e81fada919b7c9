"""What the bytes of an image file say before, or instead of, decoding: format, orientation, wholeness.

Decoders forgive: Pillow stops reading a PNG when it has every row, whatever follows, and never looks at the
checksums of pixel data. A training set must not hold half an image, so the containers that can be checked are.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from engine.errors import ImageError

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}  # the whole-number types (TIFF 6.0, section 2)
_ORIENTATION_TAG = 0x0112
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")
_BMP_RLE = {1: 8, 2: 4}  # compression → bits a pixel

# What people have in folders of images and we refuse, so that the message can name it.
_REFUSED = (
    (b"%!PS", "EPS or PostScript, a program that would have to be run"),
    (b"\xc5\xd0\xd3\xc6", "EPS or PostScript, a program that would have to be run"),
    (b"\xd7\xcd\xc6\x9a", "WMF, a list of drawing commands"),
    (b"%PDF", "a PDF document"),
    (b"<svg", "SVG, a list of drawing commands"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"pk\x03\x04", "a zip archive"),
)


def is_jpeg(data: bytes) -> bool:
    """By content, never by name."""
    return data.startswith(_JPEG)


def refuse_known(data: bytes) -> None:
    """Name what is plainly not a raster image.

    Raises:
        ImageError: the data is empty, or of a kind that is refused.
    """
    if not data:
        raise ImageError("the file is empty")
    start = data[:64].lstrip().lower()
    for magic, what in _REFUSED:
        if data.startswith(magic) or start.startswith(magic):
            raise ImageError(f"this is {what}; only raster images are read")
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        raise ImageError("this is HEIC, which is not read; convert it to JPEG, PNG or AVIF")


def check_whole(data: bytes, max_frames: int) -> None:
    """Walk the containers of PNG, GIF, ICO and run-length BMP to their end.

    Raises:
        ImageError: the file is truncated or damaged, or has more than `max_frames` frames (GIF).
    """
    if data.startswith(_PNG):
        _check_png(data)
    elif data[:6] in (b"GIF87a", b"GIF89a"):
        _check_gif(data, max_frames)
    elif data[:4] == b"\x00\x00\x01\x00":
        _check_ico(data)
    elif data[:2] == b"BM" and len(data) >= 54:
        _check_bmp(data)


def jpeg_scans(data: bytes) -> int:
    """At most how many scans a JPEG has: each makes a decoder pass over the whole image again."""
    return data.count(b"\xff\xda")


def jpeg_orientation(data: bytes) -> int:
    """Orientation 1..8 from the Exif segment of a JPEG, else from its XMP, else 1 (Exif 2.32, 4.6.4.A)."""
    xmp = 1
    for marker, start, end in _jpeg_segments(data):
        if marker != 0xE1:
            continue
        if data.startswith(b"Exif\x00\x00", start):
            found = _tiff_orientation(data[start + 6 : end])
            if found:
                return found
        elif data.startswith(b"http://ns.adobe.com/xap/1.0/\x00", start):
            match = _XMP_ORIENTATION.search(data, start, end)
            xmp = int(match.group(1)) if match else xmp
    return xmp


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the payload of each segment before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in (0xDA, 0xD9):  # the first scan, or the end
            return
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if size < 2:
            return
        yield marker, at + 4, min(at + 2 + size, len(data))
        at += 2 + size


def _tiff_orientation(block: bytes) -> int:
    """The orientation in the first directory of a TIFF block; 0 where there is none or it is unreadable."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 10:
        return 0
    (at,) = struct.unpack_from(order + "I", block, 4)
    if at + 2 > len(block):
        return 0
    (entries,) = struct.unpack_from(order + "H", block, at)
    for i in range(entries):
        entry = at + 2 + 12 * i
        if entry + 12 > len(block):
            return 0
        tag, kind = struct.unpack_from(order + "HH", block, entry)
        if tag == _ORIENTATION_TAG and kind in _TIFF_TYPES:
            (value,) = struct.unpack_from(order + _TIFF_TYPES[kind], block, entry + 8)
            return value if 1 <= value <= 8 else 0
    return 0


def _check_png(data: bytes, start: int = 0) -> None:
    """Every chunk whole and with the right checksum, up to IEND (PNG 3rd edition, 5.3)."""
    at = start + len(_PNG)
    view = memoryview(data)
    while True:
        if at + 12 > len(data):
            raise ImageError(f"the PNG is truncated: it ends at byte {len(data)} without its end chunk (IEND)")
        size = int.from_bytes(view[at : at + 4], "big")
        end = at + 12 + size
        name = bytes(view[at + 4 : at + 8])
        if end > len(data):
            raise ImageError(f"the PNG is truncated: chunk {_ascii(name)} at byte {at} goes beyond the end of the file")
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ImageError(f"the PNG is damaged: chunk {_ascii(name)} at byte {at} has a wrong checksum")
        if name == b"IEND":
            return
        at = end


def _check_gif(data: bytes, max_frames: int) -> None:
    """Every block up to the trailer (GIF89a, sections 15 to 27); counts the frames on its way."""
    if len(data) < 13:
        raise ImageError("the GIF is truncated: its header is not complete")
    at, frames = 13 + _gif_colours(data[10]), 0
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return
        if kind == 0x21:
            at = _gif_subblocks(data, at + 2)
        elif kind == 0x2C and at + 10 < len(data):
            frames += 1
            if frames > max_frames:
                raise ImageError(f"the GIF has more than {max_frames} frames (the limit max_frames)")
            at = _gif_subblocks(data, at + 10 + _gif_colours(data[at + 9]) + 1)
        elif kind == 0x00:
            at += 1  # stray terminators between blocks are common and harmless
        else:
            raise ImageError(f"the GIF is damaged: there is no block of kind 0x{kind:02x}, at byte {at}")
    raise ImageError(f"the GIF is truncated: it ends at byte {len(data)} without its trailer")


def _gif_colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_subblocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _check_ico(data: bytes) -> None:
    """Every picture of an icon lies inside the file, and those that are PNGs are whole."""
    count = int.from_bytes(data[4:6], "little")
    if 6 + 16 * count > len(data):
        raise ImageError("the ICO is truncated: its directory is not complete")
    for i in range(count):
        size, start = struct.unpack_from("<II", data, 6 + 16 * i + 8)
        if start + size > len(data):
            raise ImageError(f"the ICO is truncated: picture {i} goes beyond the end of the file")
        if data.startswith(_PNG, start):
            _check_png(data[start : start + size])


def _check_bmp(data: bytes) -> None:
    """Where a BMP is run-length coded, its runs fit its rows and end with the end mark."""
    offset, header, width, height = struct.unpack_from("<IIii", data, 10)
    (compression,) = struct.unpack_from("<I", data, 30)
    if header < 40 or compression not in _BMP_RLE:
        return
    pixel_bits, at, x, y = _BMP_RLE[compression], offset, 0, 0
    while at + 2 <= len(data):
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            x += count
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return
        elif value == 2 and at + 2 <= len(data):
            x, y, at = x + data[at], y + data[at + 1], at + 2
        else:
            x += value
            at += 2 * ((value * pixel_bits + 15) // 16)
        # Some writers fill each row to a multiple of four bytes; what they add is not shown.
        if x > (width + 31) // 32 * 32 or y > abs(height):
            raise ImageError(
                f"the BMP is damaged: a run before byte {at} leaves the picture of {width} x {abs(height)}"
            )
    raise ImageError(f"the BMP is truncated: its runs end at byte {len(data)} without the end mark")


def _ascii(name: bytes) -> str:
    return repr(name.decode("latin-1"))
