"""The learned policy: its roll-out against a plain twin, and the laws that hold whatever the weights."""

import json
import math
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.generate import random_instance, random_instances
from cosim.scheduling.instance import Goal, Instance
from cosim.scheduling.kernels.policy_features import known, tails
from cosim.scheduling.kernels.policy_net import Weights, choose, embed, pair_base, pool
from cosim.scheduling.kernels.policy_roll import MARGIN, N_READY
from cosim.scheduling.kernels.ranks import upward_rank
from cosim.scheduling.learned import seed_plans
from cosim.scheduling.policy_weights import SHIPPED, Trained, as_weights, initial, load, n_weights, save, shapes, shipped
from workloads.errors import ScheduleError

NO = np.inf
SLOW = numba.config.DISABLE_JIT


def instance(cost, edges=(), bandwidth=1.0, latency=0.0, **changes):
    n, m = np.array(cost).shape if len(cost) else (0, changes.pop("n_devices"))
    return Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(f"p{p}" for p in range(m)),
        cost_s=np.array(cost, float).reshape(n, m),
        edge_src=[edge[0] for edge in edges],
        edge_dst=[edge[1] for edge in edges],
        edge_bytes=[edge[2] for edge in edges],
        bandwidth_bytes_per_s=np.full((m, m), bandwidth),
        latency_s=np.full((m, m), latency),
        **changes,
    )


def some_weights(seed, width=4, n_hidden=6):
    """Weights whose network speaks up."""
    rng = np.random.default_rng(seed)
    flat = initial(rng, width, n_hidden)
    weights = as_weights(flat, width, n_hidden)
    weights.pair_out[:] = rng.normal(0.0, 0.7, n_hidden)
    for array in (weights.task_bias, weights.message_bias, weights.pair_bias):
        array[:] = rng.normal(0.0, 0.3, array.shape)
    for array in (weights.rule_task, weights.rule_pair, weights.rule_step):
        array[:] += rng.normal(0.0, 0.05, array.shape)
    return Trained(weights, 0.3)


def squash(x):
    return x / (1 + np.abs(x))


