"""Chunks: how points are cut follows the time they take, and no point is lost or computed twice, however they are cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study.chunks import CHUNK_S, Chunk, Cutter, Done, Group, Inline, Worker

CODES = np.arange(300, dtype=np.int64)[:, np.newaxis]


def groups(*sizes, part=0):
    """Groups of so many points, each point its own number."""
    starts = np.cumsum([0, *sizes])
    return [Group(part, np.arange(a, b, dtype=np.int64)[:, np.newaxis], (0, 1)) for a, b in pairwise(starts)]


def sizes_of(cutter, cpu_s):
    """Sizes of all chunks, where each takes so long as `cpu_s` says of its size."""
    found = []
    while cutter:
        found.append(len(cutter.next().codes))
        cutter.timed(found[-1], cpu_s(found[-1]))
    return found


class TestHalves:
    def test_both_halves_are_the_whole_and_start_afresh(self):
        first, second = Chunk(3, CODES[:7], (1,), n_deaths=2).halves()
        assert first.codes.ravel().tolist() == [0, 1, 2]
        assert second.codes.ravel().tolist() == [3, 4, 5, 6]
        assert [(half.part, half.workloads, half.n_deaths) for half in (first, second)] == [(3, (1,), 0)] * 2

    def test_halving_again_and_again_comes_down_to_each_point(self):
        chunks = [Chunk(0, CODES[:100], (0,))]
        rounds = 0
        while any(len(chunk.codes) > 1 for chunk in chunks):
            chunks = [half for chunk in chunks for half in (chunk.halves() if len(chunk.codes) > 1 else (chunk,))]
            rounds += 1
        assert [int(chunk.codes[0, 0]) for chunk in chunks] == list(range(100))
        assert rounds == 7  # 2^6 < 100 <= 2^7


class TestWorker:
    def test_it_makes_an_evaluator_once_for_each_part_and_set_of_workloads(self, fake):
        made = []

        def make(part):
            return lambda workloads: made.append((part, workloads)) or fake.Fake(workloads)

        worker = Worker(fake.Task((make(0), make(1)), fake.SPACE, fake.COLUMNS))
        for part, workloads in [(0, (0, 1)), (0, (0, 1)), (1, (0, 1)), (0, (1,)), (0, (1,)), (1, (0, 1))]:
            worker.compute(part, fake.SPACE.listed[:2], workloads)
        assert made == [(0, (0, 1)), (1, (0, 1)), (0, (1,))]

    def test_rows_carry_the_studys_own_number_of_a_workload(self, fake):
        rows, _ = Worker(fake.job().task).compute(0, fake.SPACE.listed[:2], (1,))
        assert rows.workload.tolist() == [1, 1]
        assert list(rows.keys) == fake.Fake((1,)).keys(fake.SPACE.listed[:2])

    def test_seconds_are_those_of_points_and_not_of_making_an_evaluator(self, fake):
        def slow_to_make(workloads):
            sum(i * i for i in range(2_000_000))
            return fake.Fake(workloads)

        worker = Worker(fake.Task((slow_to_make,), fake.SPACE, fake.COLUMNS))
        assert worker.compute(0, fake.SPACE.listed[:1], (0,))[1] < 0.02


class TestInline:
    def test_it_computes_what_it_was_given_one_at_a_time(self, fake):
        engine = Inline(fake.job().task)
        assert (engine.n_workers, engine.has_room(), engine.wait(0)) == (1, True, [])
        engine.submit(Chunk(0, fake.SPACE.listed[:3], (0, 1)))
        assert not engine.has_room()
        (done,) = engine.wait(0)
        assert list(done.rows.keys) == list(fake.evaluated(3).keys)
        np.testing.assert_array_equal(done.rows.values, fake.evaluated(3).values)
        assert done.cpu_s >= 0
        assert engine.has_room()

    def test_closed_it_forgets_what_waits(self, fake):
        engine = Inline(fake.job().task)
        engine.submit(Chunk(0, fake.SPACE.listed, (0, 1)))
        engine.close()
        assert engine.wait(0) == []

    def test_a_result_without_rows_took_no_time(self):
        assert Done(Chunk(0, CODES, (0,)), None).cpu_s == 0.0


class TestSizes:
    def test_the_first_is_small_then_it_grows_up_to_a_second_and_a_half(self):
        found = sizes_of(Cutter(groups(200_000), 1, CHUNK_S), lambda n: n * 1e-3)
        assert found[:3] == [32, 256, 1500]
        assert set(found[3:60]) == {1500}

    @pytest.mark.parametrize(("chunk_s", "each_s", "size"), [(1.5, 0.01, 150), (0.5, 0.01, 50), (1.5, 0.1, 15), (1.5, 0.4, 3)])
    def test_the_size_is_the_time_aimed_at_over_that_of_a_point(self, chunk_s, each_s, size):
        assert sizes_of(Cutter(groups(20_000), 2, chunk_s), lambda n: n * each_s)[2] == size

    def test_a_point_that_takes_longer_is_a_chunk_of_its_own(self):
        assert sizes_of(Cutter(groups(40), 2, 1.5), lambda n: 60.0 * n) == [32, *[1] * 8]

    def test_it_grows_at_most_eightfold_however_fast_points_are(self):
        found = sizes_of(Cutter(groups(10**6), 1, 1.5), lambda n: 0.0)
        assert found[:4] == [32, 256, 2048, 16384]

    def test_it_follows_points_that_become_slower(self):
        cutter = Cutter(groups(10**6), 1, 1.5)
        cutter.timed(10_000, 1.5)
        assert len(cutter.next().codes) == 10_000
        cutter.timed(10_000, 60.0)
        assert len(cutter.next().codes) == 250

    def test_at_the_end_chunks_become_small_so_that_all_workers_end_together(self):
        cutter = Cutter(groups(1000), 4, 1.5)
        cutter.timed(10**6, 0.1)
        cutter.timed(10**6, 0.1)
        found = sizes_of(cutter, lambda n: 0.0)
        assert found[0] == 125  # 1000 points, 4 workers, two each
        assert all(a >= b for a, b in pairwise(found))
        assert found[-1] <= 32

    def test_a_new_part_is_timed_anew_and_a_further_group_of_the_same_part_is_not(self):
        same = Cutter([*groups(40), *groups(5000)], 1, 1.5)
        other = Cutter([*groups(40), *groups(5000, part=1)], 1, 1.5)
        for cutter in (same, other):
            cutter.timed(32, 1e-3)
            cutter.next()
            cutter.next()
        assert len(same.next().codes) == 256
        assert len(other.next().codes) == 32


class TestCutting:
    @given(
        st.lists(st.integers(1, 400), min_size=1, max_size=6),
        st.integers(1, 8),
        st.lists(st.floats(0, 100), min_size=1, max_size=20),
        st.integers(0, 2**32 - 1),
    )
    def test_every_point_is_handed_out_once_whatever_points_take(self, sizes, n_workers, seconds, seed):
        rng = np.random.default_rng(seed)
        cutter = Cutter(groups(*sizes), n_workers, 1.5)
        found = []
        while cutter:
            chunk = cutter.next()
            assert len(chunk.codes)
            if rng.random() < 0.2:
                cutter.again(*chunk.halves())
            else:
                found += chunk.codes.ravel().tolist()
            cutter.timed(len(chunk.codes), rng.choice(seconds))
        assert sorted(found) == list(range(sum(sizes)))

    def test_points_come_in_their_order(self):
        cutter = Cutter(groups(70, 50), 2, 1.5)
        found = []
        while cutter:
            found += cutter.next().codes.ravel().tolist()
        assert found == list(range(120))

    def test_a_chunk_is_of_one_group(self):
        parts = [Group(0, CODES[:5], (0, 1)), Group(0, CODES[5:9], (1,)), Group(2, CODES[9:10], (0,))]
        cutter = Cutter(parts, 1, 1.5)
        found = [cutter.next() for _ in parts]
        assert [(chunk.part, chunk.workloads, len(chunk.codes), chunk.n_deaths) for chunk in found] == [
            (0, (0, 1), 5, 0),
            (0, (1,), 4, 0),
            (2, (0,), 1, 0),
        ]
        assert not cutter

    def test_what_comes_back_goes_first_and_nothing_is_no_chunk(self):
        cutter = Cutter(groups(100), 1, 1.5)
        first = cutter.next()
        again = Chunk(0, first.codes[:1], (0, 1), 1)
        cutter.again(again, Chunk(0, first.codes[:0], (0, 1)), first)
        assert cutter.next() is again
        assert cutter.next() is first
        assert cutter.next().codes[0, 0] == 32

    def test_without_points_there_is_nothing(self):
        cutter = Cutter([], 2, 1.5)
        assert not cutter
        cutter.again(Chunk(0, CODES[:0], (0,)))
        assert not cutter
        cutter.again(Chunk(0, CODES[:1], (0,)))
        assert cutter
