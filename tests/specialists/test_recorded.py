"""Recorded predictions: each format from real files, what is broken in them, and whose they are."""

import json
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import masks
from engine import schema as s
from engine.errors import ConfigError, WeightsMissing
from engine.records import Image, Pixels, Regions
from specialists.recorded import RecordedCaptioner, RecordedConfig, RecordedDetector, RecordedReader
from specialists.recorded_formats import names

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def image(image_id: str, width: int = 100, height: int = 80) -> Image:
    def read() -> Pixels:
        raise OSError("recorded predictions must not look at pixels")

    return Image(image_id, "", width, height, read)


def detector(path: Path, format: str, **more: Any) -> RecordedDetector:
    made = RecordedDetector(RecordedConfig.model_validate({"path": path, "format": format, **more}))
    made.load("cpu")
    return made


def captioner(path: Path, format: str, **more: Any) -> RecordedCaptioner:
    made = RecordedCaptioner(RecordedConfig.model_validate({"path": path, "format": format, **more}))
    made.load("cpu")
    return made


def written(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def coco(images: list[dict[str, Any]] | None = None, annotations: list[Any] | None = None) -> dict[str, Any]:
    return {
        # Annotations come first, as they may.
        "annotations": annotations or [],
        "images": images or [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 80}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def box(**change: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": 7, "category_id": 2, "bbox": [10, 20, 30, 40], **change}


def one(found: list[Regions]) -> Regions:
    assert len(found) == 1
    return found[0]


# ---- who has looked ----------------------------------------------------------------------------------------


def test_an_image_listed_without_records_was_looked_at_and_one_not_listed_was_not(tmp_path: Path) -> None:
    listed = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}]
    path = written(tmp_path / "t.json", coco(listed, [box(), box(image_id=7, bbox=None)]))
    results = written(tmp_path / "results.json", [box(score=0.5)])
    for made in (detector(path, "coco"), detector(results, "coco_results", index=path)):
        found = made.detect([image(name) for name in ("a.jpg", "b.jpg", "c.jpg")])
        assert [answer.answered for answer in found] == [True, True, False]
        assert [len(answer.labels) for answer in found] == [1, 0, 0]
        assert found[2].faults == ()


def test_a_file_that_is_not_about_this_image_is_no_answer_and_broken_records_are_one(tmp_path: Path) -> None:
    entries = [
        {"id": i, "file_name": name, "width": 100, "height": 80} for i, name in enumerate(("x/a.jpg", "y/a.jpg"))
    ]
    entries += [{"id": 7, "file_name": "b.jpg", "width": 80, "height": 100}]
    entries += [{"id": 8, "file_name": "c.jpg", "width": 80, "height": 100}, {"id": 9, "file_name": "d.jpg"}]
    broken = box(image_id=9, bbox=None)
    made = detector(written(tmp_path / "t.json", coco(entries, [box(), broken])), "coco")
    ambiguous, turned, turned_and_empty, bad = made.detect([image(f"{name}.jpg") for name in "abcd"])
    assert (ambiguous.answered, len(ambiguous.faults)) == (False, 1)
    assert (turned.answered, len(turned.faults)) == (False, 1)
    assert (turned_and_empty.answered, turned_and_empty.faults) == (False, ())
    assert (bad.answered, len(bad.labels), len(bad.faults)) == (True, 0, 1)


def test_readers_and_captioners_tell_it_too(tmp_path: Path) -> None:
    quads = pa.table({s.IMAGE_ID: ["a.jpg"], s.QUAD: [[0.0, 0, 9, 0, 9, 9, 0, 9]], s.TEXT: ["go"], s.SCORE: [0.5]})
    pq.write_table(quads, tmp_path / "read.parquet")
    reader = RecordedReader(RecordedConfig.model_validate({"path": tmp_path / "read.parquet", "format": "parquet"}))
    assert [found.answered for found in reader.read([image("a.jpg"), image("b.jpg")])] == [True, False]
    listed = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}]
    said = {"images": listed, "annotations": [{"id": 1, "image_id": 7, "caption": "a dog"}]}
    made = captioner(written(tmp_path / "said.json", said), "coco_captions")
    found = made.caption([image("a.jpg"), image("b.jpg"), image("c.jpg")])
    assert [(list(answer.texts), answer.answered) for answer in found] == [(["a dog"], True), ([], True), ([], False)]


# ---- COCO instances -------------------------------------------------------------------------------------


