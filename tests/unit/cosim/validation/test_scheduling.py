"""The comparison of policies with known makespans, on folders small enough to work out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cosim.scheduling import base
from cosim.scheduling.base import Policy, policy, policy_classes
from cosim.scheduling.generate import random_instances
from cosim.scheduling.instance import plan_from_times
from cosim.scheduling.single import append_in_order
from cosim.scheduling.train import _FIRST_SEED
from cosim.scheduling.train_judge import PANEL_SEED
from cosim.validation import scheduling
from cosim.validation.registry import validate
from cosim.validation.scheduling import CLASSIC, LIMITS, PARTS, RUNS, validate_scheduling
from cosim.validation.scheduling_paired import Run, compare, ratio_intervals
from workloads.errors import CosimError, ScheduleError

# Two ops without edge: 2 s or 3 s, 2 s or 9 s. The best is 3 s: the first on the second device, the second on the first.
INSTANCE = {
    "format": "sched-instance-1",
    "tasks": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
    "devices": [{"id": 0, "name": "p"}, {"id": 1, "name": "q"}],
    "cost": [[2, 3], [2, 9]],
    "edges": [],
    "bandwidth": [[0, 1], [1, 0]],
    "latency": [[0, 0], [0, 0]],
}
KNOWN = {"best_known_makespan": 3.0, "cpsat": {"lower_bound": 3.0}, "reference_classic": {"heft": 3.0, "met": 4.0, "sufferage": 3.0}}
# Each runs alone on its device.
PLAYED = {"instance": "two", "mode": "none", "assignment": [1, 0], "priority": [2, 1], "start": [0, 0], "end": [3, 2], "makespan": 3}
FAST = ("classic", "policies", "contention")
HEFT = {"heft": Run("heft")}


def folder(tmp_path, expected=None, contention=None, instance=INSTANCE):
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "two.json").write_text(json.dumps(instance))
    if expected is not None:
        (tmp_path / "expected.json").write_text(expected if isinstance(expected, str) else json.dumps(expected))
    if contention is not None:
        (tmp_path / "contention.json").write_text(json.dumps(contention))
    return tmp_path


@pytest.fixture
def register(monkeypatch):
    """Return a function that registers a policy of a test, which is forgotten afterwards."""
    policy_classes()

    def put(name, plan):
        monkeypatch.setitem(base._POLICIES, name, None)
        del base._POLICIES[name]
        return policy(name)(type(name, (Policy,), {"plan": lambda self, given, rng: plan(given, rng)}))

    return put


def test_a_folder_is_compared_by_instance_and_policy(tmp_path):
    result = validate_scheduling(folder(tmp_path, {"two": KNOWN}, {"x": PLAYED}), FAST, HEFT)
    metrics = result["metrics"]
    assert (metrics["n_instances"], metrics["classic_compared"], metrics["classic_mismatches"]) == (1, 3, 0)
    assert metrics["vs_best_geomean"] == {"heft": 1.0}
    assert metrics["contention_max_rel_error"] == 0.0
    assert metrics["below_bound"] == 0
    assert all(metrics["holds"].values())
    assert (result["area"], result["n"], result["passed"], result["skipped_files"]) == ("scheduling", 4 + 2, True, [])
    assert result["rows"][0] == {"instance": "two", "policy": "heft", "makespan": 3.0, "expected": 3.0, "lower_bound": 3.0}
    assert result["rows"][-1]["vs_best"] == 1.0
    json.dumps(result)


def test_a_makespan_that_differs_at_all_is_a_mismatch(tmp_path):
    wrong = {**KNOWN, "reference_classic": {"heft": 3.0000001, "met": 4.0}}
    result = validate_scheduling(folder(tmp_path, {"two": wrong}), ("classic",))
    assert (result["metrics"]["classic_mismatches"], result["passed"]) == (1, False)
    assert result["metrics"]["holds"] == {"classic policies are exact": False, "no makespan is below its bound": True}


def test_what_a_file_does_not_say_is_not_judged(tmp_path):
    result = validate_scheduling(folder(tmp_path, {"two": {}, "three": KNOWN}), FAST, HEFT)
    assert (result["n"], result["metrics"]["classic_compared"], result["metrics"]["vs_best_geomean"]) == (1, 0, {})
    assert result["metrics"]["holds"] == {"no makespan is below its bound": True}
    assert result["rows"][0]["instance"] == "three"
    assert "three.json is not there" in result["rows"][0]["skipped"]
    assert result["skipped_files"] == ["contention.json"]


def test_null_is_not_said(tmp_path):
    nothing = {"best_known_makespan": None, "cpsat": None, "reference_classic": {"heft": None, "met": 4}}
    result = validate_scheduling(folder(tmp_path, {"two": nothing}), ("classic",))
    assert (result["metrics"]["classic_compared"], result["passed"]) == (1, True)


def test_absent_files_are_named_an_absent_folder_refused(tmp_path):
    result = validate_scheduling(tmp_path, FAST, HEFT)
    assert (result["n"], result["passed"], result["skipped_files"]) == (0, False, ["expected.json", "contention.json"])
    with pytest.raises(CosimError, match="nowhere: there is no such folder"):
        validate_scheduling(tmp_path / "nowhere", FAST, HEFT)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("{", "expected.json:1:2: not JSON"),
        ([], "expected.json: holds a list; it must be an object"),
        ({"two": 3}, "expected.json: two: holds a int; it must be an object"),
        ({"two": {"reference_classic": [3]}}, "two.reference_classic: holds a list"),
        ({"two": {"reference_classic": {"heft": "3"}}}, "two.reference_classic.heft: '3' is no makespan; give a finite number"),
        ({"two": {"best_known_makespan": -1}}, "two.best_known_makespan: -1 is no makespan"),
        ({"two": {"best_known_makespan": float("nan")}}, "two.best_known_makespan: nan is no makespan"),
        ({"two": {"cpsat": {"lower_bound": True}}}, "two.cpsat.lower_bound: True is no makespan"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, expected, message):
    with pytest.raises(ScheduleError, match=message) as caught:
        validate_scheduling(folder(tmp_path, expected), ("classic",))
    assert str(caught.value).startswith(str(tmp_path))


def test_a_plan_that_cannot_be_run_is_refused(tmp_path, register):
    register("hasty", lambda given, rng: plan_from_times(given, np.zeros(2, np.int64), np.zeros(2), np.full(2, 2.0)))
    with pytest.raises(ScheduleError, match="policy 'hasty': a device runs one task at a time"):
        validate_scheduling(folder(tmp_path, {"two": KNOWN}), ("policies",), {"hasty": Run("hasty")})


def test_a_makespan_below_a_proven_bound_is_noticed(tmp_path):
    wrong = {**KNOWN, "cpsat": {"lower_bound": 3.5}}
    result = validate_scheduling(folder(tmp_path, {"two": wrong}), ("policies",), HEFT)
    assert (result["metrics"]["below_bound"], result["passed"]) == (1, False)


def test_a_policy_that_draws_is_judged_by_the_mean_over_seeds(tmp_path, register):
    seen = []

    def draws(given, rng):
        seen.append(rng.random())
        return append_in_order(given, np.array([len(seen) % 2, 0]))  # 4 s or 3 s

    register("draws", draws)
    path = folder(tmp_path, {"two": {"best_known_makespan": 3.0}})
    result = validate_scheduling(path, ("policies",), {"draws": Run("draws", n_seeds=5)})
    draws_of_seeds = [np.random.default_rng(seed).random() for seed in range(5)]
    assert seen[-5:] == draws_of_seeds
    row = result["rows"][-1]
    assert row["makespan"] == pytest.approx((2 * 4 + 3 * 3) / 5) or row["makespan"] == pytest.approx((3 * 4 + 2 * 3) / 5)
    assert result["metrics"]["vs_best_geomean"]["draws"] == row["vs_best"]
    assert result["metrics"]["cpu_s"]["draws"] == row["cpu_s"] >= 0.0


def test_limits_are_those_of_policies_that_are_run():
    assert set(LIMITS) <= set(RUNS)
    assert {run.budget_s for name, run in RUNS.items() if name.endswith("20ms")} == {0.02}
    assert RUNS["search_1s"].budget_s == 1.0
    assert PARTS == ("classic", "policies", "contention", "paired")


def test_a_limit_that_is_missed_is_not_passed(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "met", 1.3)
    result = validate_scheduling(folder(tmp_path, {"two": KNOWN}), ("policies",), {"met": Run("met")})
    assert result["metrics"]["vs_best_geomean"]["met"] == pytest.approx(4 / 3)
    assert result["metrics"]["holds"]["met <= 1.3"] is False


def test_one_wrong_time_of_a_case_is_noticed_in_both_engines(tmp_path):
    result = validate_scheduling(folder(tmp_path, {}, {"x": PLAYED, "y": {**PLAYED, "end": [3.003, 2]}}), ("contention",))
    assert result["metrics"]["contention_max_rel_error"] == pytest.approx(0.003 / 3.003)
    assert result["passed"] is False


def test_ratios_have_intervals_that_cover_them_and_shrink_with_instances():
    rng = np.random.default_rng(1)
    few, many = (ratio_intervals(rng.normal(-0.01, 0.05, n)) for n in (100, 400))
    for found in (few, many):
        assert found["low_95"] < found["low_90"] < found["ratio"] < found["high_90"] < found["high_95"]
    # The mean of n draws of sd s lies within 1.96 s / sqrt(n) in 95 % of cases.
    assert np.log(many["high_95"] / many["low_95"]) == pytest.approx(2 * 1.96 * 0.05 / 20, rel=0.15)
    assert np.log(few["high_95"] / few["low_95"]) == pytest.approx(2 * 1.96 * 0.05 / 10, rel=0.25)
    assert ratio_intervals(np.full(9, np.log(0.5)))["high_95"] == pytest.approx(0.5)
    assert ratio_intervals(np.log([0.9, 1.0])) == ratio_intervals(np.log([0.9, 1.0]))


def test_two_policies_are_compared_on_the_same_instances():
    instances = random_instances(3, 4, (4, 8), (2, 3))
    found = compare(instances, Run("portfolio"), {"heft": Run("heft"), "itself": Run("portfolio")})
    assert found["heft"]["n"] == 4
    assert found["heft"]["ratio"] <= 1.0  # HEFT is one of its members
    assert (found["itself"]["low_95"], found["itself"]["ratio"], found["itself"]["high_95"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("mine", "other", "holds"), [("portfolio", "met", True), ("met", "portfolio", False), ("heft", "heft", False)])
def test_learning_has_to_be_better_with_an_interval_that_excludes_none(monkeypatch, tmp_path, mine, other, holds):
    monkeypatch.setattr(scheduling, "PAIRED", Run(mine))
    monkeypatch.setattr(scheduling, "OTHERS", {"anneal": Run(other)})
    monkeypatch.setattr(scheduling, "FAIR", 1e9)
    result = validate_scheduling(tmp_path, ("paired",), n_paired=12)
    assert result["metrics"]["holds"] == {"learned_search is better than anneal at equal CPU time": holds}
    monkeypatch.setattr(scheduling, "FAIR", 0.0)  # nobody is that fair
    assert validate_scheduling(tmp_path, ("paired",), n_paired=2)["passed"] is False


def test_the_classic_policies_are_exact_on_the_shipped_folder():
    result = validate_scheduling(None, ("classic",))
    assert result["metrics"]["classic_compared"] == 21 * len(CLASSIC)
    assert result["metrics"]["classic_mismatches"] == 0
    assert result["passed"] is True


def test_instances_of_the_comparison_are_not_trained_on():
    assert scheduling.PAIRED_SEED < _FIRST_SEED
    assert scheduling.PAIRED_SEED != PANEL_SEED
    assert scheduling.N_PAIRED >= 200


def test_the_area_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduling, "validate_scheduling", lambda path: {"area": "scheduling", "path": path})
    assert validate("scheduling", tmp_path) == {"area": "scheduling", "path": tmp_path}
