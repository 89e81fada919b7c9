"""Targets of Florence-2: what is rendered is parsed back, and transformers' own processor reads and asks the same."""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.errors import RecordError
from specialists import florence_targets as targets
from tests.specialists import tiny_florence as tiny

QUICK = settings(deadline=None, max_examples=60)
LABELS = st.text(
    st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"], exclude_characters="<"), min_size=1
)
NAMES = LABELS.map(targets.clean_label).filter(bool)
ANY = st.text(st.characters(exclude_characters="<\n\r", exclude_categories=["Cs"]), max_size=8)
SIDES = st.integers(1, 5000)
BIN = st.integers(0, 999)


def pixels(count: int, columns: int) -> Any:
    """Coordinates, some of them beyond the image."""
    return arrays(np.float32, (count, columns), elements=st.floats(-10, 5500, width=32))


@st.composite
def labelled(draw: st.DrawFn, columns: int = 4) -> tuple[list[str], Any, int, int]:
    names = draw(st.lists(NAMES, max_size=6))
    return names, draw(pixels(len(names), columns)), draw(SIDES), draw(SIDES)


@cache
def library() -> Any:
    return tiny.processor()


def parsed_by_library(task: str, text: str) -> Any:
    """Its answer for an image of 1000 x 1000 pixels, where a pixel is a bin."""
    return library().post_process_generation(text, task=f"<{task}>", image_size=(1000, 1000))[f"<{task}>"]


def pairs(found: targets.Found) -> list[tuple[str, tuple[int, ...]]]:
    return [(label, tuple(bins)) for label, bins in zip(found.labels, found.bins.tolist(), strict=True)]


# ---- numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size", "wanted"),
    [(0, 640, 0), (0.64, 640, 1), (0.63, 640, 0), (320, 640, 500), (639.99, 640, 999), (640, 640, 999), (-3, 640, 0)],
)
def test_a_bin_is_a_thousandth_of_the_side(value: float, size: int, wanted: int) -> None:
    assert targets.quantise([[value, 0]], size, 100)[0, 0] == wanted
    assert targets.quantise([[0, value]], 100, size)[0, 1] == wanted


@QUICK
@given(pixels(5, 4), SIDES, SIDES)
def test_bins_are_the_librarys(boxes: Any, width: int, height: int) -> None:
    import torch

    found = targets.quantise(boxes, width, height)
    theirs = library().post_processor
    assert found.tolist() == theirs.quantize(torch.from_numpy(boxes), (width, height)).tolist()
    back = theirs.dequantize(torch.from_numpy(found), (width, height)).numpy()
    # The library cuts down to whole pixels; at a whole number, rounding decides.
    assert np.abs(targets.dequantise(found, width, height) - back - 0.5).max() <= 0.5 + 1e-3


@QUICK
@given(arrays(np.int64, (3, 8), elements=BIN), SIDES, SIDES)
def test_the_middle_of_a_bin_lies_in_it(bins: Any, width: int, height: int) -> None:
    assert targets.quantise(targets.dequantise(bins, width, height), width, height).tolist() == bins.tolist()


def test_a_box_within_one_bin_is_that_bin() -> None:
    boxes = targets.to_boxes(np.array([[10, 20, 10, 39], [0, 999, 999, 999], [5, 5, 4, 9]]), 1000, 2000)
    assert boxes.tolist() == [[10, 41, 11, 79], [0.5, 1998, 999.5, 2000], [5.5, 11, 4.5, 19]]


# ---- what is rendered is parsed -----------------------------------------------------------------------


@QUICK
@given(labelled())
def test_objects_come_back(given_: tuple[list[str], Any, int, int]) -> None:
    names, boxes, width, height = given_
    wanted = sorted(zip(names, map(tuple, targets.quantise(boxes, width, height).tolist()), strict=True))
    by_name = targets.parse_boxes(targets.render_od(names, boxes, width, height))
    assert pairs(by_name) == wanted
    by_place = pairs(targets.parse_boxes(targets.render_dense(names, boxes, width, height)))
    assert sorted(by_place) == wanted
    assert [box for _, box in by_place] == sorted(box for _, box in by_place)


@QUICK
@given(st.lists(st.tuples(NAMES, st.integers(0, 3).flatmap(lambda n: pixels(n, 4))), max_size=4), SIDES, SIDES)
def test_phrases_come_back_in_their_order(given_: list[tuple[str, Any]], width: int, height: int) -> None:
    text = targets.render_grounding([p for p, _ in given_], [b for _, b in given_], width, height)
    wanted = [
        (phrase, tuple(box))
        for phrase, boxes in given_
        for box in sorted(targets.quantise(boxes, width, height).tolist())
    ]
    assert pairs(targets.parse_boxes(text)) == wanted


@QUICK
@given(labelled(8))
def test_writing_comes_back(given_: tuple[list[str], Any, int, int]) -> None:
    names, quads, width, height = given_
    found = targets.parse_ocr(targets.render_ocr(names, quads, width, height))
    wanted = zip(names, map(tuple, targets.quantise(quads, width, height).tolist()), strict=True)
    assert sorted(pairs(found)) == sorted(wanted)
    corners = found.bins[:, [1, 0]].tolist()
    assert corners == sorted(corners)


