"""Different words for one thing: aliases, plurals, and words that contain others.

The shipped table (`data/words.txt`, written for this project from general knowledge) has 1,628 names, among them all
labels of COCO (80), Objects365 (365), Open Images with boxes (601) and LVIS v1 (1,203) as those spell them. Its 740
aliases and its broader words are a choice, checked against no thesaurus: many labels have none, and words of several
meanings are left apart. A word that is not in it stands for itself, and a user adds own lines. However a word is
written, it is the same: in capitals, in another unicode form, with hyphens or underscores, and a known one as one word.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from engine.errors import ConfigError

_IRREGULAR = {"people": "person", "children": "child", "geese": "goose", "mice": "mouse", "sheep": "sheep",
              "feet": "foot", "teeth": "tooth"}  # fmt: skip
_ENDINGS = (("ies", "y"), ("s", ""), ("es", ""), ("ves", "f"), ("ves", "fe"), ("men", "man"))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`names` maps every known word, in each of its spellings, to its thing's name, which has no hyphens; `broader` maps
    a name to the names directly above it."""

    names: Mapping[str, str] = field(default_factory=dict)
    broader: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def shipped(cls) -> "Vocabulary":
        """The table that comes with this project."""
        return cls().extended(resources.files("consensus").joinpath("data/words.txt").read_text("utf-8").splitlines())

    def extended(self, lines: Iterable[str]) -> "Vocabulary":
        """With more lines `name < broader, broader : alias, alias`; what they say of a word replaces what was known.

        Raises:
            ConfigError: a line has no name, or a word is made broader than itself.
        """
        names, broader = dict(self.names), dict(self.broader)
        for line in lines:
            text = line.split("#")[0].strip()
            if not text:
                continue
            head, _, aliases = text.partition(":")
            name, _, above = head.partition("<")
            name = _plain(name)
            if not name:
                raise ConfigError(f"the vocabulary's line {line!r} has no name; write `name < broader : alias, alias`")
            for word in (head.partition("<")[0], *aliases.split(",")):
                names.update(dict.fromkeys(_spellings(word), name))
            if above.strip() or name not in broader:
                broader[name] = _words(above)
        # who spelled a word without its hyphens meant the one with them too
        names |= {word: names[_plain(word)] for word in names if "-" in word}
        found = Vocabulary(names, broader)
        for name in broader:
            if name in found.above(name):
                raise ConfigError(f"the vocabulary makes {name!r} broader than itself; remove one of its `<`")
        return found

    def name(self, word: str) -> str:
        """The name of the thing: an alias's, a plural's singular's, else the word itself, lower case and no hyphens.

        A label `word/another word` that is not known is the thing that all of its words which are known name.
        """
        plain = _plain(word)
        found = self._known(plain)
        if found is None and "/" in plain:
            parts = {self._known(part.strip()) for part in plain.split("/")} - {None}
            found = parts.pop() if len(parts) == 1 else None
        return plain if found is None else found

    def _known(self, plain: str) -> str | None:
        if plain in self.names:
            return self.names[plain]
        words = (plain, *_singulars(plain))
        tried = (*words, *(word.replace(" ", "") for word in words))
        return next((self.names[one] for one in tried if one in self.names), None)

    def above(self, word: str) -> frozenset[str]:
        """Names of everything that contains the thing, at any distance."""
        found: set[str] = set()
        waiting = list(self.broader.get(self.name(word), ()))
        while waiting:
            name = self.name(waiting.pop())
            if name not in found:
                found.add(name)
                waiting += self.broader.get(name, ())
        return frozenset(found)

    def pairs(self, labels: Sequence[str]) -> list[tuple[int, int]]:
        """(narrow, broad) positions in `labels`, which are names, of each two of which one contains the other."""
        place = {label: i for i, label in enumerate(labels)}
        return [(i, place[name]) for i, label in enumerate(labels) for name in self.above(label) if name in place]

    def knows(self, words: Iterable[str] | None, labels: Sequence[str]) -> list[bool]:
        """Which of `labels` a specialist of that vocabulary (None: any word) can name, be it by a broader word."""
        if words is None:
            return [True] * len(labels)
        known = {self.name(word) for word in words}
        return [label in known or not known.isdisjoint(self.above(label)) for label in labels]


def _plain(word: str) -> str:
    """Lower case, in one unicode form, hyphens and underscores as spaces, nothing around a slash."""
    return _tidy(re.sub("[_\u2010-]", " ", _folded(word)))


def _spellings(word: str) -> tuple[str, ...]:
    """How a listed word may stand in a label or a text: plain, as one word, and with the hyphens that it has."""
    plain = _plain(word)
    told = plain, plain.replace(" ", ""), _tidy(_folded(word).replace("_", " "))
    return tuple(spelling for spelling in dict.fromkeys(told) if spelling)


def _folded(word: str) -> str:
    return unicodedata.normalize("NFKC", word).lower()


def _tidy(word: str) -> str:
    return re.sub(" ?/ ?", "/", " ".join(word.split()))


def _words(listed: str) -> tuple[str, ...]:
    return tuple(word for word in map(_plain, listed.split(",")) if word)


def _singulars(word: str) -> tuple[str, ...]:
    """What the singular of a word's last part may be, by English rules and the common exceptions."""
    first, _, last = word.rpartition(" ")
    if last in _IRREGULAR:
        found = [_IRREGULAR[last]]
    else:
        found = [last.removesuffix(ending) + instead for ending, instead in _ENDINGS if last.endswith(ending)]
    return tuple(f"{first} {single}".strip() for single in found)
