"""kill -9 of drivers and workers of the real command at random moments: the tables end up byte for byte the same."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.pipelines.scenes import write_scenes
from tests.shared_data import need

FLD = [sys.executable, "-m", "pipelines.cli", "build"]
COCO50 = Path(__file__).resolve().parents[2] / "examples" / "coco50.toml"
TABLES = ("images", "text", "region_text", "text_phrase_region", "rejected")


class Build:
    """The command, its reference tables from the local executor, and how many sidecars a run makes."""

    def __init__(self, root: Path, source: Path, config: Path, shard_size: int) -> None:
        self.root = root
        self.arguments = ["--config", str(config), "--shard-size", str(shard_size)]
        self.source = str(source)
        self.run("local", "--executor", "local")
        self.reference = self.tables("local")
        self.sidecars = self.done("local")
        self.run("two", "--workers", "2")

    def command(self, out: str, *more: str) -> list[str]:
        return [*FLD, self.source, str(self.root / out), *self.arguments, *more]

    def run(self, out: str, *more: str) -> None:
        done = subprocess.run(self.command(out, *more), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr

    def start(self, out: str, *more: str) -> subprocess.Popen:
        return subprocess.Popen(self.command(out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def done(self, out: str) -> int:
        """How far a run is: moments are told by its own work, not by a clock that other programs slow down."""
        return sum(1 for _ in (self.root / out / "work").glob("*/*.parquet"))

    def tables(self, out: str) -> dict[str, str]:
        files = [p for table in TABLES for p in sorted((self.root / out / table).glob("*.parquet"))]
        return {str(p.relative_to(self.root / out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def kill_driver(build: Build, out: str, moment: float) -> bool:
    """Start, and kill the driver once that part of the work is done; False when it finished before."""
    process = build.start(out, "--workers", "2")
    while process.poll() is None:
        if build.done(out) >= moment * build.sidecars:
            process.kill()
            process.wait()
            return process.returncode == -signal.SIGKILL
        time.sleep(0.01)
    return False


def kill_worker(build: Build, out: str, moment: float) -> bool:
    """Start, kill a worker once that part of the work is done, let the driver finish; True when one was killed."""
    process = build.start(out, "--workers", "2")
    driver, killed = psutil.Process(process.pid), False
    while process.poll() is None:
        if not killed and build.done(out) >= moment * build.sidecars:
            for worker in _workers(driver)[:1]:
                os.kill(worker, signal.SIGKILL)
                killed = True
        time.sleep(0.01)
    assert process.returncode == 0
    return killed


def _workers(driver: psutil.Process) -> list[int]:
    found = []
    try:
        for child in driver.children(recursive=True):
            try:
                if "_Actor" in " ".join(child.cmdline()):
                    found.append(child.pid)
            except psutil.Error:
                continue
    except psutil.Error:
        pass
    return found


def crash(build: Build, drivers: int, workers: int, seed: int) -> None:
    rng = random.Random(seed)
    assert build.tables("two") == build.reference
    build.run("one", "--workers", "1")
    assert build.tables("one") == build.reference
    struck = 0
    for n in range(drivers):
        out = f"driver{n}"
        struck += kill_driver(build, out, rng.uniform(0.0, 0.9))
        build.run(out, "--workers", "2")
        assert build.tables(out) == build.reference
    assert struck == drivers
    struck = 0
    for n in range(workers):
        out = f"worker{n}"
        struck += kill_worker(build, out, rng.uniform(0.0, 0.8))
        assert build.tables(out) == build.reference
    assert struck == workers


@pytest.mark.timeout(600)
def test_small_scenes(tmp_path):
    root = write_scenes(tmp_path, 60)
    crash(Build(tmp_path, root / "images", root / "config.toml", 2), drivers=2, workers=1, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_coco50(tmp_path):
    """The real graph with OCR, parser, masks: five drivers and five workers."""
    crash(Build(tmp_path, need("coco50/images"), COCO50, 5), drivers=5, workers=5, seed=2)
