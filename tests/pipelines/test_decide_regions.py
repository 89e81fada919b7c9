"""Detectors and readers to regions: nothing lost, no order matters, human boxes stand."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import schema as s
from engine.errors import ConfigError, StoreError
from engine.grouped import Frames, Grouped
from filters.regions import RegionFilterConfig
from pipelines.decide.objects import ObjectsConfig
from pipelines.decide.regions import RegionsConfig
from tests.pipelines.decide_tables import box, frames, grouped, kept, read, regions_of, rejected, seen

LABELS = ["person", "Person ", "dog", "cat", "sofa", "couch"]


def random_detections(rng, images, name):
    rows = []
    for image in images:
        for _ in range(rng.integers(0, 6)):
            x, y = rng.integers(0, 4, 2) * 30 + rng.integers(0, 6, 2)
            w, h = 60 + rng.integers(0, 6, 2)
            score = 1.0 if name == "gold" else float(np.round(rng.random(), 1))
            label, crowd = LABELS[rng.integers(0, 6)], bool(rng.random() < 0.1)
            mask = f"mask{rng.integers(0, 9)}" if rng.random() < 0.5 else None
            width = 0 if rng.random() < 0.05 else w
            rows.append(seen(image, label, score, (x, y, x + width, y + h), mask, crowd))
    return rows


def random_readings(rng, images):
    return [
        read(image, ["EXIT", "exit", " ", "STOP"][rng.integers(0, 4)], float(rng.random()), x, 0, x + 50, 20)
        for image in images
        for x in rng.integers(0, 300, rng.integers(0, 4)).astype(float)
    ]


def votes_of(table, kind):
    return Counter(
        (row[s.IMAGE_ID], *(vote[name] for name in (s.SPECIALIST, s.LABEL, s.SCORE, *s.BOX)))
        for row in table.to_pylist()
        if row[s.KIND] == kind
        for vote in row[s.VOTES]
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_prediction_is_a_vote_of_exactly_one_row(seed):
    rng = np.random.default_rng(seed)
    these = frames(3)
    detections = {
        n: grouped(s.PREDICTED_REGIONS, random_detections(rng, these.ids, n), these) for n in ("b", "gold", "a")
    }
    readings = {n: grouped(s.PREDICTED_READINGS, random_readings(rng, these.ids), these) for n in ("r", "q")}
    table = regions_of(these, detections, readings, gold=frozenset({"gold"}))
    assert table.schema == s.DECIDED_REGIONS
    said = Counter(
        (row[s.IMAGE_ID], name, row[s.LABEL], row[s.SCORE], *(row[side] for side in s.BOX))
        for name, part in detections.items()
        for row in part.table.to_pylist()
    )
    assert votes_of(table, "object") == said
    written = Counter(
        (row[s.IMAGE_ID], name, row[s.TEXT].strip(), row[s.SCORE], *row[s.QUAD][:2], *row[s.QUAD][4:6])
        for name, part in readings.items()
        for row in part.table.to_pylist()
    )
    assert votes_of(table, "text") == written
    for row in rejected(table):
        assert (row[s.VALUE] is None) == (row[s.THRESHOLD] is None)
    assert table.column(s.REGION_ID).to_pylist() == [
        f"{image}:r{i}" for image in these.ids for i in range(table.column(s.IMAGE_ID).to_pylist().count(image))
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_human_box_is_a_region_of_its_own(seed):
    rng = np.random.default_rng(seed)
    these = frames(3)
    detections = {
        n: grouped(s.PREDICTED_REGIONS, random_detections(rng, these.ids, n), these) for n in ("a", "b", "gold")
    }
    table = regions_of(these, detections, {}, gold=frozenset({"gold"}))
    human = [
        (row[s.IMAGE_ID], row[s.LABEL], *(row[side] for side in s.BOX))
        for row in detections["gold"].table.to_pylist()
        if not row[s.CROWD] and row[s.X1] > row[s.X0]
    ]
    found = [row for row in kept(table) if any(v[s.SPECIALIST] == "gold" for v in row[s.VOTES])]
    assert Counter((r[s.IMAGE_ID], r[s.LABEL], *(r[side] for side in s.BOX)) for r in found) == Counter(human)
    for row in found:
        assert row[s.CONFIDENCE] == 1.0
        assert sum(vote[s.SPECIALIST] == "gold" for vote in row[s.VOTES]) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_neither_the_order_of_specialists_nor_of_boxes_matters(seed):
    rng = np.random.default_rng(seed)
    these = frames(3)
    rows = {name: random_detections(rng, these.ids, name) for name in ("a", "b", "gold")}
    # two rows that differ in nothing but their mask are told apart by their order only
    rows = {
        name: list({tuple(v for k, v in row.items() if k != s.MASK): row for row in said}.values())
        for name, said in rows.items()
    }
    one = {name: grouped(s.PREDICTED_REGIONS, rows[name], these) for name in rows}
    mixed = {name: [rows[name][i] for i in rng.permutation(len(rows[name]))] for name in reversed(rows)}
    other = {name: grouped(s.PREDICTED_REGIONS, mixed[name], these) for name in mixed}
    gold = frozenset({"gold"})
    assert regions_of(these, one, {}, gold=gold).equals(regions_of(these, other, {}, gold=gold))


def test_a_batch_of_images_is_decided_like_each_image_alone():
    rng = np.random.default_rng(5)
    these = frames(6)
    rows = {name: random_detections(rng, these.ids, name) for name in ("a", "b", "c")}
    whole = regions_of(these, {n: grouped(s.PREDICTED_REGIONS, rows[n], these) for n in rows}, {})
    parts = []
    for i, image in enumerate(these.ids):
        alone = Frames([image], these.widths[i : i + 1], these.heights[i : i + 1])
        parts.append(regions_of(alone, {n: grouped(s.PREDICTED_REGIONS, rows[n], alone) for n in rows}, {}))
    assert whole.equals(pa.concat_tables(parts).combine_chunks())


def two_detectors(config=None, **more):
    these = frames(1)
    detections = {
        "closed": grouped(s.PREDICTED_REGIONS, [seen("img0", "dog", 0.8, (10, 10, 110, 110))], these),
        "open": grouped(s.PREDICTED_REGIONS, [seen("img0", "zebra", 0.6, (300, 300, 400, 400))], these),
    }
    return regions_of(these, detections, {}, config, **more).to_pylist()


def test_only_detectors_that_could_have_seen_it_are_asked():
    by_label = {row[s.LABEL]: row for row in two_detectors(vocabularies={"closed": frozenset({"Dog"}), "open": None})}
    assert (by_label["dog"][s.N_ELIGIBLE], by_label["zebra"][s.N_ELIGIBLE]) == (2, 1)
    assert by_label["dog"][s.CONFIDENCE] == pytest.approx(0.4)
    assert by_label["zebra"][s.CONFIDENCE] == pytest.approx(0.6)
    silent = two_detectors(answered={"open": np.array([False])})
    assert {row[s.LABEL]: row[s.N_ELIGIBLE] for row in silent} == {"dog": 1, "zebra": 2}


def test_weights_change_confidence_and_a_wrong_name_is_refused():
    rows = two_detectors(ObjectsConfig(weights={"closed": 3.0}))
    assert rows[0][s.CONFIDENCE] == pytest.approx(0.8 * 3 / 4)
    with pytest.raises(ConfigError, match="clsoed"):
        two_detectors(ObjectsConfig(weights={"clsoed": 3.0}))


def test_reasons_say_value_and_threshold():
    these = frames(1)
    rows = [
        seen("img0", "dog", 0.005, (10, 10, 60, 60)),
        seen("img0", "dog", 0.02, (100, 10, 160, 60)),
        seen("img0", "dog", 0.2, (100, 110, 160, 160)),
        seen("img0", "dog", 0.9, (200, 10, 202, 60)),
        seen("img0", "dog", 0.9, (0, 0, 640, 480)),
        seen("img0", "dog", 0.9, (300, 10, 300, 60)),
        seen("img0", "dogs", 0.9, (300, 100, 400, 200), crowd=True),
        seen("img0", "dog", 0.9, (400, 300, 500, 400)),
        seen("img0", "dog", 0.8, (400, 300, 500, 485)),
    ]
    limits = RegionsConfig(objects=RegionFilterConfig(min_confidence=0.25))
    table = regions_of(
        these, {"d": grouped(s.PREDICTED_REGIONS, rows, these)}, {}, ObjectsConfig(least=0.03), limits=limits
    )
    reasons = {row[s.REASON]: (row[s.VALUE], row[s.THRESHOLD]) for row in rejected(table)}
    assert set(reasons) == {"score", "unlikely", "confidence", "size", "whole image", "degenerate", "crowd"}
    assert reasons["score"] == (pytest.approx(0.005), 0.01)
    assert reasons["unlikely"] == (pytest.approx(0.02), 0.03)
    assert reasons["confidence"] == (pytest.approx(0.2), 0.25)
    assert reasons["size"] == (2.0, 4.0)
    assert len(kept(table)) == 2


def test_two_fused_boxes_that_end_up_alike_lose_the_weaker():
    these = frames(1)
    strong, weak = seen("img0", "dog", 0.9, (0, 0, 100, 100)), seen("img0", "dog", 0.7, (8, 0, 108, 100))
    table = regions_of(these, {"d": grouped(s.PREDICTED_REGIONS, [strong, weak], these)}, {})
    (row,) = rejected(table)
    assert (row[s.REASON], row[s.THRESHOLD]) == ("overlap", 0.8)
    assert row[s.VALUE] == pytest.approx(92 / 108)


def test_the_mask_is_that_of_the_best_member_with_one():
    these = frames(1)
    detections = {
        "a": grouped(s.PREDICTED_REGIONS, [seen("img0", "dog", 0.9, (0, 0, 100, 100))], these),
        "b": grouped(s.PREDICTED_REGIONS, [seen("img0", "dog", 0.5, (0, 0, 100, 100), "weak")], these),
        "c": grouped(s.PREDICTED_REGIONS, [seen("img0", "dog", 0.7, (0, 0, 100, 100), "strong")], these),
    }
    (row,) = regions_of(these, detections, {}).to_pylist()
    assert row[s.MASK] == "strong"
    assert row[s.CONFIDENCE] == pytest.approx(0.7)


def test_readers_fuse_and_the_quad_is_the_winners():
    these = frames(1)
    readings = {
        "a": grouped(s.PREDICTED_READINGS, [read("img0", "STOP", 0.9, 10, 10, 60, 30)], these),
        "b": grouped(s.PREDICTED_READINGS, [read("img0", "ST0P", 0.95, 12, 10, 62, 30)], these),
        "c": grouped(s.PREDICTED_READINGS, [read("img0", "STOP", 0.8, 11, 10, 61, 30)], these),
    }
    (row,) = regions_of(these, {}, readings).to_pylist()
    assert (row[s.KIND], row[s.TEXT], row[s.LABEL], row[s.N_ELIGIBLE]) == ("text", "STOP", None, 3)
    assert row[s.QUAD] == [10, 10, 60, 10, 60, 30, 10, 30]
    assert {name: row[name] for name in s.BOX} == box(10, 10, 60, 30)
    assert sorted(vote[s.LABEL] for vote in row[s.VOTES]) == ["ST0P", "STOP", "STOP"]


def test_objects_stand_before_writing_and_the_surest_first():
    these = frames(1)
    detections = {
        "d": grouped(
            s.PREDICTED_REGIONS, [seen("img0", "cat", q, (x, 0, x + 50, 50)) for q, x in ((0.4, 0), (0.9, 100))], these
        )
    }
    readings = {"r": grouped(s.PREDICTED_READINGS, [read("img0", "EXIT", 0.99, 300, 0, 340, 20)], these)}
    rows = regions_of(these, detections, readings).to_pylist()
    assert [(row[s.KIND], row[s.X0]) for row in rows] == [("object", 100), ("object", 0), ("text", 300)]


def test_nothing_in_nothing_out_and_a_broken_table_is_refused():
    assert regions_of(frames(0), {}, {}).schema == s.DECIDED_REGIONS
    empty = Grouped.of(s.PREDICTED_REGIONS.empty_table(), frames(2).ids)
    assert regions_of(frames(2), {"d": empty}, {}).num_rows == 0
    with pytest.raises(StoreError, match="over 2 images"):
        regions_of(frames(3), {"d": empty}, {})
    short = grouped(
        s.PREDICTED_READINGS, [{s.IMAGE_ID: "img0", s.TEXT: "x", s.SCORE: 1.0, s.QUAD: [1.0, 2.0]}], frames(1)
    )
    with pytest.raises(StoreError, match="eight numbers"):
        regions_of(frames(1), {}, {"r": short})
