"""Two good captioners and one that hallucinates: which of its texts are dropped, and of the others' by mistake.

    python -m benchmarks captions [--seeds 5] [--captioners 1 2 3] [--truth ../shared/data/coco50]

The captioners say human captions of the same images; the third swaps a thing in half of those where it can, for another
that its set has, but neither this image nor the others' captions. Detectors are the true boxes, degraded: small ones
are missed, some labels wrong, some boxes imagined. No labels are used. Beside ours: dropping every text that names a
thing without a region (`no region`), and as many texts as were swapped, those that agree least with the others (`least
agreement`, which is told how many). With two captioners or one, the good ones leave first. Regions are fused by mean
scores, and in one row with reliabilities learned from the boxes.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from consensus.vocabulary import Vocabulary
from engine import schema as s
from engine.grouped import Frames, Grouped
from engine.tokens import Tokens
from filters.syntax import noun_chunks
from pipelines.decide import objects, regions, reliability, texts, things
from pipelines.decide.texts import Seen, TextsConfig
from pipelines.decide.tokens import tokens_table
from specialists.label_match import shipped_words
from specialists.spacy_parser import SpacyParser

AT_ODDS = ("unseen thing", "another image")  # reasons of texts that say other than was seen
SHIPPED = Path(__file__).parents[2] / "shared" / "data" / "coco50"
CAPTIONERS = ("good_a", "good_b", "swapping")
RECALL = (0.5, 0.7, 0.85)  # of small, medium and large things


@dataclass(frozen=True)
class Scenes:
    """Images with their true labels and boxes, and three captions of each, parsed."""

    frames: Frames
    things: list[list[tuple[str, list[float]]]]
    said: list[list[str]]
    labels: list[str]

    def regions(self, detections: Mapping[str, Grouped], learned: bool = False) -> Grouped:
        """What the default settings make of boxes, with reliabilities `learned` from these or by mean scores."""
        ids, nothing, config = self.frames.ids, s.DECIDED_REGIONS.empty_table(), objects.ObjectsConfig()
        known, vocabularies = None, dict.fromkeys(detections, self.labels)
        if learned:
            words = Vocabulary.shipped()
            shards: list[tuple[int, Mapping[str, Grouped], reliability.Answered, list[pa.Table]]]
            shards = [(len(ids), detections, {}, [])]
            table = reliability.learn(
                shards, list(detections), config.min_score, config.fusion, frozenset(), vocabularies, words
            )
            known = reliability.known(table, words)
        found = objects.decide(self.frames, detections, config, vocabularies=vocabularies, learned=known)
        limits = regions.RegionsConfig()
        return Grouped.of(regions.decide(self.frames, Grouped.of(found, ids), Grouped.of(nothing, ids), limits), ids)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--captioners", type=int, nargs="+", default=[1, 2, 3], choices=[1, 2, 3])
    parser.add_argument("--truth", type=Path, default=SHIPPED)
    chosen = parser.parse_args(arguments)
    scenes = _scenes(chosen.truth)
    spacy = SpacyParser(SpacyParser.Config())
    spacy.load("cpu")
    table = shipped_words()
    words = table.names
    rows: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for seed in range(chosen.seeds):
        rng = np.random.default_rng(seed)
        said, swapped = _swapped(scenes, words, spacy, rng)
        detections = _detections(scenes, rng)
        for n in chosen.captioners:
            last = swapped.reshape(-1, len(CAPTIONERS))[:, -n:].ravel()
            dropped = _dropped(scenes, [three[-n:] for three in said], int(last.sum()), words, spacy, detections)
            for name, flags in dropped.items():
                rows.setdefault((n, name), []).append(_score(flags, last))
    print(f"{len(scenes.said)} images, {chosen.seeds} seeds; precision and recall of dropping the texts with a swap")
    for n in chosen.captioners:
        print(f"{f'{n} of the captioners':47}{'precision':>10}{'recall':>10}{'dropped':>10}")
        for (count, name), values in rows.items():
            if count == n:
                precision, recall, number = np.mean(values, axis=0)
                print(f"  {name:45}{precision:10.3f}{recall:10.3f}{number:10.1f}")


def _dropped(
    scenes: Scenes, said: list[list[str]], n_swapped: int, words: things.Words, spacy: Any,
    detections: Mapping[str, Grouped],
) -> dict[str, NDArray[np.bool_]]:  # fmt: skip
    """For each way of dropping the texts that it drops: (texts,), image by image, captioner by captioner."""
    captions, tokens = _tables(scenes, said, spacy)
    plain = Seen(scenes.regions(detections), dict.fromkeys(detections, scenes.labels), {})
    ways = {"labels alone, as in builds, learned regions": replace(plain, regions=scenes.regions(detections, True))}
    for name, table in (
        ("labels alone, as in builds", {}),
        ("with the grounder's words", words),
        ("with the table of words", things.meanings(Vocabulary.shipped(), scenes.labels)),
    ):
        seen = replace(plain, words=table)
        ways[f"{name}, assumed"] = seen
        ways[f"{name}, learned"] = replace(seen, reliability=texts.learn(scenes.frames, captions, tokens, seen))
    answers = {}
    for name, seen in ways.items():
        decided = texts.decide(scenes.frames, captions, tokens, {}, TextsConfig(), seen=seen)
        answers[name] = np.array([reason in AT_ODDS for reason in decided.column(s.REASON).to_pylist()])
    answers["no region, the grounder's words"] = _without_region(scenes, said, words, spacy, plain.regions)
    if len(captions) > 1:
        alone = texts.decide(scenes.frames, captions, tokens, {}, TextsConfig())
        agreement = np.nan_to_num(alone.column(s.CONFIDENCE).to_numpy().astype(float), nan=1.0)
        least = np.zeros(len(agreement), bool)
        least[np.argsort(agreement, kind="stable")[:n_swapped]] = True
        answers["least agreement"] = least
    return answers


def _without_region(
    scenes: Scenes, said: list[list[str]], words: things.Words, spacy: Any, found: Grouped
) -> NDArray[np.bool_]:
    flat = [text for three in said for text in three]
    named = things.named(spacy.parse(flat), flat, scenes.labels, words)
    accepted = things.sightings(found, {"any": scenes.labels}, np.zeros((len(said), 1), bool)).accepted
    hit = np.zeros(len(named.text), bool)
    np.logical_or.at(hit, named.mention, accepted[named.text[named.mention] // len(said[0]), named.label])
    dropped = np.zeros(len(flat), bool)
    dropped[named.text[~hit]] = True
    return dropped


def _swapped(
    scenes: Scenes, words: things.Words, spacy: Any, rng: np.random.Generator
) -> tuple[list[list[str]], NDArray[np.bool_]]:
    """The captions with the third captioner's swaps, and which texts have one."""
    flat = [text for three in scenes.said for text in three]
    tokens = spacy.parse(flat)
    chunks = noun_chunks(tokens, flat)
    meant = [things.named(_one(tokens, i), [flat[i]], scenes.labels, words) for i in range(len(flat))]
    here = {label for found in scenes.things for label, _ in found}
    said, swapped = [list(three) for three in scenes.said], np.zeros(len(flat), bool)
    for image, three in enumerate(said):
        row = image * len(CAPTIONERS) + len(CAPTIONERS) - 1
        taken = {label for label, _ in scenes.things[image]}
        for i in range(row - len(CAPTIONERS) + 1, row + 1):
            taken |= {scenes.labels[k] for k in meant[i].label.tolist()}
        known = [
            k
            for k in np.flatnonzero(chunks.text == row).tolist()
            if _known(chunks.phrase[k], chunks.lemma[k], scenes.labels, words)
        ]
        if not known or rng.random() < 0.5:
            continue
        k = int(rng.choice(known))
        other = str(rng.choice(sorted(here - taken)))
        text = three[-1]
        three[-1] = f"{text[: chunks.char_start[k]]}a {other}{text[chunks.char_end[k] :]}"
        swapped[row] = True
    return said, swapped


