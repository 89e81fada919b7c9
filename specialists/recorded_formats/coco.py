"""COCO's JSON files: instances (images, annotations, categories), results (a list) and captions (either form)."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from engine.errors import ConfigError, RecordError
from specialists.recorded_formats import checks, json_stream
from specialists.recorded_formats.index import Builder
from specialists.recorded_formats.names import id_text, is_text

Sinks = dict[str, Callable[[Any], None]]
_IMAGES: Final = "images.item"
_CATEGORIES: Final = "categories.item"
_ANNOTATIONS: Final = "annotations.item"
_RESULTS: Final = "item"


def instances(path: Path, index: Path | None, build: Builder, tolerant: bool) -> None:
    """Boxes and masks; images and categories stand in the same file, or in `index`. A record without score has 1.

    Raises:
        ConfigError: a file is not JSON, or is a results file.
    """
    if json_stream.is_list(path):
        raise ConfigError(f'{path} is a list, so it is a results file: use format = "coco_results" and an index.')
    add = partial(_region, unscored=1.0)
    _read(path, index, _Records(_ANNOTATIONS, build, add), build, tolerant)


def results(path: Path, index: Path, build: Builder, tolerant: bool) -> None:
    """A detector's results: a list of boxes or masks; images and categories stand in `index`.

    Raises:
        ConfigError: a file is not JSON, or not of this form.
    """
    if not json_stream.is_list(path):
        raise ConfigError(f'{path} is not a list, so it is no COCO results file: use format = "coco".')
    add = partial(_region, unscored=None)
    _read(path, index, _Records(_RESULTS, build, add), build, tolerant)


def captions(path: Path, index: Path | None, granularity: str, build: Builder, tolerant: bool) -> None:
    """Captions with their images in one file, or a list of results (whose images may stand in `index`).

    Raises:
        ConfigError: a file is not JSON, or not of this form.
    """

    def add(build: Builder, image: str, item: dict[str, Any]) -> None:
        score = item.get("score")
        text = checks.text(item.get("caption"), "caption")
        build.text(image, text, granularity=granularity, score=None if score is None else checks.score(score))

    prefix = _RESULTS if json_stream.is_list(path) else _ANNOTATIONS
    _read(path, index, _Records(prefix, build, add), build, tolerant)


class _Records:
    """The sink of annotations: each is added, or told as a fault of its image."""

    def __init__(self, prefix: str, build: Builder, add: Callable[[Builder, str, dict[str, Any]], None]) -> None:
        self.prefix, self._build, self._add = prefix, build, add
        self.seen = 0

    def __call__(self, item: Any) -> None:
        self.seen += 1
        name = f"record {self.seen}"
        image = id_text(item.get("image_id")) if isinstance(item, dict) else None
        if image is None or not is_text(image):
            self._build.orphan(f"{name} names no image: {checks.short(item)}")
            return
        try:
            self._add(self._build, image, item)
        except RecordError as error:
            if "id" in item:
                name = f"record {checks.short(item['id'])}"
            self._build.fault(image, f"{name}: {error}")


def _read(path: Path, index: Path | None, records: _Records, build: Builder, tolerant: bool) -> None:
    prefix = records.prefix
    sinks: Sinks = {prefix: records}
    if index:
        json_stream.stream(index, _context(build), tolerant)
        _demand(index, "images", build.images)
    elif prefix == _ANNOTATIONS:
        sinks |= _context(build)
    json_stream.stream(path, sinks, tolerant)
    if prefix == _ANNOTATIONS:
        _demand(path, "annotations", records.seen)
        if not index:
            _demand(path, "images", build.images)


def _demand(path: Path, key: str, seen: int) -> None:
    if seen:
        return
    keys = json_stream.top_level_keys(path)
    if key not in keys:
        found = f"its keys are {', '.join(map(repr, keys[:10]))}" if keys else "it is a list or empty"
        raise ConfigError(f"{path} has no list {key!r} ({found}), so it is not a COCO file of this form.")


def _context(build: Builder) -> Sinks:
    def image(item: Any) -> None:
        id = id_text(item.get("id")) if isinstance(item, dict) else None
        if id is None or not is_text(id):
            build.orphan(f"an entry of 'images' has no id: {checks.short(item)}")
            return
        name = item.get("file_name")
        if not (isinstance(name, str) and name and is_text(name)):
            name = None
        if not build.image(id, name, _pixels(item.get("width")), _pixels(item.get("height"))):
            build.orphan(f"image id {id} stands twice in 'images'; the first entry counts")

    def category(item: Any) -> None:
        id = id_text(item.get("id")) if isinstance(item, dict) else None
        try:
            if id is None:
                raise RecordError("it has no id")
            build.category(id, checks.text(item.get("name"), "its name"))
        except RecordError as error:
            build.orphan(f"category {checks.short(item)}: {error}")

    return {_IMAGES: image, _CATEGORIES: category}


def _pixels(value: Any) -> int:
    """A size, or 0 where the file does not say a possible one."""
    try:
        size = checks.number(value, "size")
    except RecordError:
        return 0
    return int(size) if 1 <= size < 2**31 else 0


def _region(build: Builder, image: str, item: dict[str, Any], unscored: float | None) -> None:
    category = id_text(item.get("category_id"))
    if category is None or not is_text(category):
        raise RecordError(f"category_id is {checks.short(item.get('category_id'))}, not an id")
    score = _score(item, unscored)
    crowd = item.get("iscrowd", 0)
    if crowd not in (0, 1, None):
        raise RecordError(f"iscrowd is {checks.short(crowd)}, not 0 or 1")
    mask = _mask(item.get("segmentation"))
    if item.get("bbox") is None and mask:
        build.box(image, (), label=category, score=score, crowd=bool(crowd), mask=mask)  # the mask's own box
        return
    corners = checks.box_xywh(item.get("bbox"))
    build.box(image, corners, label=category, score=score, crowd=bool(crowd), mask=mask)


def _score(item: dict[str, Any], missing: float | None) -> float:
    """The record's score; `missing` for one that has none. null, which NaN is read as, is not taken for none."""
    if "score" not in item:
        if missing is None:
            raise RecordError("it has no score, and a result needs one in 0..1")
        return missing
    if item["score"] is None:
        remedy = "write a number in 0..1" + ("" if missing is None else ", or leave the key out of what people drew")
        raise RecordError(f"score is null or NaN, which says nothing; {remedy}")
    return checks.score(item["score"])


def _mask(value: Any) -> str | None:
    """COCO's segmentation as JSON: polygons, or counts (text or numbers) with their size; None where there is none."""
    if value is None or value == []:
        return None
    if isinstance(value, list):
        if not all(isinstance(polygon, list) for polygon in value):
            raise RecordError("segmentation is a list of something else than polygons")
        return json.dumps([[checks.number(v, "a polygon's coordinate") for v in polygon] for polygon in value])
    if not isinstance(value, dict) or "counts" not in value:
        raise RecordError(f"segmentation is {checks.short(value)}, neither polygons nor run-length counts")
    size = [int(n) for n in checks.numbers(value.get("size"), 2, "segmentation's size")]
    counts = value["counts"]
    if isinstance(counts, list):
        counts = [_run(n) for n in counts]
    elif not isinstance(counts, str) or not counts.isascii():
        raise RecordError(f"segmentation's counts are {checks.short(counts)}, neither text nor a list of numbers")
    return json.dumps({"size": size, "counts": counts})


def _run(value: Any) -> int:
    length = checks.number(value, "a run length")
    if length < 0 or length != int(length):
        raise RecordError(f"a run length is {length:g}, not a whole number of at least 0")
    return int(length)
