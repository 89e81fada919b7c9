"""The record of a parser: what it says about a batch of texts, as flat columns plus offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import RecordError


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a batch of texts: flat columns; the tokens of text i are offsets[i]:offsets[i+1].

    Whitespace is never a token. String columns are plain lists: they come from, and go to, dictionary-coded columns
    (spaCy's string store, Arrow), so Python strings are shared, and who computes with them codes them once
    (`filters.syntax`).

    `offsets` (texts + 1,); `start`, `end` (tokens,): characters of the token in its own text; `lemma`; `upos`:
    Universal part of speech; `tag`: Penn tag; `head` (tokens,): position of the head among the tokens of its own
    text, a root is its own head (a text has one root a sentence); `dep`: relation to the head in Universal
    Dependencies v2, "root" for a root.
    """

    offsets: NDArray[np.int64]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    lemma: list[str]
    upos: list[str]
    tag: list[str]
    head: NDArray[np.int32]
    dep: list[str]

    def __len__(self) -> int:
        """How many texts."""
        return len(self.offsets) - 1

    def slice(self, lo: int, hi: int) -> Tokens:
        """The tokens of texts lo..hi."""
        first, last = int(self.offsets[lo]), int(self.offsets[hi])
        return Tokens(
            offsets=self.offsets[lo : hi + 1] - first,
            start=self.start[first:last],
            end=self.end[first:last],
            lemma=self.lemma[first:last],
            upos=self.upos[first:last],
            tag=self.tag[first:last],
            head=self.head[first:last],
            dep=self.dep[first:last],
        )

    @property
    def text(self) -> NDArray[np.int64]:
        """(tokens,) the text each token belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    @property
    def global_head(self) -> NDArray[np.int64]:
        """(tokens,) the head of each token as a position in the flat columns."""
        return self.head.astype(np.int64) + np.repeat(self.offsets[:-1], np.diff(self.offsets))


def check(tokens: Tokens, texts: Sequence[str] | None = None) -> Tokens:
    """The tokens themselves, when they are whole: equal lengths, ordered spans (inside `texts`, where given), heads
    that form trees.

    Raises:
        RecordError: they are not; the message names the first text that is broken and how.
    """
    count = int(tokens.offsets[-1]) if len(tokens.offsets) else -1
    if count < 0 or tokens.offsets[0] != 0 or np.any(np.diff(tokens.offsets) < 0):
        raise RecordError(f"token offsets must rise from 0, got {tokens.offsets[:8].tolist()}…")
    for name in ("start", "end", "lemma", "upos", "tag", "head", "dep"):
        if len(getattr(tokens, name)) != count:
            raise RecordError(f"token column {name} has {len(getattr(tokens, name))} entries, the offsets say {count}")
    if texts is not None and len(texts) != len(tokens):
        raise RecordError(f"tokens of {len(tokens)} texts, but {len(texts)} texts")
    text, size = tokens.text, np.repeat(np.diff(tokens.offsets), np.diff(tokens.offsets))
    _refuse(text, (tokens.start < 0) | (tokens.end <= tokens.start), "an empty or negative character span")
    follows = np.flatnonzero(text[1:] == text[:-1]) + 1
    late = np.zeros(count, dtype=np.bool_)
    late[follows] = tokens.start[follows] < tokens.end[follows - 1]
    _refuse(text, late, "character spans that overlap or are out of order")
    if texts is not None:
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        _refuse(text, tokens.end > lengths[text], "a character span beyond the end of the text")
    _refuse(text, (tokens.head < 0) | (tokens.head >= size), "a head that is not one of its tokens")
    top = tokens.global_head
    for _ in range(int(size.max(initial=1)).bit_length()):
        top = top[top]
    _refuse(text, tokens.global_head[top] != top, "heads that form a cycle")
    return tokens


def _refuse(text: NDArray[np.int64], broken: NDArray[np.bool_], what: str) -> None:
    if np.any(broken):
        at = int(np.argmax(broken))
        raise RecordError(f"tokens of text {int(text[at])} have {what} (flat position {at})")
