"""What every SOURCE gives: a stream of items, each with a locator from which its bytes can be read anywhere."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import SourceError

NO_META: Final = "{}"
_FORBIDDEN: Final = ("\n", "\r", "\0")


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source, not yet read.

    `uri` is a locator (see engine.sources.locators); `meta` the source's own fields as a JSON object.
    """

    image_id: str
    uri: str
    meta: str = NO_META


class SourceOptions(BaseModel):
    """How to read a table whose columns do not have the usual names; None means found by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id_column: str | None = Field(default=None, description="column (or manifest key) with the id of the image")
    image_column: str | None = Field(default=None, description="Parquet column with the bytes of the image file")
    uri_column: str | None = Field(
        default=None, description="column (or manifest key) with the path or URL of the image"
    )


class Source(Protocol):
    """A SOURCE that has been recognised. `ignored` counts, after `items`, what was not taken, by ending or reason."""

    kind: str
    uri: str
    ignored: dict[str, int]

    def items(self) -> Iterator[Item]:
        """Every image, in the same order each time, without holding more than one folder or file in memory.

        The same image_id may come twice; the plan refuses that with both locators.

        Raises:
            SourceError: the source cannot be read, is damaged, has an impossible id, or has no images.
        """
        ...

    def signature(self) -> str:
        """SHA-256 over kind, names and sizes of the files that make the source up; none of them is opened.

        Raises:
            SourceError: the source cannot be listed.
        """
        ...


def checked(items: Iterable[Item], nothing: str) -> Iterator[Item]:
    """The same items, refused where an id cannot be one.

    Raises:
        SourceError: an impossible id, or (with the message `nothing`) not a single item.
    """
    empty = True
    for item in items:
        empty = False
        _check_id(item)
        yield item
    if empty:
        raise SourceError(nothing)


def _check_id(item: Item) -> None:
    if not item.image_id:
        raise SourceError(f"{item.uri} has an empty id; every image needs one of its own")
    for character in _FORBIDDEN:
        if character in item.image_id:
            raise SourceError(f"{item.uri!r} has the id {item.image_id!r}; an id must not contain line ends or NUL")
    for text in (item.image_id, item.uri):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{text!r} is not valid UTF-8; rename it, because tables store text as UTF-8") from error


def to_meta(fields: dict[str, Any]) -> str:
    """A JSON object in ASCII-or-UTF-8 text; what JSON cannot say (NaN, infinities) becomes null, dates text."""
    try:
        return json.dumps(fields, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(fields), ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
