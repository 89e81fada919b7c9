"""What OUT holds: the published tables, and what each specialist said before consensus, from the sidecars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine import schema as s
from engine import sidecar
from engine.errors import OutError, StoreError
from engine.graph import Node
from engine.parquet import footer_of, from_bytes
from engine.sidecar import Listing, list_sidecars
from engine.store import Store, open_store
from pipelines.query import markers_of

DETECT: Final = "detect."
READ: Final = "read."
OFFSET: Final = "#"  # a locator within an archive or a table has one, and then names no file


@dataclass(frozen=True, slots=True)
class Shard:
    """A published shard: its name, the numbered file its tables stand in, and the fingerprints they were made from."""

    name: str
    file: str
    inputs: dict[str, str]


@dataclass(slots=True)
class Published:
    """The published shards of one OUT. `names` (images) are file names, or the source's keys for images in archives."""

    store: Store
    shards: list[Shard]
    ids: list[str]
    names: list[str]
    sizes: NDArray[np.int64]
    _listings: dict[tuple[str, str], Listing] = field(default_factory=dict)

    @classmethod
    def open(cls, out: str) -> "Published":
        """Read the shards' footers and the images.

        Raises:
            OutError: nothing is published yet, or a published table cannot be read.
        """
        store = open_store(out)
        markers = {marker.table("images"): marker for marker in markers_of(store)}
        shards, tables = [], []
        for path, marker in sorted(markers.items()):
            try:
                data = store.read(path)
                inputs = footer_of(data).get("inputs", {})
                tables.append(from_bytes(data, [s.IMAGE_ID, s.URI, s.WIDTH, s.HEIGHT]))
            except StoreError as error:
                raise OutError(f"{store.root}/{path} cannot be read ({error}); `fld verify {out}` says more") from error
            shards.append(Shard(marker.shard, path.rpartition("/")[2], inputs))
        images = pa.concat_tables(tables)
        ids = images.column(s.IMAGE_ID).to_pylist()
        names = [file_name(*row) for row in zip(images.column(s.URI).to_pylist(), ids, strict=True)]
        sizes = np.column_stack([images.column(c).to_numpy() for c in (s.WIDTH, s.HEIGHT)]).astype(np.int64)
        return cls(store, shards, ids, names, sizes)

    def table(self, name: str, columns: list[str], ids: pa.Array) -> tuple[pa.Table, NDArray[np.int64]]:
        """Rows of a published table about the images `ids`, and the position of each row's image in `ids`."""
        parts = (from_bytes(self.store.read(f"{name}/{shard.file}"), columns) for shard in self.shards)
        return _about(parts, ids)

    def specialists(self, prefix: str) -> list[str]:
        """Names of the specialists of a role (`detect.`, `read.`) that took part in every shard or in some."""
        return sorted(
            {stage.removeprefix(prefix) for shard in self.shards for stage in shard.inputs if stage.startswith(prefix)}
        )

    def said(self, stage: str, columns: list[str], ids: pa.Array) -> tuple[pa.Table, NDArray[np.int64]]:
        """As `table`, of what a specialist's stage said.

        Raises:
            OutError: a shard's sidecar is gone.
        """
        return _about((self._sidecar(shard, stage).select(columns) for shard in self.shards), ids)

    def _sidecar(self, shard: Shard, stage: str) -> pa.Table:
        if stage not in shard.inputs:  # another configuration published this shard
            raise OutError(f"{stage} took no part in shard {shard.name}; run `fld build` again")
        key = stage, shard.inputs[stage]
        node = Node(*key, inputs=(), crew="", is_sink=False)
        if key not in self._listings:
            self._listings[key] = list_sidecars(self.store, node)
        newest = self._listings[key].newest.get(shard.name)
        if newest is None:
            raise OutError(f"{node.folder} no longer holds shard {shard.name}; run `fld build` again")
        return sidecar.read(self.store, f"{node.folder}/{newest.filename}").table


def file_name(uri: str, image_id: str) -> str:
    """The last part of the URI; of the image's key where the URI is a place inside another file."""
    where = image_id if OFFSET in uri else uri
    return where.replace("\\", "/").rstrip("/").rpartition("/")[2]


def floats(column: Any) -> NDArray[np.float64]:
    """A column of numbers: (rows,), NaN where null."""
    return np.asarray(column.to_numpy(), np.float64)


def boxes(table: pa.Table) -> NDArray[np.float64]:
    """The four box columns: (rows, 4)."""
    return np.column_stack([floats(table.column(name)) for name in s.BOX]).reshape(-1, 4)


def quads(table: pa.Table) -> NDArray[np.float64]:
    """The quad column: (rows, 8). Every row must have one."""
    column: Sequence[Any] = table.column(s.QUAD).combine_chunks().flatten().to_numpy()
    return np.asarray(column, np.float64).reshape(-1, 8)


def _about(parts: Iterator[pa.Table], ids: pa.Array) -> tuple[pa.Table, NDArray[np.int64]]:
    kept, index = [], [np.zeros(0, np.int64)]
    for part in parts:
        position = pc.index_in(part.column(s.IMAGE_ID), value_set=ids)
        kept.append(part.filter(pc.is_valid(position)))
        index.append(position.drop_null().to_numpy().astype(np.int64))
    return pa.concat_tables(kept), np.concatenate(index)
