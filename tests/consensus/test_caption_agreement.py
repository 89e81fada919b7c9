"""Agreement between the texts of an image."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.captions import agreement, known_mean, worth

WORDS = ["a", "dog", "Dog", "runs", "in", "the", "park", "don't", "two", "a,", "."]


def f1_by_hand(one, other):
    a, b = (Counter(re.findall(r"[a-z0-9']+", text.lower())) for text in (one, other))
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), st.integers(0, 3), st.integers(0, 2)),
        max_size=12,
    )
)
def test_it_is_the_mean_of_pairwise_token_f1(rows):
    texts, groups, authors = ([row[i] for row in rows] for i in range(3))
    found = agreement(texts, np.array(groups, int), np.array(authors, int), 3)
    for i, text in enumerate(texts):
        others = [j for j in range(len(texts)) if j != i and groups[j] == groups[i]]
        scores = [f1_by_hand(text, texts[j]) for j in others]
        if others:
            assert found.mean[i] == pytest.approx(np.mean(scores))
        else:
            assert np.isnan(found.mean[i])
        for author in range(3):
            said = [f1_by_hand(text, texts[j]) for j in others if authors[j] == author]
            if author == authors[i]:
                assert found.closest[i, author] == 1.0
            elif said:
                assert found.closest[i, author] == pytest.approx(max(said))
            else:
                assert np.isnan(found.closest[i, author])


def test_the_odd_one_out_agrees_least():
    texts = ["a dog runs in the park", "a brown dog runs in a park", "the dog runs", "a plate of spaghetti"]
    found = agreement(texts, np.zeros(4, int), np.arange(4), 4)
    assert int(np.argmin(found.mean)) == 3


def test_words_of_other_scripts_count():
    found = agreement(["Ein süßer Hund", "ein SÜßER hund!"], np.zeros(2, int), np.arange(2), 2)
    assert found.mean.tolist() == [1.0, 1.0]


def test_worth_is_the_mean_of_what_is_known_with_similarity_on_the_scale_of_the_group():
    nan = np.nan
    groups, kept = np.array([0, 0, 0, 1, 2]), np.array([True, True, False, True, True])
    similarity = np.array([0.20, 0.30, 0.90, 0.25, nan])  # the rejected text sets no scale, one alone has none
    value = worth(groups, [np.array([0.5, 0.5, 0.5, 0.4, nan]), np.array([nan, 1.0, nan, nan, nan])], similarity, kept)
    assert value[[0, 1, 3, 4]] == pytest.approx([(0.5 + 0) / 2, (0.5 + 1.0 + 1.0) / 3, 0.4, 0.0])
    assert known_mean([np.array([nan, 1.0]), np.array([nan, 0.0])]).tolist()[1] == 0.5
    assert np.isnan(known_mean([np.array([nan])])).all()
