"""Runs a stage over a shard in batches so that one bad image costs one image.

A batch that raises is halved until the guilty image stands alone; it is tried again as often as configured, then
becomes a fault. A batch that exhausts memory is halved too, and the smaller size is kept for this worker's life.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import ImageError, OutOfMemory, RecordError, StageFailed, UserError
from engine.graph import INGEST, Batch, Estimate, Fault, Output, Stage
from engine.grouped import Grouped
from engine.records import Pixels
from engine.schema import HEIGHT, IMAGE_ID, URI, WIDTH

# Trying again cannot help these: the same bytes give the same answer.
_FINAL = (ImageError, RecordError)
_DECODERS = 2
MAX_BATCH_PIXELS = 1 << 26  # 192 MiB of RGB; two such batches are in memory, one being looked at and one decoded
_PAUSE_S = 0.2
_DIGITS = re.compile(r"(\d+)")
_ENOUGH_TO_JUDGE = 8


@dataclass(slots=True)
class Isolator:
    """One stage on one worker. `attempts` is how often a single failing image is tried."""

    stage: Stage
    attempts: int
    batch_size: int | None = field(init=False)
    _answered: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.batch_size = self.stage.batch_size

    def run(self, batch: Batch, past_attempts: Mapping[str, int]) -> Output:
        """The stage's answer for every image of the batch: rows in order, or a fault.

        Raises:
            StageFailed: the stage breaks its contract (wrong columns, rows of images it was not asked about or says
                it did not look at), or has never answered and fails for every image alike: that is the stage's
                fault, not the images'.
        """
        ids = batch.images.column(IMAGE_ID).to_pylist()
        batch = self._in_reading_order(batch)
        outputs: list[Output] = []
        with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
            for piece, faults in self._ahead(batch, pool):
                outputs.append(Output(self.stage.schema.empty_table(), faults))
                if len(piece):
                    outputs.append(self._answer(piece))
        if not past_attempts:  # images that failed before may well fail alike
            self._refuse_if_broken(batch, outputs)
        faults = [
            replace(f, attempts=f.attempts + past_attempts.get(f.image_id, 0))
            for output in outputs
            for f in output.faults
        ]
        tables = [output.table for output in outputs] or [self.stage.schema.empty_table()]
        unanswered = [image_id for output in outputs for image_id in output.unanswered]
        return Output(Grouped.of(pa.concat_tables(tables), ids).table.combine_chunks(), faults, unanswered)

    def _in_reading_order(self, batch: Batch) -> Batch:
        """Members of a tar or a Parquet file in the order in which they stand there, so that it is read forwards."""
        uris = batch.images.column(URI).to_pylist()
        opens = self.stage.pixels or self.stage.name == INGEST
        if not opens or not any("#" in uri for uri in uris):
            return batch
        order = sorted(range(len(uris)), key=lambda i: [int(n) if n.isdigit() else n for n in _DIGITS.split(uris[i])])
        images = batch.images.take(pa.array(order, pa.int64()))
        ids = images.column(IMAGE_ID).to_pylist()
        inputs = {name: Grouped.of(group.table, ids) for name, group in batch.inputs.items()}
        return replace(batch, images=images, inputs=inputs)

    def _refuse_if_broken(self, batch: Batch, outputs: Sequence[Output]) -> None:
        lost = [f for output in outputs for f in output.faults if f.lost]
        kinds = {(f.error, f.message) for f in lost}
        if len(lost) < len(batch):
            self._answered = True
        elif (
            not self._answered
            and len(batch) >= _ENOUGH_TO_JUDGE
            and len(kinds) == 1
            and kinds.isdisjoint(_of_images(lost))
        ):
            name = self.stage.name
            raise StageFailed(
                f"stage {name} failed for all of its first {len(batch)} images in the same way: "
                f"{lost[0].error}: {lost[0].message}",
                name,
            )

    def _answer(self, batch: Batch) -> Output:
        try:
            output = self.stage.run(batch)
        except (StageFailed, UserError):
            raise
        except Exception as error:  # noqa: BLE001  any failure of a model is one image's quarantine, not the job's
            if len(batch) > 1:
                if _out_of_memory(error):
                    self.batch_size = max(1, len(batch) // 2)
                middle = len(batch) // 2
                first, second = self._answer(batch.slice(0, middle)), self._answer(batch.slice(middle, len(batch)))
                return Output(
                    pa.concat_tables([first.table, second.table]),
                    [*first.faults, *second.faults],
                    [*first.unanswered, *second.unanswered],
                )
            return self._alone(batch, error)
        return self._checked(output, batch)

    def _alone(self, batch: Batch, error: Exception) -> Output:
        """Try one image again; then give it up."""
        tried = 1
        while tried < self.attempts and not isinstance(error, _FINAL):
            time.sleep(_PAUSE_S * tried)
            tried += 1
            try:
                return self._checked(self.stage.run(batch), batch)
            except (StageFailed, UserError):
                raise
            except Exception as again:  # noqa: BLE001  as above
                error = again
        image_id = batch.images.column(IMAGE_ID)[0].as_py()
        return Output(self.stage.schema.empty_table(), [Fault.of(image_id, error, tried)])

    def _checked(self, output: Output, batch: Batch) -> Output:
        name = self.stage.name
        check_columns(self.stage, output.table)
        answered, unanswered = set(output.table.column(IMAGE_ID).unique().to_pylist()), set(output.unanswered)
        strangers = (answered | unanswered) - set(batch.images.column(IMAGE_ID).to_pylist())
        if strangers:
            raise StageFailed(f"stage {name} answered about {min(strangers)!r}, which it was not asked about", name)
        if both := answered & unanswered:
            raise StageFailed(f"stage {name} has rows of {min(both)!r}, at which it says it did not look", name)
        return output

    def _ahead(self, batch: Batch, pool: ThreadPoolExecutor) -> Iterator[tuple[Batch, list[Fault]]]:
        """Batches of at most `batch_size`; for a stage that looks at pixels the next one decodes meanwhile."""
        if not self.stage.pixels:
            yield from ((piece, []) for piece in self._pieces(batch))
            return
        waiting: tuple[Batch, list[Future[Pixels]]] | None = None
        for piece in self._pieces(batch):
            futures = [pool.submit(batch.read, uri) for uri in piece.images.column(URI).to_pylist()]
            if waiting is not None:
                yield _decoded(*waiting, self.attempts)
            waiting = (piece, futures)
        if waiting is not None:
            yield _decoded(*waiting, self.attempts)

    def _pieces(self, batch: Batch) -> Iterator[Batch]:
        lo, size = 0, self.batch_size or len(batch)
        pixels = _pixels(batch) if self.stage.pixels else None
        while lo < len(batch):
            hi = min(len(batch), lo + size)
            if pixels is not None:
                fitting = np.searchsorted(np.cumsum(pixels[lo:hi]), MAX_BATCH_PIXELS, side="right")
                hi = lo + max(1, int(fitting))
            yield batch.slice(lo, hi)
            lo = hi


def check_columns(stage: Stage | Estimate, table: pa.Table) -> None:
    """Raises: StageFailed: the table has not the columns that the stage declares."""
    if table.schema != stage.schema:
        raise StageFailed(
            f"stage {stage.name} answered with columns {table.schema.names} of types "
            f"{[str(t) for t in table.schema.types]}; it declares {stage.schema.names}",
            stage.name,
        )


def _decoded(piece: Batch, futures: Sequence["Future[Pixels]"], attempts: int) -> tuple[Batch, list[Fault]]:
    """The batch with its pixels at hand; images that do not decode (any more) become faults here."""
    pixels: dict[str, Pixels] = {}
    faults: list[Fault] = []
    good: list[int] = []
    uris = piece.images.column(URI).to_pylist()
    for position, (uri, future) in enumerate(zip(uris, futures, strict=True)):
        found, tried = _tried_again(future, partial(piece.read, uri), attempts)
        if isinstance(found, BaseException):
            faults.append(Fault.of(piece.images.column(IMAGE_ID)[position].as_py(), found, tried))
        else:
            pixels[uri] = found
            good.append(position)
    read = _reader(pixels, piece.read)
    if len(good) == len(piece):
        return replace(piece, read=read), faults
    ids = piece.images.take(pa.array(good, pa.int64()))
    keep = ids.column(IMAGE_ID).to_pylist()
    inputs = {name: Grouped.of(group.table, keep) for name, group in piece.inputs.items()}
    return replace(piece, images=ids, inputs=inputs, read=read), faults


def _tried_again(
    future: "Future[Pixels]", read: Callable[[], Pixels], attempts: int
) -> tuple[Pixels | BaseException, int]:
    """What a decode-ahead gave, after more attempts where those may help: storage has bad moments."""
    error, tried = future.exception(), 1
    if error is None:
        return future.result(), tried
    while tried < attempts and not isinstance(error, _FINAL):
        time.sleep(_PAUSE_S * tried)
        tried += 1
        try:
            return read(), tried
        except Exception as again:  # noqa: BLE001  one image's fault, whatever it is
            error = again
    return error, tried


def _pixels(batch: Batch) -> NDArray[np.int64]:
    """Width times height of each image: (images,)."""
    width, height = (batch.images.column(name).to_numpy().astype(np.int64) for name in (WIDTH, HEIGHT))
    return np.asarray(width * height)


def _reader(pixels: Mapping[str, Pixels], fall_back: Callable[[str], Pixels]) -> Callable[[str], Pixels]:
    return lambda uri: pixels[uri] if uri in pixels else fall_back(uri)


def _of_images(faults: Sequence[Fault]) -> set[tuple[str, str]]:
    """The faults that lie in the images: a folder may well hold nothing but broken ones."""
    names = {kind.__name__ for kind in _FINAL}
    return {(f.error, f.message) for f in faults if f.error in names}


def _out_of_memory(error: BaseException) -> bool:
    """Also torch's and Ray's kinds, by name, so that neither is imported here."""
    return isinstance(error, (OutOfMemory, MemoryError)) or type(error).__name__ == "OutOfMemoryError"
