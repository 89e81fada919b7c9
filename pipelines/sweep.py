"""`fld sweep`: what each value of one setting would keep and reject, decided anew from the sidecars in OUT.

Graph, schedule and jobs are those of `fld build`, so a value decides here as it would there; no specialist runs. What
is decided stays in OUT as sidecars, where a `fld build` with that value finds it. What is published in OUT, and what
OUT remembers of its last build, does not change: tables of a sweep go to a temporary folder.
`pipelines.sweep_text` prints the answer and `pipelines.sweep_plot` draws it.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any, Final

from engine.errors import ConfigError, OutError
from engine.executors.local import work
from engine.graph import INGEST, Estimate, Graph, Node, Sink
from engine.job import Worker
from engine.parquet import from_bytes
from engine.plan import Plan, load_plan
from engine.publish import list_markers
from engine.records import Pixels
from engine.schedule import Schedule
from engine.store import LocalStore, Store, open_store
from pipelines.build import listings
from pipelines.config import change, parse_config
from pipelines.graph import fld_graph
from pipelines.remember import recall
from pipelines.stages.decision import DecisionStage
from pipelines.stages.publish import DECISIONS
from pipelines.sweep_plot import check_name, plot
from pipelines.sweep_tally import DEFINITIONS, SCHEMA, TALLY, tallied, totals
from pipelines.sweep_text import render
from pipelines.sweep_values import parse

__all__ = ["check_name", "plot", "render", "sweep"]

_IN_OUT: Final = ("plan/", "work/")


def sweep(
    out: str,
    settings: Sequence[str],
    truth: str | None = None,
    *,
    partial: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Decide OUT anew for each value of the one setting of `settings` that names several (`pipelines.sweep_values`).

    The answer is JSON with stable keys: `setting`, `fixed`, `left_out`, `definitions`, and `values`, each with `value`,
    `jobs_run` by stage, `jobs_reused`, `quarantined` (images that a decision could not be made about, by stage),
    `stages` (`pipelines.sweep_tally`), and of what `fld eval` finds the rates (`truth`, None without a truth file).
    With `partial`, decisions that wait for a specialist's answers are left out; otherwise they are an error.

    Raises:
        ConfigError: a setting cannot be read or swept, or a specialist would have to run.
        OutError: nothing was built in OUT, or its build is not complete.
        TruthError: as `fld eval`.
    """
    if partial and truth is not None:
        raise ConfigError("--truth measures whole tables, and --partial leaves some of them out; choose one")
    key, values, fixed = parse(settings)
    whole = truth is not None
    bench = _Bench.of(out)
    graphs = [bench.over([*fixed, f"{key}={text}"]) for text, _ in values]
    waiting = {name for graph in graphs for name in bench.waiting(graph, whole=whole)}
    if waiting and not partial:
        raise ConfigError(_refused(key, sorted(waiting), whole=whole))
    left_out = [name for name in DECISIONS if any(name in _below(graph, waiting) for graph in graphs)]
    found: dict[str, Any] = {"setting": key, "fixed": fixed, "left_out": left_out, "values": []}
    for (text, value), graph in zip(values, graphs, strict=True):
        with TemporaryDirectory(prefix="fld-sweep-") as folder:
            counts = bench.decide(_ending_in_a_tally(graph, left_out, whole=whole), folder)
            measured = _measured(folder, truth) if truth is not None else None
        found["values"].append({"value": value, **counts, "truth": measured})
        say(f"{key}={text}: {sum(counts['jobs_run'].values())} jobs run, {counts['jobs_reused']} reused")
    return {**found, "definitions": DEFINITIONS}


class Aside:
    """OUT, but for what is published: that stands in a store of its own."""

    def __init__(self, out: Store, own: Store) -> None:
        self.root = out.root
        self._out, self._own = out, own

    def _of(self, path: str) -> Store:
        return self._out if path.startswith(_IN_OUT) else self._own

    def prepare(self) -> None:
        """Both are there already."""

    def sweep(self) -> None:
        """Nothing is left half-written by others here."""

    def read(self, path: str) -> bytes:
        return self._of(path).read(path)

    def create(self, path: str, data: bytes) -> bool:
        return self._of(path).create(path, data)

    def put(self, path: str, data: bytes) -> None:
        self._of(path).put(path, data)

    def list(self, folder: str) -> list[str]:
        return self._of(f"{folder}/").list(folder)

    def delete(self, path: str) -> None:
        self._of(path).delete(path)


