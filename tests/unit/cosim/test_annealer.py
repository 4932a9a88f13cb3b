"""The state of a search: its budget, what it may draw, what counts, and the rows that let a place be looked up."""

from __future__ import annotations

import time
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.annealer import KNOBS, MOVES_PER_S, SHORT_S, Annealer, Budget, decode
from cosim.scheduling.base import Plan, make_policy
from cosim.scheduling.fixed import instance_tables
from cosim.scheduling.instance import Goal
from cosim.scheduling.kernels import contended
from cosim.scheduling.kernels import decode as layout
from cosim.scheduling.kernels import search as kernels
from cosim.scheduling.objective import values_of
from cosim.testing import small_instance as instance

COMPILED = not numba.config.DISABLE_JIT


def random_instance(seed, n=25, m=3):
    """A random graph; an op in five cannot run on the last device."""
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 9, (n, m))
    if m > 1:
        cost[rng.random(n) < 0.2, m - 1] = np.inf
    edges = [(int(u), v, rng.uniform(0, 9)) for v in range(1, n) for u in np.unique(rng.integers(0, v, 2))]
    return instance(cost, edges, bandwidth=2.0, latency=0.3)


def annealer_of(given, seed=0):
    """An annealer that starts from HEFT."""
    annealer = Annealer(given, seed)
    annealer.start_from(make_policy("heft").plan(given, np.random.default_rng(0)))
    return annealer


def diamond():
    """Task 0, then 1 and 2, then 3; 1 on the other device; 2 bytes a transfer at 1 byte/s."""
    given = instance([[1, 1], [2, 2], [4, 4], [1, 1]], [(0, 1, 2.0), (0, 2, 2.0), (1, 3, 2.0), (2, 3, 2.0)])
    device = np.array([0, 1, 0, 0])
    start_s, end_s = decode(given, np.array([0, 1, 2, 3]), device)
    return given, Plan(device, np.arange(4.0)[::-1], start_s, end_s, float(end_s.max()))


# budgets


def test_moves_are_spent_one_by_one():
    budget = Budget(1.0, 1000)
    assert budget.counts_moves
    assert budget.spent() == 0.0
    budget.record(250, 0.1)
    assert budget.spent() == 0.25


def test_a_budget_of_moves_is_spent_exactly():
    budget, made = Budget(1.0, 1003), 0
    while budget.spent() < 1.0:
        n_moves = budget.n_next(1.0)
        made += n_moves
        budget.record(n_moves, 1e-6)
    assert made == 1003


def test_slices_are_a_64th_and_never_pass_the_end():
    budget = Budget(1.0, 6400)
    assert budget.n_next(1.0) == 100
    budget.record(6350, 0.1)
    assert budget.n_next(1.0) == 50
    assert Budget(1.0, 10).n_next(1.0) == 1


def test_seconds_are_those_of_the_thread():
    budget = Budget(0.01)
    assert not budget.counts_moves
    time.sleep(0.02)
    assert budget.spent() < 0.5
    start_s = time.thread_time()
    while time.thread_time() < start_s + 0.01:
        pass
    assert budget.spent() >= 1.0


def test_slices_of_time_follow_the_pace():
    budget = Budget(64.0)
    assert budget.n_next(1.0) == 16
    budget.record(50_000, 0.5)
    assert budget.n_next(1.0) == pytest.approx(100_000, rel=0.05)  # a second's worth
    budget.record(100, 0.001)
    assert budget.n_next(1.0) == 400  # but no more than four times the last
    budget.forget_pace()
    assert budget.n_next(1.0) == 16


def test_short_budgets_are_told_from_long_ones():
    assert Budget(SHORT_S / 2).is_short
    assert not Budget(2 * SHORT_S).is_short
    moves = int(SHORT_S * MOVES_PER_S)
    assert Budget(2 * SHORT_S, moves - 1).is_short
    assert not Budget(SHORT_S / 2, moves).is_short
    assert Budget(1.0, moves).seconds == pytest.approx(SHORT_S)


# ends, rests and rows


