"""The Ray executor: static pools of actors, one a crew, on this machine or on a cluster by address.

Ray Core and not Ray Data: a bad image costs itself, a dead worker is replaced by us and burns no attempt of its
neighbours, and a killer is bisected. Two jobs are in flight for each actor; only receipts come back.
"""

import logging
import os
import re
import socket
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import ConfigError, StageFailed, UserError
from engine.executors.base import Crew, Run, make_worker
from engine.executors.local import load_stage
from engine.job import Job, Receipt, Worker, commit_lost, run_job
from engine.schedule import Observer, Schedule
from engine.store import open_store

IN_FLIGHT = 2
LOAD_DEATHS = 3
START_DEADLINE_S = 600.0
PART_DEADLINE_S = 20.0
_POLL_S = 0.5
_KNOCK_S = 5.0
log = logging.getLogger("fld.ray")


class _Actor:
    """Lives in a Ray worker process."""

    def __init__(self, run: Run, crew: Crew) -> None:
        self._worker: Worker = make_worker(run, cpus=crew.cpus, gpus=crew.gpus)

    def ready(self) -> None:
        """The process is up."""

    def load(self, node: int) -> None:
        load_stage(self._worker, node)

    def run(self, job: Job) -> Receipt:
        return run_job(self._worker, job)


@dataclass(slots=True)
class _Flight:
    """A call under way: a job, the loading of a node (`then` waits for it), or the start of the process (no node).

    A worker that dies right after it answered may take the answer with it. So nothing is sent behind a start or a
    loading until that is known to have ended: a death is then charged to the right call.
    """

    ref: Any
    node: int | None = None
    job: Job | None = None
    then: Job | None = None


@dataclass(slots=True)
class _Hand:
    """An actor as the driver sees it: its calls in order; the first is running since `since`."""

    handle: Any
    crew: str
    flights: deque[_Flight] = field(default_factory=deque)
    loaded: set[int] = field(default_factory=set)
    since: float = 0.0
    overdue: str | None = None


class RayExecutor:
    """`address`: None starts Ray on this machine with `workers` CPUs; "auto" or host:port joins a cluster."""

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self.address, self.workers = address, workers

    def run(self, run: Run, schedule: Schedule, observe: Observer) -> None:
        """Drive the pools until the schedule is finished.

        Raises:
            ConfigError: the cluster cannot hold one worker of every crew.
            StageFailed: a stage cannot be loaded, or its workers keep dying.
            UserError: something that the user can mend is missing on a worker.
        """
        import ray

        mine = not ray.is_initialized()
        if mine:
            _start(self.address, self.workers, run)
        try:
            pool = _Pool(run, schedule, self.workers)
            try:
                pool.drive(observe)
            finally:
                pool.close()
        finally:
            if mine:
                ray.shutdown()


