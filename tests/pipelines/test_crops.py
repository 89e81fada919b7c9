"""A captioner of crops and a scorer of somebody else's, by entry point: the part of the graph that no shipped one fills."""

import pytest

from pipelines.build import Options, build
from pipelines.config import load_config
from pipelines.query import sql
from pipelines.verify import verify
from tests.pipelines.plugins import CROPS, installed
from tests.pipelines.scenes import write_scenes

CONFIG = '\n[captioners.wordy]\nuses = "wordy"\n[scorers.fond]\nuses = "fond_of_fur"\n[segmenters]\n[writers]\n'


@pytest.fixture
def plugin(tmp_path):
    with installed(tmp_path / "site", CROPS):
        yield


def test_the_candidate_most_similar_to_its_crop_is_chosen(tmp_path, plugin):
    root = write_scenes(tmp_path, 3, extra=CONFIG)
    out = str(root / "out")
    options = Options(executor="local", say=lambda _: None)
    summary = build(str(root / "images"), out, load_config(str(root / "config.toml"), None), options)
    assert summary.quarantined == 0
    assert verify(out) == []
    # The chunk is the shortest text with "furry" in it.
    rows = sql(out, "SELECT DISTINCT text, granularity, similarity > 0, len(candidates) FROM region_text").rows
    assert rows == [("a furry animal", "chunk", True, 4)]
    said = sql(
        out,
        "SELECT c.text, c.granularity, c.specialist, count(*) FROM (SELECT unnest(candidates) AS c FROM region_text "
        "WHERE label = 'dog') GROUP BY ALL ORDER BY ALL",
    ).rows
    assert said == [
        ("a furry animal", "chunk", "wordy", 3),
        ("a furry animal on the green grass", "brief", "wordy", 3),
        ("dog", "phrase", None, 3),
        ("the green grass", "chunk", "wordy", 3),
    ]
    scored = sql(out, "SELECT specialist, min(similarity) > 0 FROM text GROUP BY 1 ORDER BY 1").rows
    assert scored == [("words", False), ("wordy", True)]
