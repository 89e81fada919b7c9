"""The consensus of seven real detectors on real photographs, beside its peers.

    python -m benchmarks real [--split val_dev|train|both] [--only singles|sets|pairs|curve|bad|labels|gold] [--quick]
                              [--seeds 3] [--first 0]

No labels are given to ours but in the part gold; peers choose their settings knowing the truth. singles: every detector
alone. sets: threes, fours, sixes and all seven, against the best single, the best of WBF, NMS and NMW at equal weights over
IoU limits, and WBF with weights from the detectors' true AP (an oracle); `shipped` is what default thresholds leave of ours.
pairs: all of two. curve: one detector after another, and all but one. bad: what a poor detector, or one of random boxes,
does to good sets. labels: whose word is right where detectors differ in it. gold: calibration with people's boxes for some
images, on the others. Final numbers are pycocotools'; settings of peers are searched, and gold is measured, by a quicker
judge that is compared with it first. --quick: no NMS and NMW, and one seed and number of images in gold. Seeds are those
from --first on.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from benchmarks._measures import SURE, Judge, Said, Summary, gap
from benchmarks._real import (
    DETECTORS,
    QuickJudge,
    best_at_things,
    ensemble,
    noise,
    ours,
    ours_with_people,
    read,
    shipped,
    wbf,
)

Names = tuple[str, ...]
SHORT = dict(zip(DETECTORS, ("v2", "xl", "nd", "pd", "5n", "8n", "xn"), strict=True))
THREES: tuple[Names, ...] = (
    ("picodet_s", "yolov5n", "yolov8n"),
    ("yolov5n", "yolov8n", "yolox_nano"),
    ("nanodet_416", "picodet_s", "yolox_nano"),
    ("fastest_v2", "fastest_xl", "nanodet_416"),
    ("fastest_xl", "yolov8n", "yolox_nano"),
    ("fastest_v2", "picodet_s", "yolov5n"),
)
FOURS: tuple[Names, ...] = (
    ("picodet_s", "yolov5n", "yolov8n", "yolox_nano"),
    ("fastest_xl", "nanodet_416", "yolov5n", "yolox_nano"),
    ("fastest_v2", "fastest_xl", "picodet_s", "yolov8n"),
)
SIXES: tuple[Names, ...] = tuple(tuple(n for n in DETECTORS if n != out) for out in ("fastest_v2", "yolov8n"))
SETS = (*THREES, *FOURS, *SIXES, DETECTORS)
GOOD: tuple[Names, ...] = (
    ("picodet_s", "yolov5n", "yolov8n"),
    ("nanodet_416", "yolov5n", "yolov8n", "yolox_nano"),
    ("nanodet_416", "picodet_s", "yolov5n", "yolov8n", "yolox_nano"),
)
POOR = ("fastest_v2", "fastest_xl")
RANDOM_BOXES = 20  # an image
WBF_IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
NMS_IOUS = (0.5, 0.6, 0.7)
ORACLE_POWERS, ORACLE_IOUS = (1, 2, 4), (0.55, 0.65, 0.7)
ALIKE = 0.08  # AP that two detectors of a pair may differ by to be called alike
WORSE = -0.005  # a pair that loses more AP than this to its best single is counted
GOLD_IMAGES, OTHERS, DRAWS = (20, 50, 100), 30, 20  # `OTHERS`: the fewest images that must be left to measure on


class Bench:
    """One split; what takes long is worked out once."""

    def __init__(self, split: str, quick: bool, seeds: range) -> None:
        self.quick, self.seeds = quick, seeds
        self.truth, self.crew = read(split)
        self.judge, self.search = Judge(self.truth), QuickJudge(self.truth)
        self.alone = {name: self.judge.summary(self.crew.said(name)) for name in DETECTORS}
        self._ours: dict[Names, tuple[Said, Summary]] = {}

    def ours(self, names: Names) -> tuple[Said, Summary]:
        """Our claims from the detectors called `names`, and how good these are."""
        if names not in self._ours:
            said = ours(self.truth, self.crew.of(names))
            self._ours[names] = said, self.judge.summary(said)
        return self._ours[names]

    def best_single(self, names: Names) -> float:
        return max(self.alone[name].ap for name in names)

    def by_ap(self) -> list[str]:
        """The detectors, best first."""
        return sorted(DETECTORS, key=lambda name: -self.alone[name].ap)

    def best_wbf(self, names: Names) -> tuple[float, float]:
        """AP of weighted boxes fusion at equal weights, and the limit of IoU at which it is best."""
        crew = self.crew.of(names)
        return self._best((wbf(crew, np.ones(len(names)), iou), iou) for iou in WBF_IOUS)

    def oracle(self, names: Names) -> float:
        """AP of weighted boxes fusion at the best weights and limit that the truth tells."""
        crew, alone = self.crew.of(names), np.array([self.alone[name].ap for name in names])
        return self._best((wbf(crew, alone**power, iou), iou) for power, iou in product(ORACLE_POWERS, ORACLE_IOUS))[0]

    def ensemble(self, rule: str, names: Names) -> float:
        """AP of a rule of ensemble_boxes at its best limit."""
        crew = self.crew.of(names)
        return self._best((ensemble(rule, self.truth, crew, iou), iou) for iou in NMS_IOUS)[0]

    def _best(self, tried: Iterator[tuple[Said, float]]) -> tuple[float, float]:
        """AP by the referee of the best of all that was tried by the quick judge, and the setting it had."""
        said, setting = max(tried, key=lambda one: self.search.average_precisions(one[0])[0])
        return self.judge.average_precision(said), setting


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=("val_dev", "train", "both"), default="both")
    parts = {"singles": _singles, "sets": _sets, "pairs": _pairs, "curve": _curve, "bad": _bad, "labels": _labels,
             "gold": _gold}  # fmt: skip
    parser.add_argument("--only", choices=list(parts))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + (1 if chosen.quick else chosen.seeds))
    print("short names: " + "  ".join(f"{short} {name}" for name, short in SHORT.items()))
    for split in ("val_dev", "train") if chosen.split == "both" else (chosen.split,):
        bench = Bench(split, chosen.quick, seeds)
        print(f"{split}: {bench.truth.n_images} images, {len(bench.truth.labels)} things; the quick judge is off by "
              f"{_disagreement(bench):.5f} at most", flush=True)  # fmt: skip
        for name, part in parts.items():
            if chosen.only in (None, name):
                print(f"-- {split}: {name}", flush=True)
                part(bench)


def _disagreement(bench: Bench) -> float:
    """The largest difference of the two judges in AP, AP50, AP75 and calibration error of a fusion of all seven.

    Raises:
        AssertionError: it is more than 0.001.
    """
    said = wbf(bench.crew, np.ones(len(DETECTORS)), 0.6)
    values = []
    for judge in (bench.judge, bench.search):
        rows, hit = judge.right(said)
        values.append([*judge.average_precisions(said), gap(said.scores[rows], hit)])
    off = float(np.abs(np.subtract(*values)).max())
    assert off < 0.001, off
    return off


def _head(columns: Sequence[str], first: str = "") -> list[int]:
    """Prints the names of the columns of a table, and says how wide each is."""
    widths = [max(len(name) + 2, 7) for name in columns]
    _row(first, columns, widths)
    return widths


def _row(name: str, values: Sequence[float | str], widths: Sequence[int]) -> None:
    cells = [value if isinstance(value, str) else f"{value:.3f}" for value in values]
    print(f"  {name:21}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)


def _short(names: Sequence[str]) -> str:
    return "+".join(SHORT[name] for name in names)


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _singles(bench: Bench) -> None:
    widths = _head(["AP", "AP50", "AP75", "err", "err>.25", "prec.5", "rec.5", "expect", "found", "claims"])
    for name in bench.by_ap():
        _row(f"{SHORT[name]} {name}", [*_all(bench.alone[name]), str(bench.alone[name].claims)], widths)
    print("  err: calibration error; expect: sum of scores, found: claims of .5 and more, both by things there")


def _all(s: Summary) -> list[float]:
    return [s.ap, s.ap50, s.ap75, s.error, s.error_sure, s.precision, s.recall, s.expected, s.found]


def _sets(bench: Bench) -> None:
    widths = _head(["single", "wbf at IoU", "nms", "nmw", "oracle", "ours", "shipped", "-best", "-oracle", "AP50", "AP75",
                    "err", "err>.25", "prec.5", "rec.5", "expect", "found"])  # fmt: skip
    rows = []
    for names in SETS:
        values, iou = _beside(bench, names)
        rows.append(values)
        _row(_short(names), _marked(values, f"{values[1]:.3f}@{iou:.2f}"), widths)
    mean = [float(value) for value in np.mean(rows, axis=0)]
    _row("mean", _marked(mean, f"{mean[1]:.3f}"), widths)
    print("  -best: ours less the better of single and wbf; -oracle: ours less oracle; from AP50 on: ours, all claims")


def _beside(bench: Bench, names: Names) -> tuple[list[float], float]:
    """The numbers of a line of `sets`, and the limit of IoU that suits WBF best."""
    summary = bench.ours(names)[1]
    single, oracle = bench.best_single(names), bench.oracle(names)
    fused, iou = bench.best_wbf(names)
    rules = [np.nan if bench.quick else bench.ensemble(rule, names) for rule in ("nms", "non_maximum_weighted")]
    published = bench.judge.average_precision(shipped(bench.truth, bench.crew.of(names)))
    differences = [summary.ap - max(single, fused), summary.ap - oracle]
    return [single, fused, *rules, oracle, summary.ap, published, *differences, *_all(summary)[1:]], iou


def _marked(values: Sequence[float], fused: str) -> list[float | str]:
    differences = [_signed(value) for value in values[7:9]]
    rules = ["-" if np.isnan(value) else value for value in values[2:4]]
    return [values[0], fused, *rules, *values[4:7], *differences, *values[9:]]


def _pairs(bench: Bench) -> None:
    widths = _head(["first", "second", "wbf at IoU", "ours", "-single", "err", "err>.25", "expect"])
    lines, alike = [], []
    for names in combinations(DETECTORS, 2):
        one, two = (bench.alone[name].ap for name in names)
        s, (fused, iou) = bench.ours(names)[1], bench.best_wbf(names)
        gain, peer = s.ap - max(one, two), fused - max(one, two)
        alike.append(abs(one - two) < ALIKE)
        lines.append([gain, peer, s.error, s.error_sure, s.expected])
        _row(_short(names), [one, two, f"{fused:.3f}@{iou:.2f}", s.ap, _signed(gain), *lines[-1][2:]], widths)
    gains, mean = np.array(lines)[:, 0], np.mean(lines, axis=0)
    print(f"  ours less single: worst {gains.min():+.3f}, {(gains < WORSE).sum()} of {len(gains)} below {WORSE}, mean "
          f"{mean[0]:+.4f}, where the two are within {ALIKE} {gains[alike].mean():+.4f} ({sum(alike)} pairs)\n"
          f"  wbf less single: mean {mean[1]:+.4f}; ours: mean err {mean[2]:.3f}, err>.25 {mean[3]:.3f}, expect "
          f"{mean[4]:.3f}")  # fmt: skip


def _curve(bench: Bench) -> None:
    order, widths = bench.by_ap(), _head(["AP", "err", "err>.25", "this one alone"])
    steps = [(f"{'+ ' if n else ''}{order[n]}", tuple(order[: n + 1]), order[n]) for n in range(len(order))]
    steps += [(f"all but {name}", tuple(one for one in order if one != name), name) for name in order]
    for step, names, name in steps:
        s = bench.ours(tuple(sorted(names)))[1]
        _row(step, [s.ap, s.error, s.error_sure, bench.alone[name].ap], widths)


def _bad(bench: Bench) -> None:
    widths = _head(["AP", *(f"+{SHORT[name]}" for name in POOR), *(f"+random {seed}" for seed in bench.seeds)])
    for names in GOOD:
        base = bench.ours(names)[1].ap
        changes = [bench.ours(tuple(sorted((*names, name))))[1].ap - base for name in POOR]
        for seed in bench.seeds:
            crew = bench.crew.of(names).with_one(bench.truth, "random", noise(bench.truth, RANDOM_BOXES, seed))
            changes.append(bench.judge.average_precision(ours(bench.truth, crew)) - base)
        _row(_short(names), [base, *map(_signed, changes)], widths)


def _labels(bench: Bench) -> None:
    truth = bench.truth
    rows = {name: best_at_things(truth, bench.crew.said(name)) for name in DETECTORS}
    spoken = [_words(bench, names, rows) for names in SETS]
    voters, right = (np.concatenate(part) for part in zip(*spoken, strict=True))
    for least in (2, 4):
        share = right[voters >= least].mean(axis=0)
        print(f"  {least} voters and more ({(voters >= least).sum()} things, one for each set): right is the word of the "
              f"highest score {share[0]:.3f}, of the best detector {share[1]:.3f}, ours {share[2]:.3f}")  # fmt: skip


def _words(
    bench: Bench, names: Names, rows: dict[str, NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of things that a set gives two words or more, one of them right: how many vote (k,), and who is right (k, 3).

    `rows` say by which of its boxes a detector votes for each thing (things,), -1: none. The three are the highest
    score, the detector with the highest AP, and ours.
    """
    truth = bench.truth
    said = {name: bench.crew.said(name) for name in names}
    scores = np.stack([np.where(rows[name] >= 0, said[name].scores[rows[name]], -1.0) for name in names])
    words = np.stack([np.where(rows[name] >= 0, said[name].labels[rows[name]], -1) for name in names])
    votes, good = words >= 0, np.array([bench.alone[name].ap for name in names])[:, None]
    highest = np.where(votes, words, -1).max(axis=0)
    differ = (votes & (words != highest)).any(axis=0)
    asked = differ & (words == truth.labels).any(axis=0)
    claims = bench.ours(names)[0]
    found = best_at_things(truth, claims)
    mine = np.where(found >= 0, claims.labels[found], -1)
    chosen = [
        np.take_along_axis(words, by.argmax(axis=0)[None], axis=0)[0] for by in (scores, np.where(votes, good, -1))
    ]
    return votes.sum(axis=0)[asked], np.stack([*chosen, mine], axis=1)[asked] == truth.labels[asked, None]