class _Pool:
    """The actors of all crews and the loop that feeds them."""

    def __init__(self, run: Run, schedule: Schedule, workers: int | None) -> None:
        import ray

        self.run, self.schedule = run, schedule
        self.load_deaths: dict[int | None, int] = {}
        self.hands: list[_Hand] = []
        resources = ray.cluster_resources()
        self.crews = _crews(run, resources.get("GPU", 0.0))
        sizes = _sizes(self.crews, workers, resources)
        self.actor = ray.remote(_Actor)
        self.spec = ray.put(run)
        for crew, size in sizes.items():
            self.hands += [self._hire(crew) for _ in range(size)]
        schedule.serve(len(self.hands))

    def drive(self, observe: Observer) -> None:
        import ray

        while not self.schedule.finished:
            self._feed()
            refs = {flight.ref: hand for hand in self.hands for flight in hand.flights}
            if not refs:
                raise StageFailed("nothing is ready and nothing is running; please report this with `fld status`")
            ready, _ = ray.wait(list(refs), num_returns=1, timeout=_POLL_S)
            # Only the first call of an actor can be the one that ended: they run in order.
            for hand in {id(refs[ref]): refs[ref] for ref in ready}.values():
                self._collect(hand)
            self._watch()
            observe(self.schedule.counts)

    def close(self) -> None:
        import ray

        for hand in self.hands:
            ray.kill(hand.handle)

    def _hire(self, crew: str) -> _Hand:
        spec = self.crews[crew]
        options = {"num_cpus": spec.cpus, "num_gpus": spec.gpus, "max_restarts": 0, "max_task_retries": 0}
        hand = _Hand(self.actor.options(**options).remote(self.spec, spec), crew, since=time.monotonic())
        # Processes take seconds to start; that must not count against a job's deadline.
        hand.flights.append(_Flight(hand.handle.ready.remote()))
        return hand

    def _feed(self) -> None:
        for depth in range(1, IN_FLIGHT + 1):  # everybody gets a first job before anybody a second
            for hand in self.hands:
                open_ = len(hand.flights) < depth and all(flight.job is not None for flight in hand.flights)
                if open_ and (job := self.schedule.next_job(hand.crew)) is not None:
                    self._send(hand, job)

    def _send(self, hand: _Hand, job: Job) -> None:
        if not hand.flights:
            hand.since = time.monotonic()
        if job.node in hand.loaded:
            hand.flights.append(_Flight(hand.handle.run.remote(job), job.node, job))
        else:
            hand.flights.append(_Flight(hand.handle.load.remote(job.node), job.node, then=job))

    def _collect(self, hand: _Hand) -> None:
        """Take back every call of this actor that has ended."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        while hand.flights:
            flight = hand.flights[0]
            if not ray.wait([flight.ref], timeout=0)[0]:
                return
            try:
                receipt = ray.get(flight.ref)
            except RayTaskError as error:
                raise _unwrapped(error, self._name(flight)) from error
            except RayError as error:  # every way to lose a worker: killed, out of memory, its node gone
                self._bury(hand, hand.overdue or _cause(error))
                return
            hand.flights.popleft()
            hand.since = time.monotonic()
            if flight.job is not None:
                self.schedule.done(receipt)
            else:
                self.load_deaths.pop(flight.node, None)
            if flight.node is not None and flight.then is not None:
                hand.loaded.add(flight.node)
                self._send(hand, flight.then)

    def _bury(self, hand: _Hand, cause: str) -> None:
        """Replace a dead actor; charge its running call, and give back the others unburnt."""
        first = hand.flights.popleft()
        name = self._name(first)
        for flight in (first, *hand.flights):
            waiting = flight.then if flight is first else flight.then or flight.job
            if waiting is not None:
                self.schedule.give_back(waiting)
        self.hands[self.hands.index(hand)] = self._hire(hand.crew)
        log.warning("a worker died in %s: %s", name or "its start", cause)
        if first.job is None:
            deaths = self.load_deaths[first.node] = self.load_deaths.get(first.node, 0) + 1
            if deaths >= LOAD_DEATHS:
                what = (
                    f"stage {name} killed {deaths} workers while loading"
                    if name
                    else f"{deaths} workers died at their start"
                )
                raise StageFailed(f"{what}. The last one: {cause}", name)
            return
        lost = self.schedule.killed(first.job)
        if lost is not None:
            attempts = self.schedule.kills(first.job)
            store = open_store(self.run.root)
            commit_lost(self.run.graph, self.run.plan, store, lost, attempts, cause)
            self.schedule.written_off(lost)

    def _watch(self) -> None:
        """Kill the actor whose running call is past its deadline; its end is collected like any death."""
        import ray

        now = time.monotonic()
        for hand in self.hands:
            if not hand.flights or hand.overdue:
                continue
            flight = hand.flights[0]
            what, limit = self._deadline(flight)
            if now - hand.since > limit:
                hand.overdue = f"{what} ran longer than {limit:g} s"
                ray.kill(hand.handle)

    def _deadline(self, flight: _Flight) -> tuple[str, float]:
        """A part of a shard gets its part of the time, but not less than any worker's first breath needs.

        What is learned from many shards gets the time of so many.
        """
        job = flight.job
        if flight.node is None:
            return "the start of a worker", START_DEADLINE_S
        if job is None:
            return "loading", self.run.load_deadline_s
        if job.hi is None:
            sample = self.run.graph.nodes[job.node].sample
            return "a job", self.run.job_deadline_s * (1 if sample is None else sample.shards)
        whole = self.run.job_deadline_s
        share = (job.hi - job.lo) / int(self.run.plan.counts[job.shard])
        return "a job", max(whole * share, min(whole, PART_DEADLINE_S))

    def _name(self, flight: _Flight) -> str:
        return "" if flight.node is None else self.run.graph.nodes[flight.node].name


def _start(address: str | None, workers: int | None, run: Run) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is not None:
        _knock(address)
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"there is no Ray cluster at {address!r}: {error}") from error
        return
    need = sum((crew.workers or workers or 1) * crew.cpus for crew in _crews(run, 0.0).values())
    cpus = max(os.cpu_count() or 1, int(need + 0.999))
    ray.init(
        address="local",  # whatever RAY_ADDRESS says: joining a cluster is asked for by name
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=128 * 2**20,
        _node_ip_address="127.0.0.1",
        **quiet,
    )


def _knock(address: str) -> None:
    """Ray tries for minutes to reach a head that is not there, and then ends the process; this takes seconds."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ConfigError(
            f"there is no Ray cluster at {address}: {error}. Start one with `ray start --head`, or correct --ray."
        ) from error


