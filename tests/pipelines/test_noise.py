"""The filters of texts with the default profile, on what people wrote of fifty photographs, and on noise made of it."""

import numpy as np
import pytest

from benchmarks.text_filters import FOR_A_SCORER, KINDS, corrupted, decided, read_scenes
from specialists.spacy_parser import SpacyParser
from tests.shared_data import need


@pytest.fixture(scope="module")
def scenes():
    return read_scenes(need("coco50"))


@pytest.fixture(scope="module")
def parser():
    made = SpacyParser(SpacyParser.Config())
    made.load("cpu")
    return made


def test_at_most_one_in_twenty_captions_of_people_is_lost(scenes, parser):
    said = {str(n): [[five[n]] for five in scenes.said] for n in range(5)}
    lost = [reason is not None for found in decided(scenes, said, parser).values() for reason in found]
    assert len(lost) == 250
    assert np.mean(lost) <= 0.05


@pytest.mark.parametrize("seed", [0, 1])
def test_nine_in_ten_texts_of_noise_are_found_without_a_scorer(scenes, parser, seed):
    kinds = [kind for kind in KINDS if kind != FOR_A_SCORER]
    said = {kind: [[text] for text in corrupted(scenes, kind, seed)] for kind in kinds}
    caught = [reason is not None for kind in kinds for reason in decided(scenes, {kind: said[kind]}, parser)[kind]]
    assert len(caught) == 200
    assert np.mean(caught) >= 0.9