def _gold(bench: Bench) -> None:
    columns = ["before", "before>.25", "after", "after>.25", "floor", "floor>.25"]
    widths = _head(columns, "images with people")
    for n_judged in (50,) if bench.quick else GOLD_IMAGES:
        if n_judged > bench.truth.n_images - OTHERS:
            print(f"  {n_judged}: too few of {bench.truth.n_images} images would be left to measure on")
            continue
        runs = [_with_people(bench, names, n_judged, seed) for names in SETS for seed in bench.seeds]
        _row(str(n_judged), [float(value) for value in np.mean(runs, axis=0)], widths)
    print("  calibration error on the other images, mean over sets and seeds; floor: what claims as sure as those after "
          "would show if each were right as often as it says")  # fmt: skip


def _with_people(bench: Bench, names: Names, n_judged: int, seed: int) -> list[float]:
    """Calibration errors on images that no person saw, over all claims and over sure ones: before, after, and the floor."""
    rng = np.random.default_rng(seed)
    judged = np.zeros(bench.truth.n_images, bool)
    judged[rng.permutation(len(judged))[:n_judged]] = True
    told = ours_with_people(bench.truth, bench.crew.of(names), judged)
    before, after = (_outside(bench, said, judged) for said in (bench.ours(names)[0], told))
    draws = [_errors(after[0], rng.random(len(after[0])) < after[0]) for _ in range(DRAWS)]
    return [*_errors(*before), *_errors(*after), *np.mean(draws, axis=0).tolist()]


def _outside(bench: Bench, said: Said, judged: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of the claims in images that are not `judged`, and whether each is right."""
    rows, hit = bench.search.right(said)
    other = ~judged[said.image[rows]]
    return said.scores[rows[other]], hit[other]


def _errors(scores: NDArray[np.float64], hit: NDArray[np.bool_]) -> list[float]:
    return [gap(scores, hit), gap(scores[scores >= SURE], hit[scores >= SURE])]
