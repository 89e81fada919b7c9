"""What `fld stats` prints: the dictionary of `pipelines.stats.stats` as tables of at most 100 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.text_tables import filled, new_table, number, share, show

_TABLE_2: Final = ("annotations", "mean_tokens", "regions", "mean_regions", "mean_regional_tokens")
_SHORT: Final = ("anno-\ntations", "mean\ntokens", "\nregions", "mean\nregions", "region\ntokens")


def render(stats: Mapping[str, Any], console: Console) -> None:
    """Print; what is empty is a dash."""
    definitions = stats["definitions"]
    families = ("text", "region_text", "text_phrase_region")
    sections: tuple[tuple[Table, list[str]], ...] = (
        (_table_2(stats["table2"]), [f"{_words(name)}: {definitions[name]}" for name in families]),
        (_table_3(stats["table3"]), [definitions["table3"]]),
        (_rejected(stats["rejected"]), []),
        (_quarantine(stats["quarantine"]), []),
        (_regions(stats["regions_by_specialist"]), [definitions["predictions"]]),
        (_reliability(stats["reliability"]), [definitions["reliability"], *stats["advice"]]),
        (_missed(stats["missed"]), [definitions["missed"]]),
        (_texts(stats["texts_by_specialist"]), []),
        (_shapes(stats["shapes"]), [definitions["shapes"]]),
    )
    show(f"{stats['images']:,} images; beside ours, the paper: Florence-2 (Xiao et al., 2023)", sections, console)


def _table_2(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = new_table(
        "Table 2: annotations", ["", *(f"{n}\n{who}" for n in _SHORT for who in ("paper", "ours"))], gap=0
    )
    family = None
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            table.add_row(Text(_words(family), style="bold"))
        cells = (row[who][name] for name in _TABLE_2 for who in ("paper", "ours"))
        table.add_row("  " + _words(row["type"]), *map(number, cells))
    return table


def _table_3(rows: Sequence[Mapping[str, Any]]) -> Table:
    kinds = list(rows[0]["paper"])
    table = new_table(
        "Table 3: means per text", ["", *(f"{_words(k)}\n{who}" for k in kinds for who in ("paper", "ours"))]
    )
    for row in rows:
        cells = (row[who][kind] for kind in kinds for who in ("paper", "ours"))
        table.add_row(_words(row["measure"].removeprefix("n_")), *map(number, cells))
    return table


def _rejected(rows: Sequence[Mapping[str, Any]]) -> Table:
    return filled("Rejected", ["family", "stage", "reason", "count"], (tuple(row.values()) for row in rows), 3)


def _quarantine(rows: Sequence[Mapping[str, Any]]) -> Table:
    return filled("Quarantine", ["stage", "images", "faults"], (tuple(row.values()) for row in rows), 1)


def _regions(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["kind", "specialist", "kept", "rejected", "confirmed", "mean IoU", "label agreement"]
    return filled("Predictions of regions by specialist", heads, map(_agreement, rows), 2)


def _agreement(row: Mapping[str, Any]) -> tuple[Any, ...]:
    shares = (share(row["confirmed"]), row["mean_iou"], share(row["label_agreement"]))
    return (row["kind"], row["specialist"], row["kept"], row["rejected"], *shares)


def _reliability(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = [
        "detector",
        "recall\nsmall",
        "recall\nmedium",
        "recall\nlarge",
        "false",
        "side",
        "edge",
        "weight",
        "only it",
    ]
    names = [
        "recall_small",
        "recall_medium",
        "recall_large",
        "false_share",
        "side_error",
        "edge_error",
        "weight",
        "alone",
    ]
    for name, head in (("gold_ap", "people"), ("copy_of", "copy of")):
        if any(row[name] is not None for row in rows):
            names.append(name)
            heads.append(head)
    return filled("Reliability of detectors, learned", heads, ((r["specialist"], *map(r.get, names)) for r in rows), 1)


def _missed(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["detector", "word", "regions", "missed with it", "without"]
    cells = ((r["specialist"], r["word"], r["regions"], share(r["missed"]), share(r["missed_without"])) for r in rows)
    return filled("What detectors miss", heads, cells, 2)


def _texts(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["specialist", "kept", "rejected", "mean confidence"]
    return filled("Texts by specialist", heads, (tuple(row.values()) for row in rows), 1)


def _shapes(rows: Sequence[Mapping[str, Any]]) -> Table:
    def lines() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            for name in ("area_share", "log_aspect"):
                marks = [f"{value:.4f}" if name == "area_share" else f"{value:.2f}" for value in row[name].values()]
                yield (row["kind"], row["boxes"], _words(name), *marks)

    marks = list(rows[0]["area_share"]) if rows else []
    return filled("Shapes of boxes (as figure 5)", ["kind", "boxes", "quantiles of", *marks], lines(), 3)


def _words(name: str) -> str:
    return name.replace("_", " ") if name not in ("region_text", "text_phrase_region") else name.replace("_", "-")