@QUICK
@given(st.integers(0, 4).flatmap(lambda n: pixels(n, 4)), SIDES, SIDES)
def test_proposals_and_regions_come_back(boxes: Any, width: int, height: int) -> None:
    wanted = sorted(targets.quantise(boxes, width, height).tolist())
    assert targets.parse_proposals(targets.render_proposals(boxes, width, height)).bins.tolist() == wanted
    for box in boxes:
        asked = targets.prompt("REGION_TO_CATEGORY", targets.render_region(box, width, height))
        bins = targets.quantise(box, width, height).tolist()
        assert asked == "What is the region " + "".join(f"<loc_{i}>" for i in bins) + "?"


POLYGON = st.integers(3, 6).flatmap(lambda n: arrays(np.int64, (n, 2), elements=BIN))


@QUICK
@given(st.lists(st.lists(POLYGON, min_size=1, max_size=3), min_size=1, max_size=3))
def test_polygons_come_back(instances: Any) -> None:
    text = targets.render_polygons([[p + 0.5 for p in polygons] for polygons in instances], 1000, 1000)
    assert [[p.tolist() for p in of] for of in targets.parse_polygons(text)] == [
        [p.tolist() for p in of] for of in instances
    ]
    theirs = parsed_by_library("REFERRING_EXPRESSION_SEGMENTATION", text)["polygons"]
    assert theirs == [[p.ravel().tolist() for p in of] for of in instances]


def test_the_odd_coordinate_of_a_polygon_is_lost() -> None:
    assert targets.parse_polygons("<loc_1><loc_2><loc_3>")[0][0].tolist() == [[1, 2]]
    assert targets.parse_polygons("nothing") == []


# ---- the library reads the same ------------------------------------------------------------------------

MARKED = st.tuples(ANY, st.lists(BIN, max_size=10)).map(lambda p: p[0] + "".join(targets.MARKS[i] for i in p[1]))
GENERATED = st.lists(st.one_of(MARKED, st.sampled_from(["<s>", "</s>", "<pad>", "<poly>"])), max_size=6).map("".join)


@QUICK
@given(GENERATED)
def test_whatever_is_generated_is_read_as_the_library_reads_it(text: str) -> None:
    """Except that it keeps labels of nothing but spaces, and reads marks that belong to no box into the next label."""
    found = pairs(targets.parse_boxes(text))
    for task in ("OD", "CAPTION_TO_PHRASE_GROUNDING"):
        theirs = parsed_by_library(task, text)
        both = zip(theirs["labels"], theirs["bboxes"], strict=True)
        named = [(re.sub(r"^loc_\d+>", "", name).strip(), tuple(box)) for name, box in both]
        skipped = ("", *(tiny.BANNED if task != "OD" else ()))
        assert [pair for pair in found if pair[0] not in skipped] == [pair for pair in named if pair[0] not in skipped]
    proposals = parsed_by_library("REGION_PROPOSAL", text)["bboxes"]
    assert targets.parse_proposals(text).bins.tolist() == proposals


@QUICK
@given(labelled(8))
def test_the_library_reads_rendered_writing(given_: tuple[list[str], Any, int, int]) -> None:
    names, quads, width, height = given_
    text = targets.render_ocr(names, quads, width, height)
    theirs = parsed_by_library("OCR_WITH_REGION", text)
    assert pairs(targets.parse_ocr(text)) == [
        (n, tuple(q)) for n, q in zip(theirs["labels"], theirs["quad_boxes"], strict=True)
    ]


def test_broken_answers_cost_only_themselves() -> None:
    marks = "".join(targets.MARKS[:8])
    assert targets.parse_boxes(f"cat{marks[:21]}dog{targets.MARKS[5] * 7}").bins.tolist() == [[5, 5, 5, 5]]
    assert targets.parse_ocr(f"A{targets.MARKS[3] * 4}B{marks}{targets.MARKS[9]}").labels == ["B"]
    assert targets.parse_boxes(marks).labels == []


def test_questions_are_the_librarys() -> None:
    theirs = library().task_prompts_without_inputs | library().task_prompts_with_input
    assert {f"<{task}>": text for task, text in targets.PROMPTS.items()} == theirs
    assert targets.prompt("OPEN_VOCABULARY_DETECTION", "a {cat}") == "Locate a {cat} in the image."


# ---- labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "wanted"), [("  a  café\n", "a cafe"), ("a<b", "a b"), ("<s>", "s>"), ("犬", ""), ("ﬁre", "fire")]
)
def test_labels_are_made_fit(label: str, wanted: str) -> None:
    assert targets.clean_label(label) == wanted


def test_writing_keeps_its_letters() -> None:
    text = targets.render_ocr(["Café 出口"], [[1, 1, 2, 1, 2, 2, 1, 2]], 10, 10)
    assert targets.parse_ocr(text).labels == ["Café 出口"]


def test_a_label_that_no_target_can_hold_is_named() -> None:
    with pytest.raises(RecordError, match=re.escape("'犬'")):
        targets.render_od(["dog", "犬"], [[0, 0, 1, 1]] * 2, 10, 10)
