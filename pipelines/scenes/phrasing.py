"""Noun phrases and sentences, with a record of what each claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.scenes.kinds import KINDS
from pipelines.scenes.model import Caption, Phrase, Relation, SceneObject
from pipelines.scenes.relations import mentionable

_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six")
_UNIQUE: Final = ("sun", "moon")  # there is one, so they take "the" and nobody tells their colour
# What of these has the declared colour is not the whole thing, so the phrase says which part.
_WORN: Final = {"person": "shirt", "snowman": "scarf"}
_AFLOAT: Final = ("sky", "wall")


@dataclass(frozen=True, slots=True)
class Group:
    """All recognisable things of one kind."""

    kind: str
    things: tuple[SceneObject, ...]

    @property
    def single(self) -> bool:
        """Whether there is only one."""
        return len(self.things) == 1

    @property
    def action(self) -> str:
        """What they all do; empty when they do nothing, or not all the same."""
        actions = {thing.action for thing in self.things}
        return self.things[0].action if len(actions) == 1 else ""


def groups(objects: Sequence[SceneObject], size: int) -> list[Group]:
    """The recognisable things by kind, the most salient kinds first: large, and on the ground rather than in the sky."""
    kinds: dict[str, list[SceneObject]] = {}
    for thing in objects:
        if mentionable(thing, size):
            kinds.setdefault(thing.kind, []).append(thing)
    found = [Group(kind, tuple(things)) for kind, things in kinds.items()]
    return sorted(found, key=lambda group: (-_salience(group), group.kind))


def _salience(group: Group) -> float:
    area = sum(thing.area for thing in group.things)
    alive = 2.0 if group.kind in ("person", "dog", "cat", "horse", "bird", "fish", "rabbit", "duck", "whale") else 1.0
    aloft = 0.4 if all(thing.zone in _AFLOAT for thing in group.things) else 1.0
    return area * alive * aloft


class Teller:
    """Writes one caption from left to right; every method adds to the text and to its claims.

    `attributes` are the attributes that noun phrases mention, in the order in which they are spoken.
    """

    def __init__(self, attributes: Sequence[str]) -> None:
        self._caption = Caption()
        self._attributes = attributes
        self._start = True
        self._named: set[str] = set()

    def text(self, words: str) -> "Teller":
        """Plain words, capitalised at the start of a sentence."""
        if not words:
            return self
        if self._start:
            words, self._start = words[0].upper() + words[1:], False
        self._caption.text += words
        return self

    def name(self, group: Group) -> "Teller":
        """The group with its attributes and its number: "a small red car", "two dogs"; "the car" if named before."""
        if group.kind in self._named:
            return self.text("the ").again(group)
        self._named.add(group.kind)
        words = self._single(group.things[0]) if group.single else self._several(group)
        self._caption.counts[group.kind] = len(group.things)
        return self._phrase(words, group)

    def again(self, group: Group) -> "Teller":
        """The bare noun of a group that has been named."""
        return self._phrase(KINDS[group.kind].name if group.single else KINDS[group.kind].plural, group)

    def series(self, found: Sequence[Group]) -> "Teller":
        """Several groups: "a dog, two cats and a tree"."""
        for i, group in enumerate(found):
            if i:
                self.text(" and " if i == len(found) - 1 else ", ")
            self.name(group)
        return self

    def act(self, group: Group) -> "Teller":
        """The action of a group."""
        self._caption.actions += [(thing.id, group.action) for thing in group.things]
        return self.text(group.action)

    def relate(self, relation: Relation) -> "Teller":
        """Record that the words so far state the relation."""
        self._caption.relations.append(relation)
        return self

    def quote(self, words: str) -> "Teller":
        """Printed words, as they stand."""
        self._caption.words += words.split()
        self._caption.text += f'"{words}"'
        return self

    def full_stop(self) -> "Teller":
        """End the sentence."""
        self._caption.text += "."
        return self.next_sentence()

    def next_sentence(self) -> "Teller":
        """Begin another sentence after one that brought its own full stop."""
        self._caption.text += " "
        self._start = True
        return self

    def stop(self) -> Caption:
        """The finished caption."""
        text = self._caption.text.rstrip()
        self._caption.text = text if text.endswith((".", '."')) else text + "."
        return self._caption

    def _phrase(self, words: str, group: Group) -> "Teller":
        start = len(self._caption.text)
        self.text(words)
        ids = tuple(thing.id for thing in group.things)
        self._caption.phrases.append(Phrase(start, len(self._caption.text), ids))
        return self

    def _single(self, thing: SceneObject) -> str:
        if thing.kind in _UNIQUE:
            return f"the {thing.kind}"
        size, look = self._look(thing)
        worn = _WORN.get(thing.kind)
        if worn and look:
            noun = " ".join((*size, thing.kind))
            joint = "in" if worn == "shirt" else "with"
            return f"{_article(noun)} {noun} {joint} {_article(' '.join(look))} {' '.join(look)} {worn}"
        noun = " ".join((*size, *look, thing.kind))
        return f"{_article(noun)} {noun}"

    def _several(self, group: Group) -> str:
        plural = KINDS[group.kind].plural
        number = _NUMBERS[len(group.things)]
        colours = [thing.colour for thing in group.things]
        if "colour" not in self._attributes:
            return f"{number} {plural}"
        worn = _WORN.get(group.kind)
        if len(set(colours)) == 1:
            self._caption.attributes += [(thing.id, "colour", thing.colour) for thing in group.things]
            if worn:
                return f"{number} {plural} {'in' if worn == 'shirt' else 'with'} {colours[0]} {worn}s".replace(
                    "scarfs", "scarves"
                )
            return f"{number} {colours[0]} {plural}"
        if len(self._attributes) < 2:
            return f"{number} {plural}"
        self._caption.attributes += [(thing.id, "colour", thing.colour) for thing in group.things]
        each = [f"{_NUMBERS[colours.count(c)]} {self._one_of(c, worn)}" for c in dict.fromkeys(colours)]
        return f"{number} {plural} ({', '.join(each[:-1])} and {each[-1]})"

    @staticmethod
    def _one_of(colour: str, worn: str | None) -> str:
        if worn is None:
            return colour
        return f"in {colour}" if worn == "shirt" else f"with {_article(colour)} {colour} scarf"

    def _look(self, thing: SceneObject) -> tuple[list[str], list[str]]:
        """The adjectives of size, and of pattern and colour; what is usual goes without saying."""
        size: list[str] = []
        look: list[str] = []
        for name in self._attributes:
            value = str(getattr(thing, name))
            if value in ("plain", "medium"):
                continue
            (size if name == "size" else look).append(value)
            self._caption.attributes.append((thing.id, name, value))
        return size, look


def _article(words: str) -> str:
    return "an" if words[0] in "aeio" or words.startswith(("umbrella", "ugly")) else "a"
