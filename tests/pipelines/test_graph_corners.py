"""Corners of the graph: roles that nobody has, nothing found, images and answers that are lost, copies and people."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from consensus.boxes import BoxFusionConfig
from consensus.reliability import Reliabilities, report
from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.errors import ConfigError, StageFailed
from engine.graph import Batch
from engine.grouped import Grouped
from engine.records import Captions
from filters.region_checks import RegionColumns, Scribble, scribble
from filters.regions import RegionFilterConfig
from pipelines.build import Options, build, dry_run
from pipelines.config import load_config
from pipelines.decide import groundings, objects, reliability, things
from pipelines.decide.groundings import GroundingsConfig
from pipelines.decide.objects import ObjectsConfig
from pipelines.decide.regions import RegionsConfig
from pipelines.decide.reliability import Learned
from pipelines.explain import explain, render
from pipelines.query import sql
from pipelines.stages.specialist import describe
from pipelines.stats import stats
from pipelines.verify import verify
from tests.pipelines.decide_tables import frames, grouped, read, regions_of, seen
from tests.pipelines.scenes import QUICK, write_scenes
from tests.pipelines.test_decide_triplets import decide as decide_triplets
from tests.pipelines.test_decide_triplets import found, phrase_rows, region_rows

LOCAL = Options(executor="local", shard_size=4, say=lambda _: None)
WORDS = Vocabulary.shipped()
IMAGES, THINGS = 4, 4 + 0 + 1 + 2 + 0  # a dog each, and n % 3 people


def detector(name, more=""):
    return f'[detectors.{name}]\nuses = "recorded"\npath = "{name}.json"\nformat = "coco"\n{more}\n'


CAPTIONER = '[captioners.words]\nuses = "recorded"\npath = "captions.json"\nformat = "coco_captions"\n'
GOLD = "gold = true"
LEARNED = '[consensus.objects]\nmethod = "learned"\n'
BOTH = detector("one") + detector("two")
ROLES = {
    "nobody": ("", 0, 0),
    "no detectors": (CAPTIONER, 0, IMAGES),
    "no captioners": (BOTH, THINGS, 0),
    "one detector": (detector("one") + CAPTIONER, THINGS, IMAGES),
    "two detectors": (BOTH + CAPTIONER, THINGS, IMAGES),
    "people alone": (detector("one", GOLD) + CAPTIONER, THINGS, IMAGES),
    "people and one": (detector("one", GOLD) + detector("two") + CAPTIONER, THINGS, IMAGES),
    "people and two": (detector("one", GOLD) + detector("two") + detector("empty") + CAPTIONER, THINGS, IMAGES),
    "people teach one": (detector("one", GOLD) + detector("two") + CAPTIONER + LEARNED, THINGS, IMAGES),
    "nothing found": (detector("empty") + CAPTIONER, 0, IMAGES),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), IMAGES)
    nothing = json.loads((root / "one.json").read_text()) | {"annotations": []}
    for name in ("empty", "empty2"):
        (root / f"{name}.json").write_text(json.dumps(nothing))
    return root


def built(root, name, config, images="images", options=LOCAL):
    (root / f"{name}.toml").write_text(config + QUICK)
    out = str(root / f"out {name}")
    build(str(root / images), out, load_config(str(root / f"{name}.toml"), None), options)
    assert verify(out) == []
    json.dumps(stats(out), allow_nan=False)
    return out


def count(out, table):
    return sql(out, f"SELECT count(*) FROM {table}").rows[0][0]


@pytest.mark.parametrize("name", ROLES)
def test_a_run_needs_no_role(root, name):
    config, regions, texts = ROLES[name]
    out = built(root, name, config)
    assert (count(out, "images"), count(out, "region_text"), count(out, "text")) == (IMAGES, regions, texts)


def test_people_are_enough_to_learn_about_one_detector_and_nobody_is_not(root):
    names = [row["name"] for row in json.loads((root / "out people teach one" / "run.json").read_text())["nodes"]]
    assert "reliability" in names
    with pytest.raises(ConfigError, match=r"or one and people's boxes.*there are 1$"):
        built(root, "alone", detector("one") + LEARNED)


def test_parsers_and_all_that_follows_them_work_on_nothing(root):
    """With the shipped parser, grounder, segmenter and writer, and not a single prediction."""
    (root / "silent.toml").write_text(detector("empty") + detector("empty2"))
    out = str(root / "out silent")
    assert build(str(root / "images"), out, load_config(str(root / "silent.toml"), None), LOCAL).quarantined == 0
    assert verify(out) == []
    assert [count(out, t) for t in ("images", "region_text", "text", "text_phrase_region")] == [IMAGES, 0, 0, 0]


@pytest.mark.parametrize("broken", [2, IMAGES])
def test_shards_without_a_single_good_image_are_published(root, broken):
    """The first shard, or all of them; what is learned from all shards is learned all the same."""
    shutil.copytree(root / "images", root / f"broken {broken}")
    for n in range(broken):
        (root / f"broken {broken}" / f"{n:04d}.jpg").write_bytes(b"no image")
    config = BOTH + CAPTIONER + "[filters.images.near_duplicates]\nmax_distance = 4\n"
    out = built(root, f"broken {broken}", config, f"broken {broken}", replace(LOCAL, shard_size=2))
    assert (count(out, "images"), count(out, "rejected")) == (IMAGES - broken, broken)


def test_no_line_of_a_story_commands_the_terminal(root):
    captions = json.loads((root / "captions.json").read_text())
    for row in captions["annotations"]:
        row["caption"] = "a dog\x1b]0;owned\x07 sits\x1b[2J"
    (root / "odd.json").write_text(json.dumps(captions))
    out = built(root, "odd", CAPTIONER.replace("captions.json", "odd.json"))
    lines = list(render(explain(out, "0000.jpg"), everything=True))
    assert any("owned" in line for line in lines)
    assert all(line.isprintable() for line in lines)


# ---- names -------------------------------------------------------------------------------------------


def test_a_detector_and_a_reader_cannot_share_a_name(root):
    """Their votes stand in one column, and people's boxes are known by the name."""
    (root / "clash.toml").write_text(detector("one", GOLD) + '[readers.one]\nuses = "rapidocr"\n')
    with pytest.raises(ConfigError, match="a detector and a reader are both called 'one'"):
        load_config(str(root / "clash.toml"), None)


