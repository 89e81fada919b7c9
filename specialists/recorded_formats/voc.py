"""Pascal VOC XML: one file an image, boxes as 1-based pixels that belong to the box (VOC devkit, section 'bndbox')."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.errors import RecordError
from specialists.recorded_formats import checks
from specialists.recorded_formats.index import Builder
from specialists.recorded_formats.names import components, is_text, without_suffix

SUFFIX: Final = ".xml"
MAX_BYTES: Final = 64 << 20  # of one image's file


def read(files: Sequence[Path], root: Path, build: Builder) -> None:
    """Each file is about the image with its own name, or the one it names; broken ones are that image's faults."""
    for file in files:
        own = (file.relative_to(root) if root.is_dir() else Path(file.name)).with_suffix("").as_posix()
        if not is_text(own):
            build.orphan(f"the file name {own!r} is not UTF-8")
            continue
        try:
            tree = _parse(file)
        except RecordError as error:
            build.image(own, own)
            build.fault(own, f"{file.name}: {error}")
            continue
        image = _image(tree, own, build)
        for number, item in enumerate(tree.findall("object"), 1):
            try:
                _object(image, item, build)
            except RecordError as error:
                build.fault(image, f"{file.name}, object {number}: {error}")


def _parse(file: Path) -> ET.Element:
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise RecordError(f"it has {size} bytes; the annotations of one image have at most {MAX_BYTES}")
    try:
        # Expat refuses entities that multiply without limit, and follows no external ones.
        tree = ET.parse(file).getroot()  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as error:
        raise RecordError(f"not well-formed XML ({error})") from error
    if tree.tag != "annotation":
        raise RecordError(f"its root is <{tree.tag}>, not <annotation>")
    return tree


def _image(tree: ET.Element, own: str, build: Builder) -> str:
    """Announce the image; the id under which its records are kept.

    As in VOC itself, `Annotations/7.xml` is about `7.jpg`. The <filename> inside adds the extension; where it is
    another name altogether (files get renamed), it becomes the id, which is tried when no name fits.
    """
    width, height = _pixels(tree, "width"), _pixels(tree, "height")
    written = (components(tree.findtext("filename") or "") or [""])[-1]
    if without_suffix(written) == own.rpartition("/")[2]:
        own = own.removesuffix(without_suffix(written)) + written
    elif written and is_text(written) and build.image(written, own, width, height):
        return written
    build.image(own, own, width, height)
    return own


def _pixels(tree: ET.Element, side: str) -> int:
    text = (tree.findtext(f"size/{side}") or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _object(image: str, item: ET.Element, build: Builder) -> None:
    label = checks.text(item.findtext("name"), "name")
    x0, y0, x1, y1 = (_number(item, side) for side in ("xmin", "ymin", "xmax", "ymax"))
    score = item.findtext("score", item.findtext("confidence"))
    build.category(label, label)
    corners = checks.box((x0 - 1, y0 - 1, x1, y1), "bndbox")
    build.box(image, corners, label=label, score=1.0 if score is None else checks.score(_float(score, "score")))


def _number(item: ET.Element, side: str) -> float:
    text = item.findtext(f"bndbox/{side}")
    if text is None:
        raise RecordError(f"it has no bndbox/{side}")
    return checks.number(_float(text, side), side)


def _float(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RecordError(f"{what} is {checks.short(text)}, not a number") from None