def test_coco_box(tmp_path: Path) -> None:
    made = detector(written(tmp_path / "t.json", coco(annotations=[box(score=0.25), box(category_id=1)])), "coco")
    found = one(made.detect([image("a.jpg")]))
    assert found.boxes.tolist() == [[10, 20, 40, 60], [10, 20, 40, 60]]
    assert found.labels == ["dog", "cat"]
    assert found.scores.tolist() == [0.25, 1]
    assert found.faults == ()
    assert made.vocabulary() == ("cat", "dog")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [1, 2, 3]}, "bbox has 3 numbers, not 4"),
        ({"bbox": [1, 2, -3, 4]}, "negative size"),
        ({"bbox": [1, 2, 0, 4]}, "no area"),
        ({"bbox": "1 2 3 4"}, "not a list"),
        ({"bbox": [1, 2, "3", 4]}, "not a number"),
        ({"bbox": None}, "not a list"),
        ({"bbox": [float("nan"), 2, 3, 4]}, "not a number"),
        ({"bbox": [1, 2, float("inf"), 4]}, "not a number"),
        ({"bbox": [1, 2, 10**40, 4], "score": 2}, "outside 0..1"),
        ({"bbox": [200, 2, 30, 40]}, "no part inside the image"),
        ({"category_id": 99}, "no category has that id"),
        ({"category_id": None}, "category_id"),
        ({"score": 1.5}, "score is 1.5, outside 0..1"),
        ({"score": -0.1}, "outside 0..1"),
        ({"score": "high"}, "not a number"),
        ({"score": True}, "not a number"),
        ({"score": None}, "score is null or NaN"),
        ({"score": float("nan")}, "leave the key out"),
        ({"score": float("inf")}, "score is null or NaN"),
        ({"iscrowd": 3}, "iscrowd"),
        ({"segmentation": [[1, 2, 3, 4]]}, "at least 3 points"),
        ({"segmentation": [[1, 2, 3, 4, 5, 1e9]]}, "beyond"),
        ({"segmentation": "mask"}, "neither polygons"),
        ({"segmentation": {"counts": "xx", "size": [80, 100]}}, "mask"),
        ({"segmentation": {"counts": [100], "size": [80, 100]}}, "cover 100 pixels"),
        ({"segmentation": {"counts": [1.5], "size": [80, 100]}}, "run length"),
        ({"segmentation": {"counts": [8000], "size": [10, 10]}}, "mask is for 10 x 10"),
    ],
)
def test_a_broken_record_is_told_and_its_neighbours_stay(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = written(tmp_path / "t.json", coco(annotations=[box(), box(**change), box(bbox=[0, 0, 5, 5])]))
    found = one(detector(path, "coco").detect([image("a.jpg")]))
    assert found.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert len(found.faults) == 1
    assert reason in found.faults[0]


def test_boxes_are_clipped(tmp_path: Path) -> None:
    boxes = [[-5, -5, 20, 20], [90, 70, 1e30, 50], [-1e300, 0, 2e300, 10]]
    path = written(tmp_path / "t.json", coco(annotations=[box(bbox=b) for b in boxes]))
    found = one(detector(path, "coco").detect([image("a.jpg")]))
    assert found.boxes.tolist() == [[0, 0, 15, 15], [90, 70, 100, 80], [0, 0, 100, 10]]


def test_masks_of_every_form(tmp_path: Path) -> None:
    truth = np.zeros((80, 100), np.bool_)
    truth[20:60, 10:40] = True
    code = masks.encode(truth)
    flat = truth.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes.tolist(), flat.size]).tolist()
    forms = [
        [[10, 20, 40, 20, 40, 60, 10, 60]],
        {"counts": code, "size": [80, 100]},
        {"counts": runs, "size": [80, 100]},
    ]
    path = written(
        tmp_path / "t.json", coco(annotations=[box(segmentation=form, iscrowd=k == 2) for k, form in enumerate(forms)])
    )
    found = one(detector(path, "coco").detect([image("a.jpg")]))
    assert found.faults == ()
    assert found.crowd is not None
    assert found.crowd.tolist() == [False, False, True]
    for form in found.masks or []:
        assert form is not None
        assert masks.decode(form, 80, 100).tolist() == truth.tolist()


