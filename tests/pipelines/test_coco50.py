"""Fifty real photographs with COCO's boxes and captions as recorded specialists, and real OCR."""

import json
from collections import Counter
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest

from engine import schema as s
from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.query import sql
from pipelines.verify import verify
from tests.shared_data import need

CONFIG = Path(__file__).resolve().parents[2] / "examples" / "coco50.toml"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    images = need("coco50/images")
    folder = tmp_path_factory.mktemp("coco50") / "out"
    options = Options(executor="local", shard_size=20, say=lambda _: None)
    summary = build(str(images), str(folder), load_config(str(CONFIG), None), options)
    assert (summary.images, summary.quarantined) == (50, 0)
    return str(folder)


def test_everything_holds(out):
    assert verify(out) == []
    assert sql(out, "SELECT count(*) FROM images").rows == [(50,)]


def test_every_caption_is_published_or_rejected_with_a_reason(out):
    given = Counter(a["caption"] for a in json.loads(need("coco50/captions.json").read_text())["annotations"])
    kept = sql(out, "SELECT text FROM text WHERE specialist = 'coco'").rows
    lost = sql(out, "SELECT item->>'text' FROM rejected WHERE stage = 'texts'").rows
    assert sum(given.values()) == 250
    assert Counter(" ".join(t.split()) for (t,) in [*kept, *lost]) == Counter(
        " ".join(t.split()) for t in given.elements()
    )
    assert len(lost) <= 250 * 0.05


def test_every_coco_box_is_a_vote_of_a_region_or_of_a_rejection(out):
    truth = json.loads(need("coco50/instances.json").read_text())
    names = {i["id"]: i["file_name"] for i in truth["images"]}
    words = {c["id"]: c["name"] for c in truth["categories"]}
    given = Counter((names[a["image_id"]], words[a["category_id"]]) for a in truth["annotations"])
    kept = sql(
        out,
        "SELECT image_id, v.label FROM (SELECT image_id, unnest(votes) AS v FROM region_text WHERE kind = 'object')",
    )
    lost = sql(
        out,
        "SELECT image_id, v->>'label', reason FROM (SELECT image_id, reason, unnest(CAST(item->'votes' AS JSON[])) AS v "
        "FROM rejected WHERE stage = 'regions' AND item->>'kind' = 'object')",
    )
    assert sum(given.values()) == 470
    assert Counter(kept.rows) + Counter((image, label) for image, label, _ in lost.rows) == given
    assert {reason for _, _, reason in lost.rows} <= {"crowd"}
    crowds = sum(a["iscrowd"] for a in truth["annotations"])
    assert len(lost.rows) == crowds
    # A region for every box that a person drew, at the place where it was drawn.
    found = sql(out, "SELECT image_id, x0, y0, x1, y1 FROM region_text WHERE kind = 'object'").rows
    boxes = [(names[a["image_id"]], *_corners(a["bbox"])) for a in truth["annotations"] if not a["iscrowd"]]
    assert sorted((i, *(round(v) for v in b)) for i, *b in found) == sorted(
        (i, *(round(v) for v in b)) for i, *b in boxes
    )


def _corners(box):
    x, y, w, h = box
    return x, y, x + w, y + h


def test_phrases_are_grounded_in_most_images_and_writing_is_read(out):
    rows = sql(out, "SELECT count(DISTINCT image_id) FROM text_phrase_region").rows
    assert rows[0][0] >= 40
    words = {t.upper() for (t,) in sql(out, "SELECT text FROM region_text WHERE kind = 'text'").rows}
    assert {"BURGER KING", "CHEVROLET", "CREAM"} <= words  # read by eye in the photographs


def test_captions_of_images_with_more_than_two_people(out):
    query = (
        "SELECT t.image_id, t.text FROM text t JOIN (SELECT image_id FROM region_text WHERE label = 'person' "
        "AND kind = 'object' GROUP BY 1 HAVING count(*) > 2) USING (image_id) WHERE t.granularity = 'brief'"
    )
    truth = json.loads(need("coco50/instances.json").read_text())
    names = {i["id"]: i["file_name"] for i in truth["images"]}
    person = next(c["id"] for c in truth["categories"] if c["name"] == "person")
    people = Counter(
        names[a["image_id"]] for a in truth["annotations"] if a["category_id"] == person and not a["iscrowd"]
    )
    found = sql(out, query).rows
    assert {image for image, _ in found} == {image for image, n in people.items() if n > 2}


@pytest.mark.parametrize("table", s.PUBLISHED)
def test_any_reader_opens_the_tables_without_help(out, table, tmp_path):
    import datasets

    pattern = f"{out}/{table}/*.parquet"
    count = duckdb.sql(f"SELECT count(*) FROM '{pattern}'").fetchall()[0][0]
    assert count > 0
    assert pl.read_parquet(pattern).height == count
    assert ds.dataset(f"{out}/{table}").to_table().num_rows == count
    loaded = datasets.load_dataset("parquet", data_files=pattern, split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == count
    assert loaded.column_names == s.PUBLISHED[table].names
