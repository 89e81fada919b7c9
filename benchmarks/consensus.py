"""The consensus of regions, beside its peers.

    python -m benchmarks consensus [--seeds 3] [--first 0] [--only simulated|files|changes|speed]

Seeds are those from --first on. simulated: COCO AP and calibration error over simulated specialists (`_simulated.py`) on
two sets of COCO truth, no labels given to ours; peers are every specialist alone, ensemble_boxes' NMS, soft-NMS, NMW and
WBF over a grid, and WBF with weights that only an oracle knows. files: two files of results for the same images. changes:
a duplicate, a near-copy (as another checkpoint would be), a shuffle and a specialist that emits random boxes. few: one,
two or three of the specialists. speed: images/s
of the compatible WBF and of the whole learned consensus, in processor seconds and on the clock.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._measures import Judge, Said
from benchmarks._simulated import CHARACTERS, Truth, columns_of, knows, look
from consensus.boxes import BoxColumns, reference_fusion
from consensus.fusion import Fused, fuse
from consensus.learning import estimate
from consensus.reliability import Reliabilities
from consensus.sample import Shard
from pipelines.decide.objects import ObjectsConfig

DATA = Path(__file__).parents[1] / "../shared/data"
SETS = {"coco50": "coco50/instances.json", "coco100": "coco100/instances_val2014_100.json"}
RESULTS = ("instances_val2014_fakebbox100_results.json", "instances_val2014_fakesegm100_results.json")
IOUS = (0.4, 0.5, 0.6, 0.7)
CONF_TYPES = ("avg", "max", "box_and_model_avg", "absent_model_aware_avg")
FUSION = ObjectsConfig().fusion
FEW = (("steady",), ("steady", "sharp"), ("steady", "loud"), ("half", "steady"), ("steady", "sharp", "loud"))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parts = {"simulated": _simulated, "files": _files, "changes": _changes, "few": _few, "speed": _speed}
    parser.add_argument("--only", choices=list(parts))
    chosen = parser.parse_args(arguments)
    for name, part in parts.items():
        if chosen.only in (None, name):
            print(f"-- {name}", flush=True)
            part(range(chosen.first, chosen.first + chosen.seeds))


def _simulated(seeds: range) -> None:
    for name, path in SETS.items():
        truth = Truth.read(DATA / path)
        judge = Judge(truth)
        runs = [_peers(truth, judge, look(truth, CHARACTERS, seed)) for seed in seeds]
        mean = {peer: float(np.mean([run[peer] for run in runs])) for peer in runs[0]}
        single = max(mean[who.name] for who in CHARACTERS)
        wbf = max(value for peer, value in mean.items() if peer.startswith("wbf "))
        print(f"{name}: mean of seeds {seeds.start} to {seeds.stop - 1}")
        print("  " + "  ".join(f"{peer} {value:.3f}" for peer, value in mean.items() if not peer.startswith("wbf ")))
        print(
            "  wbf " + "  ".join(f"{peer[4:]} {value:.3f}" for peer, value in mean.items() if peer.startswith("wbf "))
        )
        print(f"  best single {single:.3f}  best wbf {wbf:.3f}  oracle {mean['oracle']:.3f}  learned {mean['learned']:.3f}"
              f"  above best {mean['learned'] - max(single, wbf):+.3f}  above oracle "
              f"{mean['learned'] - mean['oracle']:+.3f}", flush=True)  # fmt: skip


def _peers(truth: Truth, judge: Judge, columns: BoxColumns) -> dict[str, float]:
    """AP of every peer and of ours, and calibration errors."""
    n = len(CHARACTERS)
    found: dict[str, float] = {}
    for number, who in enumerate(CHARACTERS):
        found[who.name] = judge.average_precision(_rows(columns, columns.specialists == number))
    for peer in ("nms", "soft_nms", "non_maximum_weighted"):
        found[peer] = judge.average_precision(_ensemble(peer, truth, columns, n))
    for iou in IOUS:
        for conf_type in CONF_TYPES:
            found[f"wbf {iou} {conf_type}"] = judge.average_precision(_wbf(columns, np.ones(n), iou, conf_type))
    alone = np.array([found[who.name] for who in CHARACTERS])
    found["oracle"] = max(judge.average_precision(_wbf(columns, alone**power, iou))
                          for power in (1, 2, 4) for iou in IOUS)  # fmt: skip
    knowing = np.array([knows(truth, who) for who in CHARACTERS])
    learned = _said(_learned(columns, truth.names, knowing, truth.frames)[1])
    found["learned"] = judge.average_precision(learned)
    found["ece"] = judge.calibration_error(learned)
    found |= {f"ece_{group}": value for group, value in judge.calibration_by(learned).items()}
    found["raw_ece"] = judge.calibration_error(_rows(columns, np.ones(len(columns), bool)))
    return found


def _learned(
    columns: BoxColumns, labels: list[str], knowing: NDArray[np.bool_], frames: NDArray[np.float64] | None = None
) -> tuple[Reliabilities, Fused]:
    nobody = np.zeros(len(columns), bool)
    shard = Shard(columns, nobody, np.zeros(len(columns.offsets) - 1, bool), frames)
    names = [f"{number:02d}" for number in range(len(knowing))]
    reliabilities = estimate([shard], names, labels, knowing, FUSION)
    return reliabilities, fuse(columns, reliabilities, FUSION)


def _said(fused: Fused) -> Said:
    return Said(fused.clusters.groups(), fused.boxes, fused.confidence, fused.labels)


def _rows(columns: BoxColumns, chosen: NDArray[np.bool_]) -> Said:
    values = (columns.groups(), columns.boxes, columns.scores, columns.labels)
    return Said(*(np.asarray(value)[chosen] for value in values))


def _wbf(columns: BoxColumns, weights: NDArray[np.float64], iou: float, conf_type: str = "avg") -> Said:
    clusters = reference_fusion(columns, weights, iou, 0.0, conf_type)  # type: ignore[arg-type]
    return Said(clusters.groups(), clusters.boxes, clusters.scores, clusters.labels)


def _ensemble(name: str, truth: Truth, columns: BoxColumns, n: int) -> Said:
    """One of ensemble_boxes' other rules, with its defaults, image by image."""
    import ensemble_boxes

    fuse_image = getattr(ensemble_boxes, name)
    parts = []
    for image in range(truth.n_images):
        boxes, scores, labels = fuse_image(*_lists(columns, image, n, np.tile(truth.frames[image], 2)))
        if len(scores):
            parts.append(
                (np.full(len(scores), image), boxes * np.tile(truth.frames[image], 2), scores, labels.astype(int))
            )
    return Said(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _lists(
    columns: BoxColumns, image: int, n: int, frame: NDArray[np.float64]
) -> tuple[list[NDArray[np.float64]], ...]:
    """Boxes in 0..1, scores and labels of an image, a list entry for each specialist: what ensemble_boxes takes."""
    part = slice(columns.offsets[image], columns.offsets[image + 1])
    who = columns.specialists[part]
    values = (columns.boxes[part] / frame, columns.scores[part], columns.labels[part])
    return tuple([value[who == s] for s in range(n)] for value in values)


def _files(_: range) -> None:
    import json

    from pycocotools import mask

    truth = Truth.read(DATA / SETS["coco100"])
    judge = Judge(truth)
    image_of = {number: place for place, number in enumerate(truth.image_ids)}
    label_of = {number: place for place, number in enumerate(truth.category_ids)}
    parts = []
    for specialist, name in enumerate(RESULTS):
        said = json.loads((DATA / "coco100" / name).read_text())
        corners = np.array([mask.toBbox(d["segmentation"]) if "segmentation" in d else d["bbox"] for d in said], float)
        corners[:, 2:] += corners[:, :2]
        parts.append((np.array([image_of[d["image_id"]] for d in said]), corners, np.array([d["score"] for d in said]),
                      np.full(len(said), specialist), np.array([label_of[d["category_id"]] for d in said])))  # fmt: skip
    columns = columns_of(truth, *(np.concatenate(column) for column in zip(*parts, strict=True)))
    for specialist, name in enumerate(RESULTS):
        alone = _rows(columns, columns.specialists == specialist)
        print(
            f"  {name.split('_')[2]:12} AP {judge.average_precision(alone):.4f}  ece {judge.calibration_error(alone):.3f}"
        )
    best = max(judge.average_precision(_wbf(columns, np.ones(2), iou, kind)) for iou in IOUS for kind in CONF_TYPES)
    learned = _said(_learned(columns, truth.names, np.ones((2, len(truth.names)), bool), truth.frames)[1])
    print(f"  best wbf     AP {best:.4f}")
    print(
        f"  learned      AP {judge.average_precision(learned):.4f}  ece {judge.calibration_error(learned):.3f}",
        flush=True,
    )


def _changes(seeds: range) -> None:
    truth = Truth.read(DATA / SETS["coco50"])
    judge = Judge(truth)
    n = len(CHARACTERS)
    knowing = np.array([knows(truth, who) for who in CHARACTERS])
    for seed in seeds:
        columns = look(truth, CHARACTERS, seed)
        plain = _learned(columns, truth.names, knowing, truth.frames)[1]
        base = judge.average_precision(_said(plain))
        line = [f"seed {seed}: plain {base:.3f}"]
        for number, who in enumerate(CHARACTERS):
            for how, copy in (("twice", _copy(columns, number)), ("nearly twice", _near_copy(columns, number, seed))):
                twice = _with(truth, columns, copy, n)
                fused = _learned(twice, truth.names, np.vstack([knowing, knowing[number]]), truth.frames)[1]
                line.append(f"{who.name} {how} {judge.average_precision(_said(fused)) - base:+.4f} (confidence "
                            f"{fused.confidence.sum() / plain.confidence.sum() - 1:+.1%}, "
                            f"ece {judge.calibration_error(_said(fused)):.3f})")  # fmt: skip
        noisy = _with(truth, columns, _random(truth, 20, seed), n)
        fused = _learned(noisy, truth.names, np.vstack([knowing, np.ones(len(truth.names), bool)]), truth.frames)[1]
        line.append(f"random boxes {judge.average_precision(_said(fused)) - base:+.4f} "
                    f"(ece {judge.calibration_error(_said(fused)):.3f})")  # fmt: skip
        line.append(f"shuffled identical: {_same_when_shuffled(columns, truth, knowing, plain, seed)}")
        print("  " + "; ".join(line), flush=True)


def _few(seeds: range) -> None:
    truth = Truth.read(DATA / SETS["coco100"])
    judge = Judge(truth)
    place = {who.name: number for number, who in enumerate(CHARACTERS)}
    for names in FEW:
        chosen = tuple(CHARACTERS[place[name]] for name in names)
        knowing = np.array([knows(truth, who) for who in chosen])
        runs = []
        for seed in seeds:
            columns, n = look(truth, chosen, seed), len(chosen)
            learned = _said(_learned(columns, truth.names, knowing, truth.frames)[1])
            single = max(judge.average_precision(_rows(columns, columns.specialists == s)) for s in range(n))
            wbf = max(judge.average_precision(_wbf(columns, np.ones(n), iou)) for iou in IOUS)
            runs.append((single, wbf, judge.average_precision(learned), judge.calibration_error(learned)))
        print("  {}: best single {:.3f}  best wbf avg {:.3f}  learned {:.3f}  ece {:.3f}".format(
            " + ".join(names), *np.mean(runs, axis=0)), flush=True)  # fmt: skip


def _with(truth: Truth, columns: BoxColumns, more: tuple[NDArray[Any], ...], number: int) -> BoxColumns:
    image, boxes, scores, labels = more
    return columns_of(
        truth,
        np.concatenate([columns.groups(), image]),
        np.concatenate([columns.boxes, boxes]),
        np.concatenate([columns.scores, scores]),
        np.concatenate([columns.specialists, np.full(len(scores), number)]),
        np.concatenate([columns.labels, labels]),
    )


def _copy(columns: BoxColumns, number: int) -> tuple[NDArray[Any], ...]:
    chosen = columns.specialists == number
    return columns.groups()[chosen], columns.boxes[chosen], columns.scores[chosen], columns.labels[chosen]


def _near_copy(columns: BoxColumns, number: int, seed: int) -> tuple[NDArray[Any], ...]:
    """As another checkpoint of one training: nine of ten boxes, sides off by 1 %, scores by a tenth of a logit."""
    rng = np.random.default_rng(seed)
    image, boxes, scores, labels = _copy(columns, number)
    kept = rng.random(len(scores)) < 0.9
    extent = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + rng.normal(0, 0.01, boxes.shape) * extent
    odds = scores / (1 - scores) * np.exp(rng.normal(0, 0.1, len(scores)))
    return image[kept], moved[kept], (odds / (1 + odds))[kept], labels[kept]


def _random(truth: Truth, each: int, seed: int) -> tuple[NDArray[Any], ...]:
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(truth.n_images), each)
    points = rng.random((len(image), 2, 2))
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1) * np.tile(truth.frames, 2)[image]
    return image, boxes, rng.random(len(image)), rng.integers(0, len(truth.names), len(image))


