"""The graph of a run: stages, what each reads, and the fingerprint of everything that goes into it.

A fingerprint covers the stage's name and revision, its identity (configuration and weights), and the
fingerprints of its inputs; the shard's list of images is in the shard's name (`engine.plan`). Change one
specialist, and it and its descendants get new names and are computed; everything else is found as it is.
What is learned once for all shards is an `Estimate`; its fingerprint covers the shards that it learns from.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from engine.errors import ConfigError
from engine.grouped import Grouped
from engine.parquet import canonical
from engine.plan import Plan
from engine.records import Pixels

INGEST = "ingest"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker needs to run a stage: CPU cores and (a fraction 1/2^n of) a GPU."""

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing about one image that went wrong, kept for the quarantine.

    `lost` is False where only a part of the answer is missing, such as one broken record among good ones.
    """

    image_id: str
    error: str
    message: str
    attempts: int = 1
    lost: bool = True

    @classmethod
    def of(cls, image_id: str, error: BaseException, attempts: int = 1) -> "Fault":
        return cls(image_id, type(error).__name__, str(error)[:2000] or type(error).__name__, attempts)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a stage is given: images in order, and its input tables grouped by them.

    `images` is what `ingest` said: the columns of the published `images` and more (for `ingest` itself: image_id,
    uri, meta of the plan).
    `read` decodes the image with that URI, within the run's limits. `missing` names, for each input stage, the
    images for which that stage has no answer, in quarantine or not looked at: no rows of theirs does not mean that
    nothing is there. `learned` has the tables of the estimates among the inputs, whole: the same for every shard.
    """

    images: pa.Table
    inputs: Mapping[str, Grouped]
    read: Callable[[str], Pixels]
    missing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    learned: Mapping[str, pa.Table] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.images.num_rows)

    def slice(self, lo: int, hi: int) -> "Batch":
        """Images lo..hi of this batch, nothing copied."""
        inputs = {name: group.slice(lo, hi) for name, group in self.inputs.items()}
        return replace(self, images=self.images.slice(lo, hi - lo), inputs=inputs)


@dataclass(frozen=True, slots=True)
class Output:
    """Rows of the stage's schema, in the order of the batch's images, and what went wrong with single images.

    `unanswered` are the images that the stage did not look at. Nothing went wrong there and nothing is to be retried,
    but that they have no rows says nothing about them.
    """

    table: pa.Table
    faults: Sequence[Fault] = ()
    unanswered: Sequence[str] = ()


class Stage(Protocol):
    """A node of the graph. Instances are pickled to workers before `load`, so what is heavy comes with `load`."""

    name: str
    revision: int
    inputs: tuple[str, ...]
    schema: pa.Schema
    resources: Resources
    batch_size: int | None  # images for one call; None: the whole shard
    pixels: bool  # it reads pixels, so the engine decodes ahead of it

    def identity(self) -> Mapping[str, Any]:
        """JSON of everything that changes the answer: configuration, weights, versions of data."""
        ...

    def load(self, device: str) -> None:
        """Import and read what is heavy."""
        ...

    def run(self, batch: Batch) -> Output:
        """Answer for a batch of images. An exception makes the engine try smaller batches."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is learned once, from the first `sample` shards of the plan (all when it has fewer), and then stands.

    `sample` None means every shard of the plan. Nothing that reads such an estimate is computed before all images
    have come as far as its inputs.

    `learn` is given one batch for each sampled shard, in the order of the plan, with what the inputs said about its
    images; images in quarantine are absent. Sidecars are read as the iterator is advanced, so memory holds one shard
    and whatever `learn` keeps. Its table, of any columns, is `Batch.learned[name]` for stages that name the estimate
    among their inputs; a worker keeps it, so what has a row an image should leave out the images that it says
    nothing about. An input that nobody else reads is computed for the sample alone.

    The names of the sampled shards are part of the fingerprint. So the answer depends on source and configuration,
    never on history: a plan that grows beyond a full sample keeps its estimate; one that grows within it learns
    anew, and what is below is decided anew for the shards that there were. A retry changes what is in those shards,
    not their names: an estimate that is there stays as it is.
    """

    name: str
    revision: int
    inputs: tuple[str, ...]
    schema: pa.Schema
    sample: int | None
    learn: Callable[[Iterator[Batch]], pa.Table]
    settings: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = Resources()

    def identity(self) -> Mapping[str, Any]:
        return self.settings

    def load(self, device: str) -> None:
        """Nothing is heavy here."""


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the graph ends: several tables for each shard, published under their own names."""

    name: str
    revision: int
    inputs: tuple[str, ...]
    tables: Mapping[str, pa.Schema]
    build: Callable[[Batch, Mapping[str, Sequence[Fault]]], Mapping[str, pa.Table]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = Resources()

    def identity(self) -> Mapping[str, Any]:
        return self.settings

    def load(self, device: str) -> None:
        """Nothing is heavy here."""


AnyStage = Stage | Estimate | Sink


@dataclass(frozen=True, slots=True)
class Sample:
    """The first `shards` shards of a plan, and a digest of their names: a plan may have too many to list them."""

    shards: int
    digest: str

    @classmethod
    def of(cls, plan: Plan, wanted: int | None) -> "Sample":
        """The first `wanted` shards, or all."""
        shards = plan.shards if wanted is None else min(wanted, plan.shards)
        digest = hashlib.sha256()
        for shard in range(shards):
            digest.update(f"{plan.name(shard)}\n".encode())
        return cls(shards, digest.hexdigest()[:16])

    def to_json(self) -> dict[str, Any]:
        return {"shards": self.shards, "digest": self.digest}


NO_SAMPLE = Sample(0, "")


@dataclass(frozen=True, slots=True)
class Node:
    """A stage in its place: `inputs` are indices of earlier nodes, `crew` is the pool that runs it.

    `sample` says which shards an estimate learns from, none before the graph is put `over` a plan; it is None for all
    other nodes.

    A graph that is only looked at (`fld status`) is remembered without its stages: `implementation` is None.
    """

    name: str
    fingerprint: str
    inputs: tuple[int, ...]
    crew: str
    is_sink: bool
    implementation: AnyStage | None = None
    sample: Sample | None = None

    @property
    def stage(self) -> AnyStage:
        """Raises: RuntimeError: the graph was remembered, not built."""
        if self.implementation is None:
            raise RuntimeError(f"{self.name} is remembered, not built")
        return self.implementation

    @property
    def is_estimate(self) -> bool:
        return self.sample is not None

    @property
    def folder(self) -> str:
        """Where its sidecars stand."""
        return f"work/{self.name}@{self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which every input stands before its readers; the first is `ingest`, the last the sink."""

    nodes: tuple[Node, ...]

    def index(self, name: str) -> int:
        for i, node in enumerate(self.nodes):
            if node.name == name:
                return i
        raise KeyError(name)

    @property
    def crews(self) -> list[str]:
        return sorted({node.crew for node in self.nodes})

    def over(self, plan: Plan) -> "Graph":
        """This graph with its estimates learning from `plan`, and the fingerprints that follow from that."""
        nodes: list[Node] = []
        for node in self.nodes:
            stage, sample = node.stage, None
            if isinstance(stage, Estimate):
                sample = Sample.of(plan, stage.sample)
            fingerprint = _fingerprint(stage, [nodes[i].fingerprint for i in node.inputs], sample)
            nodes.append(replace(node, fingerprint=fingerprint, sample=sample))
        return Graph(tuple(nodes))

    def spans(self, shards: int) -> list[int]:
        """For each node, for how many of the plan's first shards it is computed: (nodes,), an estimate counting one.

        That is all `shards`, but for a stage that nobody but estimates reads: it is wanted for their samples alone.
        """
        spans = [0] * len(self.nodes)
        wanted: dict[int, int] = {}
        for index in reversed(range(len(self.nodes))):
            node = self.nodes[index]
            spans[index] = 1 if node.sample is not None else wanted.get(index, shards)
            reach = spans[index] if node.sample is None else node.sample.shards
            wanted.update((i, max(reach, wanted.get(i, 0))) for i in node.inputs)
        return spans


