"""Benchmarks by name: levels, fidelities and costs, starts and relabeling as their definition draws them."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.validation.bo_problems import N_RESAMPLED, PROBLEMS, initial_points, make_bench, relabeling


@pytest.mark.parametrize("name", PROBLEMS)
class TestEveryProblem:
    def test_values_are_finite_floats_one_for_each_objective_at_each_fidelity(self, name):
        bench = make_bench(name, 1e-4, 1)
        for fidelity in range(len(bench.costs)):
            values = bench.evaluate(initial_points(bench.n_levels, 0, 1)[0], fidelity)
            assert len(values) == len(bench.objectives)
            assert np.isfinite(values).all()

    def test_costs_rise_to_one(self, name):
        costs = make_bench(name, 0.0, 1).costs
        assert list(costs) == sorted(costs)
        assert costs[-1] == 1.0

    def test_a_fresh_instance_gives_the_same_again(self, name):
        x = initial_points(make_bench(name, 0.0, 1).n_levels, 0, 1)[0]
        assert make_bench(name, 0.0, 1).evaluate(x, 0) == make_bench(name, 0.0, 1).evaluate(x, 0)


def test_lambda_counts_what_is_paid():
    x = initial_points(np.full(24, 2), 0, 1)[0]
    (plain,), (weighted,) = (make_bench("ising24", weight, 0).evaluate(x, 0) for weight in (0.0, 0.5))
    assert weighted - plain == pytest.approx(0.5 * x.sum())


def test_couplings_that_are_given_are_used():
    x = np.zeros(24, dtype=np.int64)
    assert make_bench("ising24", 0.0, 0, np.zeros(24)).evaluate(x, 0)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("low", "high"), [("mf_contamination", "contamination25"), ("mf_ising", "ising24")])
def test_the_top_fidelity_is_the_problem_itself(low, high):
    x = initial_points(make_bench(high, 1e-4, 2).n_levels, 3, 1)[0]
    multi = make_bench(low, 1e-4, 2)
    assert multi.evaluate(x, len(multi.costs) - 1) == make_bench(high, 1e-4, 2).evaluate(x, 0)
    assert any(multi.evaluate(one, 0) != multi.evaluate(one, len(multi.costs) - 1) for one in initial_points(multi.n_levels, 3))


class TestPest:
    def test_resampling_leaves_the_noise_of_the_study_alone(self):
        x = np.full(25, 3)
        one, other = make_bench("pest25", 0.0, 0), make_bench("pest25", 0.0, 0)
        one.resampled(x)
        assert one.evaluate(x, 0) == other.evaluate(x, 0)
        assert one.resampled(x) == one.resampled(x)
        assert N_RESAMPLED == 20_000

    def test_multi_fidelity_has_common_random_numbers(self):
        x, bench = np.full(25, 3), make_bench("mf_pest", 0.0, 0)
        assert bench.evaluate(x, 2) == bench.evaluate(x, 2)
        assert bench.evaluate(x, 2)[0] == pytest.approx(12.33)


class TestStarts:
    @pytest.mark.parametrize(
        ("problem", "instance", "run", "best"),
        [("contamination25", 1149, 0, 22.0317), ("ising24", 1, 1, 4.580049), ("pest25", 2, 2, 16.8516)],
    )
    def test_best_of_the_initial_points_is_what_the_reference_measured(self, problem, instance, run, best):
        bench = make_bench(problem, 1e-4, instance)
        assert min(bench.evaluate(x, 0)[0] for x in initial_points(bench.n_levels, run)) == pytest.approx(best, abs=1e-6)

    def test_relabeling_draws_one_permutation_a_variable_in_order(self):
        draw = np.random.RandomState(7)
        expected = [draw.permutation(c).tolist() for c in (2, 5)]
        assert [levels.tolist() for levels in relabeling(np.array([2, 5]), 7)] == expected