def test_a_box_is_taken_from_the_mask_where_there_is_none(tmp_path: Path) -> None:
    item = box(segmentation=[[10, 20, 40, 20, 40, 60, 10, 60]])
    del item["bbox"]
    found = one(detector(written(tmp_path / "t.json", coco(annotations=[item])), "coco").detect([image("a.jpg")]))
    assert found.boxes.tolist() == [[10, 20, 40, 60]]


def test_an_image_of_another_size_gets_none_of_its_boxes(tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", coco(annotations=[box(), box()]))
    found = one(detector(path, "coco").detect([image("a.jpg", 80, 100)]))
    assert len(found.labels) == 0
    assert not found.answered
    assert len(found.faults) == 1
    assert "100 x 80" in found.faults[0]


def test_records_without_an_image_are_counted(tmp_path: Path) -> None:
    bad = [None, 5, [], {"bbox": [1, 2, 3, 4]}, box(image_id=None), box(image_id=True), box(image_id=404)]
    made = detector(written(tmp_path / "t.json", coco(annotations=[*bad, box()])), "coco")
    assert len(one(made.detect([image("a.jpg")])).labels) == 1
    told = "\n".join(made.survey(["a.jpg"]))
    assert "6 entries" in told
    assert "1 records of" in told
    assert "404" in told


def test_broken_images_and_categories_are_counted(tmp_path: Path) -> None:
    truth = coco(annotations=[box(), box(category_id=3)])
    truth["images"] += [{"file_name": "no-id.jpg"}, {"id": 7, "file_name": "again.jpg"}, 3]
    truth["categories"] += [{"id": 3}, "dog"]
    made = detector(written(tmp_path / "t.json", truth), "coco")
    found = one(made.detect([image("a.jpg")]))
    assert found.labels == ["dog"]
    assert len(found.faults) == 1
    assert any("5 entries" in message for message in made.survey(["a.jpg"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "ends too early"),
        ("", "ends too early"),
        ('{"images": [],\n "annotations": [}', "line 2, column 18"),
        ("no json", "line 1, column 2"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"annotations": [{"image_id": 1}]}', "no list 'images'"),
        ("[]", "coco_results"),
        ("3", "no list 'annotations'"),
    ],
)
def test_a_file_that_is_no_coco_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "t.json", text)
    with pytest.raises(ConfigError, match=message) as error:
        detector(path, "coco")
    assert str(path) in str(error.value)


def test_the_position_is_right_in_a_long_file(tmp_path: Path) -> None:
    good = json.dumps(coco(annotations=[box(id=i) for i in range(20_000)]), indent=1)
    assert len(good) > 1 << 20
    lines = good.split("\n")
    lines[150_000] += "?"
    with pytest.raises(ConfigError, match=rf"line 150001, column {len(lines[150_000])} "):
        detector(written(tmp_path / "t.json", "\n".join(lines)), "coco")


@given(st.lists(st.sampled_from(["NaN", "-Infinity", "1.5", '"NaN, \\" Infinity"', '"\\\\"']), min_size=1, max_size=20))
def test_nan_is_read_as_null_but_not_inside_texts(tokens: list[str]) -> None:
    from specialists.recorded_formats.json_stream import _tolerant

    text = ("[" + ", ".join(tokens) + "]").encode()
    for size in (1, 3, 7, 1000):
        chunks = (text[i : i + size] for i in range(0, len(text), size))
        read = json.loads(b"".join(_tolerant(chunks)))
        assert read == [None if t in ("NaN", "-Infinity") else json.loads(t) for t in tokens]


def test_a_file_with_a_bom_and_one_with_nan_in_a_name(tmp_path: Path) -> None:
    truth = coco(annotations=[box(), box(bbox=[float("nan"), 0, 1, 1])])
    truth["categories"][1]["name"] = "a NaN, really"
    path = tmp_path / "t.json"
    path.write_text("\ufeff" + json.dumps(truth), "utf-8")
    found = one(detector(path, "coco").detect([image("a.jpg")]))
    assert found.labels == ["a NaN, really"]
    assert len(found.faults) == 1


# ---- COCO results and captions ----------------------------------------------------------------------------


def test_results(tmp_path: Path) -> None:
    index = written(tmp_path / "instances.json", coco(annotations=[box(bbox=[0, 0, 1, 1])]))
    path = written(tmp_path / "results.json", [box(score=0.5), box(score=1), box(image_id=8)])
    made = detector(path, "coco_results", index=index)
    found = one(made.detect([image("a.jpg")]))
    assert found.boxes.tolist() == [[10, 20, 40, 60]] * 2
    assert found.labels == ["dog", "dog"]
    assert made.weights() == [path, index]
    with pytest.raises(ConfigError, match='format = "coco"'):
        detector(index, "coco_results", index=index)


