"""What a sweep counts of each shard, and the sums over shards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine import schema as s
from engine.graph import Batch, Fault
from pipelines.stages.publish import DECISIONS

Build = Callable[[Batch, Mapping[str, Sequence[Fault]]], Mapping[str, pa.Table]]
TALLY: Final = "tally"
DEFINITIONS: Final = {
    "rejected": "rows that a decision rejects, by reason; rows that it never saw, because an earlier decision rejected "
    "what they come from, are not among them.",
    "confidence": "the mean confidence of what is kept (what has none is left out).",
    "agreement": "the mean, over what is kept, of the share of specialists that voted for it among those that could.",
    "truth": "of `fld eval`: boxes and triplets are right at IoU 0.5; of texts, the things that they name.",
}
_ROWS, _SUM, _OF = "rows", "sum", "of"
# One row for each decision and reason (null: kept): how many, and the sums over those that have such a number.
SCHEMA: Final = pa.schema(
    [
        pa.field(s.STAGE, pa.string()),
        pa.field(s.REASON, pa.string()),
        pa.field(_ROWS, pa.int64()),
        *(pa.field(f"{name}_{part}", pa.float64()) for name in ("confidence", "agreement") for part in (_SUM, _OF)),
    ]
)


def tallied(build: Build | None) -> Build:
    """A sink's `build` that also counts; that only counts, where there is none."""

    def counting(batch: Batch, faults: Mapping[str, Sequence[Fault]]) -> Mapping[str, pa.Table]:
        tables = {} if build is None else build(batch, faults)
        return {**tables, TALLY: _tally(batch)}

    return counting


def totals(tallies: Iterable[pa.Table]) -> dict[str, Any]:
    """For each decision, in the order of the graph: `family`, `kept`, `rejected` by reason (most first), the mean
    `confidence` and `agreement` of what is kept (4 decimals, None where nothing has one)."""
    rows: dict[tuple[str, str | None], NDArray[np.float64]] = {}
    for table in tallies:
        for stage, reason, *numbers in zip(*table.to_pydict().values(), strict=True):
            rows[stage, reason] = rows.get((stage, reason), np.zeros(5)) + np.array(numbers, np.float64)
    found: dict[str, Any] = {}
    for stage in (stage for stage in DECISIONS if (stage, None) in rows):
        kept, confidence, confident, agreement, agreed = rows[stage, None].tolist()
        reasons = {
            reason: int(sums[0]) for (name, reason), sums in rows.items() if name == stage and reason is not None
        }
        found[stage] = {
            "family": DECISIONS[stage],
            "kept": int(kept),
            "rejected": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            "confidence": round(confidence / confident, 4) if confident else None,
            "agreement": round(agreement / agreed, 4) if agreed else None,
        }
    return found


def _tally(batch: Batch) -> pa.Table:
    rows: list[tuple[Any, ...]] = []
    for stage in (stage for stage in DECISIONS if stage in batch.inputs):
        table = batch.inputs[stage].table
        kept = table.filter(pc.is_null(table.column(s.REASON)))
        rows.append((stage, None, kept.num_rows, *_sums(_confidences(kept)), *_sums(_agreements(kept))))
        reasons = pc.value_counts(table.column(s.REASON).drop_null()).to_pylist()
        rows += [(stage, found["values"], found["counts"], 0.0, 0, 0.0, 0) for found in reasons]
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _sums(values: NDArray[np.float64]) -> tuple[float, int]:
    known = values[np.isfinite(values)]
    return float(known.sum()), len(known)


def _confidences(kept: pa.Table) -> NDArray[np.float64]:
    if s.CONFIDENCE not in kept.column_names:
        return np.zeros(0)
    return np.asarray(kept.column(s.CONFIDENCE).to_numpy(), np.float64)


def _agreements(kept: pa.Table) -> NDArray[np.float64]:
    """Of each row the specialists that voted among those that could: (rows,), NaN where nobody could."""
    if s.N_ELIGIBLE not in kept.column_names:
        return np.zeros(0)
    votes = kept.column(s.VOTES).combine_chunks()
    row = np.asarray(pc.list_parent_indices(votes), np.int64)
    who = np.asarray(pc.list_flatten(votes).field(s.SPECIALIST).dictionary_encode().indices, np.int64)
    voted = np.unique(np.stack([row, who]), axis=1)[0]
    voters = np.bincount(voted, minlength=kept.num_rows).astype(np.float64)
    eligible = np.asarray(kept.column(s.N_ELIGIBLE).to_numpy(), np.float64)
    shares = np.full(len(eligible), np.nan)
    np.divide(voters, eligible, out=shares, where=eligible > 0)
    return shares
