"""Which of the things that captioners name are there."""

from dataclasses import replace

import numpy as np
import pytest

from consensus.mentions import Mentions, Sightings, assumed, believe, learn

DOG, CAT, BIKE, MOTORBIKE = range(4)


def world(n_images, n_authors, *said, seen=(), knows=1):
    """Mentions as (image, author, labels), and what was seen as (image, label, confidence), of which 0.5 is accepted;
    everybody spoke everywhere, and as many detectors know each label."""
    confidence = np.zeros((n_images, 4), np.float32)
    for image, label, value in seen:
        confidence[image, label] = value
    pairs = [(m, label) for m, (_, _, labels) in enumerate(said) for label in labels]
    mentions = Mentions(
        np.array([image for image, _, _ in said], int),
        np.array([author for _, author, _ in said], int),
        np.array([m for m, _ in pairs], int),
        np.array([label for _, label in pairs], int),
    )
    spoke = np.ones((n_images, n_authors), bool)
    looked = np.full((n_images, 4), knows)
    return mentions, Sightings(confidence, confidence >= 0.5, np.full(4, knows), spoke, looked)


def believed(mentions, seen):
    return believe(mentions, seen, assumed(seen))


def test_detectors_and_others_support_and_their_silence_tells_against():
    nobody, other, _, unlikely, sure = believed(*world(
        4, 3, (0, 0, [DOG]), (1, 0, [DOG]), (1, 1, [DOG]), (2, 0, [DOG]), (3, 0, [DOG]),
        seen=[(2, DOG, 0.3), (3, DOG, 0.9)],
    ))  # fmt: skip
    assert nobody < 0.5 < other
    assert nobody < unlikely < sure
    assert sure > 0.9


def alone(knows, *confidence):
    """How far the only captioner is believed about a dog that so many detectors know, and saw with this confidence."""
    seen = [(0, DOG, value) for value in confidence]
    return believed(*world(1, 1, (0, 0, [DOG]), seen=seen, knows=knows))[0]


def test_a_lone_captioner_is_doubted_the_more_detectors_had_to_see_it():
    assert alone(0) == pytest.approx(0.9)  # nobody could have: as is assumed of any mention
    assert 0.9 > alone(1) > 0.5 > alone(2) > alone(3)
    assert alone(30) > 0.2  # some things are so small that all miss them


def test_what_is_hardly_believed_speaks_against_a_thing_and_hardly_less_than_nothing():
    believed_so = [alone(3), alone(3, 0.001), alone(3, 0.02), alone(3, 0.15), alone(3, 0.6)]
    assert believed_so == sorted(believed_so)
    assert believed_so[1] == pytest.approx(believed_so[0], abs=0.05)
    assert believed_so[1] < 0.5 < 0.9 <= believed_so[3]  # 0.15 is the share of images that have such a thing


def test_who_was_not_asked_tells_nothing():
    mentions, seen = world(1, 3, (0, 0, [DOG]))
    lone = replace(seen, spoke=np.array([[True, False, False]]))
    assert believed(mentions, lone)[0] > believed(mentions, seen)[0]
    assert believed(mentions, lone)[0] > 0.5  # one silent detector does not condemn a text


def test_a_detector_that_did_not_look_has_not_missed_anything():
    """As if there were only the others; all three are seen as they would be by each detector's own silence."""
    mentions, seen = world(4, 1, *[(image, 0, [DOG]) for image in range(4)], knows=3)
    some = replace(seen, looked=np.tile(np.array([[0], [1], [2], [3]]), 4))
    assert believed(mentions, some) == pytest.approx([alone(knows) for knows in range(4)])


def test_what_detectors_miss_is_learned_where_they_looked():
    """A hundred more images with the same captions at which no detector looked."""
    said = [(image, author, [DOG]) for image in range(100) for author in range(2)]
    things = [(image, DOG, 0.9) for image in range(50)]
    known = learn(*world(100, 2, *said, seen=things))
    mentions, seen = world(
        200, 2, *said, *[(image + 100, author, labels) for image, author, labels in said], seen=things
    )
    looked = seen.looked * (np.arange(200) < 100)[:, None]
    more = learn(mentions, replace(seen, looked=looked))
    assert more.present[DOG] == pytest.approx(known.present[DOG])
    assert more.missed[DOG] == pytest.approx(known.missed[DOG], abs=0.02)


def test_a_word_of_several_labels_is_confirmed_by_any_of_them():
    mentions, seen = world(2, 2, (0, 0, [BIKE, MOTORBIKE]), (1, 0, [BIKE]), (0, 1, [MOTORBIKE]),
                           seen=[(0, MOTORBIKE, 0.9), (1, MOTORBIKE, 0.9)])  # fmt: skip
    either, bicycle, _ = believed(mentions, seen)
    assert either > 0.9 > bicycle


def test_who_invents_is_learned_without_labels_and_tips_the_scales():
    rng = np.random.default_rng(0)
    said, things = [], []
    for image in range(80):
        thing = int(rng.integers(0, 4))
        if rng.random() < 0.8:
            things.append((image, thing, 0.9))
        for author in range(3):
            invents = author == 2 and rng.random() < 0.6
            said.append((image, author, [int((thing + 1 + rng.integers(0, 3)) % 4) if invents else thing]))
    mentions, seen = world(80, 3, *said, seen=things)
    known = learn(mentions, seen)
    assert known.invents[2] == pytest.approx(0.6, abs=0.15)
    assert known.invents[:2].max() < 0.15
    truth = np.array([labels == said[3 * (m // 3)][2] for m, (_, _, labels) in enumerate(said)])
    there = believe(mentions, seen, known) > 0.5
    assert (there == truth).mean() > 0.95


def test_how_often_detectors_miss_a_kind_is_learned_without_labels():
    """Two captioners agree on dogs, of which detectors see half, and on cats, of which they see nearly all."""
    rng = np.random.default_rng(2)
    said = [(image, author, [image % 2]) for image in range(200) for author in range(2)]
    things = [(image, image % 2, 0.9) for image in range(200) if rng.random() < (0.5, 0.95)[image % 2]]
    known = learn(*world(200, 2, *said, seen=things))
    assert known.missed[[DOG, CAT]] == pytest.approx([0.5, 0.05], abs=0.12)


def test_the_order_of_mentions_is_no_matter():
    rng = np.random.default_rng(1)
    said = [(int(rng.integers(0, 5)), int(rng.integers(0, 3)), [int(rng.integers(0, 4))]) for _ in range(30)]
    things = [(0, DOG, 0.9), (2, CAT, 0.2)]
    turn = rng.permutation(30)
    plain, turned = world(5, 3, *said, seen=things), world(5, 3, *[said[i] for i in turn], seen=things)
    assert believed(*turned) == pytest.approx(believed(*plain)[turn])
    assert learn(*turned).invents == pytest.approx(learn(*plain).invents)


def test_nothing_was_said():
    mentions, seen = world(2, 2)
    assert len(believed(mentions, seen)) == 0
    assert learn(mentions, seen).invents == pytest.approx(assumed(seen).invents)
