"""Columns in and out of Arrow for the decisions: never a Python loop over rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from engine import schema as s
from engine.errors import ConfigError, StoreError
from engine.grouped import Grouped, interleave
from filters.decision import Decision

Array: TypeAlias = pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class Pool:
    """What several specialists said, image by image: `names` sorted, `rows`, and who said each row: (rows,)."""

    names: list[str]
    rows: Grouped
    specialist: NDArray[np.int64]

    @property
    def table(self) -> pa.Table:
        return self.rows.table

    def weights(self, given: Mapping[str, float], where: str) -> NDArray[np.float64]:
        """The weight of each specialist: (specialists,), 1 where none is given.

        Raises:
            ConfigError: a weight is given for a specialist that does not take part.
        """
        unknown = sorted(set(given) - set(self.names))
        if unknown:
            raise ConfigError(
                f"{where}.weights names {', '.join(unknown)}, but only {', '.join(self.names) or 'nobody'} takes part. "
                "Correct the name or remove the weight."
            )
        return np.array([given.get(name, 1.0) for name in self.names], np.float64)


def absent(specialists: Sequence[str], answered: Mapping[str, NDArray[np.bool_]], n_images: int) -> NDArray[np.bool_]:
    """Which specialists gave no answer for which images: (images, specialists); those not in `answered` gave all."""
    everywhere = np.ones(n_images, bool)
    looked = [answered.get(name, everywhere) for name in specialists]
    return ~np.array(looked, bool).reshape(len(specialists), n_images).T


def pool(groups: Mapping[str, Grouped], schema: pa.Schema, n_images: int) -> Pool:
    """Put the tables of several specialists together; of an image first those of the first name in sorted order.

    Raises:
        StoreError: a table is not over `n_images` images.
    """
    names = sorted(groups)
    for name in names:
        if len(groups[name].offsets) != n_images + 1:
            raise StoreError(f"the rows of {name!r} are over {len(groups[name].offsets) - 1} images, not {n_images}")
    if not names:
        return Pool([], Grouped(schema.empty_table(), np.zeros(n_images + 1, np.int64)), np.zeros(0, np.int64))
    index = np.concatenate([groups[name].image_index() for name in names])
    who = np.repeat(np.arange(len(names)), [groups[name].table.num_rows for name in names])
    return Pool(names, interleave([groups[name] for name in names], schema), who[np.argsort(index, kind="stable")])


def flat(column: Array) -> pa.Array:
    """The column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of numbers: (rows,), NaN where null."""
    return np.asarray(table.column(name).to_numpy(), np.float64)


def box_matrix(table: pa.Table) -> NDArray[np.float32]:
    """The four box columns: (rows, 4)."""
    return np.column_stack([table.column(name).to_numpy() for name in s.BOX]).astype(np.float32)


def flags(mask: Array) -> NDArray[np.bool_]:
    """A column of booleans: (rows,), null is False."""
    return np.asarray(flat(pc.fill_null(mask, False)).to_numpy(zero_copy_only=False), dtype=bool)


def normal(texts: Array) -> pa.Array:
    """Lower case, in one unicode form (NFKC), trimmed, null as empty: how labels are compared."""
    return flat(pc.utf8_trim_whitespace(pc.utf8_lower(pc.utf8_normalize(pc.fill_null(texts, ""), "NFKC"))))


def normal_words(words: Iterable[str]) -> list[str]:
    """`normal` of some words, say of those that a detector knows."""
    return [str(word) for word in normal(pa.array(list(words), pa.string())).to_pylist()]


def numbered(values: Array) -> tuple[NDArray[np.int64], list[str]]:
    """Number strings in their sorted order: (rows,) and the distinct strings."""
    encoded = flat(values).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return rank[codes], [names[i] for i in order]


def names_of(names: Sequence[str], index: NDArray[np.integer]) -> pa.Array:
    """names[index] as strings; null where the index is -1."""
    return take(pa.array(names, pa.string()), index)


def take(values: Array, rows: NDArray[np.integer]) -> pa.Array:
    """values[rows]; null where the row is -1."""
    return flat(values).take(pa.array(rows, pa.int64(), mask=np.asarray(rows) < 0))


def numbers(values: ArrayLike, kind: pa.DataType) -> pa.Array:
    """Numbers as a column; NaN becomes null."""
    column = np.asarray(values)
    mask = np.isnan(column) if column.dtype.kind == "f" else None
    return pa.array(column, mask=mask).cast(kind)


def box_columns(boxes: NDArray[np.floating]) -> dict[str, pa.Array]:
    """The four box columns from (rows, 4); NaN becomes null."""
    return {name: numbers(boxes[:, i], pa.float32()) for i, name in enumerate(s.BOX)}


def records(kind: pa.StructType, columns: Mapping[str, pa.Array]) -> pa.Array:
    """A struct column from one array for each of its fields."""
    fields = [kind.field(i) for i in range(kind.num_fields)]
    return pa.StructArray.from_arrays([columns[field.name].cast(field.type) for field in fields], fields=fields)


def lists(offsets: NDArray[np.integer], values: pa.Array) -> pa.Array:
    """A list column: row i holds values[offsets[i]:offsets[i+1]]."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def starts(index: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Offsets (n + 1,) of sorted group numbers."""
    return np.searchsorted(index, np.arange(n + 1)).astype(np.int64)


