"""The local executor: jobs one after another in this process. For debugging, tests and tiny runs."""

import time
import traceback

from engine.errors import StageFailed, UserError
from engine.executors.base import Run, bound_threads, make_worker
from engine.job import Worker, run_job
from engine.schedule import Observer, Schedule

LOAD_ATTEMPTS = 3
_PAUSE_S = 0.5


class LocalExecutor:
    """No isolation: what kills the process kills the run (which resumes when started again)."""

    def run(self, run: Run, schedule: Schedule, observe: Observer) -> None:
        """Do every job in order.

        Raises:
            StageFailed: a stage cannot be loaded.
        """
        work(make_worker(run, cpus=1, gpus=0), schedule, observe)


def work(worker: Worker, schedule: Schedule, observe: Observer) -> None:
    """Let one worker do every job of a schedule.

    Raises:
        StageFailed: a stage cannot be loaded.
    """
    while not schedule.finished:
        jobs = (schedule.next_job(crew) for crew in worker.graph.crews)
        job = next((j for j in jobs if j is not None), None)
        if job is None:
            continue
        load_stage(worker, job.node)
        schedule.done(run_job(worker, job))
        observe(schedule.counts)


def load_stage(worker: Worker, index: int) -> None:
    """Load a stage, patiently: shared disks and drivers have bad moments.

    Raises:
        UserError: what is missing, when the user can mend it.
        StageFailed: it failed every time; the message ends with the last traceback.
    """
    for attempt in range(LOAD_ATTEMPTS):
        try:
            worker.load(index)
        except UserError:
            raise
        except Exception as error:
            if attempt == LOAD_ATTEMPTS - 1:
                name = worker.graph.nodes[index].name
                raise StageFailed(
                    f"stage {name} failed to load {LOAD_ATTEMPTS} times: {type(error).__name__}: {error}\n"
                    f"{traceback.format_exc()}",
                    name,
                ) from error
            time.sleep(_PAUSE_S)
        else:
            bound_threads(worker.cpus)  # again: libraries that came with the stage have their own
            return
