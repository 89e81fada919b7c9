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
from engine.pixel_measures import contrast, tail
from engine.sources import read_bytes, read_many

_Look = dict[str, Any]  # columns of INGESTED that come from the file
_THREADS = 2
_PAUSE_S = 0.2


@dataclass(slots=True)
class Ingest:
    """Images of the plan → the columns of `images`, and measures of their pixels."""

    limits: Limits
    attempts: int = 2
    name: str = INGEST
    revision: int = 3
    inputs: tuple[str, ...] = ()
    schema: pa.Schema = s.INGESTED
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
        looked: list[_Look | Exception] = []
        data = zip(uris, read_many(uris, self.limits.max_bytes), strict=True)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="ingest") as pool:
            # A few files at a time: each may have the largest size allowed.
            while window := list(islice(data, 2 * _THREADS)):
                looked += pool.map(self._look, window)
        rows: list[dict[str, Any]] = []
        faults: list[Fault] = []
        for image_id, uri, fields, found in zip(ids, uris, meta, looked, strict=True):
            if isinstance(found, Exception):
                faults.append(Fault.of(image_id, found))
            else:
                rows.append({s.IMAGE_ID: image_id, s.URI: uri, s.META: fields, **found})
        return Output(pa.Table.from_pylist(rows, schema=self.schema), faults)

    def _look(self, read: tuple[str, bytes | Exception]) -> _Look | Exception:
        """What one image says of itself; or what is wrong with it."""
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
        band, colour = tail(image.pixels)
        return {
            s.SHA256: sha256(data),
            s.PHASH: phash(image.pixels),
            s.WIDTH: image.width,
            s.HEIGHT: image.height,
            s.FORMAT: image.format,
            s.BYTES: len(data),
            s.CONTRAST: contrast(image.pixels),
            s.TAIL: band,
            s.TAIL_COLOUR: colour,
        }


def _again(uri: str, max_bytes: int) -> bytes | Exception:
    time.sleep(_PAUSE_S)
    try:
        return read_bytes(uri, max_bytes)
    except (ImageError, ReadError) as error:
        return error