@pytest.mark.parametrize("score", ["null", "NaN", "Infinity", "-Infinity"])
def test_a_result_without_a_score_is_no_sure_one(tmp_path: Path, score: str) -> None:
    index = written(tmp_path / "instances.json", coco())
    good, bare = json.dumps(box(score=0.5)), json.dumps(box(id=6))
    path = written(tmp_path / "results.json", f"[{bare}, {good.replace('0.5', score)}, {good}]")
    found = one(detector(path, "coco_results", index=index).detect([image("a.jpg")]))
    assert found.scores.tolist() == [0.5]
    assert "record 6: it has no score" in found.faults[0]
    assert "record 5: score is null or NaN" in found.faults[1]
    assert "write a number in 0..1" in found.faults[1]


def test_captions_in_both_forms(tmp_path: Path) -> None:
    texts = [{"image_id": 7, "id": 1, "caption": "  A cat\n sits. "}, {"image_id": 7, "id": 2, "caption": " "}]
    both = [
        captioner(written(tmp_path / "a.json", {**coco(), "annotations": texts}), "coco_captions"),
        captioner(written(tmp_path / "b.json", texts), "coco_captions", index=tmp_path / "a.json"),
        captioner(written(tmp_path / "c.json", texts), "coco_captions", granularity="detailed"),
    ]
    for made, name in zip(both, ["a.jpg", "x/a.png", "000007.jpg"], strict=True):
        [found] = made.caption([image(name)])
        assert list(found.texts) == ["A cat sits."]
        assert np.isnan(found.scores).all()
        assert len(found.faults) == 1
        assert "empty" in found.faults[0]
    assert found.granularities == ["detailed"]


def test_a_caption_without_an_entry_for_the_image(tmp_path: Path) -> None:
    made = captioner(written(tmp_path / "a.json", {**coco(), "annotations": []}), "coco_captions")
    [found] = made.caption([image("unknown.jpg")])
    assert (list(found.texts), found.scores.shape, found.faults) == ([], (0,), ())


# ---- Pascal VOC ---------------------------------------------------------------------------------------------

VOC = """<annotation><filename>{name}</filename><size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>dog</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></part></object>
{more}</annotation>"""
BAD_OBJECTS = """<object><name>dog</name></object><object><bndbox><xmin>1</xmin></bndbox></object>
<object><name>cat</name><bndbox><xmin>x</xmin><ymin>1</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></object>"""


def test_voc_folder(tmp_path: Path) -> None:
    written(tmp_path / "xml/a.xml", VOC.format(name="a.jpg", more=BAD_OBJECTS))
    written(tmp_path / "xml/sub/a.xml", VOC.format(name="a.jpg", more=""))
    written(tmp_path / "xml/renamed.xml", VOC.format(name="old name.jpg", more=""))
    written(tmp_path / "xml/broken.xml", "<annotation><object>")
    written(tmp_path / "xml/other.xml", "<html/>")
    made = detector(tmp_path / "xml", "voc")
    found = made.detect(
        [image(n) for n in ("a.jpg", "sub/a.jpg", "renamed.png", "broken.jpg", "other.jpg", "none.jpg")]
    )
    for regions in found[:3]:
        assert regions.boxes.tolist() == [[10, 20, 40, 60]]
        assert regions.labels == ["dog"]
    assert [len(regions.faults) for regions in found] == [3, 0, 0, 1, 1, 0]
    assert "not well-formed" in found[3].faults[0]
    assert made.vocabulary() == ("dog",)
    assert len(made.weights()) == 5


@pytest.mark.parametrize("score", ["<score/>", "<score>nan</score>", "<confidence>inf</confidence>"])
def test_a_voc_score_that_is_no_number_is_a_fault(tmp_path: Path, score: str) -> None:
    told = VOC.partition("<object>")[2].partition("<part>")[0] + score
    written(tmp_path / "xml/a.xml", VOC.format(name="a.jpg", more=f"<object>{told}</object>"))
    found = one(detector(tmp_path / "xml", "voc").detect([image("a.jpg")]))
    assert found.scores.tolist() == [1]
    assert "object 2" in found.faults[0]


