"""Words that mean one thing, and words that contain others."""

import json
from pathlib import Path

import pytest

from consensus.vocabulary import Vocabulary
from engine.errors import ConfigError

SHIPPED = Vocabulary.shipped()
COCO = Path(__file__).parents[2] / "../shared/data/coco50/instances.json"


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("sofa", "couch"),
        ("Couches", "couch"),
        ("people", "person"),
        ("motorbike", "motorcycle"),
        ("cell_phones", "cell phone"),
        ("Television set", "tv"),
        ("horses", "horse"),
        ("puppies", "puppy"),
        ("glass", "drinking glass"),
        ("bus", "bus"),
        ("Quokka", "quokka"),
    ],
)
def test_aliases_and_plurals_mean_one_thing(word, name):
    assert SHIPPED.name(word) == name


def test_broad_words_contain_narrow_ones_and_not_the_reverse():
    assert {"dog", "mammal", "animal"} <= SHIPPED.above("puppy")
    assert "boat" in SHIPPED.above("gondola")
    assert "puppy" not in SHIPPED.above("dog")
    assert SHIPPED.pairs(["boat", "dog", "gondola", "puppy"]) == [(2, 0), (3, 1)]


def test_who_knows_the_broad_word_can_see_the_narrow_thing():
    assert SHIPPED.knows(["Animals", "sofa"], ["puppy", "couch", "car"]) == [True, True, False]
    assert SHIPPED.knows(None, ["anything"]) == [True]


def test_own_lines_replace_the_shipped_ones():
    own = SHIPPED.extended(["# ours", "quokka < animal : setonix", "drinking glass : beaker"])
    assert own.name("Setonix") == "quokka"
    assert "animal" in own.above("quokkas")
    assert SHIPPED.name("setonix") == "setonix"
    with pytest.raises(ConfigError, match="broader than itself"):
        SHIPPED.extended(["animal < puppy"])
    with pytest.raises(ConfigError, match="no name"):
        SHIPPED.extended([": alias"])


def test_every_name_of_coco_is_a_thing_of_its_own():
    if not COCO.exists():
        pytest.skip(f"{COCO} is not there")
    names = [category["name"] for category in json.loads(COCO.read_text())["categories"]]
    assert [SHIPPED.name(name) for name in names] == names
    assert SHIPPED.pairs(names) == []
