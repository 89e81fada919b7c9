"""Tables for people, as the commands print them: at most 100 columns, and a dash for what is empty."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

DASH: Final = "–"
_WIDTH: Final = 100


def show(title: str, sections: Iterable[tuple[Table, Sequence[str]]], console: Console) -> None:
    """Print a line, and each table with the notes that belong to it."""
    if not console.is_terminal:  # rich takes 80 columns for a pipe, and the tables need more
        console = Console(file=console.file, width=_WIDTH)
    wide = min(console.width, _WIDTH)
    console.print(title, width=wide)
    for table, notes in sections:
        console.print()
        console.print(table, width=wide)
        for note in notes:
            console.print(Text(note, style="dim"), width=wide)


def filled(title: str, heads: Sequence[str], rows: Iterator[tuple[Any, ...]] | Any, left: int) -> Table:
    """A table; a single dash where there are no rows. The first `left` columns are words."""
    table = new_table(title, heads, left)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007  the last count is used below
        table.add_row(*(cell if isinstance(cell, str) else number(cell) for cell in row))
    if not count:
        table.add_row(DASH)
    return table


def new_table(title: str, heads: Sequence[str], left: int = 1, gap: int = 1) -> Table:
    """A table without rows; the first `left` columns are words, `gap` is the space after each column."""
    look: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "pad_edge": False}
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), **look)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < left else "right", vertical="bottom", no_wrap=place == 0)
    return table


def number(value: Any) -> str:
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


def share(value: float | None) -> str | None:
    """A share as percent, None where there is none."""
    return None if value is None else f"{100 * value:.0f} %"
