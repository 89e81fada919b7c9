"""Words that mean one thing, and words that contain others."""

import importlib.util
import json
import unicodedata
from collections import Counter
from importlib import resources
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from consensus.vocabulary import Vocabulary
from engine.errors import ConfigError
from pipelines.scenes.kinds import KINDS

SHIPPED = Vocabulary.shipped()
TABLE = resources.files("consensus").joinpath("data/words.txt").read_text("utf-8")
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
        ("glasses", "glasses"),
        ("snowmen", "snowman"),
        ("policewomen", "police officer"),
        ("steak knives", "steak knife"),
        ("scarves", "scarf"),
        ("Street Lights", "street light"),
        ("Dinning Table", "dining table"),
        ("Trash bin Can", "trash can"),
        ("Kitchen & dining room table", "dining table"),
        ("Egg (Food)", "egg"),
        ("car_(automobile)", "car"),
        ("bow-tie", "bow tie"),
        ("wineglass", "wine glass"),
        ("potted-plant", "potted plant"),
        ("traffic-light", "traffic light"),
        ("Traffic-Lights", "traffic light"),
        ("wine\u2011glass", "wine glass"),  # a hyphen that does not break
        ("firetrucks", "fire truck"),
        ("T-Shirt", "t shirt"),
        ("tee_shirt", "t shirt"),
        ("TV / Monitor", "monitor/tv"),
        ("Moniter/TV", "monitor/tv"),
        ("\uff24\uff4f\uff47", "dog"),  # letters of full width
        ("bus", "bus"),
        ("Quokka", "quokka"),
    ],
)
def test_aliases_and_plurals_mean_one_thing(word: str, name: str) -> None:
    assert SHIPPED.name(word) == name


def test_a_word_in_another_unicode_form_or_with_a_hyphen_is_the_same_also_where_it_is_not_known() -> None:
    composed, apart = (unicodedata.normalize(form, "\u00c9l\u00e9phant") for form in ("NFC", "NFD"))
    assert composed != apart
    assert SHIPPED.name(composed) == SHIPPED.name(apart) == composed.lower()
    assert SHIPPED.name("quokka-pouch") == SHIPPED.name("Quokka_Pouch") == "quokka pouch"
    own = SHIPPED.extended([f"elephant : {apart}", "fire-truck : water-tender"])
    assert own.name(composed) == "elephant"
    assert own.name("water tender") == own.name("fire engine") == "fire truck"


def test_own_lines_replace_a_word_in_all_its_spellings() -> None:
    own = SHIPPED.extended(["garment < clothing : t shirt"])
    assert {own.name(word) for word in ("t-shirt", "T shirt", "tshirt")} == {"garment"}
    assert own.names["t-shirt"] == "garment"


def test_broad_words_contain_narrow_ones_and_not_the_reverse() -> None:
    assert {"dog", "mammal", "animal"} <= SHIPPED.above("puppy")
    assert "boat" in SHIPPED.above("gondola")
    assert "puppy" not in SHIPPED.above("dog")
    assert SHIPPED.pairs(["boat", "dog", "gondola", "puppy"]) == [(2, 0), (3, 1)]


def test_who_knows_the_broad_word_can_see_the_narrow_thing() -> None:
    assert SHIPPED.knows(["Animals", "sofa"], ["puppy", "couch", "car"]) == [True, True, False]
    assert SHIPPED.knows(None, ["anything"]) == [True]


def test_own_lines_replace_the_shipped_ones() -> None:
    own = SHIPPED.extended(["# ours", "quokka < animal : setonix", "drinking glass : beaker"])
    assert own.name("Setonix") == "quokka"
    assert "animal" in own.above("quokkas")
    assert SHIPPED.name("setonix") == "setonix"
    with pytest.raises(ConfigError, match="broader than itself"):
        SHIPPED.extended(["animal < puppy"])
    with pytest.raises(ConfigError, match="no name"):
        SHIPPED.extended([": alias"])


def test_every_name_of_coco_is_a_thing_of_its_own() -> None:
    if not COCO.exists():
        pytest.skip(f"{COCO} is not there")
    names = [category["name"] for category in json.loads(COCO.read_text())["categories"]]
    assert [SHIPPED.name(name) for name in names] == names
    assert SHIPPED.pairs(names) == []


