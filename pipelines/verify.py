"""`fld verify`: every marker, checksum, schema and invariant of what is published."""

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from engine import schema as s
from engine.errors import OutError, StoreError
from engine.parquet import from_bytes
from engine.plan import Plan, load_plan
from engine.publish import Marker, list_markers, read_marker
from engine.store import Store, open_store
from pipelines.query import connect

# Each query counts rows that must not exist.
_BOX = "NOT (x1 > x0 AND y1 > y0 AND isfinite(x0) AND isfinite(y0) AND isfinite(x1) AND isfinite(y1))"
_OUTSIDE = "(x0 < 0 OR y0 < 0 OR x1 > width + 0.01 OR y1 > height + 0.01)"
INVARIANTS = {
    "two images with one image_id": "SELECT image_id FROM images GROUP BY 1 HAVING count(*) > 1",
    "two texts with one text_id": "SELECT text_id FROM text GROUP BY 1 HAVING count(*) > 1",
    "two regions with one region_id": "SELECT region_id FROM region_text GROUP BY 1 HAVING count(*) > 1",
    "text of an unknown image": "SELECT image_id FROM text ANTI JOIN images USING (image_id)",
    "region of an unknown image": "SELECT image_id FROM region_text ANTI JOIN images USING (image_id)",
    "a region without an area": f"SELECT region_id FROM region_text WHERE {_BOX}",
    "a region outside its image": f"SELECT region_id FROM region_text JOIN images USING (image_id) WHERE {_OUTSIDE}",
    "a region without a text": "SELECT region_id FROM region_text WHERE text IS NULL OR text = ''",
    "a region without votes": "SELECT region_id FROM region_text WHERE len(votes) = 0",
    "a confidence outside 0..1": (
        "SELECT image_id FROM (SELECT image_id, confidence FROM text UNION ALL SELECT image_id, confidence FROM "
        "region_text UNION ALL SELECT image_id, confidence FROM text_phrase_region) "
        "WHERE NOT (confidence BETWEEN 0 AND 1)"
    ),
    "a phrase of an unknown text": "SELECT phrase_id FROM text_phrase_region ANTI JOIN text USING (image_id, text_id)",
    "a phrase that is not in its text": (
        "SELECT phrase_id FROM text_phrase_region p JOIN text t USING (image_id, text_id) "
        'WHERE t.text[p.start + 1 : p."end"] <> p.phrase'
    ),
    "a triplet without an area": f"SELECT phrase_id FROM text_phrase_region WHERE {_BOX}",
    "a triplet outside its image": (
        f"SELECT phrase_id FROM text_phrase_region JOIN images USING (image_id) WHERE {_OUTSIDE}"
    ),
    "a triplet of an unknown region": (
        "SELECT phrase_id FROM text_phrase_region p ANTI JOIN region_text USING (image_id, region_id) "
        "WHERE p.region_id IS NOT NULL"
    ),
    "a rejection without a reason": "SELECT image_id FROM rejected WHERE reason IS NULL OR stage IS NULL",
}


def verify(out: str) -> list[str]:
    """Everything that is wrong, one line each; empty when all is well.

    Raises:
        OutError: nothing is published.
    """
    store = open_store(out)
    plan = load_plan(store)
    markers = list_markers(store)
    if plan is None or not markers:
        raise OutError(f"{store.root} has nothing published yet; `fld status {store.root}` says how far it is")
    problems = list(_shards(store, plan, markers))
    return problems or list(_invariants(out))


def _shards(store: Store, plan: Plan, markers: list[Marker]) -> Iterator[str]:
    names = {plan.name(shard): shard for shard in range(plan.shards)}
    missing = names.keys() - {marker.shard for marker in markers}
    if missing:
        yield f"{len(missing)} of {plan.shards} shards are not published, the first is {min(missing)}; run `fld build` again"
    for marker in markers:
        if marker.shard not in names:
            yield f"{marker.path}: a marker of a shard that is not in the plan"
            continue
        order = plan.items(store, names[marker.shard]).column(s.IMAGE_ID).to_pylist()
        for table, facts in read_marker(store, marker).items():
            yield from _table(store, marker.table(table), table, facts["sha256"], facts["rows"], set(order))


def _table(store: Store, path: str, name: str, sha256: str, rows: int, ids: set[str]) -> Iterator[str]:
    try:
        data = store.read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            yield f"{path}: the checksum is not that of its marker; delete the marker and run `fld build` again"
            return
        table: pa.Table = from_bytes(data)
    except StoreError as error:
        yield f"{path}: {error}"
        return
    if table.schema != s.PUBLISHED[name]:
        yield f"{path}: the columns are not those of schema version {s.SCHEMA_VERSION}"
    if table.num_rows != rows:
        yield f"{path}: {table.num_rows} rows, the marker says {rows}"
    found = table.column(s.IMAGE_ID).to_pylist()
    if found != sorted(found):
        yield f"{path}: not sorted by image"
    if not ids.issuperset(found):
        yield f"{path}: rows of images that are not in this shard, such as {min(set(found) - ids)!r}"


def _invariants(out: str) -> Iterator[str]:
    with connect(out) as connection:
        for what, query in INVARIANTS.items():
            rows = connection.execute(query).fetchall()
            if rows:
                yield f"{len(rows)} x {what}, such as {rows[0][0]!r}"
