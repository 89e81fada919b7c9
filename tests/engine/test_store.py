"""Storage: what other processes may see, and when."""

import multiprocessing as mp
import os
import signal
import stat
import time
import uuid

import pytest

from engine.errors import OutError, StoreError
from engine.store import FsspecStore, LocalStore, open_store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    made = open_store(str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}")
    made.prepare()
    return made


def test_create_is_first_come_first_served(store):
    assert store.create("a/b.bin", b"first")
    assert not store.create("a/b.bin", b"second")
    assert store.read("a/b.bin") == b"first"


def test_put_replaces_and_list_names_files_only(store):
    store.put("a/x", b"1")
    store.put("a/x", b"2")
    store.put("a/deeper/y", b"3")
    assert store.read("a/x") == b"2"
    assert store.list("a") == ["x"]
    assert store.list("nowhere") == []


def test_delete_is_idempotent_and_missing_is_a_clear_error(store):
    store.put("x", b"1")
    store.delete("x")
    store.delete("x")
    with pytest.raises(StoreError, match=r"cannot read .*x"):
        store.read("x")


def test_racing_creators_leave_exactly_one_winner(tmp_path):
    store = LocalStore(str(tmp_path))
    store.prepare()
    context = mp.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_race, args=(str(tmp_path), n, queue)) for n in range(8)]
    for process in processes:
        process.start()
    wins = [queue.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    winners = [n for n, won in wins if won]
    assert len(winners) == 1
    assert store.read("prize") == str(winners[0]).encode() * 100_000


def _race(root: str, number: int, queue) -> None:
    queue.put((number, LocalStore(root).create("prize", str(number).encode() * 100_000)))


def test_killed_writers_leave_whole_files_or_none(tmp_path):
    """kill -9 at arbitrary moments: whatever has its final name is complete, and leftovers are swept."""
    store = LocalStore(str(tmp_path))
    store.prepare()
    context = mp.get_context("fork")
    for round_ in range(12):
        process = context.Process(target=_write_forever, args=(str(tmp_path), round_))
        process.start()
        time.sleep(0.02 + 0.013 * round_)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    names = store.list("files")
    assert len(names) > 12
    for name in names:
        data = store.read(f"files/{name}")
        assert len(data) == 300_000 and data == data[:1] * 300_000
    store.sweep()
    assert store.list(".tmp") == []


def _write_forever(root: str, round_: int) -> None:
    store = LocalStore(root)
    for n in range(100_000):
        store.create(f"files/{round_}-{n}", bytes([n % 251]) * 300_000)


def test_sweep_spares_the_living(tmp_path):
    store = LocalStore(str(tmp_path))
    store.prepare()
    mine = store._temporary(b"still writing")
    store.sweep()
    assert os.path.exists(mine)


def test_unwritable_out_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutError, match="cannot write"):
        LocalStore(str(tmp_path / "file" / "out")).prepare()
    if os.geteuid() != 0:  # root may write anywhere
        os.chmod(tmp_path, stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(OutError, match="cannot write"):
            LocalStore(str(tmp_path / "out")).prepare()


def test_unknown_protocol_is_a_user_error():
    with pytest.raises(OutError, match="cannot open"):
        FsspecStore("nosuchprotocol://bucket")
