"""Which of the things that captioners name are there."""

import numpy as np
import pytest

from consensus.mentions import ACCEPTED, DOUBTED, Mentions, Sightings, assumed, believe, learn

DOG, CAT, BIKE, MOTORBIKE = range(4)


def world(n_images, n_authors, *said, level=()):
    """Mentions as (image, author, labels), and sightings as (image, label, level); everybody spoke everywhere."""
    levels = np.zeros((n_images, 4), np.int8)
    for image, label, value in level:
        levels[image, label] = value
    pairs = [(m, label) for m, (_, _, labels) in enumerate(said) for label in labels]
    mentions = Mentions(
        np.array([image for image, _, _ in said], int),
        np.array([author for _, author, _ in said], int),
        np.array([m for m, _ in pairs], int),
        np.array([label for _, label in pairs], int),
    )
    return mentions, Sightings(levels, np.ones((n_images, n_authors), bool))


def test_detectors_and_others_support_and_their_silence_tells_against():
    mentions, seen = world(
        4, 3, (0, 0, [DOG]), (1, 0, [DOG]), (1, 1, [DOG]), (2, 0, [DOG]), (3, 0, [DOG]),
        level=[(2, DOG, DOUBTED), (3, DOG, ACCEPTED)],
    )  # fmt: skip
    nobody, other, _, doubted, accepted = believe(mentions, seen, assumed(3, 4))
    assert nobody < 0.5 < other
    assert nobody < doubted < accepted
    assert accepted > 0.9


def test_who_was_not_asked_tells_nothing():
    mentions, seen = world(1, 3, (0, 0, [DOG]))
    alone = Sightings(seen.level, np.array([[True, False, False]]))
    assert believe(mentions, alone, assumed(3, 4))[0] > believe(mentions, seen, assumed(3, 4))[0]
    assert believe(mentions, alone, assumed(3, 4))[0] > 0.5  # one silent detector does not condemn a text


def test_a_word_of_several_labels_is_confirmed_by_any_of_them():
    mentions, seen = world(2, 2, (0, 0, [BIKE, MOTORBIKE]), (1, 0, [BIKE]), (0, 1, [MOTORBIKE]),
                           level=[(0, MOTORBIKE, ACCEPTED), (1, MOTORBIKE, ACCEPTED)])  # fmt: skip
    either, bicycle, _ = believe(mentions, seen, assumed(2, 4))
    assert either > 0.9 > bicycle


def test_who_invents_is_learned_without_labels_and_tips_the_scales():
    rng = np.random.default_rng(0)
    said, level = [], []
    for image in range(80):
        thing = int(rng.integers(0, 4))
        if rng.random() < 0.8:
            level.append((image, thing, ACCEPTED))
        for author in range(3):
            invents = author == 2 and rng.random() < 0.6
            said.append((image, author, [int((thing + 1 + rng.integers(0, 3)) % 4) if invents else thing]))
    mentions, seen = world(80, 3, *said, level=level)
    known = learn(mentions, seen)
    assert known.invents[2] == pytest.approx(0.6, abs=0.15)
    assert known.invents[:2].max() < 0.15
    truth = np.array([labels == said[3 * (m // 3)][2] for m, (_, _, labels) in enumerate(said)])
    there = believe(mentions, seen, known) > 0.5
    assert (there == truth).mean() > 0.95


def test_the_order_of_mentions_is_no_matter():
    rng = np.random.default_rng(1)
    said = [(int(rng.integers(0, 5)), int(rng.integers(0, 3)), [int(rng.integers(0, 4))]) for _ in range(30)]
    level = [(0, DOG, ACCEPTED), (2, CAT, DOUBTED)]
    turn = rng.permutation(30)
    plain, turned = world(5, 3, *said, level=level), world(5, 3, *[said[i] for i in turn], level=level)
    assert believe(*turned, assumed(3, 4)) == pytest.approx(believe(*plain, assumed(3, 4))[turn])
    assert learn(*turned).invents == pytest.approx(learn(*plain).invents)


def test_nothing_was_said():
    mentions, seen = world(2, 2)
    assert len(believe(mentions, seen, assumed(2, 4))) == 0
    assert learn(mentions, seen).invents == pytest.approx(assumed(2, 4).invents)
