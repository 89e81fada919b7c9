"""`fld build`: follow an image from here down.

SOURCE becomes a plan (`engine.plan`), the configuration a graph (`pipelines.graph`), what is missing in storage a
schedule (`engine.schedule`), and an executor does its jobs (`engine.job`). Start the same command again at any
time: what is there is not computed again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any

from engine import schema as s
from engine.errors import ConfigError, OutError, StageFailed
from engine.executors.base import Crew, Executor, Run
from engine.executors.local import LocalExecutor
from engine.executors.ray import RayExecutor
from engine.graph import Graph
from engine.plan import Plan, PlanKey, load_plan, make_plan
from engine.publish import list_markers
from engine.schedule import Observer, Schedule
from engine.sidecar import Listing, list_sidecars
from engine.sources import Source, open_source
from engine.store import LocalStore, Store, open_store
from pipelines.config import Config, parse_config, specialists_of
from pipelines.crews import check_crews
from pipelines.graph import fld_graph
from pipelines.remember import forget_failures, note_failure, recall, remember
from pipelines.status import quarantine

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """How a build ended. `quarantined` counts images; `jobs_run` and `jobs_reused` count jobs."""

    images: int
    quarantined: int
    jobs_run: int
    jobs_reused: int
    seconds: float


@dataclass(slots=True)
class Options:
    """How to run, as against what: none of it changes an annotation."""

    executor: str = "ray"
    ray_address: str | None = None
    workers: int | None = None
    shard_size: int | None = None
    limit: int | None = None
    say: Say = print
    observe: Observer = lambda _: None
    retry: bool = False


@dataclass(slots=True)
class Prepared:
    """A build before its first job."""

    store: Store
    plan: Plan
    graph: Graph
    schedule: Schedule
    notes: list[str] = field(default_factory=list)


def build(source: str, out: str, config: Config, options: Options | None = None) -> Summary:
    """Build the annotations of SOURCE in OUT, or what is missing of them.

    Raises:
        UserError: the configuration, SOURCE or OUT cannot be used; the message says how to mend it.
        StageFailed: a stage could not be loaded or lost its workers.
    """
    options = options or Options()
    began = time.monotonic()
    prepared = prepare(source, out, config, options)
    for note in prepared.notes:
        options.say(note)
    return _execute(prepared, config, options, began)


def retry(out: str, options: Options | None = None) -> Summary:
    """Ask again for the images in quarantine, and for no others; then compute what follows from them.

    In an OUT whose build was interrupted, what is missing is computed too.

    Raises:
        OutError: nothing was ever built in OUT.
    """
    store = open_store(out)
    config = parse_config(recall(store).config, f"{out}/run.json")
    plan = load_plan(store)
    if plan is None:
        raise OutError(f"{out} has no plan; start with `fld build`")
    key = plan.key
    again = replace(options or Options(), retry=True, shard_size=key.shard_size, limit=key.limit)
    return build(key.source, out, config, again)


def prepare(source: str, out: str, config: Config, options: Options, scratch: Store | None = None) -> Prepared:
    """Everything before the first job; what can be wrong is found here. With `scratch` nothing is written to OUT.

    Raises:
        UserError: as `build`.
    """
    if options.ray_address is not None and options.executor != "ray":
        raise ConfigError(f"--ray {options.ray_address} is for the executor ray, not {options.executor}; leave one out")
    graph, notes = fld_graph(config)
    check_crews(config, graph)
    store = open_store(out)
    images = open_source(source, config.source)
    key = PlanKey(images.uri, options.shard_size or config.run.shard_size, options.limit)
    if scratch is None:
        store.prepare()
        store.sweep()
    plan = make_plan(store, key, images.signature(), images.items(), keep=scratch)
    graph = graph.over(plan)
    schedule = Schedule(graph, plan, listings(store, graph), list_markers(store), retry=options.retry)
    stored = store if scratch is None or load_plan(scratch) is None else scratch
    notes += [*_ignored(images), *_surveys(config, plan, stored, schedule)]
    return Prepared(store, plan, graph, schedule, notes)


def dry_run(source: str, out: str, config: Config, options: Options | None = None) -> Prepared:
    """What `build` would do, as a schedule; OUT is not touched.

    Raises:
        UserError: as `build`.
    """
    with TemporaryDirectory(prefix="fld-look-") as folder:
        scratch = LocalStore(folder)
        scratch.prepare()
        return prepare(source, out, config, options or Options(), scratch)


def listings(store: Store, graph: Graph) -> Iterator[Listing]:
    """What storage holds for each node; nothing for the sink, whose markers are listed apart."""
    for node in graph.nodes:
        yield Listing() if node.is_sink else list_sidecars(store, node)


def _execute(prepared: Prepared, config: Config, options: Options, began: float) -> Summary:
    store, counts = prepared.store, prepared.schedule.counts
    remember(store, prepared.graph, config.model_dump(mode="json"))
    forget_failures(store)
    run = Run(
        prepared.graph,
        prepared.plan,
        store.root,
        config.run.limits,
        config.run.attempts,
        config.run.job_deadline_s,
        config.run.load_deadline_s,
        _crews(config, prepared.graph),
    )
    # Nothing to do starts nothing: Ray alone takes seconds.
    if not prepared.schedule.finished:
        try:
            _executor(options).run(run, prepared.schedule, options.observe)
        except StageFailed as error:
            note_failure(store, error.stage, str(error))
            raise
        _refuse_missing(prepared)
    lost = {row[s.IMAGE_ID] for row in quarantine(store, prepared.graph, prepared.plan)}
    seconds = round(time.monotonic() - began, 3)
    return Summary(prepared.plan.images, len(lost), counts.run, counts.reused, seconds)


def _executor(options: Options) -> Executor:
    if options.executor == "local":
        return LocalExecutor()
    if options.executor == "ray":
        return RayExecutor(options.ray_address, options.workers)
    raise ConfigError(f"there is no executor {options.executor!r}; choose ray or local")


def _crews(config: Config, graph: Graph) -> dict[str, Crew]:
    """Crews as configured; the others take what the hungriest of their stages asks for."""
    crews = {name: Crew(crew.workers, crew.cpus, crew.gpus) for name, crew in config.crews.items()}
    for name in set(graph.crews) - crews.keys():
        needs = [node.stage.resources for node in graph.nodes if node.crew == name]
        crews[name] = Crew(None, max(n.cpus for n in needs), max(n.gpus for n in needs), fixed=False)
    return crews


def _refuse_missing(prepared: Prepared) -> None:
    """Workers on other machines may have written to disks of their own."""
    found = {marker.shard for marker in list_markers(prepared.store)}
    missing = [name for k in range(prepared.plan.shards) if (name := prepared.plan.name(k)) not in found]
    if missing:
        raise StageFailed(
            f"every job reported success, but {len(missing)} of {prepared.plan.shards} shards are not in "
            f"{prepared.store.root}. Is OUT on storage that every worker sees? A shared folder or an object store is needed.",
            prepared.graph.nodes[-1].name,
        )


def _ignored(source: Source) -> list[str]:
    """What the source passed over, in one line."""
    ignored = dict(sorted(source.ignored.items()))
    if not ignored:
        return []
    kinds = ", ".join(f"{count} {suffix or '(no suffix)'}" for suffix, count in ignored.items())
    return [f"{source.uri}: passed over {sum(ignored.values())} files that are no images by name: {kinds}"]


def _surveys(config: Config, plan: Plan, store: Store, schedule: Schedule) -> list[str]:
    """What specialists that have something to do find when told which images they will be asked about."""
    said: list[str] = []
    busy = {name.partition(".")[2] for name in schedule.todo_by_node}
    for chosen in (c for entries in specialists_of(config).values() for c in entries if c.name in busy):
        specialist: Any = chosen.card.cls(chosen.config)
        if hasattr(specialist, "survey"):
            said += [f"{chosen.name}: {line}" for line in specialist.survey(plan.all_ids(store))]
    return said


def summary_json(summary: Summary) -> dict[str, Any]:
    """The stable form of `--json`."""
    return asdict(summary)
