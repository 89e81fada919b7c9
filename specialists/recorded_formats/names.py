"""When a record's file name and an image id mean the same image.

Names are compared by whole path components, from the right, without an image's file extension. Two names fit when
one is the tail of the other: `train2017/7.jpg` fits `7`, `7.png` and `coco/train2017/7.jpg`, and does not fit
`val2017/7.jpg`, because folders that contradict each other are evidence of two different images.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

# Only these count as extensions: a tar key such as "crop.v2" has none.
_SUFFIX = re.compile(
    r"jpe?g|jpe|jfif|png|webp|bmp|dib|gif|tiff?|avif|hei[cf]|jp2|j2k|jpx|p[pgbn]m|ico|tga",
    re.IGNORECASE,
)


class Entry(NamedTuple):
    """One image of the record file; width and height are 0 where the file does not say."""

    key: int
    name: str
    id: str
    width: int
    height: int


def components(name: str) -> list[str]:
    """The path components of a name, with its extension; empty, "." and leading ".." components are left out."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    return parts


def without_suffix(part: str) -> str:
    """A last component without an image's file extension."""
    stem, dot, suffix = part.rpartition(".")
    return stem if dot and stem and _SUFFIX.fullmatch(suffix) else part


def backwards(name: str) -> str:
    """The key by which names are compared: components from the last to the first, no extension.

    Every name that ends like this one has a key that begins like this one's, so an ordered index finds both.
    """
    parts = components(name)
    if parts:
        parts[-1] = without_suffix(parts[-1])
    return "/".join(reversed(parts))


def tails(key: str) -> list[str]:
    """The keys of all shorter names that end like the name of `key`, longest first."""
    parts = key.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


def best(rows: Sequence[Entry], image_id: str) -> list[Entry]:
    """Of entries that fit equally well, those that also agree in the extension, if there are any."""
    if len(rows) < 2:
        return list(rows)
    wanted = components(image_id)
    for count in (len(wanted), 1):
        same = [row for row in rows if components(row.name)[-count:] == wanted[-count:]]
        if same:
            return same
    return list(rows)


def is_text(name: str) -> bool:
    """Whether a name is Unicode; a file name that is not UTF-8 reaches Python with lone surrogates and fits nothing."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def number_of(image_id: str) -> str | None:
    """The image number that an id stands for ("000000391895.jpg" is number 391895), or None."""
    parts = components(image_id)
    stem = without_suffix(parts[-1]) if parts else ""
    return (stem.lstrip("0") or "0") if stem.isascii() and stem.isdigit() else None


def contradicts(name: str | None, number: str) -> bool:
    """Whether a record's file name is itself a number, and another one: then its id does not name files."""
    other = number_of(name) if name else None
    return other is not None and other != number


def id_text(value: object) -> str | None:
    """An id from JSON or Parquet as text: 7, 7.0 and "7" are the same; None for what cannot be an id."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return value or None
    if isinstance(value, int):
        return str(value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return str(int(number)) if math.isfinite(number) and number == int(number) else None
