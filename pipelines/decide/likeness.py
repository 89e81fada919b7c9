"""Words of detectors that the table of words does not know, and which word that is used means the same."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from consensus.vocabulary import Vocabulary
from engine import schema as s
from pipelines.decide.columns import normal_words

_SYNTAX = frozenset(",:<#")  # of a vocabulary's lines
Vocabularies = Mapping[str, Sequence[str] | None]


def aliases(told: Iterable[pa.Table], vocabularies: Vocabularies, vocabulary: Vocabulary, least: float) -> list[str]:
    """For words that `vocabulary` does not know the word that they stand for, by what scorers `told` (LIKENESS).

    Each as a line of a vocabulary, `other : word`. Of all words the most alike is taken, from a mean cosine of `least` on.
    Two words that one detector tells apart, which is to say that both are in its vocabulary, are two things, however
    alike. The most alike pairs come first, and a word that others stand for stays.
    """
    closed = [set(normal_words(words)) for words in vocabularies.values() if words is not None]
    found: dict[str, str] = {}
    for (word, other), value in sorted(_means(told).items(), key=lambda item: (-item[1], item[0])):
        if value < least:
            break
        known = [vocabulary.name(one) in vocabulary.names for one in (word, other)]
        apart = any(word in words and other in words for words in closed)
        told_before = word in found or word in found.values() or other in found
        if not (known[0] or apart or told_before) and (
            known[1] or other < word
        ):  # of two unknown words the first stays
            found[word] = vocabulary.name(other)
    return [f"{found[word]} : {word}" for word in sorted(found) if not _SYNTAX & {*word, *found[word]}]


def _means(told: Iterable[pa.Table]) -> dict[tuple[str, str], float]:
    """Mean cosine of every pair over the tables in which it is."""
    values: dict[tuple[str, str], list[float]] = {}
    for table in told:
        columns = (table.column(name).to_pylist() for name in (s.LABEL, s.TEXT, s.SIMILARITY))
        for word, other, value in zip(*columns, strict=True):
            values.setdefault((word, other), []).append(value)
    return {pair: float(np.mean(each)) for pair, each in values.items()}
