"""The plot of a sweep: panels over the swept values, drawn by hand as SVG, or with Pillow as PNG."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from engine.errors import ConfigError
from pipelines.sweep_text import at

Json = Mapping[str, Any]
_W, _H = 460, 310  # of a panel, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 82, 36  # margins of the axes within it
_KINDS: Final = (".svg", ".html", ".png")
_TICKS: Final = 5
_LABELS: Final = 8  # values written below a panel, at most
_SHARPER: Final = 2  # pixels of the PNG for one of the SVG
# Okabe and Ito (2008), Color Universal Design: told apart by all; their yellow is too light for lines.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_INK, _FAINT = "#333333", "#dddddd"
_RATES: Final = {
    "boxes precision": ("boxes", "precision"), "boxes recall": ("boxes", "recall"), "boxes AP": ("boxes", "ap"),
    "triplets precision": ("triplets", "precision"), "triplets recall": ("triplets", "recall"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    """Points (x, y) joined in order; with dots where `dots`."""

    points: Sequence[tuple[float, float]]
    colour: str
    dots: bool = False


@dataclass(frozen=True, slots=True)
class _Text:
    """Words at (x, y), their middle line; `anchor` is start, middle or end."""

    x: float
    y: float
    words: str
    anchor: str = "start"
    size: int = 11
    colour: str = _INK


_Shape = _Line | _Text


@dataclass(frozen=True, slots=True)
class _Panel:
    """Lines by name over the values; `whole` where the axis is a share and ends at 1."""

    title: str
    lines: Mapping[str, Sequence[float | None]]
    whole: bool


def check_name(file: str) -> None:
    """Raises: ConfigError: a plot cannot be drawn into a file of this name."""
    if Path(file).suffix not in _KINDS:
        raise ConfigError(f"--plot {file}: its name must end in {', '.join(_KINDS)}")


def plot(found: Json, file: str) -> None:
    """Draw the answer of `pipelines.sweep.sweep` into `file`: .svg, .html or .png.

    Raises:
        ConfigError: another ending, or a place that cannot be written.
    """
    check_name(file)
    path = Path(file)
    panels = list(_panels(found))
    width, height = _W * min(2, len(panels)), _H * ((len(panels) + 1) // 2)
    shapes = [shape for number, panel in enumerate(panels) for shape in _drawn(panel, found["values"], number)]
    heading = found["setting"] + "".join(f", {text}" for text in found["fixed"])
    shapes.append(_Text(12, 14, heading, size=13))
    try:
        if path.suffix == ".png":
            _png(path, shapes, width, height)
        else:
            path.write_text(_page(_svg(shapes, width, height), heading, path.suffix), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--plot {file}: {error.strerror or error}") from error


def _panels(found: Json) -> Iterator[_Panel]:
    """What is kept, how sure and how unanimous that is, and how right; of decisions that the setting changes."""
    rows = found["values"]
    stages = [n for n in rows[0]["stages"] if any(row["stages"][n] != rows[0]["stages"][n] for row in rows)]
    stages = stages or list(rows[0]["stages"])
    yield _Panel("kept", {n: [row["stages"][n]["kept"] for row in rows] for n in stages}, whole=False)
    for title in ("confidence", "agreement"):
        lines = {n: [row["stages"][n][title] for row in rows] for n in stages}
        lines = {n: line for n, line in lines.items() if any(v is not None for v in line)}
        if lines:
            yield _Panel(f"mean {title} of what is kept", lines, whole=True)
    if rows[0]["truth"] is not None:
        lines = {name: [at(row["truth"], path) for row in rows] for name, path in _RATES.items()}
        yield _Panel("against the truth", {n: v for n, v in lines.items() if any(x is not None for x in v)}, whole=True)


def _drawn(panel: _Panel, rows: Sequence[Json], number: int) -> Iterator[_Shape]:
    """The shapes of one panel in its place: two stand side by side."""
    x0, y0 = _W * (number % 2) + _LEFT, _H * (number // 2) + _TOP
    x1, y1 = _W * (number % 2 + 1) - _RIGHT, _H * (number // 2 + 1) - _BOTTOM
    known = [v for line in panel.lines.values() for v in line if v is not None]
    top = 1.0 if panel.whole else _round_up(max(known, default=0))
    yield _Text(x0, y0 - 46, panel.title, size=12)
    for tick in range(_TICKS + 1):
        value, y = top * tick / _TICKS, y1 - (y1 - y0) * tick / _TICKS
        yield _Line([(x0, y), (x1, y)], _FAINT if tick else _INK)
        yield _Text(x0 - 6, y, f"{value:.1f}" if panel.whole else f"{value:,.0f}", "end")
    places = _places([row["value"] for row in rows], x0 + 8, x1 - 8)
    step = -(-len(rows) // _LABELS)
    for x, row in list(zip(places, rows, strict=True))[::step]:
        yield _Text(x, y1 + 14, _written(row["value"]), "middle")
    across = (x1 - x0) / max(1, min(3, len(panel.lines)))
    for order, (name, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[order % len(_COLOURS)]
        points = [(x, y1 - (y1 - y0) * v / top) for x, v in zip(places, line, strict=True) if v is not None]
        yield _Line(points, colour, dots=True)
        x, y = x0 + across * (order % 3), y0 - 29 + 14 * (order // 3)
        yield _Line([(x + 3, y)], colour, dots=True)
        yield _Text(x + 10, y, name, colour=colour)


def _places(values: Sequence[Any], lo: float, hi: float) -> list[float]:
    """Numbers on a scale of their own; other values side by side."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    scale = [float(v) for v in values] if numeric else [float(i) for i in range(len(values))]
    first, last = min(scale), max(scale)
    return [lo + (hi - lo) * ((v - first) / (last - first) if last > first else 0.5) for v in scale]


def _round_up(value: float) -> float:
    """The next of 5, 10, 20, 50, 100 … that is not below `value`: five ticks divide each without a rest."""
    return float(next(m * 10**k for k in count() for m in (5, 10, 20) if m * 10**k >= value))


def _written(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 9 else text[:8] + "…"


# ---- the two ways to paint -----------------------------------------------------------------------------


def _svg(shapes: Sequence[_Shape], width: int, height: int) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">']
    parts.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for shape in shapes:
        if isinstance(shape, _Text):
            parts.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" dy="0.35em" text-anchor="{shape.anchor}" '
                f'font-size="{shape.size}" fill="{shape.colour}">{html.escape(shape.words)}</text>'
            )
            continue
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{1 + shape.dots}"/>'
        )
        if shape.dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{shape.colour}"/>' for x, y in shape.points]
    return "\n".join([*parts, "</svg>", ""])


def _page(svg: str, heading: str, suffix: str) -> str:
    if suffix == ".svg":
        return svg
    title = html.escape(heading)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n<body>\n{svg}</body></html>\n'
    )


def _png(path: Path, shapes: Sequence[_Shape], width: int, height: int) -> None:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (width * _SHARPER, height * _SHARPER), "white")
    pen = ImageDraw.Draw(picture)
    for shape in shapes:
        if isinstance(shape, _Text):
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
            font = ImageFont.load_default(shape.size * _SHARPER)
            pen.text((shape.x * _SHARPER, shape.y * _SHARPER), shape.words, shape.colour, font, anchor)
            continue
        points = [(x * _SHARPER, y * _SHARPER) for x, y in shape.points]
        pen.line(points, shape.colour, (1 + shape.dots) * _SHARPER)
        for x, y in points if shape.dots else ():
            pen.circle((x, y), 3 * _SHARPER, shape.colour)
    picture.save(path)
