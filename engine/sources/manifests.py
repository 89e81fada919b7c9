"""JSON lines: one object an image, with where it is, perhaps its id, and anything else as meta."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from engine import schema as s
from engine.errors import SourceError
from engine.sources import files, locators
from engine.sources.base import Item, SourceOptions, checked, to_meta

URI_KEYS: Final = (s.URI, "path", "file_name", "image")
ID_KEYS: Final = (s.IMAGE_ID, "id")
_MAX_LINE: Final = 16 << 20  # bytes


class ManifestSource:
    """Relative paths count from the manifest's folder; without an id the path or URL as given is the id."""

    kind = "manifest"

    def __init__(self, uri: str, entry: files.Entry, options: SourceOptions) -> None:
        self.uri = uri
        self.ignored: dict[str, int] = {}
        self._entry = entry
        self._uri_keys = URI_KEYS if options.uri_column is None else (options.uri_column,)
        self._id_keys = ID_KEYS if options.id_column is None else (options.id_column,)

    def items(self) -> Iterator[Item]:
        """See Source; in the order of the lines. Empty lines are passed over."""
        return checked(self._items(), f"{self.uri} names no image; give a manifest with at least one line")

    def signature(self) -> str:
        """See Source. A manifest is small, and an edit may keep its size: its content is hashed too."""
        digest = hashlib.sha256(files.signature(self.kind, [self._entry]).encode())
        try:
            with files.open_file(self.uri) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise SourceError(f"cannot read {self.uri}: {error}") from error
        return digest.hexdigest()

    def _items(self) -> Iterator[Item]:
        try:
            with files.open_file(self.uri) as file:
                for number, line in _lines(self.uri, file):
                    yield self._item(number, line)
        except OSError as error:
            raise SourceError(f"cannot read {self.uri}: {error}") from error

    def _item(self, number: int, line: bytes) -> Item:
        where = f"line {number} of {self.uri}"
        fields = _parse(where, line)
        reference = self._take(where, fields, self._uri_keys)
        if reference is None:
            raise SourceError(f"{where} does not say where its image is; give one of {', '.join(self._uri_keys)}")
        image_id = self._take(where, fields, self._id_keys)
        uri = locators.of_file(files.beside(self.uri, reference))
        return Item(reference if image_id is None else image_id, uri, to_meta(fields))

    @staticmethod
    def _take(where: str, fields: dict[str, Any], keys: tuple[str, ...]) -> str | None:
        key = next((key for key in keys if fields.get(key) is not None), None)
        if key is None:
            return None
        value = fields.pop(key)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise SourceError(f"{where}: {key} must be a text or a whole number, not {json.dumps(value)[:80]}")
        return str(value)


def _lines(uri: str, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        if len(line) > _MAX_LINE:
            raise SourceError(f"line {number} of {uri} is longer than {_MAX_LINE} bytes; write one image a line")
        if line.strip():
            yield number, line


def _parse(where: str, line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{where} is not a JSON object ({error}). A manifest has one object a line, such as "
            '{"path": "a.jpg"}. A COCO file is no SOURCE: give its folder of images, '
            "and name it as a recorded specialist."
        ) from error
    if not isinstance(fields, dict):
        raise SourceError(f'{where} is not a JSON object; write lines such as {{"path": "a.jpg"}}')
    return fields
