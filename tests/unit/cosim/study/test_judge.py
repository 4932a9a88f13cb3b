"""Single points of a search: what is known is not run again, what is run is kept, and how rows become one outcome."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.failures import EngineError
from cosim.study.judge import ALL_COLUMNS, PointRunner, StudyJudge, padded
from cosim.study.optimise import Search, Stop
from cosim.study.rows import FAILED, OK, Rows
from cosim.study.scores import wanted_of
from cosim.study.store import Store
from cosim.study.study_file import load_study

TEXT = """
name: judged
chip: edge_cim_soc
workloads: [{name: lenet5}, {name: mlp_mnist, weight: 2}]
axes:
  weight_bits: [4, 8, 99]
  devices.cim.n_macros: [2, 1640]
objectives: [energy]
bounds: [latency <= 1 s]
fidelity: bound
"""
JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
ENERGY, LATENCY, ACCURACY = (ALL_COLUMNS.index(name) for name in ("energy_j", "latency_s", "accuracy_pct"))


@pytest.fixture
def study_of(tmp_path):
    def read(text=TEXT):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return read


@pytest.fixture
def study(study_of):
    return study_of()


def judged(study, codes, store=None, fidelity="bound"):
    """Outcomes of points, all submitted before the first is waited for; (n_run, n_known)."""
    with StudyJudge(study, wanted_of(study), store) as judge:
        pending = [judge.submit(row, fidelity) for row in codes]
        return [one.result() for one in pending], (judge.n_run, judge.n_known)


def plain(outcomes):
    return [(one.objectives.tolist(), one.limited.tolist(), one.error, one.keys) for one in outcomes]


class Scripted:
    """A runner whose values are told: energy and latency of (replicate, workload), then accuracies of the workloads."""

    def __init__(self, replicates, accuracy=None, errors=()):
        self.replicates, self.accuracy, self.errors, self.missing = replicates, accuracy, set(errors), []

    def keys(self, row, fidelity):
        groups = [[f"{fidelity}{row.tolist()}r{r}w{w}" for w in range(2)] for r in range(len(self.replicates))]
        return groups if self.accuracy is None else [*groups, ["acc0", "acc1"]]

    def run(self, row, fidelity, missing):
        self.missing.append(list(missing))
        groups = self.keys(row, fidelity)
        return [self._rows(groups[r], r) if wanted else None for r, wanted in enumerate(missing)]

    def _rows(self, keys, r):
        values = np.full((2, len(ALL_COLUMNS)), np.nan)
        if r < len(self.replicates):
            values[:, ENERGY], values[:, LATENCY] = self.replicates[r], 0.5
        else:
            values[:, ACCURACY] = self.accuracy
        failed = np.array([FAILED if (r, w) in self.errors else OK for w in range(2)], dtype=np.int8)
        values[failed == FAILED] = np.nan
        errors = [f"replicate {r}, workload {w}" if f == FAILED else "" for w, f in enumerate(failed)]
        return Rows(keys, failed, errors, values, np.arange(2), ["{}", "{}"])


def scripted(study, values, *, store=None, **more):
    """A judge of so many replicates as there are values."""
    judge = StudyJudge(replace(study, replicates=len(values)), wanted_of(study), store)
    judge.runner = Scripted(values, **more)
    return judge


FIRST = np.zeros(2, dtype=np.int64)


class TestOutcome:
    def test_is_what_the_evaluator_says_of_the_point_with_workloads_combined(self, study):
        (found,), counts = judged(study, study.space.listed[:1])
        values = Evaluator(study, "bound").evaluate(study.space.listed[:1]).values
        energy, latency = (values[:, COLUMNS.index(name)] for name in ("energy_j", "latency_s"))
        assert found.objectives == pytest.approx([(energy[0] * energy[1] ** 2) ** (1 / 3)])
        assert found.limited == pytest.approx([(latency[0] * latency[1] ** 2) ** (1 / 3)])
        assert (found.error, counts) == ("", (1, 0))
        assert found.keys == tuple(Evaluator(study, "bound").keys(study.space.listed[:1]))

    def test_a_point_that_fails_has_no_value_and_says_why(self, study):
        bad = study.space.encode([{"weight_bits": 99, "devices.cim.n_macros": 2}])
        (found,), _ = judged(study, bad)
        assert np.isnan(found.objectives).all()
        assert np.isnan(found.limited).all()
        assert "weight bits: 99 is out of range" in found.error

    def test_each_fidelity_has_rows_of_its_own(self, study):
        (low,), _ = judged(study, study.space.listed[:1], fidelity="bound")
        (high,), _ = judged(study, study.space.listed[:1], fidelity="event")
        assert not set(low.keys) & set(high.keys)
        assert low.limited < high.limited

    def test_what_raises_inside_is_a_failed_point_and_not_the_end_of_the_search(self, study, monkeypatch):
        monkeypatch.setattr(Evaluator, "evaluate", lambda *_: 1 / 0)
        (found,), _ = judged(study, study.space.listed[:1])
        assert found.error == "ZeroDivisionError: division by zero"
        assert np.isnan(found.objectives).all()


class TestReplicates:
    def test_their_mean_is_the_value(self, study_of):
        study = replace(study_of(), combine="sum")
        found = scripted(study, [(1.0, 2.0), (3.0, 6.0)]).submit(FIRST, "bound").result()
        assert found.objectives == pytest.approx([1.0 * 2.0 + 2.0 * 4.0])  # weights 1 and 2, means 2 and 4
        assert len(found.keys) == 4

    def test_are_combined_after_their_mean_and_not_before(self, study_of):
        found = scripted(study_of(), [(1.0, 4.0), (4.0, 1.0)]).submit(FIRST, "bound").result()
        assert found.objectives == pytest.approx([2.5])  # not the mean of 16^(1/3) and 4^(1/3), which is 2.05

    def test_one_that_fails_fails_the_point(self, study):
        found = scripted(study, [(1.0, 2.0), (3.0, 6.0)], errors=[(1, 0)]).submit(FIRST, "bound").result()
        assert np.isnan(found.objectives[0])
        assert found.error == "replicate 1, workload 0"

    def test_run_with_seeds_of_their_own(self, study):
        runner = PointRunner(replace(study, replicates=3, seed=5), accuracy=False)
        assert [runner.evaluator("bound", r).study.seed for r in range(3)] == [5, 6, 7]
        assert runner.evaluator("bound", 1) is runner.evaluator("bound", 1)
        groups = runner.keys(FIRST, "bound")
        assert len(groups) == 3
        assert len({key for group in groups for key in group}) == 6

    def test_another_seed_may_use_their_rows(self, study):
        """Replicate 1 of seed 0 is replicate 0 of seed 1."""
        one, other = (PointRunner(replace(study, replicates=2, seed=seed), accuracy=False).keys(FIRST, "bound") for seed in (0, 1))
        assert one[1] == other[0]

    def test_only_missing_ones_are_run(self, study, tmp_path):
        with Store(tmp_path / "s.db", ALL_COLUMNS, write=True) as store:
            scripted(study, [(1.0, 2.0)], store=store).submit(FIRST, "bound").result()
            judge = scripted(study, [(8.0, 8.0), (3.0, 6.0)], store=store)
            found = judge.submit(FIRST, "bound").result()
        assert judge.runner.missing == [[False, True]]
        assert found.objectives == pytest.approx([(2.0 * 4.0**2) ** (1 / 3)])  # the stored 1 and 2, not 8


class TestAccuracy:
    @pytest.fixture
    def accurate(self, study_of):
        text = TEXT.replace("objectives: [energy]", "objectives: [energy, accuracy]\naccuracy: {data: digits8x8}")
        return study_of(text)

    def test_stands_beside_the_simulated_values_and_is_not_averaged_with_replicates(self, accurate):
        judge = scripted(accurate, [(1.0, 2.0), (3.0, 6.0)], accuracy=(90.0, 96.0))
        found = judge.submit(FIRST, "bound").result()
        assert found.objectives == pytest.approx([(2.0 * 4.0**2) ** (1 / 3), 94.0])  # a percentage is averaged: (90 + 2 * 96) / 3
        values = judge.values(found.keys)
        assert values[:, ENERGY].tolist() == [2.0, 4.0]
        assert values[:, ACCURACY].tolist() == [90.0, 96.0]

    def test_that_fails_fails_the_point_and_leaves_its_energy(self, accurate):
        found = scripted(accurate, [(1.0, 1.0)], accuracy=(90.0, 96.0), errors=[(1, 1)]).submit(FIRST, "bound").result()
        assert found.error == "replicate 1, workload 1"
        assert found.objectives[0] == pytest.approx(1.0)
        assert np.isnan(found.objectives[1])

    def test_is_measured_once_for_all_points_that_share_it(self, accurate):
        judge = scripted(accurate, [(1.0, 2.0)], accuracy=(90.0, 96.0))
        for row in ([0, 0], [1, 0]):
            judge.submit(np.array(row), "bound").result()
        assert judge.runner.missing == [[True, True], [True, False]]
        assert (judge.n_run, judge.n_known) == (2, 0)

    def test_is_kept_under_a_fidelity_of_its_own(self, accurate, tmp_path):
        with Store(tmp_path / "s.db", ALL_COLUMNS, write=True) as store:
            scripted(accurate, [(1.0, 2.0)], accuracy=(90.0, 96.0), store=store).submit(FIRST, "bound").result()
            assert sorted(row.fidelity for row in store.read()) == ["accuracy"] * 2 + ["bound"] * 2

    @pytest.mark.skipif(JIT_OFF, reason="exact products of arrays take half a minute without the compiler")
    def test_is_measured_for_real(self, study_of):
        text = (
            TEXT.replace("{name: lenet5}, {name: mlp_mnist, weight: 2}", "{name: mlp_digits}")
            .replace("objectives: [energy]", "objectives: [accuracy]\naccuracy: {data: digits8x8, inputs: 30}")
            .replace("[4, 8, 99]", "[8]")
        )
        study = study_of(text)
        with StudyJudge(study, wanted_of(study)) as judge:
            found = judge.submit(FIRST, "bound").result()
            assert 50.0 < found.objectives[0] <= 100.0
            assert not np.isnan(judge.values(found.keys)[0, [ENERGY, ACCURACY]]).any()


class TestKnown:
    def test_a_second_time_nothing_is_run_and_all_is_the_same(self, study, tmp_path):
        codes = study.space.listed
        with Store(tmp_path / "s.db", ALL_COLUMNS, write=True) as store:
            first, counts = judged(study, codes, store)
            assert counts == (len(codes), 0)
            again, counts = judged(study, codes, store)
        assert counts == (0, len(codes))  # failed ones, too
        np.testing.assert_equal(plain(again), plain(first))

    def test_within_a_search_a_point_is_run_once(self, study):
        with StudyJudge(study, wanted_of(study)) as judge:
            one = judge.submit(FIRST, "bound").result()
            other = judge.submit(FIRST, "bound").result()
            assert (judge.n_run, judge.n_known) == (1, 1)
        assert plain([one]) == plain([other])

    def test_rows_of_a_store_are_taken_as_they_are(self, study, tmp_path):
        keys = Evaluator(study, "bound").keys(FIRST[None])
        values = np.full((2, len(ALL_COLUMNS)), np.nan)
        values[:, ENERGY], values[:, LATENCY] = 7.0, 0.25
        with Store(tmp_path / "s.db", ALL_COLUMNS, write=True) as store:
            judge = StudyJudge(study, wanted_of(study), store)
            store.write(
                Rows(keys, np.zeros(2, dtype=np.int8), ["", ""], values, np.arange(2), ["{}"] * 2), judge._origin("bound", 0), ["a", "b"]
            )
            (found,), counts = judged(study, FIRST[None], store)
        assert (found.objectives.tolist(), found.limited.tolist(), counts) == (pytest.approx([7.0]), pytest.approx([0.25]), (0, 1))

    def test_what_is_run_is_kept_with_where_it_comes_from(self, study, tmp_path):
        two = replace(study, replicates=2, seed=3)
        with Store(tmp_path / "s.db", ALL_COLUMNS, write=True) as store:
            judged(two, FIRST[None], store)
            rows = list(store.read())
            assert {origin.study for origin, _ in store.origins()} == {"judged"}
        assert sorted((row.workload, row.seed, row.fidelity) for row in rows) == [
            (name, seed, "bound") for name in ("lenet5", "mlp_mnist") for seed in (3, 4)
        ]
        assert all(row.design == {"weight_bits": 4, "devices.cim.n_macros": 2} for row in rows)

    def test_from_another_store(self, study, tmp_path):
        with Store(tmp_path / "other.db", ALL_COLUMNS, write=True) as other:
            (known,), _ = judged(study, FIRST[None], other)
            judge = StudyJudge(study, wanted_of(study))
            assert plain([judge.from_store(other, FIRST, "bound")]) == plain([known])
            assert judge.from_store(other, FIRST, "event") is None
            assert judge.from_store(other, FIRST + 1, "bound") is None
            assert (judge.n_run, judge.n_known) == (0, 0)
            judge.submit(FIRST, "bound")
            assert (judge.n_run, judge.n_known) == (0, 1)

    def test_padded_rows_have_empty_accuracies(self, study):
        rows = Evaluator(study, "bound").evaluate(FIRST[None])
        found = padded(rows)
        assert found.values.shape == (2, len(ALL_COLUMNS))
        assert np.array_equal(found.values[:, : len(COLUMNS)], rows.values, equal_nan=True)
        assert np.isnan(found.values[:, len(COLUMNS) :]).all()


class TestWorkers:
    def test_two_find_what_one_finds_and_keep_it(self, study, tmp_path):
        """A search that ends with the last of six points: what is asked, found, counted and stored."""
        wanted = wanted_of(study)
        search = Search(study.space, wanted, {"bound": 1.0}, "random", batch=3)
        found = []
        for workers in (1, 2):
            with Store(tmp_path / f"{workers}.db", ALL_COLUMNS, write=True) as store, StudyJudge(study, wanted, store, workers) as judge:
                trials = list(search.trials(judge, Stop(evaluations=50)))
                rows = [replace(row, cost=0.0) for row in store.read()]
                found.append(([one.row.tolist() for one in trials], plain(one.outcome for one in trials), judge.n_run, judge.n_known, rows))
                if workers == 2:
                    ignores = judge._pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN  # the parent decides
                    threads = judge._pool.submit(os.getenv, "NUMBA_NUM_THREADS").result()
        np.testing.assert_equal(found[1], found[0])
        assert (found[0][2], len({tuple(row) for row in found[0][0]})) == (6, 6)
        assert len(found[0][4]) == 2 * 6
        assert (ignores, threads) == (True, "1")

    def test_one_whose_code_is_another_is_told(self, study, tmp_path):
        """Keys hold the version of all models, which a process that starts later may find changed."""
        with Store(tmp_path / "s.db", ALL_COLUMNS, write=True) as store:
            judge = scripted(study, [(1.0, 2.0)], store=store)
            run = judge.runner.run
            judge.runner.run = lambda row, fidelity, missing: [replace(rows, keys=["a", "b"]) for rows in run(row, fidelity, missing)]
            with pytest.raises(EngineError, match="the models' files have changed since the search began; start it again"):
                judge.submit(FIRST, "bound").result()
            assert store.n_rows() == 0

    def test_one_that_dies_is_told_and_not_a_traceback(self, study):
        judge = StudyJudge(study, wanted_of(study), None, 2)
        with judge:
            pool = judge._pool
            judge._pool = SimpleNamespace(submit=lambda *_: pool.submit(os._exit, 1), shutdown=pool.shutdown)
            with pytest.raises(EngineError, match="a worker process died; what was evaluated is kept"):
                judge.submit(FIRST, "bound").result()