@pytest.mark.parametrize("labels", ["Objects365", "open-images-v7"])
def test_every_label_of_other_datasets_is_a_thing_of_its_own(labels: str) -> None:
    found = importlib.util.find_spec("ultralytics")  # imports nothing
    assert found is not None and found.origin is not None
    folder = Path(found.origin).parent / "cfg/datasets"
    names = yaml.safe_load((folder / f"{labels}.yaml").read_text("utf-8"))["names"].values()
    things = Counter(map(SHIPPED.name, names))
    assert things.keys() <= SHIPPED.broader.keys()
    one: dict[str, set[str]] = {
        "Objects365": set(),
        "open-images-v7": {"mouse", "couch"},
    }  # "Computer mouse", "Studio couch"
    assert {thing for thing, n in things.items() if n > 1} == one[labels]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("aerosol can/spray can", "aerosol can"),  # two words of one thing
        ("Orange/Tangerine", "orange/tangerine"),  # two things, with a line of their own
        ("car/zorb", "car"),  # one word is not known
        ("cat/dog", "cat/dog"),
        ("zorb/blick", "zorb/blick"),
        ("n/a", "n/a"),
    ],
)
def test_a_label_of_several_words_is_what_they_agree_on(label: str, name: str) -> None:
    assert SHIPPED.name(label) == name


def test_no_word_of_the_table_is_given_to_two_things() -> None:
    lines = [line.split("#")[0] for line in TABLE.splitlines() if line.split("#")[0].strip()]
    heads, aliases = zip(*((line + ":").split(":")[:2] for line in lines), strict=True)
    words = [head.split("<")[0].strip() for head in heads]
    words += [word.strip() for listed in aliases for word in listed.split(",") if word.strip()]
    assert [word for word, n in Counter(words).items() if n > 1] == []
    assert SHIPPED.names.keys() >= set(words)


def test_no_spelling_of_a_word_is_another_word() -> None:
    for word, name in SHIPPED.names.items():
        for spelled in (word, word.replace("-", " "), word.replace(" ", "-"), word.replace(" ", "").upper()):
            assert SHIPPED.name(spelled) == name, (word, spelled)


def test_broader_words_of_the_table_are_names_and_never_turn_in_a_circle() -> None:
    assert {word for above in SHIPPED.broader.values() for word in above} <= SHIPPED.broader.keys()
    assert [name for name in SHIPPED.broader if name in SHIPPED.above(name)] == []


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("glasses", "drinking glass"),
        ("bat (animal)", "baseball bat"),
        ("bat", "baseball bat"),
        ("mouse (animal)", "mouse"),
        ("orange/tangerine", "orange"),
        ("crane", "bird"),
        ("crane", "heron"),
        ("musical keyboard", "keyboard"),
        ("nail file", "nail"),
        ("nail", "hand"),
        ("tobacco pipe", "pipe"),
        ("bottle cap", "cap"),
        ("tank top", "tank"),
        ("soccer ball", "american football"),
        ("tennis", "tennis ball"),
        ("bow tie", "bow"),
        ("bow (weapon)", "bow (decorative ribbons)"),
        ("octopus (food)", "octopus (animal)"),
        ("fish (food)", "fish"),
        ("potato chip", "poker chip"),
        ("notebook", "book"),
        ("notebook", "laptop"),
        ("hot dog", "dog"),
        ("seal", "stapler"),
        ("trolley", "tram"),
        ("watch", "clock"),
        ("rooster", "hen"),
        ("flowerpot", "potted plant"),
        ("teddy bear", "bear"),
        ("star", "starfish"),
        ("lamp", "street light"),
        ("balloon", "ball"),
    ],
)
def test_words_that_are_easily_confused_stay_apart(word: str, other: str) -> None:
    assert SHIPPED.name(word) != SHIPPED.name(other)


def test_parts_are_not_kinds() -> None:
    for part, whole in (("human eye", "person"), ("human eye", "human face"), ("wheel", "car"), ("sail", "sailboat")):
        assert whole not in SHIPPED.above(part)


def test_drawn_things_keep_their_words() -> None:
    assert [pair for pair in combinations(KINDS, 2) if SHIPPED.name(pair[0]) == SHIPPED.name(pair[1])] == []
