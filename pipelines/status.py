"""`fld status`: how far OUT is, from storage alone; also while a build runs on another machine."""

from collections.abc import Iterator
from typing import Any

from engine import schema as s
from engine.errors import OutError
from engine.graph import Graph
from engine.parquet import footer_of
from engine.plan import Plan, load_plan
from engine.publish import list_markers
from engine.schedule import Schedule
from engine.sidecar import Listing, list_sidecars
from engine.store import Store, open_store
from pipelines.remember import failures, recall


def status(out: str) -> dict[str, Any]:
    """Images, shards, jobs done / todo / failed, and the quarantine.

    Raises:
        OutError: nothing was ever built in OUT.
    """
    store = open_store(out)
    remembered = recall(store)
    plan = load_plan(store)
    if plan is None:
        raise OutError(f"{out} has no plan; start with `fld build`")
    graph = remembered.graph
    listings = [Listing() if n.is_sink else list_sidecars(store, n) for n in graph.nodes]
    schedule = Schedule(graph, plan, listings, list_markers(store))
    failed = failures(store)
    todo = schedule.counts.jobs - schedule.counts.done
    stopped = sum(schedule.todo_by_node.get(name, 0) for name in failed)
    return {
        "images": plan.images,
        "shards": plan.shards,
        "jobs": {"done": schedule.counts.done, "todo": todo - stopped, "failed": stopped},
        "failures": failed,
        "quarantine": list(quarantine(store, graph, plan)),
    }


def quarantine(store: Store, graph: Graph, plan: Plan) -> Iterator[dict[str, Any]]:
    """Every image in quarantine, by stage. Only sidecars whose name says that they hold some are opened."""
    current = [plan.name(shard) for shard in range(plan.shards)]
    for node, span in zip(graph.nodes, graph.spans(plan.shards), strict=True):
        if node.is_sink or node.is_estimate:
            continue
        newest = list_sidecars(store, node).newest
        for shard in current[:span]:
            if shard in newest and newest[shard].quarantined:
                footer = footer_of(store.read(f"{node.folder}/{newest[shard].filename}"))
                for image_id, error, message, attempts, _ in footer["quarantine"]:
                    yield {
                        s.IMAGE_ID: image_id,
                        "stage": node.name,
                        "error": error,
                        "message": message,
                        "attempts": attempts,
                    }
