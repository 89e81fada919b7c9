"""The pictures of a page: read from their source once more, made small, or a sentence that says why not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import ImageError, ReadError
from engine.images import Limits, decode, sha256
from engine.sources import read_many

SIDE: Final = 768  # longest side in pixels
MAX_BYTES: Final = 150_000  # of one picture: 64 of them, in base64, stay under 13 MB
_QUALITIES: Final = (82, 70, 55)


@dataclass(frozen=True, slots=True)
class Picture:
    """JPEG bytes, or none and a sentence about what is missing."""

    jpeg: bytes
    missing: str = ""


def pictures(uris: Sequence[str], checksums: Sequence[str], limits: Limits) -> Iterator[Picture]:
    """A small picture for each locator; `checksums` are the sha256 of the files when they were annotated."""
    for data, checksum in zip(read_many(uris, limits.max_bytes), checksums, strict=True):
        yield _picture(data, checksum, limits)


def _picture(data: bytes | ImageError | ReadError, checksum: str, limits: Limits) -> Picture:
    if isinstance(data, (ImageError, ReadError)):
        return Picture(b"", f"{data}")
    if sha256(data) != checksum:
        return Picture(b"", "the file at its place is another than the one that was annotated")
    try:
        return Picture(shrink(decode(data, limits).pixels))
    except ImageError as error:
        return Picture(b"", f"{error}")


def shrink(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG of at most SIDE pixels a side and MAX_BYTES, of RGB `pixels` (height, width, 3).

    Small pictures keep their size. Where the best quality is too large, a lower one is taken, then fewer pixels.
    """
    import cv2
    import simplejpeg

    side = SIDE
    while True:
        scale = min(1.0, side / max(pixels.shape[:2]))
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        for quality in _QUALITIES:
            jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(small), quality=quality, colorsubsampling="420")
            if len(jpeg) <= MAX_BYTES:
                return jpeg
        side = max(small.shape[:2]) * 3 // 4
