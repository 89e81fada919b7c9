"""Is this value what the format promises? One function a kind of value; a RecordError says what is wrong."""

import math
from collections.abc import Sequence
from decimal import Decimal
from reprlib import Repr
from typing import Any

from engine.errors import RecordError

GRANULARITIES = ("brief", "detailed", "more_detailed")


def short(value: Any) -> str:
    """A value as it may stand in a message, never longer than a line."""
    brief = Repr()
    brief.maxstring = brief.maxother = 60
    return brief.repr(value)


def number(value: Any, what: str) -> float:
    """A finite number.

    Raises:
        RecordError: it is not one (text, true, NaN, infinite, missing).
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise RecordError(f"{what} is {short(value)}, not a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise RecordError(f"{what} is {short(value)}, not a finite number")
    return result


def numbers(value: Any, count: int, what: str) -> list[float]:
    """A list of exactly `count` finite numbers.

    Raises:
        RecordError: it is not.
    """
    if not isinstance(value, (list, tuple)):
        raise RecordError(f"{what} is {short(value)}, not a list of {count} numbers")
    if len(value) != count:
        raise RecordError(f"{what} has {len(value)} numbers, not {count}")
    return [number(v, what) for v in value]


def box(corners: Sequence[float], what: str) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) with a width and a height above zero.

    Raises:
        RecordError: it has none.
    """
    x0, y0, x1, y1 = corners
    if x1 < x0 or y1 < y0:
        raise RecordError(f"{what} has a negative size ({x1 - x0:g} x {y1 - y0:g})")
    if x1 == x0 or y1 == y0:
        raise RecordError(f"{what} has no area ({x1 - x0:g} x {y1 - y0:g})")
    return x0, y0, x1, y1


def box_xywh(value: Any, what: str = "bbox") -> tuple[float, float, float, float]:
    """COCO's [x, y, width, height] as (x0, y0, x1, y1).

    Raises:
        RecordError: it is not four finite numbers, or has no area.
    """
    x, y, w, h = numbers(value, 4, what)
    return box((x, y, x + w, y + h), what)


def score(value: Any, what: str = "score") -> float:
    """A score in 0..1.

    Raises:
        RecordError: it is not.
    """
    result = number(value, what)
    if not 0.0 <= result <= 1.0:
        raise RecordError(f"{what} is {result:g}, outside 0..1")
    return result


def text(value: Any, what: str) -> str:
    """A text with something in it, runs of white space made one space.

    Raises:
        RecordError: it is no text, is empty, or holds code points that are no characters.
    """
    if not isinstance(value, str):
        raise RecordError(f"{what} is {short(value)}, not text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise RecordError(f"{what} holds code points that are no characters") from None
    result = " ".join(value.replace("\0", " ").split())
    if not result:
        raise RecordError(f"{what} is empty")
    return result


def granularity(value: Any) -> str:
    """One of the three granularities.

    Raises:
        RecordError: it is something else.
    """
    if value not in GRANULARITIES:
        raise RecordError(f"granularity is {short(value)}, not one of {', '.join(GRANULARITIES)}")
    return str(value)
