"""JSON files of any size, item by item, read once; an error names the file and the position."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine.errors import ConfigError

_CHUNK: Final = 1 << 18
_BOM: Final = b"\xef\xbb\xbf"
# JSON has no NaN, but Python's json writes it; the strings are matched so that the same word inside one is left alone.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)', re.DOTALL)
_LITERAL: Final = 9  # len("-Infinity")
_LONGEST_STRING: Final = 1 << 24


def is_list(path: Path) -> bool:
    """Whether the file holds a list (else it is taken for an object)."""
    with path.open("rb") as file:
        return file.read(1 << 16).removeprefix(_BOM).lstrip()[:1] == b"["


class NotStrictError(ConfigError):
    """The file is not quite JSON; reading it again with `tolerant` may succeed."""


def stream(path: Path, sinks: Mapping[str, Callable[[Any], None]], tolerant: bool) -> None:
    """Hand each item of each list to its sink: `sinks` maps an ijson prefix ("images.item") to a function.

    All lists are read in one pass, whatever their order. `tolerant` also reads NaN, Infinity and integers beyond 64
    bits, which strict JSON parsers refuse; it is several times slower.

    Raises:
        NotStrictError: the file is not strict JSON, and `tolerant` is off.
        ConfigError: the file is not JSON; the message says where it stops to be.
    """
    import ijson

    chunks = _tolerant(_chunks(path)) if tolerant else _chunks(path)
    parsers = [ijson.items_coro(_Sink(sink), prefix, use_float=not tolerant) for prefix, sink in sinks.items()]
    try:
        for chunk in chunks:
            for parser in parsers:
                parser.send(chunk)
        for parser in parsers:
            parser.close()  # raises when the text is not complete
    except ijson.JSONError as error:
        if not tolerant:
            raise NotStrictError(f"{path} is not strict JSON") from error
        raise ConfigError(_explain(path, error)) from error


def top_level_keys(path: Path) -> list[str]:
    """The keys of the object in the file, in order; [] for a list. For messages: it looks at every token."""
    import ijson

    keys: list[str] = []

    def note(event: tuple[str, str, Any]) -> None:
        if event[:2] == ("", "map_key"):
            keys.append(str(event[2]))

    parser = ijson.parse_coro(_Sink(note))
    for chunk in _tolerant(_chunks(path)):
        parser.send(chunk)
    return keys


class _Sink:
    """What ijson pushes to: an object with `send`."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self.send = take

    def close(self) -> None:
        """Nothing to flush."""


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        first = file.read(_CHUNK)
        if first:
            yield first.removeprefix(_BOM)
        yield from _rest(file)


def _rest(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _tolerant(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text with null for NaN and Infinity outside strings."""
    rest = b""
    for chunk in chunks:
        clean, rest = _clean(rest + chunk)
        if len(rest) > _LONGEST_STRING:  # no string is that long: it is not JSON, and the parser will say so
            clean, rest = clean + rest, b""
        if clean:  # to ijson an empty piece is the end
            yield clean
    yield b"".join(_clean(rest + b" " * _LITERAL))


def _clean(text: bytes) -> tuple[bytes, bytes]:
    """What can be judged already, cleaned, and the rest (an open string, or what may become a literal)."""
    out, position = [], 0
    for match in _TOKEN.finditer(text):
        opened = text.find(b'"', position, match.start())
        if opened >= 0:
            break
        token = match.group()
        out += [text[position : match.start()], token if token[:1] == b'"' else b"null"]
        position = match.end()
    opened = text.find(b'"', position)
    end = opened if opened >= 0 else max(position, len(text) - _LITERAL)
    return b"".join([*out, text[position:end]]), text[end:]


def _explain(path: Path, error: Exception) -> str:
    """The message for a file that is not JSON: line and column of the first byte that cannot be read."""
    reason = str(error).removeprefix("b'").split("\\n")[0].split("\n")[0].strip()
    position = _position(path)
    if position is None:
        return f"{path} is not complete JSON: it ends too early ({path.stat().st_size} bytes). Was a copy cut off?"
    line, column, offset = position
    return f"{path} is not JSON: {reason} at line {line}, column {column} (byte {offset}). Mend or recreate the file."


def _position(path: Path) -> tuple[int, int, int] | None:
    """Line and column from 1 and byte offset from 0 where parsing fails; None at the end of the file."""
    broken = _failing(_tolerant(_chunks(path)))
    if broken is None:
        return None
    parser = _parser()
    offset, line, line_start = 0, 1, 0
    for i, chunk in enumerate(_tolerant(_chunks(path))):
        # Byte by byte only where the failure is known to be.
        pieces = [chunk] if i < broken else [chunk[k : k + 1] for k in range(len(chunk))]
        for piece in pieces:
            if _refuses(parser, piece):
                return line, offset - line_start + 1, offset
            if b"\n" in piece:
                line, line_start = line + piece.count(b"\n"), offset + piece.rindex(b"\n") + 1
            offset += len(piece)
    return None


def _failing(chunks: Iterator[bytes]) -> int | None:
    parser = _parser()
    return next((i for i, chunk in enumerate(chunks) if _refuses(parser, chunk)), None)


def _refuses(parser: Any, text: bytes) -> bool:
    import ijson

    try:
        parser.send(text)
    except ijson.JSONError:
        return True
    return False


def _parser() -> Any:
    import ijson

    return ijson.basic_parse_coro(_Sink(lambda _: None))
