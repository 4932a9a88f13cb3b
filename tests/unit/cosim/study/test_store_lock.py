"""One writer at a time: refused with the name of who writes, free again whenever that one ends."""

import fcntl
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cosim.study import store_lock
from cosim.study.store import Store
from cosim.study.store_lock import StoreLock
from workloads.errors import StoreError

HOLDER = """
import sys
from pathlib import Path
from cosim.study.store_lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
lock.release()
"""


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.db"


@pytest.fixture
def lock_file(store):
    return store.with_name("s.db.lock")


@pytest.fixture
def holder(store):
    """Another process that holds the lock until it is told to end."""
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def test_a_lock_names_its_process_and_goes_with_it(store, lock_file):
    lock = StoreLock(store)
    said = json.loads(lock_file.read_text())
    assert (said["pid"], said["host"]) == (os.getpid(), socket.gethostname())
    assert set(said) == {"pid", "host", "since"}
    lock.release()
    assert not lock_file.exists()


def test_a_second_lock_is_refused_with_pid_and_host(store, lock_file):
    first = StoreLock(store)
    before = lock_file.read_bytes()
    match = rf"s\.db: process {os.getpid()} on {socket.gethostname()} \(since .+\) writes it; wait for its end, or name another --store"
    with pytest.raises(StoreError, match=match):
        StoreLock(store)
    assert lock_file.read_bytes() == before
    first.release()
    StoreLock(store).release()


def test_another_process_is_named_and_waited_for(store, holder):
    with pytest.raises(StoreError, match=rf"process {holder.pid} on {socket.gethostname()}"):
        StoreLock(store)
    holder.communicate("end\n")
    assert holder.returncode == 0
    StoreLock(store).release()


def test_a_killed_process_leaves_a_file_but_no_lock(store, lock_file, holder):
    holder.kill()
    holder.wait()
    assert json.loads(lock_file.read_text())["pid"] == holder.pid
    lock = StoreLock(store)
    assert json.loads(lock_file.read_text())["pid"] == os.getpid()
    lock.release()
    assert not lock_file.exists()


@pytest.mark.parametrize("left", ["", "garbage", "[1, 2]", '"text"', "{", '{"pid": 99999999}', '{"pid": 1, "host": HERE}', "\x00" * 300])
def test_whatever_nobody_holds_is_recovered(store, lock_file, left):
    lock_file.write_text(left.replace("HERE", json.dumps(socket.gethostname())))
    lock = StoreLock(store)
    assert json.loads(lock_file.read_text())["pid"] == os.getpid()  # nothing is left behind it
    lock.release()


def test_bytes_that_are_no_text_are_recovered(store, lock_file):
    lock_file.write_bytes(b"\xff\xfe\x80" * 10)
    StoreLock(store).release()


def test_a_lock_of_another_host_is_believed(store, lock_file):
    lock_file.write_text(json.dumps({"pid": 12, "host": "node-7.cluster", "since": "2024-01-01 00:00:00"}))
    before = lock_file.read_bytes()
    with pytest.raises(
        StoreError, match=r"process 12 on node-7\.cluster .*or was killed while it did; if that process is gone, delete .*lock"
    ):
        StoreLock(store)
    assert lock_file.read_bytes() == before
    lock_file.unlink()  # as the message says
    StoreLock(store).release()


def test_a_refused_lock_of_another_host_is_let_go(store, lock_file):
    lock_file.write_text(json.dumps({"pid": 12, "host": "elsewhere"}))
    with pytest.raises(StoreError, match="elsewhere"):
        StoreLock(store)
    with lock_file.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_holder_that_has_not_said_who_it_is(store, lock_file):
    with lock_file.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"s\.db: another process writes it"):
            StoreLock(store)
    StoreLock(store).release()


def test_a_place_where_no_lock_can_be_made(store, lock_file):
    lock_file.mkdir()
    with pytest.raises(StoreError, match=r"s\.db\.lock: cannot be made: Is a directory"):
        StoreLock(store)
    with pytest.raises(StoreError, match="cannot be made: No such file"):
        StoreLock(store.parent / "missing" / "s.db")


def test_a_file_taken_away_before_it_is_locked_is_no_lock(store, lock_file, monkeypatch):
    flock, calls = fcntl.flock, []

    def late(file, how):
        calls.append(file)
        if len(calls) == 1:
            lock_file.unlink()  # its owner ends between our opening and locking
        if len(calls) == 2:
            lock_file.unlink()
            lock_file.touch()  # and the next one is there already
        flock(file, how)

    monkeypatch.setattr(store_lock.fcntl, "flock", late)
    lock = StoreLock(store)
    assert len(calls) == 3
    assert json.loads(lock_file.read_text())["pid"] == os.getpid()
    lock.release()


def test_of_many_that_try_one_holds_at_a_time(store):
    inside = []

    def attempt(_):
        try:
            lock = StoreLock(store)
        except StoreError:
            return 0
        inside.append(1)
        alone = len(inside) == 1
        inside.pop()
        lock.release()
        assert alone
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(200))) >= 1
    StoreLock(store).release()


def test_a_lock_file_that_is_gone_can_still_be_released(store, lock_file):
    lock = StoreLock(store)
    lock_file.unlink()
    lock.release()
    assert not lock_file.exists()


class TestOfStores:
    def test_a_second_writer_is_refused_and_the_first_goes_on(self, store, fake):
        with Store(store, fake.COLUMNS, write=True) as first:
            with pytest.raises(StoreError, match=rf"process {os.getpid()} on"):
                Store(store, fake.COLUMNS, write=True)
            first.write(fake.evaluated(), fake.origin(), fake.NETS)
            assert first.n_rows() == 96
        with Store(store, fake.COLUMNS, write=True) as second:
            assert second.n_rows() == 96

    def test_a_writer_elsewhere_is_named(self, store, fake, holder):
        with pytest.raises(StoreError, match=rf"s\.db: process {holder.pid} on"):
            Store(store, fake.COLUMNS, write=True)
        assert not store.exists()

    def test_readers_need_no_lock(self, store, fake, lock_file):
        with Store(store, fake.COLUMNS, write=True) as writer:
            writer.write(fake.evaluated(), fake.origin(), fake.NETS)
            with Store(store, fake.COLUMNS) as one, Store(store, fake.COLUMNS) as other:
                assert one.n_rows() == other.n_rows() == 96
            assert lock_file.exists()  # a reader that ends does not let another writer in

    def test_two_stores_of_one_folder_do_not_meet(self, store, fake):
        with Store(store, fake.COLUMNS, write=True), Store(store.with_name("t.db"), fake.COLUMNS, write=True) as other:
            assert other.n_rows() == 0
