"""Which of the things that captioners name are there, by what detectors saw and other captioners said.

A mention is one thing named by one text. It is right, or its author invented it; either way detectors and the other
captioners of the image are observers who err independently (Dawid and Skene 1979, with two classes):

- detectors together leave a probability that a thing is there: that of what they saw of it, which is low where they
  doubt it, and where none saw any, what is left after as many misses as there are detectors that know its kind and
  looked. It speaks for a mention as far as it is above the share of images that have such a thing, and else against it;
- another captioner names a thing that is there with a probability of its own, and one that is not as often as it names
  that kind in any image, so that everybody's "person" supports little.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_TURNS: Final = 30
# What is assumed until it is learned, and how many mentions (or images) it counts as; our choice. Named things are large
# and of common kinds: a detector sees most, and many images have one (of 50 of COCO, 17 % have the kind of a mention that
# people made). Some are small, hidden, or another word's: all miss them (4 % of those mentions, by the true boxes).
_INVENTS, _SAYS, _SAYS_ANYWHERE = 0.1, 0.5, 0.03
_RECALL, _HIDDEN, _PRESENT = 0.8, 0.05, 0.15
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
    """What was seen, and who spoke.

    `confidence` (images, labels) float32 in 0..1: the probability of the regions of a label, of at least one of them; 0
    where nobody saw any; `accepted` (images, labels): a region has the label; `knows` (labels,): how many detectors know
    it; `spoke` (images, authors): has a text there; `looked` (images, labels): how many of those that know the label
    looked at the image.
    """

    confidence: NDArray[np.float32]
    accepted: NDArray[np.bool_]
    knows: I64
    spoke: NDArray[np.bool_]
    looked: NDArray[np.int32]


class MentionReliability(NamedTuple):
    """What is known of A authors and L labels.

    `invents` (A,) share of an author's mentions that are invented; `says` (A,) how often it names a thing that is
    there and that another named; `says_anywhere` (A, L) how often it names a label in any image; `missed` (L,) how often
    no detector sees a thing that is there and is named, if all look; `present` (L,) share of images that have one.
    """

    invents: F64
    says: F64
    says_anywhere: F64
    missed: F64
    present: F64


def assumed(sightings: Sightings) -> MentionReliability:
    """What is taken to hold of anybody before anything is learned. Detectors miss hidden things together, and all others
    each by itself."""
    n_authors, n_labels = sightings.spoke.shape[1], len(sightings.knows)
    return MentionReliability(
        np.full(n_authors, _INVENTS),
        np.full(n_authors, _SAYS),
        np.full((n_authors, n_labels), _SAYS_ANYWHERE),
        _HIDDEN + (1.0 - _HIDDEN) * np.power(1.0 - _RECALL, sightings.knows, dtype=np.float64),
        np.full(n_labels, _PRESENT),
    )


def believe(mentions: Mentions, sightings: Sightings, known: MentionReliability) -> F64:
    """The probability that each named thing is there: (m,). Every image is judged by itself."""
    spoke, said = _observed(mentions, sightings)
    return _posterior(mentions, sightings, spoke, said, known)


def learn(mentions: Mentions, sightings: Sightings) -> MentionReliability:
    """Reliabilities by expectation-maximisation over all mentions of a sample, without labels.

    A label leans to what holds of all labels, everything to what `assumed` says, as if that had been met ten times. How
    often detectors miss a label is learned from images that all who know it looked at.
    """
    n_authors, n_labels = sightings.spoke.shape[1], len(sightings.knows)
    spoke, said = _observed(mentions, sightings)
    start = assumed(sightings)
    watched = sightings.looked > 0
    present = sightings.confidence.sum(axis=0, dtype=np.float64, where=watched)
    known = start._replace(
        says_anywhere=_said_anywhere(mentions, sightings),
        present=(present + _WEIGHT * _PRESENT) / (watched.sum(axis=0) + _WEIGHT),
    )
    others = spoke & (np.arange(n_authors) != mentions.author[:, None])
    total = np.bincount(mentions.author, minlength=n_authors)
    # by label, a mention of several labels in equal parts
    shares = 1.0 / np.bincount(mentions.mention, minlength=len(mentions.image))[mentions.mention]
    shares = np.where(_looked(mentions, sightings) == 1.0, shares, 0.0)
    unseen = ~_seen(mentions, sightings)[mentions.mention]
    for _ in range(_TURNS):
        there = _posterior(mentions, sightings, spoke, said, known)
        invented = np.bincount(mentions.author, 1.0 - there, minlength=n_authors)
        part = there[mentions.mention] * shares
        things = np.bincount(mentions.label, part, minlength=n_labels)
        missed = np.bincount(mentions.label, part * unseen, minlength=n_labels)
        overall = (missed.sum() + _WEIGHT) / (things @ start.missed + _WEIGHT)  # times as often as was assumed
        known = known._replace(
            invents=(invented + _WEIGHT * _INVENTS) / (total + _WEIGHT),
            says=(there @ (others & said) + _WEIGHT * _SAYS) / (there @ others + _WEIGHT),
            missed=(missed + _WEIGHT * np.minimum(overall * start.missed, 1.0)) / (things + _WEIGHT),
        )
    return known


def _observed(mentions: Mentions, sightings: Sightings) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of every mention: who spoke of its image, and who named it (m, A)."""
    n, n_authors = len(mentions.image), sightings.spoke.shape[1]
    where = mentions.image[mentions.mention]
    # who named a label of an image at all
    keys = where * len(sightings.knows) + mentions.label
    of, place = np.unique(keys, return_inverse=True)
    named = np.zeros((len(of), n_authors), bool)
    named[place.ravel(), mentions.author[mentions.mention]] = True
    said = np.zeros((n, n_authors), bool)
    np.logical_or.at(said, mentions.mention, named[place.ravel()])
    return sightings.spoke[mentions.image], said


