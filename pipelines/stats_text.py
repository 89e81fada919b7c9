"""What `fld stats` prints: the dictionary of `pipelines.stats.stats` as tables of at most 100 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

DASH: Final = "–"
_WIDTH = 100
_TABLE_2: Final = ("annotations", "mean_tokens", "regions", "mean_regions", "mean_regional_tokens")
_SHORT: Final = ("anno-\ntations", "mean\ntokens", "\nregions", "mean\nregions", "region\ntokens")


def render(stats: Mapping[str, Any], console: Console) -> None:
    """Print; what is empty is a dash."""
    if not console.is_terminal:  # rich takes 80 columns for a pipe, and the tables need more
        console = Console(file=console.file, width=_WIDTH)
    wide = min(console.width, _WIDTH)
    definitions = stats["definitions"]
    console.print(f"{stats['images']:,} images; beside ours, the paper: Florence-2 (Xiao et al., 2023)", width=wide)
    families = ("text", "region_text", "text_phrase_region")
    sections: tuple[tuple[Table, list[str]], ...] = (
        (_table_2(stats["table2"]), [f"{_words(name)}: {definitions[name]}" for name in families]),
        (_table_3(stats["table3"]), [definitions["table3"]]),
        (_rejected(stats["rejected"]), []),
        (_quarantine(stats["quarantine"]), []),
        (_regions(stats["regions_by_specialist"]), [definitions["predictions"]]),
        (_texts(stats["texts_by_specialist"]), []),
        (_shapes(stats["shapes"]), [definitions["shapes"]]),
    )
    for table, notes in sections:
        console.print()
        console.print(table, width=wide)
        for note in notes:
            console.print(Text(note, style="dim"), width=wide)


def _table_2(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Table 2: annotations", ["", *(f"{n}\n{who}" for n in _SHORT for who in ("paper", "ours"))], gap=0)
    family = None
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            table.add_row(Text(_words(family), style="bold"))
        cells = (row[who][name] for name in _TABLE_2 for who in ("paper", "ours"))
        table.add_row("  " + _words(row["type"]), *map(_number, cells))
    return table


def _table_3(rows: Sequence[Mapping[str, Any]]) -> Table:
    kinds = list(rows[0]["paper"])
    table = _table(
        "Table 3: means per text", ["", *(f"{_words(k)}\n{who}" for k in kinds for who in ("paper", "ours"))]
    )
    for row in rows:
        cells = (row[who][kind] for kind in kinds for who in ("paper", "ours"))
        table.add_row(_words(row["measure"].removeprefix("n_")), *map(_number, cells))
    return table


def _rejected(rows: Sequence[Mapping[str, Any]]) -> Table:
    return _filled("Rejected", ["family", "stage", "reason", "count"], (tuple(row.values()) for row in rows), 3)


def _quarantine(rows: Sequence[Mapping[str, Any]]) -> Table:
    return _filled("Quarantine", ["stage", "images", "faults"], (tuple(row.values()) for row in rows), 1)


def _regions(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["kind", "specialist", "kept", "rejected", "confirmed", "mean IoU", "label agreement"]
    return _filled("Predictions of regions by specialist", heads, map(_agreement, rows), 2)


def _agreement(row: Mapping[str, Any]) -> tuple[Any, ...]:
    shares = (_share(row["confirmed"]), row["mean_iou"], _share(row["label_agreement"]))
    return (row["kind"], row["specialist"], row["kept"], row["rejected"], *shares)


def _texts(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["specialist", "kept", "rejected", "mean confidence"]
    return _filled("Texts by specialist", heads, (tuple(row.values()) for row in rows), 1)


def _shapes(rows: Sequence[Mapping[str, Any]]) -> Table:
    def lines() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            for name in ("area_share", "log_aspect"):
                marks = [f"{value:.4f}" if name == "area_share" else f"{value:.2f}" for value in row[name].values()]
                yield (row["kind"], row["boxes"], _words(name), *marks)

    marks = list(rows[0]["area_share"]) if rows else []
    return _filled("Shapes of boxes (as figure 5)", ["kind", "boxes", "quantiles of", *marks], lines(), 3)


def _filled(title: str, heads: Sequence[str], rows: Iterator[tuple[Any, ...]] | Any, left: int) -> Table:
    """A table; a single dash where there are no rows. The first `left` columns are words."""
    table = _table(title, heads, left)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007  the last count is used below
        table.add_row(*(cell if isinstance(cell, str) else _number(cell) for cell in row))
    if not count:
        table.add_row(DASH)
    return table


def _table(title: str, heads: Sequence[str], left: int = 1, gap: int = 1) -> Table:
    look: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "pad_edge": False}
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), **look)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < left else "right", vertical="bottom", no_wrap=place == 0)
    return table


def _number(value: Any) -> str:
    """Counts in full up to 99,999 and in millions above 10 of them; a dash for what there is none of."""
    if value is None:
        return DASH
    if isinstance(value, int) and value < 100_000:
        return f"{value:,}" if value else DASH
    if value >= 10_000_000:
        return f"{value / 1e6:,.0f}M"
    if value >= 100_000:
        return f"{value / 1e6:.2f}M"
    return f"{value:.2f}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.0f} %"


def _words(name: str) -> str:
    return name.replace("_", " ") if name not in ("region_text", "text_phrase_region") else name.replace("_", "-")