def test_ends_and_rests_of_a_diamond_by_hand():
    # 0 ends at 1; 1 starts at 3 on the other device and ends at 5; 2 runs from 1 to 5; 3 waits for the transfer until 7
    given, plan = diamond()
    annealer = Annealer(given, 0)
    annealer.start_from(plan)
    assert annealer._times[layout.END].tolist() == [1, 5, 5, 8]
    # after 3: 1; from 1: 2 + 2 + 1; from 2: 4 + 1; from 0: 1 + 2 + 5
    assert annealer._times[layout.REST].tolist() == [8, 5, 5, 1]
    assert annealer.value == 8.0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20 if COMPILED else 4, deadline=None)
def test_end_plus_rest_reaches_the_makespan_and_never_passes_it(seed):
    annealer = annealer_of(random_instance(seed, n=2 + seed % 40, m=1 + seed % 4))
    given, device = annealer.instance, annealer.tasks[layout.DEVICE]
    end_s, rest_s = annealer._times[layout.END], annealer._times[layout.REST]
    through_s = end_s - given.cost_s[np.arange(given.n_tasks), device] + rest_s
    assert through_s.max() == pytest.approx(annealer.value, rel=1e-12)
    assert (rest_s >= given.cost_s[np.arange(given.n_tasks), device]).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20 if COMPILED else 4, deadline=None)
def test_rows_tell_what_is_free_and_what_is_left_at_any_place(seed):
    annealer = annealer_of(random_instance(seed, n=2 + seed % 40, m=1 + seed % 4))
    tasks, times, rows = annealer.tasks, annealer._times, annealer._rows
    order, device = tasks[layout.ORDER], tasks[layout.DEVICE]
    for place in range(order.size):
        layout.free_before(tasks, times, rows, place)
        layout.rest_from(tasks, times, rows, place)
        for d in range(annealer.instance.n_devices):
            before = [times[layout.END, task] for task in order[:place] if device[task] == d]
            behind = [times[layout.REST, task] for task in order[place:] if device[task] == d]
            assert rows[layout.FRONT, 0, d] == (before[-1] if before else 0.0)
            assert rows[layout.BACK, 0, d] == (behind[0] if behind else 0.0)


def test_a_task_that_is_shifted_there_and_back_leaves_all_as_it_was():
    annealer = annealer_of(random_instance(3))
    before = annealer.tasks.copy()
    for old, new in ((2, 9), (9, 2), (4, 4)):
        annealer.tasks[layout.ORDER, :] = before[layout.ORDER]
        annealer.tasks[layout.PLACE, :] = before[layout.PLACE]
        kernels.shift(annealer.tasks, old, new)
        assert annealer.tasks[layout.ORDER, new] == before[layout.ORDER, old]
        assert np.array_equal(annealer.tasks[layout.PLACE][annealer.tasks[layout.ORDER]], np.arange(25))
        kernels.shift(annealer.tasks, new, old)
        assert np.array_equal(annealer.tasks, before)


# what is drawn


def test_devices_that_support_a_task_are_drawn_and_no_others():
    annealer = Annealer(instance([[1, np.inf, 2], [np.inf, np.inf, 1]]), 0)
    assert annealer._rules[0][:, 0].tolist() == [2, 1]
    assert annealer._rules[0][0, 1:3].tolist() == [0, 2]
    assert annealer._rules[0][1, 1] == 2


def test_model_placements_stand_behind_the_devices_that_support_a_task():
    annealer = Annealer(instance([[1, np.inf, 2], [np.inf, np.inf, 1]]), 0)
    annealer.lean_to(np.array([[2, 2], [0, 2]]))
    able = annealer._rules[0]
    assert able[:, 0].tolist() == [4, 3]
    assert able[0, 1:5].tolist() == [0, 2, 2, 0]
    assert able[1, 1:4].tolist() == [2, 2, 2]
    assert annealer._rules[3][kernels.N_MODELS] == 2
    annealer.lean_to(np.zeros((0, 2), np.int64))
    assert annealer._rules[0][:, 0].tolist() == [2, 1]
    assert annealer._rules[3][kernels.N_MODELS] == 0


