"""Tables grouped by image: flat columns plus offsets, the shape in which every decision is computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.errors import StoreError
from engine.schema import HEIGHT, IMAGE_ID, REASON, WIDTH


@dataclass(frozen=True, slots=True)
class Frames:
    """The images of a batch, in order: `ids` n, `widths` (n,), `heights` (n,) in pixels."""

    ids: list[str]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]

    @classmethod
    def of(cls, images: pa.Table) -> "Frames":
        """From a table with the columns of `images`."""
        return cls(
            images.column(IMAGE_ID).to_pylist(),
            images.column(WIDTH).to_numpy().astype(np.int32, copy=False),
            images.column(HEIGHT).to_numpy().astype(np.int32, copy=False),
        )


@dataclass(frozen=True, slots=True)
class Grouped:
    """`table` in the order of a batch's images; the rows of image i are offsets[i]:offsets[i+1]."""

    table: pa.Table
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, table: pa.Table, ids: Sequence[str]) -> "Grouped":
        """Rows of `table` that belong to `ids`, in that order; the order of an image's rows is kept."""
        positions = pc.index_in(table.column(IMAGE_ID), value_set=pa.array(ids, pa.string()))
        if positions.null_count:
            table = table.filter(pc.is_valid(positions))
            positions = positions.drop_null()
        index = positions.to_numpy().astype(np.int64)
        if np.any(np.diff(index) < 0):
            order = np.argsort(index, kind="stable")
            table, index = table.take(pa.array(order)), index[order]
        return cls(table, np.searchsorted(index, np.arange(len(ids) + 1)).astype(np.int64))

    def slice(self, lo: int, hi: int) -> "Grouped":
        """The groups of images lo..hi, nothing copied."""
        first, last = int(self.offsets[lo]), int(self.offsets[hi])
        return Grouped(self.table.slice(first, last - first), self.offsets[lo : hi + 1] - first)

    def kept(self) -> "Grouped":
        """Only the rows of a decision table that were kept (their reason is null)."""
        return self.where(pc.is_null(self.table.column(REASON)))

    def where(self, mask: pa.ChunkedArray) -> "Grouped":
        """Only the rows of which `mask` (rows,) is true; null counts as false."""
        chosen = pc.fill_null(mask, False)
        flags = np.asarray(chosen.to_numpy(zero_copy_only=False), dtype=bool)
        before = np.concatenate([[0], np.cumsum(flags)])
        return Grouped(self.table.filter(chosen), before[self.offsets].astype(np.int64))

    def image_index(self) -> NDArray[np.int64]:
        """For each row, the position of its image in the batch: (rows,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def parts(self) -> Iterable[pa.Table]:
        """The rows of each image in turn, as zero-copy slices."""
        for lo, hi in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.table.slice(int(lo), int(hi - lo))


def interleave(groups: Sequence[Grouped], schema: pa.Schema) -> Grouped:
    """One Grouped from several over the same images: image by image, the groups in the given order.

    Raises:
        StoreError: the groups are not over the same number of images.
    """
    if not groups:
        raise StoreError("interleave needs at least one group; give an empty table instead")
    if len({len(g.offsets) for g in groups}) != 1:
        raise StoreError(f"groups over different numbers of images: {[len(g.offsets) - 1 for g in groups]}")
    whole = pa.concat_tables([g.table.cast(schema) for g in groups])
    index = np.concatenate([g.image_index() for g in groups])
    order = np.argsort(index, kind="stable")
    return Grouped(whole.take(pa.array(order)), np.sum([g.offsets for g in groups], axis=0).astype(np.int64))
