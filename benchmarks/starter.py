"""The starter kit's specialists, each alone, on scenes that none was trained on.

    python -m benchmarks starter [--count 300] [--seed 20260] [--difficulty normal] [--only NAME ...]

Everything goes through the adapters, as in a build with `--profile starter`. `truth` says what it was asked and how it
is judged; the engine as a whole is measured by `fld eval`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.geometry import iou_matrix
from engine.masks import decode
from engine.records import Image, Phrases, Regions
from pipelines.config import Chosen, load_config, specialists_of
from pipelines.scenes import draw
from pipelines.scenes.kinds import CATEGORIES
from pipelines.starter.coca import kinds_of
from pipelines.starter.scenes import Example, read
from pipelines.starter.scoring import average_precision

SMALL: Final = 0.015  # of the image: below it, yolo_large has seen nothing
READABLE: Final = 12.0  # pixels of a word's height


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--difficulty", default="normal")
    parser.add_argument("--profile", default="starter")
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fld-bench-") as folder:
        draw(Path(folder), given.count, given.seed, difficulty=given.difficulty)
        examples = read(Path(folder))
    print(f"{'specialist':24} {'images/s':>8}  scores on {len(examples)} {given.difficulty} scenes")
    for table, of_role in specialists_of(load_config(None, given.profile)).items():
        for chosen in of_role:
            judge = _JUDGES.get(table)
            name = f"{table}.{chosen.name}"
            if judge is None or (given.only and not {table, chosen.name, name} & set(given.only)):
                continue
            made = chosen.card.cls(chosen.config)
            made.load("cpu")
            started = time.monotonic()
            scores = judge(made, chosen, examples)
            speed = len(examples) / (time.monotonic() - started)
            print(f"{name:24} {speed:8.1f}  " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()), flush=True)


def _batches(examples: list[Example], chosen: Chosen) -> Iterator[tuple[list[Example], list[Image]]]:
    for lo in range(0, len(examples), chosen.config.batch_size):
        some = examples[lo : lo + chosen.config.batch_size]
        yield some, [_image(example) for example in some]


def _image(example: Example) -> Image:
    pixels = example.pixels()
    return Image(example.truth["file_name"], "", pixels.shape[1], pixels.shape[0], lambda: pixels)


def _detector(made: Any, chosen: Chosen, examples: list[Example]) -> dict[str, float]:
    """AP and AP50 over all objects, and where its blind spots are: recall at IoU 0.5 by size and by colour."""
    number = {name: i - 1 for name, i in CATEGORIES.items()}
    found = []
    hits: list[tuple[float, str, bool]] = []
    for some, images in _batches(examples, chosen):
        for example, regions in zip(some, made.detect(images), strict=True):
            known = np.array([label in number for label in regions.labels], bool)
            classes = np.array([number.get(label, -1) for label in regions.labels], np.int64)
            found.append((regions.boxes[known], regions.scores[known], classes[known]))
            sure = regions.scores >= 0.25
            same = classes[None] == example.classes()[:, None]
            near = (iou_matrix(example.boxes(), regions.boxes) >= 0.5) & same & sure[None]
            sides = example.boxes()[:, 2:] - example.boxes()[:, :2]
            areas = sides.prod(axis=1) / (example.truth["width"] * example.truth["height"])
            colours = [thing["colour"] for thing in example.truth["objects"]]
            hits += list(zip(areas.tolist(), colours, near.any(axis=1).tolist(), strict=True))
    scores = average_precision(examples, found)
    small = [hit for area, _, hit in hits if area < SMALL]
    large = [hit for area, _, hit in hits if area >= SMALL]
    scores |= {"recall_small": float(np.mean(small)), "recall_large": float(np.mean(large))}
    for colour in sorted({colour for _, colour, _ in hits}):
        scores[f"recall_{colour}"] = float(np.mean([hit for _, c, hit in hits if c == colour]))
    return scores


def _captioner(made: Any, chosen: Chosen, examples: list[Example]) -> dict[str, float]:
    """Kinds of things named, for each granularity: precision against the scene, recall of what its caption names."""
    counts: dict[str, NDArray[np.int64]] = {}
    for some, images in _batches(examples, chosen):
        for example, captions in zip(some, made.caption(images), strict=True):
            there = {thing["kind"] for thing in example.truth["objects"]}
            for text, granularity in zip(captions.texts, captions.granularities, strict=True):
                named, told = kinds_of(text), set(example.truth["captions"][granularity]["counts"])
                row = [len(named & there), len(named), len(named & told), len(told)]
                counts[granularity] = counts.get(granularity, np.zeros(4, np.int64)) + row
    scores = {}
    for granularity, (right, said, found, wanted) in counts.items():
        precision, recall = right / max(said, 1), found / max(wanted, 1)
        scores[f"{granularity}_precision"] = precision
        scores[f"{granularity}_recall"] = recall
        scores[f"{granularity}_f1"] = 2 * precision * recall / max(precision + recall, 1e-9)
    return scores


def _scorer(made: Any, chosen: Chosen, examples: list[Example]) -> dict[str, float]:
    """How often a scene's own caption is the most similar of it and 19 of other scenes, by granularity."""
    rng = np.random.default_rng(0)
    scores = {}
    for granularity in ("brief", "detailed", "more_detailed"):
        texts = [example.truth["captions"][granularity]["text"] for example in examples]
        right, asked = 0, []
        for own in texts:
            others = [texts[j] for j in rng.permutation(len(texts)).tolist() if texts[j] != own][:19]
            asked.append([own, *others])
        for lo, (_, images) in zip(
            range(0, len(examples), chosen.config.batch_size), _batches(examples, chosen), strict=True
        ):
            for similar in made.score(images, asked[lo : lo + len(images)]):
                right += bool(similar[0] > similar[1:].max())
        scores[f"{granularity}_one_of_20"] = right / len(texts)
    return scores


