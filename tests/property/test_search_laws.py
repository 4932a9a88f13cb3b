"""Laws of searches on random graphs: what no plan may do, and what a change of scale or names may change."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.base import make_policy
from cosim.scheduling.bounds import lower_bound_s
from cosim.scheduling.checker import check_plan
from cosim.scheduling.generate import random_instances
from cosim.scheduling.instance import Goal
from cosim.scheduling.objective import values_of
from cosim.scheduling.search import classics, front

COMPILED = not numba.config.DISABLE_JIT
MOVES = 2000 if COMPILED else 100
EXAMPLES = 25 if COMPILED else 3

instances = st.integers(0, 100_000).map(lambda seed: random_instances(seed, 1, (8, 40))[0])


def run(name, instance, seed=0):
    """The plan of a policy."""
    return make_policy(name).plan(instance, np.random.default_rng(seed))


@given(instance=instances)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_search_stands_between_the_bound_and_the_classics(instance):
    plan = run(f"search:{MOVES}", instance)
    check_plan(instance, plan)
    assert lower_bound_s(instance) * (1 - 1e-9) <= plan.makespan_s <= run("portfolio", instance).makespan_s


@given(instance=instances, power=st.integers(-20, 20))
@settings(max_examples=EXAMPLES, deadline=None)
def test_times_scaled_by_a_power_of_two_give_the_same_plan(instance, power):
    k = 2.0**power
    scaled = replace(
        instance,
        cost_s=instance.cost_s * k,
        latency_s=instance.latency_s * k,
        bandwidth_bytes_per_s=instance.bandwidth_bytes_per_s / k,
    )
    plan, other = run(f"anneal:{MOVES}", instance), run(f"anneal:{MOVES}", scaled)
    assert np.array_equal(plan.assignment, other.assignment)
    assert other.makespan_s == k * plan.makespan_s


@given(instance=instances, seed=st.integers(0, 1000))
@settings(max_examples=EXAMPLES, deadline=None)
def test_names_decide_nothing(instance, seed):
    renamed = replace(
        instance,
        task_names=tuple(f"x{i}" for i in range(instance.n_tasks)),
        device_names=tuple(f"y{p}" for p in range(instance.n_devices)),
    )
    plan, other = run(f"anneal:{MOVES}", instance, seed), run(f"anneal:{MOVES}", renamed, seed)
    assert np.array_equal(plan.assignment, other.assignment)
    assert np.array_equal(plan.start_s, other.start_s)


@given(instance=instances)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_search_leaves_the_instance_and_its_layout_as_they_were(instance):
    before = [array.copy() for array in instance.arrays]
    run(f"learned_search:{MOVES}", instance)
    assert all(np.array_equal(a, b) for a, b in zip(before, instance.arrays, strict=True))


def with_energy(instance, seed, goal):
    """Random energies and losses."""
    rng = np.random.default_rng(seed)
    shape = instance.cost_s.shape
    return replace(instance, task_energy_j=rng.uniform(1, 9, shape), power_w=0.2, task_loss=rng.uniform(0, 0.01, shape), goal=goal)


@given(instance=instances, seed=st.integers(0, 1000), weight=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@settings(max_examples=EXAMPLES, deadline=None)
def test_whatever_the_goal_no_plan_is_worth_less_than_the_classics(instance, seed, weight):
    priced = with_energy(instance, seed, Goal(weight))
    plan = run(f"anneal:{MOVES}", priced)
    check_plan(priced, plan)
    assert values_of(priced, [plan])[0] <= values_of(priced, classics(priced, np.random.default_rng(0))).min()


@given(instance=instances, seed=st.integers(0, 1000), share=st.floats(0.0, 1.0))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_limit_on_the_loss_is_kept_however_tight(instance, seed, share):
    free = with_energy(instance, seed, Goal())
    losses = np.where(free.supported, free.task_loss, np.inf)
    least, most = losses.min(axis=1).sum(), np.where(free.supported, free.task_loss, 0.0).max(axis=1).sum()
    limit = float(least + share * (most - least)) * (1 + 1e-9)
    tight = replace(free, goal=Goal(max_loss=limit))
    plan = run(f"search:{MOVES}", tight)
    check_plan(tight, plan)
    assert free.task_loss[np.arange(free.n_tasks), plan.assignment].sum() <= limit * (1 + 1e-11)


@given(instance=instances, seed=st.integers(0, 1000))
@settings(max_examples=5 if COMPILED else 1, deadline=None)
def test_along_a_front_energy_falls_as_time_grows(instance, seed):
    found = front(with_energy(instance, seed, Goal()), np.random.default_rng(seed), n_moves=9 * MOVES)
    assert (np.diff(found.makespan_s) > 0).all()
    assert (np.diff(found.energy_j) < 0).all()


@pytest.mark.skipif(not COMPILED, reason="takes as long as compiled loops save")
def test_more_moves_find_more_on_average():
    ratios = []
    for instance in random_instances(11, 12, (30, 60)):
        few, many = (np.mean([run(f"anneal:{n}", instance, seed).makespan_s for seed in range(3)]) for n in (500, 50_000))
        ratios.append(many / few)
    assert np.exp(np.log(ratios).mean()) < 0.99
