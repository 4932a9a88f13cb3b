"""Scores of the benchmarks by hand: means, standard errors, ratios and their intervals, pairs, targets."""

from __future__ import annotations

import pytest

from cosim.validation.bo_run import Job
from cosim.validation.bo_score import holds_of, metrics_of
from cosim.validation.bo_table import Run


def run(problem="contamination25", instance=1, seed=0, weight=1e-4, optimum=1.0):
    return Run(problem, weight, instance, seed, 9, 100, optimum)


def rows(**best):
    return [{"at": int(at[1:]), "n": int(at[1:]), "best": value, "cpu_s": 0.01} for at, value in best.items()]


class TestMetrics:
    def test_gaps_and_their_standard_error(self):
        found = metrics_of({Job(run(seed=0)): rows(n50=2.0, n100=1.2), Job(run(seed=1)): rows(n50=2.0, n100=1.4)})["contamination25"]
        assert found["n_runs"] == 2
        assert found["gap_at_100"] == pytest.approx(0.3)
        assert found["gap_at_100_se"] == pytest.approx(0.1)  # sd of 0.2, 0.4 is 0.1414, over the root of 2
        assert found["gap_at_50_se"] == 0.0
        assert found["cpu_s_per_suggestion_at_100"] == 0.01

    def test_of_one_run_there_is_no_standard_error(self):
        assert metrics_of({Job(run()): rows(n100=1.2)})["contamination25"]["gap_at_100_se"] is None

    def test_ratio_to_annealing_is_one_of_means_and_lies_in_its_interval(self):
        results = {}
        for instance, (ours, theirs) in enumerate([(1.1, 1.2), (1.3, 1.4), (1.0, 1.6)]):
            results |= {Job(run(instance=instance)): rows(n100=ours), Job(run(instance=instance), "sa"): rows(n100=theirs)}
        found = metrics_of(results)["contamination25"]
        assert found["sa_gap_at_100"] == pytest.approx(0.4)
        assert found["ratio_to_sa_at_100"] == pytest.approx(0.4 / 1.2)
        assert 0.0 <= found["ratio_to_sa_at_100_low"] < 0.4 / 1.2 < found["ratio_to_sa_at_100_high"] <= 0.75 + 1e-9

    def test_without_a_gap_of_annealing_there_is_no_ratio(self):
        found = metrics_of({Job(run()): rows(n100=1.1), Job(run(), "sa"): rows(n100=1.0)})
        assert found["contamination25"]["ratio_to_sa_at_100"] is None

    def test_a_problem_with_two_lambdas_is_scored_twice_the_first_under_its_name(self):
        results = {Job(run("ising24", weight=1e-4)): rows(n100=1.5), Job(run("ising24", weight=1e-2)): rows(n100=1.7)}
        found = metrics_of(results)
        assert {name: one["gap_at_100"] for name, one in found.items()} == pytest.approx({"ising24": 0.5, "ising24@0.01": 0.7})

    def test_of_several_lambdas_the_judged_one_has_the_name_wherever_it_stands(self):
        results = {Job(run("ising24", weight=weight)): rows(n100=1.0 + weight) for weight in (1e-2, 0.0, 1e-4)}
        found = metrics_of(results)
        assert {name: one["lambda"] for name, one in found.items()} == {"ising24": 1e-4, "ising24@0.01": 1e-2, "ising24@0": 0.0}

    def test_only_checkpoints_that_all_runs_have_are_scored(self):
        found = metrics_of({Job(run(seed=0)): rows(n100=1.1, n200=1.0), Job(run(seed=1)): rows(n100=1.3)})["contamination25"]
        assert found["gap_at_100"] == pytest.approx(0.2)
        assert not any(name.endswith("_200") for name in found)

    def test_of_one_instance_the_interval_of_the_ratio_is_a_point(self):
        results = {}
        for seed, (ours, theirs) in enumerate([(1.1, 1.4), (1.3, 1.4)]):
            results |= {Job(run(seed=seed)): rows(n100=ours), Job(run(seed=seed), "sa"): rows(n100=theirs)}
        found = metrics_of(results)["contamination25"]
        ends = [found[f"ratio_to_sa_at_100{end}"] for end in ("", "_low", "_high")]
        assert ends == pytest.approx([0.5, 0.5, 0.5])

    def test_cpu_seconds_are_the_median_over_runs_and_none_where_nothing_was_timed(self):
        timed = {Job(run(seed=s)): [{"at": 100, "n": 100, "best": 1.0, "cpu_s": t}] for s, t in enumerate((0.01, 0.05, 0.9))}
        assert metrics_of(timed)["contamination25"]["cpu_s_per_suggestion_at_100"] == 0.05
        untimed = {Job(run()): [{"at": 20, "n": 20, "best": 1.0, "cpu_s": None}]}
        assert metrics_of(untimed)["contamination25"]["cpu_s_per_suggestion_at_20"] is None

    def test_words_of_problems_without_an_optimum(self):
        results = {
            Job(run("pest25", optimum=None, weight=None)): rows(n100=13.0),
            Job(run("ising_biobj", optimum=None)): rows(n100=0.98),
        }
        found = metrics_of(results)
        assert found["pest25"]["resampled_at_100"] == 13.0
        assert found["ising_biobj"]["hv_at_100"] == 0.98

    def test_several_fidelities_are_paired_with_the_single_one(self):
        results = {}
        for seed, (multi, single) in enumerate([(1.1, 1.2), (1.2, 1.1)]):
            results[Job(run("mf_contamination", seed=seed), multi=True)] = rows(c85=multi, c170=multi)
            results[Job(run("mf_contamination", seed=seed))] = rows(n85=3.0, n170=single)
        found = metrics_of(results)["mf_contamination"]
        assert found["gap_at_cost_85"] == found["single_gap_at_170"] == pytest.approx(0.15)
        assert found["paired_at_cost_85_to_170"] == pytest.approx(0.0)
        assert found["paired_at_cost_85_to_170_se"] == pytest.approx(0.1)
        assert "ratio_to_sa_at_85" not in found


