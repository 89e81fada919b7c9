"""`fld stats`: the paper's tables 2 and 3 beside ours, what was rejected, and how specialists agree.

Everything is counted by DuckDB from the published tables alone; what comes to Python is one row a line of output.
`pipelines.stats_text` prints it.
"""

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from engine import schema as s
from pipelines import stats_specialists
from pipelines.query import connect
from pipelines.stages.publish import QUARANTINED
from pipelines.stats_text import render

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["render", "stats"]

GRANULARITIES: Final = ("brief", "detailed", "more_detailed")
# Florence-2 (Xiao et al., 2023, arXiv:2311.06242), table 2: annotations, mean tokens, regions, mean regions,
# mean regional tokens. A cell that the paper leaves empty is None.
PAPER_2: Final[dict[tuple[str, str], tuple[float | None, ...]]] = {
    ("text", "brief"): (235e6, 7.95, None, None, None),
    ("text", "detailed"): (126e6, 31.65, None, None, None),
    ("text", "more_detailed"): (126e6, 70.53, None, None, None),
    ("region_text", "phrase"): (126e6, None, 681e6, 5.42, 1.19),
    ("region_text", "brief"): (126e6, None, 681e6, 5.42, 2.55),
    ("text_phrase_region", "brief"): (235e6, 7.95, 1007e6, 4.27, 1.93),
    ("text_phrase_region", "detailed"): (126e6, 31.65, 1289e6, 10.25, 1.49),
    ("text_phrase_region", "more_detailed"): (126e6, 70.53, 1278e6, 10.17, 1.35),
}
TABLE_2: Final = ("annotations", "mean_tokens", "regions", "mean_regions", "mean_regional_tokens")
# The same, table 3: means per text, by granularity.
PAPER_3: Final[dict[str, tuple[float, ...]]] = {
    s.N_OBJECTS: (3.23, 13.31, 28.06),
    s.N_ATTRIBUTES: (2.80, 7.27, 16.25),
    s.N_ACTIONS: (0.58, 4.21, 8.76),
    s.N_PROPER_NOUNS: (1.10, 2.40, 2.41),
    s.OBJECT_COMPLEXITY: (2.80, 4.00, 4.02),
    s.ACTION_COMPLEXITY: (1.14, 3.63, 4.38),
}
DEFINITIONS: Final = {
    "text": "annotations are published texts; tokens are the parser's.",
    "region_text": "annotations are images with such a region; regions are objects of a confidence of at least 0.5 with a "
    "candidate of that type (a noun chunk counts as a phrase); regional tokens are the words of the candidate most similar "
    "to the region.",
    "text_phrase_region": "annotations are texts with at least one region; regions are pairs of a phrase and a box; "
    "regional tokens are the words of the phrase.",
    "table3": "means over published texts that were parsed.",
    "predictions": "predictions are votes of kept and of rejected regions; confirmed, IoU and label agreement are "
    "over votes of kept ones: another specialist voted for the region, overlap with the fused box, same label "
    "(for writing: same text) but for case.",
    "shapes": "area share is box area over image area, in steps of 0.00001; log aspect is ln(width / height), in "
    "steps of 0.01. A quantile is the smallest step that so many boxes do not exceed.",
}
QUANTILES: Final = (5, 25, 50, 75, 95)
_AREA_STEP, _ASPECT_STEP = 1e-5, 1e-2
_MEMORY = "2GB"  # beyond it DuckDB spills to disk


def stats(out: str) -> dict[str, Any]:
    """What OUT holds, as JSON with stable keys; means are rounded to 4 decimals, null where there is nothing.

    Raises:
        OutError: nothing is published yet.
    """
    reliability, advice = stats_specialists.reliability(out)
    with connect(out) as connection, TemporaryDirectory(prefix="fld-stats-") as spill:
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute(f"SET temp_directory = '{spill}'")
        return {
            "images": _rows(connection, "SELECT count(*) FROM images")[0][0],
            "table2": _table_2(connection),
            "table3": _table_3(connection),
            "rejected": _rejected(connection),
            "quarantine": _quarantine(connection),
            "regions_by_specialist": _votes(connection),
            "reliability": reliability,
            "advice": advice,
            "missed": stats_specialists.missed(connection),
            "texts_by_specialist": _texts(connection),
            "shapes": _shapes(connection),
            "definitions": {**DEFINITIONS, **stats_specialists.DEFINITIONS},
        }


# ---- the paper's tables ------------------------------------------------------------------------------


