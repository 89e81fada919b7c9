"""What executors share: the description of a run, and how a process becomes a worker."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from engine.graph import Graph
from engine.images import Limits, decode
from engine.job import Worker
from engine.plan import Plan
from engine.records import Pixels
from engine.schedule import Observer, Schedule
from engine.sources import Reader, read_bytes
from engine.store import open_store

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Crew:
    """A pool of workers that share stages: how many (None: as fit), and what each takes.

    `fixed`: the user asked for it so; otherwise a wish for a GPU is dropped where there is none.
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    fixed: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a worker must be told, small enough to send: inputs travel by URI."""

    graph: Graph
    plan: Plan
    root: str
    limits: Limits
    attempts: int = 2
    job_deadline_s: float = 1800.0
    load_deadline_s: float = 1800.0
    crews: Mapping[str, Crew] = field(default_factory=dict)


class Executor(Protocol):
    """Runs a schedule to its end.

    Raises:
        StageFailed: a stage cannot load, or loses every worker.
    """

    def run(self, run: Run, schedule: Schedule, observe: Observer) -> None: ...


def make_worker(run: Run, *, cpus: float, gpus: float) -> Worker:
    """A worker in this process, its libraries' threads bounded to its CPUs."""
    bound_threads(max(1, int(cpus)))
    limits = run.limits
    reader, lock = Reader(limits.max_bytes), Lock()

    def read(uri: str) -> Pixels:
        if "#" not in uri:
            return decode(read_bytes(uri, limits.max_bytes), limits).pixels
        # Members of one container: keep it open for its neighbours. Decoding, the slow part, is not under the lock.
        with lock:
            data = reader.read(uri)
        return decode(data, limits).pixels

    device = "cuda" if gpus > 0 else "cpu"
    return Worker(run.graph, run.plan, open_store(run.root), read, device, run.attempts, max(1, int(cpus)))


def bound_threads(count: int) -> None:
    """Tell every library that starts threads of its own how many it may have."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(count)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
