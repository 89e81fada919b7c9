"""Which things texts name, in the words of the detectors, and what the detectors saw of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from consensus.mentions import Sightings
from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from filters.syntax import noun_chunks
from pipelines.decide import columns as c
from pipelines.decide.said import OBJECT

Words = Mapping[str, frozenset[str]]
_THERE = 0.5  # confidence from which on something is taken to be there, and a text that is silent about it to be silent
_LONGEST = 3  # words of the longest label that is looked for in a phrase ("stuffed teddy bear")


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
    return sorted(set(c.normal_words(word for words in vocabularies.values() for word in words or ())))


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
    lemma. Phrases that deny ("no dog", "without a dog") name nothing, and a text names a thing once.
    """
    found = noun_chunks(tokens, texts)
    number = {label: i for i, label in enumerate(labels)}
    known: dict[tuple[str, str], tuple[int, ...]] = {}
    seen: dict[tuple[int, tuple[int, ...]], None] = {}
    for text, phrase, lemma, denied in zip(found.text.tolist(), found.phrase, found.lemma, found.denied, strict=True):
        if denied:
            continue
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
    for n in range(min(_LONGEST, len(phrase)), 0, -1):
        before = " ".join(phrase[-n:-1])
        for head in (phrase[-1], lemma):
            word = f"{before} {head}".strip()
            found = {number[label] for label in {word, *words.get(word, ())} if label in number}
            if found or word in words:
                return tuple(sorted(found))
    return ()


def sightings(
    regions: Grouped,
    vocabularies: Mapping[str, Sequence[str] | None],
    spoke: NDArray[np.bool_],
    answered: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Sightings:
    """What detectors saw of every label of `vocabulary(vocabularies)` in every image, from all objects of
    DECIDED_REGIONS, rejected ones too: each is as likely as its confidence.

    A word that was outvoted in a region counts as much as its own scores, spread over all that could vote. What readers
    read is no sighting: a sign may well say "dog". `answered` (images,) says for which images a detector answered at all
    (absent: for every image); of the others its silence says nothing.
    """
    labels = vocabulary(vocabularies)
    regions = regions.where(pc.equal(regions.table.column(s.KIND), OBJECT))
    table, image = regions.table, regions.image_index()
    label = _places(table.column(s.LABEL), labels)
    value = np.nan_to_num(c.floats(table, s.CONFIDENCE))
    votes = c.flat(table.column(s.VOTES))
    owner = np.repeat(
        np.arange(len(votes)), pc.fill_null(pc.list_value_length(votes), 0).to_numpy(zero_copy_only=False)
    )
    word = _places(pc.struct_field(votes.flatten(), s.LABEL), labels)
    score = np.nan_to_num(pc.struct_field(votes.flatten(), s.SCORE).to_numpy(zero_copy_only=False))
    could = pc.fill_null(table.column(s.N_ELIGIBLE), 1).to_numpy().astype(np.float64)
    outvoted = word != label[owner]
    share = (score / np.maximum(could[owner], 1.0))[outvoted]
    accepted = np.zeros((len(regions.offsets) - 1, len(labels)), bool)
    kept = c.flags(pc.is_null(table.column(s.REASON))) & (label >= 0) & (value >= _THERE)
    accepted[image[kept], label[kept]] = True
    confidence = _at_least_one(
        accepted.shape,
        np.concatenate([image, image[owner][outvoted]]),
        np.concatenate([label, word[outvoted]]),
        np.concatenate([value, share]),
    )
    known = _known(vocabularies, labels)
    looked = ~c.absent(list(vocabularies), answered or {}, len(accepted))
    count = looked.astype(np.int32) @ known.astype(np.int32)
    return Sightings(confidence, accepted, known.sum(axis=0), spoke, count)


def _known(vocabularies: Mapping[str, Sequence[str] | None], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the labels each detector names among those it could give: (detectors, labels)."""
    words = [set(c.normal_words(given or ())) for given in vocabularies.values()]
    return np.array([[label in one for label in labels] for one in words], bool).reshape(len(words), len(labels))


def areas(regions: Grouped, labels: Sequence[str], frames: Frames) -> NDArray[np.float64]:
    """The share of each image that accepted regions of each label cover, at most 1: (images, labels). Overlaps count
    twice."""
    table = regions.table
    accepted = c.flags(pc.and_(pc.is_null(table.column(s.REASON)), pc.equal(table.column(s.KIND), OBJECT)))
    rows = np.flatnonzero(accepted & (np.nan_to_num(c.floats(table, s.CONFIDENCE)) >= _THERE))
    index = _places(c.take(table.column(s.LABEL), rows), labels)
    rows, index = rows[index >= 0], index[index >= 0]
    x0, y0, x1, y1 = c.box_matrix(table)[rows].astype(np.float64).T
    whole = np.maximum(frames.widths.astype(np.float64) * frames.heights, 1.0)
    image = regions.image_index()[rows]
    covered = np.zeros((len(whole), len(labels)))
    np.add.at(covered, (image, index), (x1 - x0) * (y1 - y0) / whole[image])
    return np.clip(covered, 0.0, 1.0)


def _at_least_one(
    shape: tuple[int, int], image: NDArray[np.int64], label: NDArray[np.int64], value: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The probability of at least one of the (n,) values of each image and label, a table of this shape; those of no
    label (-1) are left out."""
    rows = label >= 0
    none = np.ones(shape, np.float32)
    np.multiply.at(none, (image[rows], label[rows]), (1.0 - np.clip(value[rows], 0.0, 1.0)).astype(np.float32))
    return 1.0 - none


def _places(said: c.Array, labels: Sequence[str]) -> NDArray[np.int64]:
    """The place of each word among the labels, -1 where it is none: (rows,)."""
    place = pc.index_in(c.normal(said), value_set=pa.array(labels, pa.string()))
    return np.asarray(c.flat(pc.fill_null(place, -1)).to_numpy(zero_copy_only=False), np.int64)
