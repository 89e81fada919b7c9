"""One image as the page's program reads it: plain JSON, short numbers, places in lists instead of ids."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from engine import schema as s
from engine.errors import RecordError
from pipelines.report.outline import path
from pipelines.report.rows import Row, Scene

COLOURS: Final = 11  # classes c0 … c10 of page.css
WRITING: Final = "w"  # the class of everything that was read
_VOTE: Final = tuple(field.name for field in s.VOTE)


def palette(scenes: Iterable[Scene]) -> dict[str, str]:
    """Label → class of colour: the most frequent labels differ from each other, and each is the same on every card."""
    counts = Counter(row[s.LABEL] for scene in scenes for row in scene.rows["region_text"] if row[s.KIND] == "object")
    ranked = sorted(counts, key=lambda label: (-counts[label], label or ""))
    return {label: f"c{place % COLOURS}" for place, label in enumerate(ranked)}


def record(scene: Scene, colours: Mapping[str, str]) -> dict[str, Any]:
    """What the page draws of one image: `regions`, `phrases` and `rejected`, with boxes and outlines in its pixels.

    A phrase has its boxes together; `region` is the place in `regions` of the region that a box is, or null. `text` is
    the place in the scene's texts of the text that a phrase, kept or rejected, is taken from, or null.
    """
    image = scene.image or {}
    size = (image.get(s.HEIGHT), image.get(s.WIDTH))
    regions = scene.rows["region_text"]
    region_at = {row[s.REGION_ID]: place for place, row in enumerate(regions)}
    text_at = {row[s.TEXT_ID]: place for place, row in enumerate(scene.rows["text"])}
    return {
        "id": scene.image_id,
        "width": size[1],
        "height": size[0],
        "regions": [_region(row, size, colours) for row in regions],
        "phrases": _phrases(scene.rows["text_phrase_region"], regions, region_at, text_at, size),
        "rejected": [_rejected(row, text_at) for row in scene.rows["rejected"]],
    }


def _region(row: Row, size: tuple[Any, Any], colours: Mapping[str, str]) -> dict[str, Any]:
    writing = row[s.KIND] == "text"
    return {
        "kind": row[s.KIND],
        "colour": WRITING if writing else colours[row[s.LABEL]],
        "label": row[s.TEXT] if writing else row[s.LABEL],
        "text": row[s.TEXT],
        "granularity": row[s.GRANULARITY],
        "similarity": _number(row[s.SIMILARITY]),
        "confidence": _number(row[s.CONFIDENCE]),
        "eligible": row[s.N_ELIGIBLE],
        "box": _box(row),
        "quad": _pixels(row[s.QUAD]),
        "mask": _outline(row[s.MASK], size),
        "votes": _votes(row[s.VOTES]),
        "candidates": [
            [said[s.TEXT], said[s.GRANULARITY], said[s.SPECIALIST], _number(said[s.SIMILARITY])]
            for said in row[s.CANDIDATES] or ()
        ],
    }


def _phrases(
    rows: Sequence[Row],
    regions: Sequence[Row],
    region_at: Mapping[str, int],
    text_at: Mapping[str, int],
    size: tuple[Any, Any],
) -> list[dict[str, Any]]:
    phrases: dict[str, dict[str, Any]] = {}
    for row in rows:
        phrase = phrases.setdefault(
            row[s.PHRASE_ID],
            {
                "phrase": row[s.PHRASE],
                "score": _number(row[s.PHRASE_SCORE]),
                "text": text_at.get(row[s.TEXT_ID]),
                "span": [row[s.START], row[s.END]],
                "boxes": [],
            },
        )
        region = region_at.get(row[s.REGION_ID])
        same = region is not None and regions[region][s.MASK] == row[s.MASK]
        phrase["boxes"].append(
            {
                "box": _box(row),
                "region": region,
                "confidence": _number(row[s.CONFIDENCE]),
                "mask": None if same else _outline(row[s.MASK], size),  # null: the region's own
                "votes": _votes(row[s.VOTES]),
            }
        )
    return list(phrases.values())


def _rejected(row: Row, text_at: Mapping[str, int]) -> dict[str, Any]:
    item = json.loads(row[s.ITEM] or "{}")
    votes = _votes([{name: vote.get(name) for name in _VOTE} for vote in item.get(s.VOTES, ())])
    who = dict.fromkeys(filter(None, [item.get(s.SPECIALIST), *(vote[0] for vote in votes)]))
    said = item.get(s.PHRASE) or item.get(s.TEXT) or item.get(s.LABEL)
    return {
        "family": row[s.FAMILY],
        "stage": row[s.STAGE],
        "reason": row[s.REASON],
        "value": _number(row[s.VALUE]),
        "threshold": _number(row[s.THRESHOLD]),
        "said": said or item.get("message") or item.get(s.REGION_ID) or "",
        "by": list(who),
        "text": text_at.get(item.get(s.TEXT_ID)),
        "span": [item[s.START], item[s.END]] if s.PHRASE in item else None,
        "box": _box(item),
        "quad": _pixels(item.get(s.QUAD)),
        "votes": [vote for vote in votes if vote[3]],
    }


def _votes(votes: Sequence[Row] | None) -> list[list[Any]]:
    return [[v[s.SPECIALIST], v[s.LABEL], _number(v[s.SCORE]), _box(v)] for v in votes or ()]


def _outline(rle: str | None, size: tuple[Any, Any]) -> str | None:
    if rle is None or None in size:
        return None
    try:
        return path(rle, *size) or None
    except RecordError:  # `fld verify` reports it; the page shows the rest
        return None


def _box(row: Row) -> list[float] | None:
    return _pixels([row.get(name) for name in s.BOX])


def _pixels(values: Sequence[float | None] | None) -> list[float] | None:
    """Tenths of a pixel; None where a coordinate is missing or no number."""
    if not values:
        return None
    numbers = [_number(value, 1) for value in values]
    return None if None in numbers else [number for number in numbers if number is not None]


def _number(value: float | None, digits: int = 4) -> float | None:
    """Rounded, a whole number without its point; None for what JSON cannot say."""
    if value is None or not math.isfinite(value):
        return None
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded
