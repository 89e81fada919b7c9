"""Copies among all images: shards come one after another, go to disk, and come back with their names."""

import tempfile

import numpy as np
import pyarrow as pa
import pytest

from engine import schema as s
from engine.graph import Batch
from filters.registry import choose
from pipelines.decide.images import ImageFilterConfig, NearDuplicatesConfig
from pipelines.stages import copies
from pipelines.stages.copies import near_duplicate_images

NEAR = ImageFilterConfig(
    checks=choose("images", {}),
    near_duplicates=NearDuplicatesConfig(max_distance=2),
)
SEEN = {s.WIDTH: 640, s.HEIGHT: 480, s.BYTES: 1000, s.CONTRAST: 50.0, s.TAIL: 0.0, s.TAIL_COLOUR: 0, s.META: "{}"}


def shard(*images):
    """Images as (id, hash) or (id, hash, other columns)."""
    rows = [SEEN | {s.IMAGE_ID: name, s.PHASH: word} | dict(*more) for name, word, *more in images]
    return Batch(pa.Table.from_pylist(rows, schema=s.INGESTED), {}, lambda uri: np.zeros((1, 1, 3), np.uint8))


SHARDS = [
    shard(("a", 0), ("b", 0xF0F0F0F0), ("c", 0xF0F0F0F0, {s.CONTRAST: 0.0})),
    shard(),
    shard(("d", 0b11), ("e", 0xF0F0F0F1, {s.BYTES: 1001})),
    shard(("f", 0xFF000000000000), ("g", 0b1, {s.WIDTH: 641}), ("h", 0xF0F0F0F7)),
]
# g has the most pixels; e is a larger file than b; c is rejected for itself; h is two bits from e, three from b.
EXPECTED = [("a", "g", 1.0), ("b", "e", 1.0), ("d", "g", 1.0), ("h", "e", 2.0)]


@pytest.mark.parametrize("names_at_once", [1, 3, 1 << 20])
def test_copies_and_what_they_copy_by_name(monkeypatch, names_at_once):
    monkeypatch.setattr(copies, "_SOME", names_at_once)
    found = near_duplicate_images(iter(SHARDS), NEAR)
    assert found.schema == s.COPIES
    assert list(zip(*found.to_pydict().values(), strict=True)) == EXPECTED


@pytest.mark.parametrize("shards", [[], [shard()], SHARDS[:1]])
def test_none_where_there_are_none(shards):
    assert near_duplicate_images(iter(shards), NEAR) == s.COPIES.empty_table()


def test_nothing_stays_on_disk_even_when_a_shard_cannot_be_read(monkeypatch, tmp_path):
    def broken():
        yield SHARDS[0]
        assert list(tmp_path.iterdir())  # its columns wait here
        raise OSError("the disk went away")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="the disk went away"):
        near_duplicate_images(broken(), NEAR)
    assert not list(tmp_path.iterdir())
