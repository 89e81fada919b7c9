"""How far each detector can be trusted, learned from a sample of shards, and which words are one thing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from consensus.boxes import BoxColumns, BoxFusionConfig
from consensus.learning import estimate
from consensus.reliability import SCHEMA, Reliabilities
from consensus.sample import Shard
from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.grouped import Frames, Grouped
from pipelines.decide import columns as c
from pipelines.decide import said
from pipelines.decide.likeness import aliases

ALIAS = "alias"  # the kind of rows that make a word another
_NOTHING = "thing"  # stands for labels where there are none
Vocabularies = Mapping[str, Sequence[str] | None]
Answered = Mapping[str, NDArray[np.bool_]]  # by specialist the images (n,) that it answered for; absent: all


@dataclass(frozen=True, slots=True)
class Learned:
    """Reliabilities whose labels are the words used for things in this run, and which words mean the same."""

    reliabilities: Reliabilities
    vocabulary: Vocabulary


@dataclass(frozen=True, slots=True)
class _Heard:
    """What takes part in a shard: `names` are its distinct words, which `columns.labels` number."""

    columns: BoxColumns
    names: list[str]
    gold: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    crowds: BoxColumns
    frames: Frames


def learn(
    shards: Iterable[tuple[Frames, Mapping[str, Grouped], Answered, Sequence[pa.Table]]],
    specialists: Sequence[str],
    min_score: float,
    fusion: BoxFusionConfig,
    gold: frozenset[str],
    vocabularies: Vocabularies,
    vocabulary: Vocabulary,
    min_likeness: float = 1.0,
) -> pa.Table:
    """The reliabilities of `specialists` (a table `consensus.reliability.SCHEMA`) from shards: (frames, detections,
    `Answered`, LIKENESS of scorers). Words that `vocabulary` does not know become others by `pipelines.decide.likeness`;
    rows of the kind ALIAS say which, each as a line of a vocabulary.

    Images with a human box count as judged by people: what they did not draw there, of the labels they know, is not
    there. A concept is written by its name in `vocabulary` where a detector uses that, else by the word used most.
    """
    names = sorted(specialists)
    heard: list[_Heard] = []
    told: list[pa.Table] = []
    for frames, detections, answered, alike in shards:
        heard.append(_heard(detections, frames, min_score, gold, answered))
        told += alike
    lines = aliases(told, vocabularies, vocabulary, min_likeness)
    vocabulary = vocabulary.extended(lines)
    labels = _words_for(heard, vocabularies, vocabulary)
    number = {vocabulary.name(label): i for i, label in enumerate(labels)}
    found = [_shard(part, number, vocabulary) for part in heard]
    knows = _knows(names, labels, vocabularies, vocabulary)
    human = np.array([name in gold for name in names], bool)
    above = _above(labels, vocabulary)
    learned = estimate(found, names, labels, knows, fusion, gold=human, above=above).to_table()
    more = {s.KIND: [ALIAS] * len(lines), s.NUMBER: range(len(lines)), s.LABEL: lines, s.VALUE: [0.0] * len(lines)}
    rows = [pa.array(more.get(f.name, [None] * len(lines)), f.type) for f in SCHEMA]
    return pa.concat_tables([learned, pa.table(rows, schema=SCHEMA)])


def known(table: pa.Table, vocabulary: Vocabulary) -> Learned:
    """What `learn` answered, over the same vocabulary.

    Raises:
        StoreError: the table is not one of reliabilities.
    """
    lines = table.filter(pc.equal(table.column(s.KIND), ALIAS)).column(s.LABEL).to_pylist()
    return Learned(Reliabilities.from_table(table), vocabulary.extended(lines))


def reconciled(
    learned: Learned, words: Sequence[str], vocabularies: Vocabularies, specialists: Sequence[str]
) -> tuple[Reliabilities, NDArray[np.int64]]:
    """Reliabilities over all `words`, met in the sample or not, and the label number of each word: (words,)."""
    known, vocabulary = learned.reliabilities, learned.vocabulary
    number = {vocabulary.name(label): i for i, label in enumerate(known.labels)}
    unmet: dict[str, str] = {}
    for word in words:
        if vocabulary.name(word) not in number:
            unmet.setdefault(vocabulary.name(word), word)
    labels = [unmet[name] for name in sorted(unmet)]
    number |= {name: len(known.labels) + i for i, name in enumerate(sorted(unmet))}
    everything = [*known.labels, *labels]
    knows = _knows(specialists, labels, vocabularies, vocabulary)
    whole = known.with_labels(labels, knows, _above(everything, vocabulary) if labels else ())
    return whole, np.array([number[vocabulary.name(word)] for word in words], np.int64)


def _heard(
    detections: Mapping[str, Grouped], frames: Frames, min_score: float, gold: frozenset[str], answered: Answered
) -> _Heard:
    given = said.objects(detections, len(frames.ids), min_score, gold)
    kept = given.early.kept
    absent = c.absent(given.pool.names, answered, len(frames.ids))
    crowds = given.columns.only(given.crowd)
    return _Heard(given.columns.only(kept), given.names, given.gold[kept], absent, crowds, frames)


def _shard(heard: _Heard, number: Mapping[str, int], vocabulary: Vocabulary) -> Shard:
    concepts = np.array([number[vocabulary.name(word)] for word in heard.names], np.int64)
    columns, crowds = (part.labelled(concepts[part.labels]) if len(concepts) else part
                       for part in (heard.columns, heard.crowds))  # fmt: skip
    judged = np.zeros(len(columns.offsets) - 1, bool)
    judged[columns.groups()[heard.gold]] = True
    sizes = np.column_stack([heard.frames.widths, heard.frames.heights]).astype(np.float64)
    return Shard(columns, heard.gold, judged, sizes, heard.absent, crowds)


def _words_for(heard: Iterable[_Heard], vocabularies: Vocabularies, vocabulary: Vocabulary) -> list[str]:
    """One word for every concept that somebody used or can use, sorted."""
    used = dict.fromkeys(c.normal_words(word for words in vocabularies.values() for word in words or ()), 0)
    for part in heard:
        for word, count in zip(part.names, np.bincount(part.columns.labels, minlength=len(part.names)), strict=True):
            used[word] = used.get(word, 0) + int(count)
    best: dict[str, str] = {}
    for word in sorted(used, key=lambda word: (-used[word], word)):
        name = vocabulary.name(word)
        best[name] = name if name in used else best.get(name, word)
    return sorted(best.values()) or [_NOTHING]


def _knows(
    specialists: Sequence[str], labels: Sequence[str], vocabularies: Vocabularies, vocabulary: Vocabulary
) -> NDArray[np.bool_]:
    names = [vocabulary.name(label) for label in labels]
    rows = [vocabulary.knows(vocabularies.get(one), names) for one in specialists]
    return np.array(rows, bool).reshape(len(specialists), len(labels))


def _above(labels: Sequence[str], vocabulary: Vocabulary) -> list[tuple[int, int]]:
    return vocabulary.pairs([vocabulary.name(label) for label in labels])
