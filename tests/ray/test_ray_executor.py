"""The Ray executor under bad conditions: killers, hangs, dead workers, stages that cannot load."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from engine.errors import ConfigError, StageFailed
from engine.executors.base import Crew
from engine.executors.local import LocalExecutor
from engine.executors.ray import RayExecutor
from engine.sidecar import decode, list_sidecars
from engine.store import LocalStore
from tests.toys import ToyStage, numbers, published, toy_estimate, toy_graph, toy_run


def go(root: Path, graph, workers=2, **settings):
    run, schedule = toy_run(root, graph, **settings)
    RayExecutor(workers=workers).run(run, schedule, lambda _: None)
    return schedule.counts


def faults_of(root: Path, graph, stage: str):
    node = graph.nodes[graph.index(stage)]
    store = LocalStore(str(root))
    found = [decode(store.read(f"{node.folder}/{sc.filename}")) for sc in list_sidecars(store, node).newest.values()]
    return {f.image_id: f for content in found for f in content.faults}


def reference(tmp_path: Path) -> dict[str, bytes]:
    run, schedule = toy_run(tmp_path / "reference", toy_graph(ToyStage("a"), ToyStage("b", ("ingest", "a"))))
    LocalExecutor().run(run, schedule, lambda _: None)
    return published(tmp_path / "reference")


@pytest.mark.parametrize("workers", [1, 2])
def test_same_bytes_as_local(tmp_path, workers):
    graph = toy_graph(ToyStage("a"), ToyStage("b", ("ingest", "a")))
    counts = go(tmp_path / "out", graph, workers)
    assert counts.run == 12
    assert published(tmp_path / "out") == reference(tmp_path)
    assert go(tmp_path / "out", graph, workers).run == 0


def test_an_estimate_is_the_same_when_workers_die_of_it(tmp_path):
    def graph(kill_once):
        total = toy_estimate("total", "stat", 2, kill_once=kill_once)
        stat = ToyStage("stat", ("ingest", "a"))
        return toy_graph(ToyStage("a"), stat, total, ToyStage("b", ("ingest", "a", "total")))

    counts = go(tmp_path / "out", graph(str(tmp_path / "killed")))
    assert counts.run == 4 * 3 + 2 + 1
    run, schedule = toy_run(tmp_path / "local", graph(""))
    LocalExecutor().run(run, schedule, lambda _: None)
    assert published(tmp_path / "out") == published(tmp_path / "local")
    assert set(numbers(tmp_path / "out").values()) == {2 + 2 * 16}
    assert (tmp_path / "killed").exists()


def test_a_killer_image_stands_alone_in_quarantine(tmp_path):
    graph = toy_graph(ToyStage("a", kill=("i0005",)), ToyStage("b", ("ingest", "a")))
    go(tmp_path / "out", graph)
    faults = faults_of(tmp_path / "out", graph, "a")
    assert set(faults) == {"i0005"}
    assert faults["i0005"].error == "WorkerDied"
    assert faults["i0005"].attempts >= 2
    found = numbers(tmp_path / "out")
    assert found.pop("i0005") == 1
    assert set(found.values()) == {2}
    assert not list((tmp_path / "out").rglob("*.part-*"))


def test_a_hanging_image_meets_its_deadline(tmp_path):
    graph = toy_graph(ToyStage("a", hang=("i0001",)), ToyStage("b", ("ingest", "a")))
    go(tmp_path / "out", graph, images=3, shard_size=3, job_deadline_s=4.0)
    faults = faults_of(tmp_path / "out", graph, "a")
    assert set(faults) == {"i0001"}
    assert "ran longer than" in faults["i0001"].message
    assert numbers(tmp_path / "out") == {"i0000": 2, "i0001": 1, "i0002": 2}


def test_a_cured_killer_can_be_retried(tmp_path):
    cured = tmp_path / "cured"
    graph = toy_graph(ToyStage("a", kill=("i0005",), cured=str(cured)), ToyStage("b", ("ingest", "a")))
    go(tmp_path / "out", graph)
    cured.touch()
    go(tmp_path / "out", graph, retry=True)
    assert published(tmp_path / "out") == reference(tmp_path)


def test_a_worker_killed_from_outside_loses_nothing(tmp_path):
    graph = toy_graph(ToyStage("a", sleep=0.3), ToyStage("b", ("ingest", "a"), sleep=0.3))
    stop = threading.Event()
    killed: list[int] = []
    assassin = threading.Thread(target=_kill_workers, args=(stop, killed))
    assassin.start()
    try:
        go(tmp_path / "out", graph, images=64)
    finally:
        stop.set()
        assassin.join()
    assert killed
    assert not faults_of(tmp_path / "out", graph, "a")
    assert len(numbers(tmp_path / "out")) == 64
    assert set(numbers(tmp_path / "out").values()) == {2}


def _kill_workers(stop: threading.Event, killed: list[int]) -> None:
    """Three times, a second apart, kill one of our actors."""
    me = psutil.Process()
    while not stop.is_set() and len(killed) < 3:
        time.sleep(1.0)
        for process in me.children(recursive=True):
            try:
                if "_Actor" in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    break
            except psutil.NoSuchProcess:
                continue


def test_a_stage_whose_load_kills_its_workers_stops_the_run(tmp_path):
    graph = toy_graph(ToyStage("a", load_kills=True))
    with pytest.raises(StageFailed, match=r"stage a killed 3 workers while loading") as stopped:
        go(tmp_path / "out", graph)
    assert stopped.value.stage == "a"


def test_a_stage_that_cannot_load_stops_with_its_traceback(tmp_path):
    graph = toy_graph(ToyStage("a", load_error="weights are torn"))
    with pytest.raises(StageFailed, match=r"(?s)weights are torn.*Traceback"):
        go(tmp_path / "out", graph)


def test_crews_that_cannot_fit_are_refused_before_anything_starts(tmp_path):
    graph = toy_graph(ToyStage("a"))
    with pytest.raises(ConfigError, match=r"need 1 CPUs and 1 GPUs; the cluster has 2 and 0"):
        go(tmp_path / "out", graph, workers=1, crews={"main": Crew(1, 1, 1)})


def test_a_bisection_goes_on_after_the_driver_is_gone(tmp_path):
    """Parts of a half-bisected shard in storage are taken up, not computed again."""
    diary = tmp_path / "diary"
    diary.mkdir()
    graph = toy_graph(ToyStage("a", kill=("i0005",), diary=str(diary)))
    run, schedule = toy_run(tmp_path / "out", graph, images=8)

    class Gone(Exception):
        pass

    def leave(counts):
        if list((tmp_path / "out").rglob("*.part-*")):
            raise Gone

    with pytest.raises(Gone):
        RayExecutor(workers=1).run(run, schedule, leave)
    done = set((diary / "a").read_text().split())
    go(tmp_path / "out", graph, workers=1, images=8)
    assert set(faults_of(tmp_path / "out", graph, "a")) == {"i0005"}
    lines = (diary / "a").read_text().split()
    assert done and all(lines.count(image) == 1 for image in done)