class Twin:
    """The roll-out in plain Python: everything is computed anew in every step."""

    def __init__(self, given, weights):
        self.given, self.w, self.known = given, weights, known(given.arrays)
        self.n, self.m = given.cost_s.shape
        self.placed = {}  # task: (device, start, end)
        self.order = self.by_rank()

    def by_rank(self):
        place = {task: i for i, task in enumerate(self.given.topological_order.tolist())}
        return sorted(range(self.n), key=lambda t: (-self.known.rank_s[t], place[t]))

    def embeddings(self):
        w, given = self.w, self.given
        state = np.maximum(squash(self.known.task) @ w.task_in + w.task_bias, 0)
        for r in range(w.message.shape[0]):
            sides = []
            for ends, others in ((given.in_edges, given.edge_src), (given.out_edges, given.edge_dst)):
                for way in (np.mean, np.max):
                    rows = [way(state[others[list(e)]], axis=0) if e else np.zeros(state.shape[1]) for e in ends]
                    sides.append(np.array(rows).reshape(state.shape))
            total = state @ w.message[r, 0] + sum(side @ w.message[r, c + 1] for c, side in enumerate(sides))
            state = np.maximum(total + w.message_bias[r], 0)
        return state

    def arrival(self, t, p):
        """When the last placed input of a task is there."""
        times = [0.0]
        for e in self.given.in_edges[t]:
            u = int(self.given.edge_src[e])
            if u in self.placed:
                q, _, end = self.placed[u]
                way = self.given.latency_s[q, p] + self.given.edge_bytes[e] / self.given.bandwidth_bytes_per_s[q, p]
                times.append(end + (way if p != q else 0.0))
        return max(times)

    def begin(self, t, p):
        """First gap that fits."""
        cost, start = self.given.cost_s[t, p], self.arrival(t, p)
        for _, begin, end in sorted((v for v in self.placed.values() if v[0] == p), key=lambda v: (v[2], v[1])):
            if end <= start:
                continue
            if begin >= start + cost:
                break
            start = max(start, end)
        return start

    def free(self, p):
        return max((end for q, _, end in self.placed.values() if q == p), default=0.0)

    def ahead(self, t, p, finish):
        worst = finish
        for e in self.given.out_edges[t]:
            c, best = int(self.given.edge_dst[e]), NO
            for q in np.flatnonzero(self.given.supported[c]).tolist():
                way = self.given.latency_s[p, q] + self.given.edge_bytes[e] / self.given.bandwidth_bytes_per_s[p, q] if p != q else 0.0
                start = max(self.arrival(c, q), finish + way, self.free(q))
                best = min(best, start + self.given.cost_s[c, q] + self.known.tail_s[c, q])
            worst = max(worst, best)
        return worst

    def pairs(self):
        """Ready tasks and devices, with all that the features are made of."""
        ready = [
            t
            for t in self.order
            if t not in self.placed and all(int(self.given.edge_src[e]) in self.placed for e in self.given.in_edges[t])
        ]
        rows = []
        for t in ready[:N_READY]:
            for p in np.flatnonzero(self.given.supported[t]).tolist():
                begin = self.begin(t, p)
                finish = begin + self.given.cost_s[t, p]
                rows.append((t, p, begin, finish, self.arrival(t, p), self.ahead(t, p, finish), self.free(p)))
        return rows

    def features(self, rows):
        known_, left = self.known, [t for t in range(self.n) if t not in self.placed]
        load = [sum(known_.prefer[t, p] * self.given.cost_s[t, p] for t in left if known_.prefer[t, p] > 0) for p in range(self.m)]
        due = [self.free(p) + load[p] for p in range(self.m)]
        ends = {t: sorted(row[3] for row in rows if row[0] == t) for t in {row[0] for row in rows}}
        best_ahead = {t: min(row[5] for row in rows if row[0] == t) for t in ends}
        out = []
        for t, p, begin, finish, arrival, ahead, free in rows:
            mine = [row for row in rows if row[0] == t]
            tail = known_.tail_s[t]
            x = [
                finish - ends[t][0],
                finish - min(row[3] for row in rows),
                finish + tail[p] - min(row[3] + tail[row[1]] for row in mine),
                ahead - best_ahead[t],
                ahead - max(best_ahead.values()),
                begin - arrival,
                max(0.0, begin - free),
                (begin < free) * known_.scale_s,
                arrival - min(row[4] for row in mine),
                free - min(self.free(q) for q in range(self.m)),
                begin - min(row[2] for row in rows),
                due[p] - np.mean(due),
                (due[p] - np.mean(due)) / known_.bound_s * known_.scale_s,
                ends[t][1] - ends[t][0] if len(ends[t]) > 1 else 0.0,
                max(0.0, ahead - known_.bound_s),
                len(left) / self.n * known_.scale_s,
            ]
            out.append(np.array(x) / known_.scale_s)
        return np.array(out)

    def run(self, heat, draws):
        w, k = self.w, self.known
        embedding = self.embeddings()
        for step in range(self.n):
            rows = self.pairs()
            x = self.features(rows)
            rule = np.array([k.task[r[0]] @ w.rule_task + k.pair[r[0], r[1]] @ w.rule_pair for r in rows]) + x @ w.rule_step
            base = np.array([embedding[r[0]] @ w.pair_embedding + squash(k.pair[r[0], r[1]]) @ w.pair_known + w.pair_bias for r in rows])
            score = rule + np.maximum(base + squash(x) @ w.pair_step, 0) @ w.pair_out
            kept = np.flatnonzero(rule >= rule.max() - MARGIN)
            if heat == 0:
                pick = kept[int(np.argmax(score[kept]))]
            else:
                p = np.exp((score[kept] - score[kept].max()) / heat)
                pick = kept[int(np.searchsorted(np.cumsum(p), draws[step] * p.sum(), side="right"))]
            t, p, begin, finish = rows[pick][:4]
            self.placed[t] = (p, begin, finish)
        return [self.placed[t] for t in range(self.n)]


@pytest.mark.parametrize("seed", range(8))
def test_the_roll_out_equals_its_plain_twin(seed):
    given = random_instance(np.random.default_rng(100 + seed), (4, 12 if SLOW else 30), (1, 5))
    trained = some_weights(seed)
    rng = np.random.default_rng(seed)
    draws = rng.random((1, given.n_tasks))
    for heat, count in ((0.0, 1), (trained.heat, 2)):
        plans = seed_plans(given, 2, np.random.default_rng(seed), count, trained)
        twin = Twin(given, trained.weights).run(heat, draws[0])
        found = [list(zip(plan.assignment.tolist(), plan.start_s.tolist(), plan.end_s.tolist(), strict=True)) for plan in plans]
        assert any(np.allclose(one, twin, rtol=1e-9, atol=1e-9) for one in found)