def _known(phrase: str, lemma: str, labels: Sequence[str], words: things.Words) -> bool:
    return any(w in labels or w in words for w in (lemma.lower(), " ".join(phrase.lower().split()[-2:])))


def _one(tokens: Tokens, i: int) -> Tokens:
    lo, hi = int(tokens.offsets[i]), int(tokens.offsets[i + 1])
    return Tokens(
        np.array([0, hi - lo], np.int64), tokens.start[lo:hi], tokens.end[lo:hi], tokens.lemma[lo:hi],
        tokens.upos[lo:hi], tokens.tag[lo:hi], tokens.head[lo:hi], tokens.dep[lo:hi],
    )  # fmt: skip


def _tables(scenes: Scenes, said: list[list[str]], spacy: Any) -> tuple[dict[str, Grouped], Grouped]:
    ids, who = scenes.frames.ids, CAPTIONERS[-len(said[0]) :]
    captions = {
        name: Grouped.of(
            pa.Table.from_pylist(
                [{s.IMAGE_ID: i, s.TEXT: three[n], s.GRANULARITY: "brief"} for i, three in zip(ids, said, strict=True)],
                schema=s.PREDICTED_TEXTS,
            ),
            ids,
        )
        for n, name in enumerate(who)
    }
    flat = [text for three in said for text in three]
    names = texts.text_ids(scenes.frames, captions)
    owners = [i for i in ids for _ in who]
    return captions, Grouped.of(tokens_table(owners, names, spacy.parse(flat)), ids)


