"""Which words mean which kind, attribute or action of the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.evaluate.truth import Truth
from specialists import nouns
from specialists.label_match import normal, shipped_words

NOTHING: Final = -1
_LONGEST: Final = 3  # words of the longest name that is looked for
# Further names for kinds of drawn scenes, beside the table of label_match; a word that is itself a kind stays that.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "balloon": ("hot air balloon", "air balloon"), "ball": ("beach ball",), "butterfly": ("moth",),
    "fish": ("goldfish",), "flower": ("blossom", "tulip", "daisy", "rose"), "gift": ("present", "gift box", "parcel"),
    "house": ("home", "cottage", "hut"), "lamp": ("table lamp", "desk lamp"),
    "lamppost": ("lamp post", "street lamp", "streetlamp", "streetlight", "street light"), "mushroom": ("toadstool",),
    "rabbit": ("bunny", "hare"), "sign": ("signpost", "street sign", "road sign", "sign post"), "snowman": ("snow man",),
    "table": ("kitchen table", "dinner table", "dining table", "wooden table"), "boat": ("sailing boat",),
    "tree": ("oak", "pine", "fir"),
}  # fmt: skip
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "gray": ("grey",), "small": ("little", "tiny"), "large": ("big", "huge"), "striped": ("stripy", "stripe"),
    "dotted": ("spotted", "dotty", "polka"), "purple": ("violet",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words → codes of the truth: `kinds` (names of one to three words), `values` and `actions` (single words).

    `others` are names of several words that mean something else than their last word ("hot dog").
    """

    kinds: Mapping[str, int]
    values: Mapping[str, int]
    actions: Mapping[str, int]
    others: frozenset[str]

    @classmethod
    def of(cls, truth: Truth) -> "Vocabulary":
        """The truth's own words, the shipped table of synonyms, and ours."""
        shipped = shipped_words()
        own = {normal(kind): i for i, kind in enumerate(truth.kinds)}
        synonyms: dict[str, set[int]] = {}
        for word, labels in shipped.names.items():
            for label in labels & own.keys():
                synonyms.setdefault(word, set()).add(own[label])
        for kind, words in _NAMES.items():
            for word in words:
                if kind in own:
                    synonyms[word] = {own[kind]}
        # A word for two of the kinds ("bike") names neither.
        kinds = {word: min(codes) for word, codes in synonyms.items() if len(codes) == 1} | own
        others = {word for word in (*shipped.names, *shipped.labels, *shipped.others) if " " in word}
        values: dict[str, int] = {}
        actions: dict[str, int] = {}
        if truth.scenes is not None:
            values = _with_synonyms([value for _, value in truth.scenes.values])
            actions = {form: i for i, action in enumerate(truth.scenes.actions) for form in _forms(action)}
        return cls(kinds, values, actions, frozenset(others - kinds.keys()))

    def kind(self, words: str, lemma: str) -> int:
        """The kind that a phrase names: `words` up to and with its head noun, whose lemma is `lemma`; NOTHING for none.

        The longest name counts, so "a hot dog" is no dog.
        """
        parts = normal(words).split()
        if not parts:
            return NOTHING
        last = parts[-1]
        one = last[:-2] + "an" if last.endswith("men") else nouns.singular(last)
        heads = (last, one, normal(lemma))
        for n in range(min(_LONGEST, len(parts)), 0, -1):
            before = parts[len(parts) - n : -1]
            for head in heads:
                name = " ".join([*before, head])
                if name in self.kinds:
                    return self.kinds[name]
                if name in self.others:
                    return NOTHING
        return NOTHING


def _with_synonyms(values: Sequence[str]) -> dict[str, int]:
    own = {value.lower(): i for i, value in enumerate(values)}
    more = {word: own[value] for value, words in _VALUES.items() if value in own for word in words}
    return more | own


def _forms(action: str) -> set[str]:
    """An action ("running", "parked") and the base form of its verb, however that is spelled ("run", "wave")."""
    action = action.lower()
    for ending in ("ing", "ed"):
        base = action.removesuffix(ending)
        if base != action and len(base) > 1:
            single = {base[:-1]} if base[-1] == base[-2] else set()
            return {action, base, base + "e", *single}
    return {action}
