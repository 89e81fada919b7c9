"""What `fld eval` prints: the dictionary of `pipelines.eval.evaluate` as tables of at most 100 columns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipelines.evaluate.texts import FAMILIES
from pipelines.text_tables import DASH, filled, show

Json = Mapping[str, Any]
_AP: Final = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
_AP_HEADS: Final = ("AP", "AP50", "AP75", "small", "medium", "large", "AR100")
_HEADS: Final = {name: name.replace("attri", "attri-\n") for name in FAMILIES}
_SHORT: Final = {"precision": "prec.", "recall": "recall", "f1": "F1"}
CONSENSUS: Final = "consensus"


def render(found: Json, console: Console) -> None:
    """Print; what is empty is a dash."""
    notes = found["definitions"]
    images = found["images"]
    title = (
        f"{images['compared']:,} images compared; left out: {images['only_in_out']:,} that only OUT has, "
        f"{images['only_in_truth']:,} that only the truth has"
    )
    sections: list[tuple[Table, list[str]]] = [
        (_boxes(found["boxes"], found["masks"]), [notes["boxes"]]),
        (_classes(found["boxes"]), []),
    ]
    if found["text"] is not None:
        sections += [
            (_texts(found["text"]), [notes["text"]]),
            (_triplets(found["triplets"]), [notes["triplets"]]),
            (_ocr(found["ocr"]), [notes["ocr"]]),
        ]
    sections += [
        (_calibration(found["calibration"]), [notes["calibration"]]),
        (_reliability(found["calibration"]["bins"]), []),
        (_families(found["families"]), [notes["families"]]),
    ]
    if found["left_out"]:
        sections.append((filled("Left out", ["part", "because"], found["left_out"].items(), 2), []))
    unknown = found["boxes"]["unknown_labels"]
    if unknown["regions"]:
        sections[0][1].append(f"labels that the truth does not know: {_listed(unknown['labels'])}")
    show(title, sections, console)


def _boxes(boxes: Json, masks: Json | None) -> Table:
    bands = list(boxes["bands"])
    heads = ["", *_AP_HEADS, *(name.replace("_percent", " %").replace("from_", "").replace("_", " ") for name in bands)]
    rows = [(CONSENSUS, boxes), *boxes["specialists"].items()]
    if masks is not None:
        rows.append(("masks", masks))
    lines = (
        (name, *(_rate(row[key]) for key in _AP), *(_rate(row["bands"][key]) for key in bands)) for name, row in rows
    )
    return filled("Boxes: average precision", heads, lines, 1)


def _classes(boxes: Json) -> Table:
    """AP50 of each class, consensus beside every detector."""
    names = list(boxes["specialists"])
    tables = [boxes["classes"], *(boxes["specialists"][name]["classes"] for name in names)]
    lines = (
        (kind, f"{row['truths']:,}", *(_rate(table[kind]["ap50"]) for table in tables))
        for kind, row in boxes["classes"].items()
    )
    return filled("Boxes: AP50 by class", ["class", "truths", CONSENSUS, *names], lines, 1)


def _texts(text: Json) -> Table:
    heads = ["", "texts", *(f"{_HEADS[family]}\n{_SHORT[key]}" for family, key in _columns())]
    return filled("Texts", heads, _text_lines(text), 1)


def _columns() -> Iterator[tuple[str, str]]:
    """The rates that are shown: F1 for objects alone, to fit the page."""
    for family in FAMILIES:
        yield from ((family, key) for key in _SHORT if key != "f1" or family == "objects")


def _text_lines(text: Json) -> Iterator[tuple[Any, ...]]:
    for granularity, ceiling in text["ceiling"].items():
        parts = text[granularity]
        rows = [("all", parts["all"]), *parts["specialists"].items(), ("truth itself", ceiling)]
        yield (granularity.replace("_", " "),)
        for name, row in rows:
            yield (f"  {name}", row["texts"], *(_rate(row[family][key]) for family, key in _columns()))


def _triplets(row: Json) -> Table:
    heads = ["precision", "recall", "F1", "boxes", "judged", "right", "wanted", "found", "mask IoU"]
    cells = [_rate(row[key]) for key in ("precision", "recall", "f1")]
    counts = [row[key] for key in ("boxes", "claims", "right", "truths", "found")]
    return filled("Triplets", heads, [(*cells, *counts, _rate(row["mask_iou"]))], 0)


def _ocr(ocr: Json) -> Table:
    heads = ["", "words", "accuracy", "any case", "all words", "all words\nany case", "precision", "read"]
    return filled(
        "Printed words",
        heads,
        (_ocr_line(name, row) for name, row in [(CONSENSUS, ocr), *ocr["specialists"].items()]),
        1,
    )


def _ocr_line(name: str, row: Json) -> tuple[Any, ...]:
    exact, folded = row["case_sensitive"], row["any_case"]
    rates = (exact["accuracy"], folded["accuracy"], exact["accuracy_all"], folded["accuracy_all"], exact["precision"])
    return (name, exact["words"], *map(_rate, rates), exact["read"])


def _calibration(calibration: Json) -> Table:
    rows = [(CONSENSUS, calibration), ("triplets", calibration["triplets"]), *calibration["specialists"].items()]
    keys = ("ece", "brier", "mean_confidence", "accuracy")
    lines = ((name, row["count"], *(_rate(row[key]) for key in keys)) for name, row in rows if row is not None)
    return filled("Calibration", ["", "boxes", "ECE", "Brier", "mean confidence", "accuracy"], lines, 1)


def _reliability(bins: Iterable[Json]) -> Table:
    lines = (
        (f"{row['from']:.2f} to {row['to']:.2f}", row["count"], _rate(row["mean_confidence"]), _rate(row["accuracy"]))
        for row in bins
        if row["count"]
    )
    return filled("Reliability of the consensus", ["confidence", "boxes", "mean", "accuracy"], lines, 1)


def _families(families: Json) -> Table:
    lines = ((name.replace("_", "-"), _rate(value)) for name, value in families.items())
    return filled("Images with annotations of a family", ["family", "share"], lines, 1)


def _rate(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label or '(none)'} {count:,}" for label, count in counts.items())
