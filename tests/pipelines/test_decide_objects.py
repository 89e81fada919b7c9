"""Things by what was learned about the detectors: calibrated, in one word for a thing, and never without a word."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from consensus.boxes import BoxFusionConfig
from consensus.vocabulary import Vocabulary
from engine import schema as s
from pipelines.decide import objects, reliability
from pipelines.decide.objects import ObjectsConfig
from tests.pipelines.decide_tables import frames, grouped, seen

WORDS = Vocabulary.shipped()
NAMES = ("blind", "good", "loud")


def world(n_images, rng, words=None):
    """Dogs in a row, which "good" mostly finds, "blind" finds when they are large, and "loud" dreams of elsewhere."""
    said = {name: [] for name in NAMES}
    true = []
    called = {"good": "dog", "blind": "dog", "loud": "dog"} | (words or {})
    for image in (f"img{i}" for i in range(n_images)):
        for k in range(4):
            side = (24, 60)[k % 2]
            x, y = 20 + 150 * k + rng.integers(0, 20), rng.integers(20, 200)
            box = np.array([x, y, x + side, y + side], float)
            true.append((image, *box))
            for name, chance in (("good", 0.9), ("blind", 0.9 if side > 40 else 0.0), ("loud", 0.3)):
                if rng.random() < chance:
                    said[name].append(seen(image, called[name], float(rng.uniform(0.6, 1)), box + rng.normal(0, 1, 4)))
        for _ in range(5):
            x, y = rng.integers(0, 500), rng.integers(230, 400)
            said["loud"].append(seen(image, called["loud"], float(rng.uniform(0.3, 0.8)), (x, y, x + 50, y + 50)))
    these = frames(n_images)
    return these, {name: grouped(s.PREDICTED_REGIONS, rows, these) for name, rows in said.items()}, true


def learned(these, said, gold=frozenset(), vocabularies=None, told=()):
    known = dict.fromkeys(said) | (vocabularies or {})
    table = reliability.learn([(these, said, {}, told)], list(said), 0.1, BoxFusionConfig(), gold, known, WORDS, 0.9)
    return reliability.known(table, WORDS)


def decide(these, said, known, gold=frozenset()):
    return objects.decide(these, said, ObjectsConfig(), gold, dict.fromkeys(said), None, known).to_pylist()


def test_confidence_says_how_often_it_is_right():
    these, said, true = world(60, np.random.default_rng(0))
    rows = decide(these, said, learned(these, said))
    corners = np.array([box for _, *box in true])
    owner = np.array([image for image, *_ in true])
    right = []
    for row in rows:
        mine = corners[owner == row[s.IMAGE_ID]]
        box = np.array([row[side] for side in s.BOX])
        right.append(bool((np.abs(mine - box).max(axis=1) < 8).any()))
    value, right = np.array([row[s.CONFIDENCE] for row in rows]), np.array(right)
    assert abs(value.mean() - right.mean()) < 0.05
    assert value[right].mean() > 0.75
    assert value[~right].mean() < 0.25
    # whom it heard is kept, and so is everything that was said
    assert sum(len(row[s.VOTES]) for row in rows) == sum(part.table.num_rows for part in said.values())


def test_a_thing_has_one_word_in_a_run_whoever_names_it():
    these, said, _ = world(20, np.random.default_rng(2), {"blind": "Puppy", "loud": "domestic dog"})
    known = learned(these, said)
    assert "dog" in known.reliabilities.labels
    words = {row[s.LABEL] for row in decide(these, said, known)}
    assert "domestic dog" not in words
    assert words <= {"dog", "puppy"}


def test_a_word_in_another_unicode_form_is_no_other_word():
    composed, apart = (unicodedata.normalize(form, "\u00c9l\u00e9phant") for form in ("NFC", "NFD"))
    these, said, _ = world(20, np.random.default_rng(2), {"good": composed, "blind": apart, "loud": apart})
    known = learned(these, said, vocabularies={"good": [apart], "loud": [composed]})
    assert known.reliabilities.labels == ["\u00e9l\u00e9phant"]
    assert {row[s.LABEL] for row in decide(these, said, known)} == {"\u00e9l\u00e9phant"}
    # without learning too, each can see what the others name
    vocabularies = {"blind": [composed], "good": [apart], "loud": [composed]}
    rows = objects.decide(these, said, ObjectsConfig(), frozenset(), vocabularies, None, None).to_pylist()
    assert {row[s.N_ELIGIBLE] for row in rows} == {3}


def test_what_took_no_part_has_no_confidence_of_its_own():
    these, said, _ = world(20, np.random.default_rng(5))
    box_, flat = (50, 50, 110, 110), (10, 10, 10, 60)
    odd = {name: [seen("img0", "dog", 0.9, box_)] for name in NAMES}
    odd["good"] += [seen("img0", "dog", 0.0, (400, 300, 480, 380)), seen("img0", "dog", 0.9, flat)]
    odd = {name: grouped(s.PREDICTED_REGIONS, rows, frames(1)) for name, rows in odd.items()}
    for known in (learned(these, said), None):
        thing, *others = decide(frames(1), odd, known)
        assert thing[s.CONFIDENCE] > 0.8
        assert thing[s.REASON] is None
        assert sorted((row[s.REASON], row[s.CONFIDENCE]) for row in others) == [("degenerate", None), ("score", None)]


def test_where_the_table_is_silent_a_scorer_says_which_word_is_meant():
    these, said, _ = world(20, np.random.default_rng(6), {"blind": "doggo"})

    def like(word, other, value):
        rows = [
            {s.IMAGE_ID: "img0", s.LABEL: a, s.TEXT: b, s.SIMILARITY: value} for a, b in ((word, other), (other, word))
        ]
        return pa.Table.from_pylist(rows, schema=s.LIKENESS)

    def words(told, **vocabularies):
        known = learned(these, said, vocabularies=vocabularies, told=told)
        return {row[s.LABEL] for row in decide(these, said, known)}

    assert words([]) == {"dog", "doggo"}
    assert words([like("doggo", "dog", 0.95)]) == {"dog"}
    assert words([like("doggo", "dog", 0.8)]) == {"dog", "doggo"}
    assert words([like("doggo", "dog", 0.99), like("doggo", "dog", 0.7)]) == {"dog", "doggo"}  # scorers disagree
    # whoever knows both words tells them apart
    assert words([like("doggo", "dog", 0.99)], loud=["dog", "doggo"]) == {"dog", "doggo"}


def test_a_word_that_the_sample_never_met_is_no_obstacle():
    these, said, _ = world(20, np.random.default_rng(3))
    known = learned(these, said)
    one = frames(1)
    box = (50, 50, 110, 110)
    odd = {name: grouped(s.PREDICTED_REGIONS, [seen("img0", "Okapi", 0.9, box)], one) for name in NAMES}
    (row,) = decide(one, odd, known)
    assert row[s.LABEL] == "okapi"
    assert row[s.CONFIDENCE] > 0.8


def test_human_boxes_stay_as_they_are_and_teach():
    these, said, true = world(20, np.random.default_rng(4))
    person = [seen(image, "Dog", 1.0, box) for image, *box in true]
    said = {**said, "human": grouped(s.PREDICTED_REGIONS, person, these)}
    gold = frozenset({"human"})
    rows = decide(these, said, learned(these, said, gold), gold)
    human = [row for row in rows if any(vote[s.SPECIALIST] == "human" for vote in row[s.VOTES])]
    assert len(human) == len(true)
    assert {(row[s.CONFIDENCE], row[s.LABEL]) for row in human} == {(1.0, "Dog")}
    assert sorted(tuple(np.float32(box)) for _, *box in true) == sorted(tuple(row[x] for x in s.BOX) for row in human)
    dreamt = [row[s.CONFIDENCE] for row in rows if row not in human]
    assert np.mean(dreamt) < 0.05


@pytest.mark.parametrize("n_images", [0, 1])
def test_nothing_to_learn_from_is_no_error(n_images):
    these = frames(n_images)
    nothing = {name: grouped(s.PREDICTED_REGIONS, [], these) for name in NAMES}
    assert decide(these, nothing, learned(these, nothing)) == []
