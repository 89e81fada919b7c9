"""Estimates: learned once from the first shards, frozen for all, the same whatever happens on the way."""

import multiprocessing
import random
import signal
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from engine import schema as s
from engine.errors import ConfigError, StageFailed
from engine.executors.base import make_worker
from engine.executors.local import LocalExecutor
from engine.graph import Estimate
from engine.job import Job, Receipt, run_job
from engine.parquet import footer_of
from engine.schedule import KILLS_OF_A_WHOLE, MIN_WINDOW, Schedule
from engine.sidecar import SAMPLE, Listing, Sidecar
from engine.store import LocalStore
from pipelines.remember import remember
from pipelines.status import status
from tests.toys import TOTAL, ToyStage, numbers, published, toy_estimate, toy_graph, toy_run


def learning(diary: Path, sample: int | None, kill_once: str = "", broken: tuple[str, ...] = (), **first):
    """ingest → a (1 an image) → stat (2) → total (2 an image of the sample) → b (2 + total) → publish."""
    diary.mkdir(exist_ok=True)
    return toy_graph(
        ToyStage("a", diary=str(diary), **first),
        ToyStage("stat", ("ingest", "a"), diary=str(diary)),
        toy_estimate("total", "stat", sample, str(diary), kill_once),
        ToyStage("b", ("ingest", "a", "total"), diary=str(diary)),
        broken=broken,
    )


def go(root: Path, graph, images=6, shard_size=2, **settings):
    run, schedule = toy_run(root, graph, images, shard_size, **settings)
    LocalExecutor().run(run, schedule, lambda _: None)
    return schedule.counts


def asked(diary: Path, stage: str) -> list[str]:
    return (diary / stage).read_text().split()


def names(count: int) -> list[str]:
    return [f"i{n:04d}" for n in range(count)]


def test_learned_from_the_first_shards_for_all_of_them(tmp_path):
    diary, out = tmp_path / "diary", tmp_path / "out"
    graph = learning(diary, 2)
    # ingest, a, b, publish of three shards; stat of the two sampled ones, which nobody reads elsewhere; total.
    assert go(out, graph).run == 4 * 3 + 2 + 1
    assert numbers(out) == dict.fromkeys(names(6), 2 + 2 * 4)
    assert asked(diary, "stat") == asked(diary, "total") == names(4)
    again = go(out, graph)
    assert (again.run, again.reused) == (0, 15)


def test_learned_from_every_shard_where_no_sample_is_named(tmp_path):
    diary, out = tmp_path / "diary", tmp_path / "out"
    graph = learning(diary, None)
    assert go(out, graph).run == 5 * 3 + 1
    assert numbers(out) == dict.fromkeys(names(6), 2 + 2 * 6)
    assert asked(diary, "total") == names(6)
    assert go(out, graph).run == 0
    # One more shard is one more to learn from: what was looked at stays, and `b` and publish are done anew.
    assert go(out, graph, images=8).run == 3 + 1 + 2 * 4
    assert numbers(out) == dict.fromkeys(names(8), 2 + 2 * 8)
    assert asked(diary, "a") == asked(diary, "stat") == names(8)
    go(tmp_path / "clean", graph, images=8)
    assert published(out) == published(tmp_path / "clean")


class NotingStore(LocalStore):
    """Notes which files are read."""

    def __init__(self, root: Path, notes: list[str]) -> None:
        super().__init__(str(root))
        self.notes = notes

    def read(self, path: str) -> bytes:
        self.notes.append(path)
        return super().read(path)


def noted(root: Path, graph, notes: list[str]) -> None:
    """One worker does all jobs of a run, and notes what it reads."""
    run, schedule = toy_run(root, graph, 6, 2)
    worker = replace(make_worker(run, cpus=1, gpus=0), store=NotingStore(root, notes))
    while (job := schedule.next_job("main")) is not None:
        schedule.done(run_job(worker, job))
    assert schedule.finished


