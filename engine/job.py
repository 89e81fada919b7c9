"""One job: a stage over a shard (or a part of one). Both executors run exactly this code.

A job reads its input sidecars, runs the stage (`engine.isolate`), and writes its one file with an atomic create.
Only a receipt goes back to the driver.
"""

import resource
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from engine import sidecar
from engine.errors import StageFailed, UserError
from engine.graph import INGEST, Batch, Estimate, Fault, Graph, Node, Output, Sink
from engine.grouped import Grouped
from engine.isolate import Isolator, check_columns
from engine.plan import Plan
from engine.publish import Marker, publish_shard
from engine.records import Pixels
from engine.schema import IMAGE_ID
from engine.sidecar import SAMPLE, Content, Part, Sidecar
from engine.store import Store


@dataclass(frozen=True, slots=True)
class Job:
    """A node over a shard, or an estimate over its sample, of which `shard` is the first: what a worker is sent.

    `inputs` are the sidecars' paths of each input, in the node's order: one, or one a sampled shard. `previous` is
    the generation that this one replaces: only images that it quarantined (when `redo`) or that its inputs answered
    anew are computed.
    `lo`..`hi` bound a part of the shard's image list while a killer is sought; `parts` are put together at the end.
    `stale` are the markers that a sink takes away before it publishes. `again` is set when the job was sent before:
    a worker that died may have committed it all the same.
    """

    node: int
    shard: int
    generation: int
    inputs: tuple[tuple[str, ...], ...]
    previous: Sidecar | None = None
    redo: bool = False
    lo: int = 0
    hi: int | None = None
    parts: tuple[Part, ...] = ()
    stale: tuple[Marker, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a worker answers: the numbers a driver needs, never data. `memory` is the worker's peak in bytes."""

    job: Job
    sidecar: Sidecar
    images: int
    seconds: float
    memory: int


@dataclass(slots=True)
class Worker:
    """What a process needs to run jobs: the graph, the plan and the store, and which stages it has loaded."""

    graph: Graph
    plan: Plan
    store: Store
    read: Callable[[str], Pixels]
    device: str = "cpu"
    attempts: int = 2
    cpus: int = 1
    loaded: set[int] = field(default_factory=set)
    learned: dict[str, Content] = field(default_factory=dict)
    isolators: dict[int, Isolator] = field(default_factory=dict)

    def load(self, index: int) -> None:
        """Load a stage once; whatever it raises goes to the driver."""
        if index not in self.loaded:
            self.graph.nodes[index].stage.load(self.device)
            self.loaded.add(index)

    def isolator(self, index: int) -> Isolator:
        stage = self.graph.nodes[index].stage
        if isinstance(stage, Sink | Estimate):
            raise TypeError(f"{stage.name} is computed whole; it has no batches")
        return self.isolators.setdefault(index, Isolator(stage, self.attempts))

    def input(self, index: int, path: str) -> Content:
        """A sidecar of the node `index`. What was learned is the same for every shard, so it is read once."""
        if not self.graph.nodes[index].is_estimate:
            return sidecar.read(self.store, path)
        if path not in self.learned:
            self.learned[path] = sidecar.read(self.store, path)
        return self.learned[path]


def run_job(worker: Worker, job: Job) -> Receipt:
    """Do a job and commit its file.

    Raises:
        StageFailed: an estimate could not be learned, or a stage breaks its contract.
        Exception: only when storage or the engine itself fails; a stage's failures end in quarantine.
    """
    began = time.monotonic()
    node = worker.graph.nodes[job.node]
    if job.again and (found := _committed(worker, job, node)) is not None:
        return Receipt(job, found, 0, time.monotonic() - began, _peak_memory())
    if isinstance(node.stage, Estimate):
        return _learn(worker, job, node, node.stage, began)
    sources = _sources(worker, job, node)
    images = _images(worker, job, node, sources)
    count, quarantined = images.num_rows, 0
    if isinstance(node.stage, Sink):
        _publish(worker, job, node, node.stage, images, sources)
    else:
        previous = sidecar.read(worker.store, f"{node.folder}/{job.previous.filename}") if job.previous else None
        if job.parts:
            output, ids = _join_parts(worker, job, node)
        else:
            todo = _todo(job, images, previous, sources)
            ids = todo.column(IMAGE_ID).to_pylist()
            batch = _batch(worker, node, todo, ids, sources)
            output = worker.isolator(job.node).run(batch, _past_attempts(previous))
        count, quarantined = len(ids), _commit(worker, job, node, previous, output, ids)
    written = Sidecar(_named(worker.plan, job, node), job.generation, quarantined)
    return Receipt(job, written, count, time.monotonic() - began, _peak_memory())


def commit_lost(graph: Graph, plan: Plan, store: Store, job: Job, attempts: int, message: str) -> None:
    """Write the part of the one image that killed every worker it met: nothing but its quarantine row."""
    node = graph.nodes[job.node]
    if isinstance(node.stage, Sink | Estimate):
        raise TypeError(f"{node.name} is computed whole; it has no parts")
    image_id = plan.items(store, job.shard).column(IMAGE_ID)[job.lo].as_py()
    fault = Fault(image_id, "WorkerDied", message, attempts)
    output = Output(node.stage.schema.empty_table(), [fault])
    data = sidecar.encode(node, fingerprints(graph, node), output, {image_id: job.generation})
    part = Part(plan.name(job.shard), job.generation, job.lo, job.lo + 1)
    store.create(f"{node.folder}/{part.filename}", data)


def fingerprints(graph: Graph, node: Node) -> dict[str, str]:
    """The fingerprints of a node's inputs by stage name."""
    return {graph.nodes[i].name: graph.nodes[i].fingerprint for i in node.inputs}


def _committed(worker: Worker, job: Job, node: Node) -> Sidecar | None:
    """What this job wrote before its worker died, if it did. Publishing is cheap and simply done again."""
    if node.is_sink:
        return None
    shard = _named(worker.plan, job, node)
    listing = sidecar.list_sidecars(worker.store, node)
    found = listing.newest.get(shard)
    if job.hi is None:
        return found if found is not None and found.generation == job.generation else None
    part = Part(shard, job.generation, job.lo, job.hi)
    return Sidecar(shard, job.generation, 0) if part in listing.parts.get((shard, job.generation), []) else None


def _named(plan: Plan, job: Job, node: Node) -> str:
    """What its sidecar is named after."""
    return SAMPLE if node.is_estimate else plan.name(job.shard)


def _sources(worker: Worker, job: Job, node: Node, place: int = 0) -> list[Content]:
    """What each input said; of an estimate's inputs, about the shard at `place` in its sample."""
    given = zip(node.inputs, job.inputs, strict=True)
    return [worker.input(i, paths[place if len(paths) > 1 else 0]) for i, paths in given]


def _joined(contents: Sequence[Content]) -> Content:
    """The parts of one sidecar as one."""
    changed = {image_id: generation for c in contents for image_id, generation in c.changed.items()}
    faults = tuple(f for c in contents for f in c.faults)
    unanswered = frozenset[str]().union(*(c.unanswered for c in contents))
    return Content(pa.concat_tables([c.table for c in contents]), faults, changed, unanswered)


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _images(worker: Worker, job: Job, node: Node, sources: Sequence[Content]) -> pa.Table:
    """The images this job is about: the plan's for `ingest`, otherwise those that `ingest` could read."""
    if node.name == INGEST:
        images = worker.plan.items(worker.store, job.shard)
    else:
        images = sources[[worker.graph.nodes[i].name for i in node.inputs].index(INGEST)].table
    if job.hi is None:
        return images
    wanted = worker.plan.items(worker.store, job.shard).column(IMAGE_ID).slice(job.lo, job.hi - job.lo)
    return _only(images, wanted.to_pylist())


def _todo(job: Job, images: pa.Table, previous: Content | None, sources: Sequence[Content]) -> pa.Table:
    """All images; or, with a previous generation, those whose answer may now be another."""
    if previous is None or job.previous is None:
        return images
    wanted = {f.image_id for f in previous.faults} if job.redo else set()
    for source in sources:
        wanted.update(i for i, generation in source.changed.items() if generation > job.previous.generation)
    return _only(images, sorted(wanted))


def _only(table: pa.Table, ids: Iterable[str]) -> pa.Table:
    return table.filter(pc.is_in(table.column(IMAGE_ID), value_set=pa.array(ids, pa.string())))


def _batch(worker: Worker, node: Node, images: pa.Table, ids: Sequence[str], sources: Sequence[Content]) -> Batch:
    said = [(worker.graph.nodes[i], source) for i, source in zip(node.inputs, sources, strict=True)]
    of_images = {n.name: source for n, source in said if not n.is_estimate}
    inputs = {name: Grouped.of(source.table, ids) for name, source in of_images.items()}
    missing = {name: source.missing for name, source in of_images.items()}
    return Batch(images, inputs, worker.read, missing, {n.name: source.table for n, source in said if n.is_estimate})


def _past_attempts(previous: Content | None) -> dict[str, int]:
    return {f.image_id: f.attempts for f in previous.faults} if previous else {}


def _commit(worker: Worker, job: Job, node: Node, previous: Content | None, output: Output, ids: Sequence[str]) -> int:
    """Put the new answers and those of the previous generation that still stand into one file; its faulty images."""
    changed: dict[str, int] = {}
    if job.hi is not None:
        changed = dict.fromkeys(ids, job.generation)
    elif previous is not None:
        output = _renewed(previous, output, ids)
        changed = {**previous.changed, **dict.fromkeys(ids, job.generation)}
    quarantined = len({f.image_id for f in output.faults})
    shard = _named(worker.plan, job, node)
    file = (
        Sidecar(shard, job.generation, quarantined).filename
        if job.hi is None
        else Part(shard, job.generation, job.lo, job.hi).filename
    )
    data = sidecar.encode(node, fingerprints(worker.graph, node), output, changed)
    worker.store.create(f"{node.folder}/{file}", data)
    for part in job.parts:
        worker.store.delete(f"{node.folder}/{part.filename}")
    return quarantined


def _renewed(previous: Content, output: Output, ids: Sequence[str]) -> Output:
    """What the previous generation says of all images but those answered anew (`ids`), and the new answers for these."""
    anew = set(ids)
    stands = pc.invert(pc.is_in(previous.table.column(IMAGE_ID), value_set=pa.array(ids, pa.string())))
    both = pa.concat_tables([previous.table.filter(stands), output.table])
    # Shards are sorted by image id, and so is everything made from them.
    table = Grouped.of(both, sorted(set(both.column(IMAGE_ID).to_pylist()))).table
    faults = [*output.faults, *(f for f in previous.faults if f.image_id not in anew)]
    return Output(table, faults, [*output.unanswered, *previous.unanswered.difference(anew)])


def _join_parts(worker: Worker, job: Job, node: Node) -> tuple[Output, list[str]]:
    contents = [sidecar.read(worker.store, f"{node.folder}/{part.filename}") for part in job.parts]
    whole = _joined(contents)
    return Output(whole.table, whole.faults, sorted(whole.unanswered)), list(whole.changed)


def _learn(worker: Worker, job: Job, node: Node, estimate: Estimate, began: float) -> Receipt:
    shards, seen = 0 if node.sample is None else node.sample.shards, 0

    def batches() -> Iterator[Batch]:
        nonlocal seen
        for place in range(shards):
            sources = _sources(worker, job, node, place)
            images = _images(worker, job, node, sources)
            seen += images.num_rows
            yield _batch(worker, node, images, images.column(IMAGE_ID).to_pylist(), sources)

    try:
        table = estimate.learn(batches())
    except (StageFailed, UserError):
        raise
    except Exception as error:
        raise StageFailed(
            f"{node.name} could not be learned (after {seen} images of {shards} shards): "
            f"{type(error).__name__}: {error}\n{traceback.format_exc()}",
            node.name,
        ) from error
    check_columns(estimate, table)
    _commit(worker, job, node, None, Output(table), ())
    return Receipt(job, Sidecar(SAMPLE, job.generation, 0), seen, time.monotonic() - began, _peak_memory())


def _publish(worker: Worker, job: Job, node: Node, sink: Sink, images: pa.Table, sources: Sequence[Content]) -> None:
    batch = _batch(worker, node, images, images.column(IMAGE_ID).to_pylist(), sources)
    faults = {worker.graph.nodes[i].name: source.faults for i, source in zip(node.inputs, sources, strict=True)}
    tables = sink.build(batch, faults)
    marker = Marker(worker.plan.name(job.shard), node.fingerprint, job.generation)
    publish_shard(worker.store, node, fingerprints(worker.graph, node), marker, job.stale, tables)