def test_voc_single_file_is_found_by_the_name_inside(tmp_path: Path) -> None:
    made = detector(written(tmp_path / "labels.xml", VOC.format(name="dog 1.jpg", more="")), "voc")
    assert len(one(made.detect([image("dog 1.jpg")])).labels) == 1


def test_voc_with_multiplying_entities_is_a_fault_and_no_flood(tmp_path: Path) -> None:
    entities = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    written(tmp_path / "xml/a.xml", f"<!DOCTYPE a [{entities}]><annotation><filename>&l9;</filename></annotation>")
    assert len(one(detector(tmp_path / "xml", "voc").detect([image("a.jpg")])).faults) == 1


# ---- YOLO -----------------------------------------------------------------------------------------------------


def test_yolo_folder(tmp_path: Path) -> None:
    written(tmp_path / "labels/a.txt", "1 0.25 0.5 0.3 0.5\n0 0.5 0.5 1 1 0.75\n\n")
    written(tmp_path / "labels/sub/b.txt", "0 0.1 0.25 0.4 0.25 0.4 0.75 0.1 0.75\n")
    written(tmp_path / "labels/empty.txt", "")
    written(tmp_path / "labels/classes.txt", "cat\ndog\n")
    made = detector(tmp_path / "labels", "yolo")
    first, second, empty = made.detect([image("a.jpg"), image("sub/b.jpg"), image("empty.jpg")])
    assert first.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 100, 80]]
    assert first.labels == ["dog", "cat"]
    assert first.scores.tolist() == [1, 0.75]
    np.testing.assert_allclose(second.boxes, [[10, 20, 40, 60]])
    assert second.masks is not None
    assert masks.area([m for m in second.masks if m], 80, 100).tolist() == [30 * 40]
    assert (len(empty.labels), empty.faults) == (0, ())
    assert made.vocabulary() == ("cat", "dog")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 10 20 30 40", "fraction"),
        ("0 0.5 0.5 0.1", "3 numbers"),
        ("0 0.5 0.5 0.1 0.5 0.3 0.5", "no area"),
        ("0 0.5 0.5 0.1 0.1 0.5 0.5 0.5", "7 numbers"),
        ("cat 0.5 0.5 0.1 0.1", "class is 'cat'"),
        ("0 0.5 0.5 nan 0.1", "not a finite number"),
        ("0 0.5 0.5 0.1 0.1 nan", "not a finite number"),
        ("0 0.5 0.5 0.1 0.1 inf", "not a finite number"),
        ("0 0.5 0.5 0.1 0", "no area"),
        ("0 0.5 0.5 0.1 0.1 7", "confidence is 7"),
        ("9 0.5 0.5 0.1 0.1", "no category"),
    ],
)
def test_a_broken_yolo_line_is_a_fault(tmp_path: Path, line: str, reason: str) -> None:
    written(tmp_path / "labels/a.txt", f"0 0.25 0.5 0.3 0.5\n{line}\n")
    found = one(detector(tmp_path / "labels", "yolo", names=["cat"]).detect([image("a.jpg")]))
    assert found.labels == ["cat"]
    assert len(found.faults) == 1
    assert reason in found.faults[0]


@pytest.mark.parametrize("text", ["names: [cat, dog]", "names:\n  1: dog\n  0: cat\n", "nc: 2\nnames: ['cat', 'dog']"])
def test_yolo_names_from_a_data_file(tmp_path: Path, text: str) -> None:
    written(tmp_path / "set/data.yaml", text)
    written(tmp_path / "set/labels/train/a.txt", "1 0.25 0.5 0.3 0.5")
    made = detector(tmp_path / "set/labels/train", "yolo")
    assert one(made.detect([image("a.jpg")])).labels == ["dog"]
    assert [path.name for path in made.weights()] == ["a.txt", "data.yaml"]


def test_yolo_without_names_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "one/two/labels/a.txt", "1 0.25 0.5 0.3 0.5")
    with pytest.raises(ConfigError, match="names ="):
        detector(tmp_path / "one/two/labels", "yolo")
    written(tmp_path / "one/two/labels/data.yaml", "names: {")
    with pytest.raises(ConfigError, match="does not name the classes"):
        detector(tmp_path / "one/two/labels", "yolo")


def test_a_text_file_that_is_not_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_bytes(b"\xff\xfe\x00")
    found = one(detector(tmp_path / "labels", "yolo", names=["cat"]).detect([image("a.jpg")]))
    assert "UTF-8" in found.faults[0]


# ---- Parquet --------------------------------------------------------------------------------------------------