def _crews(run: Run, gpus: float) -> dict[str, Crew]:
    """The crews as configured; one that was not, and would like a GPU, does without where there is none."""
    crews = {name: run.crews.get(name, Crew()) for name in run.graph.crews}
    return {name: crew if crew.fixed or gpus else replace(crew, gpus=0.0) for name, crew in crews.items()}


def _sizes(crews: dict[str, Crew], workers: int | None, resources: dict[str, float]) -> dict[str, int]:
    """How many actors each crew gets.

    Raises:
        ConfigError: one worker of every crew, or the numbers asked for, do not fit the cluster together.
    """
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    fixed = {name: crew.workers or workers for name, crew in crews.items()}
    open_crews = [name for name, size in fixed.items() if size is None]
    left_cpus = cpus - sum(size * crews[name].cpus for name, size in fixed.items() if size)
    sizes = {name: size for name, size in fixed.items() if size}
    for name in open_crews:
        crew = crews[name]
        by_cpu = left_cpus / len(open_crews) / crew.cpus if crew.cpus else float("inf")
        by_gpu = gpus / crew.gpus if crew.gpus else float("inf")
        sizes[name] = max(1, int(min(by_cpu, by_gpu, 4096)))
    need_cpus = sum(sizes[name] * crew.cpus for name, crew in crews.items())
    need_gpus = sum(sizes[name] * crew.gpus for name, crew in crews.items())
    if need_cpus > cpus or need_gpus > gpus:
        wanted = ", ".join(
            f"{name}: {n} x {crews[name].cpus:g} CPU {crews[name].gpus:g} GPU" for name, n in sizes.items()
        )
        raise ConfigError(
            f"the workers ({wanted}) need {need_cpus:g} CPUs and {need_gpus:g} GPUs; the cluster has {cpus:g} and "
            f"{gpus:g}. Ask for fewer workers (--workers, [crews.NAME] workers) or put stages into one crew."
        )
    return sizes


def _unwrapped(error: Any, stage: str) -> Exception:
    """The error that happened on the worker, with where it happened."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    if isinstance(cause, UserError | StageFailed):
        return cause
    return StageFailed(f"stage {stage} stopped the engine: {type(cause).__name__}: {cause}\n{error}", stage)


def _cause(error: Exception) -> str:
    """The sentence of Ray's long message that says what happened."""
    text = " ".join(str(error).split())
    detail = re.search(r"exit detail: (.*?)(?: Some common causes|$)", text)
    return "its process ended: " + (detail[1] if detail else text)[:500]
