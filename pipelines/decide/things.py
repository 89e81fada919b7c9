"""Which things texts name, in the words of the detectors, and what the detectors saw of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from consensus.mentions import ACCEPTED, DOUBTED, Sightings
from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from filters.syntax import noun_chunks
from pipelines.decide import columns as c
from pipelines.decide.said import OBJECT

Words = Mapping[str, frozenset[str]]
_LONGEST = 3  # words of the longest label that is looked for in a phrase ("stuffed teddy bear")
_NEGATIONS = ("no", "without")


@dataclass(frozen=True, slots=True)
class Named:
    """Things that texts name: `text` (m,) ascending row of each mention; of pairs: `mention`, `label` (p,)."""

    text: NDArray[np.int64]
    mention: NDArray[np.int64]
    label: NDArray[np.int64]

    def only(self, texts: NDArray[np.bool_]) -> "Named":
        """The mentions of the flagged texts (n,)."""
        kept = texts[self.text]
        pair = kept[self.mention]
        number = np.cumsum(kept) - 1
        return Named(self.text[kept], number[self.mention[pair]], self.label[pair])


def vocabulary(vocabularies: Mapping[str, Sequence[str] | None]) -> list[str]:
    """Every label that some detector could give, in lower case, sorted. A detector of any words (None) adds none:
    from its silence about a thing nothing follows."""
    return sorted({word.strip().lower() for words in vocabularies.values() for word in words or ()})


def meanings(known: Vocabulary, labels: Sequence[str]) -> dict[str, frozenset[str]]:
    """Which of `labels` each word that is known may mean: the same thing, a kind of it, or what it is a kind of; none
    where no label is any of these."""
    by_name: dict[str, set[str]] = {}
    above: dict[str, set[str]] = {}  # labels below a broader word
    for label in labels:
        name = known.name(label)
        by_name.setdefault(name, set()).add(label)
        for broad in known.above(name):
            above.setdefault(broad, set()).add(label)
    found = {}
    for word in sorted(known.names):
        name = known.names[word]
        meant = by_name.get(name, set()) | above.get(name, set())
        found[word] = frozenset(meant.union(*(by_name.get(broad, set()) for broad in known.above(name))))
    return found


def named(tokens: Tokens, texts: Sequence[str], labels: Sequence[str], words: Words) -> Named:
    """The mentions of things that some detector could have seen.

    `words` says which labels a word may mean beyond itself. The longest end of a phrase that is a label or such a word
    decides ("hot dog" is no dog, and glasses that nobody can see are no glass); the head is tried as it stands and by its
    lemma. Phrases that deny ("no dog") name nothing, and a text names a thing once.
    """
    found = noun_chunks(tokens, texts)
    number = {label: i for i, label in enumerate(labels)}
    known: dict[tuple[str, str], tuple[int, ...]] = {}
    seen: dict[tuple[int, tuple[int, ...]], None] = {}
    for text, phrase, lemma in zip(found.text.tolist(), found.phrase, found.lemma, strict=True):
        key = (phrase, lemma)
        if key not in known:
            known[key] = _meant(phrase.lower().split(), lemma.lower(), number, words)
        if known[key]:
            seen[text, known[key]] = None
    rows = list(seen)
    count = [len(meant) for _, meant in rows]
    return Named(
        np.array([text for text, _ in rows], np.int64),
        np.repeat(np.arange(len(rows)), count),
        np.array([label for _, meant in rows for label in meant], np.int64),
    )


def meant(phrases: c.Array, heads: c.Array, labels: Sequence[str], words: Words) -> NDArray[np.bool_]:
    """Which labels each phrase may mean, by the same rule: (phrases, labels); `heads` are lemmas of the head nouns."""
    number = {label: i for i, label in enumerate(labels)}
    flags = np.zeros((len(phrases), len(labels)), bool)
    for row, (phrase, head) in enumerate(zip(phrases.to_pylist(), heads.to_pylist(), strict=True)):
        flags[row, list(_meant((phrase or "").lower().split(), (head or "").lower(), number, words))] = True
    return flags


def _meant(phrase: Sequence[str], lemma: str, number: Mapping[str, int], words: Words) -> tuple[int, ...]:
    """Numbers of the labels that a phrase may mean; none where no detector knows it."""
    if not phrase or phrase[0] in _NEGATIONS:
        return ()
    for n in range(min(_LONGEST, len(phrase)), 0, -1):
        before = " ".join(phrase[-n:-1])
        for head in (phrase[-1], lemma):
            word = f"{before} {head}".strip()
            found = {number[label] for label in {word, *words.get(word, ())} if label in number}
            if found or word in words:
                return tuple(sorted(found))
    return ()


def sightings(regions: Grouped, labels: Sequence[str], spoke: NDArray[np.bool_]) -> Sightings:
    """What detectors saw of every label in every image, from all objects of DECIDED_REGIONS, rejected ones too.

    What readers read is no sighting: a sign may well say "dog".
    """
    regions = regions.where(pc.equal(regions.table.column(s.KIND), OBJECT))
    table = regions.table
    image = regions.image_index()
    level = np.zeros((len(regions.offsets) - 1, len(labels)), np.int8)
    votes = c.flat(table.column(s.VOTES))
    owner = np.repeat(
        np.arange(len(votes)), pc.fill_null(pc.list_value_length(votes), 0).to_numpy(zero_copy_only=False)
    )
    said = pc.struct_field(votes.flatten(), s.LABEL)
    _raise(level, image[owner], said, labels, DOUBTED)
    rows = np.flatnonzero(c.flags(pc.is_null(table.column(s.REASON))))
    _raise(level, image[rows], c.take(table.column(s.LABEL), rows), labels, ACCEPTED)
    return Sightings(level, spoke)


def areas(regions: Grouped, labels: Sequence[str], frames: Frames) -> NDArray[np.float64]:
    """The share of each image that accepted regions of each label cover, at most 1: (images, labels). Overlaps count
    twice."""
    table = regions.table
    accepted = c.flags(pc.and_(pc.is_null(table.column(s.REASON)), pc.equal(table.column(s.KIND), OBJECT)))
    rows = np.flatnonzero(accepted)
    index = _places(c.take(table.column(s.LABEL), rows), labels)
    rows, index = rows[index >= 0], index[index >= 0]
    x0, y0, x1, y1 = c.box_matrix(table)[rows].astype(np.float64).T
    whole = np.maximum(frames.widths.astype(np.float64) * frames.heights, 1.0)
    image = regions.image_index()[rows]
    covered = np.zeros((len(whole), len(labels)))
    np.add.at(covered, (image, index), (x1 - x0) * (y1 - y0) / whole[image])
    return np.clip(covered, 0.0, 1.0)


def _raise(level: NDArray[np.int8], image: NDArray[np.int64], said: c.Array, labels: Sequence[str], to: int) -> None:
    """Raise the level of labels that were said of images; words that are no label are left out."""
    index = _places(said, labels)
    np.maximum.at(level, (image[index >= 0], index[index >= 0]), np.int8(to))


def _places(said: c.Array, labels: Sequence[str]) -> NDArray[np.int64]:
    """The place of each word among the labels, -1 where it is none: (rows,)."""
    place = pc.index_in(c.normal(said), value_set=pa.array(labels, pa.string()))
    return np.asarray(c.flat(pc.fill_null(place, -1)).to_numpy(zero_copy_only=False), np.int64)
