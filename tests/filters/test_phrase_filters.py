"""Which phrases are not looked for."""

import numpy as np
import pytest

from engine.errors import ConfigError
from filters import phrases
from filters.phrases import PhraseFilterConfig, blacklist, blacklisted


def kept(*pairs, config=None):
    words = blacklist(config or PhraseFilterConfig())
    return blacklisted([p for p, _ in pairs], [h for _, h in pairs], words).kept.tolist()


def test_pronouns_and_abstract_nouns_go_and_things_stay():
    assert (
        kept(
            ("it", "it"),
            ("the image", "image"),
            ("A group", "group"),
            ("other objects", "object"),
            ("a set", "set"),
            ("lots", "lot"),
            ("a beautiful view", "view"),
            ("the background", "background"),
            ("the  other side", "side"),
        )
        == [False] * 9
    )
    assert (
        kept(
            ("a red image frame", "frame"),
            ("the dog", "dog"),
            ("a television set", "set"),
            ("two people", "people"),
            ("a picture frame", "frame"),
            ("his left hand", "hand"),
            ("the blue sky", "sky"),
            ("another dog", "dog"),
        )
        == [True] * 8
    )


def test_the_user_can_add_and_take_off():
    config = PhraseFilterConfig(also_blacklisted=("Blue Sky",), allowed=("background",))
    assert kept(("the blue sky", "sky"), ("the background", "background"), config=config) == [False, True]


def test_a_determiner_in_a_setting_is_none_of_its_words():
    config = PhraseFilterConfig(
        also_blacklisted=("the dog", "A  Cat"), also_blacklisted_heads=("the Sky",), allowed=("The background",)
    )
    found = kept(
        ("a dog", "dog"), ("the cat", "cat"), ("a big cat", "cat"), ("a blue sky", "sky"), ("the background", "background"),
        config=config,
    )  # fmt: skip
    assert found == [False, False, True, False, True]


def test_another_version_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="Set it to 1"):
        blacklist(PhraseFilterConfig(blacklist_version=7))


def test_a_head_must_be_a_noun():
    assert phrases.without_noun(["NOUN", "PROPN", "VERB", "PRON", None]).kept.tolist() == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert phrases.pronoun(["NOUN", "PRON", None]).kept.tolist() == [True, False, True]


def test_long_phrases_go():
    found = phrases.too_long(["a dog", "a very very big dog"], 4)
    assert found.kept.tolist() == [True, False]
    assert found.value[1] == 5


def test_no_phrases():
    assert kept() == []


def test_a_phrase_gets_as_many_boxes_as_it_asks_for():
    found = phrases.surplus(np.array([1, 2, 3, 1, 9, 0]), np.array([2, 2, 2, 1, 0, 1]))
    assert found.kept.tolist() == [True, True, False, True, True, True]
    assert (found.value[2], found.threshold[2]) == (3, 2)
