"""`fld explain`: the story of one image, from storage alone; also while a build runs on another machine.

Stage by stage in the order of the graph: what was said of the image, what was decided and why, what went wrong, and at
the end what is published. `pipelines.explain_text` prints it.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from engine import sidecar
from engine.errors import OutError
from engine.graph import INGEST, Graph, Node
from engine.parquet import from_bytes
from engine.plan import Plan, load_plan
from engine.publish import list_markers
from engine.sidecar import SAMPLE, list_sidecars
from engine.store import Store, open_store
from pipelines.explain_text import render
from pipelines.explain_words import understood
from pipelines.remember import recall

__all__ = ["explain", "render"]

DONE: Final = "done"
MISSING: Final = "not there yet"
UNASKED: Final = "not asked"  # a stage that only estimates read, in a shard that none of them learns from
LOST: Final = "left out"  # `ingest` could not read the image, so nobody after it saw it
OUTDATED: Final = "of another configuration"
_SHOWN: Final = 3  # images that a name may mean which an error lists


def explain(out: str, image: str) -> dict[str, Any]:
    """Everything that OUT holds about an image, as JSON with stable keys.

    `image` is its id, its place (or the end of that, from a `/` on), or the beginning of an id that no other begins
    with. `stages` has, for each stage in the order of the graph: `state` (done, not there yet, not asked, left out),
    what it `reads`, its `rows` about the image, its `faults`, where it is done `answered` (false: in quarantine, or not
    looked at), and of a decision `kept` and `rejected` by reason; an estimate, which is about no single image, has
    `learned`, the rows of its table. `understood` has what the words of each text are and how they relate
    (`pipelines.explain_words`). `published` has the `state` of the image's shard and the image's rows in each table.

    Raises:
        OutError: nothing was ever built in OUT; no image or several are meant by `image`.
    """
    store = open_store(out)
    graph = recall(store).graph
    plan = load_plan(store)
    if plan is None:
        raise OutError(f"{out} has no plan; start with `fld build`")
    shard, row = _find(store, plan, image)
    stages = list(_stages(store, graph, plan, shard, row[s.IMAGE_ID]))
    published = _published(store, graph.nodes[-1], plan.name(shard), row[s.IMAGE_ID])
    words = understood([said for stage in stages for said in stage["rows"]])
    return {**row, "shard": plan.name(shard), "stages": stages, "understood": words, "published": published}


def _stages(store: Store, graph: Graph, plan: Plan, shard: int, image_id: str) -> Iterator[dict[str, Any]]:
    lost = False
    for node, span in zip(graph.nodes, graph.spans(plan.shards), strict=True):
        if node.is_sink:
            continue
        story: dict[str, Any] = {"stage": node.name, "state": DONE, "reads": [graph.nodes[i].name for i in node.inputs]}
        name = SAMPLE if node.is_estimate else plan.name(shard)
        found = list_sidecars(store, node).newest.get(name)
        if lost and not node.is_estimate:
            story["state"] = LOST
        elif found is None:
            story["state"] = UNASKED if shard >= span and not node.is_estimate else MISSING
        else:
            content = sidecar.read(store, f"{node.folder}/{found.filename}")
            story |= _learned(content) if node.is_estimate else _said(content, image_id)
            lost = lost or (node.name == INGEST and any(fault["lost"] for fault in story["faults"]))
        yield {"rows": [], "faults": [], **story}


def _learned(content: sidecar.Content) -> dict[str, Any]:
    return {"learned": content.table.num_rows}


def _said(content: sidecar.Content, image_id: str) -> dict[str, Any]:
    """Rows and faults of one image, whether it was looked at, and, where rows carry reasons, how many were kept and
    rejected."""
    rows = _about(content.table, image_id)
    faults = [
        {"error": f.error, "message": f.message, "attempts": f.attempts, "lost": f.lost}
        for f in content.faults
        if f.image_id == image_id
    ]
    said: dict[str, Any] = {"rows": rows, "faults": faults, "answered": image_id not in content.missing}
    if s.REASON not in content.table.column_names:
        return said
    reasons = Counter(row[s.REASON] for row in rows)
    kept = reasons.pop(None, 0)
    return {**said, "kept": kept, "rejected": dict(reasons.most_common())}


def _published(store: Store, sink: Node, shard: str, image_id: str) -> dict[str, Any]:
    """The image's rows in the tables of its shard, whichever configuration published them."""
    markers = [marker for marker in list_markers(store) if marker.shard == shard]
    if not markers:
        return {"state": MISSING, "tables": {}}
    current = any(marker.fingerprint == sink.fingerprint for marker in markers)
    tables = {name: _about(from_bytes(store.read(markers[-1].table(name))), image_id) for name in s.PUBLISHED}
    return {"state": DONE if current else OUTDATED, "tables": tables}


def _about(table: pa.Table, image_id: str) -> list[dict[str, Any]]:
    rows = table.filter(pc.equal(table.column(s.IMAGE_ID), image_id)).drop_columns(s.IMAGE_ID).to_pylist()
    return [_plain(row) for row in rows]


def _plain(value: Any) -> Any:
    """With null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- which image -------------------------------------------------------------------------------------


def _find(store: Store, plan: Plan, wanted: str) -> tuple[int, dict[str, Any]]:
    """The shard of the image that `wanted` means, and its row of the plan. An id counts more than a place, a place more
    than a beginning; shards are in memory one at a time."""
    places: list[tuple[int, dict[str, Any]]] = []
    beginnings: list[tuple[int, dict[str, Any]]] = []
    counts = [0, 0]
    for shard in range(plan.shards):
        items = plan.items(store, shard)
        ids, uris = items.column(s.IMAGE_ID), items.column(s.URI)
        exact = items.filter(pc.equal(ids, wanted))
        if exact.num_rows:
            return shard, exact.to_pylist()[0]
        at = pc.or_(pc.equal(uris, wanted), pc.ends_with(uris, "/" + wanted))
        for kind, (found, mask) in enumerate(((places, at), (beginnings, pc.starts_with(ids, wanted)))):
            rows = items.filter(mask)
            counts[kind] += rows.num_rows
            found += [(shard, row) for row in rows.slice(0, _SHOWN).to_pylist()]
    for found, count in zip((places, beginnings), counts, strict=True):
        if count > 1:
            names = ", ".join(row[s.IMAGE_ID] for _, row in found[:_SHOWN])
            more = " and others" if count > _SHOWN else ""
            raise OutError(f"{wanted!r} may mean {count} images of {store.root}: {names}{more}; give more of the name")
        if count:
            return found[0]
    raise OutError(f"{store.root} has no image {wanted!r}; the nearest is {_nearest(store, plan, wanted)!r}")


def _nearest(store: Store, plan: Plan, wanted: str) -> str:
    """The id most like `wanted` (Jaro-Winkler), the first of equals. DuckDB compares: there may be many."""
    import duckdb

    best: tuple[float, str] = (-1.0, "")
    query = f"SELECT jaro_winkler_similarity({s.IMAGE_ID}, $1), {s.IMAGE_ID} FROM items ORDER BY 1 DESC, 2 LIMIT 1"
    with duckdb.connect(config={"threads": 1}) as connection:
        for shard in range(plan.shards):
            connection.register("items", plan.items(store, shard))
            best = max([best, *connection.execute(query, [wanted]).fetchall()], key=lambda found: found[0])
    return best[1]
