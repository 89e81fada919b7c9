"""A tiny graph for engine tests: images are numbers in text files, and stages can be told to misbehave."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine import schema as s
from engine.executors.base import Run
from engine.graph import AnyStage, Batch, Estimate, Fault, Graph, Output, Resources, Sink, build_graph
from engine.images import Limits
from engine.plan import Plan, PlanKey, make_plan
from engine.publish import list_markers
from engine.schedule import Schedule
from engine.sidecar import Listing, list_sidecars
from engine.sources.base import Item
from engine.store import LocalStore

NUMBERS = pa.schema([pa.field(s.IMAGE_ID, pa.string()), pa.field(s.VALUE, pa.int64())])
TOTAL = pa.schema([pa.field(s.VALUE, pa.int64())])


@dataclass
class ToyIngest:
    """One row an image, without opening anything; ids in `broken` end in quarantine."""

    broken: tuple[str, ...] = ()
    name: str = "ingest"
    revision: int = 1
    inputs: tuple[str, ...] = ()
    schema: pa.Schema = s.IMAGES
    resources: Resources = Resources()
    batch_size: int | None = None
    pixels: bool = False

    def identity(self) -> Mapping[str, Any]:
        return {}

    def load(self, device: str) -> None:
        pass

    def run(self, batch: Batch) -> Output:
        rows = [
            {s.IMAGE_ID: i, s.URI: u, s.SHA256: "", s.PHASH: 0, s.WIDTH: 8, s.HEIGHT: 8, s.FORMAT: "toy", s.META: "{}"}
            for i, u in zip(*(batch.images.column(c).to_pylist() for c in (s.IMAGE_ID, s.URI)), strict=True)
            if i not in self.broken
        ]
        faults = [
            Fault(i, "ImageError", "broken") for i in batch.images.column(s.IMAGE_ID).to_pylist() if i in self.broken
        ]
        return Output(pa.Table.from_pylist(rows, schema=s.IMAGES), faults)


@dataclass
class ToyStage:
    """Adds one to the sum of its inputs' numbers for each image (1 without inputs), and to the totals it is told.

    The misdeeds: `kill` ids kill the process, `hang` ids sleep, `fail` ids raise, `memory` raises when a batch is larger than that;
    `blind` ids are not looked at. A misdeed stops once the file `cured` exists. Every call leaves the ids it was asked about in `diary`.
    """

    name: str
    inputs: tuple[str, ...] = ("ingest",)
    settings: dict[str, Any] = field(default_factory=dict)
    kill: tuple[str, ...] = ()
    hang: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    memory: int | None = None
    cured: str = ""
    diary: str = ""
    sleep: float = 0.0
    load_error: str = ""
    load_kills: bool = False
    batch_size: int | None = None
    revision: int = 1
    schema: pa.Schema = NUMBERS
    resources: Resources = Resources()
    pixels: bool = False

    def identity(self) -> Mapping[str, Any]:
        return self.settings

    def load(self, device: str) -> None:
        if self.diary:
            self._note(f"{self.name}.load", ["load"])
        if self.load_kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.load_error:
            raise RuntimeError(self.load_error)

    def run(self, batch: Batch) -> Output:
        ids = batch.images.column(s.IMAGE_ID).to_pylist()
        if self.sleep:
            time.sleep(self.sleep)
        cured = bool(self.cured) and Path(self.cured).exists()
        if not cured:
            self._misbehave(ids)
        if self.diary:
            self._note(self.name, ids)
        values = np.ones(len(ids), np.int64)
        for table in batch.learned.values():
            values += sum(table.column(s.VALUE).to_pylist())
        for group in batch.inputs.values():
            if s.VALUE in group.table.column_names:
                values += np.array([sum(part.column(s.VALUE).to_pylist()) for part in group.parts()], np.int64)
        unseen = [] if cured else [i for i in ids if i in self.blind]
        table = pa.table({s.IMAGE_ID: ids, s.VALUE: values}, schema=NUMBERS)
        return Output(table.filter(pa.array([i not in unseen for i in ids])), unanswered=unseen)

    def _misbehave(self, ids: list[str]) -> None:
        if set(ids) & set(self.kill):
            os.kill(os.getpid(), signal.SIGKILL)
        if set(ids) & set(self.hang):
            time.sleep(3600)
        if self.memory is not None and len(ids) > self.memory:
            raise MemoryError("toy memory is full")
        if bad := sorted(set(ids) & set(self.fail)):
            raise ValueError(f"cannot look at {bad[0]}")

    def _note(self, name: str, ids: list[str]) -> None:
        with open(f"{self.diary}/{name}", "a", encoding="utf-8") as file:
            file.write("".join(f"{i}\n" for i in ids))


def toy_estimate(name: str, of: str, sample: int | None, diary: str = "", kill_once: str = "") -> Estimate:
    """The sum of the numbers that stage `of` gave to the images of the sample (and of totals that it is told)."""
    learn = partial(_total, name=name, of=of, diary=diary, kill_once=kill_once)
    return Estimate(name, 1, ("ingest", of), TOTAL, sample, learn)


def _total(batches: Iterator[Batch], name: str, of: str, diary: str, kill_once: str) -> pa.Table:
    """Kills its process as long as there is no file `kill_once`, which it makes."""
    total = 0
    for batch in batches:
        if diary:
            with open(f"{diary}/{name}", "a", encoding="utf-8") as file:
                file.write("".join(f"{i}\n" for i in batch.images.column(s.IMAGE_ID).to_pylist()))
        if kill_once and not Path(kill_once).exists():
            Path(kill_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        total += sum(batch.inputs[of].table.column(s.VALUE).to_pylist())
    told = sum(sum(table.column(s.VALUE).to_pylist()) for table in batch.learned.values())
    return pa.table({s.VALUE: [total + told]}, schema=TOTAL)


def publish_last(stage: str) -> Sink:
    """A sink that publishes the numbers of one stage as the table `numbers`."""

    def build(batch: Batch, faults: Mapping[str, Any]) -> dict[str, pa.Table]:
        return {"numbers": batch.inputs[stage].table}

    return Sink("publish", 1, ("ingest", stage), {"numbers": NUMBERS}, build)


def toy_graph(*stages: AnyStage, broken: tuple[str, ...] = ()) -> Graph:
    return build_graph([ToyIngest(broken), *stages, publish_last(stages[-1].name)])


def toy_plan(store: LocalStore, images: int, shard_size: int) -> Plan:
    items = [Item(f"i{n:04d}", f"toy://{n}") for n in range(images)]
    return make_plan(store, PlanKey("toy", shard_size, None), f"{images}", items)


def toy_run(root: Path, graph: Graph, images: int = 24, shard_size: int = 8, **settings: Any) -> tuple[Run, Schedule]:
    """A run over a toy plan, and its schedule from what is in storage."""
    store = LocalStore(str(root))
    store.prepare()
    plan = toy_plan(store, images, shard_size)
    graph = graph.over(plan)
    retry = settings.pop("retry", False)
    listings = [Listing() if n.is_sink else list_sidecars(store, n) for n in graph.nodes]
    schedule = Schedule(graph, plan, listings, list_markers(store), retry=retry)
    return Run(graph, plan, str(root), Limits(), **settings), schedule


def published(root: Path) -> dict[str, bytes]:
    """Every published table file with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob("numbers/*.parquet"))}


def numbers(root: Path) -> dict[str, int]:
    """image_id → value over all published shards."""
    import pyarrow.parquet as pq

    rows = [row for p in sorted(root.glob("numbers/*.parquet")) for row in pq.read_table(p).to_pylist()]
    return {row[s.IMAGE_ID]: row[s.VALUE] for row in rows}
