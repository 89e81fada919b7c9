"""Images that are rejected: from files to the published tables, with all that is said about them."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
import simplejpeg

from engine.phash import hamming, phash
from pipelines.build import Options, build, retry
from pipelines.config import load_config
from pipelines.stats import stats
from pipelines.status import status
from pipelines.verify import verify
from tests.pipelines.scenes import write_scenes

COUNT, SHARD = 6, 2
BLANK, TORN, COPY, LARGER = "0002", "0003", "0004", "0005"  # what the images of these names are made into
FIVE = ("images", "text", "region_text", "text_phrase_region", "rejected")


def pixels(root: Path, name: str) -> np.ndarray:
    return simplejpeg.decode_jpeg((root / "images" / f"{name}.jpg").read_bytes())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Six images: one of one colour, one that broke off, and two copies of 0001, one of them larger."""
    root = write_scenes(tmp_path_factory.mktemp("images"), COUNT)
    rng = np.random.default_rng(0)
    for n in range(COUNT):  # smooth, so that JPEG leaves the hash alone
        cells = rng.integers(0, 256, (6, 8, 3), np.uint8)
        save(root, f"{n:04d}", cells.repeat(16, axis=0).repeat(16, axis=1))
    save(root, BLANK, np.full((96, 128, 3), (30, 90, 200), np.uint8))
    save(root, COPY, pixels(root, "0001"), quality=60)
    for said in ("one", "two", "captions"):  # whoever was recorded saw it as large as it is
        content = json.loads((root / f"{said}.json").read_text())
        content["images"][int(LARGER)] |= {"width": 256, "height": 192}
        (root / f"{said}.json").write_text(json.dumps(content))
    save(root, LARGER, np.repeat(np.repeat(pixels(root, "0001"), 2, axis=0), 2, axis=1), quality=80)
    data = (root / "images/0001.jpg").read_bytes()
    save(root, TORN, simplejpeg.decode_jpeg(data[: len(data) * 9 // 10], strict=False))
    return root


def save(root: Path, name: str, picture: np.ndarray, quality: int = 95) -> None:
    (root / "images" / f"{name}.jpg").write_bytes(simplejpeg.encode_jpeg(picture, quality=quality))


def go(root: Path, out: Path, *settings: str):
    config = load_config(str(root / "config.toml"), None, settings)
    return build(str(root / "images"), str(out), config, Options("local", shard_size=SHARD, say=lambda _: None))


def rows(out: Path, table: str, columns: str = "*", where: str = "true") -> list[tuple]:
    query = f"SELECT {columns} FROM read_parquet('{out}/{table}/*.parquet') WHERE {where} ORDER BY ALL"
    return duckdb.sql(query).fetchall()


def ids(out: Path, table: str) -> set[str]:
    return {image.removesuffix(".jpg") for (image,) in rows(out, table, "image_id")}


NAMES = {f"{n:04d}" for n in range(COUNT)}
NEAR = "filters.images.near_duplicates.max_distance=4"


def test_a_rejected_image_leaves_with_all_its_annotations_and_is_rejected_once(scenes, tmp_path):
    out = tmp_path / "out"
    go(scenes, out)
    for table in ("images", "text", "region_text"):
        assert ids(out, table) == NAMES - {BLANK, TORN}
    found = rows(out, "rejected", "image_id, stage, family, reason, threshold, item", "reason <> 'quarantined'")
    assert [row[:5] for row in found if row[0][:4] in (BLANK, TORN)] == [
        (f"{BLANK}.jpg", "images", "images", "blank", 2.0),
        (f"{TORN}.jpg", "images", "images", "torn", 0.05),
    ]
    assert json.loads(found[0][-1]) == {"uri": str(scenes / "images" / f"{BLANK}.jpg")}
    assert verify(str(out)) == []
    counted = {row["reason"]: row["count"] for row in stats(str(out))["rejected"] if row["stage"] == "images"}
    assert counted == {"blank": 1, "torn": 1}


def test_copies_are_found_across_shards_and_only_decisions_are_made_anew(scenes, tmp_path):
    out = tmp_path / "out"
    go(scenes, out)
    shards = -(-COUNT // SHARD)
    assert go(scenes, out, NEAR).jobs_run == 1 + 2 * shards  # near_duplicates, and images and publish of each shard
    assert ids(out, "images") == ids(out, "region_text") == NAMES - {BLANK, TORN, COPY, "0001"}
    own = "reason = 'near-duplicate'"
    found = rows(out, "rejected", "image_id, stage, value, threshold, item", own)
    hashes = {name: phash(pixels(scenes, name)) for name in NAMES}
    assert [(image, stage, value, limit) for image, stage, value, limit, _ in found] == [
        (f"{name}.jpg", "images", hamming(hashes[name], hashes[LARGER]), 4) for name in ("0001", COPY)
    ]
    assert all(json.loads(item)["copy_of"] == f"{LARGER}.jpg" for *_, item in found)
    assert verify(str(out)) == []
    # A limit that is changed runs no specialist either; what it lets through takes part in the search.
    assert go(scenes, out, NEAR, "filters.images.checks.torn.enabled=false").jobs_run == 1 + 2 * shards
    assert status(str(out))["jobs"]["todo"] == 0
    clean = tmp_path / "clean"
    go(scenes, clean, NEAR, "filters.images.checks.torn.enabled=false")
    assert [(out / t / "00001.parquet").read_bytes() for t in FIVE] == [
        (clean / t / "00001.parquet").read_bytes() for t in FIVE
    ]


def test_images_in_quarantine_are_quarantined_and_nobody_s_copy(scenes, tmp_path):
    root, out = tmp_path / "root", tmp_path / "out"
    shutil.copytree(scenes, root)
    broken = root / "images" / f"{LARGER}.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert go(root, out, NEAR).quarantined == 1
    assert rows(out, "rejected", "image_id, reason", f"image_id = '{LARGER}.jpg'") == [(f"{LARGER}.jpg", "quarantined")]
    assert ids(out, "images") == NAMES - {BLANK, TORN, COPY, LARGER}
    # Mended, it is published; the copies that were chosen stand, as everything that was learned does.
    broken.write_bytes(whole)
    retry(str(out), Options("local", say=lambda _: None))
    assert ids(out, "images") == NAMES - {BLANK, TORN, COPY}
    assert verify(str(out)) == []