def _detections(scenes: Scenes, rng: np.random.Generator) -> dict[str, Grouped]:
    """Two detectors that miss, confuse and imagine."""
    return {name: _degraded(scenes, rng) for name in ("a", "b")}


def _degraded(scenes: Scenes, rng: np.random.Generator) -> Grouped:
    rows: list[Mapping[str, Any]] = []
    for i, (name, found) in enumerate(zip(scenes.frames.ids, scenes.things, strict=True)):
        for label, (x, y, w, h) in found:
            if rng.random() > RECALL[int(np.searchsorted((32.0**2, 96.0**2), w * h))]:
                continue
            shown = label if rng.random() > 0.05 else str(rng.choice(scenes.labels))
            shift = rng.normal(0.0, 0.05, 4) * (w, h, w, h)
            rows.append(_row(name, shown, rng.uniform(0.3, 1.0), np.array([x, y, x + w, y + h]) + shift))
        for _ in range(rng.poisson(1.0)):
            x, y = rng.random(2) * (0.7 * scenes.frames.widths[i], 0.7 * scenes.frames.heights[i])
            rows.append(
                _row(name, str(rng.choice(scenes.labels)), rng.uniform(0.05, 0.5), np.array([x, y, x + 60, y + 60]))
            )
    return Grouped.of(pa.Table.from_pylist(rows, schema=s.PREDICTED_REGIONS), scenes.frames.ids)


def _row(image: str, label: str, score: float, box: NDArray[np.float64]) -> dict[str, Any]:
    return {
        s.IMAGE_ID: image,
        s.LABEL: label,
        s.SCORE: score,
        s.CROWD: False,
        **dict(zip(s.BOX, box.tolist(), strict=True)),
    }


def _score(dropped: NDArray[np.bool_], swapped: NDArray[np.bool_]) -> tuple[float, float, float]:
    right = float((dropped & swapped).sum())
    return right / max(dropped.sum(), 1), right / max(swapped.sum(), 1), float(dropped.sum())


def _scenes(folder: Path) -> Scenes:
    boxes = json.loads((folder / "instances.json").read_text())
    captions = json.loads((folder / "captions.json").read_text())
    names = {category["id"]: category["name"] for category in boxes["categories"]}
    images = sorted(boxes["images"], key=lambda image: str(image["id"]))
    place = {image["id"]: i for i, image in enumerate(images)}
    found: list[list[tuple[str, list[float]]]] = [[] for _ in images]
    said: list[list[str]] = [[] for _ in images]
    for thing in boxes["annotations"]:
        found[place[thing["image_id"]]].append((names[thing["category_id"]], thing["bbox"]))
    for caption in captions["annotations"]:
        said[place[caption["image_id"]]].append(caption["caption"].strip())
    frames = Frames(
        [str(image["id"]) for image in images],
        np.array([image["width"] for image in images], np.int32),
        np.array([image["height"] for image in images], np.int32),
    )
    return Scenes(frames, found, [three[: len(CAPTIONERS)] for three in said], sorted(names.values()))