def table(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_regions(tmp_path: Path) -> None:
    mask = masks.encode(np.ones((80, 100), np.bool_))
    columns: dict[str, Any] = {
        s.IMAGE_ID: ["a.jpg", "a.jpg", "a.jpg", "b.jpg", None],
        s.X0: [1.0, 2.0, None, 0.0, 0.0],
        s.Y0: [1.0, 2.0, 3.0, 0.0, 0.0],
        s.X1: [9.0, 2.0, 9.0, 9.0, 9.0],
        s.Y1: [9.0, 9.0, 9.0, 9.0, 9.0],
        s.LABEL: ["cat", "cat", "cat", "dog", "dog"],
        s.SCORE: [0.5, 0.5, 0.5, 0.25, 0.1],
        s.MASK: [mask, None, None, None, None],
        "unheard_of": [1, 2, 3, 4, 5],
    }
    path = table(tmp_path / "r.parquet", **columns)
    made = detector(path, "parquet")
    first, second = made.detect([image("a.jpg"), image("b.jpg")])
    assert first.boxes.tolist() == [[1, 1, 9, 9]]
    assert first.masks == [mask]
    assert len(first.faults) == 2
    assert second.scores.tolist() == [0.25]
    assert made.vocabulary() == ("cat", "dog")
    assert any("1 entries" in message for message in made.survey(["a.jpg", "b.jpg"]))
    del columns[s.SCORE]
    with pytest.raises(ConfigError, match="'score'"):
        detector(table(tmp_path / "no_score.parquet", **columns), "parquet")
    gold = detector(tmp_path / "no_score.parquet", "parquet", gold=True)
    assert one(gold.detect([image("b.jpg")])).scores.tolist() == [1]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
@pytest.mark.parametrize("column", [s.X1, s.SCORE])
def test_a_parquet_box_or_score_that_is_no_number_is_a_fault(tmp_path: Path, column: str, value: float | None) -> None:
    columns: dict[str, Any] = {name: [1.0, 9.0] for name in (s.X0, s.Y0)}
    columns |= {s.IMAGE_ID: ["a.jpg"] * 2, s.LABEL: ["cat"] * 2, s.X1: [20.0] * 2, s.Y1: [20.0] * 2}
    columns |= {s.SCORE: [0.5] * 2}
    columns[column] = [columns[column][0], value]
    found = one(detector(table(tmp_path / "r.parquet", **columns), "parquet").detect([image("a.jpg")]))
    assert found.boxes.tolist() == [[1, 1, 20, 20]]
    assert "row 2" in found.faults[0]
    assert column in found.faults[0]


def test_parquet_texts(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet",
        **{
            s.IMAGE_ID: [5, 5, 5, 5],
            s.TEXT: ["a cat", "", "a dog", "a fox"],
            s.GRANULARITY: ["brief", "brief", "long", None],
            s.SCORE: [0.5, 0.5, 0.5, float("nan")],
        },
    )
    [found] = captioner(path, "parquet", granularity="detailed").caption([image("5.jpg")])
    assert (list(found.texts), found.granularities) == (["a cat", "a fox"], ["brief", "detailed"])
    assert np.isnan(found.scores[1])
    assert len(found.faults) == 2


def test_parquet_readings(tmp_path: Path) -> None:
    path = table(
        tmp_path / "q.parquet",
        **{
            s.IMAGE_ID: ["a", "a", "a"],
            # From the bottom right, counter-clockwise; beyond the border; too few numbers.
            s.QUAD: [[30.0, 20, 30, 10, 5, 10, 5, 20], [200.0, 0, 210, 0, 210, 9, 200, 9], [1.0, 2]],
            s.TEXT: ["STOP", "GO", "NO"],
            s.SCORE: [0.5, 0.5, 0.5],
        },
    )
    made = RecordedReader(RecordedConfig(path=path, format="parquet"))
    [found] = made.read([image("a.png")])
    assert found.quads.tolist() == [[5, 10, 30, 10, 30, 20, 5, 20]]
    assert list(found.texts) == ["STOP"]
    assert len(found.faults) == 2


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        detector(written(tmp_path / "r.parquet", "PAR1 but not really"), "parquet")


# ---- configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "more", "message"),
    [
        (RecordedDetector, {"format": "coco_captions"}, "cannot be read"),
        (RecordedCaptioner, {"format": "coco"}, "coco_captions, parquet"),
        (RecordedReader, {"format": "voc"}, "parquet"),
        (RecordedDetector, {"format": "coco_results"}, "index ="),
        (RecordedDetector, {"format": "voc", "index": "x.json"}, "index"),
        (RecordedDetector, {"format": "coco", "names": ["cat"]}, "names"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[Any], Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(RecordedConfig(path=Path("x"), **more))


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "parquet"])
def test_a_missing_file_is_named(tmp_path: Path, format: str) -> None:
    with pytest.raises(WeightsMissing, match=r"not\.there"):
        detector(tmp_path / "not.there", format, **({"names": ["cat"]} if format == "yolo" else {}))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"holds no \.xml"):
        detector(tmp_path, "voc")


