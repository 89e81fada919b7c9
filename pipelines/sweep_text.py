"""What `fld sweep` prints: the dictionary of `pipelines.sweep.sweep` as tables of at most 100 columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipelines.text_tables import DASH, filled, show

Json = Mapping[str, Any]
_REASONS: Final = 5  # columns of reasons beside the others


def render(found: Json, console: Console) -> None:
    """Print a table for each decision that changes, one for the truth, and say what does not change."""
    rows, notes = found["values"], found["definitions"]
    fixed = f" (with {', '.join(found['fixed'])})" if found["fixed"] else ""
    stages = list(rows[0]["stages"])
    moving = [name for name in stages if any(row["stages"][name] != rows[0]["stages"][name] for row in rows)]
    sections: list[tuple[Table, list[str]]] = [(_stage(found, name), []) for name in moving]
    if rows[0]["truth"] is not None:
        sections.append((_truth(found), [notes["truth"]]))
    if sections:
        sections[-1][1].extend(f"{name}: {notes[name]}" for name in ("confidence", "agreement"))
    show(f"{found['setting']}{fixed}", sections, console)
    still = [name for name in stages if name not in moving]
    lost = sorted({name for row in rows for name in row["quarantined"]})
    for text in (
        f"images in quarantine are not counted, of {', '.join(lost)}" if lost else "",
        f"the same for every value: {', '.join(still)}" if still else "",
        f"left out, for they wait for a specialist: {', '.join(found['left_out'])}" if found["left_out"] else "",
    ):
        if text:
            console.print(text, soft_wrap=True)


def _stage(found: Json, name: str) -> Table:
    rows = [(row["value"], row["stages"][name]) for row in found["values"]]
    totals: dict[str, int] = {}
    for _, stage in rows:
        for reason, count in stage["rejected"].items():
            totals[reason] = totals.get(reason, 0) + count
    shown = sorted(totals, key=lambda reason: -totals[reason])[:_REASONS]
    others = set(totals) - set(shown)
    heads = ["value", "kept", "rejected", *shown, *(["others"] if others else []), "mean\nconfidence", "agreement"]
    family = rows[0][1]["family"].replace("_", "-")
    return filled(f"{name} ({family})", heads, _stage_lines(rows, shown, others), 1)


def _stage_lines(rows: Sequence[tuple[Any, Json]], shown: Sequence[str], others: set[str]) -> Iterator[tuple[Any, ...]]:
    for value, stage in rows:
        rejected = stage["rejected"]
        counts = [rejected.get(reason, 0) for reason in shown]
        rest = [sum(rejected.get(reason, 0) for reason in others)] if others else []
        shares = (_rate(stage["confidence"]), _rate(stage["agreement"]))
        yield (_written(value), stage["kept"], sum(rejected.values()), *counts, *rest, *shares)


def _truth(found: Json) -> Table:
    """Rates against the truth; a family that was not measured has no columns."""
    columns = [
        ("boxes\nAP", ("boxes", "ap")), ("boxes\nprec.", ("boxes", "precision")), ("boxes\nrecall", ("boxes", "recall")),
        ("brief\nprec.", ("text", "brief", "precision")), ("brief\nrecall", ("text", "brief", "recall")),
        ("triplets\nprec.", ("triplets", "precision")), ("triplets\nrecall", ("triplets", "recall")),
        ("words\nprec.", ("ocr", "precision")), ("words\nread", ("ocr", "accuracy")), ("\nECE", ("ece",)),
    ]  # fmt: skip
    rows = [(row["value"], [at(row["truth"], path) for _, path in columns]) for row in found["values"]]
    there = [i for i in range(len(columns)) if any(cells[i] is not None for _, cells in rows)]
    heads = ["value", *(columns[i][0] for i in there)]
    lines = ((_written(value), *(_rate(cells[i]) for i in there)) for value, cells in rows)
    return filled(f"Against the truth, {found['values'][0]['truth']['images']:,} images", heads, lines, 1)


def at(found: Any, path: Sequence[str]) -> Any:
    """What stands in nested dictionaries at `path`; None where there is nothing on the way."""
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _rate(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
