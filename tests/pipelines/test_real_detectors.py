"""Public detectors' recorded boxes on photographs, built as a user would: better than the best, sure when right."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from engine import schema as s
from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.eval import evaluate
from pipelines.query import sql
from pipelines.stats import stats
from tests.shared_data import need

FOUR = ("picodet_s", "yolov5n", "yolov8n", "yolox_nano")
JUDGED = 50


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures of the right names and sizes, what detectors said of them, and people's boxes for the first fifty."""
    source, root = need("real_detectors/val_dev"), tmp_path_factory.mktemp("real")
    truth = json.loads(gzip.decompress((source / "truth.json.gz").read_bytes()))
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    for image in truth["images"]:
        noise = rng.integers(0, 256, (image["height"] // 16 + 1, image["width"] // 16 + 1, 3), np.uint8)
        picture = Image.fromarray(noise).resize((image["width"], image["height"]))
        picture.save(root / "images" / image["file_name"])
    for file in source.glob("*.json.gz"):
        (root / file.name.removesuffix(".gz")).write_bytes(gzip.decompress(file.read_bytes()))
    (root / "index.json").write_text(json.dumps({**truth, "annotations": []}))
    listed = truth["images"][:JUDGED]
    ids = {image["id"] for image in listed}
    drawn = [a for a in truth["annotations"] if a["image_id"] in ids]
    (root / "people.json").write_text(json.dumps({**truth, "images": listed, "annotations": drawn}))
    rest = [image for image in truth["images"] if image["id"] not in ids]
    left = [a for a in truth["annotations"] if a["image_id"] not in ids]
    (root / "rest.json").write_text(json.dumps({**truth, "images": rest, "annotations": left}))
    return root


def built(root, name, detectors, people=False):
    tables = [
        f'[detectors.{one}]\nuses = "recorded"\nformat = "coco_results"\npath = "{one}.json"\nindex = "index.json"\n'
        for one in detectors
    ]
    if people:
        tables.append('[detectors.people]\nuses = "recorded"\nformat = "coco"\npath = "people.json"\ngold = true\n')
    (root / f"{name}.toml").write_text("".join(tables) + "[segmenters]\n[grounders]\n[writers]\n")
    out = str(root / f"out-{name}")
    options = Options(executor="local", shard_size=30, say=lambda _: None)
    build(str(root / "images"), out, load_config(str(root / f"{name}.toml"), None), options)
    return out


def judged(root, out, truth="truth.json"):
    """AP of all together and of the best alone, and how far claims are off: all, and those of 0.25 and more."""
    found = evaluate(out, str(root / truth))
    boxes, bins = found["boxes"], found["calibration"]["bins"]
    sure = [b for b in bins if b["count"] and b["from"] >= 0.25]
    gap = sum(b["count"] * abs(b["mean_confidence"] - b["accuracy"]) for b in sure) / sum(b["count"] for b in sure)
    best = max(one["ap"] for name, one in boxes["specialists"].items() if name != "people")
    return boxes["ap"], best, found["calibration"]["ece"], gap


def test_four_together_are_better_than_the_best_and_say_how_sure_they_are(root):
    out = built(root, "four", FOUR)
    ap, best, error, sure = judged(root, out)
    assert ap > best + 0.03
    assert error < 0.05 and sure < 0.1
    assert sql(out, f"SELECT DISTINCT {s.BASIS} FROM region_text WHERE kind = 'object'").rows == [("pooled",)]
    things = len([a for a in json.loads((root / "truth.json").read_text())["annotations"] if not a["iscrowd"]])
    ((expected,),) = sql(out, "SELECT sum(confidence) FROM region_text WHERE kind = 'object'").rows
    assert expected == pytest.approx(things, rel=0.2)
    (advice,) = stats(out)["advice"]
    assert "20 to 100 images" in advice


def test_a_much_worse_one_beside_a_good_one_does_no_harm_and_stats_say_so(root):
    out = built(root, "pair", ("fastest_xl", "yolov8n"))
    ap, best, _, _ = judged(root, out)
    assert ap > best - 0.005
    assert "yolov8n has" in stats(out)["advice"][1]


def test_people_in_fifty_images_calibrate_all_others(root):
    out = built(root, "gold", FOUR, people=True)
    _, _, error, _ = judged(root, out, "rest.json")
    assert error < 0.03
    rows = dict(sql(out, f"SELECT {s.BASIS}, count(*) FROM region_text WHERE kind = 'object' GROUP BY 1").rows)
    assert rows.keys() == {"people", "calibrated"}
    found = stats(out)
    assert all(row["gold_ap"] is not None for row in found["reliability"])
    assert "calibrated by people" in found["advice"][0]


def test_one_detector_keeps_its_own_boxes_and_order(root):
    out = built(root, "one", ("yolov8n",))
    ap, best, _, _ = judged(root, out)
    assert ap == pytest.approx(best, abs=0.003)
    assert sql(out, f"SELECT DISTINCT {s.BASIS} FROM region_text WHERE kind = 'object'").rows == [("mean",)]
