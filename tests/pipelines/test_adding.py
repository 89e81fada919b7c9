"""Adding a specialist costs its own look at every image, and those looks that depend on what it found; so does a change
of the code that makes texts. By job counts."""

import pytest

from engine.graph import Estimate, Sink
from filters import enhance
from pipelines.build import Options, build, dry_run
from pipelines.config import load_config
from pipelines.decide import region_text
from pipelines.stages.decision import DecisionStage
from tests.pipelines.plugins import CROPS, READER, ROLES, installed
from tests.pipelines.scenes import write_scenes

OPTIONS = Options(executor="local", shard_size=2, say=lambda _: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), 4, ROLES)
    with installed(root / "site", CROPS + READER):
        config = load_config(str(root / "config.toml"), None)
        assert build(str(root / "images"), str(root / "out"), config, OPTIONS).quarantined == 0
        yield root


def planned(root, *settings):
    """What a build with more settings would do: the specialists with jobs, and all, with those below `objects`."""
    config = load_config(str(root / "config.toml"), None, settings)
    prepared = dry_run(str(root / "images"), str(root / "out"), config, OPTIONS)
    nodes = prepared.graph.nodes
    looks = {node.name for node in nodes if not isinstance(node.stage, DecisionStage | Estimate | Sink)}
    below = {"objects"}
    for node in nodes:
        if any(nodes[i].name in below for i in node.inputs):
            below.add(node.name)
    return looks & prepared.schedule.todo_by_node.keys(), looks, looks & below


def test_the_out_has_everybody_in_it(root):
    ran, looks, depend = planned(root)
    assert ran == set()
    roles = {name.partition(".")[0] for name in looks}
    assert {"detect", "read", "caption", "describe", "score_regions", "score_texts", "ground", "mask"} < roles
    assert {"describe.wordy", "ground.label_match", "score_regions.fond", "mask.grabcut"} < depend


def test_one_more_reader_makes_nobody_else_look(root):
    ran, _, _ = planned(root, 'readers.new.uses="sign"')
    assert ran == {"read.new"}


@pytest.mark.parametrize(
    "setting",
    ["min_score=0.9", "ask=0.3", "fusion.iou=0.9", "weights={sign = 2.0}"],
)
def test_how_readings_are_weighed_can_be_changed_and_nobody_looks(root, setting):
    ran, _, _ = planned(root, f"consensus.writing.{setting}")
    assert ran == set()


def test_one_more_detector_makes_only_those_look_who_are_asked_about_things(root):
    new = [f'detectors.new.{key}="{value}"' for key, value in
           {"uses": "recorded", "path": str(root / "two.json"), "format": "coco"}.items()]  # fmt: skip
    ran, looks, depend = planned(root, *new)
    assert ran == {"detect.new"} | depend
    apart = {"caption.words", "caption.wordy", "read.sign", "score_texts.fond", "parse", "detect.one", "detect.two"}
    assert apart < looks and not apart & ran


@pytest.mark.parametrize(
    ("code", "version", "anew"),
    [
        (region_text, "CANDIDATES_VERSION", {"score_regions.fond"}),
        (enhance, "VERSION", {"score_regions.fond", "score_texts.fond", "parse", "parse_crops"}),
    ],
    ids=["candidates", "enhancement"],
)
def test_texts_that_are_made_otherwise_are_scored_and_parsed_anew(root, monkeypatch, code, version, anew):
    """Old similarities are about texts that nobody would find in the new ones."""
    monkeypatch.setattr(code, version, getattr(code, version) + 1)
    ran, _, _ = planned(root)
    assert ran == anew | {"ground.label_match", "mask.grabcut"}  # these follow from noun phrases
