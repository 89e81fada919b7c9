"""`fld eval`: on tables and truths written by hand, where every number is worked out here, and on drawn scenes."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from engine import masks
from engine import schema as s
from engine.errors import OutError, TruthError
from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.eval import evaluate, render
from pipelines.evaluate.calibration import calibration
from pipelines.evaluate.matching import one_to_one, pairs
from pipelines.scenes import draw
from tests.pipelines.test_stats import Rows, box, publish

SIZE = 100


def picture(name: str, size: int = SIZE) -> dict[str, Any]:
    return {s.IMAGE_ID: name, s.URI: f"/data/{name}", s.WIDTH: size, s.HEIGHT: size}


def region(owner: str, label: str, corners: tuple[float, ...], confidence: float | None, **more: Any) -> dict[str, Any]:
    return {s.IMAGE_ID: owner, s.KIND: "object", s.LABEL: label, **box(*corners), s.CONFIDENCE: confidence, **more}


def rectangle(x0: int, y0: int, x1: int, y1: int) -> str:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y0:y1, x0:x1] = True
    return masks.encode(mask)


def coco(
    root: Path, things: list[tuple[str, str, tuple[int, ...]]], *, segmented: bool = False, crowd: bool = False
) -> str:
    """A COCO instances file of (image, kind, corners)."""
    names = sorted({name for name, _, _ in things})
    kinds = sorted({kind for _, kind, _ in things})
    annotations = []
    for i, (name, kind, (x0, y0, x1, y1)) in enumerate(things):
        one = {
            "id": i, "image_id": names.index(name), "category_id": kinds.index(kind), "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0), "iscrowd": int(crowd),
        }  # fmt: skip
        if segmented:
            one["segmentation"] = {"size": [SIZE, SIZE], "counts": rectangle(x0, y0, x1, y1)}
        annotations.append(one)
    content = {
        "images": [{"id": i, "file_name": name, "width": SIZE, "height": SIZE} for i, name in enumerate(names)],
        "categories": [{"id": i, "name": kind} for i, kind in enumerate(kinds)],
        "annotations": annotations,
    }
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    return str(path)


def thing(number: int, kind: str, corners: tuple[int, ...], colour: str = "red", **more: Any) -> dict[str, Any]:
    x0, y0, x1, y1 = corners
    return {
        "id": number, "annotation_id": number, "kind": kind, "colour": colour, "pattern": "plain", "size": "medium",
        "action": "", "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "visibility": 1.0,
        "segmentation": {"size": [SIZE, SIZE], "counts": rectangle(*corners)}, **more,
    }  # fmt: skip


def scene(
    name: str, things: list[dict[str, Any]], said: dict[str, Any] | None = None, words: Any = ()
) -> dict[str, Any]:
    silent = {"text": "Nothing.", "phrases": [], "objects": [], "attributes": [], "actions": [], "relations": [],
              "counts": {}, "words": []}  # fmt: skip
    captions = {
        g: {**silent, **(said or {})} if g == "brief" else silent for g in ("brief", "detailed", "more_detailed")
    }
    return {
        "id": 1, "file_name": name, "width": SIZE, "height": SIZE, "setting": "meadow", "objects": things,
        "relations": [], "words": list(words), "captions": captions,
    }  # fmt: skip


def truth(root: Path, *scenes: dict[str, Any]) -> str:
    content = {
        "version": 1, "kinds": ["dog", "car", "person", "sign"], "colours": ["red", "blue", "green", "gray"],
        "patterns": ["plain", "striped"], "sizes": ["small", "medium", "large"], "settings": ["meadow"],
        "actions": ["running", "parked", "sitting"], "predicates": [], "scenes": list(scenes),
    }  # fmt: skip
    path = root / "truth.json"
    path.write_text(json.dumps(content))
    return str(path)


def caption(owner: str, sentence: str, number: int = 0, who: str = "model") -> dict[str, Any]:
    return {
        s.IMAGE_ID: owner, s.TEXT_ID: f"{owner}:{number}", s.GRANULARITY: "brief", s.TEXT: sentence, s.SPECIALIST: who,
    }  # fmt: skip


def phrase(
    text: dict[str, Any], words: str, corners: tuple[float, ...], confidence: float = 0.9, **more: Any
) -> dict[str, Any]:
    start = text[s.TEXT].index(words)
    return {
        s.IMAGE_ID: text[s.IMAGE_ID], s.TEXT_ID: text[s.TEXT_ID], s.PHRASE: words, s.START: start,
        s.END: start + len(words), **box(*corners), s.CONFIDENCE: confidence, **more,
    }  # fmt: skip


def at_recall(recall: float) -> float:
    """AP of perfect precision up to a recall: COCO reads precision at recalls 0, 0.01, … 1."""
    return (math.floor(100 * recall + 1e-9) + 1) / 101


LEFT, RIGHT, TOP = (0, 0, 20, 20), (50, 50, 90, 90), (50, 0, 70, 20)


# ---- boxes and masks ---------------------------------------------------------------------------------


def test_average_precision_by_hand(tmp_path: Path) -> None:
    rows: Rows = {
        "images": [picture("a.jpg"), picture("b.jpg")],
        "region_text": [
            region("a.jpg", "DOG ", LEFT, 0.8),
            region("a.jpg", "dog", TOP, 0.9),  # nothing there, and said with more confidence
            region("b.jpg", "traffic_light", LEFT, None),  # right, but no confidence
            region("b.jpg", "unicorn", RIGHT, 0.9),
            region("b.jpg", "dog", (0, 0, 9, 9), 0.9, **{s.KIND: "text"}),
        ],
    }
    things = [("a.jpg", "dog", LEFT), ("a.jpg", "dog", RIGHT), ("b.jpg", "traffic light", LEFT)]
    found = evaluate(publish(tmp_path / "out", rows), coco(tmp_path, things))
    boxes = found["boxes"]
    # dogs: the best box is wrong, the second right: precision 1/2 up to recall 1/2. The light is found alone.
    assert boxes["classes"]["dog"] == {"ap": round(51 * 0.5 / 101, 4), "ap50": round(51 * 0.5 / 101, 4), "truths": 2}
    assert boxes["classes"]["traffic light"]["ap50"] == 1.0
    assert boxes["ap50"] == pytest.approx((51 * 0.5 / 101 + 1) / 2, abs=1e-4)
    assert boxes["ar100"] == 0.75
    assert boxes["unknown_labels"] == {"regions": 1, "labels": {"unicorn": 1}}
    assert (boxes["regions"], boxes["without_score"]) == (4, 1)
    # 400 of 10,000 pixels: 4 percent is in both bands that it bounds; nothing is smaller
    assert boxes["bands"]["below_1_percent"] is None
    assert boxes["ap_large"] is None
    assert found["masks"] is None and "segmentations" in found["left_out"]["masks"]
    assert found["triplets"] is None and "fld scenes" in found["left_out"]["triplets"]
    # of what can be judged: one right and one wrong with a confidence, one right without
    assert (found["calibration"]["count"], found["calibration"]["accuracy"]) == (2, 0.5)
    assert found["calibration"]["without_confidence"] == 1


def test_localisation_counts_in_ap_and_not_in_ap50(tmp_path: Path) -> None:
    # 20 x 20 against the 14 left columns of it: IoU 0.7, so right at 0.50 to 0.70, five of ten thresholds
    rows: Rows = {"images": [picture("a.jpg")], "region_text": [region("a.jpg", "dog", (0, 0, 14, 20), 0.5)]}
    boxes = evaluate(publish(tmp_path / "out", rows), coco(tmp_path, [("a.jpg", "dog", LEFT)]))["boxes"]
    assert (boxes["ap50"], boxes["ap75"], boxes["ap"]) == (1.0, 0.0, 0.5)


def test_a_box_is_never_matched_in_another_image(tmp_path: Path) -> None:
    rows: Rows = {
        "images": [picture("a.jpg"), picture("b.jpg"), picture("c.jpg")],
        "region_text": [region("a.jpg", kind, LEFT, 0.5) for kind in ("dog", "car", "person", "sign")],
    }
    scenes = [scene(f"{name}.jpg", [thing(1, "dog", LEFT)]) for name in "abc"]
    found = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, *scenes))
    assert found["boxes"]["ar100"] == round(1 / 3, 4)
    assert (found["calibration"]["count"], found["calibration"]["accuracy"]) == (4, 0.25)


def test_what_only_a_crowd_covers_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    rows: Rows = {"images": [picture("a.jpg")], "region_text": [region("a.jpg", "dog", LEFT, 0.5)]}
    found = evaluate(publish(tmp_path / "out", rows), coco(tmp_path, [("a.jpg", "dog", (0, 0, 60, 60))], crowd=True))
    assert found["boxes"]["ap"] is None
    assert found["calibration"]["count"] == 0 and found["calibration"]["ece"] is None


def test_masks_are_compared_with_masks(tmp_path: Path) -> None:
    half = region("a.jpg", "dog", LEFT, 0.5, **{s.MASK: rectangle(0, 0, 10, 20)})
    rows: Rows = {"images": [picture("a.jpg")], "region_text": [half]}
    found = evaluate(publish(tmp_path / "out", rows), coco(tmp_path, [("a.jpg", "dog", LEFT)], segmented=True))
    assert found["boxes"]["ap"] == 1.0
    assert found["masks"]["mean_iou"] == 0.5
    assert (found["masks"]["ap50"], found["masks"]["ap75"]) == (1.0, 0.0)


def test_greedy_matching_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        left, right = random.integers(0, 6, (2, 20))
        left, right = np.unique(np.column_stack([left, right]), axis=0).T
        overlap, confidence = random.random(len(left)), random.random(6)
        used_left, used_right, expected = set(), set(), []
        for i in sorted(range(len(left)), key=lambda i: (-confidence[left[i]], -overlap[i])):
            if left[i] not in used_left and right[i] not in used_right:
                used_left.add(left[i])
                used_right.add(right[i])
                expected.append(i)
        assert one_to_one(left, right, overlap, confidence).tolist() == sorted(expected)


def test_pairs_are_all_that_share_a_key() -> None:
    left, right = np.array([3, 1, 9, 3]), np.array([1, 3, 3, 4])
    i, k = pairs(left, right)
    assert set(zip(i.tolist(), k.tolist(), strict=True)) == {(0, 1), (0, 2), (1, 0), (3, 1), (3, 2)}


def test_calibration_by_hand() -> None:
    # bins of 1/15: 0.9 falls into the 14th, 1.0 into the 15th, 0.0 into the first
    found = calibration(np.array([0.9, 0.9, 1.0, 0.0, np.nan]), np.array([True, False, True, False, True]))
    assert (found["count"], found["without_confidence"]) == (4, 1)
    assert found["ece"] == pytest.approx(2 / 4 * abs(0.5 - 0.9), abs=1e-4)
    assert found["brier"] == pytest.approx((0.01 + 0.81 + 0 + 0) / 4, abs=1e-4)
    assert [row["count"] for row in found["bins"]] == [1, *[0] * 12, 2, 1]
    assert found["bins"][13]["accuracy"] == 0.5


# ---- texts -------------------------------------------------------------------------------------------


def test_texts_are_held_against_scene_and_caption(tmp_path: Path) -> None:
    things = [
        thing(1, "dog", LEFT, "gray", action="running"),
        thing(2, "dog", RIGHT, "gray"),
        thing(3, "car", TOP, "blue"),
    ]
    said = {
        "text": "Two gray dogs and a blue car.", "objects": [1, 2, 3], "counts": {"dog": 2, "car": 1},
        "attributes": [{"object": i, "name": "colour", "value": v} for i, v in ((1, "gray"), (2, "gray"), (3, "blue"))],
        "actions": [{"object": 1, "action": "running"}],
    }  # fmt: skip
    rows: Rows = {
        "images": [picture("a.jpg")],
        "text": [
            caption("a.jpg", "Two grey puppies are running beside a red car.", 0, "one"),
            caption("a.jpg", "A woman and a gray dog on the grass.", 1, "two"),
        ],
    }
    text = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, scene("a.jpg", things, said)))["text"]
    one, two = (text["brief"]["specialists"][name] for name in ("one", "two"))
    # dogs (by a synonym) and car are there; the two gray dogs too; the car is not red; a dog runs; two dogs
    assert (one["objects"]["precision"], one["objects"]["recall"]) == (1.0, 1.0)
    assert (one["attributes"]["claims"], one["attributes"]["right"]) == (2, 1)
    assert (one["attributes"]["truths"], one["attributes"]["found"]) == (2, 1)
    assert (one["actions"]["precision"], one["actions"]["recall"]) == (1.0, 1.0)
    assert (one["counts"]["precision"], one["counts"]["recall"]) == (1.0, 1.0)
    # no person there, the car is missed, grass is no kind of this truth
    assert (two["objects"]["precision"], two["objects"]["recall"]) == (0.5, 0.5)
    assert two["attributes"]["precision"] == 1.0
    assert (two["actions"]["precision"], two["actions"]["recall"]) == (None, 0.0)
    assert two["unknown_nouns"] == 1 and text["unknown_nouns"] == {"grass": 1}
    both = text["brief"]["all"]
    assert (both["texts"], both["objects"]["claims"], both["objects"]["right"]) == (2, 4, 3)
    assert text["detailed"]["all"]["objects"]["recall"] is None


def test_claims_that_hold(tmp_path: Path) -> None:
    right = {
        "A person in a red shirt behind a car.": {"attributes": 1},
        "There are two dogs (one red and one blue).": {"attributes": 2, "counts": 1},
        "The car is blue.": {"attributes": 1},
        "A parked car.": {"actions": 1},
        "A dog is sitting on the car.": {"actions": 1},
        "Three dogs.": {"counts": 0},
        "Two red dogs.": {"attributes": 0, "counts": 1},  # one of them is blue
    }
    things = [
        thing(1, "dog", LEFT, "red", action="sitting"), thing(2, "dog", RIGHT, "blue", action="sitting"),
        thing(3, "person", TOP, "red"), thing(4, "car", (0, 50, 20, 90), "blue", action="parked"),
    ]  # fmt: skip
    said = [caption("a.jpg", sentence, i, who=sentence) for i, sentence in enumerate(right)]
    rows: Rows = {"images": [picture("a.jpg")], "text": said}
    found = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, scene("a.jpg", things)))["text"]["brief"]
    for sentence, row in found["specialists"].items():
        claimed = {name: row[name]["right"] for name in ("attributes", "actions", "counts") if row[name]["claims"]}
        assert claimed == right[sentence], sentence


def test_no_dogs_and_quoted_words_name_nothing(tmp_path: Path) -> None:
    rows: Rows = {"images": [picture("a.jpg")], "text": [caption("a.jpg", 'There are no dogs. The sign says "CARS".')]}
    things = [thing(1, "sign", LEFT)]
    found = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, scene("a.jpg", things)))["text"]["brief"]["all"]
    assert (found["objects"]["claims"], found["objects"]["right"]) == (1, 1)


# ---- triplets ----------------------------------------------------------------------------------------


def test_triplets_cannot_win_by_silence(tmp_path: Path) -> None:
    things = [thing(1, "dog", LEFT, "gray"), thing(2, "dog", RIGHT, "red"), thing(3, "car", TOP, "blue")]
    text = caption("a.jpg", "Two dogs beside a blue car and a person on the grass.")
    rows: Rows = {
        "images": [picture("a.jpg")],
        "text": [text],
        "text_phrase_region": [
            phrase(text, "Two dogs", LEFT, 0.9, **{s.MASK: rectangle(0, 0, 10, 20)}),
            phrase(text, "Two dogs", (1, 1, 20, 20), 0.8),  # the same dog again
            phrase(text, "a person", RIGHT, 0.7),  # no person anywhere
            phrase(text, "the grass", (0, 0, 100, 100), 0.7),  # no kind of this truth
        ],
    }
    found = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, scene("a.jpg", things)))
    triplets = found["triplets"]
    assert (triplets["boxes"], triplets["claims"], triplets["right"], triplets["unjudged"]) == (4, 3, 1, 1)
    assert triplets["precision_if_unjudged_are_wrong"] == 0.25
    # wanted are two dogs and the car, which got no box; the person is not there
    assert (triplets["truths"], triplets["found"], triplets["recall"]) == (3, 1, round(1 / 3, 4))
    assert (triplets["phrases"], triplets["phrases_true"], triplets["phrases_found"]) == (3, 2, 0)
    assert triplets["mask_iou"] == 0.5
    assert found["calibration"]["triplets"]["count"] == 3


@pytest.mark.parametrize(
    ("sentence", "words", "wanted", "right"),
    [
        ("A gray dog.", "A gray dog", 1, 1),
        ("A red dog.", "A red dog", 1, 0),  # the box is on the gray one
        ("A dog.", "A dog", 1, 1),  # either will do
        ("Dogs.", "Dogs", 2, 1),
        ("A blue dog.", "A blue dog", 0, 0),  # there is none
    ],
)
def test_a_phrase_means_things_of_its_colour_and_number(
    tmp_path: Path, sentence: str, words: str, wanted: int, right: int
) -> None:
    hidden = thing(3, "dog", TOP, "gray", visibility=0.1)  # too little of it is seen to be asked for
    things = [thing(1, "dog", LEFT, "gray"), thing(2, "dog", RIGHT, "red"), hidden]
    text = caption("a.jpg", sentence)
    rows: Rows = {"images": [picture("a.jpg")], "text": [text], "text_phrase_region": [phrase(text, words, LEFT)]}
    triplets = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, scene("a.jpg", things)))["triplets"]
    assert (triplets["truths"], triplets["right"], triplets["claims"]) == (wanted, right, 1)


# ---- printed words -----------------------------------------------------------------------------------


def quad(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def word(text: str, corners: tuple[float, ...], height: float = 14, visibility: float = 1.0) -> dict[str, Any]:
    points = np.reshape(quad(*corners), (4, 2)).tolist()
    return {"text": text, "font": "", "object": 1, "quad": points, "height": height, "visibility": visibility}


def test_words_are_read_where_they_stand(tmp_path: Path) -> None:
    words = [
        word("CAFE", (0, 0, 30, 10)), word("OPEN", (32, 0, 60, 10)), word("Shoes", (0, 50, 30, 60)),
        word("BUS", (0, 80, 30, 90), height=8), word("TAXI", (50, 80, 90, 90), visibility=0.5),
    ]  # fmt: skip

    def reading(text: str, *corners: float) -> dict[str, Any]:
        return {
            s.IMAGE_ID: "a.jpg",
            s.KIND: "text",
            s.TEXT: text,
            s.QUAD: quad(*corners),
            **box(*corners),
            s.CONFIDENCE: 1.0,
        }

    rows: Rows = {
        "images": [picture("a.jpg")],
        "region_text": [
            reading("CAFE OPEN!", 0, 0, 60, 10),  # one line, two words
            reading("SHOES", 0, 50, 30, 60),
            reading("TAXI", 0, 20, 30, 30),  # elsewhere
        ],
    }
    ocr = evaluate(publish(tmp_path / "out", rows), truth(tmp_path, scene("a.jpg", [], words=words)))["ocr"]
    exact, folded = ocr["case_sensitive"], ocr["any_case"]
    assert (exact["words"], exact["accuracy"]) == (3, round(2 / 3, 4))
    assert (exact["words_all"], exact["accuracy_all"]) == (5, 0.4)
    assert (exact["read"], exact["precision"]) == (4, 0.5)
    assert (folded["accuracy"], folded["accuracy_all"], folded["precision"]) == (1.0, 0.6, 0.75)


# ---- images ------------------------------------------------------------------------------------------


def test_images_that_one_side_lacks_are_counted(tmp_path: Path) -> None:
    rows: Rows = {
        "images": [picture("a.jpg"), picture("x.jpg"), picture("y.jpg")],
        "region_text": [region("a.jpg", "dog", LEFT, 0.5), region("x.jpg", "dog", LEFT, 0.9)],
    }
    file = coco(tmp_path, [("train/a.jpg", "dog", LEFT), ("train/b.jpg", "dog", LEFT)])
    found = evaluate(publish(tmp_path / "out", rows), file)
    assert found["images"] == {"compared": 1, "only_in_out": 2, "only_in_truth": 1}
    assert (found["boxes"]["ap"], found["boxes"]["regions"]) == (1.0, 1)
    assert found["families"] == {"text": 0.0, "region_text": 1.0, "text_phrase_region": 0.0, "all": 0.0}


def test_images_inside_archives_go_by_their_keys(tmp_path: Path) -> None:
    inside = {**picture("set/a"), s.URI: "/data/x.tar#offset=1024&size=88"}
    rows: Rows = {"images": [inside], "region_text": [region("set/a", "dog", LEFT, 0.5)]}
    assert evaluate(publish(tmp_path / "out", rows), coco(tmp_path, [("a.jpg", "dog", LEFT)]))["boxes"]["ap"] == 1.0


def test_errors_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    good = coco(tmp_path, [("a.jpg", "dog", LEFT)])
    out = publish(tmp_path / "out", {"images": [picture("a.jpg")]})
    with pytest.raises(OutError, match="no published shard"):
        evaluate(str(tmp_path / "empty"), good)
    with pytest.raises(TruthError, match=r"nowhere\.json cannot be read"):
        evaluate(out, str(tmp_path / "nowhere.json"))
    for content, message in (
        ("[1", "not JSON"),
        ("[]", "holds no object"),
        ('{"images": [], "annotations": []}', "has no `scenes`"),
        ('{"scenes": [{"file_name": "b.jpg"}]}', "no image of"),
        ('{"scenes": [{"file_name": "a.jpg"}]}', "kinds"),
        ('{"scenes": [{"file_name": "a.jpg"}, {"file_name": "x/a.png"}]}', "two images named 'a'"),
        ('{"images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}], "annotations": [], "categories": [{}]}',
         "9 x 9 pixels there and 100 x 100"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "dog"}], "annotations": '
         '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "segmentation": {"counts": "9"}}]}', "no mask of"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "dog"}], "annotations": '
         '[{"id": 7, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}]}', "annotation 7"),
    ):  # fmt: skip
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(TruthError, match=message):
            evaluate(out, str(tmp_path / "bad.json"))
    two = publish(tmp_path / "two", {"images": [picture("p/a.jpg"), picture("q/a.jpg")]})
    with pytest.raises(TruthError, match="2 images named 'a'"):
        evaluate(two, good)


# ---- drawn scenes, built -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes built from their truth: `one` misses the first thing of every kind, `two` every other thing."""
    root = tmp_path_factory.mktemp("drawn")
    draw(root / "scenes", 10, 3, 128, "easy")
    content = json.loads((root / "scenes" / "coco.json").read_text())
    seen: set[int] = set()
    one = [a for a in content["annotations"] if a["category_id"] in seen or seen.add(a["category_id"])]
    for name, kept in (("one", one), ("two", content["annotations"][::2])):
        (root / f"{name}.json").write_text(json.dumps({**content, "annotations": [{**a, "score": 0.75} for a in kept]}))
    (root / "config.toml").write_text(
        "".join(
            f'[detectors.{name}]\nuses = "recorded"\npath = "{name}.json"\nformat = "coco"\n' for name in ("one", "two")
        )
        + '[captioners.truth]\nuses = "recorded"\npath = "scenes/captions.json"\nformat = "coco_captions"\n'
        + "[segmenters]\n[writers]\n[filters.texts]\nmin_thing = 0.0\n"  # what both miss is true all the same
    )
    options = Options(executor="local", shard_size=4, say=lambda _: None)
    build(str(root / "scenes"), str(root / "out"), load_config(str(root / "config.toml"), None), options)
    return root