class TestHolds:
    def test_each_target_is_held_against_its_number(self):
        results = {Job(run(seed=s)): rows(n100=1.1, n270=1.1) for s in (0, 1)}
        results |= {Job(run(seed=s), "sa"): rows(n100=1.15, n270=1.3) for s in (0, 1)}
        holds = holds_of(metrics_of(results), results)
        assert holds["contamination25 gap_at_100 <= 0.18"]
        assert not holds["contamination25 gap_at_270 <= 0.05"]
        assert not holds["contamination25 ratio_to_sa_at_100 <= 0.6"]
        assert holds["contamination25 ratio_to_sa_at_270 <= 0.35"]
        assert holds["contamination25 CPU s a suggestion at 270 <= 0.15"]

    def test_easy_ising_instances_have_one_of_their_own(self):
        results = {Job(run("ising24", i)): rows(n100=1.01 if i != 1 else 2.0, n170=1.006) for i in (0, 1, 2, 4)}
        holds = holds_of(metrics_of(results), results)
        assert holds["ising24 0, 2, 4 at 100 <= 0.02"]
        assert not holds["ising24 0, 2, 4 at 170 <= 0.005"]

    def test_pairs_may_be_one_standard_error_above(self):
        results = {}
        for seed, multi in enumerate([1.2, 1.3]):
            results[Job(run("mf_pest", seed=seed, weight=None), multi=True)] = rows(c85=multi)
            results[Job(run("mf_pest", seed=seed, weight=None))] = rows(n85=1.0, n170=1.21)
        (name,) = (name for name in holds_of(metrics_of(results), results) if "paired" in name)
        assert holds_of(metrics_of(results), results)[name]  # 0.04 above, with a standard error of 0.05

    def test_targets_of_pest_and_of_two_objectives_are_values_and_not_gaps(self):
        results = {
            Job(run("pest25", optimum=None, weight=None)): rows(n200=12.07, n320=12.02),
            Job(run("ising_biobj", optimum=None, weight=0.0)): rows(n100=0.971),
        }
        holds = holds_of(metrics_of(results), results)
        assert [holds[name] for name in ("pest25 resampled_at_200 <= 12.06", "pest25 resampled_at_320 <= 12.03")] == [False, True]
        assert holds["ising_biobj hv_at_100 >= 0.97"]

    def test_targets_are_not_for_another_lambda(self):
        results = {Job(run(weight=1e-2)): rows(n100=1.05)}
        assert not any("gap" in name for name in holds_of(metrics_of(results), results))

    def test_a_single_fidelity_keeps_to_its_time_and_several_have_no_limit(self):
        results = {}
        for problem in ("ising24", "mf_ising"):
            slow = [{"at": 100, "n": 100, "best": 1.0, "cpu_s": 0.06}]
            results[Job(run(problem), multi=problem == "mf_ising")] = slow
            results[Job(run(problem))] = slow
        assert [name for name in holds_of(metrics_of(results), results) if "CPU" in name] == ["ising24 CPU s a suggestion at 100 <= 0.05"]

    def test_a_short_run_has_none(self):
        results = {Job(run()): rows(n20=5.0, n60=4.0)}
        assert holds_of(metrics_of(results), results) == {}