def test_shards_are_read_one_at_a_time_while_it_learns(tmp_path):
    notes: list[str] = []
    read: list[int] = []

    def learn(batches):
        before = len(notes)
        read.extend(len(notes) - before for _ in batches)
        return pa.table({s.VALUE: [5]}, schema=TOTAL)

    total = Estimate("total", 1, ("ingest", "a"), TOTAL, None, learn)
    noted(tmp_path / "out", toy_graph(ToyStage("a"), total, ToyStage("b", ("ingest", "a", "total"))), notes)
    assert read == [2, 4, 6]  # `ingest` and `a` of the shards so far
    assert numbers(tmp_path / "out") == dict.fromkeys(names(6), 2 + 5)


def test_a_worker_reads_what_was_learned_once(tmp_path):
    notes: list[str] = []
    noted(tmp_path / "out", learning(tmp_path / "diary", 2), notes)
    assert sum("work/total@" in path for path in notes) == 1
    assert sum("work/a@" in path for path in notes) == 3 + 2  # by `b` of every shard, and by `stat` of the sample


def test_its_footer_says_how_many_shards_it_was_learned_from_and_which(tmp_path):
    def footer(out, sample, images):
        run, schedule = toy_run(out, learning(tmp_path / "diary", sample), images, 2)
        LocalExecutor().run(run, schedule, lambda _: None)
        (file,) = (out / "work").glob("total@*/*")
        return footer_of(file.read_bytes())["sample"]

    two = footer(tmp_path / "a", 2, 6)
    assert two["shards"] == 2
    assert footer(tmp_path / "b", 2, 10) == footer(tmp_path / "c", None, 4) == two
    three = footer(tmp_path / "d", None, 6)
    assert (three["shards"], three["digest"] != two["digest"]) == (3, True)


def test_growing_beyond_a_full_sample_changes_nothing_that_was_decided(tmp_path):
    diary, out = tmp_path / "diary", tmp_path / "out"
    graph = learning(diary, 2)
    go(out, graph)
    before = published(out)
    assert go(out, graph, images=10).run == 4 * 2
    assert len(asked(diary, "total")) == 4
    after = published(out)
    assert before.items() <= after.items()
    go(tmp_path / "clean", graph, images=10)
    assert after == published(tmp_path / "clean")


def test_growing_within_the_sample_ends_like_a_clean_build(tmp_path):
    """With history out of the answer, what was looked at stays, and what was decided is decided anew."""
    diary, out = tmp_path / "diary", tmp_path / "out"
    graph = learning(diary, 4)
    go(out, graph, images=3)
    assert set(numbers(out).values()) == {2 + 2 * 3}
    go(out, graph, images=10)
    assert numbers(out) == dict.fromkeys(names(10), 2 + 2 * 8)
    assert asked(diary, "a").count("i0000") == 1
    go(tmp_path / "clean", graph, images=10)
    assert published(out) == published(tmp_path / "clean")


@pytest.mark.parametrize("seed", [1, 2])
def test_order_and_ends_of_the_driver_do_not_show(tmp_path, seed):
    """Jobs end in any order, and every few jobs the driver is gone and another starts from storage."""
    graph, rng = learning(tmp_path / "diary", 2), random.Random(seed)
    go(tmp_path / "clean", graph)
    finished = False
    while not finished:
        run, schedule = toy_run(tmp_path / "out", graph, 6, 2)
        worker, ready = make_worker(run, cpus=1, gpus=0), []
        for _ in range(4):
            while (job := schedule.next_job("main")) is not None:
                ready.append(job)
            if ready:
                schedule.done(run_job(worker, ready.pop(rng.randrange(len(ready)))))
        finished = schedule.finished
    assert published(tmp_path / "out") == published(tmp_path / "clean")


def killed_while_learning(root: Path, diary: Path, kill_once: str) -> None:
    go(root, learning(diary, 2, kill_once))


