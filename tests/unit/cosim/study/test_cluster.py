"""Chunks on Dask: what an engine makes of what a cluster says, what a batch system is told, and a sweep on a cluster of its own."""

import asyncio
import logging
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from functools import partial
from importlib import import_module
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from cosim.study import cluster as module
from cosim.study.chunks import Chunk, Inline, Worker
from cosim.study.cluster import DaskEngine, dask, farm, job_options, job_script
from cosim.study.export import Export
from cosim.study.failures import EngineError
from cosim.study.store import Store
from cosim.study.sweep import Options, sweep
from workloads.errors import SimulationError, SpecError


class KilledWorker(Exception):  # noqa: N818
    """Stands for that of Dask."""


class Promise:
    """What a client returns of a call: it computes at once, or ends as it is told."""

    def __init__(self, status, call=None, error=None):
        self.status, self._call, self._error = status, call, error
        self._tell = None

    def add_done_callback(self, tell):
        self._tell = tell
        if self.status != "pending":
            tell(self)

    def end(self, status):
        self.status = status
        self._tell(self)

    def result(self, timeout):
        assert timeout < 15
        return self._call()

    def exception(self):
        return self._error


class Client:
    """A client that runs calls here; `script` says how the next ones end."""

    def __init__(self, where, *, timeout, set_as_default):
        self.where, self.status, self.script, self.n_calls = where, "running", [], 0
        self.threads, self.cancelled, self.closed = {"a": 1, "b": 2}, [], 0

    def submit(self, function, *args, pure):
        assert not pure
        self.n_calls += 1
        return self.script.pop(0) if self.script else Promise("finished", lambda: function(*args))

    def nthreads(self):
        return self.threads

    def cancel(self, futures):
        self.cancelled += futures

    def close(self, timeout):
        self.closed += 1


@pytest.fixture
def cluster(monkeypatch):
    """Dask without processes; returns the clusters that were started."""
    started = []

    class Local:
        def __init__(self, **options):
            self.options, self.closed = options, 0
            started.append(self)

        def close(self, timeout):
            self.closed += 1

    monkeypatch.setattr(module, "dask", lambda: SimpleNamespace(LocalCluster=Local, Client=Client, KilledWorker=KilledWorker))
    return started


@pytest.fixture
def engine(cluster, fake):
    return DaskEngine(fake.job().task, "tcp://h:1", 8)


def chunk_of(fake, n=2):
    return Chunk(0, fake.SPACE.listed[:n], (0, 1))