def places(index: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """For rows with sorted group numbers (rows,) the position of each within its group: (rows,)."""
    return np.arange(len(index)) - starts(index, n)[index] if len(index) else np.zeros(0, np.int64)


def table(schema: pa.Schema, columns: Mapping[str, pa.Array]) -> pa.Table:
    """A table of exactly `schema`."""
    return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema)


def take_rows(table: pa.Table, rows: NDArray[np.integer]) -> pa.Table:
    """The given rows of a table, in that order."""
    return table.take(pa.array(rows, pa.int64()))


def box_keys(table: pa.Table, *more: str) -> pa.Array:
    """Image, box and the named columns of strings of every row as one value, to be compared."""
    boxes = box_matrix(table)
    corners = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(boxes), [None, pa.py_buffer(boxes.tobytes())])
    names = [flat(table.column(name)).cast(pa.binary()) for name in (s.IMAGE_ID, *more)]
    return pc.binary_join_element_wise(*names, corners.cast(pa.binary()), b"\0")


def with_column(table: pa.Table, name: str, column: Array) -> pa.Table:
    """The table with that column in its place, or at the end."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def decided(table: pa.Table, decision: Decision, schema: pa.Schema) -> pa.Table:
    """A decision table of exactly `schema`, with further reasons for rows that had none."""
    for name, column in decision.columns().items():
        table = with_column(table, name, pc.coalesce(table.column(name), column))
    return table.select(schema.names).cast(schema).combine_chunks()


def mean_similarity(
    groups: NDArray[np.integer], texts: Array, scorers: Sequence[tuple[NDArray[np.integer], Array, NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Mean over the scorers of the similarity of each text (n,) with its group; NaN where no scorer gave one.

    A scorer is the columns (group, text, similarity) of what it scored; its first answer for a text counts.
    """
    n = len(groups)
    everything = pa.chunked_array([flat(texts), *(flat(text) for _, text, _ in scorers)], pa.string())
    codes = flat(pc.fill_null(everything, "")).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    codes = codes.astype(np.int64)
    width = int(codes.max(initial=0)) + 1
    wanted = np.asarray(groups, np.int64) * width + codes[:n]
    total, count, at = np.zeros(n), np.zeros(n), n
    for group, text, similarity in scorers:
        keys = np.asarray(group, np.int64) * width + codes[at : at + len(text)]
        at += len(text)
        usable = ~np.isnan(similarity)
        known, earliest = np.unique(keys[usable], return_index=True)
        if not len(known):
            continue
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        hit = known[place] == wanted
        total[hit] += similarity[usable][earliest[place[hit]]]
        count[hit] += 1
    mean = np.full(n, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
