"""A Writer by templates: detailed texts composed from what is accepted about an image, and from nothing else.

A detailed text is about two sentences, a more detailed one several; FLD-5B's have 31.65 and 70.53 tokens on average
(reference: Florence-2, table 2). Which things come first, and from where on they are "on the left", are our choices.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import Field

from engine.records import Captions, Granularity, Scene
from specialists import nouns
from specialists.base import SpecialistConfig, specialist

_NUMBERS: Final = (
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
FILLING: Final = "filling most of the image"
_SHORTEST_QUOTE: Final = 2  # letters and digits; a single one is mostly a misreading
_LONGEST_QUOTE: Final = 80  # characters; a paragraph is no quotation

Box = tuple[float, float, float, float]


class TemplateConfig(SpecialistConfig):
    """How much a text may list."""

    batch_size: int = Field(256, ge=1, description="scenes for one call")
    kinds_detailed: int = Field(4, ge=1, description="kinds of things listed in a detailed text")
    kinds_more_detailed: int = Field(8, ge=1, description="kinds of things listed in a more detailed text")
    places: int = Field(6, ge=0, description="kinds whose place is told in a more detailed text")
    quotes: int = Field(5, ge=0, description="readings quoted in a text")


@dataclass(frozen=True, slots=True)
class Kind:
    """All things of one label: `count` of them (`crowd`: and uncountable groups), their boxes as shares of the image."""

    name: str
    count: int
    crowd: bool
    boxes: tuple[Box, ...]
    score: float

    @property
    def area(self) -> float:
        """Summed shares of the image."""
        return sum(_area(box) for box in self.boxes)

    @property
    def many(self) -> bool:
        """Whether the noun takes a plural verb."""
        return not nouns.is_mass(self.name) and (self.count > 1 or nouns.is_pair(self.name) or self._uncounted)

    @property
    def _uncounted(self) -> bool:
        return self.crowd and self.count > 0

    def phrase(self) -> str:
        """With a number or an indefinite article: "three dogs", "an apple", "some broccoli", "a group of people"."""
        many = nouns.plural(self.name)
        if nouns.is_mass(self.name):
            return f"some {self.name}"
        if self.crowd:
            return f"many {many}" if self.count else f"a group of {many}"
        if nouns.is_pair(self.name):
            return f"a pair of {self.name}" if self.count == 1 else f"{_number(self.count)} pairs of {self.name}"
        return f"{nouns.article(self.name)} {self.name}" if self.count == 1 else f"{_number(self.count)} {many}"

    def definite(self) -> str:
        """The same things again: "the three dogs", "the apple"."""
        if self.crowd and not self.count:
            return f"the group of {nouns.plural(self.name)}"
        if nouns.is_pair(self.name) or nouns.is_mass(self.name) or (self.count == 1 and not self.crowd):
            return f"the {self.name}"
        number = f"{_number(self.count)} " if self.count < len(_NUMBERS) and not self.crowd else ""
        return f"the {number}{nouns.plural(self.name)}"


@specialist("template", "writer", pixels=False, licence="AGPL-3.0-or-later")
class Template:
    """Composes detailed texts from accepted regions, their places, readings and the brief caption."""

    Config = TemplateConfig

    def __init__(self, config: TemplateConfig) -> None:
        self.config = config

    def load(self, device: str) -> None:
        """Nothing to load."""

    def write(self, scenes: Sequence[Scene]) -> list[Captions]:
        """At most a detailed and a more detailed text for each scene; none where nothing but captions is accepted.

        The score is the mean score of the things spoken of.
        """
        return [self._write(scene) for scene in scenes]

    def _write(self, scene: Scene) -> Captions:
        kinds = kinds_of(scene)
        quotes = quotes_of(scene)[: self.config.quotes]
        opening = opening_of(scene)
        texts: list[tuple[str, Granularity]] = []
        if kinds or quotes:
            short = _detailed(opening, kinds, quotes, self.config)
            texts.append((" ".join(short), "detailed"))
            long = _more_detailed(opening, kinds, quotes, self.config)
            if len(long) > len(short):
                texts.append((" ".join(long), "more_detailed"))
        spoken = [kind.score for kind in kinds] + [float(v) for v in scene.readings.scores]
        score = float(np.mean(spoken)) if spoken else math.nan
        return Captions([t for t, _ in texts], [g for _, g in texts], np.full(len(texts), score, np.float32))


def kinds_of(scene: Scene) -> list[Kind]:
    """The things in the scene by label, those that cover most of the image first."""
    regions = scene.regions
    size = np.array([scene.width, scene.height] * 2, np.float64)
    crowd = np.zeros(len(regions.labels), np.bool_) if regions.crowd is None else regions.crowd
    members: dict[str, list[int]] = {}
    for i, label in enumerate(regions.labels):
        name = name_of(label)
        if name:
            members.setdefault(name, []).append(i)
    kinds = []
    for name, rows in members.items():
        boxes = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in regions.boxes[rows] / size)
        single = sum(1 for i in rows if not crowd[i])
        kinds.append(Kind(name, single, single < len(rows), boxes, float(np.mean(regions.scores[rows]))))
    return sorted(kinds, key=lambda kind: (-round(kind.area, 6), -kind.score, kind.name))


def quotes_of(scene: Scene) -> list[tuple[str, float, float]]:
    """Readings worth quoting, largest first: the text, and the centre of its quad as shares of the image."""
    found = []
    for text, quad in zip(scene.readings.texts, scene.readings.quads, strict=True):
        clean = " ".join(text.replace('"', "'").split())
        if len(clean) <= _LONGEST_QUOTE and sum(c.isalnum() for c in clean) >= _SHORTEST_QUOTE:
            xs, ys = quad[::2] / scene.width, quad[1::2] / scene.height
            area = float((xs.max() - xs.min()) * (ys.max() - ys.min()))
            found.append((-area, float(ys.mean()), clean, float(xs.mean())))
    largest: dict[str, tuple[str, float, float]] = {}
    for _, y, clean, x in sorted(found):
        largest.setdefault(clean, (clean, x, y))
    return list(largest.values())


def opening_of(scene: Scene) -> str:
    """The best brief caption as a sentence; "" where there is none."""
    captions = scene.captions
    brief = [
        i for i, said in enumerate(captions.granularities) if said == "brief" and re.search(r"\w", captions.texts[i])
    ]
    if not brief:
        return ""
    best = max(brief, key=lambda i: (np.nan_to_num(captions.scores[i], nan=-1.0), -i))
    text = re.sub(r"\s+([.,!?;:])", r"\1", " ".join(captions.texts[best].split())).strip(" ,;:-")
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", '."', '!"', '?"')) else text.rstrip(".") + "."


def name_of(label: str) -> str:
    """A label as a noun in the singular: "fire_hydrant" and "Fire Hydrants" are "fire hydrant"."""
    plain = " ".join(re.sub(r"\([^)]*\)|[_/|;,]+", " ", label).split())
    words = [word if word.isupper() and len(word) < 5 else word.lower() for word in plain.split()]
    name = nouns.singular(" ".join(words))
    return "TV" if name == "tv" else name


def _detailed(
    opening: str, kinds: list[Kind], quotes: list[tuple[str, float, float]], config: TemplateConfig
) -> list[str]:
    listed = kinds[: config.kinds_detailed]
    said = [f"{kind.phrase()} {place(kind)}" if len(kind.boxes) == 1 else kind.phrase() for kind in listed]
    sentences = [opening] if opening else []
    if said:
        more = ", among other things" if len(kinds) > len(listed) else ""
        sentences.append(f"The image shows {listing(said)}{more}.")
    if quotes:
        sentences.append(_reading(quotes[:2]))
    return sentences


def _more_detailed(
    opening: str, kinds: list[Kind], quotes: list[tuple[str, float, float]], config: TemplateConfig
) -> list[str]:
    listed = kinds[: config.kinds_more_detailed]
    sentences = [opening] if opening else []
    if listed:
        more = ", among other things" if len(kinds) > len(listed) else ""
        sentences.append(f"The image shows {listing([kind.phrase() for kind in listed])}{more}.")
    sentences += _places(listed[: config.places])
    sentences += _relations(listed[: config.places])
    if quotes:
        sentences.append(_reading(quotes))
    return sentences


def _places(kinds: Sequence[Kind]) -> list[str]:
    """Where the main things are: those in one place together, two places to a sentence; then those in several."""
    together: dict[str, list[Kind]] = {}
    apart: list[str] = []
    for kind in kinds:
        where = place(kind)
        if where:
            together.setdefault(where, []).append(kind)
        elif not (kind.crowd or nouns.is_pair(kind.name) or nouns.is_mass(kind.name)):
            apart.append(_sentence(_apart(kind)))
    clauses = [_together(where, members) for where, members in together.items()]
    return [_sentence(", and ".join(clauses[i : i + 2])) for i in range(0, len(clauses), 2)] + apart


def _together(where: str, kinds: Sequence[Kind]) -> str:
    names = listing([kind.definite() for kind in kinds])
    plural = len(kinds) > 1 or kinds[0].many
    if where == FILLING:
        return f"{names} {'fill' if plural else 'fills'} most of the image"
    return f"{names} {'are' if plural else 'is'} {where}"


def _apart(kind: Kind) -> str:
    """Things all over the image: where one is and the other, or where the largest is."""
    spots = [_spot(*_centre(box)) for box in kind.boxes]
    if kind.count == 2:
        return f"one of {kind.definite()} is {spots[0]}, and the other is {spots[1]}"
    largest = max(range(len(spots)), key=lambda i: (_area(kind.boxes[i]), -i))
    return f"the largest of {kind.definite()} is {spots[largest]}"


def _relations(kinds: Sequence[Kind]) -> list[str]:
    """How two single things in one place stand to each other; only what their boxes show."""
    single = [kind for kind in kinds if kind.count == 1 and not kind.crowd and place(kind) != FILLING]
    for i, a in enumerate(single):
        for b in single[i + 1 :]:
            relation = _relation(a.boxes[0], b.boxes[0]) if place(a) == place(b) else ""
            if relation:
                return [_sentence(f"{b.definite()} {'are' if b.many else 'is'} {relation} {a.definite()}")]
    return []


def _relation(a: Box, b: Box) -> str:
    """Where b is, seen from a; "" where the boxes overlap so that nothing can be said."""
    slack = 0.1
    if b[2] <= a[0] + slack * (a[2] - a[0]):
        return "to the left of"
    if b[0] >= a[2] - slack * (a[2] - a[0]):
        return "to the right of"
    if b[3] <= a[1] + slack * (a[3] - a[1]):
        return "above"
    if b[1] >= a[3] - slack * (a[3] - a[1]):
        return "below"
    return ""


def place(kind: Kind) -> str:
    """Where the things are in the image, as an adverbial ("on the left"); "" where they are all over it."""
    if len(kind.boxes) == 1 and kind.area >= _FILLS:
        return FILLING
    centres = [_centre(box) for box in kind.boxes]
    columns, rows = {_third(x) for x, _ in centres}, {_third(y) for _, y in centres}
    if len(columns) == 1:
        x, y = centres[0]
        return _spot(x, y if len(rows) == 1 else 0.5)
    if len(rows) == 1 and rows != {1}:
        return f"along the {'top' if rows == {0} else 'bottom'} of the image"
    return ""


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _spot(x: float, y: float) -> str:
    column, row = ("left", "center", "right")[_third(x)], ("top", "middle", "bottom")[_third(y)]
    if row == "middle":
        return "in the center" if column == "center" else f"on the {column}"
    return f"at the {row}" if column == "center" else f"at the {row} {column}"


def _third(share: float) -> int:
    return 0 if share < _SIDE else 2 if share > 1 - _SIDE else 1


def _reading(quotes: Sequence[tuple[str, float, float]]) -> str:
    if len(quotes) == 1:
        text, x, y = quotes[0]
        return f'The text "{text}" can be read {_spot(x, y)}.'
    return f"The texts {listing([chr(34) + text + chr(34) for text, _, _ in quotes])} can be read in the image."


def listing(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b, and c"; items must not be empty."""
    if len(items) < 3:
        return " and ".join(items)
    return ", ".join(items[:-1]) + f", and {items[-1]}"


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else "more than a dozen"


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:] + "."