# ---- what is learned ---------------------------------------------------------------------------------


def world(n_images, seed, image_of="img{}"):
    """Three things an image, of which a detector finds most."""
    places, own, rows = np.random.default_rng(0), np.random.default_rng(seed), []
    for i in range(n_images):
        for label in ("dog", "cat", "person"):
            x, y = places.uniform(0, 350, 2)
            box = np.array([x, y, x + 100, y + 80]) + own.normal(0, 2, 4)
            score, finds = float(own.uniform(0.5, 0.95)), own.random() < 0.9
            if finds:
                rows.append(seen(image_of.format(i), label, score, box))
    return rows


def said_by(these, **rows):
    return {name: grouped(s.PREDICTED_REGIONS, found, these) for name, found in rows.items()}


def learned(these, said, answered=None, gold=frozenset()):
    known = dict.fromkeys(said)
    shards = [(these, said, answered or {}, [])]
    table = reliability.learn(shards, list(said), 0.1, BoxFusionConfig(), gold, known, WORDS)
    return Learned(Reliabilities.from_table(table), WORDS)


def lone(said_of, label, known, names, gold=frozenset(), answered=None):
    """What becomes of one box that only `said_of` say."""
    one = frames(1)
    box = [seen("img0", label, 0.7, (10, 10, 110, 90))]
    said = said_by(one, **{name: box if name in said_of else [] for name in names})
    (row,) = objects.decide(one, said, ObjectsConfig(), gold, dict.fromkeys(names), answered, known).to_pylist()
    return row[s.CONFIDENCE], row[s.N_ELIGIBLE]


def test_the_silence_of_who_gave_no_answer_says_nothing():
    """A detector in quarantine for an image did not miss what others found there."""
    these = frames(40)
    known = learned(these, said_by(these, a=world(40, 1), b=world(40, 2), c=world(40, 3)))
    confidence, eligible = lone("a", "dog", known, "abc")
    gone = {"b": np.array([False]), "c": np.array([False])}
    alone, looked = lone("a", "dog", known, "abc", answered=gone)
    assert (eligible, looked) == (3, 1)
    assert alone > confidence + 0.1


