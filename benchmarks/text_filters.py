"""What the filters of texts keep of human captions, and what they reject of noise; and the paper's table 3 beside ours.

    python -m benchmarks text_filters [--data ../shared/data] [--seed 0]

Captions are those of coco50, five an image. Noise is made of one caption of each image, five kinds with a seed: its
words shuffled, the caption of another image, a prompt around it, an address in it, a notice in capitals. A captioner
of its own says it, alone or beside another that says the image's four other captions. Detectors are the true boxes of
the images, as a detector of COCO's 80 classes with a score of 0.9. No scorer, the default profile: a caption of another
image is found only where it names things of those classes, or the image has large ones that it does not name.

No pattern or threshold was fitted to these captions: patterns were written from knowledge of what captioners and pages
say, and the thresholds chosen on `captions1000.json` without the images of coco50. But the numbers are a little
favourable: coco50 was looked at six times while this was made, `consensus.aboutness` was added after captions of swapped
images were seen not to be caught here (its constants are assumed, not fitted), and prompts, addresses and notices were
written by the authors of the patterns.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine import schema as s
from engine.grouped import Frames, Grouped
from filters.enhance import enhanced
from filters.syntax import Measures, measures
from pipelines.decide import texts
from pipelines.decide.objects import ObjectsConfig
from pipelines.decide.objects import decide as objects
from pipelines.decide.regions import RegionsConfig
from pipelines.decide.regions import decide as regions
from pipelines.decide.texts import Seen, TextsConfig
from pipelines.decide.tokens import tokens_table
from specialists.label_match import shipped_words
from specialists.spacy_parser import SpacyParser

DATA = Path(__file__).parents[2] / "shared" / "data"
KINDS = ("shuffled", "swapped image", "prompt", "address", "capitals")
FOR_A_SCORER = "swapped image"
PROMPTS = (
    "istant: {}", "USER: Describe the image. ASSISTANT: {}", "As an AI language model, I see {}", "Caption this image: {}",
    "The image shows {}", "<|im_start|>{}<|im_end|>", "Sure, here is a description of the image: {}",
    "I'm sorry, but I cannot view images. {}", "### Response: {}", "In this picture, {}",
)  # fmt: skip
ADDRESSES = (
    "{} http://photos.example.com/{:05d}",
    "{} www.pictures{:d}.net",
    "{} IMG_{:04d}.jpg",
    "photo{:d}.example.org {}",
)
NOTICES = (
    "CLICK HERE FOR MORE PHOTOS", "ALL RIGHTS RESERVED", "BUY NOW AND GET FREE SHIPPING", "DOWNLOAD THIS WALLPAPER TODAY",
    "SUBSCRIBE TO OUR NEWSLETTER", "NO IMAGE AVAILABLE AT THIS TIME", "LIMITED TIME OFFER ORDER ONLINE",
    "FOLLOW US ON SOCIAL MEDIA", "DO NOT COPY WITHOUT PERMISSION", "WELCOME TO OUR WEBSITE",
)  # fmt: skip
# Table 3 of the paper, brief texts, and why ours differ on captions of COCO.
PAPER = {
    "n_objects": (3.23, "captions of COCO name all that matters, 10.4 words; the paper's brief texts have 7.95 tokens"),
    "n_attributes": (2.80, "the paper does not say what counts; with determiners, 2.1 a caption, ours would be above"),
    "n_actions": (0.58, "captions of COCO say what people do; many of the paper's web images show things alone"),
    "n_proper_nouns": (
        1.10,
        "a part of the paper's texts is alt-text, full of names; COCO told its people to avoid them",
    ),
    "object_complexity": (2.80, "near: longer captions hang a little more on each object"),
    "action_complexity": (1.14, "0 where a text has no action, so it follows the number of texts with one, as above"),
}


@dataclass(frozen=True)
class Scenes:
    """Images, the five captions of each, and the accepted regions of each."""

    frames: Frames
    said: list[list[str]]
    seen: Seen


def main(arguments: Sequence[str]) -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--data", type=Path, default=DATA)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args(arguments)
    parser = SpacyParser(SpacyParser.Config())
    parser.load("cpu")
    table_3(chosen.data / "captions1000.json", parser)
    scenes = read_scenes(chosen.data / "coco50")
    print(f"\n{len(scenes.said)} images; rejected, and for which reasons")
    captioners = {str(n): [[five[n]] for five in scenes.said] for n in range(5)}
    reasons = [reason for found in decided(scenes, captioners, parser).values() for reason in found]
    _row("human", reasons)
    caught: list[bool] = []
    for kind in KINDS:
        noise = corrupted(scenes, kind, chosen.seed)
        others = {"other": [five[1:] for five in scenes.said]}
        for where, beside in (("alone", {}), ("beside", others)):
            found = decided(scenes, {"noise": [[text] for text in noise], **beside}, parser)["noise"]
            _row(f"{kind}, {where}", found)
            if where == "alone" and kind != FOR_A_SCORER:
                caught += [reason is not None for reason in found]
    print(f"  noise that needs no scorer, alone: {100 * np.mean(caught):.1f} % of {len(caught)} rejected")


def table_3(path: Path, parser: Any) -> None:
    """The paper's means for brief texts beside those of 1,000 captions."""
    rows = enhanced(pa.array([row["caption"] for row in json.loads(path.read_text())]))
    found: Measures = measures(parser.parse(rows.to_pylist()))
    print(f"table 3, brief: the paper, and {len(rows)} captions of COCO")
    for name, (paper, why) in PAPER.items():
        print(f"  {name:20}{paper:6.2f}{getattr(found, name).mean():7.2f}   {why}")


