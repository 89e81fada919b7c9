"""The things of a scene as the template speaks of them: by label, with number, article and place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engine.records import Scene
from specialists import nouns
from specialists.template_trees import (
    IMAGE,
    THE,
    Tree,
    adjective,
    determiner,
    noun,
    of,
    preposition,
)

NUMBERS: Final = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_FILLS: Final = 0.6  # share of the image from which a thing takes up most of it
_SIDE: Final = 1 / 3  # the image is named in thirds
_MOST: Final = adjective("most", "most", "JJS", "obj").having("obj", after=(of(IMAGE),))
FILLING: Final = Tree("filling", "VERB", "VBG", "acl", "fill", after=(_MOST,))
# Words of labels that are no nouns; every other word before the last is part of a compound.
_QUALITIES: Final = frozenset(
    [
        *("hot", "potted", "stuffed", "remote", "musical", "human", "personal", "wild", "fresh", "mobile", "cellular"),
        *("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "grey", "gray"),
        *("big", "small", "large", "tall", "short", "long", "round", "flat", "open", "old", "young", "electric"),
        *("wooden", "mechanical", "digital", "polar", "domestic", "marine", "high", "soft", "sweet", "common"),
    ]
)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """All things of one label: `count` of them (`crowd`: and uncountable groups), their boxes as shares of the image,
    and the rows of the scene's regions that they are."""

    name: str
    count: int
    crowd: bool
    boxes: tuple[Box, ...]
    rows: tuple[int, ...]
    score: float

    @property
    def area(self) -> float:
        """Summed shares of the image."""
        return sum(area(box) for box in self.boxes)

    @property
    def many(self) -> bool:
        """Whether the noun takes a plural verb."""
        return not nouns.is_mass(self.name) and (self.count > 1 or nouns.is_pair(self.name) or self._uncounted)

    @property
    def _uncounted(self) -> bool:
        return self.crowd and self.count > 0

    def phrase(self) -> Tree:
        """With a number or an indefinite article: "three dogs", "an apple", "some broccoli", "a group of people"."""
        if nouns.is_mass(self.name):
            return self._noun(determiner("some"))
        if self.crowd:
            if self.count:
                return self._noun(adjective("many"), plural=True)
            return noun("group", "", determiner("a")).having("obj", after=(of(self._noun(plural=True)),))
        if nouns.is_pair(self.name):
            alone = self.count == 1
            pair = noun("pair", "", determiner("a")) if alone else noun("pairs", "pair", self._number(), plural=True)
            return pair.having("obj", after=(of(self._noun()),))
        if self.count == 1:
            return self._noun(determiner(nouns.article(self.name)), number=1)
        return self._noun(self._number(), plural=True, number=self._told)

    def definite(self) -> Tree:
        """The same things again: "the three dogs", "the apple"."""
        if self.crowd and not self.count:
            return noun("group", "", THE).having("obj", after=(of(self._noun(plural=True)),))
        if nouns.is_pair(self.name) or nouns.is_mass(self.name):
            return self._noun(THE)
        if self.count == 1 and not self.crowd:
            return self._noun(THE, number=1)
        if self.crowd or not self._told:
            return self._noun(THE, plural=True)
        return self._noun(THE, self._number(), plural=True, number=self._told)

    @property
    def _told(self) -> int:
        """How many, 0 where that is not said."""
        return self.count if self.count < len(NUMBERS) else 0

    def _number(self) -> Tree:
        if self._told:
            return Tree(NUMBERS[self.count], "NUM", "CD", "nummod", NUMBERS[self.count])
        than = Tree("than", "ADP", "IN", "fixed", "than")
        more = Tree("more", "ADJ", "JJR", "advmod", "more", after=(than,))
        return Tree("dozen", "NUM", "CD", "nummod", "dozen", before=(more, determiner("a")))

    def _noun(self, *before: Tree, plural: bool = False, number: int = 0) -> Tree:
        """The label after what stands before it, as what speaks of these regions."""
        several = plural or nouns.is_pair(self.name)
        tree = _label(nouns.plural(self.name) if plural else self.name, self.name, several)
        return replace(tree.having("obj", before=before), regions=self.rows, number=number)