def test_who_was_in_quarantine_is_not_learned_to_be_blind():
    """Half of the images took "b" away; of the others it finds nine things of ten, as ever."""
    these = frames(40)
    late = [row for row in world(40, 2) if int(row[s.IMAGE_ID].removeprefix("img")) >= 20]
    said = said_by(these, a=world(40, 1), b=late, c=world(40, 3))
    recall = {}
    for name, answered in (("told", {"b": np.arange(40) >= 20}), ("untold", {})):
        rows = report(learned(these, said, answered).reliabilities)
        recall[name] = next(row["recall_medium"] for row in rows if row[s.SPECIALIST] == "b")
    assert recall["untold"] < 0.6 < 0.8 < recall["told"]


@pytest.mark.parametrize("label", ["dog", "zebra"])
def test_a_copy_changes_nothing_for_words_that_the_sample_met_or_not(label):
    these = frames(40)
    said = said_by(these, a=world(40, 1), b=world(40, 2), c=world(40, 3))
    plain, _ = lone("a", label, learned(these, said), said)
    twice = said | {"a2": said["a"]}
    copied, _ = lone(("a", "a2"), label, learned(these, twice), twice)
    assert copied == pytest.approx(plain, abs=0.01)


def test_the_report_leaves_people_out_and_knows_a_copy():
    these = frames(40)
    said = said_by(these, a=world(40, 1), b=world(40, 2), people=world(40, 4))
    known = learned(these, said | {"a2": said["a"]}, gold=frozenset({"people"}))
    rows = {row[s.SPECIALIST]: row for row in report(known.reliabilities)}
    assert sorted(rows) == ["a", "a2", "b"]
    assert rows["a2"]["recall_medium"] == rows["a"]["recall_medium"] > 0.5
    assert [rows[name]["copy_of"] for name in ("a", "a2", "b")] == [None, "a", None]


def test_stats_name_whom_a_detector_copies(root):
    shutil.copy(root / "one.json", root / "again.json")
    copied = {}
    for name, config in (("strangers", BOTH), ("copies", BOTH + detector("again"))):
        rows = stats(built(root, name, config))["reliability"]
        copied[name] = {row[s.SPECIALIST]: row["copy_of"] for row in rows}
    assert copied["strangers"] == {"one": None, "two": None}
    assert sorted(copied["copies"].items(), key=str) == [("again", None), ("one", "again"), ("two", None)]


# ---- decisions ---------------------------------------------------------------------------------------


def test_a_grounder_that_gave_no_answer_is_not_counted():
    these = frames(1)
    phrases = phrase_rows(these, ("img0", "a dog", 1))
    said = {
        "a": grouped(s.PREDICTED_PHRASES, [found("img0:t:p0", 0.6, (0, 0, 100, 100))], these),
        "b": grouped(s.PREDICTED_PHRASES, [], these),
    }
    config = GroundingsConfig()
    (row,) = groundings.decide(these, phrases, said, config).to_pylist()
    (alone,) = groundings.decide(these, phrases, said, config, {"b": np.array([False])}).to_pylist()
    assert row[s.CONFIDENCE] == pytest.approx(0.6 / 1.5)
    assert alone[s.CONFIDENCE] == pytest.approx(0.6)


def test_a_sign_that_says_dog_is_no_dog():
    these = frames(1)
    sign = {"ocr": grouped(s.PREDICTED_READINGS, [read("img0", "dog", 0.9, 10, 10, 90, 40)], these)}
    table = regions_of(these, said_by(these, d=[seen("img0", "cat", 0.9, (200, 200, 300, 300))]), sign)
    found_ = things.sightings(Grouped.of(table, these.ids), {"d": ["cat", "dog"]}, np.ones((1, 1), bool))
    assert found_.accepted.tolist() == [[True, False]]
    assert found_.confidence.tolist() == [[pytest.approx(0.9), 0.0]]