def corrupted(scenes: Scenes, kind: str, seed: int) -> list[str]:
    """The first caption of every image, made noise of a kind."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    captions = [five[0] for five in scenes.said]
    if kind == "shuffled":
        return [" ".join(rng.permutation(text.rstrip(" .").split())) for text in captions]
    if kind == FOR_A_SCORER:
        return [captions[(n + int(rng.integers(1, len(captions)))) % len(captions)] for n in range(len(captions))]
    if kind == "prompt":
        return [str(rng.choice(PROMPTS)).format(text) for text in captions]
    if kind == "address":
        return [_address(text, int(rng.integers(len(ADDRESSES))), int(rng.integers(9999))) for text in captions]
    return [str(rng.choice(NOTICES)) for _ in captions]


def _address(text: str, which: int, number: int) -> str:
    pattern = ADDRESSES[which]
    return pattern.format(text, number) if pattern.startswith("{}") else pattern.format(number, text)


def decided(scenes: Scenes, said: dict[str, list[list[str]]], parser: Any) -> dict[str, list[str | None]]:
    """The reason for which each text is rejected (None: kept), by captioner, image by image."""
    ids = scenes.frames.ids
    captions = {
        name: Grouped.of(
            pa.Table.from_pylist(
                [
                    {s.IMAGE_ID: image, s.TEXT: text, s.GRANULARITY: "brief"}
                    for image, group in zip(ids, groups, strict=True)
                    for text in group
                ],
                schema=s.PREDICTED_TEXTS,
            ),
            ids,
        )
        for name, groups in said.items()
    }
    names = texts.text_ids(scenes.frames, captions)
    flat = [text for n in range(len(ids)) for name in sorted(said) for text in said[name][n]]
    tokens = parser.parse(enhanced(pa.array(flat, pa.string())).to_pylist())
    owners = [image for n, image in enumerate(ids) for name in sorted(said) for _ in said[name][n]]
    parsed = Grouped.of(tokens_table(owners, names, tokens), ids)
    table = texts.decide(
        scenes.frames, captions, parsed, {}, TextsConfig(), seen=scenes.seen, regions=scenes.seen.regions
    )
    found: dict[str, list[str | None]] = {name: [] for name in said}
    for name, reason in zip(*(table.column(n).to_pylist() for n in (s.SPECIALIST, s.REASON)), strict=True):
        found[name].append(reason)
    return found


def read_scenes(folder: Path) -> Scenes:
    boxes = json.loads((folder / "instances.json").read_text())
    captions = json.loads((folder / "captions.json").read_text())
    names = {category["id"]: category["name"] for category in boxes["categories"]}
    images = sorted(boxes["images"], key=lambda image: str(image["id"]))
    frames = Frames(
        [str(image["id"]) for image in images],
        np.array([image["width"] for image in images], np.int32),
        np.array([image["height"] for image in images], np.int32),
    )
    said: dict[str, list[str]] = {name: [] for name in frames.ids}
    for caption in captions["annotations"]:
        said[str(caption["image_id"])].append(caption["caption"])
    things = [
        {s.IMAGE_ID: str(a["image_id"]), s.LABEL: names[a["category_id"]], s.SCORE: 0.9, s.CROWD: False,
         **dict(zip(s.BOX, _corners(a["bbox"]), strict=True))}
        for a in boxes["annotations"]
    ]  # fmt: skip
    found = Grouped.of(pa.Table.from_pylist(things, schema=s.PREDICTED_REGIONS), frames.ids)
    fused = Grouped.of(objects(frames, {"detector": found}, ObjectsConfig()), frames.ids)
    nothing = Grouped.of(s.DECIDED_REGIONS.empty_table(), frames.ids)
    kept = Grouped.of(regions(frames, fused, nothing, RegionsConfig()), frames.ids)
    seen = Seen(kept, {"detector": sorted(names.values())}, shipped_words().names)
    return Scenes(frames, [said[name][:5] for name in frames.ids], seen)


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height


def _row(name: str, reasons: Sequence[str | None]) -> None:
    rejected = Counter(reason for reason in reasons if reason is not None)
    share = f"{rejected.total()} of {len(reasons)} ({100 * rejected.total() / max(len(reasons), 1):.1f} %)"
    print(f"  {name:24}{share:22}" + ", ".join(f"{reason} {count}" for reason, count in rejected.most_common()))
