"""The eight roles, and how a class becomes a specialist.

A specialist is a class with a nested pydantic `Config`, `__init__(config)`, `load(device)` and the one batched
method of its role. `load` imports what is heavy and reads weights; nothing else may. The decorator only labels
the class; `specialists.registry` finds it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.records import Captions, Composition, Groundings, Image, Masks, Phrases, Readings, Regions, Scene
from engine.tokens import Tokens

# Keys of a specialist's configuration that name files. Relative ones are relative to the configuration; a file's
# content (`weights`), not its place, is what goes into a fingerprint.
LOCATIONS: Final = ("path", "index")

Role = Literal["detector", "reader", "captioner", "grounder", "segmenter", "scorer", "writer", "parser"]


class SpecialistConfig(BaseModel):
    """What every specialist can be told; subclasses add their own keys. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    batch_size: int = Field(16, ge=1, description="images (or texts) for one call; halved when memory runs out")


class Specialist(Protocol):
    """What every role shares."""

    def __init__(self, config: Any) -> None: ...

    def load(self, device: str) -> None:
        """Import and read weights. `device` is "cpu" or "cuda".

        Raises:
            WeightsMissing: a file or package is not there; the message says how to get it.
        """


class Detector(Specialist, Protocol):
    def detect(self, images: Sequence[Image]) -> list[Regions]: ...


class Reader(Specialist, Protocol):
    def read(self, images: Sequence[Image]) -> list[Readings]: ...


class Captioner(Specialist, Protocol):
    def caption(self, images: Sequence[Image]) -> list[Captions]: ...


class Grounder(Specialist, Protocol):
    def ground(self, images: Sequence[Image], phrases: Sequence[Phrases]) -> list[Groundings]: ...


class Segmenter(Specialist, Protocol):
    def segment(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[Masks]: ...


class Scorer(Specialist, Protocol):
    def score(self, images: Sequence[Image], texts: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]: ...


class Writer(Specialist, Protocol):
    """Who writes in words of its own: its texts are parsed, and their phrases looked for in the image."""

    def write(self, scenes: Sequence[Scene]) -> list[Captions]: ...


class Composer(Specialist, Protocol):
    """A Writer that has no weights, never sees pixels and knows what its words are and speak of.

    It implements this instead of `write`. It must be a pure function of the scene and quick: it is asked within a
    decision, again for every changed threshold, and is never loaded.
    """

    def compose(self, scenes: Sequence[Scene]) -> list[Composition]: ...


class Parser(Specialist, Protocol):
    def parse(self, texts: Sequence[str]) -> Tokens: ...


@dataclass(frozen=True, slots=True)
class Card:
    """What the registry knows of a specialist without loading it.

    `weights`: where they come from, in a few words. `pixels`: it looks at pixels (recorded predictions do not).
    `crops`: a captioner that can describe crops. `revision` rises when the same weights and configuration would
    answer differently.
    """

    name: str
    role: Role
    cls: type
    needs: tuple[str, ...] = ()
    licence: str = ""
    about: str = ""
    weights: str = "none"
    revision: int = 1
    pixels: bool = True
    crops: bool = False
    cpus: float = 1.0
    gpus: float = 0.0


S = TypeVar("S", bound=type)
CARDS = "__fld_cards__"


def specialist(
    name: str,
    role: Role,
    *,
    needs: Sequence[str] = (),
    licence: str = "",
    weights: str = "none",
    revision: int = 1,
    pixels: bool = True,
    crops: bool = False,
    cpus: float = 1.0,
    gpus: float = 0.0,
) -> Callable[[S], S]:
    """Label a class as the specialist `name` of `role`; one class may be labelled for several roles."""

    def label(cls: S) -> S:
        about = (cls.__doc__ or "").strip().partition("\n")[0]
        card = Card(name, role, cls, tuple(needs), licence, about, weights, revision, pixels, crops, cpus, gpus)
        setattr(cls, CARDS, (*cls.__dict__.get(CARDS, ()), card))
        return cls

    return label


class HasWeights(Protocol):
    """Optional: the files whose content is part of a specialist's identity (hashed into the fingerprint)."""

    def weights(self) -> Sequence[Path]: ...


class HasLikeness(Protocol):
    """Optional, for a scorer that also knows how alike words are."""

    def likeness(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The cosine of every two of n words as names of things: (n, n), -1..1."""


class HasDescribe(Protocol):
    """Optional, for a captioner of crops that says more than one thing of an image: only the brief text of a crop."""

    def describe(self, crops: Sequence[Image]) -> list[Captions]: ...


class HasSurvey(Protocol):
    """Optional: look, before any job, at which images it will be asked about; the answers are shown to the user."""

    def survey(self, image_ids: Iterable[str]) -> Sequence[str]: ...
