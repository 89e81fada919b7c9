"""A painted scene with everything that is true of it."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

BRIEF: Final = "brief"
DETAILED: Final = "detailed"
MORE_DETAILED: Final = "more_detailed"
GRANULARITIES: Final = (BRIEF, DETAILED, MORE_DETAILED)
# A thing is named in captions when at least this much of it can be seen, and it is no mere speck.
MENTION_VISIBILITY: Final = 0.4
MENTION_AREA: Final = 0.0009  # of the image: 59 pixels at 256


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One thing: `bbox` is x, y, width, height of its visible pixels, `area` their number.

    `visibility` is `area` over the area of the whole thing, hidden parts and parts outside the image included, 0..1.
    """

    id: int
    kind: str
    colour: str
    pattern: str
    size: str
    action: str
    zone: str
    bbox: tuple[int, int, int, int]
    area: int
    visibility: float


@dataclass(frozen=True, slots=True)
class Relation:
    """`subject` predicate `object`, by object ids: holding, on, behind, above, left of."""

    subject: int
    predicate: str
    object: int


@dataclass(frozen=True, slots=True)
class Word:
    """A printed word: `quad` (4 corners x, y in pixels, clockwise from the top left of the word) and `height` in pixels."""

    text: str
    font: str
    object: int
    quad: tuple[tuple[float, float], ...]
    height: float
    visibility: float


@dataclass(frozen=True, slots=True)
class Phrase:
    """Characters `start`:`end` of a caption, naming one object or a group of a kind."""

    start: int
    end: int
    objects: tuple[int, ...]


@dataclass(slots=True)
class Caption:
    """One text and all it claims; `attributes` are (object, name, value), `actions` (object, action)."""

    text: str = ""
    phrases: list[Phrase] = field(default_factory=list)
    attributes: list[tuple[int, str, str]] = field(default_factory=list)
    actions: list[tuple[int, str]] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def objects(self) -> list[int]:
        """Ids of all objects that the text names, ascending."""
        return sorted({i for phrase in self.phrases for i in phrase.objects})


@dataclass(frozen=True, slots=True)
class Scene:
    """`pixels` (size, size, 3) RGB before compression, `owner` (size, size): the id of the object seen, 0 for none."""

    seed: int
    index: int
    difficulty: str
    setting: str
    pixels: NDArray[np.uint8]
    owner: NDArray[np.uint8]
    quality: int | None
    objects: tuple[SceneObject, ...]
    relations: tuple[Relation, ...]
    words: tuple[Word, ...]
    captions: dict[str, Caption]

    @property
    def size(self) -> int:
        """Width and height in pixels."""
        return int(self.pixels.shape[0])

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """The visible pixels (size, size) of one object."""
        return np.asarray(self.owner == object_id)
