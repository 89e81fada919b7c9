"""`ingest`: reads, checks and identifies every image. What cannot be read ends in quarantine here."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from engine import schema as s
from engine.errors import ImageError, ReadError
from engine.graph import INGEST, Batch, Fault, Output, Resources
from engine.images import Limits, decode, sha256
from engine.phash import phash
from engine.sources import read_bytes, read_many

_THREADS = 2
_PAUSE_S = 0.2


@dataclass(slots=True)
class Ingest:
    """Images of the plan → the columns of `images`."""

    limits: Limits
    attempts: int = 2
    name: str = INGEST
    revision: int = 1
    inputs: tuple[str, ...] = ()
    schema: pa.Schema = s.IMAGES
    resources: Resources = Resources()
    batch_size: int | None = None
    pixels: bool = False

    def identity(self) -> Mapping[str, Any]:
        return self.limits.model_dump(mode="json")

    def load(self, device: str) -> None:
        """Nothing is heavy here."""

    def run(self, batch: Batch) -> Output:
        ids = batch.images.column(s.IMAGE_ID).to_pylist()
        uris = batch.images.column(s.URI).to_pylist()
        meta = batch.images.column(s.META).to_pylist()
        looked: list[tuple[str, int, int, int, str] | Exception] = []
        data = zip(uris, read_many(uris, self.limits.max_bytes), strict=True)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="ingest") as pool:
            # A few files at a time: each may have the largest size allowed.
            while window := list(islice(data, 2 * _THREADS)):
                looked += pool.map(self._look, window)
        rows: list[tuple[Any, ...]] = []
        faults: list[Fault] = []
        for image_id, uri, fields, found in zip(ids, uris, meta, looked, strict=True):
            if isinstance(found, Exception):
                faults.append(Fault.of(image_id, found))
            else:
                rows.append((image_id, uri, *found, fields))
        columns = zip(*rows, strict=True) if rows else [[] for _ in self.schema]
        arrays = [pa.array(list(c), field.type) for c, field in zip(columns, self.schema, strict=True)]
        return Output(pa.Table.from_arrays(arrays, schema=self.schema), faults)

    def _look(self, read: tuple[str, bytes | Exception]) -> tuple[str, int, int, int, str] | Exception:
        """sha256, phash, width, height, format of one image; or what is wrong with it."""
        uri, data = read
        for _ in range(self.attempts - 1):
            if isinstance(data, ReadError):
                data = _again(uri, self.limits.max_bytes)
        if isinstance(data, Exception):
            return data
        try:
            image = decode(data, self.limits)
        except Exception as error:  # noqa: BLE001  image libraries raise eight kinds; all of them are the image's fault
            return error
        return sha256(data), phash(image.pixels), image.width, image.height, image.format


def _again(uri: str, max_bytes: int) -> bytes | Exception:
    time.sleep(_PAUSE_S)
    try:
        return read_bytes(uri, max_bytes)
    except (ImageError, ReadError) as error:
        return error
