"""What texts claim, by their syntax: kinds, their attributes, what they do, and how many there are."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.tokens import Tokens
from filters.syntax import Chunks, noun_chunks
from pipelines.evaluate.truth import Claims
from pipelines.evaluate.vocabulary import NOTHING, Vocabulary

Index = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Relations along which a word speaks of the noun, or of the verb's subject, that it leads up to ("a dog running",
# "two people in red shirts"). Universal Dependencies v2.
_UPWARDS: Final = ("acl", "acl:relcl", "amod", "nmod", "obl", "obj", "appos", "conj", "xcomp", "advcl")
_STEPS: Final = 4  # of that way
_WEARING: Final = ("in", "with", "wearing")
_QUOTES: Final = ('"', "“", "”", "``", "''")
_MANY: Final = 1_000_000  # a higher number counts as this
# What is worn lends its colour to the wearer.
_WORN: Final = (
    "shirt", "scarf", "t-shirt", "sweater", "jacket", "coat", "dress", "hoodie", "top", "clothes", "clothing", "outfit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Named:
    """Noun phrases that name a kind (n), in the order of the texts: `text`, `kind`, `number` (n,) as in
    `filters.syntax.Chunks`; `head` (n,): the first character of the head noun in its text; `values`: (phrase, value)
    pairs (m, 2) of the attributes inside the phrase."""

    text: Index
    kind: Index
    number: NDArray[np.int32]
    head: Index
    values: Index


@dataclass(frozen=True, slots=True)
class Said:
    """All that a batch of texts claims. `need` (attributes,): how many things the phrase says to have the attribute;
    `unknown` (texts,): noun phrases that name no kind, pronouns aside; `strangers`: their head nouns."""

    claims: Claims
    need: Index
    named: Named
    unknown: Index
    strangers: Counter[str]


def claims_of(tokens: Tokens, texts: Sequence[str], words: Vocabulary) -> Said:
    """Read the claims off the syntax.

    A kind is named by the head of a noun phrase that is not denied and outside of quotation marks. An attribute belongs to
    the phrase it stands in; outside of one to the noun that it is said of ("the car is red", "a person in a red
    shirt"); in parentheses after a phrase to that phrase ("two dogs (one red and one blue)"). An action belongs to the
    subject of its verb, or to the noun that the verb modifies. A count is a number of at least 2 in the phrase.
    """
    pairs = zip(
        tokens.dep, tokens.upos, strict=True
    )  # a noun is no auxiliary; the parser takes some rare ones for that
    tokens = replace(tokens, dep=["nsubj" if dep == "aux" and upos == "NOUN" else dep for dep, upos in pairs])
    chunks = noun_chunks(tokens, texts)
    syntax = _Syntax(tokens, texts, chunks, words)
    kept = np.flatnonzero(syntax.kind_of[:-1] >= 0)
    named = Named(
        chunks.text[kept].astype(np.int64), syntax.kind_of[kept], chunks.number[kept],
        tokens.start[syntax.heads[kept]].astype(np.int64), syntax.values_inside(kept),
    )  # fmt: skip
    several = named.number >= 2
    attributes, need = syntax.attributes(named)
    claims = Claims(
        _unique(np.column_stack([named.text, named.kind])),
        attributes,
        _unique(syntax.actions()),
        _unique(np.column_stack([named.text, named.kind, np.minimum(named.number, _MANY)])[several]),
    )
    stranger = (syntax.kind_of[:-1] < 0) & np.isin(chunks.upos, ("NOUN", "PROPN"))
    unknown = np.bincount(chunks.text[stranger], minlength=len(tokens)).astype(np.int64)
    lemmas = Counter(chunks.lemma[i].lower() for i in np.flatnonzero(stranger).tolist())
    return Said(claims, need, named, unknown, lemmas)


class _Syntax:
    """The columns of a batch of parsed texts that claims are read from; (tokens,) unless said otherwise."""

    def __init__(self, tokens: Tokens, texts: Sequence[str], chunks: Chunks, words: Vocabulary) -> None:
        count = len(tokens.dep)
        base = tokens.offsets[chunks.text]
        self.heads: Index = (base + chunks.head).astype(np.int64)  # (chunks,)
        self.text = tokens.text
        self.up = tokens.global_head
        self.dep = np.array(tokens.dep, dtype="<U16")
        surface = _surface(tokens, texts)
        self.opens, self.closes, self.wearing = (_among(surface, marks) for marks in (("(",), (")",), _WEARING))
        lemma = [word.lower() for word in tokens.lemma]
        self.value = _coded(surface, lemma, words.values)
        self.action = _coded(surface, lemma, words.actions)
        self.chunk: Index = np.full(count, -1, np.int64)
        self.first, self.last = base + chunks.start, base + chunks.end - 1  # (chunks,)
        sizes = (chunks.end - chunks.start).astype(np.int64)
        shift = np.repeat(self.first - (np.cumsum(sizes) - sizes), sizes)
        self.chunk[np.arange(int(sizes.sum())) + shift] = np.repeat(np.arange(len(chunks)), sizes)
        # (chunks + 1,): the place of no chunk, -1, is the last
        self.kind_of = np.append(self._kinds(tokens, texts, chunks, words), NOTHING)
        self.kind_of[:-1][chunks.denied] = NOTHING  # "no dogs" names none
        marks = np.concatenate([[0], np.cumsum(_among(surface, _QUOTES))])
        self.kind_of[:-1][(marks[self.heads] - marks[base]) % 2 == 1] = NOTHING  # a sign says "BOOKS"
        self.chunk_worn = _among(lemma, _WORN)[self.heads]  # (chunks,)
        self.head_chunk: Index = np.full(count, -1, np.int64)
        self.head_chunk[self.heads] = np.where(self.kind_of[:-1] >= 0, np.arange(len(chunks)), -1)
        self.subject = self._subjects()

    def _kinds(self, tokens: Tokens, texts: Sequence[str], chunks: Chunks, words: Vocabulary) -> Index:
        """(chunks,) the kind that each phrase names."""
        seen: dict[tuple[str, str], int] = {}  # captions say the same phrases again and again
        ends = tokens.end[self.heads].tolist()
        kinds = []
        for text, start, end, head in zip(
            chunks.text.tolist(), chunks.char_start.tolist(), ends, chunks.lemma, strict=True
        ):
            key = texts[text][start:end], head
            if key not in seen:
                seen[key] = words.kind(*key)
            kinds.append(seen[key])
        return np.array(kinds, np.int64)

    def _subjects(self) -> Index:
        """The phrase with a kind that is the subject of each word, -1 for none."""
        found: Index = np.full(len(self.up), -1, np.int64)
        subjects = np.flatnonzero(np.isin(self.dep, ("nsubj", "nsubj:pass")) & (self.head_chunk >= 0))
        found[self.up[subjects]] = self.head_chunk[subjects]
        return found

    def values_inside(self, kept: Index) -> Index:
        """(m, 2): of the phrases `kept`, by their place in it, the attributes between their words."""
        place = np.full(len(self.heads), -1, np.int64)
        place[kept] = np.arange(len(kept))
        tokens = np.flatnonzero((self.value >= 0) & (self.chunk >= 0) & (self.head_chunk < 0))
        tokens = tokens[place[self.chunk[tokens]] >= 0]
        return _unique(np.column_stack([place[self.chunk[tokens]], self.value[tokens]]))

    def attributes(self, named: Named) -> tuple[Index, Index]:
        """(text, kind, value) once each (n, 3), and how many things are said to have it (n,)."""
        phrase, value = named.values.T
        inside = np.column_stack([named.text[phrase], named.kind[phrase], value])
        number = named.number[phrase].astype(np.int64)
        needs = np.where(number == 0, 2, np.maximum(number, 1))  # a plural of unknown number means two or more
        free = np.flatnonzero((self.value >= 0) & (self.kind_of[self.chunk] < 0))
        listed = np.where(self.chunk[free] >= 0, np.append(self._beside(), -1)[self.chunk[free]], -1)
        listed = np.where(listed >= 0, listed, self._before_parenthesis()[free])
        start = self._speaking_of(free)
        bearer = np.where(listed >= 0, listed, self._bearers(start))
        known = bearer >= 0
        outside = np.column_stack([self.text[free], self.kind_of[bearer], self.value[free]])[known]
        rows = np.concatenate([inside, outside]).astype(np.int64)
        needs = np.concatenate([needs, np.ones(len(outside), np.int64)])
        order = np.lexsort((-needs, *rows.T[::-1]))  # of two mentions the stronger claim counts
        rows, first = np.unique(rows[order], axis=0, return_index=True)
        return rows, needs[order][first]

    def _speaking_of(self, tokens: Index) -> Index:
        """The word from which to look for what an attribute is said of: the worn thing's for its colour, its own
        otherwise; -1 where it colours a thing that is no kind ("a green meadow")."""
        chunk = self.chunk[tokens]
        heads = np.where(chunk >= 0, np.concatenate([self.heads, [-1]])[chunk], tokens)
        carries = np.concatenate([self.chunk_worn, [True]])[chunk] | (heads == tokens) | (self.value[heads] >= 0)
        return np.where(carries, heads, -1)

    def _beside(self) -> Index:
        """(chunks,) the phrase with a kind that a phrase of colours or clothes belongs to by its place, -1 for none:
        the one right before "in", "with" or "wearing", or right after it ("a striped brown", "whale": the parser's
        mistake). Where a shirt hangs in the tree is the parser's guess ("a car behind a person in a red shirt")."""
        coloured = self.value[self.heads] >= 0
        size = len(self.up)
        two = np.maximum(self.first - 2, 0)
        before = self.chunk[two]
        fits = (coloured | self.chunk_worn) & (self.first >= 2) & (self.text[two] == self.text[self.heads])
        fits &= self.wearing[np.maximum(self.first - 1, 0)] & (self.kind_of[before] >= 0)
        follows = np.minimum(self.last + 1, size - 1)
        after = self.chunk[follows]
        joined = coloured & (self.text[follows] == self.text[self.heads]) & (self.kind_of[after] >= 0)
        return np.where(fits, before, np.where(joined & (self.last + 1 < size), after, -1)).astype(np.int64)

    def _before_parenthesis(self) -> Index:
        """For words in parentheses the phrase with a kind right before them, -1 for others."""
        place = np.arange(len(self.up))
        opened = np.maximum.accumulate(np.where(self.opens, place, -1))
        closed = np.maximum.accumulate(np.where(self.closes, place, -1))
        inside = (opened > closed) & (opened > 0)
        inside &= self.text[opened] == self.text
        before = self.chunk[np.maximum(opened - 1, 0)]
        return np.where(inside & (self.kind_of[before] >= 0), before, -1)

    def actions(self) -> Index:
        """(text, kind, action), as often as they are said."""
        tokens = np.flatnonzero(self.action >= 0)
        own = self.chunk[tokens]  # "a parked car", "a flying bird"
        is_inside = (self.kind_of[own] >= 0) & (self.head_chunk[tokens] < 0)
        bearer = np.where(is_inside, own, self._bearers(np.where(self.head_chunk[tokens] < 0, tokens, -1)))
        rows = np.column_stack([self.text[tokens], self.kind_of[bearer], self.action[tokens]])
        return rows[bearer >= 0].astype(np.int64)

    def _bearers(self, tokens: Index) -> Index:
        """The phrase with a kind that each word speaks of, -1 where none is found: its subject, else the noun it hangs
        on, else what the word above it speaks of."""
        at, found = tokens.copy(), np.full(len(tokens), -1, np.int64)
        for _ in range(_STEPS):
            open_ = (at >= 0) & (found < 0)
            found[open_] = self.subject[at[open_]]
            open_ &= (found < 0) & np.isin(self.dep[at], _UPWARDS)
            at = np.where(open_, self.up[at], -1)
            found[open_] = self.head_chunk[at[open_]]
        return found


def _surface(tokens: Tokens, texts: Sequence[str]) -> list[str]:
    """The words as written, in lower case."""
    spans = zip(tokens.text.tolist(), tokens.start.tolist(), tokens.end.tolist(), strict=True)
    return [texts[text][start:end].lower() for text, start, end in spans]


def _coded(surface: Sequence[str], lemma: Sequence[str], known: Mapping[str, int]) -> Index:
    """The code of each word as written, else of its lemma, NOTHING for others."""
    written, base = (np.array([known.get(word, NOTHING) for word in words], np.int64) for words in (surface, lemma))
    return np.where(written >= 0, written, base)


def _among(words: Sequence[str], wanted: Collection[str]) -> Flags:
    """Which words are wanted; as a list, because one long word would widen an array of strings for all."""
    return np.array([word in wanted for word in words], np.bool_)


def _unique(rows: Index) -> Index:
    return np.unique(rows.astype(np.int64), axis=0)
