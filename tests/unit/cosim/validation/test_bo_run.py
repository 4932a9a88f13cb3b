"""One run of a benchmark: labels, checkpoints, budgets by cost, incumbents, CPU time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosim.study.hypervolume import hypervolume
from cosim.validation import bo_run
from cosim.validation.bo_ising import REFERENCE
from cosim.validation.bo_problems import initial_points, make_bench, relabeling
from cosim.validation.bo_run import Job, drive
from cosim.validation.bo_table import N_START, Run, read_runs

RUN = Run("contamination25", 1e-4, 1149, 0, 7000, 60)


@pytest.fixture(scope="module")
def rows():
    return drive(Job(RUN, "sa"))


class TestCheckpoints:
    def test_are_those_up_to_the_budget_and_the_budget(self, rows):
        assert [(row["at"], row["n"], row["cost"]) for row in rows] == [(20, 20, 20.0), (50, 50, 50.0), (60, 60, 60.0)]

    def test_the_first_is_the_best_of_the_initial_points(self, rows):
        bench = RUN.bench()
        assert rows[0]["best"] == min(bench.evaluate(x, 0)[0] for x in initial_points(bench.n_levels, 0, N_START))
        assert rows[0]["cpu_s"] is None

    def test_x_is_in_the_problems_own_levels_and_worth_what_is_written(self, rows):
        for row in rows:
            assert RUN.bench().evaluate(np.array([int(level) for level in row["x"]]), 0) == (row["best"],)

    def test_a_longer_run_begins_alike(self, rows):
        longer = drive(Job(replace(RUN, budget=70), "sa"))
        for one, other in zip(rows[:2], longer, strict=False):
            assert {**one, "cpu_s": 0} == {**other, "cpu_s": 0}


def test_labels_change_what_the_sampler_sees_and_not_the_starts(monkeypatch):
    told = recorded(monkeypatch)
    for seed in (1, 2):
        drive(Job(replace(RUN, relabel_seed=seed, budget=21), "random"))
    one, other = told[:N_START], told[21 : 21 + N_START]
    assert [values for _, values in one] == [values for _, values in other]
    assert all(a != b for (a, _), (b, _) in zip(one, other, strict=True))
    assert told[20][0] == told[41][0]  # random asks for the same labels,
    assert told[20][1] != told[41][1]  # which mean another x


def test_what_a_told_label_means_is_what_the_permutation_says(monkeypatch):
    told = recorded(monkeypatch)
    drive(Job(replace(RUN, budget=21), "random"))
    bench = RUN.bench()
    meaning = relabeling(bench.n_levels, RUN.relabel_seed)
    starts = initial_points(bench.n_levels, RUN.run_seed, N_START)
    for (point, values), x in zip(told, starts, strict=False):
        assert [levels[int(point[f"x{i}"])] for i, levels in enumerate(meaning)] == x.tolist()
        assert tuple(values) == bench.evaluate(x, 0)


def recorded(monkeypatch):
    """All (point, values) that samplers are told from now on."""
    told, made = [], bo_run.make_sampler

    def make(*args, **more):
        sampler = made(*args, **more)
        tell = sampler.tell
        sampler.tell = lambda point, values, fidelity=None: told.append((point, values)) or tell(point, values, fidelity)
        return sampler

    monkeypatch.setattr(bo_run, "make_sampler", make)
    return told


def test_cpu_time_is_that_of_the_sampler_without_the_objective(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(bo_run, "cpu_s", lambda: float(next(clock)))
    rows = drive(Job(replace(RUN, budget=25), "random"))
    assert rows[-1]["cpu_s"] == 2.0  # a tick between the readings around ask, one between those around tell


def test_pest_is_named_before_it_is_resampled():
    (run,) = {run.instance_seed: run for run in read_runs() if run.problem == "pest25" and run.instance_seed == 0}.values()
    row = drive(Job(replace(run, budget=21), "random"))[0]
    x = np.array([int(level) for level in row["x"]])
    assert row["best"] == row["resampled"] == make_bench("pest25", 0.0, 0).resampled(x)


def test_two_objectives_come_to_a_share_of_the_exact_hypervolume():
    run = Run("ising_biobj", 0.0, 5, 0, 3, 30)
    row = drive(Job(run, "random"))[-1]
    bench = run.bench()
    front = np.array([bench.evaluate(np.array([int(level) for level in x]), 0) for x in row["x"]])
    reference = np.array(REFERENCE)
    assert row["best"] == pytest.approx(hypervolume(front, reference) / hypervolume(bench.front(), reference))
    assert 0.2 < row["best"] < 1.0


class Scripted:
    """Asks for cheap points, then for dear ones."""

    def __init__(self, fidelities, n_cheap):
        self.fidelities, self.left, self.told = fidelities, n_cheap, []

    def ask(self, n):
        self.left -= 1
        named = {"fidelity": self.fidelities[0 if self.left >= 0 else -1]} if self.fidelities else {}
        return [{f"x{i}": "0" for i in range(25)} | named]

    def tell(self, point, values, fidelity=None):
        self.told.append((point, values, fidelity))

    def best(self):
        return {f"x{i}": "0" for i in range(25)}


def test_several_fidelities_are_counted_by_cost_and_never_beyond_a_checkpoint(monkeypatch):
    made = []

    def make(name, space, objectives, seed, fidelities):
        made.append((Scripted(list(fidelities), 7), fidelities))
        return made[0][0]

    monkeypatch.setattr(bo_run, "make_sampler", make)
    rows = drive(Job(Run("mf_contamination", 1e-4, 1149, 0, 1, 22), multi=True))
    sampler, fidelities = made[0]
    assert fidelities == {"f0": 0.05, "f1": 0.2, "f2": 1.0}
    assert [fidelity for _, _, fidelity in sampler.told] == ["f2"] * N_START + ["f0"] * 7 + ["f2"]
    assert [(row["at"], row["n"], row["cost"]) for row in rows] == [(20, 20, 20.0), (22, 28, pytest.approx(21.35))]
    assert all("fidelity" not in point for point, _, _ in sampler.told)


def test_a_sampler_that_never_asks_a_lower_fidelity_runs_like_one_of_a_single_fidelity():
    run = Run("mf_contamination", 1e-4, 1149, 0, 7000, 30)
    multi, single = (drive(Job(run, "random", multi)) for multi in (True, False))
    assert [{**row, "cpu_s": 0} for row in multi] == [{**row, "cpu_s": 0} for row in single]


def test_several_fidelities_are_told_their_own_values(monkeypatch):
    sampler = Scripted(["f0", "f1"], 3)
    monkeypatch.setattr(bo_run, "make_sampler", lambda *_, **__: sampler)
    run = Run("mf_ising", 0.0, 0, 0, 1, 21)
    drive(Job(run, multi=True))
    x = np.array([levels[0] for levels in relabeling(run.bench().n_levels, 1)])
    assert [values[0] for _, values, _ in sampler.told[N_START:]] == [run.bench().evaluate(x, 0)[0]] * 3


def test_all_goes_through_the_public_way_to_a_sampler(monkeypatch):
    asked = []
    monkeypatch.setattr(bo_run, "make_sampler", lambda *args, **more: asked.append((args, more)) or Scripted([], 9))
    drive(Job(replace(RUN, budget=22)))
    ((name, space, objectives), more) = asked[0]
    assert (name, objectives, more) == ("gp", ["f"], {"seed": 0, "fidelities": None})
    assert list(space) == [f"x{i}" for i in range(25)]
    assert space["x0"] == {"levels": ["0", "1"], "kind": "categorical"}


def test_another_sampler_may_be_driven_from_the_same_starts():
    def make(name, space, objectives, *, seed, fidelities):
        assert (name, objectives, seed, fidelities) == ("mine", ["f"], 0, None)
        return Scripted([], 9)

    (first, last) = drive(Job(replace(RUN, budget=22), "mine"), make)
    x = [int(levels[0]) for levels in relabeling(RUN.bench().n_levels, RUN.relabel_seed)]
    assert [first["x"], last["x"]] == ["".join(map(str, x))] * 2
    assert last["best"] == RUN.bench().evaluate(np.array(x), 0)[0]
