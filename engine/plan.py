"""The plan: which images, in which shards. It is made once for a SOURCE, stored in OUT, and never changes under a run.

A shard's name is its number and a digest of its image list (`00003-9f8e7d6c`), so a file named after it
holds everything that went into it; growing a SOURCE at its end keeps every full shard as it was.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import OutError, SourceError
from engine.parquet import canonical, from_bytes, to_bytes
from engine.schema import IMAGE_ID, META, SCHEMA_VERSION, URI
from engine.sources.base import Item
from engine.store import Store

PLAN = "plan/plan.json"
ITEMS = pa.schema([pa.field(IMAGE_ID, pa.string()), pa.field(URI, pa.string()), pa.field(META, pa.string())])
SHARDS = pa.schema([pa.field("digest", pa.string()), pa.field("images", pa.int32())])


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan was made with. Another source or shard size is another plan; a higher limit lets one grow."""

    source: str
    shard_size: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Shards of a run: `digests` (shards,) and `counts` (shards,) images each; the lists themselves stay in storage."""

    key: PlanKey
    signature: str
    digest: str
    digests: tuple[str, ...]
    counts: NDArray[np.int32]

    @property
    def shards(self) -> int:
        return len(self.digests)

    @property
    def images(self) -> int:
        return int(self.counts.sum())

    def name(self, shard: int) -> str:
        return f"{shard:05d}-{self.digests[shard]}"

    def items(self, store: Store, shard: int) -> pa.Table:
        """image_id, uri, meta of the shard's images, sorted by image_id."""
        return from_bytes(store.read(f"plan/{self.digest}/{self.name(shard)}.parquet"))

    def all_ids(self, store: Store) -> Iterator[str]:
        """Every image id, one shard in memory at a time."""
        for shard in range(self.shards):
            yield from self.items(store, shard).column(IMAGE_ID).to_pylist()


def load_plan(store: Store) -> Plan | None:
    """The plan that OUT was made with, or None."""
    if "plan.json" not in store.list("plan"):
        return None
    head = json.loads(store.read(PLAN))
    shards = from_bytes(store.read(f"plan/{head['digest']}/shards.parquet"))
    key = PlanKey(head["source"], head["shard_size"], head["limit"])
    return Plan(
        key, head["signature"], head["digest"], tuple(shards.column(0).to_pylist()), shards.column(1).to_numpy()
    )


def make_plan(store: Store, key: PlanKey, signature: str, items: Iterable[Item], keep: Store | None = None) -> Plan:
    """The plan for `items` (in the source's order), from storage where it is, else made and stored.

    With `keep` a new plan is written there and not to `store`: for a look that must leave no trace.

    Raises:
        SourceError: no images, or two images with one key (both places are named).
        OutError: OUT was made by another source, or the source changed other than by growing at its end.
    """
    old = load_plan(store)
    if old is not None:
        if (old.key.source, old.key.shard_size) != (key.source, key.shard_size):
            raise OutError(_other_source(store.root, old.key, key))
        if (old.signature, old.key.limit) == (signature, key.limit):
            return old
    target = keep or store
    with TemporaryDirectory(prefix="fld-plan-") as folder:
        plan = _write_shards(Path(folder), key, signature, items)
        if plan.images == 0:
            raise SourceError(f"there are no images in {key.source}")
        _refuse_collisions(folder, key.source)
        if old is not None:
            _refuse_other_images(store, old, plan, Path(folder))
        for path in sorted(Path(folder).iterdir()):
            target.put(f"plan/{plan.digest}/{path.name}", path.read_bytes())
    head = {
        "schema_version": SCHEMA_VERSION, "source": key.source, "shard_size": key.shard_size, "limit": key.limit,
        "images": plan.images, "shards": plan.shards, "signature": signature, "digest": plan.digest,
    }  # fmt: skip
    # The head comes last: a plan without it does not exist, and the lists it names are complete.
    target.put(PLAN, canonical(head).encode())
    return plan


def _write_shards(folder: Path, key: PlanKey, signature: str, items: Iterable[Item]) -> Plan:
    digests: list[str] = []
    counts: list[int] = []
    for rows in _chunks(items, key.shard_size, key.limit):
        rows.sort()
        columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        table = pa.Table.from_arrays(columns, schema=ITEMS)
        digest = hashlib.sha256(canonical([row[:2] for row in rows]).encode()).hexdigest()[:8]
        (folder / f"{len(digests):05d}-{digest}.parquet").write_bytes(to_bytes(table, {}))
        digests.append(digest)
        counts.append(len(rows))
    shards = pa.Table.from_arrays([pa.array(digests, pa.string()), pa.array(counts, pa.int32())], schema=SHARDS)
    (folder / "shards.parquet").write_bytes(to_bytes(shards, {}))
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    return Plan(key, signature, whole, tuple(digests), np.array(counts, np.int32))


def _chunks(items: Iterable[Item], size: int, limit: int | None) -> Iterator[list[tuple[str, str, str]]]:
    rows: list[tuple[str, str, str]] = []
    for count, item in enumerate(items):
        if limit is not None and count >= limit:
            break
        rows.append((item.image_id, item.uri, item.meta))
        if len(rows) == size:
            yield rows
            rows = []
    if rows:
        yield rows


def _refuse_collisions(folder: str, source: str) -> None:
    """On disk, by DuckDB: a source may have more keys than memory."""
    import duckdb

    with duckdb.connect(config={"threads": 2, "temp_directory": folder}) as connection:
        query = (
            f"SELECT {IMAGE_ID}, min({URI}), max({URI}), count(*) FROM read_parquet('{folder}/*-*.parquet') "
            f"GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
        )
        row = connection.execute(query).fetchone()
    if row:
        key, first, second, count = row
        raise SourceError(
            f"{count} images of {source} share the key {key!r}: {first} and {second}. "
            "Give every image its own key (rename one, or name an id column) and start again."
        )


def _refuse_other_images(store: Store, old: Plan, new: Plan, folder: Path) -> None:
    """A source may only grow at its end: old shards stay as they are, the last one may become fuller.

    Files of the same names may have been replaced: that is how a broken image is mended, before `fld retry`.
    """
    changed = new.images < old.images
    for shard in range(old.shards if not changed else 0):
        if new.digests[shard] != old.digests[shard]:
            before = set(old.items(store, shard).column(IMAGE_ID).to_pylist())
            after = from_bytes((folder / f"{new.name(shard)}.parquet").read_bytes()).column(IMAGE_ID).to_pylist()
            changed = shard != old.shards - 1 or not before.issubset(after)
        if changed:
            break
    if changed:
        raise OutError(
            f"{old.key.source} changed since {store.root} was made from it ({old.images} images then, {new.images} "
            "now). New images may only come after the old ones. Build into a new OUT, or bring the old files back."
        )


def _other_source(root: str, old: PlanKey, new: PlanKey) -> str:
    differences = [
        f"{name} {getattr(old, name)!r}, not {getattr(new, name)!r}"
        for name in ("source", "shard_size")
        if getattr(old, name) != getattr(new, name)
    ]
    return f"{root} was made with {'; '.join(differences)}. Choose another OUT, or give the same again."