def test_tails_are_the_rest_of_the_way_at_best():
    # t0 -> t1, 3 bytes at 1 B/s and 1 s latency. t1 takes 5 s on p0 and 2 s on p1: after t0 on p0 either 5 or 4 + 2.
    given = instance([[1, 1], [5, 2]], [(0, 1, 3)], latency=1.0)
    tail_s = np.zeros((2, 2))
    tails(given.cost_s, given.arrays, tail_s)
    assert tail_s.tolist() == [[5, 2], [0, 0]]


def test_known_tables_of_a_chain_by_hand():
    given = instance([[2, 4], [6, NO]], [(0, 1, 3)])
    k = known(given.arrays)
    assert k.scale_s == pytest.approx((3 + 6) / 2)
    assert k.bound_s == pytest.approx(8)  # both on p0
    assert k.rank_s.tolist() == upward_rank(given.arrays).tolist() == [3 + 3 + 6, 6]
    assert k.prefer[1].tolist() == [1, 0]
    assert k.prefer.sum(axis=1) == pytest.approx([1, 1])
    assert k.prefer[0].min() > 0
    assert k.pair[0, 1, 0] == pytest.approx((4 - 2) / k.scale_s)
    assert k.pair[0, 1, 3] == pytest.approx((4 + 3 + 6 - 8) / k.scale_s)
    assert k.task[0, 8:12].tolist() == [1, 1, 0, 1]
    assert k.task[1, 8:12].tolist() == [0.5, 0, 1, 0]


def test_prices_spread_equal_tasks_over_equal_devices():
    given = instance(np.ones((8, 2)))
    assert known(given.arrays).prefer == pytest.approx(np.full((8, 2), 0.5))


def test_pooling_takes_mean_and_maximum_and_is_zero_without_neighbors():
    state = np.array([[1.0], [4.0], [0.0]])
    mean, most, argmax = np.zeros((3, 1)), np.zeros((3, 1)), np.zeros((3, 1), np.int64)
    pool(np.array([0, 0, 0, 2]), np.array([0, 1]), state, mean, most, argmax)
    assert mean.ravel().tolist() == [0, 0, 2.5]
    assert most.ravel().tolist() == [0, 0, 4]
    assert argmax.ravel().tolist() == [-1, -1, 1]


def test_a_draw_falls_where_the_softmax_says():
    score = np.log(np.array([1.0, 2.0, 1.0]))
    assert [choose(score, 3, 1.0, draw) for draw in (0.0, 0.24, 0.26, 0.74, 0.76, 0.999)] == [0, 0, 1, 1, 2, 2]
    assert choose(score, 3, 0.0, 0.9) == 1
    assert choose(np.zeros(4), 4, 0.0, 0.9) == 0


def test_an_untrained_network_adds_nothing_to_the_rule():
    weights = as_weights(initial(np.random.default_rng(0), 4, 6), 4, 6)
    assert not weights.pair_out.any()
    given = random_instance(np.random.default_rng(0), (4, 10))
    k, (n, m) = known(given.arrays), given.cost_s.shape
    states = np.zeros((3, n, 4))
    embed(given.arrays, k.task, weights, states, np.zeros((2, 4, n, 4)), np.zeros((2, 2, n, 4), np.int64))
    base, rule = np.zeros((n, m, 6)), np.zeros((n, m))
    pair_base(k.task, k.pair, states[2], weights, base, rule)
    assert base.any()
    assert rule == pytest.approx(np.repeat(k.rank_s[:, np.newaxis] / k.scale_s, m, axis=1))


@settings(max_examples=10 if SLOW else 50, deadline=None)
@drawn(st.integers(0, 10**6), st.integers(1, 8))
def test_plans_obey_the_laws_on_any_number_of_devices(seed, n_devices):
    given = random_instance(np.random.default_rng(seed), (2, 8 if SLOW else 40), (n_devices, n_devices)) if n_devices > 1 else None
    given = given or instance(np.random.default_rng(seed).uniform(0, 1, (6, 1)), [(0, 3, 1.0), (3, 5, 2.0)])
    for plan in seed_plans(given, 3, np.random.default_rng(seed), 4):
        check_plan(given, plan)