def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = written(tmp_path / "file", "not a folder")
    monkeypatch.setenv("FLD_CACHE", str(blocked / "cache"))
    with pytest.raises(ConfigError, match="FLD_CACHE"):
        detector(written(tmp_path / "t.json", coco()), "coco")


# ---- whose records ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "asked", "fits"),
    [
        ("a.jpg", "a.jpg", True),
        ("a.jpg", "a", True),
        ("a.jpg", "sub/a.jpg", True),
        ("a.jpg", "sub/a", True),
        ("train2017/a.jpg", "a.jpg", True),
        ("train2017/a.jpg", "coco/train2017/a.png", True),
        ("train2017/a.jpg", "val2017/a.jpg", False),
        ("/home/x/pictures/a.jpg", "a.jpg", True),
        ("..\\pictures\\a.JPG", "pictures/a.jpg", True),
        ("a.jpg", "aa.jpg", False),
        ("xa.jpg", "a.jpg", False),
        ("a.v2.jpg", "a.v2", True),
        ("a.v2.jpg", "a", False),
        ("a.jpg", "a.jpg/b", False),
        ("000000000007.jpg", "7", True),
        ("holiday.jpg", "7", True),
        ("000000000008.jpg", "7", False),
        ("a.jpg", "", False),
        ("ä b.jpg", "ä b.jpg", True),
        ("a.jpg", "\udcff.jpg", False),
    ],
)
def test_names(tmp_path: Path, recorded: str, asked: str, fits: bool) -> None:
    truth = coco([{"id": 7, "file_name": recorded}, {"id": 99, "file_name": "zzz/other.jpg"}], [box()])
    found = one(detector(written(tmp_path / "t.json", truth), "coco").detect([image(asked)]))
    assert (len(found.labels) == 1) is fits


def test_the_fuller_name_wins_and_ambiguity_is_told(tmp_path: Path) -> None:
    entries = ["train/a.jpg", "val/a.jpg", "b.jpg", "b.png", "c.jpg", "x/c.jpg"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(entries)]
    records = [box(image_id=i, bbox=[0, 0, i + 1, 1]) for i in range(len(entries))]
    made = detector(written(tmp_path / "t.json", coco(images, records)), "coco")
    asked = ["train/a.jpg", "deep/val/a.png", "a.jpg", "b.jpg", "b.png", "b", "c.jpg", "x/c", "y/c.jpg"]
    found = made.detect([image(name) for name in asked])
    assert [r.boxes[0, 2] if len(r.boxes) else None for r in found] == [1, 2, None, 3, 4, None, 5, 6, 5]
    assert [len(r.faults) for r in found] == [0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert "'train/a.jpg', 'val/a.jpg'" in found[2].faults[0]
    told = "\n".join(made.survey(asked))
    assert "2 images fit several records" in told
    assert "1 images share their records" in told


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.lists(st.sampled_from("abc"), min_size=1, max_size=4)
)
def test_keys_compare_tails(left: list[str], right: list[str]) -> None:
    a, b = names.backwards("/".join(left)), names.backwards("/".join(right))
    is_tail = len(left) < len(right) and right[-len(left) :] == left
    assert (a in names.tails(b)) is is_tail
    assert (b > a + "/" and b < a + "0") is is_tail


def test_survey_counts_both_sides(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(5)]
    records = [box(image_id=i) for i in range(5) for _ in range(3)]
    made = detector(written(tmp_path / "t.json", coco(images, records)), "coco")
    assert made.survey(f"{i}.jpg" for i in range(5)) == []
    told = made.survey(["0.jpg", "1.jpg", "x.jpg"])
    assert any("1 images of 3 are not in" in m and "x.jpg" in m for m in told)
    assert any("3 images of" in m and "9 records" in m for m in told)


