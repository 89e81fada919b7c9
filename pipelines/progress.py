"""Progress of a build, in the driver only: a live line in a terminal, one plain line every few seconds elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from engine.schedule import Counts

PLAIN_EVERY_S = 5.0
_LIVE_EVERY_S = 0.2


class Progress:
    """Call it with the counts as often as you like; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.began = time.monotonic()
        self._images_before: int | None = None
        self._shown = 0.0
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, counts: Counts) -> None:
        now = time.monotonic()
        if self._images_before is None:
            self._images_before = counts.images_done
        terminal = self.console.is_terminal
        complete = counts.done >= counts.jobs
        if now - self._shown < (_LIVE_EVERY_S if terminal else PLAIN_EVERY_S) and not complete:
            return
        self._shown = now
        if terminal:
            self._show(counts)
        else:
            print(self.line(counts), file=sys.stderr, flush=True)

    def line(self, counts: Counts) -> str:
        """images/s, jobs, ETA and quarantine in one line."""
        elapsed = max(time.monotonic() - self.began, 1e-3)
        rate = (counts.images_done - (self._images_before or 0)) / elapsed
        run, left = counts.run, counts.jobs - counts.done
        eta = f"{_clock(elapsed * left / run)} left" if run else "starting"
        text = (
            f"{counts.done}/{counts.jobs} jobs, {counts.images_done}/{counts.images} images, {rate:.1f} images/s, {eta}"
        )
        lost = {stage: n for stage, n in sorted(counts.quarantined.items()) if n}
        if lost:
            text += "; in quarantine: " + ", ".join(f"{stage} {n}" for stage, n in lost.items())
        return text

    def _show(self, counts: Counts) -> None:
        table = Table.grid(padding=(0, 1))
        table.add_row(ProgressBar(total=max(counts.jobs, 1), completed=counts.done, width=30), self.line(counts))
        if self._live is None:
            self._live = Live(table, console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(table, refresh=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
