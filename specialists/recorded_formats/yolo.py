"""YOLO text files: one file an image; a line is `class cx cy w h [confidence]`, or `class x0 y0 x1 y1 …` (a polygon).

All coordinates are fractions of the image's width and height.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.errors import ConfigError, RecordError
from specialists.recorded_formats import checks
from specialists.recorded_formats.index import Builder
from specialists.recorded_formats.names import is_text

SUFFIX: Final = ".txt"
NAME_FILES: Final = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_SLACK: Final = 0.01  # fractions are printed with few digits, and boxes at the border overshoot a little
MAX_BYTES: Final = 64 << 20  # of one image's file


def names_file(root: Path) -> Path | None:
    """The file that names the classes, in the folder of labels, beside it or above it."""
    here = root if root.is_dir() else root.parent
    folders = (here, here.parent, here.parent.parent)
    return next((path for folder in folders for name in NAME_FILES if (path := folder / name).is_file()), None)


def class_names(path: Path) -> dict[str, str]:
    """Names by class number as text, from a data.yaml (`names:` a list or a mapping) or one name a line.

    Raises:
        ConfigError: the file says something else.
    """
    try:
        text = path.read_text("utf-8")
        listed: Any = _yaml(text) if path.suffix in (".yaml", ".yml") else [n for n in text.splitlines() if n.strip()]
        pairs = listed.items() if isinstance(listed, Mapping) else enumerate(listed)
        return {str(int(key)): checks.text(name, f"name {key}") for key, name in pairs}
    except (RecordError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} does not name the classes ({error}). Give them as names = [...].") from error


def read(files: Sequence[Path], root: Path, names: Mapping[str, str], build: Builder) -> None:
    """Each file is about the image with its name; a line that cannot be read is a fault of that image."""
    for key, name in names.items():
        build.category(key, name)
    for file in files:
        own = (file.relative_to(root) if root.is_dir() else Path(file.name)).with_suffix("").as_posix()
        if not is_text(own):
            build.orphan(f"the file name {own!r} is not UTF-8")
            continue
        build.image(own, own)
        try:
            lines = _lines(file)
        except RecordError as error:
            build.fault(own, f"{file.name}: {error}")
            continue
        for number, line in enumerate(lines, 1):
            try:
                if fields := line.split():
                    _add(own, fields, build)
            except RecordError as error:
                build.fault(own, f"{file.name}, line {number}: {error}")


def _lines(file: Path) -> list[str]:
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise RecordError(f"it has {size} bytes; the labels of one image have at most {MAX_BYTES}")
    try:
        return file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RecordError(f"it is not UTF-8 text ({error.reason} at byte {error.start})") from None


def _add(image: str, fields: Sequence[str], build: Builder) -> None:
    label = fields[0]
    if not (label.isascii() and label.isdigit()):
        raise RecordError(f"the class is {checks.short(label)}, not a number")
    values = [_fraction(field) for field in fields[1:]]
    if len(values) in (4, 5):
        score = checks.score(values[4], "confidence") if len(values) == 5 else 1.0
        _within(values[:4])
        cx, cy, w, h = values[:4]
        corners = checks.box((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), "the box")
        build.box(image, corners, label=str(int(label)), score=score)
    elif len(values) >= 6 and len(values) % 2 == 0:
        _within(values)
        xs, ys = values[::2], values[1::2]
        corners = checks.box((min(xs), min(ys), max(xs), max(ys)), "the polygon")
        build.box(image, corners, label=str(int(label)), mask=json.dumps([values]))
    else:
        raise RecordError(f"it has {len(values)} numbers after the class; a box has 4 or 5, a polygon 6, 8, 10 …")


def _fraction(field: str) -> float:
    try:
        value = float(field)
    except ValueError:
        raise RecordError(f"{checks.short(field)} is not a number") from None
    return checks.number(value, "a value")


def _within(values: Sequence[float]) -> None:
    outside = [v for v in values if not -_SLACK <= v <= 1 + _SLACK]
    if outside:
        raise RecordError(f"{outside[0]:g} is not a fraction of the image; YOLO coordinates are within 0..1")


def _yaml(text: str) -> Any:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, Mapping) or not isinstance(found.get("names"), (list, Mapping)):
        raise ValueError("it has no list 'names'")
    return found["names"]
