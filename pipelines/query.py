"""SQL over the five tables: DuckDB views of the shards that are published whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import OutError, QueryError
from engine.publish import Marker, list_markers
from engine.schema import PUBLISHED
from engine.store import Store, open_store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names and rows of a query."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def sql(out: str, query: str) -> Answer:
    """Run a query over `images`, `text`, `region_text`, `text_phrase_region` and `rejected`.

    Raises:
        OutError: nothing is published yet.
        QueryError: DuckDB refuses the query; its own words are in the message.
    """
    import duckdb

    with connect(out) as connection:
        try:
            cursor = connection.execute(query)
            columns = tuple(column[0] for column in cursor.description or ())
            return Answer(columns, cursor.fetchall())
        except duckdb.Error as error:
            raise QueryError(str(error)) from error


def connect(out: str) -> "duckdb.DuckDBPyConnection":
    """A DuckDB connection with the five tables as views of the published shards.

    Raises:
        OutError: nothing is published yet.
    """
    import duckdb

    store = open_store(out)
    paths = published(store)
    connection = duckdb.connect()
    if "://" in store.root:
        import fsspec

        connection.register_filesystem(fsspec.filesystem(store.root.partition("://")[0]))
    for table, files in paths.items():
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        try:
            # Names come from our own listing; DuckDB takes no parameters in a view.
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{listed}])")
        except duckdb.Error as error:
            raise OutError(
                f"a published table of {out} cannot be read ({error}); `fld verify {out}` says which"
            ) from error

    return connection


def published(store: Store) -> dict[str, list[str]]:
    """Full paths of the published shards of each table.

    Raises:
        OutError: nothing is published yet.
    """
    markers = markers_of(store)
    # A shard counts once, even where two runs left two markers (`fld verify` reports those).
    return {table: sorted({f"{store.root}/{marker.table(table)}" for marker in markers}) for table in PUBLISHED}


def markers_of(store: Store) -> list[Marker]:
    """Every marker of published shards.

    Raises:
        OutError: nothing is published yet.
    """
    markers = list_markers(store)
    if not markers:
        raise OutError(f"{store.root} has no published shard yet; `fld status {store.root}` says how far it is")
    return markers
