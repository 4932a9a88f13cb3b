"""A sweep: each missing row is computed once and kept, by any engine, in any order, whatever stops it and whatever dies meanwhile."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study.chunks import Done, Inline, Worker
from cosim.study.export import Export
from cosim.study.failures import EngineError, StoreFullError
from cosim.study.pool import Pool
from cosim.study.progress import Count
from cosim.study.rows import FAILED, OK
from cosim.study.store import Store
from cosim.study.sweep import Job, Options, Part, Shard, read_shard, sweep
from workloads.errors import StoreError


class Kept:
    """A sink in memory; with `late`, rows are safe once they are flushed."""

    def __init__(self, *, late=False):
        self.late, self.rows, self.calls = late, {}, []
        self._waiting = 0

    def statuses(self, keys):
        return {key: self.rows[key][0] for key in keys if key in self.rows}

    def write(self, rows, origin, workloads, cost=1.0, cpu_s=0.0):
        self.calls.append((list(rows.keys), origin, cost, cpu_s))
        for i, key in enumerate(rows.keys):
            self.rows[key] = (int(rows.status[i]), rows.error[i], workloads[rows.workload[i]], rows.values[i].tobytes(), rows.designs[i])
        if not self.late:
            return len(rows.keys)
        self._waiting += len(rows.keys)
        return 0

    def flush(self):
        n, self._waiting = self._waiting, 0
        return n


class Scripted:
    """An engine in this process that answers in any order, and whose processes die of some points."""

    def __init__(self, task, *, n_workers=2, seed=0, dies=lambda chunk: False, raises=None):
        self.n_workers, self.worker, self.dies, self.raises = n_workers, Worker(task), dies, raises
        self.rng, self.waiting, self.seen, self.closed = np.random.default_rng(seed), [], [], 0

    def has_room(self):
        return len(self.waiting) < self.n_workers

    def submit(self, chunk):
        assert self.has_room()
        self.waiting.append(chunk)
        self.seen.append(chunk)

    def wait(self, timeout_s):
        if self.raises is not None and len(self.seen) > 2:
            raise self.raises
        done = []
        for _ in range(self.rng.integers(0, len(self.waiting) + 1)):
            chunk = self.waiting.pop(self.rng.integers(len(self.waiting)))
            found = (None,) if self.dies(chunk) else self.worker.compute(chunk.part, chunk.codes, chunk.workloads)
            done.append(Done(chunk, *found))
        return done

    def close(self):
        self.closed += 1


class Told:
    """Progress that keeps what it is told."""

    def __init__(self, react=lambda count: None):
        self.lines, self.closed, self.react = [], 0, react

    def committed(self, count, n_rows):
        self.lines.append((count.acknowledged, n_rows, count.failed, count.stored))
        self.react(count)

    def close(self):
        self.closed += 1


def inline(job, sink, progress=None, **options):
    return sweep(job, sink, lambda: Inline(job.task), Options(**options), progress)


def never():
    pytest.fail("no engine is needed")


def swept(job, engine):
    """Return the exported table of a sweep."""
    sink = Kept()
    sweep(job, sink, lambda: engine, Options(chunk_s=0.0))
    return sink.rows


def has_point(chunk, *point):
    return any(tuple(row) == point for row in chunk.codes.tolist())


class TestRows:
    def test_every_point_and_workload_has_its_row(self, fake):
        sink, rows = Kept(), fake.evaluated()
        count = inline(fake.job(), sink)
        assert list(sink.rows) == list(rows.keys)
        for i, key in enumerate(rows.keys):
            status, error, workload, values, design = sink.rows[key]
            assert (status, error, workload) == (rows.status[i], rows.error[i], fake.NETS[rows.workload[i]])
            assert (values, design) == (rows.values[i].tobytes(), rows.designs[i])
        assert (count.total, count.stored, count.acknowledged, count.failed) == (96, 96, 96, 24)

    def test_points_that_fail_are_kept_with_their_error_and_the_others_go_on(self, fake):
        sink = Kept()
        inline(fake.job(), sink)
        failed = [row for row in sink.rows.values() if row[0] == FAILED]
        assert len(failed) == 3 * 4 * 2  # 5 bits: one level of four
        assert {row[1] for row in failed} == {"op 'conv': cannot be mapped, 5 bits"}
        assert all(np.isnan(np.frombuffer(row[3])).all() for row in failed)
        assert sum(row[0] == OK for row in sink.rows.values()) == 72

    def test_a_point_that_raises_fails_alone(self, fake):
        sink = Kept()
        inline(fake.job(deadly="raises"), sink)
        keys = fake.Fake((0, 1)).keys(np.array([[1, 2, 1]]))
        assert [sink.rows[key][:2] for key in keys] == [(FAILED, "ZeroDivisionError: by zero")] * 2
        assert '"rows": 64' in sink.rows[keys[0]][4]
        good = Kept()
        inline(fake.job(), good)
        assert {key: row for key, row in sink.rows.items() if key not in keys} == {k: row for k, row in good.rows.items() if k not in keys}

    def test_a_point_named_twice_is_computed_once(self, fake):
        codes = fake.SPACE.listed[[3, 5, 3, 3, 5, 6]]
        sink = Kept()
        count = inline(fake.job(codes), sink)
        assert count.total == len(sink.rows) == 6
        assert sorted(key for call in sink.calls for key in call[0]) == sorted(set(fake.Fake((0, 1)).keys(codes)))

    def test_rows_know_what_made_them_and_what_they_cost(self, fake):
        sink = Kept()
        one, two = fake.origin(fidelity="bound"), fake.origin(seed=4)
        plain, salted = fake.job(), fake.job(salt="s")
        makes = (*plain.task.makes, *salted.task.makes)
        parts = (Part(fake.SPACE.listed, one, 0.25), Part(fake.SPACE.listed[:5], two, 7.0))
        inline(Job(fake.Task(makes, fake.SPACE, fake.COLUMNS), parts, fake.NETS), sink)
        assert {(origin, cost) for _, origin, cost, _ in sink.calls} == {(one, 0.25), (two, 7.0)}
        assert sum(len(keys) for keys, origin, _, _ in sink.calls if origin == two) == 10
        assert all(cpu_s >= 0 for *_, cpu_s in sink.calls)

    def test_cpu_seconds_are_those_of_a_row(self, fake):
        class Timed(Inline):
            def _done(self, chunk):
                return Done(chunk, super()._done(chunk).rows, 12.0)

        sink, job = Kept(), fake.job(fake.SPACE.listed[:3])
        sweep(job, sink, lambda: Timed(job.task), Options())
        assert sink.calls[0][3] == 2.0  # of six rows


class TestAnyEngine:
    @given(st.integers(1, 5), st.integers(0, 10**6))
    def test_the_order_in_which_chunks_come_back_changes_no_row(self, n_workers, seed):
        import fake_study as fake

        job = fake.job(fake.SPACE.listed[::-1])
        expected = Kept()
        inline(job, expected)
        assert swept(job, Scripted(job.task, n_workers=n_workers, seed=seed)) == expected.rows

    @pytest.fixture(autouse=True)
    def _importable(self, fake):
        """Let the property import the fake study."""

    @pytest.mark.parametrize("n_workers", [1, 2, 8])
    def test_one_two_or_eight_processes_give_one_table_bit_for_bit(self, fake, tmp_path, n_workers):
        job = fake.job()
        tables = []
        for name, start in (("here", partial(Inline, job.task)), ("pool", partial(Pool, job.task, n_workers))):
            with Store(tmp_path / f"{name}.db", fake.COLUMNS, write=True) as store:
                count = sweep(job, store, start, Options(chunk_s=1e-4))
                assert count.acknowledged == 96
                tables.append("".join(Export(store.read(), fake.COLUMNS).csv()))
        assert tables[0] == tables[1]
        assert len(tables[0].splitlines()) == 97

    def test_rows_are_exported_by_key_whatever_came_first(self, fake, tmp_path):
        job = fake.job()
        with Store(tmp_path / "s.db", fake.COLUMNS, write=True) as store:
            sweep(job, store, lambda: Scripted(job.task, seed=5), Options(chunk_s=0.0))
            keys = [line.split(",")[0] for line in Export(store.read(), fake.COLUMNS).csv()][1:]
        assert keys == sorted(keys) == sorted(job.distinct())


class TestResume:
    def test_rows_that_are_there_are_refused_without_a_word_to_go_on(self, fake):
        sink = Kept()
        inline(fake.job(), sink, limit=10)
        before = dict(sink.rows)
        with pytest.raises(StoreError, match=r"20 of 96 rows of study 'fake' are there already: add --resume to compute the other 76, or"):
            sweep(fake.job(), sink, never, Options())
        assert sink.rows == before

    def test_a_whole_study_is_refused_too_and_resumed_it_is_done(self, fake):
        sink = Kept()
        inline(fake.job(), sink)
        with pytest.raises(StoreError, match=r"96 of 96 rows .* there is nothing left to compute, or name another --store"):
            sweep(fake.job(), sink, never, Options())
        count = sweep(fake.job(), sink, never, Options(resume=True))
        assert (count.total, count.stored, count.acknowledged) == (96, 96, 0)

    def test_rows_of_other_studies_are_not_in_the_way(self, fake):
        sink = Kept()
        inline(fake.job(salt="other"), sink)
        assert inline(fake.job(), sink).acknowledged == 96
        assert len(sink.rows) == 192

    @pytest.mark.parametrize("limit", [1, 7, 47])
    def test_going_on_computes_what_is_missing_and_nothing_else(self, fake, limit):
        sink, whole = Kept(), Kept()
        first = inline(fake.job(), sink, limit=limit)
        assert (first.acknowledged, first.stored, first.total) == (2 * limit, 2 * limit, 96)
        there = set(sink.rows)
        assert there == set(fake.evaluated(limit).keys)
        sink.calls.clear()
        second = inline(fake.job(), sink, resume=True)
        assert (second.acknowledged, second.stored) == (96 - 2 * limit, 96)
        assert {key for call in sink.calls for key in call[0]}.isdisjoint(there)
        inline(fake.job(), whole)
        assert sink.rows == whole.rows

    def test_a_limit_is_of_points_computed_now(self, fake):
        sink = Kept()
        found = [inline(fake.job(), sink, resume=True, limit=20).stored for _ in range(4)]
        assert found == [40, 80, 96, 96]

    def test_a_workload_more_costs_its_own_rows_only(self, fake):
        sink = Kept()
        inline(fake.job(nets=fake.NETS[:1]), sink)
        assert len(sink.rows) == 48
        sink.calls.clear()
        engine = Scripted(fake.job().task)
        count = sweep(fake.job(), sink, lambda: engine, Options(resume=True))
        assert count.acknowledged == 48
        assert {chunk.workloads for chunk in engine.seen} == {(1,)}
        whole = Kept()
        inline(fake.job(), whole)
        assert sink.rows == whole.rows

    def test_an_edited_study_uses_the_rows_that_it_shares(self, fake):
        sink = Kept()
        inline(fake.job(fake.SPACE.listed[:30]), sink)
        count = inline(fake.job(fake.SPACE.listed[20:40]), sink, resume=True)
        assert (count.total, count.acknowledged) == (40, 20)
        assert len(sink.rows) == 80

    def test_another_model_version_computes_all_again_and_keeps_the_old(self, fake, tmp_path):
        with Store(tmp_path / "s.db", fake.COLUMNS, write=True) as store:
            inline(fake.job(salt="m0", model_version="m0"), store)
            assert inline(fake.job(), store).acknowledged == 96
            assert {origin.model_version: n for origin, n in store.origins()} == {"m0": 96, "m1": 96}


class TestRetry:
    @pytest.fixture
    def healing(self, fake):
        """A job whose failing points fail only while `ill`."""

        class Healing(fake.Fake):
            ill, n_points = True, 0

            def evaluate(self, codes):
                Healing.n_points += len(codes)
                rows = super().evaluate(codes)
                if not Healing.ill:
                    rows.status[:] = OK
                    rows.values[:] = 1.0
                    rows.error[:] = [""] * len(rows.error)
                return rows

        return Healing, Job(fake.Task((Healing,), fake.SPACE, fake.COLUMNS), fake.job().parts, fake.NETS)

    def test_resumed_alone_failures_stay(self, healing):
        kind, job = healing
        sink = Kept()
        inline(job, sink)
        kind.ill = False
        assert sweep(job, sink, never, Options(resume=True)).acknowledged == 0
        assert sum(row[0] == FAILED for row in sink.rows.values()) == 24

    def test_retried_the_failures_and_only_they_are_computed_again(self, healing):
        kind, job = healing
        sink = Kept()
        inline(job, sink)
        good = {key: row for key, row in sink.rows.items() if row[0] == OK}
        kind.ill, kind.n_points = False, 0
        count = inline(job, sink, retry_failed=True)
        assert kind.n_points == 12
        assert (count.stored, count.acknowledged, count.failed) == (96, 24, 0)
        assert all(row[0] == OK for row in sink.rows.values())
        assert {key: sink.rows[key] for key in good} == good

    def test_a_retry_also_computes_what_is_missing(self, healing):
        kind, job = healing
        sink = Kept()
        inline(job, sink, limit=8)
        kind.ill = False
        assert inline(job, sink, retry_failed=True).stored == 96
        assert all(row[0] == OK for row in sink.rows.values())

    def test_what_fails_again_stays_failed(self, healing):
        _, job = healing
        sink = Kept()
        inline(job, sink)
        assert inline(job, sink, retry_failed=True).failed == 24
        assert sum(row[0] == FAILED for row in sink.rows.values()) == 24


class TestShards:
    @pytest.mark.parametrize("n", [1, 2, 3, 7])
    def test_every_row_is_of_one_shard(self, fake, n):
        job = fake.job()
        parts = [set(job.distinct(Shard(i, n))) for i in range(1, n + 1)]
        assert sum(map(len, parts)) == 96
        assert set().union(*parts) == set(job.distinct())
        for i, keys in enumerate(parts):
            assert {int(key, 16) % n for key in keys} <= {i}

    def test_shards_together_are_the_sweep_row_by_row(self, fake):
        whole, together = Kept(), {}
        inline(fake.job(), whole)
        for i in (1, 2, 3):
            sink = Kept(late=True)
            count = inline(fake.job(), sink, shard=Shard(i, 3))
            assert count.total == count.acknowledged == len(sink.rows)
            assert together.keys().isdisjoint(sink.rows)
            together |= sink.rows
        assert together == whole.rows

    def test_a_point_with_one_row_in_the_shard_is_computed_for_that_workload_only(self, fake):
        engine = Scripted(fake.job().task)
        sweep(fake.job(), Kept(), lambda: engine, Options(shard=Shard(1, 2)))
        assert {chunk.workloads for chunk in engine.seen} == {(0, 1), (0,), (1,)}

    @pytest.mark.parametrize("text", ["1/8", "8/8", "1/1", "03/10"])
    def test_it_is_read(self, text):
        i, n = map(int, text.split("/"))
        assert read_shard(text) == Shard(i, n)

    @pytest.mark.parametrize("text", ["0/8", "9/8", "1", "/", "1/", "/8", "a/b", "1/0", "-1/8", "1.5/8", "1/8/2", "", "¹/8"])
    def test_what_it_cannot_be_is_told(self, text):
        with pytest.raises(StoreError, match=r"write i/n with i from 1 to n, such as 1/8"):
            read_shard(text)


class TestDeaths:
    def test_a_chunk_whose_process_is_killed_is_computed_again(self, fake, tmp_path):
        sink, good = Kept(), Kept()
        job = fake.job(deadly=str(tmp_path / "died"))
        count = sweep(job, sink, partial(Pool, job.task, 2), Options())
        assert (tmp_path / "died").exists()
        inline(fake.job(), good)
        assert sink.rows == good.rows
        assert (count.acknowledged, count.failed) == (96, 24)

    @pytest.mark.parametrize("n_workers", [1, 2])
    def test_a_point_that_always_kills_has_failed_and_the_others_have_not(self, fake, n_workers):
        codes = fake.SPACE.listed[::-1][:6]  # the deadly one first: with one process nothing is computed before it is found
        sink, good = Kept(), Kept()
        job = fake.job(codes, deadly="always")
        sweep(job, sink, partial(Pool, job.task, n_workers), Options())
        inline(fake.job(codes), good)
        keys = fake.Fake((0, 1)).keys(np.array([[2, 3, 3]]))
        for key in keys:
            status, error, _, values, design = sink.rows.pop(key)
            assert (status, error) == (FAILED, "the process that computed it was killed, again and again (out of memory?)")
            assert np.isnan(np.frombuffer(values)).all()
            assert design == good.rows.pop(key)[4]
        assert sink.rows == good.rows

    @pytest.mark.parametrize("deadly", [{(0, 0, 0)}, {(2, 3, 3)}, {(1, 2, 1), (1, 2, 2)}, {(0, 0, 0), (1, 0, 3), (2, 3, 3)}])
    def test_halving_finds_every_point_that_kills(self, fake, deadly):
        job, sink, good = fake.job(), Kept(), Kept()
        engine = Scripted(job.task, dies=lambda chunk: any(has_point(chunk, *point) for point in deadly))
        sweep(job, sink, lambda: engine, Options())
        inline(job, good)
        killed = {key for key, row in sink.rows.items() if "killed" in row[1]}
        assert killed == {key for point in deadly for key in fake.Fake((0, 1)).keys(np.array([point]))}
        assert {k: row for k, row in sink.rows.items() if k not in killed} == {k: row for k, row in good.rows.items() if k not in killed}

    def test_a_chunk_dies_twice_before_it_is_halved_and_a_point_twice_before_it_has_failed(self, fake):
        job = fake.job(fake.SPACE.listed[:4])
        engine = Scripted(job.task, n_workers=1, dies=lambda chunk: has_point(chunk, 0, 0, 0))
        sweep(job, Kept(), lambda: engine, Options())
        deaths = [len(chunk.codes) for chunk in engine.seen if has_point(chunk, 0, 0, 0)]
        assert deaths == [4, 4, 2, 2, 1, 1]
        assert sum(len(chunk.codes) for chunk in engine.seen if not has_point(chunk, 0, 0, 0)) == 3

    def test_one_death_changes_nothing(self, fake):
        job, died = fake.job(), []

        def once(chunk):
            is_first = not died
            died.append(chunk)
            return is_first

        engine = Scripted(job.task, dies=once)
        good = Kept()
        inline(job, good)
        assert swept(job, engine) == good.rows


class TestAcknowledged:
    def test_what_is_told_is_in_the_store_already(self, fake, tmp_path):
        path, seen = tmp_path / "s.db", []

        def look(count):
            with Store(path, fake.COLUMNS) as reader:
                seen.append((count.acknowledged, reader.n_rows()))

        progress = Told(look)
        with Store(path, fake.COLUMNS, write=True) as store:
            sweep(fake.job(), store, lambda: Scripted(fake.job().task, n_workers=1), Options(chunk_s=0.0), progress)
        assert len(seen) == 17  # 32 points, then one by one
        assert all(told == there for told, there in seen)
        assert progress.closed == 1

    def test_lines_add_up(self, fake):
        progress = Told()
        job = fake.job()
        sweep(job, Kept(), lambda: Scripted(job.task), Options(chunk_s=0.0), progress)
        totals = np.cumsum([n for _, n, _, _ in progress.lines]).tolist()
        assert [line[0] for line in progress.lines] == totals
        assert totals[-1] == 96
        assert progress.lines[-1][2] == 24
        assert [line[3] for line in progress.lines] == totals

    def test_going_on_it_counts_its_own_rows_and_tells_all(self, fake):
        sink, progress = Kept(), Told()
        inline(fake.job(), sink, limit=40)
        inline(fake.job(), sink, progress, resume=True)
        assert progress.lines == [(16, 16, 0, 96)]  # (2, 2, *) and (2, 3, *)

    def test_rows_that_wait_are_told_when_they_are_safe(self, fake):
        progress = Told()
        count = inline(fake.job(), Kept(late=True), progress)
        assert progress.lines == [(96, 96, 24, 96)]
        assert count.failed == 24


class TestStopped:
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), EngineError("the scheduler is gone"), RuntimeError("x")])
    @pytest.mark.parametrize("late", [False, True])
    def test_whatever_stops_it_what_was_computed_is_kept_counted_and_gone_on_from(self, fake, error, late):
        job, sink, progress = fake.job(), Kept(late=late), Told()
        engine = Scripted(job.task, n_workers=1, raises=error)
        with pytest.raises(type(error)):
            sweep(job, sink, lambda: engine, Options(chunk_s=0.0), progress)
        assert (engine.closed, progress.closed) == (1, 1)
        assert sum(line[1] for line in progress.lines) == len(sink.rows) < 96
        assert sink._waiting == 0
        whole = Kept()
        inline(job, whole)
        inline(job, sink, resume=True)
        assert sink.rows == whole.rows

    def test_ctrl_c_between_two_chunks_keeps_the_first(self, fake, tmp_path):
        def stop(count):
            raise KeyboardInterrupt

        with Store(tmp_path / "s.db", fake.COLUMNS, write=True) as store:
            with pytest.raises(KeyboardInterrupt):
                inline(fake.job(), store, Told(stop))
            assert store.n_rows() == 64  # 32 points of two workloads
            assert inline(fake.job(), store, resume=True).acknowledged == 32

    def test_a_full_disk_ends_it_without_another_attempt_to_write(self, fake):
        class Full(Kept):
            def write(self, *args, **more):
                if self.calls:
                    raise StoreFullError("no room")
                return super().write(*args, **more)

            def flush(self):
                pytest.fail("it is full")

        job, sink, progress = fake.job(), Full(), Told()
        engine = Scripted(job.task)
        with pytest.raises(StoreFullError, match="no room"):
            sweep(job, sink, lambda: engine, Options(chunk_s=0.0), progress)
        assert (engine.closed, progress.closed) == (1, 1)
        assert progress.lines[-1][0] == len(sink.rows)

    def test_an_engine_that_cannot_start_leaves_the_sink_alone(self, fake):
        def start():
            raise EngineError("nobody answers")

        sink = Kept()
        with pytest.raises(EngineError):
            sweep(fake.job(), sink, start, Options())
        assert sink.rows == {}

    def test_it_closes_its_engine_at_the_end(self, fake):
        engine = Scripted(fake.job().task)
        sweep(fake.job(), Kept(), lambda: engine, Options())
        assert engine.closed == 1


class TestCount:
    def test_the_rest_takes_what_rows_took_until_now(self):
        count = Count(100, 20)
        assert count.remaining_s is None
        count.start_s -= 30
        count.add(10, 1)
        assert (count.stored, count.acknowledged, count.failed) == (30, 10, 1)
        assert math.isclose(count.remaining_s, 70 * 30 / 10, rel_tol=1e-2)
