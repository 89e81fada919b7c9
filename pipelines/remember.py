"""What OUT remembers of the run that makes it: the configuration and the graph, so that status and retry need neither."""

import json
from dataclasses import dataclass
from typing import Any

from engine.errors import OutError
from engine.graph import Graph, Node, Sample
from engine.parquet import canonical
from engine.plan import PLAN
from engine.store import Store

RUN = "run.json"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Remembered:
    """The last run of OUT: its graph without stages, its configuration, and where its images came from."""

    graph: Graph
    config: dict[str, Any]


def remember(store: Store, graph: Graph, config: dict[str, Any]) -> None:
    """Write down the run that starts now."""
    nodes = [
        {
            "name": n.name,
            "fingerprint": n.fingerprint,
            "inputs": list(n.inputs),
            "crew": n.crew,
            "sink": n.is_sink,
            "sample": None if n.sample is None else n.sample.to_json(),
        }
        for n in graph.nodes
    ]
    store.put(RUN, canonical({"config": config, "nodes": nodes}).encode())


def recall(store: Store) -> Remembered:
    """The last run of this OUT.

    Raises:
        OutError: nothing was ever built here.
    """
    if RUN not in store.list("") or PLAN.partition("/")[2] not in store.list("plan"):
        raise OutError(f"{store.root} holds no build; make one with `fld build SOURCE {store.root}`")
    data = json.loads(store.read(RUN))
    return Remembered(Graph(tuple(_node(n) for n in data["nodes"])), data["config"])


def _node(data: dict[str, Any]) -> Node:
    sample = data.get("sample")  # absent in what was remembered before anything was learned
    sample = None if sample is None else Sample(**sample)
    return Node(data["name"], data["fingerprint"], tuple(data["inputs"]), data["crew"], data["sink"], None, sample)


def note_failure(store: Store, stage: str, message: str) -> None:
    """Write down that a stage stopped, for `fld status`."""
    store.put(f"{FAILED}/{stage or 'engine'}.json", canonical({"stage": stage, "message": message}).encode())


def failures(store: Store) -> dict[str, str]:
    """Stages that stopped the last run, with their message."""
    found = (json.loads(store.read(f"{FAILED}/{name}")) for name in store.list(FAILED))
    return {item["stage"]: item["message"] for item in found}


def forget_failures(store: Store) -> None:
    """A new run starts with a clean slate."""
    for name in store.list(FAILED):
        store.delete(f"{FAILED}/{name}")
