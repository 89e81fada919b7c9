"""Sidecars: the one Parquet file that a job writes, and what its name says.

`work/<stage>@<fingerprint>/<shard>.r<generation>.q<quarantined>.parquet`. Generation 0 is the first answer; each
`fld retry` that touches a shard adds the next, which replaces it whole. The number of quarantined images stands in
the name so that `fld status` opens only the files that hold some. While a job that kills its workers is bisected,
`<shard>.r<generation>.part-<lo>-<hi>.parquet` hold the answers for parts of the shard. An estimate has one
sidecar, `sample.r0.q0.parquet`: which shards the sample is, its fingerprint knows, and its footer says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from engine.errors import StoreError
from engine.graph import Fault, Node, Output
from engine.parquet import footer_of, from_bytes, to_bytes
from engine.schema import SCHEMA_VERSION
from engine.store import Store

SAMPLE = "sample"
_SIDECAR = re.compile(rf"^(?P<shard>\d+-[0-9a-f]+|{SAMPLE})\.r(?P<generation>\d+)\.q(?P<quarantined>\d+)\.parquet$")
_PART = re.compile(r"^(?P<shard>\d+-[0-9a-f]+)\.r(?P<generation>\d+)\.part-(?P<lo>\d+)-(?P<hi>\d+)\.parquet$")
LIBRARIES = ("fld5b", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar as its name tells it; `shard` is `SAMPLE` for an estimate's."""

    shard: str
    generation: int
    quarantined: int

    @property
    def filename(self) -> str:
        return f"{self.shard}.r{self.generation}.q{self.quarantined}.parquet"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sidecar in the making: positions lo..hi of the shard's image list."""

    shard: str
    generation: int
    lo: int
    hi: int

    @property
    def filename(self) -> str:
        return f"{self.shard}.r{self.generation}.part-{self.lo}-{self.hi}.parquet"


@dataclass(slots=True)
class Listing:
    """What a node has in storage: the newest sidecar of each shard, and unfinished parts."""

    newest: dict[str, Sidecar] = field(default_factory=dict)
    parts: dict[tuple[str, int], list[Part]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """A sidecar read whole. `changed`: images answered anew since generation 0, each with the generation that did.
    `unanswered`: images that the stage did not look at."""

    table: pa.Table
    faults: tuple[Fault, ...]
    changed: Mapping[str, int]
    unanswered: frozenset[str] = frozenset()

    @property
    def missing(self) -> frozenset[str]:
        """Images for which there is no answer: in quarantine, or not looked at."""
        return self.unanswered.union(fault.image_id for fault in self.faults if fault.lost)


def list_sidecars(store: Store, node: Node) -> Listing:
    """One listing of the node's folder. Of two sidecars of one generation the one with fewer faults counts."""
    found = Listing()
    for name in store.list(node.folder):
        if match := _SIDECAR.match(name):
            sidecar = Sidecar(match["shard"], int(match["generation"]), int(match["quarantined"]))
            other = found.newest.get(sidecar.shard)
            rank = (-sidecar.generation, sidecar.quarantined)
            if other is None or rank < (-other.generation, other.quarantined):
                found.newest[sidecar.shard] = sidecar
        elif match := _PART.match(name):
            part = Part(match["shard"], int(match["generation"]), int(match["lo"]), int(match["hi"]))
            found.parts.setdefault((part.shard, part.generation), []).append(part)
    return found


def encode(node: Node, inputs: Mapping[str, str], output: Output, changed: Mapping[str, int]) -> bytes:
    """The bytes of a sidecar; `inputs` names the input stages' fingerprints."""
    return to_bytes(
        output.table,
        {
            **provenance(node, inputs),
            "rows": output.table.num_rows,
            "quarantine": [
                [f.image_id, f.error, f.message, f.attempts, f.lost] for f in sorted(output.faults, key=_fault_order)
            ],
            "unanswered": sorted(output.unanswered),
            "changed": dict(changed),
        },
    )


def decode(data: bytes) -> Content:
    """A sidecar's rows, faults, and changed and unanswered images; none of the latter before they were written down.

    Raises:
        StoreError: the bytes are not a sidecar.
    """
    footer = footer_of(data)
    faults = tuple(Fault(*row) for row in footer["quarantine"])
    return Content(from_bytes(data), faults, footer["changed"], frozenset(footer.get("unanswered", ())))


def read(store: Store, path: str) -> Content:
    """`decode` the sidecar at `path`.

    Raises:
        StoreError: it is gone or damaged; the message names it and the remedy.
    """
    data = store.read(path)
    try:
        return decode(data)
    except StoreError as error:
        raise StoreError(f"{store.root}/{path} is damaged ({error}). Delete it and run `fld build` again.") from error


def provenance(node: Node, inputs: Mapping[str, str]) -> dict[str, Any]:
    """The full identity of what made a file, for its footer."""
    return {
        "schema_version": SCHEMA_VERSION,
        "stage": node.name,
        "revision": node.stage.revision,
        "fingerprint": node.fingerprint,
        "identity": node.stage.identity(),
        "inputs": dict(inputs),
        **({} if node.sample is None else {"sample": node.sample.to_json()}),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _fault_order(fault: Fault) -> tuple[str, str, str]:
    return fault.image_id, fault.error, fault.message


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