@pytest.mark.parametrize("k", [2.0**-30, 4.0, 2.0**20])
def test_times_in_another_unit_give_the_same_placement(k):
    for given in random_instances(21, 3 if SLOW else 12, (4, 10 if SLOW else 60)):
        scaled = replace(given, cost_s=given.cost_s * k, edge_bytes=given.edge_bytes * k, latency_s=given.latency_s * k)
        plan, other = (make_policy("learned").plan(one, np.random.default_rng(0)) for one in (given, scaled))
        assert np.array_equal(plan.assignment, other.assignment)
        assert np.array_equal(plan.start_s * k, other.start_s)


def test_bytes_and_bandwidths_in_another_unit_give_the_same_placement():
    for given in random_instances(22, 3 if SLOW else 12, (4, 10 if SLOW else 60)):
        scaled = replace(given, edge_bytes=given.edge_bytes * 8, bandwidth_bytes_per_s=given.bandwidth_bytes_per_s * 8)
        plan, other = (make_policy("learned").plan(one, np.random.default_rng(0)) for one in (given, scaled))
        assert np.array_equal(plan.start_s, other.start_s)


def test_graphs_without_tasks_or_with_one_are_planned():
    nothing = make_policy("learned:4").plan(instance([], n_devices=2), np.random.default_rng(0))
    assert (nothing.assignment.size, nothing.makespan_s) == (0, 0.0)
    one = make_policy("learned").plan(instance([[3, 2, NO]]), np.random.default_rng(0))
    assert (one.assignment.tolist(), one.makespan_s) == ([1], 2.0)


def test_tasks_that_take_no_time_are_planned():
    given = instance(np.zeros((5, 2)), [(0, 1, 0.0), (1, 2, 0.0), (0, 4, 7.0)])
    plan = make_policy("learned").plan(given, np.random.default_rng(0))
    check_plan(given, plan)
    assert plan.makespan_s == 0.0
    free = instance(np.zeros((3, 2)), [(0, 1, 0.0)])
    assert make_policy("learned:3").plan(free, np.random.default_rng(0)).makespan_s == 0.0


def test_a_chain_stays_where_moving_costs_more_than_it_saves():
    # Greedy earliest finish takes the array for every product and pays 4 s each way: 2 + (1 + 8 + 2) x 3; the host alone: 2 + 5 x 3.
    cost = [[2, NO]] + [[3, 1], [2, NO]] * 3
    given = instance(cost, [(i, i + 1, 4.0) for i in range(6)])
    plan = make_policy("learned").plan(given, np.random.default_rng(0))
    assert plan.assignment.tolist() == [0] * 7
    assert plan.makespan_s == 17


def test_a_greedy_plan_draws_nothing_and_the_best_of_more_is_never_worse():
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    given = random_instance(np.random.default_rng(8), (12, 14), (3, 3))
    last = make_policy("learned").plan(given, rng).makespan_s
    assert rng.bit_generator.state == before
    for count in (2, 4, 8, 16):
        best = make_policy(f"learned:{count}").plan(given, np.random.default_rng(1)).makespan_s
        assert best <= last
        last = best


def test_seed_plans_differ_and_come_best_first():
    given = random_instance(np.random.default_rng(9), (14, 16), (3, 3))
    plans = seed_plans(given, 5, np.random.default_rng(0), 12)
    assert 1 <= len(plans) <= 5
    assert [plan.makespan_s for plan in plans] == sorted(plan.makespan_s for plan in plans)
    assert len({plan.assignment.tobytes() + plan.start_s.tobytes() for plan in plans}) == len(plans)
    assert len(seed_plans(instance([[1.0]]), 5, np.random.default_rng(0))) == 1


def test_a_goal_of_energy_alone_puts_tasks_where_they_spend_least():
    energy_j = np.array([[1.0, 5.0], [7.0, 2.0], [3.0, 4.0]])
    given = instance(np.array([[9.0, 1.0], [1.0, 9.0], [9.0, 1.0]]), goal=Goal(energy_weight=1.0), task_energy_j=energy_j)
    assert make_policy("learned").plan(given, np.random.default_rng(0)).assignment.tolist() == [0, 1, 0]
    fast = replace(given, goal=Goal())
    assert make_policy("learned").plan(fast, np.random.default_rng(0)).assignment.tolist() == [1, 0, 1]


