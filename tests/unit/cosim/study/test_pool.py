"""A pool of processes: rows are those of this process, one that dies costs its own chunk only, and none outlives its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cosim.study import pool as pool_module
from cosim.study.chunks import Chunk
from cosim.study.failures import EngineError
from cosim.study.pool import Pool
from cosim.study.processes import THREADS, one_thread_each
from workloads.errors import SpecError

HERE = str(Path(__file__).parent)


@pytest.fixture
def odd(fake):
    """The module `odd_tasks`, importable by name here and in processes that start."""
    yield import_module("odd_tasks")
    sys.modules.pop("odd_tasks", None)


@contextmanager
def pool_of(task, n_workers=1):
    pool = Pool(task, n_workers)
    try:
        yield pool
    finally:
        pool.close()


def all_of(pool, n, within_s=60.0):
    """Wait for so many results."""
    end_s, done = time.monotonic() + within_s, []
    while len(done) < n:
        assert time.monotonic() < end_s
        done += pool.wait(0.5)
    return done


def lives(pid):
    """Whether a process runs: a zombie whose parent has not looked at it yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_after_s(pids, at_most_s):
    start_s = time.monotonic()
    while any(map(lives, pids)):
        assert time.monotonic() - start_s < at_most_s, [pid for pid in pids if lives(pid)]
        time.sleep(0.02)


class TestCompute:
    def test_rows_are_those_of_this_process_bit_for_bit(self, fake):
        codes = fake.SPACE.listed
        with pool_of(fake.job().task, 2) as pool:
            for part in (codes[:20], codes[20:]):
                pool.submit(Chunk(0, part, (0, 1)))
            assert not pool.has_room()
            done = sorted(all_of(pool, 2), key=lambda one: one.chunk.codes.tolist())
            assert pool.has_room()
        keys = [key for one in done for key in one.rows.keys]
        assert keys == list(fake.evaluated().keys)
        values = np.concatenate([one.rows.values for one in done])
        assert values.tobytes() == fake.evaluated().values.tobytes()
        assert all(one.cpu_s >= 0 for one in done)

    def test_all_processes_are_used_one_chunk_at_a_time(self, odd, fake):
        with pool_of(odd.task(odd.Teller), 3) as pool:
            assert pool.n_workers == 3
            for _ in range(3):
                assert pool.has_room()
                pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            pids = {json.loads(one.rows.error[0])["pid"] for one in all_of(pool, 3)}
            assert pids == set(pool.pids())
        assert os.getpid() not in pids

    def test_a_process_has_one_thread_whatever_this_one_has(self, odd, fake, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "16")
        monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
        with pool_of(odd.task(odd.Teller)) as pool:
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            told = json.loads(all_of(pool, 1)[0].rows.error[0])
        assert {name: told[name] for name in THREADS} == dict.fromkeys(THREADS, "1")
        assert os.environ["OMP_NUM_THREADS"] == "16"
        assert "NUMBA_NUM_THREADS" not in os.environ

    def test_the_environment_comes_back_after_an_error_too(self, monkeypatch):
        monkeypatch.setenv("MKL_NUM_THREADS", "3")
        seen = []

        def fail():
            seen.extend(os.environ[name] for name in THREADS)
            raise KeyError

        with pytest.raises(KeyError), one_thread_each():
            fail()
        assert seen == ["1"] * 4
        assert os.environ["MKL_NUM_THREADS"] == "3"

    def test_a_study_that_cannot_be_made_there_says_why(self, odd, fake):
        with pool_of(odd.task(odd.refused)) as pool:
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (1,)))
            with pytest.raises(SpecError, match=r"chip\.yaml:3: no evaluator of \(1,\)"):
                all_of(pool, 1)

    def test_nothing_to_wait_for_is_nothing_after_the_time(self, fake):
        with pool_of(fake.job().task) as pool:
            start_s = time.monotonic()
            assert pool.wait(0.0) == []
            assert time.monotonic() - start_s < 0.5