def test_a_chain_that_follows_a_model_has_its_devices():
    # the model has task i on device i % 2 and only chains are drawn, so every move brings some tasks nearer to it or leaves them
    chain = instance(np.ones((12, 2)), [(i, i + 1, 0.0) for i in range(11)])
    annealer = Annealer(chain, 5, (1, 5, 1024, 0, 3, 0, 6))
    device = np.zeros(12, np.int64)
    annealer.start_from(Plan(device, np.arange(12.0)[::-1], *decode(chain, np.arange(12), device), 12.0))
    model = np.arange(12) % 2
    annealer.lean_to(model[np.newaxis])
    annealer._rules[0][:, 0] = 1  # nothing but the model
    annealer._rules[0][:, 1] = model
    for _ in range(300):
        kernels.anneal(*annealer._schedule, *annealer._rules, 1, 0.0)
        assert ((annealer.tasks[layout.DEVICE] == 0) | (annealer.tasks[layout.DEVICE] == model)).all()
    assert np.array_equal(annealer.tasks[layout.DEVICE], model)


def test_hotter_runs_accept_more():
    accepted = []
    for temperature in (0.0001, 0.01, 1.0):
        annealer = annealer_of(random_instance(1, n=30))
        accepted.append(kernels.anneal(*annealer._schedule, *annealer._rules, 2000, temperature))
    assert accepted[0] < accepted[1] < accepted[2]


def test_without_temperature_nothing_gets_worse():
    annealer = annealer_of(random_instance(1, n=30))
    last_s = annealer.value
    for _ in range(50):
        kernels.anneal(*annealer._schedule, *annealer._rules, 20, 0.0)
        assert annealer.now[kernels.MAKESPAN] <= last_s * (1 + 1e-11)
        last_s = annealer.now[kernels.MAKESPAN]


# what counts


def test_a_goal_of_time_alone_has_no_prices():
    annealer = Annealer(random_instance(0), 0)
    assert annealer._price.shape == (2, 0, 0)
    assert annealer._goal.tolist() == [0.0, 0.0, np.inf]


def priced(weight=0.5, max_loss=None, power_w=2.0):
    """Energies and losses on two devices."""
    energy_j, loss = np.array([[1.0, 5.0], [2.0, 7.0]]), np.array([[0.1, 0.0], [0.2, 0.0]])
    return instance([[4.0, 2.0], [4.0, 2.0]], task_energy_j=energy_j, task_loss=loss, power_w=power_w, goal=Goal(weight, max_loss))


def placed(given, device):
    """An annealer on a given placement."""
    annealer = Annealer(given, 0)
    start_s, end_s = decode(given, np.arange(2), np.array(device))
    annealer.start_from(Plan(np.array(device), np.array([2.0, 1.0]), start_s, end_s, float(end_s.max())))
    return annealer


def test_energy_and_loss_are_added_up():
    annealer = placed(priced(), [0, 1])
    assert annealer.now[kernels.ENERGY] == 1.0 + 7.0
    assert annealer.now[kernels.LOSS] == 0.1
    # makespan 4, energy 8 + 2 * 4
    assert annealer.value == pytest.approx(0.5 * np.log(4.0) + 0.5 * np.log(16.0))


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
def test_values_order_plans_as_the_goal_does(weight):
    given = priced(weight)
    for device in ([0, 0], [0, 1], [1, 0], [1, 1]):
        annealer = placed(given, device)
        assert np.exp(annealer.value) == pytest.approx(values_of(given, [annealer.plan()])[0])


def test_the_limit_of_a_move_is_never_below_what_may_be_accepted():
    annealer = placed(priced(0.5, power_w=0.0), [0, 0])
    move, tasks = annealer._move, annealer.tasks
    move[[kernels.TASK, kernels.FROM, kernels.N_BLOCK]] = 0
    tasks[layout.DEVICE, 0] = 1  # energy 3 becomes 7: C * 7 <= 8 * 3 * e^(2 * rise)
    limit_s = kernels.limit_of(tasks, annealer._price, annealer._goal, move, annealer.now, 0.1)
    assert limit_s == pytest.approx(8 * 3 / 7 * np.exp(0.2))


