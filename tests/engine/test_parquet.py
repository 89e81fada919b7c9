"""Published files: the schema that people script against, and bytes that depend on the table alone."""

import hashlib

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from engine import schema as s
from engine.errors import StoreError
from engine.parquet import footer_of, from_bytes, to_bytes

BOX = "x0: float y0: float x1: float y1: float"
VOTE = (
    "list<element: struct<specialist: string, label: string, score: float, x0: float, y0: float, x1: float, y1: float>>"
)
CANDIDATE = "list<element: struct<text: string, granularity: string, specialist: string, similarity: float>>"
# Written out by hand from the design: changing this is changing what users' queries see.
SNAPSHOT = {
    "images": (
        "image_id: string uri: string sha256: string phash: uint64 width: int32 height: int32 format: string meta: string"
    ),
    "text": (
        "image_id: string text_id: string granularity: string text: string specialist: string similarity: float "
        "confidence: float n_tokens: int32 n_objects: int32 n_attributes: int32 n_actions: int32 n_proper_nouns: int32 "
        "object_complexity: float action_complexity: float "
        "votes: list<element: struct<specialist: string, score: float>> round: int32"
    ),
    "region_text": (
        f"image_id: string region_id: string kind: string {BOX} quad: list<element: float> mask: string label: string "
        f"text: string granularity: string similarity: float candidates: {CANDIDATE} confidence: float "
        f"basis: string votes: {VOTE} "
        "n_eligible: int32 round: int32"
    ),
    "text_phrase_region": (
        f"image_id: string text_id: string phrase_id: string phrase: string start: int32 end: int32 phrase_score: float "
        f"{BOX} mask: string region_id: string confidence: float votes: {VOTE} round: int32"
    ),
    "rejected": (
        "image_id: string family: string stage: string reason: string value: double threshold: double item: string"
    ),
}


@pytest.mark.parametrize("name", SNAPSHOT)
def test_schema_snapshot(name):
    found = " ".join(f"{f.name}: {f.type}" for f in s.PUBLISHED[name]).replace("item: struct", "element: struct")
    assert found.replace("list<item:", "list<element:") == SNAPSHOT[name]


@pytest.mark.parametrize("name", SNAPSHOT)
def test_an_empty_shard_unions_with_a_full_one_everywhere(name, tmp_path):
    schema = s.PUBLISHED[name]
    full = pa.Table.from_pylist([_row(schema)], schema=schema)
    (tmp_path / "0.parquet").write_bytes(to_bytes(schema.empty_table(), {}))
    (tmp_path / "1.parquet").write_bytes(to_bytes(full, {}))
    pattern = str(tmp_path / "*.parquet")
    assert duckdb.sql(f"SELECT * FROM read_parquet('{pattern}')").fetchall()[0][0] == "a"
    assert pl.read_parquet(pattern).height == 1
    assert ds.dataset(str(tmp_path)).to_table().num_rows == 1
    assert pq.read_table(str(tmp_path)).schema.remove_metadata() == schema


def _row(schema):
    samples = {pa.string(): "a", pa.int32(): 1, pa.uint64(): 2**63, pa.float32(): 0.5, pa.float64(): 0.25}
    return {f.name: samples.get(f.type) for f in schema}


def test_the_same_table_gives_the_same_bytes_and_floats_are_split():
    schema = s.REGION_TEXT
    table = pa.Table.from_pylist([_row(schema)] * 3, schema=schema)
    footer = {"b": 1, "a": [1, 2]}
    one = to_bytes(table, footer)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 2)])
    assert hashlib.sha256(to_bytes(chunked, dict(reversed(footer.items())))).digest() == hashlib.sha256(one).digest()
    assert footer_of(one) == footer
    assert from_bytes(one).schema == schema
    group = pq.read_metadata(pa.BufferReader(one)).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "BYTE_STREAM_SPLIT" in columns["x0"].encodings
    assert columns["x0"].compression == "ZSTD"
    assert columns["x0"].has_column_index and columns["x0"].has_offset_index
    assert group.sorting_columns[0].column_index == 0


def test_strangers_files_are_refused():
    with pytest.raises(StoreError, match="not a Parquet file"):
        from_bytes(b"PAR1 nonsense")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1]}), sink)
    with pytest.raises(StoreError, match="footer"):
        footer_of(sink.getvalue().to_pybytes())
