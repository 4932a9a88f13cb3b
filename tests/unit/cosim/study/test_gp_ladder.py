"""The sampler for several fidelities: cheap answers where they are worth it, the truth where they are not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cosim.study.hypervolume import hypervolume
from cosim.study.samplers.base import N_STARTUP, make_sampler
from cosim.study.samplers.gp_ladder import LadderParetoSampler, LadderSampler, _nodes

LEVELS = {f"a{i}": [0, 1, 2, 3] for i in range(6)}
COSTS = {"bound": 0.05, "event": 1.0}
TARGET = np.array([2, 0, 1, 3, 0, 2])


def codes_of(point):
    return np.array([point[f"a{i}"] for i in range(6)])


def truth(point):
    x = codes_of(point)
    return 2.0 + float(((x - TARGET) ** 2).sum()) + 0.7 * float(x[0] == x[1])


def close(point):
    """The truth but for a small bias that depends on one axis."""
    return 0.8 * truth(point) + 0.1 * point["a3"]


def junk(point):
    return float((codes_of(point) * [7, 3, 5, 1, 9, 4]).sum() * 37 % 101)


def run(sampler, low, cost, high=truth):
    """Ask and tell until the cost is spent; return (point, fidelity, value) of each."""
    spent, found = 0.0, []
    while spent < cost:
        point = sampler.ask(1)[0]
        fidelity = point.pop("fidelity")
        value = high(point) if fidelity == "event" else low(point)
        sampler.tell(point, value, fidelity=fidelity)
        spent += COSTS[fidelity]
        found.append((point, fidelity, value))
    return found


def test_the_default_with_fidelities_is_this_one():
    assert isinstance(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS), LadderSampler)
    assert isinstance(make_sampler("gp", LEVELS, ["f", "g"], fidelities=COSTS), LadderParetoSampler)


def test_first_come_cheap_points_then_some_of_the_same_at_the_truth():
    sampler = make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0)
    found = run(sampler, close, 0.05 * N_STARTUP + 9.5)
    kinds = [fidelity for _, fidelity, _ in found]
    assert kinds[:N_STARTUP] == ["bound"] * N_STARTUP
    assert kinds[N_STARTUP : N_STARTUP + 10] == ["event"] * 10
    cheap = [point for point, _, _ in found[:N_STARTUP]]
    assert all(point in cheap for point, _, _ in found[N_STARTUP : N_STARTUP + 10])


def test_true_values_told_first_are_asked_again_at_the_lower_fidelity():
    sampler = make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0)
    plain = make_sampler("random", LEVELS, ["f"], seed=5)
    first = plain.ask(N_STARTUP)
    for point in first:
        sampler.tell(point, truth(point), fidelity="event")
    asked = []
    for _ in range(N_STARTUP):
        point = sampler.ask(1)[0]
        asked.append(point.pop("fidelity"))
        assert point in first
        sampler.tell(point, close(point), fidelity="bound")
    assert asked == ["bound"] * N_STARTUP


def test_a_good_cheap_model_finds_the_best_at_a_cost_that_pays_for_few_true_values():
    found = run(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=1), close, 20.0)
    true = [value for _, fidelity, value in found if fidelity == "event"]
    assert min(true) == 2.0
    assert len(true) < 20


def test_cheap_answers_are_asked_for_where_they_tell_much_and_hardly_where_they_tell_nothing():
    counts = {}
    for name, low in (("close", close), ("junk", junk)):
        found = run(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=2), low, 22.0)
        counts[name] = Counter(fidelity for _, fidelity, _ in found[N_STARTUP + 10 :])
    assert counts["close"]["bound"] > counts["close"]["event"]
    assert counts["junk"]["bound"] < counts["close"]["bound"]


def test_a_lower_level_that_is_no_use_does_not_keep_from_the_best():
    found = run(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0), junk, 45.0)
    assert min(value for _, fidelity, value in found if fidelity == "event") <= 3.0


def test_no_point_is_asked_twice_at_one_fidelity():
    found = run(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=3), close, 18.0)
    keys = [(tuple(point.values()), fidelity) for point, fidelity, _ in found]
    assert len(set(keys)) == len(keys)


def test_the_best_is_one_that_was_seen_at_the_truth():
    sampler = make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0)
    found = run(sampler, lambda point: truth(point) - 100.0, 20.0)
    best = sampler.best()
    true = [(point, value) for point, fidelity, value in found if fidelity == "event"]
    assert truth(best) == min(value for _, value in true)


def test_values_that_are_all_positive_are_modeled_in_logs_and_others_are_not():
    positive, mixed = (make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0) for _ in range(2))
    run(positive, close, 12.0)
    run(mixed, lambda point: close(point) - 20.0, 12.0)
    assert positive._targets(np.array([0]))[0, 0] == pytest.approx(np.log(positive.y[0, 0]))
    assert mixed._targets(np.array([0]))[0, 0] == mixed.y[0, 0]


def test_points_under_way_are_believed_at_their_own_fidelity_and_not_asked_again():
    sampler = make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0)
    run(sampler, close, 13.0)
    points = [tuple(point.items()) for point in sampler.ask(6)]
    assert len(set(points)) == 6


def test_equal_seeds_and_answers_give_equal_suggestions():
    first, second = (run(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=4), close, 14.0) for _ in range(2))
    assert first == second


def test_failed_cheap_points_do_not_stop_the_search():
    def low(point):
        return np.nan if point["a0"] == 1 else close(point)

    found = run(make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=1), low, 24.0)
    assert min(value for _, fidelity, value in found if fidelity == "event") <= 3.0


def test_a_bound_on_a_told_value_holds_at_the_truth():
    sampler = make_sampler("gp", LEVELS, ["f"], fidelities=COSTS, seed=0, constraints=[("a0", ">=", 3)])
    spent = 0.0
    while spent < 25.0:
        point = sampler.ask(1)[0]
        fidelity = point.pop("fidelity")
        value = truth(point) if fidelity == "event" else close(point)
        sampler.tell(point, [value, float(point["a0"])], fidelity=fidelity)
        spent += COSTS[fidelity]
    assert sampler.best()["a0"] == 3
    assert truth(sampler.best()) <= 5.0


def test_two_objectives_with_two_fidelities_fill_a_front():
    def pair(point):
        x = codes_of(point)
        return [1.0 + float((x**2).sum()), 1.0 + float(((3 - x) ** 2).sum())]

    sampler = make_sampler("gp", LEVELS, ["f", "g"], fidelities=COSTS, seed=0)
    values, spent = [], 0.0
    while spent < 22.0:
        point = sampler.ask(1)[0]
        fidelity = point.pop("fidelity")
        found = pair(point)
        if fidelity == "event":
            values.append(found)
        sampler.tell(point, found if fidelity == "event" else [0.9 * v for v in found], fidelity=fidelity)
        spent += COSTS[fidelity]
    reference = np.array([60.0, 60.0])
    counts = [(a, b, c) for a in range(7) for b in range(7 - a) for c in range(7 - a - b)]  # axes at 1, 2 and 3
    whole = np.array([[1.0 + a + 4 * b + 9 * c, 1.0 + 9 * (6 - a - b - c) + 4 * a + b] for a, b, c in counts])
    assert hypervolume(np.array(values), reference) / hypervolume(whole, reference) > 0.9


def test_nodes_are_normal_and_of_one_order_a_model():
    nodes = _nodes(3)
    assert np.sort(nodes, axis=1) == pytest.approx(np.tile(np.sort(nodes[0]), (3, 1)))
    assert nodes.mean(axis=1) == pytest.approx(np.zeros(3), abs=1e-12)
    assert nodes.std(axis=1) == pytest.approx(np.ones(3), abs=0.03)
    assert abs(np.corrcoef(nodes)[0, 1]) < 0.4