@dataclass(frozen=True, slots=True)
class _Bench:
    """A complete OUT on which values are tried."""

    store: Store
    plan: Plan
    config: dict[str, Any]

    @classmethod
    def of(cls, out: str) -> "_Bench":
        """Raises: OutError: nothing was built, or specialists have not answered for everything yet."""
        store = open_store(out)
        config = recall(store).config
        plan = load_plan(store)
        if plan is None:
            raise OutError(f"{out} has no plan; start with `fld build`")
        store.prepare()
        bench = cls(store, plan, config)
        graph = bench.over([])
        unanswered = sorted(_specialists(graph) & bench.todo(graph).keys())
        if unanswered:
            raise OutError(
                f"{out} is not complete: it lacks answers of {', '.join(unanswered)}. Finish it with `fld build`, then sweep"
            )
        return bench

    def over(self, settings: Iterable[str]) -> Graph:
        """The graph of OUT's configuration with `settings`."""
        data = deepcopy(self.config)
        for setting in settings:
            change(data, setting)
        graph, _ = fld_graph(parse_config(data, f"{self.store.root}/run.json"))
        return graph.over(self.plan)

    def todo(self, graph: Graph) -> dict[str, int]:
        """How many jobs of each stage are still to be done."""
        return Schedule(graph, self.plan, listings(self.store, graph), []).todo_by_node

    def waiting(self, graph: Graph, *, whole: bool) -> set[str]:
        """Specialists that decisions (or, when `whole`, the tables) read and that would have to run."""
        last = graph.nodes[-1].name
        wanted = _above(graph, {n.name for n in graph.nodes if n.name in DECISIONS or (whole and n.name == last)})
        return wanted & _specialists(graph) & self.todo(graph).keys()

    def decide(self, graph: Graph, folder: str) -> dict[str, Any]:
        """Do what is missing of `graph`, its tables in `folder`, and count."""
        aside = LocalStore(folder)
        store = Aside(self.store, aside)
        schedule = Schedule(graph, self.plan, listings(store, graph), [])
        run = {name: n for name, n in schedule.todo_by_node.items() if name != graph.nodes[-1].name}
        work(Worker(graph, self.plan, store, _no_pixels), schedule, lambda _: None)
        tallies = (from_bytes(aside.read(marker.table(TALLY))) for marker in list_markers(aside))
        lost = {name: n for name, n in schedule.counts.quarantined.items() if n and name in DECISIONS}
        counts = {"jobs_run": run, "jobs_reused": schedule.counts.reused, "quarantined": lost}
        return {**counts, "stages": totals(tallies)}


def _specialists(graph: Graph) -> set[str]:
    """Stages that are no decisions, `ingest` among them."""
    return {node.name for node in graph.nodes if not isinstance(node.stage, DecisionStage | Estimate | Sink)}


def _above(graph: Graph, names: set[str]) -> set[str]:
    """`names` and all that they read."""
    found = set(names)
    for node in reversed(graph.nodes):
        if node.name in found:
            found.update(graph.nodes[i].name for i in node.inputs)
    return found


def _below(graph: Graph, names: set[str]) -> set[str]:
    """`names` and all that reads them."""
    found = set(names)
    for node in graph.nodes:
        if any(graph.nodes[i].name in found for i in node.inputs):
            found.add(node.name)
    return found


def _ending_in_a_tally(graph: Graph, left_out: Sequence[str], *, whole: bool) -> Graph:
    """Decisions without those `left_out`, what they read, and a sink that counts them; when `whole`, it also makes the
    published tables."""
    last = graph.nodes[-1]
    stage = last.stage
    if not isinstance(stage, Sink):
        raise TypeError(f"{last.name} publishes nothing")
    decisions = DECISIONS.keys() - set(left_out)
    reads = [i for i in last.inputs if whole or graph.nodes[i].name in {INGEST, *decisions}]
    names = tuple(graph.nodes[i].name for i in reads)
    above = _above(graph, set(names))
    kept = [i for i, node in enumerate(graph.nodes) if node.name in above]
    place = {old: new for new, old in enumerate(kept)}
    nodes = [_moved(graph.nodes[i], graph.nodes[i].inputs, place) for i in kept]
    tables = {**stage.tables, TALLY: SCHEMA} if whole else {TALLY: SCHEMA}
    counting = replace(stage, inputs=names, tables=tables, build=tallied(stage.build if whole else None))
    return Graph((*nodes, _moved(replace(last, implementation=counting), reads, place)))


def _moved(node: Node, inputs: Iterable[int], place: dict[int, int]) -> Node:
    return replace(node, inputs=tuple(place[i] for i in inputs))


def _no_pixels(uri: str) -> Pixels:
    raise RuntimeError(f"a decision wants to see {uri}; only specialists look at images")


def _refused(setting: str, names: Sequence[str], *, whole: bool) -> str:
    remedy = "Without --truth, decisions alone are" if whole else "With --partial, the decisions that do not wait are"
    if any(name.startswith("write.") for name in names):
        remedy = f"--set writers={{}} leaves out what is written. {remedy}"
    return (
        f"with other values of {setting}, {', '.join(names)} would be asked about other things than before, and a sweep "
        f"runs no specialist. {remedy} counted; `fld build` with that setting asks."
    )


def _measured(folder: str, truth: str) -> dict[str, Any]:
    """The rates of `fld eval` for what is published in `folder`."""
    from pipelines.eval import evaluate

    found = evaluate(folder, truth)
    boxes, masks = found["boxes"], found["masks"]
    text, ocr = found["text"], found["ocr"]
    return {
        "images": found["images"]["compared"],
        "boxes": {name: boxes[name] for name in ("ap", "ap50")} | _rates(boxes["at_iou_50"]),
        "masks": masks and {"ap": masks["ap"], "mean_iou": masks["mean_iou"]},
        "text": text and {kind: _rates(text[kind]["all"]["objects"]) for kind in text["ceiling"]},
        "triplets": found["triplets"] and _rates(found["triplets"]),
        "ocr": ocr and {name: ocr["case_sensitive"][name] for name in ("precision", "accuracy")},
        "ece": found["calibration"]["ece"],
    }


def _rates(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("precision", "recall", "f1")}
