"""The search for near-duplicates: seconds and memory for millions of hashes, and whether the answer is exact.

    python -m benchmarks near_duplicates [--count 10000000] [--radius 4] [--seed 0] [--folder FOLDER]

The hashes are made to be hard: one in two is an original with random bits; others are copies of originals with up to six
bits changed, pictures of one colour (hash 0), frames of videos (each one bit or two from the frame before), and flat
drawings, whose hashes vary in 22 bits only. They are read from files on disk by a process of its own, whose memory is
measured: the kernel's peak of all resident pages, those of the mapped files included, and the anonymous ones alone
(looked at twenty times a second), which cannot be given back under a limit. Exactness is shown on the first 20,000
against brute force, which applies the rule of `filters.near_duplicates` literally. The peer is DuckDB: a self-join on
radius + 1 equal bands, which lists pairs and chooses nothing, so it does less. `--folder` is where the files are written.
"""

import argparse
import re
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Self

import numpy as np
from numpy.typing import NDArray

from filters.near_duplicates import Copies, near_duplicates

U64 = NDArray[np.uint64]
FRAMES = 500


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--radius", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exact", type=int, default=20_000, help="so many are compared with brute force")
    parser.add_argument("--peer", type=int, default=200_000, help="so many are given to the peer")
    parser.add_argument("--folder", help="where the files are written; the system's temporary folder if not given")
    chosen = parser.parse_args(arguments)
    with TemporaryDirectory(dir=chosen.folder) as folder:
        _write(Path(folder), chosen.count, chosen.seed)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            print(pool.submit(_searched, Path(folder), chosen.radius).result(), flush=True)
        hashes, worth = _columns(Path(folder))
        _compared(np.array(hashes[: chosen.exact]), np.array(worth[: chosen.exact]), chosen.radius)
        _beside_peer(np.array(hashes[: chosen.peer]), np.array(worth[: chosen.peer]), chosen.radius)


def _searched(folder: Path, radius: int) -> str:
    """One line about the search in all that `folder` has; for a process of its own."""
    compiled = np.arange(9000, dtype=np.uint64)  # or what was compiled is found
    near_duplicates(compiled, np.ones(9000, np.int64), 1)
    hashes, worth = _columns(folder)
    with _Anonymous() as anonymous:
        begun, busy = time.perf_counter(), time.process_time()
        found = near_duplicates(hashes, worth, radius)
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    return (
        f"{len(hashes):,} hashes, radius {radius}: {seconds:.1f} s ({busy:.1f} s of one core), {len(found.rows):,} copies; "
        f"peak memory {_memory('VmHWM') / 2**30:.2f} GiB with the files' pages, {anonymous.peak / 2**30:.2f} GiB without"
    )


class _Anonymous:
    """The most anonymous memory of this process, looked at twenty times a second."""

    def __enter__(self) -> Self:
        self.peak, self._ended = 0, Event()
        self._watch = Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self.peak = max(self.peak, _memory("RssAnon"))


def _memory(name: str) -> int:
    """An entry of Linux's /proc/self/status, in bytes."""
    entry = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(entry[1]) * 1024 if entry else 0


def _compared(hashes: U64, worth: NDArray[np.int64], radius: int) -> None:
    begun = time.perf_counter()
    found = near_duplicates(hashes, worth, radius)
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    truth = brute_force(hashes, worth, radius)
    brute = time.perf_counter() - begun
    same = all(
        np.array_equal(a, b)
        for a, b in (
            (found.rows, truth.rows),
            (found.originals, truth.originals),
            (found.distances, truth.distances),
        )
    )
    print(
        f"{len(hashes):,} hashes: ours {ours:.2f} s, brute force {brute:.2f} s, {len(truth.rows):,} copies, "
        f"{'the same answer' if same else 'ANOTHER ANSWER'}"
    )


def brute_force(hashes: U64, worth: NDArray[np.int64], radius: int) -> Copies:
    """The rule as it is written: each image, best first, against all better ones that stay."""
    stays: list[int] = []
    kept = np.empty(len(hashes), np.uint64)
    copies: list[tuple[int, int, int]] = []
    for row in sorted(range(len(hashes)), key=lambda i: (-worth[i], i)):
        distances = np.bitwise_count(kept[: len(stays)] ^ hashes[row])
        near = np.flatnonzero(distances <= radius)
        if len(near):
            copies.append((row, stays[near[0]], int(distances[near[0]])))
        else:
            kept[len(stays)] = hashes[row]
            stays.append(row)
    rows, originals, distances = np.array(sorted(copies), np.int64).reshape(-1, 3).T
    return Copies(rows, originals, distances.astype(np.uint8))


def _beside_peer(hashes: U64, worth: NDArray[np.int64], radius: int) -> None:
    import duckdb
    import pyarrow as pa

    begun = time.perf_counter()
    found = near_duplicates(hashes, worth, radius)
    ours = time.perf_counter() - begun
    width = -(-64 // (radius + 1))
    bands = [f"(hash >> {lo}) & {(1 << min(width, 64 - lo)) - 1}" for lo in range(0, 64, width)]
    table = pa.table({"id": np.arange(len(hashes)), "hash": hashes})
    with duckdb.connect(config={"threads": 1, "memory_limit": "4GB"}) as connection:
        connection.register("given", table)
        union = " UNION ".join(
            f"SELECT a.id, b.id AS other FROM distinct_ a JOIN distinct_ b ON {band.replace('hash', 'a.hash')} = "
            f"{band.replace('hash', 'b.hash')} AND a.id < b.id AND bit_count(xor(a.hash, b.hash)) <= {radius}"
            for band in bands
        )
        begun = time.perf_counter()
        connection.execute("CREATE TABLE distinct_ AS SELECT min(id) AS id, hash FROM given GROUP BY hash")
        row = connection.execute(f"SELECT count(*) FROM ({union})").fetchone()
        peer = time.perf_counter() - begun
    print(
        f"{len(hashes):,} hashes: ours {ours:.2f} s ({len(found.rows):,} copies), DuckDB's banded self-join "
        f"{peer:.2f} s ({row[0] if row else 0:,} near pairs of distinct hashes)"
    )


def _write(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    originals = rng.integers(0, 2**64, count // 2, dtype=np.uint64)
    copies = rng.choice(originals, count * 3 // 10)
    for changes in range(1, 7):
        some = rng.random(len(copies)) < changes / 7
        copies[some] ^= _bit(rng, int(some.sum()))
    blank = np.zeros(count // 20, np.uint64)
    steps = _bit(rng, count // 10).reshape(-1, FRAMES) if count >= 10 * FRAMES else _bit(rng, count // 10)[None]
    steps[:, 0] = rng.integers(0, 2**64, len(steps), dtype=np.uint64)
    frames = np.bitwise_xor.accumulate(steps, axis=1).reshape(-1)
    flat = np.zeros(count - len(originals) - len(copies) - len(blank) - len(frames), np.uint64)
    for bit in rng.permutation(64)[:22].astype(np.uint64):
        flat |= rng.integers(0, 2, len(flat), dtype=np.uint64) << bit
    hashes = rng.permutation(np.concatenate([originals, copies, blank, frames, flat]))
    hashes.tofile(folder / "hashes")
    rng.choice([640 * 480, 1024 * 768, 1920 * 1080], count).tofile(folder / "worth")


def _columns(folder: Path) -> tuple[U64, NDArray[np.int64]]:
    return np.memmap(folder / "hashes", np.uint64, "r"), np.memmap(folder / "worth", np.int64, "r")


def _bit(rng: np.random.Generator, count: int) -> U64:
    return np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
