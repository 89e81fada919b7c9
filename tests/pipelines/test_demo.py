"""The demo's photographs are there, and what was drawn in them fits them."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.errors import UserError
from pipelines.demo import collect

RECORDS = files("pipelines") / "demo"


def recorded(name: str) -> Any:
    return json.loads((RECORDS / name).read_text(encoding="utf-8"))


def test_collects_the_same_photographs_again(tmp_path: Path) -> None:
    assert collect(tmp_path / "photographs") == 3
    before = {path.name: path.read_bytes() for path in (tmp_path / "photographs").iterdir()}
    assert collect(tmp_path / "photographs") == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "photographs").iterdir()} == before
    assert sorted(before) == ["bus.jpg", "grace_hopper.jpg", "zidane.jpg"]


@pytest.mark.parametrize("name", ["eye_a.json", "eye_b_index.json", "captions.json"])
def test_every_file_says_what_it_is_and_fits_the_photographs(name: str, tmp_path: Path) -> None:
    collect(tmp_path)
    data = recorded(name)
    assert "by eye for the demo" in data["info"]["description"]
    for entry in data["images"]:
        with Image.open(tmp_path / entry["file_name"]) as image:
            assert image.size == (entry["width"], entry["height"])


@pytest.mark.parametrize(("records", "index"), [("eye_a.json", "eye_a.json"), ("eye_b.json", "eye_b_index.json")])
def test_every_box_lies_in_its_photograph_and_has_a_name(records: str, index: str) -> None:
    known = recorded(index)
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in known["images"]}
    names = {entry["id"] for entry in known["categories"]}
    data = recorded(records)
    boxes = data["annotations"] if isinstance(data, dict) else data
    assert boxes
    for entry in boxes:
        x, y, width, height = entry["bbox"]
        right, bottom = sizes[entry["image_id"]]
        assert 0 <= x < x + width <= right
        assert 0 <= y < y + height <= bottom
        assert entry["category_id"] in names
        assert 0 < entry["score"] < 1


def test_a_folder_that_cannot_be_made_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another folder"):
        collect(tmp_path / "file" / "below")