@pytest.fixture(scope="module")
def measured(drawn: Path) -> dict[str, Any]:
    return evaluate(str(drawn / "out"), str(drawn / "scenes" / "truth.json"))


def test_every_detector_stands_alone_beside_the_consensus(drawn: Path, measured: dict[str, Any]) -> None:
    boxes = measured["boxes"]
    assert set(boxes["specialists"]) == {"one", "two"}
    for kind, row in boxes["specialists"]["one"]["classes"].items():
        left = row["truths"] - 1
        assert row["ap50"] == pytest.approx(at_recall(left / row["truths"]) if left else 0.0, abs=1e-4), kind
    assert boxes["ar100"] > max(row["ar100"] for row in boxes["specialists"].values())
    # what is there is always right, and was said with 0.75
    alone = measured["calibration"]["specialists"]["two"]
    assert (alone["accuracy"], alone["ece"], alone["brier"]) == (1.0, 0.25, 0.0625)


def test_truth_json_and_coco_json_agree(drawn: Path, measured: dict[str, Any]) -> None:
    found = evaluate(str(drawn / "out"), str(drawn / "scenes" / "coco.json"))
    assert found["boxes"] == measured["boxes"]
    assert found["masks"] == measured["masks"]
    assert found["text"] is None and found["triplets"] is None and found["ocr"] is None


