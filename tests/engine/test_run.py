"""Whole runs of a toy graph in one process: resume, quarantine, retry, memory, broken stages."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine import schema as s
from engine import sidecar
from engine.errors import ConfigError, StageFailed
from engine.executors.base import make_worker
from engine.executors.local import LocalExecutor
from engine.graph import build_graph
from engine.job import run_job
from engine.parquet import to_bytes
from engine.sidecar import list_sidecars
from engine.store import LocalStore
from tests.toys import NUMBERS, ToyIngest, ToyStage, numbers, publish_last, published, toy_graph, toy_run


def go(root: Path, graph, **settings):
    run, schedule = toy_run(root, graph, **settings)
    LocalExecutor().run(run, schedule, lambda _: None)
    return schedule.counts


def chain(tmp_path, **first):
    """ingest → a → b → publish; a misbehaves as told."""
    diary = tmp_path / "diary"
    diary.mkdir(exist_ok=True)
    return ToyStage("a", diary=str(diary), **first), ToyStage("b", ("ingest", "a"), diary=str(diary))


def asked(tmp_path, stage):
    file = tmp_path / "diary" / stage
    return file.read_text().split() if file.exists() else []


def test_a_run_computes_everything_once(tmp_path):
    graph = toy_graph(*chain(tmp_path))
    assert go(tmp_path / "out", graph).run == 4 * 3
    assert set(numbers(tmp_path / "out").values()) == {2}
    again = go(tmp_path / "out", graph)
    assert (again.run, again.reused) == (0, 12)
    assert len(asked(tmp_path, "a")) == 24


def test_changing_a_stage_computes_it_and_its_descendants_only(tmp_path):
    a, b = chain(tmp_path)
    go(tmp_path / "out", toy_graph(a, b))
    b.settings = {"threshold": 2}
    counts = go(tmp_path / "out", toy_graph(a, b))
    assert counts.run == 2 * 3  # b and publish
    assert len(asked(tmp_path, "a")) == 24
    assert len(asked(tmp_path, "b")) == 48


def test_one_bad_image_costs_one_image(tmp_path):
    a, b = chain(tmp_path, fail=("i0003", "i0011"))
    counts = go(tmp_path / "out", toy_graph(a, b), attempts=1)
    assert counts.quarantined["a"] == 2
    found = numbers(tmp_path / "out")
    assert len(found) == 24
    assert {i for i, n in found.items() if n == 1} == {"i0003", "i0011"}  # b went on without a


def test_ingest_quarantine_takes_the_image_out_of_the_run(tmp_path):
    a, b = chain(tmp_path)
    counts = go(tmp_path / "out", toy_graph(a, b, broken=("i0000", "i0023")))
    assert counts.quarantined["ingest"] == 2
    assert len(numbers(tmp_path / "out")) == 22
    assert "i0000" not in asked(tmp_path, "a")


def test_retry_asks_only_for_the_quarantined_and_ends_like_a_clean_run(tmp_path):
    cured = tmp_path / "cured"
    a, b = chain(tmp_path, fail=("i0003",), cured=str(cured))
    graph = toy_graph(a, b)
    go(tmp_path / "out", graph, attempts=1)
    cured.touch()
    before = len(asked(tmp_path, "a")), len(asked(tmp_path, "b"))
    counts = go(tmp_path / "out", graph, retry=True)
    assert counts.run == 3  # a, b and publish of one shard
    assert asked(tmp_path, "a")[before[0] :] == ["i0003"]
    assert asked(tmp_path, "b")[before[1] :] == ["i0003"]
    assert counts.quarantined["a"] == 0

    clean = toy_graph(ToyStage("a"), ToyStage("b", ("ingest", "a")))
    go(tmp_path / "clean", clean)
    assert published(tmp_path / "out") == published(tmp_path / "clean")


def test_a_failed_retry_counts_attempts_and_can_be_repeated(tmp_path):
    a, b = chain(tmp_path, fail=("i0003",))
    graph = toy_graph(a, b)
    go(tmp_path / "out", graph, attempts=1)
    go(tmp_path / "out", graph, attempts=1, retry=True)
    counts = go(tmp_path / "out", graph, attempts=1)
    assert counts.run == 0  # a build does not retry by itself
    node = graph.nodes[graph.index("a")]
    newest = list_sidecars(LocalStore(str(tmp_path / "out")), node).newest
    assert sorted(sc.generation for sc in newest.values()) == [0, 0, 1]


def test_two_retries_in_a_row_reach_a_common_descendant(tmp_path):
    """a and c fail on different images and are cured at different times; b needs both."""
    cure_a, cure_c = tmp_path / "cure_a", tmp_path / "cure_c"
    a = ToyStage("a", fail=("i0001",), cured=str(cure_a))
    c = ToyStage("c", fail=("i0002",), cured=str(cure_c))
    b = ToyStage("b", ("ingest", "a", "c"))
    graph = toy_graph(a, c, b)
    go(tmp_path / "out", graph, attempts=1)
    cure_a.touch()
    go(tmp_path / "out", graph, attempts=1, retry=True)
    cure_c.touch()
    go(tmp_path / "out", graph, attempts=1, retry=True)
    assert set(numbers(tmp_path / "out").values()) == {3}


def test_retrying_many_that_fail_alike_is_not_a_broken_stage(tmp_path):
    many = tuple(f"i{n:04d}" for n in range(9))

    class Alike(ToyStage):
        def _misbehave(self, ids):
            if set(ids) & set(self.fail):
                raise ValueError("cannot look at these")

    graph = toy_graph(Alike("a", fail=many))
    go(tmp_path / "out", graph, images=24, shard_size=24, attempts=1)
    counts = go(tmp_path / "out", graph, images=24, shard_size=24, attempts=1, retry=True)
    assert counts.quarantined["a"] == 9


def test_overlapping_parts_of_a_bisection_are_not_counted_twice(tmp_path):
    """A worker may commit a part and die before it says so; the part is split, and then the driver is killed."""
    graph = toy_graph(ToyStage("a"), ToyStage("b", ("ingest", "a")))
    run, schedule = toy_run(tmp_path / "out", graph, images=8)
    worker = make_worker(run, cpus=1, gpus=0)
    ingest = schedule.next_job("main")
    schedule.done(run_job(worker, ingest))
    job = schedule.next_job("main")
    for lo, hi in ((0, 4), (0, 2)):
        run_job(worker, replace(job, lo=lo, hi=hi))
    go(tmp_path / "out", graph, images=8)
    assert numbers(tmp_path / "out") == {f"i{n:04d}": 2 for n in range(8)}
    assert not list((tmp_path / "out").rglob("*.part-4-8*"))


def test_two_markers_of_a_shard_are_published_again(tmp_path):
    a, b = chain(tmp_path)
    graph = toy_graph(a, b)
    go(tmp_path / "out", graph)
    marker = next((tmp_path / "out/published").iterdir())
    (marker.parent / marker.name.replace(".r0.", ".r1.")).write_bytes(marker.read_bytes())
    assert go(tmp_path / "out", graph).run == 1
    assert len(list((tmp_path / "out/published").iterdir())) == 3


def said(root, graph, stage):
    """The newest sidecar of each shard, in their order."""
    store, node = LocalStore(str(root)), graph.nodes[graph.index(stage)]
    newest = sorted(list_sidecars(store, node).newest.items())
    return [sidecar.read(store, f"{node.folder}/{found.filename}") for _, found in newest]


@pytest.mark.parametrize("memory", [None, 1, 3])
def test_what_was_not_looked_at_is_known_below_and_is_no_fault(tmp_path, memory):
    told = {}

    class Listener(ToyStage):
        def run(self, batch):
            told.update(dict.fromkeys(batch.images.column(s.IMAGE_ID).to_pylist(), batch.missing["a"]))
            return super().run(batch)

    a = ToyStage("a", blind=("i0001", "i0004", "i0009"), fail=("i0003",), memory=memory)
    graph = toy_graph(a, Listener("b", ("ingest", "a")))
    counts = go(tmp_path / "out", graph, attempts=1)
    assert counts.quarantined["a"] == 1
    assert [found.unanswered for found in said(tmp_path / "out", graph, "a")] == [{"i0001", "i0004"}, {"i0009"}, set()]
    assert [found.unanswered for found in said(tmp_path / "out", graph, "b")] == [set()] * 3
    assert (told["i0000"], told["i0008"], told["i0016"]) == ({"i0001", "i0003", "i0004"}, {"i0009"}, set())
    assert len(numbers(tmp_path / "out")) == 24


def test_a_retry_keeps_what_was_not_looked_at_unless_it_is_asked_anew(tmp_path):
    cured = tmp_path / "cured"
    a = ToyStage("a", fail=("i0003",), cured=str(cured))
    b = ToyStage("b", ("ingest", "a"), blind=("i0001", "i0003"), cured=str(cured), diary=str(tmp_path))
    graph = toy_graph(a, b)
    go(tmp_path / "out", graph, attempts=1)
    assert said(tmp_path / "out", graph, "b")[0].unanswered == {"i0001", "i0003"}
    cured.touch()
    go(tmp_path / "out", graph, attempts=1, retry=True)
    assert (tmp_path / "b").read_text().split()[24:] == ["i0003"]  # nobody asks again about i0001
    assert said(tmp_path / "out", graph, "b")[0].unanswered == {"i0001"}
    assert go(tmp_path / "out", graph, attempts=1, retry=True).run == 0


def test_parts_are_put_together_with_what_was_not_looked_at(tmp_path):
    graph = toy_graph(ToyStage("a", blind=("i0001", "i0006")))
    run, schedule = toy_run(tmp_path / "out", graph, images=8)
    worker = make_worker(run, cpus=1, gpus=0)
    schedule.done(run_job(worker, schedule.next_job("main")))
    job = schedule.next_job("main")
    for lo, hi in ((0, 4), (4, 8)):
        run_job(worker, replace(job, lo=lo, hi=hi))
    go(tmp_path / "out", graph, images=8)
    (joined,) = said(tmp_path / "out", graph, "a")
    assert joined.unanswered == {"i0001", "i0006"}
    whole = toy_graph(ToyStage("a", blind=("i0006", "i0001")))
    go(tmp_path / "whole", whole, images=8)
    assert published(tmp_path / "out") == published(tmp_path / "whole")


def test_rows_of_what_was_not_looked_at_are_a_broken_stage(tmp_path):
    class Sleepwalker(ToyStage):
        def run(self, batch):
            return replace(super().run(batch), unanswered=["i0002"])

    with pytest.raises(StageFailed, match="stage a has rows of 'i0002', at which it says it did not look"):
        go(tmp_path / "out", toy_graph(Sleepwalker("a")))


def test_a_sidecar_from_before_says_that_all_was_looked_at():
    footer = {"quarantine": [["i0001", "ValueError", "torn", 1, True]], "changed": {}}
    found = sidecar.decode(to_bytes(NUMBERS.empty_table(), footer))
    assert (found.unanswered, found.missing) == (set(), {"i0001"})


def test_full_memory_halves_the_batch_for_good(tmp_path):
    a, b = chain(tmp_path, memory=3)
    counts = go(tmp_path / "out", toy_graph(a, b))
    assert counts.quarantined.get("a", 0) == 0
    assert set(numbers(tmp_path / "out").values()) == {2}


def test_a_stage_that_fails_for_everything_stops_the_run(tmp_path):
    everyone = tuple(f"i{n:04d}" for n in range(24))

    class Same(ToyStage):
        def _misbehave(self, ids):
            raise TypeError("the model wants another shape")

    bad = Same("a", fail=everyone)
    with pytest.raises(StageFailed, match=r"stage a failed for all of its first 8 images.*another shape"):
        go(tmp_path / "out", toy_graph(bad), attempts=1)
    good = go(tmp_path / "out", toy_graph(ToyStage("a")))
    assert good.run > 0
    assert len(numbers(tmp_path / "out")) == 24


def test_load_failures_end_with_the_traceback(tmp_path):
    a, b = chain(tmp_path, load_error="weights are torn")
    with pytest.raises(StageFailed, match=r"(?s)stage a failed to load 3 times.*weights are torn.*Traceback"):
        go(tmp_path / "out", toy_graph(a, b))
    assert len(asked(tmp_path, "a.load")) == 3


def test_publishing_again_replaces_the_marker(tmp_path):
    a, b = chain(tmp_path)
    go(tmp_path / "out", toy_graph(a, b))
    first = sorted(p.name for p in (tmp_path / "out/published").iterdir())
    b.settings = {"x": 1}
    go(tmp_path / "out", toy_graph(a, b))
    second = sorted(p.name for p in (tmp_path / "out/published").iterdir())
    assert len(first) == len(second) == 3
    assert not set(first) & set(second)
    b.settings = {}
    assert go(tmp_path / "out", toy_graph(a, b)).run == 3  # only publishing: the sidecars are still there


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([ToyIngest(), ToyStage("a"), ToyStage("a")], "two stages"),
        ([ToyIngest(), ToyStage("a", ("ingest", "b")), ToyStage("b", ("ingest", "a"))], "circle"),
        ([ToyIngest(), ToyStage("a", ("nobody",))], "which no stage makes"),
        ([ToyStage("a", ())], "needs a stage called 'ingest'"),
        ([ToyIngest(), ToyStage("a")], "exactly one sink"),
    ],
)
def test_impossible_graphs_are_refused(stages, words):
    with pytest.raises(ConfigError, match=words):
        build_graph(stages if "sink" in words else [*stages, publish_last("a")])