def kinds_of(scene: Scene, least: float = 0.0) -> list[Kind]:
    """The things in the scene by label, those that cover most of the image first; of a score of at `least` so much."""
    regions = scene.regions
    size = np.array([scene.width, scene.height] * 2, np.float64)
    crowd = np.zeros(len(regions.labels), np.bool_) if regions.crowd is None else regions.crowd
    members: dict[str, list[int]] = {}
    for i, label in enumerate(regions.labels):
        name = name_of(label)
        if name and regions.scores[i] >= least:
            members.setdefault(name, []).append(i)
    kinds = []
    for name, rows in members.items():
        boxes = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in regions.boxes[rows] / size)
        single = sum(1 for i in rows if not crowd[i])
        score = float(np.mean(regions.scores[rows]))
        kinds.append(Kind(name, single, single < len(rows), boxes, tuple(rows), score))
    return sorted(kinds, key=lambda kind: (-round(kind.area, 6), -kind.score, kind.name))


def name_of(label: str) -> str:
    """A label as a noun in the singular: "fire_hydrant" and "Fire Hydrants" are "fire hydrant"."""
    plain = " ".join(re.sub(r"\([^)]*\)|[_/|;,]+", " ", label).split())
    words = [word if word.isupper() and len(word) < 5 else word.lower() for word in plain.split()]
    name = nouns.singular(" ".join(words))
    return "TV" if name == "tv" else name


def _label(text: str, name: str, several: bool) -> Tree:
    """The words of a label, whose singular is `name`: "fire hydrants" is headed by its last word, "bag of chips" by
    "bag"."""
    words, lemmas = text.split(), name.split()
    end = words.index("of", 1) if "of" in words[1:-1] else len(words)
    head = noun(words[end - 1], lemmas[end - 1], *map(_modifier, words[: end - 1]), plural=several)
    if end == len(words):
        return head
    rest = " ".join(words[end + 1 :])
    single = nouns.singular(rest)
    return head.having("obj", after=(of(_label(rest, single, rest != single)),))


def _modifier(word: str) -> Tree:
    if word in _QUALITIES:
        return adjective(word)
    if not any(c.isalpha() for c in word):
        return (
            Tree(word, "NUM", "CD", "nummod", word) if word.isdecimal() else Tree(word, "SYM", "SYM", "compound", word)
        )
    return noun(word, dep="compound")


def place(kind: Kind) -> Tree | None:
    """Where the things are in the image, as an adverbial ("on the left"); None where they are all over it."""
    if len(kind.boxes) == 1 and kind.area >= _FILLS:
        return FILLING
    centres = [centre(box) for box in kind.boxes]
    columns, rows = {_third(x) for x, _ in centres}, {_third(y) for _, y in centres}
    if len(columns) == 1:
        x, y = centres[0]
        return spot(x, y if len(rows) == 1 else 0.5)
    if len(rows) == 1 and rows != {1}:
        edge = noun("top" if rows == {0} else "bottom", "", preposition("along"), THE)
        return edge.having("nmod", after=(of(IMAGE),))
    return None


def spot(x: float, y: float) -> Tree:
    """A point (shares of the image) in words: "in the center", "at the top left"."""
    column, row = ("left", "center", "right")[_third(x)], ("top", "middle", "bottom")[_third(y)]
    if row == "middle":
        return noun(column, "", preposition("in" if column == "center" else "on"), THE, dep="nmod")
    if column == "center":
        return noun(row, "", preposition("at"), THE, dep="nmod")
    return noun(column, "", preposition("at"), THE, adjective(row), dep="nmod")


def relation(a: Box, b: Box) -> str:
    """Where b is, seen from a: "left", "right", "above" or "below"; "" where they overlap so that nothing can be said."""
    slack = 0.1
    if b[2] <= a[0] + slack * (a[2] - a[0]):
        return "left"
    if b[0] >= a[2] - slack * (a[2] - a[0]):
        return "right"
    if b[3] <= a[1] + slack * (a[3] - a[1]):
        return "above"
    if b[1] >= a[3] - slack * (a[3] - a[1]):
        return "below"
    return ""


def largest(boxes: Sequence[Box]) -> int:
    """Which box is the largest; of equal ones the first."""
    return max(range(len(boxes)), key=lambda i: (area(boxes[i]), -i))


def centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _third(share: float) -> int:
    return 0 if share < _SIDE else 2 if share > 1 - _SIDE else 1
