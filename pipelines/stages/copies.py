"""`near_duplicates`: the search for copies among the images of the whole source. What is large stays on disk."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine import schema as s
from engine.graph import Batch
from filters.near_duplicates import near_duplicates
from pipelines.decide import columns as c
from pipelines.decide.images import ImageFilterConfig, checked

_HASHES, _WORTH, _NAMES = "hashes", "worth", "names.arrow"
_FILE_BITS = 31
_SOME = 1 << 20  # names that are put in order at once
_NAME = pa.schema([s.IMAGES.field(s.IMAGE_ID)])


def near_duplicate_images(shards: Iterable[Batch], config: ImageFilterConfig) -> pa.Table:
    """The copies among the images of all shards, in the order of the plan: a table `engine.schema.COPIES`.

    Of copies the one with the most pixels stays, of these the largest file, of these the first. Images that a limit
    rejects take no part: a torn image must not stand for its whole copies. Hashes and names wait in a temporary folder
    (16 bytes an image, and its name), which is removed in the end, also after an error; memory holds what
    `filters.near_duplicates` says, and then the names of copies and of what they copy.

    Raises:
        ValueError: `max_distance` is not set.
    """
    radius = config.near_duplicates.max_distance
    if radius is None:
        raise ValueError("copies are looked for only where max_distance is set")
    with TemporaryDirectory(prefix="fld-copies-") as folder:
        starts = _write(Path(folder), (batch.images for batch in shards), config)
        if not starts[-1]:
            return s.COPIES.empty_table()
        hashes = np.memmap(Path(folder) / _HASHES, np.uint64, "r")
        found = near_duplicates(hashes, np.memmap(Path(folder) / _WORTH, np.int64, "r"), radius)
        names = [_names(Path(folder), starts, rows) for rows in (found.rows, found.originals)]
    return pa.Table.from_arrays([*names, pa.array(found.distances, pa.float64())], schema=s.COPIES)


def _write(folder: Path, shards: Iterable[pa.Table], config: ImageFilterConfig) -> NDArray[np.int64]:
    """Put columns of the images that no limit rejects on disk; the first row of each shard, and of the end."""
    starts = [0]
    with (
        (folder / _HASHES).open("wb") as hashes,
        (folder / _WORTH).open("wb") as worth,
        pa.OSFile(str(folder / _NAMES), "wb") as sink,
        pa.ipc.new_file(sink, _NAME) as names,
    ):
        for whole in shards:
            images = whole.filter(pa.array(checked(whole, config).kept))
            hashes.write(images.column(s.PHASH).to_numpy().tobytes())
            worth.write(_worth(images).tobytes())
            names.write_batch(pa.record_batch([c.flat(images.column(s.IMAGE_ID))], schema=_NAME))
            starts.append(starts[-1] + images.num_rows)
    return np.array(starts, np.int64)


def _worth(images: pa.Table) -> NDArray[np.int64]:
    """Pixels, then bytes, in one number: (images,). An image has fewer than 2**28 pixels (`engine.images.Limits`)."""
    width, height, size = (images.column(name).to_numpy().astype(np.int64) for name in (s.WIDTH, s.HEIGHT, s.BYTES))
    return np.asarray(width * height << _FILE_BITS | np.minimum(size, (1 << _FILE_BITS) - 1))


def _names(folder: Path, starts: NDArray[np.int64], rows: NDArray[np.int64]) -> pa.ChunkedArray:
    """The names of rows (n,) in any order from disk, some at a time: a column of strings ends at 2 GiB."""
    with pa.memory_map(str(folder / _NAMES)) as source, pa.ipc.open_file(source) as names:
        parts = [_some_names(names, starts, rows[lo : lo + _SOME]) for lo in range(0, len(rows), _SOME)]
    return pa.chunked_array(parts, pa.string())


def _some_names(names: pa.ipc.RecordBatchFileReader, starts: NDArray[np.int64], rows: NDArray[np.int64]) -> pa.Array:
    wanted, back = np.unique(rows, return_inverse=True)
    bounds = np.searchsorted(wanted, starts)
    parts = []
    for shard in np.flatnonzero(np.diff(bounds)).tolist():
        own = wanted[bounds[shard] : bounds[shard + 1]] - starts[shard]
        parts.append(names.get_batch(shard).column(0).take(pa.array(own)))
    return pa.concat_arrays(parts).take(pa.array(back))
