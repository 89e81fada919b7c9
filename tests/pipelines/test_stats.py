"""`fld stats` on published folders written by hand; every expected number is worked out in the test's own words."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from engine import schema as s
from engine.errors import OutError
from engine.parquet import canonical, to_bytes
from engine.publish import Marker
from engine.store import open_store
from pipelines.stats import render, stats

Rows = dict[str, list[dict[str, Any]]]


def publish(out: Path, *shards: Rows) -> str:
    """Write shards as `engine.publish` does: tables first, then the marker."""
    store = open_store(str(out))
    store.prepare()
    for number, rows in enumerate(shards):
        marker = Marker(f"{number:05d}-0123abcd", "feedbeef", 0)
        for name, schema in s.PUBLISHED.items():
            table = pa.Table.from_pylist(rows.get(name, []), schema=schema)
            store.put(marker.table(name), to_bytes(table, {}))
        store.put(marker.path, canonical({"shard": marker.shard, "tables": {}}).encode())
    return str(out)


def image(name: str, width: int = 100, height: int = 100) -> dict[str, Any]:
    return {s.IMAGE_ID: name, s.WIDTH: width, s.HEIGHT: height}


def box(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return dict(zip(s.BOX, (x0, y0, x1, y1), strict=True))


def vote(who: str, label: str, *corners: float) -> dict[str, Any]:
    return {s.SPECIALIST: who, s.LABEL: label, s.SCORE: 0.5, **box(*corners)}


def said(text: str, kind: str, similarity: float | None = None) -> dict[str, Any]:
    return {s.TEXT: text, s.GRANULARITY: kind, s.SIMILARITY: similarity}


def thing(
    owner: str, label: str, corners: tuple[float, ...], votes: list[Any], candidates: list[Any]
) -> dict[str, Any]:
    return {
        s.IMAGE_ID: owner, s.KIND: "object", s.LABEL: label, **box(*corners), s.VOTES: votes, s.CANDIDATES: candidates,
        s.CONFIDENCE: 0.9,
    }  # fmt: skip


def text(owner: str, number: int, kind: str, tokens: int, who: str = "human", **more: Any) -> dict[str, Any]:
    return {
        s.IMAGE_ID: owner, s.TEXT_ID: f"{owner}:{number}", s.GRANULARITY: kind, s.N_TOKENS: tokens, s.SPECIALIST: who, **more,
    }  # fmt: skip


def triplet(owner: str, number: int, phrase: str, corners: tuple[float, ...], votes: list[Any]) -> dict[str, Any]:
    return {s.IMAGE_ID: owner, s.TEXT_ID: f"{owner}:{number}", s.PHRASE: phrase, **box(*corners), s.VOTES: votes}


def refusal(owner: str, family: str, stage: str, reason: str, **item: Any) -> dict[str, Any]:
    return {s.IMAGE_ID: owner, s.FAMILY: family, s.STAGE: stage, s.REASON: reason, s.ITEM: json.dumps(item)}


def row(table: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    found = [line for line in table if all(line[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_table_2_counts_texts_regions_and_triplets_over_all_shards(tmp_path: Path) -> None:
    first: Rows = {
        "images": [image("a"), image("b")],
        "text": [text("a", 0, "brief", 6), text("a", 1, "brief", 9), text("b", 0, "detailed", 30)],
        "region_text": [
            thing("a", "cup", (0, 0, 9, 9), [], [said("cup", "phrase")]),
            thing("a", "dog", (0, 0, 9, 9), [], [said("dog", "phrase", 0.1), said("brown dog", "chunk", 0.4),
                                                 said("a brown dog runs", "brief", 0.3)]),
            {**thing("a", "", (0, 0, 9, 9), [], [said("EXIT", "ocr")]), s.KIND: "text"},
            {**thing("b", "cat", (0, 0, 9, 9), [], [said("cat", "phrase")]), s.CONFIDENCE: 0.4},  # hardly there
        ],
        "text_phrase_region": [
            triplet("a", 0, "a cup", (0, 0, 9, 9), []), triplet("a", 0, "two brown dogs", (0, 0, 9, 9), []),
            triplet("a", 0, "two brown dogs", (1, 1, 9, 9), []),
        ],
    }  # fmt: skip
    second: Rows = {
        "images": [image("c")],
        "text": [text("c", 0, "brief", 12)],
        "region_text": [thing("c", "cat", (0, 0, 9, 9), [], [said("cat", "phrase")])],
        "text_phrase_region": [triplet("c", 0, "a cat", (0, 0, 9, 9), [])],
    }
    found = stats(publish(tmp_path, first, second))
    assert found["images"] == 3
    table = found["table2"]
    brief = row(table, family="text", type="brief")["ours"]
    assert (brief["annotations"], brief["mean_tokens"], brief["regions"]) == (3, 9.0, None)
    assert row(table, family="text", type="detailed")["ours"]["annotations"] == 1
    assert row(table, family="text", type="more_detailed")["ours"]["annotations"] == 0
    # cup (1 word), the chunk "brown dog" (2, more similar than "dog") and cat (1), in two images; writing is no object
    phrase = row(table, family="region_text", type="phrase")["ours"]
    assert phrase == {
        "annotations": 2, "mean_tokens": None, "regions": 3, "mean_regions": 1.5, "mean_regional_tokens": 1.3333,
    }  # fmt: skip
    crops = row(table, family="region_text", type="brief")["ours"]
    assert (crops["annotations"], crops["regions"], crops["mean_regional_tokens"]) == (1, 1, 4.0)
    # text a:0 has three boxes (2 + 3 + 3 words), c:0 one (2 words); a:1 has none and is no annotation of this family
    pairs = row(table, family="text_phrase_region", type="brief")["ours"]
    assert pairs == {
        "annotations": 2, "mean_tokens": 9.0, "regions": 4, "mean_regions": 2.0, "mean_regional_tokens": 2.5,
    }  # fmt: skip


def test_the_papers_numbers_stand_beside_ours(tmp_path: Path) -> None:
    found = stats(publish(tmp_path, {"images": [image("a")]}))
    assert row(found["table2"], family="text_phrase_region", type="detailed")["paper"] == {
        "annotations": 126e6, "mean_tokens": 31.65, "regions": 1289e6, "mean_regions": 10.25, "mean_regional_tokens": 1.49,
    }  # fmt: skip
    assert row(found["table3"], measure=s.ACTION_COMPLEXITY)["paper"] == {
        "brief": 1.14, "detailed": 3.63, "more_detailed": 4.38,
    }  # fmt: skip
    assert len(found["table2"]) == 8
    assert len(found["table3"]) == 6


def test_table_3_averages_what_was_measured(tmp_path: Path) -> None:
    rows: Rows = {
        "images": [image("a")],
        "text": [
            text("a", 0, "brief", 5, **{s.N_OBJECTS: 2, s.OBJECT_COMPLEXITY: 1.5}),
            text("a", 1, "brief", 5, **{s.N_OBJECTS: 3, s.OBJECT_COMPLEXITY: math.nan}),
            text("a", 2, "brief", 5),  # no parser
        ],
    }
    table = stats(publish(tmp_path, rows))["table3"]
    assert row(table, measure=s.N_OBJECTS)["ours"] == {"brief": 2.5, "detailed": None, "more_detailed": None}
    assert row(table, measure=s.OBJECT_COMPLEXITY)["ours"]["brief"] == 1.5
    assert row(table, measure=s.N_ACTIONS)["ours"]["brief"] is None


def test_agreement_of_specialists(tmp_path: Path) -> None:
    region = (0.0, 0.0, 10.0, 10.0)
    rows: Rows = {
        "images": [image("a")],
        "region_text": [
            # two agree (the second covers half of the fused box), one box was seen by nobody else
            thing("a", "dog", region, [vote("x", "Dog", *region), vote("y", "puppy", 0, 0, 10, 5)], []),
            thing("a", "cup", region, [vote("x", "cup", *region)], []),
            # twice the same specialist confirms nothing
            thing("a", "hat", region, [vote("x", "hat", *region), vote("x", "cap", *region)], []),
            {**thing("a", "", region, [vote("ocr", "EXIT", *region)], []), s.KIND: "text", s.TEXT: "exit"},
        ],
        "text_phrase_region": [triplet("a", 0, "a dog", region, [vote("g", "", *region)])],
        "rejected": [
            refusal(
                "a", "region_text", "regions", "score", kind="object", votes=[{"specialist": "y"}, {"specialist": "z"}]
            ),
            refusal("a", "text_phrase_region", "triplets", "score", votes=[{"specialist": "g"}]),
            refusal("a", "text_phrase_region", "phrases", "pronoun", phrase="it"),
        ],
    }
    found = stats(publish(tmp_path, rows))["regions_by_specialist"]
    assert [(line["kind"], line["specialist"]) for line in found] == [
        ("object", "x"), ("object", "y"), ("object", "z"), ("phrase", "g"), ("text", "ocr"),
    ]  # fmt: skip
    x = row(found, kind="object", specialist="x")
    assert (x["kept"], x["rejected"], x["confirmed"], x["mean_iou"], x["label_agreement"]) == (4, 0, 0.25, 1.0, 0.75)
    y = row(found, kind="object", specialist="y")
    assert (y["kept"], y["rejected"], y["confirmed"], y["mean_iou"], y["label_agreement"]) == (1, 1, 1.0, 0.5, 0.0)
    z = row(found, kind="object", specialist="z")
    assert (z["kept"], z["rejected"], z["mean_iou"]) == (0, 1, None)
    assert row(found, kind="text")["label_agreement"] == 1.0
    g = row(found, kind="phrase")
    assert (g["kept"], g["rejected"], g["label_agreement"]) == (1, 1, None)


def test_texts_rejections_and_quarantine(tmp_path: Path) -> None:
    rows: Rows = {
        "images": [image("a"), image("b")],
        "text": [
            text("a", 0, "brief", 5, "x", **{s.CONFIDENCE: 0.5}),
            text("a", 1, "brief", 5, "x", **{s.CONFIDENCE: 1.0}),
        ],
        "rejected": [
            refusal("a", "text", "texts", "too short", specialist="x"),
            refusal("b", "text", "texts", "too short", specialist="y"),
            refusal("b", "text", "details", "too long", specialist="y"),
            refusal("c", "images", "ingest", "quarantined", error="ImageError"),
            refusal("b", "specialist", "detect.x", "quarantined", error="RecordError"),
            refusal("b", "specialist", "detect.x", "quarantined", error="RecordError"),
        ],
    }
    found = stats(publish(tmp_path, rows))
    assert found["texts_by_specialist"] == [
        {"specialist": "x", "kept": 2, "rejected": 1, "mean_confidence": 0.75},
        {"specialist": "y", "kept": 0, "rejected": 2, "mean_confidence": None},
    ]
    assert found["rejected"] == [
        {"family": "text", "stage": "details", "reason": "too long", "count": 1},
        {"family": "text", "stage": "texts", "reason": "too short", "count": 2},
    ]
    assert found["quarantine"] == [
        {"stage": "detect.x", "images": 1, "faults": 2},
        {"stage": "ingest", "images": 1, "faults": 1},
    ]


def test_shapes_of_boxes(tmp_path: Path) -> None:
    # areas of 1 %, 2 %, … 20 % of the image, all twice as wide as high
    regions = []
    for percent in range(1, 21):
        height = math.sqrt(percent * 100 / 2)
        regions.append(thing("a", "dog", (0, 0, 2 * height, height), [], []))
    [shape] = stats(publish(tmp_path, {"images": [image("a")], "region_text": regions}))["shapes"]
    assert (shape["kind"], shape["boxes"]) == ("object", 20)
    wanted = {"p5": 0.01, "p25": 0.05, "p50": 0.10, "p75": 0.15, "p95": 0.19}
    assert shape["area_share"] == pytest.approx(wanted, abs=1.1e-5)
    assert shape["log_aspect"] == pytest.approx(dict.fromkeys(wanted, math.log(2)), abs=0.0101)


def test_it_prints_within_100_columns_and_shows_dashes_for_what_is_empty(tmp_path: Path) -> None:
    rows: Rows = {
        "images": [image("a")],
        "text": [text("a", 0, "brief", 5)],
        "rejected": [refusal("a", "text", "texts", "object complexity", specialist="x")],
    }
    found = stats(publish(tmp_path, rows))
    page = io.StringIO()
    render(found, Console(file=page, width=120, force_terminal=False))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    [more] = [line for line in lines if line.strip().startswith("more detailed") and "70.53" in line and "M" in line][
        :1
    ]
    assert "126M" in more
    assert "–" in more
    assert any("object complexity" in line and line.rstrip().endswith("1") for line in lines)


def test_json_is_stable_and_plain(tmp_path: Path) -> None:
    out = publish(tmp_path, {"images": [image("a")], "text": [text("a", 0, "brief", 5, **{s.CONFIDENCE: 0.3})]})
    first, second = (json.dumps(stats(out), allow_nan=False) for _ in range(2))
    assert first == second


def test_nothing_published_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(OutError, match="no published shard"):
        stats(str(tmp_path))
