"""Rejected rows of any decision table, in the one shape in which they are published."""

import json
import math
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from engine import schema as s
from pipelines.decide import columns as c

DIGITS: Final = 4  # decimals of a number in `item`: a ten-thousandth of a pixel or of a score


def rejected_rows(stage: str, family: str, table: pa.Table) -> pa.Table:
    """The rows of a DECIDED_* table that have a reason, as a table `engine.schema.REJECTED`.

    `item` is compact JSON of the row's other columns that are neither null nor NaN, in the order of the columns,
    numbers rounded to `DIGITS` decimals; it has all that is needed to see what was rejected and who said it.
    """
    rows = table.filter(pc.is_valid(table.column(s.REASON)))
    skip = {s.IMAGE_ID, *(field.name for field in s.DECISION)}
    names = [name for name in table.schema.names if name not in skip]
    items = [_json({name: row[name] for name in names}) for row in rows.select(names).to_pylist()]
    n = rows.num_rows
    columns = {
        s.IMAGE_ID: c.flat(rows.column(s.IMAGE_ID)),
        s.FAMILY: pa.array([family] * n, pa.string()),
        s.STAGE: pa.array([stage] * n, pa.string()),
        **{field.name: c.flat(rows.column(field.name)) for field in s.DECISION},
        s.ITEM: pa.array(items, pa.string()),
    }
    return c.table(s.REJECTED, columns)


def _json(row: dict[str, Any]) -> str:
    return json.dumps(_plain(row), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """Without nulls and NaN in objects, numbers rounded; in a list they are null, so that positions stay."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not _absent(item)}
    if isinstance(value, list):
        return [None if _absent(item) else _plain(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
