"""Which texts are noise."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

import filters
from engine.tokens import Tokens
from filters import texts, wording
from filters.language import Language, language
from filters.registry import ask, choose
from filters.repetition import Echo, Repetition, echo, repetition
from filters.texts import TextColumns, TextFilterConfig, TextLimits
from filters.word_order import WordOrder, evidence, word_order
from tests.filters.test_syntax import record


def columns(*said, tokens=None, granularity=0, readings=()):
    """Texts of one image each, which nobody parsed; readings as (image, text)."""
    n, none = len(said), np.zeros(0, np.int32)
    column = pa.array(said, pa.string())
    return TextColumns(
        column, column, np.arange(n), np.full(n, granularity),
        tokens or Tokens(np.zeros(n + 1, np.int64), none, none, [], [], [], none, []),
        pa.array([text for _, text in readings], pa.string()), np.array([image for image, _ in readings], np.int64),
    )  # fmt: skip


def reasons(*said, tables=None, **more):
    found = ask("texts", columns(*said, **more), len(said), choose("texts", tables or {}))
    return [found.reasons[code] if code >= 0 else None for code in found.code]


def test_texts_without_a_word_are_empty():
    column = pa.array(["a dog", "", None, "  \n", "...", "7", "犬"])
    assert texts.empty(column).kept.tolist() == [True, False, False, False, False, True, True]
    found = texts.empty(column)
    assert (found.value[1], found.threshold[1]) == (0, 1)
    assert len(texts.empty(pa.array([], pa.string()))) == 0


def test_each_limit_has_its_reason():
    limits = TextLimits(min_tokens=3, max_tokens=10, max_objects=4, min_object_complexity=1, min_action_complexity=1)
    found = texts.limits(
        np.array([2, 11, 5, 5, 5, 5]),
        np.array([1, 1, 5, 1, 1, 1]),
        np.array([2.0, 2, 2, 0.5, 2, 2]),
        np.array([2.0, 2, 2, 2, 0, 2]),
        limits,
    )
    assert [found.reasons[code] if code >= 0 else None for code in found.code] == [
        "too short",
        "too long",
        "too many objects",
        "object complexity",
        "action complexity",
        None,
    ]
    assert found.value[:5].tolist() == [2, 11, 5, 0.5, 0]
    assert found.threshold[:5].tolist() == [3, 10, 4, 1, 1]


def test_a_repeated_text_goes_but_only_within_its_image_and_after_a_kept_one():
    column = pa.array(["A dog.", "a  dog. ", "a dog.", "a cat.", "A DOG."])
    image = np.array([0, 0, 1, 0, 0])
    assert texts.duplicates(column, image, np.ones(5, bool)).kept.tolist() == [True, False, True, True, False]
    found = texts.duplicates(column, image, np.ones(5, bool))
    assert found.value[[1, 4]].tolist() == [1, 2] and not found.threshold.any()
    candidates = np.array([False, True, True, True, True])
    assert texts.duplicates(column, image, candidates).kept.tolist() == [True, True, True, True, False]


def test_a_wrong_key_is_refused():
    with pytest.raises(ValidationError):
        TextFilterConfig.model_validate({"breif": {}})


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("leak", "istant: a man rides a horse"),
        ("leak", "As an AI, I see a dog"),
        ("leak", "Sure! Here is a description of the image: a dog"),
        ("leak", "Describe this image in detail. A dog on a sofa"),
        ("leak", "<b>a dog</b> on a sofa"),
        ("leak", '"caption": "a dog on a sofa"'),
        ("boilerplate", "DSC_0123"),
        ("boilerplate", "a dog, Canon EOS 40D"),
        ("boilerplate", "a dog on a beach http://pictures.example/1"),
        ("boilerplate", "holiday.JPG of a dog"),
        ("boilerplate", "click here to see a dog"),
        ("boilerplate", "Photo by John Smith of a dog"),
        ("leak", "I'm just an AI"),
        ("leak", "Image of: a dog"),
        ("leak", "a dog on a sofa. Assistant: what else"),
        ("leak", "Detailed description: a dog on a sofa"),
        ("leak", "a dog on a sofa USER: what else"),
        ("leak", "null"),
        ("boilerplate", "visit example.xyz for more"),
        ("boilerplate", "HP PhotoSmart R707"),
        ("boilerplate", "Samsung Galaxy S21 photo"),
        ("boilerplate", "a dog on a beach, taken with an iPhone 12"),
        ("boilerplate", "35 mm, f2.8"),
        ("boilerplate", "a dog, 1/250 s"),
        ("boilerplate", "Add to your shopping cart"),
        ("framing", "The image shows a dog on a sofa"),
        ("framing", "In this picture, a man is riding a horse"),
        ("framing", "The black-and-white photo shows a street"),
        ("capitals", "WELCOME TO OUR FAMILY HOME"),
    ],
)
def test_what_describes_no_image_is_rejected(reason, said):
    assert reasons(said) == [reason]


@pytest.mark.parametrize(
    "said",
    [
        "The picture frame is hanging over the bed.",
        "A photo taken by a window",
        "A picture of a man taking a picture",
        "An image of two girls walking with umbrellas",
        "People order food here",
        "A view full of trees",
        "A store window with a 50% off sign",
        'A sign that says "DO NOT ENTER" on a road',
        "A clock at 10:30 on a tower",
        "Two dogs (one black) & 1 cat on grass",
        "An assistant helps a chef, the user of a knife",
        "a big, big, very very big dog",
        "a red bus and a red bus stop",
        "A woman pushing a shopping cart in a store",
        "A bus with a large advertisement",
        "A 1/72 scale model of a fighter plane",
        "a 50 mm lens for a camera",
        "A boy on a bench with his nan",
        "Two humans: a man and a woman on a bench",
        "A note: buy milk, on a fridge",
        "A chef shows step by step how to cook",
        "A Canon EOS camera lies on a table",
        "A man holds a Nikon D90 in his hands",
        "A table with a laptop, Samsung Galaxy S21, and a mouse",
        "A selfie taken with an iPhone in a mirror",
        "Two men photographed with a Canon",
        "The picture has a gold frame around it",
        "A sign with instructions above a toilet",
        "A woman looks at photos on Facebook",
    ],
)
def test_what_people_write_is_kept(said):
    assert reasons(said) == [None]


def test_the_value_is_how_many_patterns_fit_and_what_they_fit_is_known():
    said = ["50mm f/2.8 of a dog", "a dog, ISO 200", "a dog at ACME"]
    found = ask("texts", columns(*said), 3, choose("texts", {"boilerplate": {"also": ["acme"]}}))
    assert found.value.tolist() == [2, 1, 1]  # focal length and aperture; sensitivity; our own
    assert found.threshold.tolist() == [0, 0, 0]
    assert wording.struck(said[1], "boilerplate") == ["ISO 200"]
    assert wording.struck("a dog in AB12 CDE", "licence plate") == ["AB12 CDE"]
    assert wording.struck("a dog in ab12 cde", "licence plate") == []
    assert wording.struck("a dog, ISO 200", "too short") == []


def test_notices_are_told_by_their_share_of_capitals():
    said = ["CLICK THE eBOOK", "Two MEN at IBM", "STOP"]  # 12 of 13, 7 of 11 and all letters
    found = ask("texts", columns(*said), 3, choose("texts", {}))
    assert found.kept.tolist() == [False, True, True]
    assert (found.value[0], found.threshold[0]) == (pytest.approx(12 / 13), 0.9)
    assert ask("texts", columns(*said), 3, choose("texts", {"capitals": {"max_share": 0.95}})).kept.all()


def test_the_patterns_have_the_version_that_settings_name():
    shipped = tomllib.loads((Path(filters.__path__[0]) / "data" / "text_noise.toml").read_text(encoding="utf-8"))
    assert shipped["version"] == wording.Patterns().version == wording.Personal().version


def test_captioners_that_say_much_may_speak_of_the_image():
    assert reasons("The image shows a dog on a sofa", granularity=1) == [None]
    strict = {"framing": {"granularities": ["brief", "detailed"]}}
    assert reasons("The image shows a dog on a sofa", granularity=1, tables=strict) == ["framing"]


def test_own_patterns_are_added_and_must_be_patterns():
    assert reasons("a dog by ACME corp", tables={"boilerplate": {"also": [r"\bacme\b"]}}) == ["boilerplate"]
    with pytest.raises(ValueError, match="no regular expression"):
        choose("texts", {"leak": {"also": ["(dog"]}})


def test_persons_and_swearing_are_a_choice_of_the_profile():
    said = ["write to jo.doe@mail.example now", "call 555-123-4567", "a car with plate AB12 CDE", "a fucking dog"]
    assert reasons(*said) == [None] * 4
    asked = {"personal": {"enabled": True}, "profanity": {"enabled": True}, "boilerplate": {"enabled": False}}
    assert reasons(*said, tables=asked) == ["profanity" if "dog" in text else found for text, found in zip(
        said, ["e-mail address", "phone number", "licence plate", None], strict=True)]  # fmt: skip
    assert reasons("bus 1234 at 10:30, 3 dogs and 12 cats", tables=asked) == [None]
    plates = {"personal": {"enabled": True, "kinds": ["plate"]}}
    assert reasons("call 555-123-4567", tables=plates) == [None]


def test_loops_are_found_with_their_number():
    found = repetition(
        columns("a dog on a sofa on a sofa on a sofa", "the the the the dog", "a cat and a dog and a cow", "", "a dog"),
        Repetition(),
    )
    assert found.kept.tolist() == [False, False, True, True, True]
    assert found.value[:2].tolist() == [3, 4]
    spread = "a dog is on the left. a cat is on the left. a cow is on the left. a pig is on the left."
    assert repetition(columns(spread), Repetition()).kept[0]
    found = repetition(columns(spread), Repetition(max_share=0.2))  # "is on the left" and "on the left a", 5 of 21
    assert found.value.tolist() == [pytest.approx(5 / 21)]
    assert not found.kept[0]
    assert len(repetition(columns(), Repetition())) == 0


def test_a_text_that_only_reads_the_image_aloud_is_rejected():
    said = ["Coca Cola", "a Coca Cola sign on a wall", "stop"]
    found = echo(columns(*said, readings=[(0, "COCA-COLA"), (1, "Coca Cola"), (1, "stop")]), Echo())
    assert found.kept.tolist() == [False, True, True]
    assert found.value[:2].tolist() == [1.0, pytest.approx(2 / 7)]


def test_other_languages_go_where_the_profile_asks():
    said = [
        "un perro corriendo en la playa",
        "ein Hund auf dem Sofa",
        "собака на диване",
        "a man riding a horse",
        "hola",
    ]
    assert language(columns(*said), Language(enabled=True)).kept.tolist() == [False, False, False, True, True]
    both = Language(enabled=True, allowed=("en", "es"))
    assert language(columns(*said), both).kept.tolist() == [True, False, False, True, True]
    assert len(language(columns(), Language(enabled=True))) == 0
    assert not choose("texts", {})["language"].enabled


def test_words_in_no_order_are_found_by_their_tags():
    written = (
        "A/DET/2/det man/NOUN/0/root riding/VERB/2/acl a/DET/6/det brown/ADJ/6/amod horse/NOUN/3/obj "
        "on/ADP/9/case a/DET/9/det beach/NOUN/3/obl"
    )
    words = written.split()
    heads = {word.split("/")[0]: word for word in words}
    drawn = ["on", "brown", "A", "beach", "a", "man", "horse", "a", "riding"]
    shuffled = " ".join("/".join([*heads[word].split("/")[:2], "0", "root"]) for word in drawn)
    short = " ".join(words[:4]).replace("/6/", "/2/")
    tokens, plain = record(written, shuffled, "", short)
    found = word_order(columns(*plain, tokens=tokens), WordOrder())
    assert found.kept.tolist() == [True, False, True, True]
    assert found.value[0] > 5 > -5 > found.value[1]


def test_words_that_the_counts_do_not_know_are_not_judged():
    english = "on/ADP/0/root brown/ADJ/0/root A/DET/0/root beach/NOUN/0/root a/DET/0/root man/NOUN/0/root"
    tokens, plain = record(english)
    assert not word_order(columns(*plain, tokens=tokens), WordOrder()).kept[0]
    for tag in ("", "STTS"):
        other = replace(tokens, tag=[tag] * len(tokens.tag), lemma=["unknown"] * len(tokens.lemma))
        found = evidence(other)
        assert (found.words[0], found.known[0], found.function[0]) == (6, 0, 0)
        assert word_order(columns(*plain, tokens=other), WordOrder()).kept[0]


def test_a_text_without_english_function_words_is_not_judged():
    # What the shipped parser says of "Une femme assise sur un banc dans un parc".
    tags = ["NN", "NN", "NN", "NN", "RB", "JJ", "NNS", "NNP", "NN"]
    words = ["Une", "femme", "assise", "sur", "un", "banc", "dans", "un", "parc"]
    upos = {"NN": "NOUN", "NNS": "NOUN", "NNP": "PROPN", "RB": "ADV", "JJ": "ADJ"}
    tokens, plain = record(" ".join(f"{word}/{upos[tag]}/0/root" for word, tag in zip(words, tags, strict=True)))
    french = columns(*plain, tokens=replace(tokens, tag=tags))
    assert evidence(french.tokens).value[0] < 0
    assert word_order(french, WordOrder()).kept[0]
    assert not word_order(french, WordOrder(min_function=0.0)).kept[0]


def test_noise_of_crops_is_what_leaks_and_boilerplate_are():
    assert wording.noise(pa.array(["<pad> dog", "a dog", "dog.jpg", None])).kept.tolist() == [False, True, False, True]