def _segmenter(made: Any, chosen: Chosen, examples: list[Example]) -> dict[str, float]:
    """Mean IoU of masks, given the true boxes."""
    overlaps, promised = [], []
    for some, images in _batches(examples, chosen):
        for example, answer in zip(some, made.segment(images, [e.boxes() for e in some]), strict=True):
            size = example.truth["height"], example.truth["width"]
            for i, code in enumerate(answer.masks):
                true = example.mask(i)
                seen = decode(code, *size) if code is not None else np.zeros(size, bool)
                overlaps.append((seen & true).sum() / (seen | true).sum())
            promised += answer.scores.tolist()
    return {"miou": float(np.mean(overlaps)), "predicted_iou": float(np.mean(promised))}


def _grounder(made: Any, chosen: Chosen, examples: list[Example]) -> dict[str, float]:
    """The phrases of all three true captions: recall of their boxes at IoU 0.5, and precision of what was found."""
    found = wanted = right = said = 0
    for some, images in _batches(examples, chosen):
        asked, truth = zip(*(_phrases(example) for example in some), strict=True)
        for example, phrases, things, answer in zip(some, asked, truth, made.ground(images, asked), strict=True):
            for i in range(len(phrases.texts)):
                boxes, true = answer.boxes[answer.phrase == i], example.boxes()[things[i]]
                near = iou_matrix(true, boxes) >= 0.5
                found, wanted = found + int(near.any(axis=1).sum()), wanted + len(true)
                right, said = right + int(near.any(axis=0).sum()), said + len(boxes)
    return {"recall": found / max(wanted, 1), "precision": right / max(said, 1)}


def _phrases(example: Example) -> tuple[Phrases, list[list[int]]]:
    index = {thing["id"]: i for i, thing in enumerate(example.truth["objects"])}
    told = [phrase for caption in example.truth["captions"].values() for phrase in caption["phrases"]]
    texts = [phrase["phrase"].partition(" (")[0] for phrase in told]
    things = [[index[i] for i in phrase["objects"]] for phrase in told]
    heads = [example.truth["objects"][of_phrase[0]]["kind"] for of_phrase in things]
    numbers = np.array([len(of_phrase) for of_phrase in things], np.int32)
    nothing = Regions(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), [])
    return Phrases(texts, heads, numbers, nothing), things


def _reader(made: Any, chosen: Chosen, examples: list[Example]) -> dict[str, float]:
    """Words at least READABLE pixels high and wholly visible that were read letter by letter, case aside."""
    right = wanted = said = 0
    for some, images in _batches(examples, chosen):
        for example, answer in zip(some, made.read(images), strict=True):
            read_words = [word for text in answer.texts for word in text.upper().split()]
            words = [w for w in example.truth["words"] if w["visibility"] >= 0.95 and w["height"] >= READABLE]
            right += sum(word["text"].upper() in read_words for word in words)
            wanted, said = wanted + len(words), said + len(read_words)
    return {"word_accuracy": right / max(wanted, 1), "words": wanted, "words_read": said}


_JUDGES: Final[dict[str, Callable[[Any, Chosen, list[Example]], dict[str, float]]]] = {
    "detectors": _detector,
    "captioners": _captioner,
    "scorers": _scorer,
    "segmenters": _segmenter,
    "grounders": _grounder,
    "readers": _reader,
}
