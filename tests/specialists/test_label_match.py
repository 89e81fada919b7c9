"""Phrases find the regions that their words mean, as many as they ask for, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Groundings, Image, Phrases, Regions
from specialists.label_match import LabelMatch, LabelMatchConfig, shipped_words

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
IMAGE = Image("a", "", 640, 480, lambda: np.zeros((480, 640, 3), np.uint8))


def regions(*labels: str, scores: list[float] | None = None, crowd: list[bool] | None = None) -> Regions:
    """Boxes of growing size, so that the last is the largest."""
    boxes = np.array([[0, 0, 10 * (i + 1), 10] for i in range(len(labels))], np.float32).reshape(-1, 4)
    return Regions(
        boxes,
        np.array(scores or [1.0] * len(labels), np.float32),
        list(labels),
        crowd=None if crowd is None else np.array(crowd),
    )


def ground(text: str, head: str, number: int, among: Regions, **config: dict[str, tuple[str, ...]]) -> Groundings:
    made = LabelMatch(LabelMatchConfig.model_validate(config))
    made.load("cpu")
    [found] = made.ground([IMAGE], [Phrases([text], [head], np.array([number], np.int32), among)])
    return found


def chosen(found: Groundings) -> list[int]:
    """Which regions: the widths of the boxes give them away."""
    return [int(width) // 10 - 1 for width in found.boxes[:, 2]]


@pytest.mark.parametrize(
    ("text", "head", "label", "score"),
    [
        ("a dog", "dog", "dog", 1.0),
        ("the red fire hydrant", "hydrant", "fire hydrant", 1.0),
        ("a hydrant", "hydrant", "fire hydrant", 0.9),
        ("a wooden dining table", "table", "dining table", 1.0),
        ("the table", "table", "dining table", 0.9),
        ("a tennis racket", "racket", "tennis racket", 1.0),
        ("his racquet", "racquet", "tennis racket", 0.9),
        ("an old man", "man", "person", 0.9),
        ("a baseball player", "player", "person", 0.9),
        ("a young woman with a hat", "woman", "person", 0.9),
        ("a moped", "moped", "motorcycle", 0.9),
        ("a puppy", "puppy", "dog", 0.9),
        ("some food", "food", "pizza", 0.7),
        ("an animal", "animal", "zebra", 0.7),
        ("a hot dog", "dog", "hot dog", 1.0),
        ("a teddy bear", "bear", "teddy bear", 1.0),
        ("a stuffed animal", "animal", "teddy bear", 0.9),
        ("a Teddy-Bear", "bear", "teddy bear", 1.0),
        ("skis", "ski", "skis", 1.0),
        ("a pair of scissors", "pair", "scissors", 1.0),
        ("a group of people", "group", "person", 1.0),
        ("people", "people", "person", 1.0),
        ("glasses of wine", "glass", "wine glass", 0.7),
        ("a lamp", "lamp", "desk_lamp", 0.7),
        ("the desk lamp", "lamp", "desk_lamp", 1.0),
        ("a forklift", "forklift", "Forklift", 1.0),
    ],
)
def test_finds(text: str, head: str, label: str, score: float) -> None:
    found = ground(text, head, 1, regions(label))
    assert found.phrase.tolist() == [0]
    assert found.scores[0] == pytest.approx(score * (1 if text != "a pair of scissors" else 0.5))


@pytest.mark.parametrize(
    ("text", "head", "label"),
    [
        ("a dog", "dog", "hot dog"),
        ("a hot dog", "dog", "dog"),
        ("a teddy bear", "bear", "bear"),
        ("a stuffed animal", "animal", "dog"),
        ("a street sign", "sign", "stop sign"),
        ("her glasses", "glass", "wine glass"),
        ("a tennis court", "court", "tennis racket"),
        ("the sky", "sky", "skis"),
        ("a man", "man", "woman"),
        ("a house", "house", "mouse"),
        ("a bus stop", "stop", "bus"),
        ("", "", "dog"),
        ("it", "it", "dog"),
    ],
)
def test_does_not_find(text: str, head: str, label: str) -> None:
    assert len(ground(text, head, 1, regions(label)).phrase) == 0


def test_one_thing_gets_the_best_region() -> None:
    assert chosen(ground("a dog", "dog", 1, regions("dog", "dog", "dog", scores=[0.5, 0.9, 0.5]))) == [1]
    assert chosen(ground("a dog", "dog", 1, regions("dog", "dog", scores=[0.5, 0.5]))) == [1]
    assert chosen(ground("a bear", "bear", 1, regions("bear", "teddy bear", scores=[0.1, 0.9]))) == [0]
    assert chosen(ground("a man", "man", 1, regions("person", "person", crowd=[False, True]))) == [0]


def test_numbers() -> None:
    people = regions("person", "person", "person", "dog")
    assert chosen(ground("two men", "man", 2, people)) == [2, 1]
    assert chosen(ground("people", "people", 0, people)) == [2, 1, 0]
    assert chosen(ground("man", "man", -1, people)) == [2]
    short = ground("four men", "man", 4, people)
    assert chosen(short) == [2, 1, 0]
    np.testing.assert_allclose(short.scores, 0.9 * 3 / 4)
    assert chosen(ground("a crowd", "crowd", 1, people)) == [2, 1, 0]
    assert chosen(ground("a couple", "couple", 1, people)) == [2, 1]
    assert chosen(ground("a bunch of people", "bunch", 1, regions("person", "person", crowd=[False, True]))) == [1, 0]


def test_a_wider_kind_only_where_nothing_has_the_name() -> None:
    assert chosen(ground("bears", "bear", 0, regions("bear", "teddy bear"))) == [0]
    assert chosen(ground("vehicles", "vehicle", 0, regions("car", "dog", "bus"))) == [2, 0]


def test_words_of_your_own() -> None:
    among = regions("forklift", "person")
    assert len(ground("a stacker", "stacker", 1, among).phrase) == 0
    assert chosen(ground("a stacker", "stacker", 1, among, synonyms={"forklift": ("stacker",)})) == [0]
    assert chosen(ground("a picker", "picker", 1, among, synonyms={"person": ("picker",)})) == [1]
    assert chosen(ground("a man", "man", 1, among, synonyms={"person": ("picker",)})) == [1]


def test_the_table_speaks_of_cocos_names_and_nothing_else() -> None:
    path = SHARED / "coco50" / "instances.json"
    if not path.is_file():
        pytest.skip("needs the shared COCO sample (../shared/data/coco50)")
    known = {category["name"] for category in json.loads(path.read_text())["categories"]}
    words = shipped_words()
    assert words.labels == known
    used = frozenset().union(
        *words.names.values(), *words.kinds.values(), *(of for _, of in words.collectives.values())
    )
    assert used <= known


@given(
    st.lists(st.sampled_from(["person", "dog", "cup", "made up"]), max_size=6),
    st.lists(st.tuples(st.sampled_from(["man", "dog", "animal", "crowd", "up"]), st.integers(0, 4)), max_size=5),
    st.randoms(use_true_random=False),
)
def test_never_more_than_asked_and_never_twice(labels: list[str], asked: list[tuple[str, int]], random: object) -> None:
    among = regions(*labels, scores=[0.5] * len(labels))
    phrases = Phrases([w for w, _ in asked], [w for w, _ in asked], np.array([n for _, n in asked], np.int32), among)
    [found] = LabelMatch(LabelMatchConfig()).ground([IMAGE], [phrases])
    assert ((found.scores > 0) & (found.scores <= 0.5)).all()
    for i, (word, number) in enumerate(asked):
        boxes = [tuple(box) for box in found.boxes[found.phrase == i].tolist()]
        assert len(set(boxes)) == len(boxes)
        if number and word != "crowd":
            assert len(boxes) <= number