def sighted(mentions: Mentions, sightings: Sightings, known: MentionReliability) -> tuple[F64, F64]:
    """The probability that each named thing is there, by detectors alone, and that any image has such a thing: (m,) each.

    Beside what was seen, one more may be there that all missed; so the first is never below that of a thing unseen.
    """
    n, label = len(mentions.image), mentions.label
    present = np.clip(known.present, _LEAST, 1.0 - _LEAST)
    left = present[label] * _missed(mentions, sightings, known)
    left /= left + 1.0 - present[label]
    found = sightings.confidence[mentions.image[mentions.mention], label].astype(np.float64)
    here = _any(mentions, 1.0 - (1.0 - left) * (1.0 - found), n)
    return np.minimum(here, 1.0 - _LEAST), np.minimum(_any(mentions, present[label], n), 1.0 - _LEAST)


def _missed(mentions: Mentions, sightings: Sightings, known: MentionReliability) -> F64:
    """How often those that looked at the image of each pair see no thing of its label that is there: (p,).

    As `known.missed` has it where all looked; the fewer did, the nearer to 1, each missing by itself what is not hidden.
    """
    everybody, looked = known.missed[mentions.label], _looked(mentions, sightings)
    together = np.clip((everybody - _HIDDEN) / (1.0 - _HIDDEN), 0.0, 1.0)
    return np.where(looked == 1.0, everybody, _HIDDEN + (1.0 - _HIDDEN) * np.power(together, looked))


def _looked(mentions: Mentions, sightings: Sightings) -> F64:
    """Of each pair, the share of the detectors that know its label which looked at its image: (p,)."""
    knows = sightings.knows[mentions.label]
    absent = knows - sightings.looked[mentions.image[mentions.mention], mentions.label]
    return np.asarray(1.0 - absent / np.maximum(knows, 1))


def _seen(mentions: Mentions, sightings: Sightings) -> NDArray[np.bool_]:
    """Whether somebody saw any of the labels of each mention: (m,)."""
    seen = np.zeros(len(mentions.image), bool)
    found = sightings.confidence[mentions.image[mentions.mention], mentions.label] > 0
    seen[mentions.mention[found]] = True
    return seen


def _posterior(
    mentions: Mentions,
    sightings: Sightings,
    spoke: NDArray[np.bool_],
    said: NDArray[np.bool_],
    known: MentionReliability,
) -> F64:
    n, n_authors = said.shape
    invents = np.clip(known.invents[mentions.author], _LEAST, 1.0 - _LEAST)
    here, anywhere = sighted(mentions, sightings, known)
    odds = _logit(1.0 - invents) + _logit(here) - _logit(anywhere)
    for author in range(n_authors):
        chance = np.clip(_any(mentions, known.says_anywhere[author][mentions.label], n), _LEAST, 1.0 - _LEAST)
        says = np.clip(np.maximum(known.says[author], chance), _LEAST, 1.0 - _LEAST)
        evidence = np.where(said[:, author], np.log(says / chance), np.log((1.0 - says) / (1.0 - chance)))
        odds += np.where(spoke[:, author] & (mentions.author != author), evidence, 0.0)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -50.0, 50.0))))


def _logit(probability: F64) -> F64:
    return np.asarray(np.log(probability) - np.log1p(-probability))


def _any(mentions: Mentions, rates: F64, n: int) -> F64:
    """The chance of at least one of a mention's labels, of those (p,) of its pairs: (m,)."""
    none = np.bincount(mentions.mention, np.log1p(-np.minimum(rates, 1.0 - 1e-9)), minlength=n)
    return np.asarray(1.0 - np.exp(none))


def _said_anywhere(mentions: Mentions, sightings: Sightings) -> F64:
    """Share of the images an author spoke of in which it names each label: (A, L)."""
    n_labels, n_authors = len(sightings.knows), sightings.spoke.shape[1]
    where = mentions.image[mentions.mention] * n_authors + mentions.author[mentions.mention]
    once = np.unique(where * n_labels + mentions.label)
    place = once // n_labels % n_authors * n_labels + once % n_labels
    counts = np.bincount(place, minlength=n_authors * n_labels).reshape(n_authors, n_labels)
    return np.asarray((counts + _WEIGHT * _SAYS_ANYWHERE) / (sightings.spoke.sum(axis=0)[:, None] + _WEIGHT))
