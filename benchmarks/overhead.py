"""What the engine itself costs: many small images, recorded specialists only.

    python -m benchmarks overhead [--images 20000] [--workers 2]

Prints images/s of `fld build` end to end, jobs/s and milliseconds a job of both executors, and peak memory of driver
and worker, for a quarter of the images and for all of them: memory must not grow with their number.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

WORDS = ("dog", "cat", "person", "car", "tree", "boat", "cup", "chair")
CONFIG = """
[detectors.one]
uses = "recorded"
path = "one.json"
format = "coco"
[detectors.two]
uses = "recorded"
path = "two.json"
format = "coco"
[captioners.words]
uses = "recorded"
path = "captions.json"
format = "coco_captions"
[parser]
[grounders]
[segmenters]
[writers]
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=64, help="side of an image in pixels")
    chosen = parser.parse_args(arguments)
    print(f"{'executor':9} {'images':>7} {'images/s':>9} {'jobs':>6} {'jobs/s':>7} {'ms a job':>9} {'engine ms':>10} "
          f"{'driver MiB':>11} {'worker MiB':>11}")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="fld-bench-") as folder:
        for count in (chosen.images // 4, chosen.images):
            source = _scenes(Path(folder) / str(count), count, chosen.size)
            for executor in ("local", "ray"):
                _measure(source, executor, count, chosen.workers)


def _scenes(root: Path, count: int, size: int) -> Path:
    """JPEG files of noise, and two detectors and a captioner that speak of them; the same for the same count."""
    import simplejpeg

    (root / "images").mkdir(parents=True)
    rng, pixels = random.Random(count), np.random.default_rng(count)
    images, boxes, captions = [], ([], []), []
    for n in range(count):
        name = f"{n:06d}.jpg"
        picture = pixels.integers(0, 256, (size, size, 3), np.uint8)
        (root / "images" / name).write_bytes(simplejpeg.encode_jpeg(picture, quality=80))
        images.append({"id": n, "file_name": name, "width": size, "height": size})
        for _ in range(4):
            x, y, w, h = rng.randrange(size // 2), rng.randrange(size // 2), rng.randrange(8, 32), rng.randrange(8, 32)
            for source in boxes:
                box = [x + rng.random(), y + rng.random(), w, h]
                source.append({"id": len(source), "image_id": n, "category_id": rng.randrange(8), "bbox": box,
                               "area": w * h, "iscrowd": 0, "score": rng.uniform(0.3, 1)})  # fmt: skip
        captions.append({"id": n, "image_id": n, "caption": f"a {rng.choice(WORDS)} near a {rng.choice(WORDS)}"})
    categories = [{"id": i, "name": word} for i, word in enumerate(WORDS)]
    for name, annotations in (("one", boxes[0]), ("two", boxes[1]), ("captions", captions)):
        data = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{name}.json").write_text(json.dumps(data))
    (root / "config.toml").write_text(CONFIG)
    return root


def _measure(source: Path, executor: str, count: int, workers: int) -> None:
    command = _command(source, executor, workers, f"out-{executor}")
    began = time.monotonic()
    process = subprocess.Popen(command, env=_environment(source), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    watch = _Watch(process.pid)
    watch.start()
    answer = process.communicate()[0]
    seconds = time.monotonic() - began
    watch.join()
    if process.returncode != 0:
        sys.exit(f"the build ended with {process.returncode}")
    jobs = json.loads(answer)["jobs_run"]
    hands = 1 if executor == "local" else workers
    print(f"{executor:9} {count:7} {count / seconds:9.0f} {jobs:6} {jobs / seconds:7.1f} "
          f"{seconds * hands / jobs * 1000:9.1f} {_engine_ms(source, executor, workers):10.1f} "
          f"{watch.driver / 2**20:11.0f} {watch.worker / 2**20:11.0f}", flush=True)  # fmt: skip


def _engine_ms(source: Path, executor: str, workers: int) -> float:
    """Milliseconds of one job that computes next to nothing: builds with one image in each shard."""
    hands = 1 if executor == "local" else workers
    runs = []
    for limit in (64, 192):
        command = _command(source, executor, workers, f"tiny-{executor}-{limit}")
        command += ["--shard-size", "1", "--limit", str(limit)]
        run = subprocess.run(command, env=_environment(source), capture_output=True, check=True)
        runs.append(json.loads(run.stdout))
    # The difference of two runs leaves out what starting Ray and loading libraries takes.
    small, large = runs
    return (large["seconds"] - small["seconds"]) * hands / (large["jobs_run"] - small["jobs_run"]) * 1000


def _command(source: Path, executor: str, workers: int, out: str) -> list[str]:
    build = [sys.executable, "-m", "pipelines.cli", "build", str(source / "images"), str(source / out)]
    return [
        *build,
        "--config",
        str(source / "config.toml"),
        "--executor",
        executor,
        "--workers",
        str(workers),
        "--json",
    ]


def _environment(source: Path) -> dict[str, str]:
    return {**os.environ, "FLD_CACHE": str(source / "cache")}


class _Watch(threading.Thread):
    """Peak resident memory of the driver, and of the largest worker below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.driver, self.worker = psutil.Process(pid), 0, 0

    def run(self) -> None:
        while True:
            try:
                self.driver = max(self.driver, self.process.memory_info().rss)
                for child in self.process.children(recursive=True):
                    if "_Actor" in " ".join(child.cmdline()):
                        self.worker = max(self.worker, child.memory_info().rss)
                if self.process.status() == psutil.STATUS_ZOMBIE:
                    return
            except psutil.Error:
                if not self.process.is_running():
                    return
            time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1:])