def test_the_best_of_several_is_the_best_by_the_goal():
    given = random_instance(np.random.default_rng(3), (12, 14), (3, 3))
    energy_j = np.random.default_rng(1).uniform(1, 9, given.cost_s.shape)
    goal = replace(given, goal=Goal(energy_weight=0.5), task_energy_j=energy_j, power_w=0.1)
    plans = seed_plans(goal, 6, np.random.default_rng(0), 6)
    values = []
    for plan in plans:
        joules = energy_j[np.arange(given.n_tasks), plan.assignment].sum() + 0.1 * plan.makespan_s
        values.append(math.sqrt(joules * plan.makespan_s))
    assert values == sorted(values)


def test_a_limit_of_accuracy_loss_is_kept_or_refused():
    loss = np.array([[0.0, 0.01]] * 4)
    given = instance([[5.0, 1.0]] * 4, [(0, 1, 0.1), (1, 2, 0.1)], task_loss=loss)
    fast = make_policy("learned").plan(given, np.random.default_rng(0))
    kept = replace(given, goal=Goal(max_loss=0.02))
    plan = make_policy("learned:3").plan(kept, np.random.default_rng(0))
    check_plan(kept, plan)
    assert loss[np.arange(4), fast.assignment].sum() > 0.02 >= loss[np.arange(4), plan.assignment].sum() - 1e-12
    with pytest.raises(ScheduleError, match="allow more"):
        make_policy("learned").plan(replace(given, task_loss=loss + 0.1, goal=Goal(max_loss=0.02)), np.random.default_rng(0))


@pytest.mark.parametrize("text", ["learned:0", "learned:npu", "learned:-3", "learned:2.5", "learned:99999999999"])
def test_what_is_no_number_of_roll_outs_is_refused(text):
    with pytest.raises(ScheduleError, match="roll-outs"):
        make_policy(text)


def test_the_shipped_weights_are_small_and_say_where_they_come_from():
    trained = shipped()
    assert SHIPPED.stat().st_size < 200_000
    assert sum(array.size for array in trained.weights) <= 10_000
    assert sum(array.size for array in trained.weights) == n_weights(trained.weights.task_bias.size, trained.weights.pair_bias.size)
    assert trained.provenance["cpu_minutes"] <= 10
    assert {"seed", "n_steps", "generator_version", "recipe", "curve"} <= set(trained.provenance)
    assert trained.provenance["curve"][-1]["greedy"] < trained.provenance["curve"][0]["greedy"]


def test_weights_are_read_as_written(tmp_path):
    trained = Trained(some_weights(1).weights, 0.25, {"seed": 1})
    save(trained, tmp_path / "w.json")
    again = load(tmp_path / "w.json")
    assert (again.heat, again.provenance) == (0.25, {"seed": 1})
    for name in Weights._fields:
        assert getattr(again.weights, name) == pytest.approx(getattr(trained.weights, name), rel=1e-5)


def test_views_of_a_vector_cover_it_once():
    flat = np.arange(n_weights(3, 5), dtype=float)
    weights = as_weights(flat, 3, 5)
    assert np.concatenate([array.ravel() for array in weights]).tolist() == flat.tolist()
    assert {name: array.shape for name, array in weights._asdict().items()} == shapes(3, 5)
    weights.rule_step[-1] = -7
    assert flat[-1] == -7


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": "other"}, "policy-weights-1"), ({"weights": {}}, "task_in"), (None, "cannot be read")],
)
def test_a_file_of_other_weights_is_refused(tmp_path, change, message):
    path = tmp_path / "w.json"
    save(some_weights(1), path)
    path.write_text("{" if change is None else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ScheduleError, match=message):
        load(path)


def test_weights_for_other_features_are_refused(tmp_path):
    trained = some_weights(1)
    save(Trained(trained.weights._replace(rule_step=np.zeros(3)), 0.1), tmp_path / "w.json")
    with pytest.raises(ScheduleError, match=r"rule_step has shape \(3,\)"):
        load(tmp_path / "w.json")


@pytest.mark.skipif(SLOW, reason="60 instances are slow without compilation")
def test_one_roll_out_beats_heft_by_five_percent_and_more_roll_outs_by_eight():
    ratios = []
    for given in random_instances(31, 60):
        heft_s = make_policy("heft").plan(given, np.random.default_rng(0)).makespan_s
        ratios.append([make_policy(text).plan(given, np.random.default_rng(0)).makespan_s / heft_s for text in ("learned", "learned:32")])
    greedy, best = np.exp(np.log(ratios).mean(axis=0))
    assert greedy < 0.95
    assert best < min(0.92, greedy)
