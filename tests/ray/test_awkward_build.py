"""93 broken, odd and hostile image files through a whole build on Ray."""

import pytest

from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.query import sql
from pipelines.status import status
from pipelines.verify import verify
from tests.shared_data import need


def test_every_awkward_file_is_annotated_or_explained(tmp_path):
    images = need("awkward_images")
    peak = 0

    def watch(counts):
        nonlocal peak
        peak = max(peak, counts.peak_memory)

    options = Options(executor="ray", workers=2, shard_size=32, say=lambda _: None, observe=watch)
    summary = build(str(images), str(tmp_path / "out"), load_config(None, "default"), options)
    files = {p.name for p in images.iterdir()}
    seen = {image for (image,) in sql(str(tmp_path / "out"), "SELECT image_id FROM images").rows}
    query = "SELECT image_id FROM rejected WHERE stage = 'images'"
    rejected = {image for (image,) in sql(str(tmp_path / "out"), query).rows}
    lost = status(str(tmp_path / "out"))["quarantine"]
    assert summary.images == len(files) == 93
    assert seen | rejected | {row["image_id"] for row in lost} == files
    assert not seen & rejected
    assert not seen & {row["image_id"] for row in lost if row["stage"] == "ingest"}
    for row in lost:
        assert row["error"] == "ImageError", row
        assert len(row["message"].split()) >= 4, row  # a sentence, not a code
    assert verify(str(tmp_path / "out")) == []
    assert 0 < peak <= 2 * 2**30


@pytest.mark.parametrize("executor", ["local"])
def test_an_fsspec_store_and_source_work_alike(tmp_path, executor):
    """memory:// lives in one process, so this is the local executor's; the code path is that of S3."""
    import fsspec

    from tests.pipelines.scenes import write_scenes

    root = write_scenes(tmp_path, 6)
    memory = fsspec.filesystem("memory")
    for file in (root / "images").iterdir():
        memory.pipe_file(f"/in-{tmp_path.name}/{file.name}", file.read_bytes())
    config = load_config(str(root / "config.toml"), None)
    options = Options(executor=executor, shard_size=4, say=lambda _: None)
    out = f"memory://out-{tmp_path.name}"
    summary = build(f"memory://in-{tmp_path.name}", out, config, options)
    assert (summary.images, summary.quarantined) == (6, 0)
    assert build(f"memory://in-{tmp_path.name}", out, config, options).jobs_run == 0
    assert sql(out, "SELECT count(*) FROM images").rows == [(6,)]
    assert verify(out) == []
