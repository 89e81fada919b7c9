"""What the five tables say about the images of a page, in an order that does not depend on how it was read."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from engine import schema as s
from engine.schema import PUBLISHED
from pipelines.stages.publish import DECISIONS
from pipelines.stats import GRANULARITIES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """One image with its rows of each published table; no row of `images` where the file could not be read."""

    image_id: str
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in PUBLISHED})

    @property
    def image(self) -> Row | None:
        return next(iter(self.rows["images"]), None)


def _rank(column: str, values: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"coalesce(list_position([{listed}], {column}), 0)"


# An image that could not be read at all stands in `rejected` alone.
_ALL: Final = f"SELECT {s.IMAGE_ID} FROM images UNION SELECT {s.IMAGE_ID} FROM rejected"
_ORDER: Final = {
    "images": "",
    "region_text": f", {s.KIND}, {s.CONFIDENCE} DESC NULLS LAST, {s.REGION_ID}",
    "text": f", {_rank(s.GRANULARITY, GRANULARITIES)}, {s.CONFIDENCE} DESC NULLS LAST, {s.TEXT_ID}",
    "text_phrase_region": f", {s.TEXT_ID}, {s.START}, {s.PHRASE_ID}, {s.CONFIDENCE} DESC NULLS LAST, {', '.join(s.BOX)}",
    "rejected": f", {_rank(s.STAGE, tuple(DECISIONS))}, {s.STAGE}, {s.REASON}, {s.VALUE} NULLS FIRST, {s.ITEM}",
}


def count(connection: "DuckDBPyConnection") -> int:
    """How many images there are, those included that could not be read."""
    return int(_query(connection, f"SELECT count(*) AS n FROM ({_ALL})")[0]["n"])


def scenes(connection: "DuckDBPyConnection", limit: int) -> list[Scene]:
    """The first `limit` images by id, with every row about them."""
    connection.execute(f"CREATE TEMP TABLE shown AS SELECT * FROM ({_ALL}) ORDER BY 1 LIMIT {limit:d}")
    chosen = _query(connection, "SELECT * FROM shown ORDER BY 1")
    by_id = {row[s.IMAGE_ID]: Scene(row[s.IMAGE_ID]) for row in chosen}
    for table, order in _ORDER.items():
        query = f"SELECT * FROM {table} SEMI JOIN shown USING ({s.IMAGE_ID}) ORDER BY {s.IMAGE_ID}{order}"
        for row in _query(connection, query):
            by_id[row[s.IMAGE_ID]].rows[table].append(row)
    return list(by_id.values())


def _query(connection: "DuckDBPyConnection", query: str) -> list[Row]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