class TestDeath:
    def test_a_process_killed_at_work_gives_its_chunk_back_and_another_takes_its_place(self, odd, fake, tmp_path, monkeypatch):
        monkeypatch.setenv("BEGUN", str(tmp_path))
        with pool_of(odd.task(odd.Sleeper)) as pool:
            chunk = Chunk(0, fake.SPACE.listed[:2], (0,))
            pool.submit(chunk)
            (pid,) = pool.pids()
            while not (tmp_path / str(pid)).exists():
                assert pool.wait(0.02) == []
            os.kill(pid, signal.SIGKILL)
            (done,) = all_of(pool, 1)
            assert (done.chunk, done.rows) == (chunk, None)
            assert pool.has_room()
            assert len(pool.pids()) == 1
            assert pool.pids() != [pid]

    def test_one_killed_with_nothing_to_do_is_replaced_and_costs_nothing(self, fake):
        with pool_of(fake.job().task) as pool:
            (first,) = pool.pids()
            os.kill(first, signal.SIGKILL)
            while pool.pids() == [first]:
                assert pool.wait(0.1) == []
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            assert all_of(pool, 1)[0].rows is not None

    def test_a_chunk_sent_to_the_dead_comes_back(self, fake):
        with pool_of(fake.job().task) as pool:
            os.kill(pool.pids()[0], signal.SIGKILL)
            gone_after_s(pool.pids(), 5)
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            assert all_of(pool, 1)[0].rows is None

    def test_a_result_sent_before_death_is_taken(self, fake):
        with pool_of(fake.job().task) as pool:
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            one = pool._processes[0]
            while not one.is_ready:
                assert pool.wait(1.0) == []
            assert one.pipe.poll(60)
            os.kill(one.process.pid, signal.SIGKILL)
            one.process.join()
            (done,) = all_of(pool, 1)
            assert done.rows is not None

    def test_processes_that_cannot_even_start_are_told_with_what_ended_them(self, odd):
        text = r"worker processes die before they compute anything \(exit code 7\); go on with --resume"
        with pool_of(odd.task(odd.Stillborn())) as pool, pytest.raises(EngineError, match=text):
            all_of(pool, 1)

    def test_processes_that_die_of_everything_are_told_once_halving_could_not_help(self, odd, fake, monkeypatch):
        monkeypatch.setattr(pool_module, "_MAX_KILLED", 3)
        with pool_of(odd.task(odd.Deadly)) as pool:
            for _ in range(3):
                pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
                assert all_of(pool, 1)[0].rows is None
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            with pytest.raises(EngineError, match=r"die of whatever they compute \(signal SIGKILL\)"):
                all_of(pool, 1)

    def test_the_limit_leaves_room_to_halve_a_hundred_thousand_points(self):
        n_halvings = int(np.ceil(np.log2(100_000)))
        assert 2 * (1 + n_halvings) <= pool_module._MAX_KILLED

    @pytest.mark.parametrize(("code", "text"), [(-9, "signal SIGKILL"), (-11, "signal SIGSEGV"), (3, "exit code 3"), (None, "exit code 0")])
    def test_what_ended_a_process(self, code, text):
        assert pool_module._cause(SimpleNamespace(exitcode=code)) == text


class TestEnd:
    def test_ctrl_c_ends_the_parent_only(self, fake):
        with pool_of(fake.job().task) as pool:
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            all_of(pool, 1)
            pids = pool.pids()
            os.kill(pids[0], signal.SIGINT)
            pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
            assert all_of(pool, 1)[0].rows is not None
            assert pool.pids() == pids

    def test_closed_nothing_runs_though_it_computes(self, odd, fake):
        pool = Pool(odd.task(odd.Sleeper), 2)
        pool.submit(Chunk(0, fake.SPACE.listed[:1], (0,)))
        pids = pool.pids()
        pool.close()
        assert not any(map(lives, pids))
        assert pool.pids() == []
        pool.close()

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    def test_no_process_outlives_a_parent_that_is_killed(self, odd, tmp_path, how):
        environment = {**os.environ, "BEGUN": str(tmp_path), "PYTHONPATH": HERE}
        with subprocess.Popen([sys.executable, odd.__file__], stdout=subprocess.PIPE, text=True, env=environment) as parent:
            pids = json.loads(parent.stdout.readline())
            try:
                end_s = time.monotonic() + 60
                while {one.name for one in tmp_path.iterdir()} != set(map(str, pids)):
                    assert time.monotonic() < end_s
                    time.sleep(0.02)
                assert all(map(lives, pids))
            finally:
                parent.send_signal(how)
            gone_after_s(pids, 5)