def _table_2(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    ours: dict[tuple[str, str], tuple[Any, ...]] = {}
    for kind, *cells in _rows(connection, _TEXTS):
        ours["text", kind] = tuple(cells)
    for kind, granularities in (("phrase", "'phrase', 'chunk'"), ("brief", "'brief'")):
        ours["region_text", kind] = _rows(connection, _REGIONS.replace("$types", granularities))[0]
    for kind, *cells in _rows(connection, _TRIPLETS):
        ours["text_phrase_region", kind] = tuple(cells)
    table = []
    for (family, kind), paper in PAPER_2.items():
        cells = ours.get((family, kind), (0, None, None if family == "text" else 0, None, None))
        found = dict(zip(TABLE_2, _plain(cells), strict=True))
        table.append({"family": family, "type": kind, "paper": dict(zip(TABLE_2, paper, strict=True)), "ours": found})
    return table


_WORDS = "len(string_split_regex(trim({0}), '\\s+'))"
_TEXTS = f"""
    SELECT {s.GRANULARITY}, count(*), avg({s.N_TOKENS}), NULL, NULL, NULL FROM text GROUP BY 1"""
_REGIONS = f"""
    WITH said AS (
        SELECT {s.IMAGE_ID}, list_filter({s.CANDIDATES}, lambda c: c.{s.GRANULARITY} IN ($types)) AS said
        FROM region_text WHERE {s.KIND} = 'object' AND {s.CONFIDENCE} >= 0.5
    ), best AS (
        SELECT {s.IMAGE_ID}, list_reduce(said, lambda a, b:
            CASE WHEN coalesce(b.{s.SIMILARITY}, -2) > coalesce(a.{s.SIMILARITY}, -2) THEN b ELSE a END
        ).{s.TEXT} AS words FROM said WHERE len(said) > 0
    ), by_image AS (
        SELECT {s.IMAGE_ID}, count(*) AS regions, sum({_WORDS.format("words")}) AS words FROM best GROUP BY 1
    )
    SELECT count(*), NULL, coalesce(sum(regions), 0), avg(regions), sum(words) / sum(regions) FROM by_image
    """
_TRIPLETS = f"""
    WITH by_text AS (
        SELECT {s.TEXT_ID}, count(*) AS regions, sum({_WORDS.format(s.PHRASE)}) AS words
        FROM text_phrase_region GROUP BY 1
    )
    SELECT {s.GRANULARITY}, count(*), avg({s.N_TOKENS}), sum(regions), avg(regions), sum(words) / sum(regions)
    FROM by_text JOIN text USING ({s.TEXT_ID}) GROUP BY 1"""


def _table_3(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    means = ", ".join(f"avg({name}) FILTER (WHERE isfinite({name}))" for name in PAPER_3)
    query = f"SELECT {s.GRANULARITY}, {means} FROM text GROUP BY 1"
    ours = {kind: _plain(cells) for kind, *cells in _rows(connection, query)}
    return [
        {
            "measure": name,
            "paper": dict(zip(GRANULARITIES, paper, strict=True)),
            "ours": {kind: ours[kind][i] if kind in ours else None for kind in GRANULARITIES},
        }
        for i, (name, paper) in enumerate(PAPER_3.items())
    ]


# ---- rejections, quarantine, agreement ---------------------------------------------------------------


def _rejected(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    query = f"""
        SELECT {s.FAMILY}, {s.STAGE}, {s.REASON}, count(*) FROM rejected WHERE {s.REASON} <> '{QUARANTINED}'
        GROUP BY ALL ORDER BY ALL"""
    return [dict(zip((s.FAMILY, s.STAGE, s.REASON, "count"), row, strict=True)) for row in _rows(connection, query)]


def _quarantine(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    query = f"""
        SELECT {s.STAGE}, count(DISTINCT {s.IMAGE_ID}), count(*) FROM rejected WHERE {s.REASON} = '{QUARANTINED}'
        GROUP BY 1 ORDER BY 1"""
    return [dict(zip((s.STAGE, "images", "faults"), row, strict=True)) for row in _rows(connection, query)]


_IOU = f"""
    greatest(least(v.{s.X1}, {s.X1}) - greatest(v.{s.X0}, {s.X0}), 0.0)
    * greatest(least(v.{s.Y1}, {s.Y1}) - greatest(v.{s.Y0}, {s.Y0}), 0.0)"""
_AREA = f"({{0}}{s.X1} - {{0}}{s.X0})::DOUBLE * ({{0}}{s.Y1} - {{0}}{s.Y0})"
_KEPT_VOTES = f"""
    WITH decided AS (
        SELECT {s.KIND}, {s.VOTES}, {", ".join(s.BOX)}, CASE {s.KIND} WHEN 'text' THEN {s.TEXT} ELSE {s.LABEL} END AS word
        FROM region_text
        UNION ALL SELECT 'phrase', {s.VOTES}, {", ".join(s.BOX)}, NULL FROM text_phrase_region
    ), single AS (
        SELECT * EXCLUDE ({s.VOTES}), unnest({s.VOTES}) AS v,
            len(list_distinct(list_transform({s.VOTES}, lambda w: w.{s.SPECIALIST}))) > 1 AS confirmed
        FROM decided
    ), measured AS (
        SELECT *, ({_IOU})::DOUBLE AS shared, {_AREA.format("v.")} + {_AREA.format("")} AS areas FROM single
    )
    SELECT {s.KIND}, v.{s.SPECIALIST}, count(*), avg(confirmed::INT), avg(shared / nullif(areas - shared, 0)),
        avg((lower(trim(v.{s.LABEL})) = lower(trim(word)))::INT)
    FROM measured GROUP BY ALL"""
# The items of `rejected` are JSON with the votes of the region that was rejected.
_REJECTED_VOTES = f"""
    WITH items AS (
        SELECT coalesce(json_extract_string({s.ITEM}, '$.{s.KIND}'), 'phrase') AS kind,
            unnest(json_extract_string({s.ITEM}, '$.{s.VOTES}[*].{s.SPECIALIST}')) AS who
        FROM rejected WHERE {s.STAGE} IN ('regions', 'triplets', 'triplets_details') AND {s.REASON} <> '{QUARANTINED}'
    )
    SELECT kind, who, count(*) FROM items GROUP BY ALL"""


def _votes(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    kept = {(kind, name): cells for kind, name, *cells in _rows(connection, _KEPT_VOTES)}
    lost = {(kind, name): count for kind, name, count in _rows(connection, _REJECTED_VOTES)}
    table = []
    for kind, name in sorted(kept.keys() | lost.keys()):
        count, confirmed, iou, agreement = _plain(kept.get((kind, name), (0, None, None, None)))
        table.append(
            {
                s.KIND: kind,
                s.SPECIALIST: name,
                "kept": count,
                "rejected": lost.get((kind, name), 0),
                "confirmed": confirmed,
                "mean_iou": iou,
                "label_agreement": agreement,
            }
        )
    return table


def _texts(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    kept_query = f"SELECT {s.SPECIALIST}, count(*), avg({s.CONFIDENCE}) FILTER (WHERE isfinite({s.CONFIDENCE})) FROM text GROUP BY 1"
    lost_query = f"""
        SELECT json_extract_string({s.ITEM}, '$.{s.SPECIALIST}'), count(*) FROM rejected
        WHERE {s.FAMILY} = 'text' AND {s.REASON} <> '{QUARANTINED}' GROUP BY 1"""
    kept = {name: _plain(cells) for name, *cells in _rows(connection, kept_query)}
    lost = dict(_rows(connection, lost_query))
    return [
        {
            s.SPECIALIST: name,
            "kept": kept.get(name, (0, None))[0],
            "rejected": lost.get(name, 0),
            "mean_confidence": kept.get(name, (0, None))[1],
        }
        for name in sorted(kept.keys() | lost.keys())
    ]


# ---- the paper's figure 5 ----------------------------------------------------------------------------


def _shapes(connection: "DuckDBPyConnection") -> list[dict[str, Any]]:
    """Quantiles from counts in fine steps: exact counting needs no more memory for more boxes."""
    area = _quantiles(connection, f"{_AREA.format('')} / ({s.WIDTH}::DOUBLE * {s.HEIGHT})", _AREA_STEP)
    aspect = _quantiles(connection, f"ln(({s.X1} - {s.X0})::DOUBLE / ({s.Y1} - {s.Y0}))", _ASPECT_STEP)
    return [
        {s.KIND: kind, "boxes": area[kind][0], "area_share": area[kind][1], "log_aspect": aspect[kind][1]}
        for kind in ("object", "text", "phrase")
        if kind in area
    ]


def _quantiles(connection: "DuckDBPyConnection", value: str, step: float) -> dict[str, tuple[int, dict[str, float]]]:
    """Kind of box → number of boxes and the quantiles of `value`."""
    chosen = ", ".join(f"min(step) FILTER (WHERE 100 * below >= {q} * total)" for q in QUANTILES)
    box = ", ".join(s.BOX)
    query = f"""
        WITH boxes AS (
            SELECT {s.KIND}, {s.IMAGE_ID}, {box} FROM region_text
            UNION ALL SELECT 'phrase', {s.IMAGE_ID}, {box} FROM text_phrase_region
        ), steps AS (
            SELECT {s.KIND}, ceil({value} / {step!r} - 1e-6)::BIGINT AS step, count(*) AS n
            FROM boxes JOIN images USING ({s.IMAGE_ID}) GROUP BY ALL
        ), sums AS (
            SELECT {s.KIND}, step, sum(n) OVER (PARTITION BY {s.KIND} ORDER BY step) AS below,
                sum(n) OVER (PARTITION BY {s.KIND}) AS total
            FROM steps
        )
        SELECT {s.KIND}, max(total), {chosen} FROM sums GROUP BY 1"""
    decimals = len(f"{step:.5f}".rstrip("0")) - 2
    return {
        kind: (int(total), {f"p{q}": round(at * step, decimals) for q, at in zip(QUANTILES, steps, strict=True)})
        for kind, total, *steps in _rows(connection, query)
    }


def _rows(connection: "DuckDBPyConnection", query: str) -> list[Any]:
    found: list[Any] = connection.execute(query).fetchall()
    return found


def _plain(cells: Sequence[Any]) -> tuple[Any, ...]:
    """Whole numbers as int, others with 4 decimals: sums of floats depend on the order of threads beyond that."""
    return tuple(cell if cell is None else round(cell, 4) if isinstance(cell, float) else int(cell) for cell in cells)
