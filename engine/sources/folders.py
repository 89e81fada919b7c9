"""A folder of images, with all its folders below."""

from collections import Counter
from collections.abc import Iterator

from engine.images import IMAGE_SUFFIXES
from engine.sources import files, locators
from engine.sources.base import Item, checked


class FolderSource:
    """The id of an image is its path below the folder, with its ending: `train/0001.jpg`."""

    kind = "folder"

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.ignored: dict[str, int] = {}

    def items(self) -> Iterator[Item]:
        """See Source; sorted by id."""
        nothing = (
            f"{self.uri} has no images. Files count as images by their endings ({' '.join(sorted(IMAGE_SUFFIXES))}); "
            "give a folder that has some, or a manifest that names them."
        )
        return checked(self._items(), nothing)

    def _items(self) -> Iterator[Item]:
        ignored: Counter[str] = Counter()
        for entry in files.walk(self.uri, ignored):
            ending = files.suffix(entry.name)
            if ending in IMAGE_SUFFIXES:
                yield Item(entry.name, locators.of_file(entry.uri))
            else:
                ignored[ending or files.NO_ENDING] += 1
        self.ignored = dict(sorted(ignored.items()))

    def signature(self) -> str:
        """See Source."""
        found = files.walk(self.uri, Counter(), sizes=True)
        return files.signature(self.kind, (entry for entry in found if files.suffix(entry.name) in IMAGE_SUFFIXES))
