"""Whether a text is about its image, by what detectors saw."""

import numpy as np
import pytest

from consensus.aboutness import about
from consensus.mentions import Mentions, Sightings, assumed

DOG, CAT, SOFA, TRAIN = range(4)


def believed(named, there, areas=None, knows=2):
    """The probability that texts are about one image: `named` labels of each text, `there` those that detectors saw, of
    which as many know each label."""
    confidence = np.zeros((1, 4), np.float32)
    confidence[0, there] = 0.9
    area = np.zeros((1, 4))
    for label, share in (areas or {}).items():
        area[0, label] = share
    text = np.repeat(np.arange(len(named)), [len(labels) for labels in named])
    count = len(text)
    mentions = Mentions(
        np.zeros(count, np.int64), np.zeros(count, np.int64), np.arange(count),
        np.array([label for labels in named for label in labels], np.int64),
    )  # fmt: skip
    looked = np.full((1, 4), knows)
    sightings = Sightings(confidence, confidence > 0, looked[0], np.ones((1, 1), bool), looked)
    return about(np.zeros(len(named), np.int64), text, mentions, sightings, area, assumed(sightings))


def test_one_thing_that_detectors_missed_is_no_proof_but_several_are():
    right, missed, other = believed([[DOG, SOFA], [DOG, CAT], [CAT, TRAIN]], [DOG, SOFA])
    assert right > missed > 0.9
    assert other < 0.5


def test_a_text_is_expected_to_name_what_is_large():
    small, large = (believed([[TRAIN]], [DOG, SOFA], {DOG: share, SOFA: share})[0] for share in (0.01, 0.9))
    assert small > 0.7 > 0.5 > large
    assert believed([[DOG]], [DOG], {DOG: 1.0})[0] > 0.99


def test_two_things_that_one_detector_missed_are_no_proof():
    assert believed([[CAT, TRAIN]], [DOG, SOFA], knows=1)[0] > 0.5


def test_nothing_named_and_nothing_seen_tells_nothing():
    [nothing] = believed([[]], [])
    assert nothing == pytest.approx(0.95)  # what is assumed of any text