def test_a_move_that_loses_too_much_has_no_limit_that_it_could_keep():
    annealer = placed(priced(0.0, max_loss=0.1), [1, 1])
    move, tasks = annealer._move, annealer.tasks
    move[[kernels.TASK, kernels.FROM, kernels.N_BLOCK]] = 1, 1, 0
    tasks[layout.DEVICE, 1] = 0
    assert kernels.limit_of(tasks, annealer._price, annealer._goal, move, annealer.now, 0.1) == -1.0
    move[[kernels.TASK, kernels.FROM]] = 0, 1
    tasks[layout.DEVICE] = [0, 1]
    assert kernels.limit_of(tasks, annealer._price, annealer._goal, move, annealer.now, 0.1) == pytest.approx(4 * 1.1)


# under contention


def contended_instance(seed, weight=0.0):
    """A random instance whose tasks all read from one memory."""
    given = random_instance(seed, n=20)
    given = replace(given, tables=instance_tables(given, "fair", np.full(20, 5.0), 2.0))
    if weight:
        energy_j = np.where(given.supported, 20.0 / np.where(given.supported, given.cost_s, 1.0), np.inf)
        given = replace(given, task_energy_j=energy_j, power_w=0.1, goal=Goal(weight))
    return given


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_played_moves_keep_state_and_value_up_to_date(weight):
    given = contended_instance(2, weight)
    annealer = Annealer(given, 1)
    annealer.play_from(make_policy("heft").plan(given, np.random.default_rng(0)))
    start = annealer.value
    n_played = contended.anneal_played(*annealer._schedule, *annealer._rules, *annealer._engine, 300, 0.05, 0.01)
    assert 0 < n_played <= 300
    fresh = Annealer(given, 0)
    fresh.tasks[[layout.ORDER, layout.DEVICE]] = annealer.tasks[[layout.ORDER, layout.DEVICE]]
    kernels.settle(*fresh._schedule, fresh._price, fresh._goal, fresh.now)
    for row in (layout.END, layout.REST):
        assert np.array_equal(annealer._times[row], fresh._times[row])
    assert annealer.now[kernels.MAKESPAN] == fresh.now[kernels.MAKESPAN]
    assert annealer.now[kernels.ENERGY] == pytest.approx(fresh.now[kernels.ENERGY])
    assert annealer.value <= start
    value = values_of(given, [annealer.plan()])[0]
    assert value == pytest.approx(np.exp(annealer.value) if weight else annealer.value)


def test_what_is_played_is_within_the_slack_without_contention():
    annealer = Annealer(contended_instance(2), 1)
    annealer.play_from(make_policy("heft").plan(annealer.instance, np.random.default_rng(0)))
    move, tasks = annealer._move, annealer.tasks
    move[[kernels.TASK, kernels.FROM, kernels.N_BLOCK]] = 0, tasks[layout.DEVICE, 0], 0
    limit_s = contended.promising_s(tasks, annealer._price, annealer._goal, move, annealer.now, 0.05)
    assert limit_s == pytest.approx(1.05 * annealer.now[kernels.MAKESPAN])
    none = contended.anneal_played(*annealer._schedule, *annealer._rules, *annealer._engine, 200, -1.0, 0.01)
    assert none == 0


def test_a_plan_under_contention_runs_in_the_order_that_was_played():
    given = contended_instance(4)
    annealer = Annealer(given, 0)
    annealer.play_from(make_policy("heft").plan(given, np.random.default_rng(0)))
    plan = annealer.plan()
    assert np.array_equal(np.argsort(-plan.priority), annealer.tasks[layout.BEST_ORDER])
    assert (plan.priority[given.edge_src] > plan.priority[given.edge_dst]).all()


def test_knobs_are_as_many_as_they_have_names():
    assert len(KNOBS) == kernels.LONGEST_MODEL + 1
    assert KNOBS[kernels.SHARE_CHAIN] + KNOBS[kernels.SHARE_STAY] < 1024
