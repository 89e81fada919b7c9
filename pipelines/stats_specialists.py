"""`fld stats`: whom of the detectors to trust for what, as the run learned it, and what each of them misses."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from consensus.reliability import Reliabilities, advice, report
from engine import schema as s
from engine import sidecar
from engine.errors import OutError
from engine.sidecar import SAMPLE, list_sidecars
from engine.store import open_store
from pipelines.remember import recall
from pipelines.stages.decision import RELIABILITY

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DEFINITIONS: Final = {
    "reliability": "learned from a sample of shards. recall: how much it finds of what the others see, of COCO's small, "
    "medium and large sizes; false: part of what it says that is held to be false; side: error of a box's side, in parts "
    "of the box, by differences of three and more; edge: how far it stays short of the image's edge where others lie on it; "
    "weight: of its word among all; only it: part of all things that it alone claims; people: average precision (IoU "
    "0.5, all words together) in images where people drew; copy of: whose boxes it repeats.",
    "missed": "words of the texts and phrases of sure regions (confidence at least 0.5, found by another detector) "
    "that a detector missed far more often than others: its share of misses with the word and without (one-sided "
    "binomial test, p < 0.001 after Bonferroni; at least 10 regions).",
}
_SURE: Final = 0.5
_LEAST: Final = 10
_P_VALUE: Final = 0.001
_SHOWN: Final = 5


def reliability(out: str) -> tuple[list[dict[str, Any]], list[str]]:
    """One row a detector, see DEFINITIONS, and what follows for whoever uses the run; nothing where it learned nothing."""
    store = open_store(out)
    try:
        graph = recall(store).graph
    except OutError:
        return [], []
    for node in graph.nodes:
        found = list_sidecars(store, node).newest.get(SAMPLE) if node.name == RELIABILITY else None
        if found is not None:
            learned = Reliabilities.from_table(sidecar.read(store, f"{node.folder}/{found.filename}").table)
            rows = [
                {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
                for row in report(learned)
            ]
            return rows, advice(learned)
    return [], []


_MISSED: Final = f"""
    WITH sure AS (
        SELECT {s.REGION_ID}, {s.TEXT}, {s.CANDIDATES},
            list_distinct(list_transform({s.VOTES}, lambda v: v.{s.SPECIALIST})) AS who
        FROM region_text WHERE {s.KIND} = 'object' AND {s.CONFIDENCE} >= {_SURE}
    ), said AS (
        SELECT {s.REGION_ID}, {s.TEXT} AS words FROM sure
        UNION ALL SELECT {s.REGION_ID}, c.{s.TEXT} FROM (SELECT {s.REGION_ID}, unnest({s.CANDIDATES}) AS c FROM sure)
        UNION ALL SELECT {s.REGION_ID}, {s.PHRASE} FROM text_phrase_region WHERE {s.REGION_ID} IS NOT NULL
    ), words AS (
        SELECT DISTINCT {s.REGION_ID}, unnest(regexp_extract_all(lower(words), '[a-z]{{3,}}')) AS word FROM said
    ), detectors AS (SELECT DISTINCT unnest(who) AS name FROM sure),
    seen AS (
        SELECT {s.REGION_ID}, name, NOT list_contains(who, name) AS missed
        FROM sure, detectors WHERE len(list_filter(who, lambda w: w <> name)) > 0
    ), totals AS (SELECT name, count(*) AS things, sum(missed::INT) AS missed FROM seen GROUP BY 1)
    SELECT name, word, count(*), sum(seen.missed::INT), any_value(things), any_value(totals.missed)
    FROM seen JOIN words USING ({s.REGION_ID}) JOIN totals USING (name) GROUP BY ALL ORDER BY ALL"""


def missed(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    """One row a detector and word, see DEFINITIONS, the words that it misses most surely first."""
    rows = connection.execute(_MISSED).fetchall()
    return list(_significant(rows))


def _significant(rows: Sequence[tuple[str, str, int, int, int, int]]) -> Iterator[dict[str, Any]]:
    chosen: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for name, word, n, lost, things, all_lost in rows:
        without = (all_lost - lost + 1) / (things - n + 2)
        if n < _LEAST or lost / n <= without:
            continue
        surprise = _tail(lost, n, min(without, 0.999)) * len(rows)
        if surprise < _P_VALUE:
            row = {s.SPECIALIST: name, "word": word, "regions": n, "missed": round(lost / n, 4),
                   "missed_without": round((all_lost - lost) / max(things - n, 1), 4)}  # fmt: skip
            chosen.setdefault(name, []).append((surprise, row))
    for name in sorted(chosen):
        yield from (row for _, row in sorted(chosen[name], key=lambda pair: (pair[0], pair[1]["word"]))[:_SHOWN])


def _tail(k: int, n: int, p: float) -> float:
    """P(at least k of n), by Chernoff's bound (Hoeffding 1963): never too small, and cheap for any n."""
    q = k / n
    if q <= p:
        return 1.0
    apart = q * math.log(q / p) + (0.0 if q == 1.0 else (1 - q) * math.log((1 - q) / (1 - p)))
    return math.exp(-n * apart)
