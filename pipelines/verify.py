"""`fld verify`: every marker, checksum, schema and invariant of what is published."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from engine import schema as s
from engine.errors import OutError, StoreError
from engine.masks import is_valid
from engine.parquet import from_bytes
from engine.plan import Plan, load_plan
from engine.publish import Marker, list_markers, read_marker
from engine.store import Store, open_store
from pipelines.query import connect
from pipelines.remember import recall

# Each query counts rows that must not exist.
_BOX = "(x1 > x0 AND y1 > y0 AND isfinite(x0) AND isfinite(y0) AND isfinite(x1) AND isfinite(y1)) IS NOT TRUE"
_OUTSIDE = "(x0 >= 0 AND y0 >= 0 AND x1 <= width + 0.01 AND y1 <= height + 0.01) IS NOT TRUE"
INVARIANTS = {
    "two images with one image_id": "SELECT image_id FROM images GROUP BY 1 HAVING count(*) > 1",
    "two texts with one text_id": "SELECT text_id FROM text GROUP BY 1 HAVING count(*) > 1",
    "two regions with one region_id": "SELECT region_id FROM region_text GROUP BY 1 HAVING count(*) > 1",
    "text of an unknown image": "SELECT image_id FROM text ANTI JOIN images USING (image_id)",
    "region of an unknown image": "SELECT image_id FROM region_text ANTI JOIN images USING (image_id)",
    "a region without an area": f"SELECT region_id FROM region_text WHERE {_BOX}",
    "a region outside its image": f"SELECT region_id FROM region_text JOIN images USING (image_id) WHERE {_OUTSIDE}",
    "a region without a text": "SELECT region_id FROM region_text WHERE text IS NULL OR text = ''",
    "a region without votes": "SELECT region_id FROM region_text WHERE (len(votes) > 0) IS NOT TRUE",
    "a text region without its four corners": (
        "SELECT region_id FROM region_text WHERE kind = 'text' AND (len(quad) = 8) IS NOT TRUE"
    ),
    "a region or triplet without a confidence": (
        "SELECT image_id FROM region_text WHERE confidence IS NULL "
        "UNION ALL SELECT image_id FROM text_phrase_region WHERE confidence IS NULL"
    ),
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
    sink = recall(store).graph.nodes[-1].fingerprint
    problems = [*_mixed(markers, sink), *_shards(store, plan, markers)]
    return problems or list(_invariants(out))


def _mixed(markers: list[Marker], sink: str) -> Iterator[str]:
    """Shards of another configuration than the last run's, and shards that two runs published over each other."""
    again = "run `fld build` again"
    others = [marker for marker in markers if marker.fingerprint != sink]
    if others:
        yield f"{len(others)} shards are of an earlier configuration, the first is {others[0].shard}; {again}"
    numbers = Counter(marker.shard.partition("-")[0] for marker in markers)
    for number, count in sorted(numbers.items()):
        if count > 1:
            yield f"shard {number} has {count} markers, so its tables may be mixed; {again}"


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
        facts = read_marker(store, marker)
        if set(facts) != set(s.PUBLISHED):
            yield f"{marker.path}: speaks of the tables {sorted(facts)}; delete it and run `fld build` again"
            continue
        sizes: dict[str, tuple[int, int]] = {}
        for name in s.PUBLISHED:
            table = _read(store, marker, name, facts[name]["sha256"])
            if isinstance(table, str):
                yield table
                continue
            if name == "images":
                columns = (table.column(c).to_pylist() for c in (s.IMAGE_ID, s.HEIGHT, s.WIDTH))
                sizes = {image: (height, width) for image, height, width in zip(*columns, strict=True)}
            yield from _table(marker.table(name), name, table, facts[name]["rows"], set(order))
            yield from _masks(marker.table(name), table, sizes)


def _read(store: Store, marker: Marker, name: str, sha256: str) -> pa.Table | str:
    """The table; or what is wrong with its file, and the remedy."""
    path = marker.table(name)
    remedy = f"delete {store.root}/{marker.path} and run `fld build` again"
    try:
        data = store.read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            return f"{path}: the checksum is not that of its marker; {remedy}"
        return from_bytes(data)
    except StoreError as error:
        return f"{path}: {error}; {remedy}"


def _masks(path: str, table: pa.Table, sizes: dict[str, tuple[int, int]]) -> Iterator[str]:
    if s.MASK not in table.column_names:
        return
    for image, mask in zip(table.column(s.IMAGE_ID).to_pylist(), table.column(s.MASK).to_pylist(), strict=True):
        if mask is not None and not is_valid(mask, *sizes[image]):
            yield f"{path}: a mask of {image!r} is not RLE of its image's size"


def _table(path: str, name: str, table: pa.Table, rows: int, ids: set[str]) -> Iterator[str]:
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