# ---- the index --------------------------------------------------------------------------------------------------------


def test_the_index_is_built_once_and_follows_the_content(tmp_path: Path, own_cache: Path) -> None:
    path = written(tmp_path / "t.json", coco(annotations=[box()]))
    assert len(one(detector(path, "coco").detect([image("a.jpg")])).labels) == 1
    [index] = own_cache.iterdir()
    stamp = index.stat().st_mtime_ns
    detector(path, "coco")
    assert [f.stat().st_mtime_ns for f in own_cache.iterdir()] == [stamp]
    written(path, coco(annotations=[box(), box()]))
    assert len(one(detector(path, "coco").detect([image("a.jpg")])).labels) == 2


def test_what_a_killed_build_leaves_is_not_an_index(tmp_path: Path, own_cache: Path) -> None:
    path = written(tmp_path / "t.json", coco(annotations=[box()]))
    detector(path, "coco")
    [index] = own_cache.iterdir()
    index.rename(index.with_name(index.name + ".0123.tmp"))
    (own_cache / (index.name + ".0123.tmp")).write_bytes(b"half")
    assert len(one(detector(path, "coco").detect([image("a.jpg")])).labels) == 1


def test_a_damaged_index_is_made_again(tmp_path: Path, own_cache: Path) -> None:
    path = written(tmp_path / "t.json", coco(annotations=[box()]))
    detector(path, "coco")
    [index] = own_cache.iterdir()
    index.write_bytes(b"not a database, but long enough to be read as one" * 100)
    assert len(one(detector(path, "coco").detect([image("a.jpg")])).labels) == 1


def _open(path: Path) -> int:
    return len(detector(path, "coco").detect([image("a.jpg")])[0].labels)


def test_processes_may_race(tmp_path: Path, own_cache: Path) -> None:
    path = written(tmp_path / "t.json", coco(annotations=[box(id=i) for i in range(3000)]))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_open, [path] * 6) == [3000] * 6
    assert [file.suffix for file in own_cache.iterdir()] == [".sqlite"]


def test_it_travels_before_and_after_load(tmp_path: Path) -> None:
    made = detector(written(tmp_path / "t.json", coco(annotations=[box()])), "coco")
    again = pickle.loads(pickle.dumps(made))
    assert len(one(again.detect([image("a.jpg")])).labels) == 1


# ---- the shared COCO sample ----------------------------------------------------------------------------------------------


def test_coco50_whole() -> None:
    folder = SHARED / "coco50"
    if not folder.is_dir():
        pytest.skip("needs the shared COCO sample (../shared/data/coco50)")
    truth = json.loads((folder / "instances.json").read_text())
    images = [image(i["file_name"], i["width"], i["height"]) for i in truth["images"]]
    made = detector(folder / "instances.json", "coco", gold=True)
    found = made.detect(images)
    assert made.survey(i.image_id for i in images) == []
    assert sum(len(r.labels) for r in found) == len(truth["annotations"])
    for entry, regions in zip(truth["images"], found, strict=True):
        mine = [a for a in truth["annotations"] if a["image_id"] == entry["id"]]
        corners = [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in mine)]
        np.testing.assert_allclose(regions.boxes, np.reshape(corners, (-1, 4)), atol=0.01)
        areas = masks.area([m for m in regions.masks or [] if m], entry["height"], entry["width"])
        np.testing.assert_allclose(areas, [a["area"] for a in mine], rtol=0.15, atol=60)
        assert (regions.crowd.tolist() if regions.crowd is not None else []) == [bool(a["iscrowd"]) for a in mine]
    texts = captioner(folder / "captions.json", "coco_captions").caption(images)
    assert sum(len(t.texts) for t in texts) == 250


def test_coco100_results() -> None:
    folder = SHARED / "coco100"
    if not folder.is_dir():
        pytest.skip("needs the shared COCO results (../shared/data/coco100)")
    index = folder / "instances_val2014_100.json"
    images = [image(i["file_name"], i["width"], i["height"]) for i in json.loads(index.read_text())["images"]]
    for kind in ("bbox", "segm"):
        made = detector(folder / f"instances_val2014_fake{kind}100_results.json", "coco_results", index=index)
        found = made.detect(images)
        assert sum(len(r.labels) for r in found) == 734
        assert [fault for r in found for fault in r.faults] == []
        assert all((r.masks is not None) is (kind == "segm") for r in found if len(r.labels))
