"""Grounding without pixels: a phrase is found among the accepted regions by what its head noun means.

The words come from `data/label_words.toml` (COCO's 80 names) and from the configuration; labels beyond the table match
by their own name, and by its last word ("office chair" is a chair).
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine import geometry
from engine.records import Groundings, Image, Phrases, Regions
from specialists import nouns
from specialists.base import SpecialistConfig, specialist

# How well a word fits a label; our choice, meant to order candidates: the same name, another name for the thing or
# for one kind of it, a wider kind that it belongs to.
EXACT: Final = 1.0
SYNONYM: Final = 0.9
WIDER: Final = 0.7
_LONGEST: Final = 3  # words of the longest name in the table
_NONE: Final[frozenset[str]] = frozenset()


class LabelMatchConfig(SpecialistConfig):
    """Words of your own."""

    synonyms: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description='further words for a label: {"forklift" = ["lift truck", "stacker"]}'
    )


@dataclass(frozen=True, slots=True)
class Words:
    """What words mean: `names` word -> labels it is a name for, `kinds` word -> labels it is a wider kind of."""

    names: Mapping[str, frozenset[str]]
    kinds: Mapping[str, frozenset[str]]
    collectives: Mapping[str, tuple[int, frozenset[str]]]
    others: frozenset[str]
    labels: frozenset[str]


@specialist("label_match", "grounder", pixels=False, licence="AGPL-3.0-or-later")
class LabelMatch:
    """Finds a phrase among the consensus regions by its head noun, its synonyms and wider kinds."""

    Config = LabelMatchConfig

    def __init__(self, config: LabelMatchConfig) -> None:
        self.config = config
        self._words: Words | None = None

    def load(self, device: str) -> None:  # noqa: ARG002 (words need no device)
        """Read the table."""
        self._words = _extended(shipped_words(), self.config.synonyms)

    def ground(self, images: Sequence[Image], phrases: Sequence[Phrases]) -> list[Groundings]:
        """The regions that each phrase names.

        A phrase for one thing gets the best region (how well the label fits, then score, then size), one for n things
        the best n, and a plural of unknown number all. A score is fit (1, 0.9 or 0.7) times the region's score, and
        less in proportion where a phrase asks for more things than there are.
        """
        words = self._words or _extended(shipped_words(), self.config.synonyms)
        return [_ground(asked, words) for _, asked in zip(images, phrases, strict=True)]


def _ground(asked: Phrases, words: Words) -> Groundings:
    found: list[tuple[int, int, float]] = []
    labels = [normal(label) for label in asked.regions.labels]
    sizes = geometry.area(asked.regions.boxes)
    for i, (text, head, number) in enumerate(zip(asked.texts, asked.heads, asked.numbers.tolist(), strict=True)):
        # A bare singular ("man on horse") has no number of its own, -1; it mostly means one.
        asked_for = number if number >= 0 else 1
        sense, wanted = meaning(text, head, asked_for, words, frozenset(labels))
        fit = np.array([sense.fit(label, words) for label in labels], np.float64)
        chosen = _choose(fit, wanted, asked.regions, sizes)
        share = min(1.0, len(chosen) / wanted) if wanted else 1.0
        found += [(i, k, float(fit[k] * asked.regions.scores[k]) * share) for k in chosen]
    return Groundings(
        np.array([i for i, _, _ in found], np.int32),
        asked.regions.boxes[[k for _, k, _ in found]].reshape(-1, 4).astype(np.float32),
        np.array([score for _, _, score in found], np.float32),
    )


def _choose(fit: NDArray[np.float64], number: int, regions: Regions, sizes: NDArray[np.float32]) -> list[int]:
    """Indices of the chosen regions, best first."""
    if not fit.any():
        return []
    if fit.max() >= SYNONYM:
        fit = np.where(fit >= SYNONYM, fit, 0)  # a wider kind only where nothing goes by the name
    crowd = np.zeros(len(fit), np.bool_) if regions.crowd is None else regions.crowd
    # A box around a crowd is none of the things in it, so it comes last where single things are asked for.
    last = crowd if number else np.zeros_like(crowd)
    order = np.lexsort((np.arange(len(fit)), -sizes, -regions.scores, -fit, last))
    chosen = [int(k) for k in order if fit[k] > 0]
    return chosen[:number] if number else chosen


@dataclass(frozen=True, slots=True)
class Sense:
    """What a phrase means: a word (or compound) and as it was spoken ("ski", "skis"), or any of some labels.

    Neither: nothing that a label could be.
    """

    word: str = ""
    spoken: str = ""
    labels: frozenset[str] = frozenset()

    def fit(self, label: str, words: Words) -> float:
        """How well a normalised label fits: 1, 0.9, 0.7 or 0."""
        if self.labels:
            return WIDER if label in self.labels or words.names.get(label, _NONE) & self.labels else 0.0
        word = self.word
        if not word:
            return 0.0
        if label == self.spoken or nouns.singular(label) == nouns.singular(word):
            return EXACT
        if label in words.names.get(word, _NONE) or word in words.names.get(label, _NONE):
            return SYNONYM
        kind = words.kinds.get(word, _NONE)
        if label in kind or words.names.get(label, _NONE) & kind:
            return WIDER
        unknown = label not in words.labels and label not in words.names
        return WIDER if unknown and nouns.singular(label.rpartition(" ")[2]) == word else 0.0


def meaning(text: str, head: str, number: int, words: Words, labels: frozenset[str]) -> tuple[Sense, int]:
    """What a phrase asks for, and how many (0: unknown). `labels` are the normalised labels at hand.

    "a crowd", "a group of dogs": the things in it, with the number of the collective.
    """
    tokens = normal(text).split()
    head = normal(head)
    at = _position(tokens, head)
    after = tokens[at + 1 :]
    if head in words.collectives:
        count, of = words.collectives[head]
        if after[:1] == ["of"] and len(after) > 1:
            inner, _ = meaning(" ".join(after[1:]), nouns.singular(after[-1]), 0, words, labels)
            return inner, count
        return Sense(labels=of), count
    for n in range(min(_LONGEST, at + 1), 0, -1):
        before = tokens[at - n + 1 : at]
        spoken = " ".join([*before, tokens[at]]) if tokens else ""
        word = " ".join([*before, head])
        if spoken in words.others and after[:1] != ["of"]:  # "glasses", but "glasses of wine"
            return Sense(), number
        if word in words.names or word in words.kinds or word in words.labels or word in labels or n == 1:
            return Sense(word, spoken), number
    return Sense(), number


def normal(text: str) -> str:
    """Lower case, hyphens and underscores as spaces, no punctuation."""
    return " ".join(re.sub(r"[^\w\s']|_", " ", text.lower()).split())


def _position(tokens: Sequence[str], head: str) -> int:
    """Where the head noun stands: its last occurrence, else the last word."""
    hits = [i for i, token in enumerate(tokens) if head in (token, nouns.singular(token))]
    return hits[-1] if hits else max(0, len(tokens) - 1)


@cache
def shipped_words() -> Words:
    """The table in `data/label_words.toml`."""
    table: dict[str, Any] = tomllib.loads(files("specialists").joinpath("data/label_words.toml").read_text("utf-8"))
    return Words(
        _inverted(table["words"]),
        {kind: frozenset(labels) for kind, labels in table["kinds"].items()},
        {word: (int(said["number"]), frozenset(said["of"])) for word, said in table["collectives"].items()},
        frozenset(table["others"]["words"]),
        frozenset(table["words"]),
    )


def _inverted(synonyms: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for label, words in synonyms.items():
        for word in words:
            found.setdefault(normal(word), set()).add(normal(label))
    return {word: frozenset(labels) for word, labels in found.items()}


def _extended(words: Words, synonyms: Mapping[str, Sequence[str]]) -> Words:
    names = dict(words.names)
    for word, labels in _inverted(synonyms).items():
        names[word] = names.get(word, _NONE) | labels
    return replace(words, names=names, labels=words.labels | {normal(label) for label in synonyms})
