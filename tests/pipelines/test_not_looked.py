"""A model for all pictures and people's file (or another reader's) for two of them: who does not list a picture has not
looked at it, so nothing follows from its silence."""

import json

import pyarrow as pa
import pytest

from engine import schema as s
from engine.graph import Batch
from pipelines.build import Options, build, retry
from pipelines.config import load_config
from pipelines.decide.texts import TextsConfig, text_ids
from pipelines.explain import explain, render
from pipelines.query import sql
from pipelines.stages import decision
from pipelines.verify import verify
from tests.pipelines.decide_tables import box, frames, grouped, parse, parsed, told
from tests.pipelines.scenes import write_scenes
from tests.shared_data import need

LISTED, UNLISTED = ("p1.jpg", "p2.jpg"), ("p3.jpg", "p4.jpg")
OPTIONS = Options(executor="local", shard_size=2, say=lambda _: None)


@pytest.fixture(scope="module")
def outs(tmp_path_factory):
    """OUT of each configuration of the case."""
    case, root = need("cases/16"), tmp_path_factory.mktemp("case16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLD_CACHE", str(root / "cache"))
        for name in ("model_alone", "model_and_people", "reader_one", "readers"):
            config = load_config(str(case / f"{name}.toml"), None)
            summary = build(str(case / "images"), str(root / name), config, OPTIONS)
            assert (summary.images, summary.quarantined) == (4, 0)
    return root


def published(out, kind):
    rows = sql(str(out), f"SELECT image_id, confidence, n_eligible FROM region_text WHERE kind = '{kind}'").rows
    assert verify(str(out)) == []
    return {image_id: tuple(rest) for image_id, *rest in rows}


@pytest.mark.parametrize(
    ("kind", "alone", "together"), [("object", "model_alone", "model_and_people"), ("text", "reader_one", "readers")]
)
def test_who_was_not_there_takes_nothing_away(outs, kind, alone, together):
    one, both = published(outs / alone, kind), published(outs / together, kind)
    for image in UNLISTED:
        assert both[image] == one[image]
        assert both[image][1] == 1
    assert {both[image][1] for image in LISTED} == {2}


def test_an_image_that_one_specialist_does_not_know_is_published(outs):
    for name in ("model_and_people", "readers"):
        assert sql(str(outs / name), "SELECT count(*) FROM images").rows == [(4,)]
        assert sql(str(outs / name), "SELECT count(*) FROM rejected").rows == [(0,)]


def test_explain_says_who_did_not_look(outs):
    for image, looked in ((LISTED[0], True), (UNLISTED[0], False)):
        story = explain(str(outs / "model_and_people"), image)
        answered = {stage["stage"]: stage["answered"] for stage in story["stages"] if "answered" in stage}
        assert (answered["detect.model"], answered["detect.people"]) == (True, looked)
        told = "detect.people: 1 row" if looked else "detect.people: did not look at this image"
        assert told in list(render(story))


def test_a_retry_has_nothing_to_ask(outs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLD_CACHE", str(outs / "cache"))
        assert retry(str(outs / "model_and_people"), OPTIONS).jobs_run == 0


# ---- another size, and texts ------------------------------------------------------------------------------


def eligible(out):
    rows = sql(out, "SELECT image_id, n_eligible FROM region_text WHERE label = 'dog' ORDER BY 1").rows
    return [count for _, count in rows]


def test_records_for_another_size_are_no_answer_also_after_a_retry(tmp_path):
    root, out = write_scenes(tmp_path, 4), str(tmp_path / "out")
    content = json.loads((root / "two.json").read_text())
    content["images"][1] |= {"width": 96, "height": 128}
    (root / "two.json").write_text(json.dumps(content))
    config = load_config(str(root / "config.toml"), None)
    assert build(str(root / "images"), out, config, OPTIONS).quarantined == 1
    assert eligible(out) == [2, 1, 2, 2]
    lines = [line.strip() for line in render(explain(out, "0001.jpg"))]
    assert "detect.two: did not look at this image" in lines
    assert "the rest is kept" not in " ".join(lines)
    retry(out, OPTIONS)
    assert eligible(out) == [2, 1, 2, 2]
    answered = {stage["stage"]: stage.get("answered") for stage in explain(out, "0001.jpg")["stages"]}
    assert (answered["detect.one"], answered["detect.two"]) == (True, False)
    assert verify(out) == []


def test_an_image_without_a_text_of_the_only_captioner_is_published_all_the_same(tmp_path):
    root, out = write_scenes(tmp_path, 4, "\n[segmenters]\n"), str(tmp_path / "out")
    content = json.loads((root / "captions.json").read_text())
    content = {**content, "images": content["images"][:3], "annotations": content["annotations"][:3]}
    (root / "captions.json").write_text(json.dumps(content))
    config = load_config(str(root / "config.toml"), None)
    assert build(str(root / "images"), out, config, OPTIONS).quarantined == 0
    assert sql(out, "SELECT count(*) FROM images").rows == [(4,)]
    assert eligible(out) == [2, 2, 2, 2]
    rows = sql(out, "SELECT DISTINCT image_id FROM text WHERE specialist = 'words' ORDER BY 1").rows
    assert [image for (image,) in rows] == ["0000.jpg", "0001.jpg", "0002.jpg"]
    assert "caption.words: did not look at this image" in list(render(explain(out, "0003.jpg")))
    assert verify(out) == []


BIRD = "A/DET/2/det bird/NOUN/3/nsubj chases/VERB/0/root two/NUM/5/nummod cats/NOUN/3/obj"


@pytest.mark.parametrize(("away", "reason"), [((), "unseen thing"), (("d1", "d2"), None)])
def test_a_text_is_not_held_against_detectors_that_did_not_look(away, reason):
    these = frames(1)
    (sentence,), tokens = parse(BIRD)
    cat = {s.IMAGE_ID: "img0", s.KIND: "object", s.LABEL: "cat", s.CONFIDENCE: 0.9, **box(0, 0, 9, 9)}
    captions = {"a": grouped(s.PREDICTED_TEXTS, [told("img0", sentence)], these)}
    inputs = {
        "regions": grouped(s.DECIDED_REGIONS, [cat], these),
        "caption.a": captions["a"],
        "parse": parsed(["img0"], text_ids(these, captions), tokens, these),
    }
    images = pa.table({s.IMAGE_ID: these.ids, s.WIDTH: these.widths, s.HEIGHT: these.heights})
    missing = {f"detect.{name}": frozenset(["img0"]) for name in away}
    batch = Batch(images, inputs, lambda _: None, missing)
    vocabularies = {name: ["bird", "cat"] for name in ("d0", "d1", "d2")}
    (row,) = decision.texts(batch, TextsConfig(), "parse", vocabularies=vocabularies).to_pylist()
    assert row[s.REASON] == reason
