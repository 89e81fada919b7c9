"""What `fld sweep --set` says: one setting with several values, and settings that stay."""

import re
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from engine.errors import ConfigError

MOST: Final = 200  # values of one sweep; more is a mistake in the step
SWEPT: Final = ("filters.", "consensus.")
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):({_NUMBER})")
_HOW = "write a.b=START:STOP:STEP or a.b=VALUE,VALUE"

Value = tuple[str, Any]  # as it is written, and what it means


def parse(settings: Sequence[str]) -> tuple[str, list[Value], list[str]]:
    """The swept setting, its values in the order given, and the other settings as they are.

    `a.b=0.1:0.5:0.1` is a range with both ends, computed in decimals; `a.b=0.3,0.5` is a list. Anything that is a
    value by itself, such as `a.b=["x", "y"]`, is fixed.

    Raises:
        ConfigError: no setting or several are swept, a range is empty or has too many values, or the swept setting
            is no decision's.
    """
    swept = [(text, values) for text in settings if len(values := _values(text)) > 1]
    if len(swept) != 1:
        named = " and ".join(text for text, _ in swept) or "none"
        raise ConfigError(f"one --set must name several values, and only one; here {named}. For it, {_HOW}")
    ((text, values),) = swept
    key = text.partition("=")[0]
    if not key.startswith(SWEPT):
        raise ConfigError(f"--set {text}: only decisions can be swept, by settings under filters and consensus")
    return key, values, [other for other in settings if other != text]


def _values(text: str) -> list[Value]:
    _, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: write it as a.b=value")
    if match := _RANGE.fullmatch(value):
        return [(str(number), _meant(str(number))) for number in _range(text, *map(Decimal, match.groups()))]
    if "," not in value or _toml(value) is not None:
        return [(value, _meant(value))]
    return [(part.strip(), _meant(part.strip())) for part in value.split(",")]


def _range(text: str, start: Decimal, stop: Decimal, step: Decimal) -> list[Decimal]:
    if step <= 0 or stop <= start:
        raise ConfigError(f"--set {text}: a range goes up from START to STOP by STEP above 0")
    count = int((stop - start) / step) + 1
    if not 2 <= count <= MOST:
        raise ConfigError(f"--set {text}: that is {count} values; a sweep has 2 to {MOST}")
    return [start + step * i for i in range(count)]


def _meant(text: str) -> Any:
    """A TOML value, or a bare word."""
    parsed = _toml(text)
    return text if parsed is None else parsed


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return None