def test_a_kill_while_learning_costs_only_the_estimate(tmp_path):
    diary, out = tmp_path / "diary", tmp_path / "out"
    given = out, diary, str(tmp_path / "killed")
    child = multiprocessing.get_context("spawn").Process(target=killed_while_learning, args=given)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert go(out, learning(diary, 2)).reused == 2 + 2 + 2  # what leads to it, and nothing else: it goes first
    assert asked(diary, "stat") == names(4)
    go(tmp_path / "clean", learning(diary, 2))
    assert published(out) == published(tmp_path / "clean")


def test_learning_that_kills_its_workers_is_tried_again_and_then_stops(tmp_path):
    run, schedule = toy_run(tmp_path / "out", learning(tmp_path / "diary", 2), 6, 2)
    while run.graph.nodes[(job := schedule.next_job("main")).node].name != "total":
        schedule.done(pretended(schedule, job))
    for _ in range(KILLS_OF_A_WHOLE - 1):
        assert run.graph.nodes[job.node].name == "total"
        assert schedule.killed(job) is None
        job = schedule.next_job("main")
    with pytest.raises(StageFailed, match=f"total lost {KILLS_OF_A_WHOLE} workers on 2 shards"):
        schedule.killed(job)


def test_a_worker_that_died_after_learning_left_its_work(tmp_path):
    diary = tmp_path / "diary"
    run, schedule = toy_run(tmp_path / "out", learning(diary, 2), 6, 2)
    worker = make_worker(run, cpus=1, gpus=0)
    while run.graph.nodes[(job := schedule.next_job("main")).node].name != "total":
        schedule.done(run_job(worker, job))
    run_job(worker, job)
    assert schedule.killed(job) is None
    schedule.done(run_job(worker, schedule.next_job("main")))
    assert asked(diary, "total") == names(4)
    LocalExecutor().run(run, schedule, lambda _: None)
    assert numbers(tmp_path / "out") == dict.fromkeys(names(6), 2 + 2 * 4)


def test_images_in_quarantine_are_absent_from_the_sample(tmp_path):
    go(tmp_path / "out", learning(tmp_path / "diary", 2, broken=("i0001",)))
    assert numbers(tmp_path / "out") == dict.fromkeys(set(names(6)) - {"i0001"}, 2 + 2 * 3)


def test_a_retry_does_not_change_the_estimate(tmp_path):
    diary, out, cured = tmp_path / "diary", tmp_path / "out", tmp_path / "cured"
    graph = learning(diary, 2, fail=("i0001",), cured=str(cured))
    go(out, graph, attempts=1)
    total = 2 * 3 + 1  # `stat` had no number of `a` to add for i0001
    assert numbers(out) == {**dict.fromkeys(names(6), 2 + total), "i0001": 1 + total}
    cured.touch()
    counts = go(out, graph, retry=True)
    assert (counts.run, counts.quarantined["a"]) == (4, 0)  # a, stat, b and publish of that shard
    assert numbers(out) == dict.fromkeys(names(6), 2 + total)
    assert asked(diary, "b").count("i0000") == 1
    assert go(out, graph).run == 0
    assert len(asked(diary, "total")) == 4


def test_an_estimate_may_rest_on_another(tmp_path):
    graph = toy_graph(
        ToyStage("a"),
        toy_estimate("first", "a", 2),
        ToyStage("b", ("ingest", "a", "first")),
        replace(toy_estimate("second", "b", 3), inputs=("ingest", "b", "first")),
        ToyStage("c", ("ingest", "second", "b")),
    )
    assert go(tmp_path / "out", graph).run == 5 * 3 + 2
    # first: 4 images of 1; b: 1 + 1 + 4 = 6; second: 6 images of 6, and 4; c: 1 + 6 + 40.
    assert set(numbers(tmp_path / "out").values()) == {47}


def pretended(schedule: Schedule, job: Job) -> Receipt:
    estimate = schedule.graph.nodes[job.node].is_estimate
    name = SAMPLE if estimate else schedule.plan.name(job.shard)
    return Receipt(job, Sidecar(name, job.generation, 0), 1, 0.0, 0)


