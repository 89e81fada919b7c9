"""The story of an image: from the sidecars alone, whole or half built, and told so that people can read it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from engine import schema as s
from engine.errors import OutError
from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.explain import explain, render
from pipelines.query import sql
from tests.pipelines.scenes import write_scenes

# People are drawn 20 pixels wide and dogs 40 x 30.
EXTRA = "\n[segmenters]\n[filters.objects]\nmin_side = 25\n"
QUIET = Options(executor="local", shard_size=3, say=lambda _: None)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), 5, EXTRA)
    (root / "images" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    config = load_config(str(root / "config.toml"), None)
    assert build(str(root / "images"), str(root / "out"), config, QUIET).quarantined == 1
    return root / "out"


@pytest.fixture(scope="module")
def story(out):
    return explain(str(out), "0002.jpg")


def stage(story: dict, name: str) -> dict:
    return next(stage for stage in story["stages"] if stage["stage"] == name)


def test_stages_come_in_the_order_in_which_they_are_computed(story):
    names = [stage["stage"] for stage in story["stages"]]
    assert names[0] == "ingest" and {"detect.one", "detect.two", "caption.words", "regions", "triplets"} < set(names)
    for number, found in enumerate(story["stages"]):
        assert found["state"] == "done"
        assert set(found["reads"]) <= set(names[:number])


def test_every_prediction_is_there_and_is_a_vote(story):
    said = stage(story, "detect.one")["rows"]
    assert sorted((row[s.LABEL], row[s.X0], row[s.Y0]) for row in said) == [
        ("dog", 8, 10), ("person", 60, 5), ("person", 60, 35),
    ]  # fmt: skip
    votes = [vote for row in stage(story, "regions")["rows"] for vote in row[s.VOTES]]
    assert sorted((v[s.SPECIALIST], v[s.LABEL]) for v in votes) == [
        (who, label) for who in ("one", "two") for label in ("dog", "person", "person")
    ]
    (caption,) = stage(story, "caption.words")["rows"]
    assert caption[s.TEXT] == "a brown dog sits near two people on the green grass"


def test_every_decision_has_its_reason_value_and_threshold(story):
    regions = stage(story, "regions")
    assert (regions["kept"], regions["rejected"]) == (1, {"size": 2})
    rejected = [row for row in regions["rows"] if row[s.REASON] is not None]
    assert [(row[s.LABEL], row[s.VALUE], row[s.THRESHOLD]) for row in rejected] == [("person", 20.0, 25.0)] * 2


def test_what_was_understood_of_a_caption_and_which_regions_its_arguments_are(story):
    understood = story["understood"][0]
    (caption,) = (row for row in stage(story, "texts")["rows"])
    assert (understood[s.TEXT_ID], understood[s.TEXT]) == (caption[s.TEXT_ID], caption[s.TEXT])
    assert {name: understood[name] for name in ("objects", "attributes", "actions", "proper_nouns", "numbers")} == {
        "objects": ["dog", "people", "grass"], "attributes": ["brown", "two", "green"], "actions": ["sits"],
        "proper_nouns": [], "numbers": ["two"],
    }  # fmt: skip
    # People are too small to be kept.
    (dog,) = (row[s.REGION_ID] for row in story["published"]["tables"]["region_text"])
    assert understood["relations"][0] == {
        "subject": {"word": "dog", "regions": [dog]}, "words": "sits near", "object": {"word": "people", "regions": []},
    }  # fmt: skip


def test_what_a_writer_composed_is_understood_without_a_parser(story):
    composed = {row[s.TEXT] for row in stage(story, "write.template")["rows"]}
    details = [text for text in story["understood"] if text[s.TEXT] in composed]
    assert details
    for text in details:
        assert text["objects"].count("dog") == text[s.TEXT].count("dog") > 0


def test_what_was_understood_is_told_in_words(story):
    lines = list(render(story))
    told = lines[lines.index("understood:") :]
    assert told[2] == "      objects dog, people, grass · attributes brown, two, green · actions sits · numbers two"
    assert told[3] == "      dog (r0) - sits near - people"


def test_what_is_published_is_what_the_tables_hold(out, story):
    assert story["published"]["state"] == "done"
    tables = story["published"]["tables"]
    for name in ("images", "text", "region_text", "text_phrase_region", "rejected"):
        ((count,),) = sql(str(out), f"SELECT count(*) FROM {name} WHERE image_id = '0002.jpg'").rows
        assert len(tables[name]) == count
    assert [row[s.LABEL] for row in tables["region_text"]] == ["dog"]


def test_an_image_that_nobody_could_read(out):
    story = explain(str(out), "broken.jpg")
    (fault,) = stage(story, "ingest")["faults"]
    assert fault["lost"] and fault["error"] == "ImageError"
    assert {found["state"] for found in story["stages"][1:] if "learned" not in found} == {"left out"}
    assert any(line.startswith("  quarantine: ImageError:") for line in render(story))


def test_an_image_is_found_by_what_a_user_has_at_hand(out, story):
    place = story[s.URI]
    for name in (place, "images/0002.jpg", "0002"):
        assert explain(str(out), name) == story


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("000", "may mean 5 images of .*: 0000.jpg, 0001.jpg, 0002.jpg and others"),
        ("brokn.jpg", "nearest is 'broken.jpg'"),
    ],
)
def test_a_name_that_is_no_image_is_answered_with_the_nearest(out, name, message):
    with pytest.raises(OutError, match=message):
        explain(str(out), name)


def test_while_a_build_runs_the_story_says_what_is_not_there_yet(out, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(out, half)
    for folder in [*half.glob("work/triplets@*"), half / "published"]:
        shutil.rmtree(folder)
    story = explain(str(half), "0002")
    assert [stage["stage"] for stage in story["stages"] if stage["state"] == "not there yet"] == ["triplets"]
    assert stage(story, "regions")["kept"] == 1
    assert story["published"] == {"state": "not there yet", "tables": {}}
    assert {"triplets: not there yet", "published: not there yet"} < set(render(story))


def test_another_configuration_is_not_passed_off_as_this_one(out, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(out, again)
    (run,) = again.glob("run.json")
    remembered = json.loads(run.read_text())
    remembered["nodes"][-1]["fingerprint"] = "0" * 16
    run.write_text(json.dumps(remembered))
    story = explain(str(again), "0002")
    assert story["published"]["state"] == "of another configuration"
    assert "  of another configuration; `fld build` brings it up to date" in list(render(story))


def test_the_story_of_an_out_that_is_no_folder(tmp_path, story):
    root = write_scenes(tmp_path, 5, EXTRA)
    config = load_config(str(root / "config.toml"), None)
    try:
        build(str(root / "images"), "memory://explained", config, QUIET)
        found = explain("memory://explained", "0002.jpg")
    finally:
        fsspec.filesystem("memory").rm("/explained", recursive=True)
    for name in ("detect.one", "regions", "texts", "triplets"):
        assert stage(found, name) == stage(story, name)


def test_people_read_lines_of_a_hundred_columns(story):
    lines = list(render(story, everything=True))
    assert max(map(len, lines)) <= 100
    assert lines[0] == "0002.jpg"
    assert "regions: 1 kept, 2 rejected (size 2)" in lines
    assert any(line.endswith("  size 20, limit 25") for line in lines)
    assert "      votes (2 could vote): one dog 0.900 · two dog 0.900" in lines


def test_long_lists_are_cut_with_a_count_and_kept_rows_come_first():
    decided = [
        {s.LABEL: f"thing {n}", s.CONFIDENCE: 0.5, s.REASON: "size" if n < 11 else None, s.VALUE: 1.0, s.THRESHOLD: 2.0}
        for n in range(12)
    ]
    made = {
        s.IMAGE_ID: "a", s.URI: "a.jpg", s.META: "{}", "published": {"state": "not there yet", "tables": {}},
        "understood": [], "stages": [
            {"stage": "regions", "state": "done", "reads": [], "rows": decided, "faults": [], "kept": 1,
             "rejected": {"size": 11}},
        ],
    }  # fmt: skip
    lines = list(render(made))
    assert "  … and 4 more; --all shows them" in lines
    things = [line.split()[1] for line in lines if line.startswith("  thing")]
    assert things == ["11", *map(str, range(7))]
    assert sum(line.startswith("  thing") for line in render(made, everything=True)) == 12


def told(*rows):
    """A story of one stage that decided texts."""
    return {
        s.IMAGE_ID: "a", s.URI: "a.jpg", s.META: "{}", "published": {"state": "not there yet", "tables": {}},
        "understood": [], "stages": [
            {"stage": "texts", "state": "done", "reads": [], "rows": rows, "faults": [], "kept": 0, "rejected": {}},
        ],
    }  # fmt: skip


def test_a_long_text_is_begun_unless_all_is_asked_for():
    text = "a dog and " * 300
    story = told({s.TEXT_ID: "a:t0", s.TEXT: text, s.REASON: None, s.VALUE: None, s.THRESHOLD: None})
    begun = " ".join(" ".join(render(story)).split())
    assert "(2,700 more characters; --all shows them)" in begun
    assert begun.count("a dog and") == 30
    assert " ".join(render(story, everything=True)).count("dog") == 300


def test_what_struck_a_text_is_told():
    rejected = {s.TEXT: "a dog, ISO 200, f/8", s.REASON: "boilerplate", s.VALUE: 2.0, s.THRESHOLD: 0.0}
    lines = list(render(told(rejected)))
    assert any(line.endswith("boilerplate 2, limit 0") for line in lines)
    assert "      has “f/8” · “ISO 200”" in lines


def test_the_command(out: Path):
    command = [sys.executable, "-m", "pipelines.cli", "explain", str(out)]
    done = subprocess.run([*command, "0002", "--json"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["image_id"] == "0002.jpg"
    done = subprocess.run([*command, "7.jpg"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "has no image '7.jpg'; the nearest is" in done.stderr