def build_graph(stages: Iterable[AnyStage], crew_of: Callable[[AnyStage], str] = lambda _: "main") -> Graph:
    """Check the stages' names and inputs, order them, and compute their fingerprints.

    Before a graph with estimates is run it is put `over` a plan.

    Raises:
        ConfigError: two stages with one name, an input that nobody makes, a circle, no `ingest`, an estimate from no
            shards, or not one sink.
    """
    by_name: dict[str, AnyStage] = {}
    for stage in stages:
        if stage.name in by_name:
            raise ConfigError(f"two stages are called {stage.name!r}; rename one")
        if isinstance(stage, Estimate) and stage.sample is not None and stage.sample < 1:
            raise ConfigError(f"{stage.name!r} is learned from {stage.sample} shards; give it at least 1")
        by_name[stage.name] = stage
    if INGEST not in by_name:
        raise ConfigError(f"a graph needs a stage called {INGEST!r} that reads the images")
    nodes: list[Node] = []
    places: dict[str, int] = {}
    for name in _ordered(by_name):
        stage = by_name[name]
        inputs = tuple(places[i] for i in stage.inputs)
        sample = NO_SAMPLE if isinstance(stage, Estimate) else None
        fingerprint = _fingerprint(stage, [nodes[i].fingerprint for i in inputs], sample)
        places[name] = len(nodes)
        nodes.append(Node(name, fingerprint, inputs, crew_of(stage), isinstance(stage, Sink), stage, sample))
    sinks = [node.name for node in nodes if node.is_sink]
    if sinks != [nodes[-1].name]:
        raise ConfigError(
            f"a graph ends in exactly one sink, after everything it reads; this one has {sinks or 'none'}"
        )
    return Graph(tuple(nodes))


def _fingerprint(stage: AnyStage, inputs: Sequence[str], sample: Sample | None) -> str:
    identity = {
        "stage": stage.name,
        "revision": stage.revision,
        "identity": stage.identity(),
        "inputs": dict(zip(stage.inputs, inputs, strict=True)),
        **({} if sample is None else {"sample": sample.to_json()}),
    }
    return hashlib.sha256(canonical(identity).encode()).hexdigest()[:16]


def _ordered(stages: Mapping[str, AnyStage]) -> list[str]:
    """Depth first from the order given, so that a shard's chain stays together."""
    done: list[str] = []
    open_: list[str] = []

    def visit(name: str, wanted_by: str) -> None:
        if name in done:
            return
        if name not in stages:
            raise ConfigError(f"stage {wanted_by!r} reads {name!r}, which no stage makes")
        if name in open_:
            raise ConfigError(f"stages read each other in a circle: {' -> '.join([*open_, name])}")
        open_.append(name)
        for source in stages[name].inputs:
            visit(source, name)
        open_.pop()
        done.append(name)

    for name in stages:
        visit(name, "the graph")
    return done
