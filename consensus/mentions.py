"""Which of the things that captioners name are there, by what detectors saw and other captioners said.

A mention is one thing named by one text. It is right, or its author invented it; either way detectors and the other
captioners of the image are observers who err independently (Dawid and Skene 1979, with two classes):

- detectors see a thing that is there as often as they see its kind, and one that is not as often as they see its kind
  in any image;
- another captioner names a thing that is there with a probability of its own, and one that is not as often as it names
  that kind in any image, so that everybody's "person" supports little.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

UNSEEN, DOUBTED, ACCEPTED = range(3)  # nobody saw it; somebody did, but no region came of it; a region has its label
_LEVELS: Final = 3
_TURNS: Final = 30
# What is assumed until it is learned, and how many mentions (or images) it counts as; our choice.
_INVENTS, _SAYS, _SEES = 0.05, 0.5, (0.15, 0.1, 0.75)
_SAYS_ANYWHERE, _SEEN_ANYWHERE = 0.03, (0.08, 0.05)
_WEIGHT: Final = 10.0
_LEAST: Final = 0.002  # of a probability


@dataclass(frozen=True, slots=True)
class Mentions:
    """Mentions (m), each of one or several labels ("bike": bicycle or motorcycle) that would confirm it.

    `image`, `author` (m,) numbers; of pairs: `mention`, `label` (p,), sorted by mention, each mention at least once.
    """

    image: I64
    author: I64
    mention: I64
    label: I64


@dataclass(frozen=True, slots=True)
class Sightings:
    """`level` (images, labels) int8: UNSEEN, DOUBTED or ACCEPTED; `spoke` (images, authors): has a text there."""

    level: NDArray[np.int8]
    spoke: NDArray[np.bool_]


class MentionReliability(NamedTuple):
    """What is known of A authors and L labels.

    `invents` (A,) share of an author's mentions that are invented; `says` (A,) how often it names a thing that is
    there and that another named; `says_anywhere` (A, L) how often it names a label in any image; `sees` (L, 3) at which
    level detectors see a thing that is there; `seen_anywhere` (L, 2) share of images with the label at least DOUBTED,
    and ACCEPTED.
    """

    invents: F64
    says: F64
    says_anywhere: F64
    sees: F64
    seen_anywhere: F64


def assumed(n_authors: int, n_labels: int) -> MentionReliability:
    """What is taken to hold of anybody before anything is learned."""
    return MentionReliability(
        np.full(n_authors, _INVENTS),
        np.full(n_authors, _SAYS),
        np.full((n_authors, n_labels), _SAYS_ANYWHERE),
        np.tile(_SEES, (n_labels, 1)),
        np.tile(_SEEN_ANYWHERE, (n_labels, 1)),
    )


def believe(mentions: Mentions, sightings: Sightings, known: MentionReliability) -> F64:
    """The probability that each named thing is there: (m,). Every image is judged by itself."""
    level, spoke, said = _observed(mentions, sightings)
    return _posterior(mentions, level, spoke, said, known)


def learn(mentions: Mentions, sightings: Sightings) -> MentionReliability:
    """Reliabilities by expectation-maximisation over all mentions of a sample, without labels.

    A label leans to what holds of all labels, everything to what `assumed` says, as if that had been met ten times.
    """
    n_authors, n_labels = sightings.spoke.shape[1], sightings.level.shape[1]
    level, spoke, said = _observed(mentions, sightings)
    start = assumed(n_authors, n_labels)
    known = start._replace(
        says_anywhere=_said_anywhere(mentions, sightings),
        seen_anywhere=np.stack([_share(sightings.level >= least) for least in (DOUBTED, ACCEPTED)], axis=1),
    )
    others = spoke & (np.arange(n_authors) != mentions.author[:, None])
    shares = 1.0 / np.bincount(mentions.mention, minlength=len(level))[mentions.mention]
    for _ in range(_TURNS):
        there = _posterior(mentions, level, spoke, said, known)
        invented = np.bincount(mentions.author, 1.0 - there, minlength=n_authors)
        total = np.bincount(mentions.author, minlength=n_authors)
        # by label and level, a mention of several labels in equal parts
        place = mentions.label * _LEVELS + level[mentions.mention]
        seen = np.bincount(place, (there[mentions.mention] * shares), minlength=n_labels * _LEVELS)
        seen = seen.reshape(n_labels, _LEVELS)
        overall = (seen.sum(axis=0) + _WEIGHT * np.array(_SEES)) / (seen.sum() + _WEIGHT)
        known = known._replace(
            invents=(invented + _WEIGHT * _INVENTS) / (total + _WEIGHT),
            says=(there @ (others & said) + _WEIGHT * _SAYS) / (there @ others + _WEIGHT),
            sees=(seen + _WEIGHT * overall) / (seen.sum(axis=1, keepdims=True) + _WEIGHT),
        )
    return known


def _observed(mentions: Mentions, sightings: Sightings) -> tuple[I64, NDArray[np.bool_], NDArray[np.bool_]]:
    """Of every mention: the highest level of its labels (m,), and who spoke of its image, and who named it (m, A)."""
    n, n_authors = len(mentions.image), sightings.spoke.shape[1]
    where = mentions.image[mentions.mention]
    # who named a label of an image at all
    keys = where * sightings.level.shape[1] + mentions.label
    of, place = np.unique(keys, return_inverse=True)
    named = np.zeros((len(of), n_authors), bool)
    named[place.ravel(), mentions.author[mentions.mention]] = True
    said = np.zeros((n, n_authors), bool)
    np.logical_or.at(said, mentions.mention, named[place.ravel()])
    return levels(mentions, sightings), sightings.spoke[mentions.image], said


def sighted(mentions: Mentions, level: I64, known: MentionReliability) -> F64:
    """How far what detectors saw (`level` (m,), the highest of a mention's labels) speaks for each thing: (m,), the log
    of how much likelier it is where the thing is than in any image."""
    n = len(level)
    count = np.bincount(mentions.mention, minlength=n)
    sees = np.stack(
        [np.bincount(mentions.mention, known.sees[mentions.label, k], minlength=n) / count for k in range(_LEVELS)]
    )
    anywhere = np.stack([_any(mentions, known.seen_anywhere[:, k], n) for k in range(2)])
    by_chance = np.stack([1.0 - anywhere[0], anywhere[0] - anywhere[1], anywhere[1]])
    row = np.arange(n)
    return np.asarray(np.log(np.maximum(sees[level, row], _LEAST) / np.maximum(by_chance[level, row], _LEAST)))


def levels(mentions: Mentions, sightings: Sightings) -> I64:
    """The highest level of the labels of every mention in its image: (m,)."""
    level = np.zeros(len(mentions.image), np.int64)
    seen = sightings.level[mentions.image[mentions.mention], mentions.label].astype(np.int64)
    np.maximum.at(level, mentions.mention, seen)
    return level


def _posterior(
    mentions: Mentions, level: I64, spoke: NDArray[np.bool_], said: NDArray[np.bool_], known: MentionReliability
) -> F64:
    n, n_authors = said.shape
    invents = np.clip(known.invents[mentions.author], _LEAST, 1.0 - _LEAST)
    odds = np.log((1.0 - invents) / invents)
    odds += sighted(mentions, level, known)
    for author in range(n_authors):
        chance = np.clip(_any(mentions, known.says_anywhere[author], n), _LEAST, 1.0 - _LEAST)
        says = np.clip(np.maximum(known.says[author], chance), _LEAST, 1.0 - _LEAST)
        evidence = np.where(said[:, author], np.log(says / chance), np.log((1.0 - says) / (1.0 - chance)))
        odds += np.where(spoke[:, author] & (mentions.author != author), evidence, 0.0)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -50.0, 50.0))))


def _any(mentions: Mentions, rates: F64, n: int) -> F64:
    """The chance of at least one of a mention's labels: (m,)."""
    none = np.bincount(mentions.mention, np.log1p(-np.minimum(rates[mentions.label], 1.0 - 1e-9)), minlength=n)
    return np.asarray(1.0 - np.exp(none))


def _said_anywhere(mentions: Mentions, sightings: Sightings) -> F64:
    """Share of the images an author spoke of in which it names each label: (A, L)."""
    n_labels, n_authors = sightings.level.shape[1], sightings.spoke.shape[1]
    where = mentions.image[mentions.mention] * n_authors + mentions.author[mentions.mention]
    once = np.unique(where * n_labels + mentions.label)
    place = once // n_labels % n_authors * n_labels + once % n_labels
    counts = np.bincount(place, minlength=n_authors * n_labels).reshape(n_authors, n_labels)
    return np.asarray((counts + _WEIGHT * _SAYS_ANYWHERE) / (sightings.spoke.sum(axis=0)[:, None] + _WEIGHT))


def _share(flags: NDArray[np.bool_]) -> F64:
    """Share of images (images, labels) with each label, leaning to that of all labels: (L,)."""
    mean = float(flags.mean()) if flags.size else 0.0
    return np.asarray((flags.sum(axis=0) + _WEIGHT * mean) / (len(flags) + _WEIGHT))