def _same_when_shuffled(columns: BoxColumns, truth: Truth, knowing: NDArray[np.bool_], plain: Fused, seed: int) -> bool:
    order = np.lexsort((np.random.default_rng(seed).random(len(columns)), columns.groups()))
    shuffled = BoxColumns(
        columns.boxes[order], columns.scores[order], columns.specialists[order], columns.labels[order], columns.offsets
    )
    again = _learned(shuffled, truth.names, knowing, truth.frames)[1]
    return np.array_equal(again.boxes, plain.boxes) and np.array_equal(again.confidence, plain.confidence)


def _speed(_: range) -> None:
    for images, models, each in ((1000, 4, 40), (300, 6, 100)):
        columns = _many(images, models, each)
        peer = np.min([_seconds(partial(_peer, columns, image, models)) for image in range(0, 200, 10)], axis=0)
        knowing = np.ones((models, 80), bool)
        reliabilities, _fused = _learned(columns, [str(label) for label in range(80)], knowing)
        wbf = _best(partial(reference_fusion, columns, np.ones(models))) / images
        learned = _best(partial(fuse, columns, reliabilities, FUSION)) / images
        print(f"  {each} boxes of each of {models} an image", flush=True)
        for clock, slow, fast, ours in zip(("processor", "wall"), peer, wbf, learned, strict=True):
            print(f"  images/s of one core, {clock} time: ensemble_boxes {1 / slow:.0f} (its quickest of 20 images)  "
                  f"compatible {1 / fast:.0f} ({slow / fast:.0f} times)  learned {1 / ours:.0f}", flush=True)  # fmt: skip