class TestEngine:
    def test_chunks_come_back_with_the_rows_of_a_worker(self, engine, fake):
        chunk = chunk_of(fake)
        engine.submit(chunk)
        (done,) = engine.wait(1)
        assert done.chunk is chunk
        assert list(done.rows.keys) == list(fake.evaluated(2).keys)
        np.testing.assert_array_equal(done.rows.values, fake.evaluated(2).values)
        assert engine.wait(0.01) == []

    def test_all_that_is_there_comes_at_once(self, engine, fake):
        for n in (1, 2, 3):
            engine.submit(chunk_of(fake, n))
        assert [len(done.chunk.codes) for done in engine.wait(1)] == [1, 2, 3]

    def test_each_worker_has_one_chunk_ahead(self, engine, fake):
        assert engine.n_workers == 3
        engine._client.script = [Promise("pending") for _ in range(6)]
        for _ in range(6):
            assert engine.has_room()
            engine.submit(chunk_of(fake))
        assert not engine.has_room()

    def test_workers_are_counted_again_as_they_come_and_go(self, engine, monkeypatch):
        engine._client.threads = dict.fromkeys("abcdefg", 1)
        engine.wait(0.0)
        assert engine.n_workers == 3  # it has just asked
        engine._counted_s -= module._LOOK_S
        engine.wait(0.0)
        assert engine.n_workers == 7
        engine._client.threads = {}
        engine._counted_s -= module._LOOK_S
        engine.wait(0.0)
        assert engine.n_workers == 1  # chunks wait for the first to come
        monkeypatch.setattr(engine._client, "nthreads", lambda: (_ for _ in ()).throw(OSError("gone")))
        engine._counted_s -= module._LOOK_S
        assert engine.wait(0.0) == []

    def test_a_chunk_that_killed_workers_again_and_again_has_no_rows(self, engine, fake):
        engine._client.script = [Promise("error", error=KilledWorker("task", "worker"))]
        chunk = chunk_of(fake)
        engine.submit(chunk)
        (done,) = engine.wait(1)
        assert (done.chunk, done.rows) == (chunk, None)

    def test_a_study_that_cannot_be_made_there_is_told(self, engine, fake):
        engine._client.script = [Promise("error", error=SpecError("chip.yaml:3: no"))]
        engine.submit(chunk_of(fake))
        with pytest.raises(SpecError, match=r"chip\.yaml:3: no"):
            engine.wait(1)

    def test_any_other_error_of_a_worker_is_one_message(self, engine, fake):
        engine._client.script = [Promise("error", error=ModuleNotFoundError("No module named 'cosim'"))]
        engine.submit(chunk_of(fake))
        with pytest.raises(EngineError, match=r"a Dask worker cannot compute \(ModuleNotFoundError: No module named 'cosim'\); it needs"):
            engine.wait(1)

    @pytest.mark.parametrize("status", ["lost", "cancelled"])
    def test_what_a_scheduler_has_forgotten_is_sent_again(self, engine, fake, status):
        engine._client.script = [Promise(status)]
        engine.submit(chunk_of(fake))
        assert engine.wait(1) == []
        assert engine.wait(1)[0].rows is not None
        assert engine._client.n_calls == 2

    @pytest.mark.parametrize("error", [OSError("reset by peer"), TimeoutError(), CancelledError(), asyncio.CancelledError()])
    def test_a_result_that_cannot_be_fetched_is_computed_again(self, engine, fake, error):
        def fail():
            raise error

        engine._client.script = [Promise("finished", fail)]
        chunk = chunk_of(fake)
        engine.submit(chunk)
        assert engine.wait(1) == []
        (done,) = engine.wait(1)
        assert done.chunk is chunk
        assert done.rows is not None

    def test_without_a_scheduler_chunks_are_kept_and_sent_once_it_is_back(self, engine, fake):
        pending = Promise("pending")
        engine._client.script = [pending]
        engine.submit(chunk_of(fake, 1))
        engine._client.status = "connecting"
        pending.end("cancelled")
        engine.submit(chunk_of(fake, 2))
        for _ in range(2):
            assert engine.wait(0.01) == []
        assert engine._client.n_calls == 1
        for n in (3, 4, 5, 6):
            assert engine.has_room()
            engine.submit(chunk_of(fake, n))
        assert not engine.has_room()  # two ahead for each of three workers, sent or not
        engine._client.status = "running"
        found = engine.wait(1)
        assert sorted(len(done.chunk.codes) for done in found) == [1, 2, 3, 4, 5, 6]
        assert engine.has_room()

    def test_dask_itself_says_nothing(self):
        logger = logging.getLogger(import_module("distributed.client").__name__)
        before = logger.level
        try:
            logger.setLevel(logging.INFO)
            module._silence()
            assert not logger.isEnabledFor(logging.ERROR)
        finally:
            logger.setLevel(before)

    def test_a_result_that_nobody_waits_for_is_left(self, engine):
        engine._arrived.put(Promise("finished", lambda: pytest.fail("not ours")))
        assert engine.wait(1) == []

    def test_a_scheduler_that_is_silent_for_long_is_gone(self, engine, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        engine._client.status = "connecting"
        assert engine.wait(0.0) == []
        now[0] += module.LOST_S - 1
        assert engine.wait(0.0) == []
        engine._client.status = "running"  # it was the network
        assert engine.wait(0.0) == []
        engine._client.status = "connecting"
        assert engine.wait(0.0) == []
        now[0] += module.LOST_S
        with pytest.raises(EngineError, match=r"scheduler tcp://h:1 is gone; start one and go on with --resume: all rows acknowledged are"):
            engine.wait(0.0)

    def test_one_that_has_said_goodbye_is_gone_at_once(self, engine):
        engine._client.status = "closed"
        with pytest.raises(EngineError, match="is gone"):
            engine.wait(0.0)

    def test_it_is_told_of_well_within_half_a_minute(self):
        assert module.LOST_S <= 15

    def test_closed_it_takes_back_what_is_out_and_leaves_the_cluster_alone(self, engine, cluster, fake):
        pending = Promise("pending")
        engine._client.script = [pending]
        engine.submit(chunk_of(fake))
        engine.close()
        assert (engine._client.cancelled, engine._client.closed, cluster) == ([pending], 1, [])

    def test_without_an_address_it_starts_a_cluster_and_ends_it(self, cluster, fake):
        engine = DaskEngine(fake.job().task, None, 5)
        (local,) = cluster
        assert (local.options["n_workers"], local.options["threads_per_worker"]) == (5, 1)
        assert local.options["preload"] == [module._DEAF]
        assert engine._client.where is local
        engine._client.status = "closed"
        with pytest.raises(EngineError, match="the Dask scheduler of this sweep is gone"):
            engine.wait(0)
        engine.close()
        assert local.closed == 1

    def test_trouble_while_closing_is_no_trouble(self, engine):
        engine._client.close = engine._client.cancel = lambda *_, **__: (_ for _ in ()).throw(OSError("gone"))
        engine.close()

    def test_a_worker_keeps_its_evaluators_between_chunks(self, fake):
        import pickle

        task = pickle.dumps(fake.job().task)
        assert isinstance(module._worker(task), Worker)
        assert module._worker(task) is module._worker(task)

    def test_a_sweep_on_it_is_the_sweep(self, cluster, fake, tmp_path):
        tables = []
        for name, start in (("dask", partial(DaskEngine, fake.job().task, None, 2)), ("here", partial(Inline, fake.job().task))):
            with Store(tmp_path / f"{name}.db", fake.COLUMNS, write=True) as store:
                sweep(fake.job(), store, start, Options(chunk_s=0.0))
                tables.append(list(Export(store.read(), fake.COLUMNS).csv()))
        assert tables[0] == tables[1]


class TestWithoutACluster:
    @pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:9"])
    def test_nobody_there(self, fake, monkeypatch, address):
        monkeypatch.setattr(module, "_CONNECT_S", 0.3)
        with pytest.raises(EngineError, match=rf"--scheduler {address}: nobody answers there .*start one with: dask scheduler"):
            DaskEngine(fake.job().task, address, 2)

    def test_dask_is_an_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(SimulationError, match=r'--engine dask needs Dask: pip install "cosim\[study\]"'):
            dask()

    def test_so_is_dask_jobqueue(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
        with pytest.raises(SimulationError, match=r'dask-jobqueue: pip install "cosim\[study\]"'):
            job_script("slurm", "tcp://h:1")


class TestJobs:
    ASKED = MappingProxyType(
        {"scheduler": "tcp://10.1.2.3:8786", "queue": "batch", "memory": "8GB", "walltime": "12:30", "lines": ("module load gcc",)}
    )
    THREADS = ("export OMP_NUM_THREADS=1", "export OPENBLAS_NUM_THREADS=1", "export MKL_NUM_THREADS=1", "export NUMBA_NUM_THREADS=1")

    def test_a_slurm_job_asks_for_one_core_its_memory_and_its_time(self):
        lines = job_script("slurm", **self.ASKED).splitlines()
        assert lines[0].startswith("#!")
        for line in ("#SBATCH -p batch", "#SBATCH -n 1", "#SBATCH --cpus-per-task=1", "#SBATCH --mem=8G", "#SBATCH -t 12:30:00"):
            assert line in lines
        self.check_body(lines, "745m")

    def test_an_lsf_job_asks_for_the_same_in_its_own_words(self):
        lines = job_script("lsf", **self.ASKED).splitlines()
        for line in ("#BSUB -q batch", "#BSUB -n 1", "#BSUB -W 12:30"):
            assert line in lines
        assert any(line.startswith("#BSUB -M 8") for line in lines)
        self.check_body(lines, "745m")

    def check_body(self, lines, life):
        """Threads and the user's lines come before the worker, which talks to the scheduler and ends before its job does."""
        body = [line for line in lines if line and not line.startswith("#")]
        assert body[:5] == [*self.THREADS, "module load gcc"]
        worker = body[-1]
        assert sys.executable in worker
        assert "distributed.cli.dask_worker tcp://10.1.2.3:8786" in worker
        for words in ("--nthreads 1", f"--lifetime {life}", "--lifetime-stagger 4m"):
            assert words in worker

    def test_without_a_queue_none_is_named(self):
        text = job_script("slurm", "tcp://h:1")
        assert "#SBATCH -p" not in text
        assert "#SBATCH -t 04:00:00" in text
        assert "--lifetime 235m" in text

    @pytest.mark.parametrize(("walltime", "life"), [("00:10", []), ("00:11", ["--lifetime", "6m", "--lifetime-stagger", "4m"])])
    def test_a_short_job_has_no_time_to_end_before_its_end(self, walltime, life):
        assert job_options("slurm", queue=None, memory="1GB", walltime=walltime, lines=())["worker_extra_args"] == life

    @pytest.mark.parametrize("walltime", ["4", "4:5", "4h", "", "04:00:00", "-1:00", "aa:bb"])
    def test_a_time_that_cannot_be_read(self, walltime):
        with pytest.raises(SimulationError, match="cannot be read; write HH:MM, such as 04:00"):
            job_options("lsf", queue=None, memory="1GB", walltime=walltime, lines=())

    def test_a_system_that_is_not_known(self):
        with pytest.raises(SimulationError, match="batch system 'slrum' is not known; did you mean 'slurm'"):
            job_script("slrum", "tcp://h:1")

    def test_a_farm_is_a_cluster_of_so_many_jobs(self, monkeypatch):
        class Jobs:
            def __init__(self, **options):
                self.options, self.jobs = options, None

            def scale(self, *, jobs):
                self.jobs = jobs

        monkeypatch.setattr(module, "_systems", lambda name: SimpleNamespace(cluster=Jobs, job=None))
        made = farm("lsf", n_jobs=40, queue="q", memory="2GB", walltime="01:00", lines=["x"], interface="ib0")
        assert made.jobs == 40
        assert made.options == {**job_options("lsf", queue="q", memory="2GB", walltime="01:00", lines=["x"]), "interface": "ib0"}
        assert made.options["use_stdin"]
        assert (made.options["cores"], made.options["processes"]) == (1, 1)


def test_workers_on_this_machine_do_not_hear_ctrl_c():
    code = f"import os, signal\nexec({module._DEAF!r})\nos.kill(os.getpid(), signal.SIGINT)\nprint('alive')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "alive\n"


def test_workers_on_this_machine_give_the_rows_of_this_process(fake, tmp_path):
    job = fake.job()
    with Store(tmp_path / "s.db", fake.COLUMNS, write=True) as store:
        start_s = time.monotonic()
        count = sweep(job, store, lambda: DaskEngine(job.task, None, 1), Options(chunk_s=0.01))
        assert time.monotonic() - start_s < 60
        assert (count.acknowledged, count.failed) == (96, 24)
        found = list(Export(store.read(), fake.COLUMNS).csv())
    with Store(tmp_path / "here.db", fake.COLUMNS, write=True) as store:
        sweep(job, store, lambda: Inline(job.task), Options())
        assert found == list(Export(store.read(), fake.COLUMNS).csv())