@pytest.mark.parametrize("threshold", [0.05, 0.35, 0.7, 0.9, 0.95])
def test_a_score_that_is_the_threshold_passes(threshold):
    """Tables keep scores as float32, of which 0.9 is a little less than 0.9."""
    these = frames(1)
    rows = [
        seen("img0", "dog", threshold, (10, 10, 110, 90)),
        seen("img0", "cat", threshold - 1e-3, (200, 10, 300, 90)),
    ]
    config = ObjectsConfig(min_score=0.0, ask=0.0)
    limits = RegionsConfig(objects=RegionFilterConfig(min_confidence=threshold))
    table = regions_of(these, said_by(these, d=rows), {}, config, limits=limits)
    assert {row[s.LABEL]: row[s.REASON] for row in table.to_pylist()} == {"dog": None, "cat": "confidence"}


@pytest.mark.parametrize(
    ("scripts", "passing"),
    [(("Katakana",), "コーヒー"), (("Hiragana", "Katakana", "Han"), "珈琲コーヒー 5"), (("Latin",), "5 µm café")],
)
def test_letters_that_scripts_share_are_of_each(scripts, passing):
    texts = [passing, "Ελλάδα"]
    n = len(texts)
    columns = RegionColumns(
        np.tile(np.float32([0, 0, 9, 9]), (n, 1)), np.full(n, 99, np.int32), np.full(n, 99, np.int32),
        np.ones(n, bool), pa.nulls(n, pa.string()), pa.array(texts), np.ones(n),
    )  # fmt: skip
    assert scribble(columns, Scribble(scripts=scripts)).columns()[s.REASON].to_pylist() == [None, "script"]


@pytest.mark.parametrize(
    ("granularity", "skipped", "message"),
    [("brief", 1, "1 answers for 2 crops"), ("detailed", 0, r"a detailed text of a crop.*`describe\(crops\)`")],
)
def test_a_captioner_that_skips_a_crop_or_says_more_than_its_brief_text_is_told_so(granularity, skipped, message):
    """Otherwise the texts of all that follow would be those of their neighbours, or texts would be lost unseen."""
    these = frames(1)
    dogs = [seen("img0", "dog", 0.9, (10 + 150 * k, 10, 110 + 150 * k, 90)) for k in range(3)]
    table = objects.decide(these, said_by(these, d=dogs), ObjectsConfig())

    class Careless:
        config = SimpleNamespace(batch_size=2)

        def caption(self, images):
            said = Captions(["a dog", "a dog lies"], ["brief", granularity], np.ones(2, np.float32))
            return [said for _ in images[skipped:]]

    images = pa.table({s.IMAGE_ID: these.ids, s.URI: these.ids, s.WIDTH: these.widths, s.HEIGHT: these.heights})
    batch = Batch(images, {"objects": Grouped.of(table, these.ids)}, lambda _: np.zeros((480, 640, 3), np.uint8))
    with pytest.raises(StageFailed, match=message):
        describe(Careless(), batch)


def test_a_place_that_is_no_region_lends_its_phrase_no_score():
    """Who sees regions alone pointed at one that was not accepted; what eyes found elsewhere is weak."""
    these = frames(1)
    phrases = phrase_rows(these, ("img0", "dogs", 0))
    boxes = {
        "match": [found("img0:t:p0", 0.9, (0, 0, 100, 100))],
        "eyes": [found("img0:t:p0", 0.4, (300, 0, 400, 100))],
    }
    asked = {name: grouped(s.PREDICTED_PHRASES, rows, these) for name, rows in boxes.items()}
    table = decide_triplets(these, phrases, asked, region_rows(these), blind=frozenset({"match"}))
    assert {row[s.X0]: row[s.REASON] for row in table.to_pylist()} == {0.0: "no region", 300.0: "phrase score"}


@pytest.mark.parametrize("kind", ["writing", "objects"])
def test_what_was_learned_of_detectors_stands_when_something_else_is_changed(root, kind):
    out = built(root, "before", BOTH + CAPTIONER)
    config = load_config(str(root / "before.toml"), None, [f"consensus.{kind}.ask=0.3"])
    planned = dry_run(str(root / "images"), out, config, LOCAL).schedule.todo_by_node
    assert planned.keys() & {"objects", "writing", "reliability"} == {kind}