def test_the_truths_own_captions_are_right(measured: dict[str, Any]) -> None:
    brief = measured["text"]["brief"]["specialists"]["truth"]
    assert brief["texts"] == 10
    for family in ("objects", "attributes", "actions", "counts"):
        assert brief[family]["precision"] in (None, 1.0), family
        for ceiling in measured["text"]["ceiling"].values():
            assert ceiling[family]["recall"] is None or ceiling[family]["recall"] >= 0.9, family
    assert measured["triplets"]["precision"] == 1.0
    assert 0.5 < measured["triplets"]["recall"] <= 1.0


def test_predictions_that_are_gone_are_named(drawn: Path, measured: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    out = shutil.copytree(drawn / "out", tmp_path / "out")
    for folder in (out / "work").glob("detect.one@*"):
        shutil.rmtree(folder)
    found = evaluate(str(out), str(drawn / "scenes" / "coco.json"))
    assert set(found["boxes"]["specialists"]) == {"two"}
    assert "fld build" in found["left_out"]["detect.one"]
    assert found["boxes"]["ap"] == measured["boxes"]["ap"]


def test_the_command_prints_json_or_a_page(drawn: Path, measured: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "eval", str(drawn / "out"), "--truth"]
    done = subprocess.run([*command, str(drawn / "scenes" / "truth.json"), "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(json.dumps(measured, allow_nan=False))
    refused = subprocess.run([*command, str(drawn / "config.toml")], capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1 and "not JSON" in refused.stderr


@pytest.mark.parametrize("file", ["truth.json", "coco.json"])
def test_the_page_fits_100_columns(drawn: Path, file: str) -> None:
    page = io.StringIO()
    found = evaluate(str(drawn / "out"), str(drawn / "scenes" / file))
    render(found, Console(file=page, width=120, force_terminal=False))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    [row] = [line.split() for line in lines if line.split()[:1] == ["consensus"]][:1]
    assert row[2] == f"{found['boxes']['ap50']:.3f}"
