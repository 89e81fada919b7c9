"""Publishing: a shard's tables, and then the marker that says they are whole.

`published/<shard>.<fingerprint>.r<generation>.json` is the marker: written last, it lists rows, bytes and sha256 of
each table. A shard that is published anew loses its marker first, so our readers never mix old and new; every
file is replaced whole, so a plain glob never sees half of one.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.graph import Node
from engine.parquet import canonical, to_bytes
from engine.sidecar import provenance
from engine.store import Store

MARKERS = "published"
_MARKER = re.compile(r"^(?P<shard>\d+-[0-9a-f]+)\.(?P<fingerprint>[0-9a-f]+)\.r(?P<generation>\d+)\.json$")


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker as its name tells it."""

    shard: str
    fingerprint: str
    generation: int

    @property
    def path(self) -> str:
        return f"{MARKERS}/{self.shard}.{self.fingerprint}.r{self.generation}.json"

    def table(self, name: str) -> str:
        """Where this shard's rows of a table stand."""
        return f"{name}/{self.shard.partition('-')[0]}.parquet"


def list_markers(store: Store) -> list[Marker]:
    """Every marker in storage, in shard order."""
    found = (_MARKER.match(name) for name in store.list(MARKERS))
    return [Marker(m["shard"], m["fingerprint"], int(m["generation"])) for m in found if m]


def read_marker(store: Store, marker: Marker) -> dict[str, dict[str, Any]]:
    """For each table its rows, bytes and sha256."""
    tables: dict[str, dict[str, Any]] = json.loads(store.read(marker.path))["tables"]
    return tables


def publish_shard(
    store: Store,
    node: Node,
    inputs: Mapping[str, str],
    new: Marker,
    stale: Sequence[Marker],
    tables: Mapping[str, pa.Table],
) -> None:
    """Take away the shard's `stale` markers, replace its tables, then put the `new` marker."""
    for old in stale:
        store.delete(old.path)
    written: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        data = to_bytes(table, {**provenance(node, inputs), "table": name, "shard": new.shard, "rows": table.num_rows})
        store.put(new.table(name), data)
        written[name] = {"rows": table.num_rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    store.put(new.path, canonical({"shard": new.shard, "tables": written}).encode())