def _peer(columns: BoxColumns, image: int, models: int) -> None:
    import ensemble_boxes

    ensemble_boxes.weighted_boxes_fusion(*_lists(columns, image, models, np.ones(4)))


def _many(images: int, models: int, each: int) -> BoxColumns:
    """Each model's boxes scattered around 30 things an image."""
    rng = np.random.default_rng(0)
    low = rng.random((images, 30, 2)) * 0.8
    things = np.concatenate([low, low + rng.uniform(0.05, 0.2, low.shape)], axis=2)
    pick = rng.integers(0, 30, (images, models * each))
    boxes = things[np.arange(images)[:, None], pick] + rng.normal(0, 0.01, (images, models * each, 4))
    who = np.tile(np.repeat(np.arange(models), each), images)
    offsets = (np.arange(images + 1) * models * each).astype(np.int64)
    boxes = np.clip(boxes.reshape(-1, 4), 0, 1)
    return BoxColumns(boxes, rng.random(len(who)), who, (pick.ravel() * 7) % 80, offsets)


def _best(work: Callable[[], object]) -> NDArray[np.float64]:
    """Seconds of processor and clock, the least of seven runs, the first call's compilation left out."""
    work()
    return np.asarray(np.min([_seconds(work) for _ in range(7)], axis=0))


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - clock
