"""The filter of texts whose words stand in no order, by the parser's tags.

Of a text it asks which is likelier: that each word follows the one before it as words do in English, or that the same
words were drawn in any order. The value is the logarithm of that likelihood ratio, which is the best test between the
two (Neyman and Pearson 1933), and the sum of the pointwise mutual information of neighbours (Church and Hanks 1990):

    sum over neighbours a b of   log P(b | a) - log P(b)

Words of closed classes stand for themselves, others for their Penn tag; punctuation is left out; a text begins and ends
with a mark. P(b | a) leans to P(b) as if that had been seen `_WEIGHT` times. The counts are those of the English Web
Treebank (`filters/data/word_order.tsv`, made by `python -m pipelines.word_order`). A text of which the counts know too
little is not judged: one of another language, or from a parser with other tags.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.tokens import Tokens
from filters.decision import Decision, reject
from filters.registry import FilterConfig, declare
from filters.texts import TextColumns

BEGIN, END, RARE = "<s>", "</s>", "<rare>"
_CLOSED: Final = frozenset(["DET", "ADP", "CCONJ", "SCONJ", "PRON", "PART", "AUX"])
_LEFT_OUT: Final = frozenset(["PUNCT", "SYM", "X"])
_WEIGHT: Final = 20.0  # our choice


class WordOrder(FilterConfig):
    """Texts whose words are shuffled. It knows English only, and keeps what it does not take for English."""

    version: Literal[1] = Field(1, description="version of filters/data/word_order.tsv")
    revision: Literal[2] = Field(2, description="raised when the filter answers otherwise under the same settings")
    min_evidence: float = Field(
        1.0,
        description="lowest log likelihood ratio of the order of words to any order, in nats; 0 is a draw (our choice)",
    )
    min_words: int = Field(
        5, ge=1, description="a text of fewer words that the counts know is too short to tell, and kept (our choice)"
    )
    min_known: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="lowest share of words that the counts know; under it a parser speaks in other tags, and the text "
        "is kept (our choice)",
    )
    min_function: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="lowest share of English function words (a, on, with); under it a text is hardly English, and kept "
        "(our choice: 99 of 100 captions of COCO have an eighth)",
    )


class Evidence(NamedTuple):
    """What the order of words says of each text; all (texts,)."""

    value: NDArray[np.float64]  # log likelihood ratio, in nats
    words: NDArray[np.int64]  # all but punctuation
    known: NDArray[np.int64]  # those of them that the counts know
    function: NDArray[np.int64]  # those of the known that are of closed classes


class _Model(NamedTuple):
    number: dict[str, int]
    evidence: NDArray[np.float64]  # (symbols, symbols): log P(b | a) - log P(b)


@declare("texts", "word_order", WordOrder, source="our choice (Church and Hanks 1990; Neyman and Pearson 1933)")
def word_order(texts: TextColumns, config: WordOrder) -> Decision:
    """Reject texts whose words are in no likelier order than by chance."""
    value, words, known, function = evidence(texts.tokens)
    told = (known >= config.min_words) & (known >= config.min_known * words) & (function >= config.min_function * words)
    return reject(told & (value < config.min_evidence), "word order", value, config.min_evidence)


def evidence(tokens: Tokens) -> Evidence:
    """The evidence of every text: (texts,)."""
    model, n = _shipped(), len(tokens)
    named = symbols(tokens.lemma, tokens.upos, tokens.tag)
    words = np.array([name is not None for name in named], bool)
    rare = model.number[RARE]
    code = np.array([model.number.get(name, rare) for name in named if name is not None], np.int64)
    closed = np.array([pos in _CLOSED for pos in tokens.upos], bool)[words]
    text = tokens.text[words]
    count = np.bincount(text, minlength=n)
    # every text between its marks, one after another
    place = np.arange(len(code)) + 2 * text + 1
    line = np.full(len(code) + 2 * n, model.number[END], np.int64)
    line[np.cumsum(count + 2) - count - 2] = model.number[BEGIN]
    line[place] = code
    owner = np.repeat(np.arange(n), count + 2)
    inside = owner[1:] == owner[:-1]
    steps = model.evidence[line[:-1][inside], line[1:][inside]]
    value = np.bincount(owner[1:][inside], steps, minlength=n)
    known, function = (np.bincount(text[which], minlength=n) for which in (code != rare, closed & (code != rare)))
    return Evidence(value.astype(np.float64), count, known, function)


def symbols(lemmas: Sequence[str], upos: Sequence[str], tags: Sequence[str]) -> list[str | None]:
    """What each word stands for; None for punctuation."""
    return [
        None if pos in _LEFT_OUT else lemma.lower() if pos in _CLOSED else tag
        for lemma, pos, tag in zip(lemmas, upos, tags, strict=True)
    ]


@cache
def _shipped() -> _Model:
    """The model of the shipped counts: lines `a b count`, separated by tabs."""
    text = files("filters").joinpath("data", "word_order.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    names = sorted({name for a, b, _ in rows for name in (a, b)} | {RARE})
    number = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for a, b, count in rows:
        counts[number[a], number[b]] = float(count)
    follows = (counts.sum(axis=0) + 1.0) / (counts.sum() + len(names))
    given = (counts + _WEIGHT * follows) / (counts.sum(axis=1, keepdims=True) + _WEIGHT)
    evidence = np.log(given) - np.log(follows)
    rare = number[RARE]
    evidence[rare], evidence[:, rare] = 0.0, 0.0  # a word that is hardly known tells nothing
    return _Model(number, evidence)