def drain(schedule: Schedule, hold: str = "") -> list[tuple[str, int]]:
    """Pretend to do jobs until none is ready; (stage, shard) of each. Those of the stage `hold` never end."""
    handed = []
    while (job := schedule.next_job("main")) is not None:
        node = schedule.graph.nodes[job.node]
        handed.append((node.name, job.shard))
        if node.name != hold:
            schedule.done(pretended(schedule, job))
    return handed


def test_a_sample_larger_than_the_window_goes_first_and_holds_up_nobody(tmp_path):
    sample, shards = 2 * MIN_WINDOW, 5 * MIN_WINDOW
    aside = ToyStage("aside")  # neither leads to the estimate nor waits for it
    stages = ToyStage("a"), toy_estimate("total", "a", sample), ToyStage("b", ("ingest", "aside", "total"))
    _, schedule = toy_run(tmp_path / "out", toy_graph(aside, *stages), images=shards, shard_size=1)
    handed = drain(schedule, hold="total")
    learned = handed.index(("total", 0))
    assert sorted(handed[:learned]) == sorted((stage, n) for stage in ("ingest", "a") for n in range(sample))
    # Meanwhile as many more shards are open as ever are, and everything in them that can be done is done.
    meanwhile = {stage: {n for name, n in handed if name == stage} for stage in ("ingest", "a", "aside", "b")}
    assert meanwhile["ingest"] == meanwhile["aside"] == set(range(sample + MIN_WINDOW))
    assert not meanwhile["b"]

    _, whole = toy_run(tmp_path / "out", toy_graph(aside, *stages), images=shards, shard_size=1)
    assert len(drain(whole)) == 4 * shards + sample + 1  # `a` is wanted for the sample alone
    assert whole.finished


def test_status_counts_it_as_one_job(tmp_path):
    out = tmp_path / "out"
    run, schedule = toy_run(out, learning(tmp_path / "diary", 2), 6, 2)
    remember(LocalStore(str(out)), run.graph, {})
    assert schedule.todo_by_node == {"ingest": 3, "a": 3, "stat": 2, "total": 1, "b": 3, "publish": 3}
    assert status(str(out))["jobs"] == {"done": 0, "todo": 15, "failed": 0}
    LocalExecutor().run(run, schedule, lambda _: None)
    assert status(str(out))["jobs"] == {"done": 15, "todo": 0, "failed": 0}


def _raises(batches):
    next(batches)
    raise ZeroDivisionError("no boxes at all")


@pytest.mark.parametrize(
    ("learn", "words"),
    [
        (
            _raises,
            r"(?s)total could not be learned \(after 2 images of 2 shards\): ZeroDivisionError: no boxes.*Traceback",
        ),
        (lambda _: pa.table({"other": [1.0]}), r"total answered with columns \['other'\]"),
    ],
)
def test_what_cannot_be_learned_stops_the_run(tmp_path, learn, words):
    total = Estimate("total", 1, ("ingest", "a"), TOTAL, 2, learn)
    graph = toy_graph(ToyStage("a"), total, ToyStage("b", ("ingest", "a", "total")))
    with pytest.raises(StageFailed, match=words) as stopped:
        go(tmp_path / "out", graph)
    assert stopped.value.stage == "total"


def test_a_graph_that_learns_is_put_over_a_plan_first(tmp_path):
    graph = learning(tmp_path / "diary", 2)
    run, _ = toy_run(tmp_path / "out", graph)
    with pytest.raises(ValueError, match=r"total has no sample; put the graph over the plan with Graph\.over"):
        Schedule(graph, run.plan, [Listing() for _ in graph.nodes], [])


def test_a_sample_is_at_least_one_shard(tmp_path):
    with pytest.raises(ConfigError, match="'total' is learned from 0 shards"):
        learning(tmp_path / "diary", 0)
