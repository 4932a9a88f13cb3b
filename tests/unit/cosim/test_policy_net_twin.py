"""The network of the learned policy against plain Python: message passing by lists of neighbors, scores by sums, draws by frequencies."""

from __future__ import annotations

import math
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.scheduling.base import Instance
from cosim.scheduling.generate import random_instance
from cosim.scheduling.kernels.policy_features import N_PAIR_FEATURES, N_TASK_FEATURES
from cosim.scheduling.kernels.policy_net import Weights, choose, embed, pair_base, pool
from cosim.scheduling.policy_weights import as_weights, n_weights

SLOW = numba.config.DISABLE_JIT
SEEDS = st.integers(0, 10_000)
WIDTH, HIDDEN, ROUNDS = 3, 4, 2


def small(seed):
    return random_instance(np.random.default_rng(seed), (2, 9), (1, 3))


def weights_of(seed):
    """Every weight drawn, so that none drops out of a sum."""
    return as_weights(np.random.default_rng(seed).normal(0.0, 0.5, n_weights(WIDTH, HIDDEN)), WIDTH, HIDDEN)


def known_of(instance, seed):
    """Features drawn at random: the network must not care what they mean."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (instance.n_tasks, N_TASK_FEATURES)), rng.normal(0, 2, (*instance.cost_s.shape, N_PAIR_FEATURES))


def embedded(instance, task, w):
    """What the kernel fills: embeddings after each round, pooled inputs and successors, and where maxima come from."""
    n = instance.n_tasks
    states = np.full((ROUNDS + 1, n, WIDTH), np.nan)
    pooled = np.full((ROUNDS, 4, n, WIDTH), np.nan)
    argmax = np.full((ROUNDS, 2, n, WIDTH), -7, np.int64)
    embed(instance.arrays, task, w, states, pooled, argmax)
    return states, pooled, argmax


def squash(x):
    return x / (1 + abs(x))


def neighbors(instance):
    """Inputs and successors of each task."""
    ins = [[int(instance.edge_src[e]) for e in edges] for edges in instance.in_edges]
    return ins, [list(tasks) for tasks in instance.successors]


def twin_states(instance, task, w):
    """Lists of lists of floats, one sum at a time."""
    n, layers = instance.n_tasks, []
    first = [
        [max(0.0, w.task_bias[j] + sum(squash(x) * w.task_in[i, j] for i, x in enumerate(task[t]))) for j in range(WIDTH)] for t in range(n)
    ]
    layers.append(first)
    for r in range(ROUNDS):
        now, after = layers[-1], []
        for t in range(n):
            parts = [now[t]]
            for side in neighbors(instance):
                columns = list(zip(*(now[u] for u in side[t]), strict=True)) or [(0.0,)] * WIDTH
                parts += [[math.fsum(column) / len(column) for column in columns], [max(column) for column in columns]]
            sums = [
                w.message_bias[r, j] + sum(part[i] * w.message[r, c, i, j] for c, part in enumerate(parts) for i in range(WIDTH))
                for j in range(WIDTH)
            ]
            after.append([max(0.0, value) for value in sums])
        layers.append(after)
    return np.array(layers)


def diamond(**changes):
    """t0 feeds t1 and t2, which feed t3; one device."""
    values = {
        "task_names": ("a", "b", "c", "d"),
        "device_names": ("p0",),
        "cost_s": np.ones((4, 1)),
        "edge_src": [0, 0, 1, 2],
        "edge_dst": [1, 2, 3, 3],
        "edge_bytes": np.zeros(4),
        "bandwidth_bytes_per_s": np.ones((1, 1)),
        "latency_s": np.zeros((1, 1)),
    }
    return Instance(**(values | changes))


@settings(max_examples=6 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_embeddings_are_those_of_the_plain_twin(seed):
    instance, w = small(seed), weights_of(seed)
    task, _ = known_of(instance, seed)
    assert embedded(instance, task, w)[0] == pytest.approx(twin_states(instance, task, w), rel=1e-9, abs=1e-12)


@settings(max_examples=6 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_a_maximum_is_the_value_of_the_neighbor_that_it_names(seed):
    """What back-propagation sends a gradient to; and no mean is above the maximum."""
    instance, w = small(seed), weights_of(seed)
    states, pooled, argmax = embedded(instance, known_of(instance, seed)[0], w)
    for r in range(ROUNDS):
        for side, of in enumerate(neighbors(instance)):
            mean, most, where = pooled[r, 2 * side], pooled[r, 2 * side + 1], argmax[r, side]
            assert (mean <= most + 1e-12).all()
            for t, tasks in enumerate(of):
                for j in range(WIDTH):
                    if not tasks:
                        assert (mean[t, j], most[t, j], where[t, j]) == (0.0, 0.0, -1)
                        continue
                    assert where[t, j] in tasks
                    assert most[t, j] == states[r, where[t, j], j] == max(states[r, u, j] for u in tasks)


def test_inputs_and_successors_of_a_diamond_are_pooled_apart():
    """The embedding of task t is its number: a bias of nothing, and one feature that squashes to t/10."""
    instance = diamond()
    w = Weights(*(np.zeros_like(array) for array in weights_of(0)))
    w.task_in[0, :] = 10.0
    task = np.zeros((4, N_TASK_FEATURES))
    task[:, 0] = [0, 1 / 9, 2 / 8, 3 / 7]  # x/(1 + x) = 0, 0.1, 0.2, 0.3
    states, pooled, argmax = embedded(instance, task, w)
    assert states[0, :, 0] == pytest.approx([0, 1, 2, 3])
    assert pooled[0, 0, :, 0] == pytest.approx([0, 0, 0, 1.5])  # mean of inputs
    assert pooled[0, 1, :, 0] == pytest.approx([0, 0, 0, 2])  # their maximum
    assert pooled[0, 2, :, 0] == pytest.approx([1.5, 3, 3, 0])  # mean of successors
    assert pooled[0, 3, :, 0] == pytest.approx([2, 3, 3, 0])
    assert argmax[0, :, :, 0].tolist() == [[-1, 0, 0, 2], [2, 3, 3, -1]]
    assert not states[1:].any()  # all messages weigh nothing


@pytest.mark.parametrize(
    ("channel", "expected"), [(0, [0, 1, 2, 3]), (1, [0, 0, 0, 1.5]), (2, [0, 0, 0, 2]), (3, [1.5, 3, 3, 0]), (4, [2, 3, 3, 0])]
)
def test_each_channel_of_a_message_carries_what_its_place_says(channel, expected):
    """Own, mean and maximum of inputs, mean and maximum of successors: one of them through, the others shut."""
    w = Weights(*(np.zeros_like(array) for array in weights_of(0)))
    w.task_in[0, :] = 10.0
    w.message[0, channel] = np.eye(WIDTH)
    task = np.zeros((4, N_TASK_FEATURES))
    task[:, 0] = [0, 1 / 9, 2 / 8, 3 / 7]
    assert embedded(diamond(), task, w)[0][1] == pytest.approx(np.repeat(np.array(expected)[:, np.newaxis], WIDTH, axis=1))


@settings(max_examples=5 if SLOW else 30, deadline=None)
@given(SEEDS)
def test_numbering_tasks_otherwise_numbers_embeddings_otherwise_and_no_more(seed):
    instance, w = small(seed), weights_of(seed)
    task, _ = known_of(instance, seed)
    new_of = np.random.default_rng(seed + 1).permutation(instance.n_tasks)
    old_of = np.argsort(new_of)
    other = replace(instance, cost_s=instance.cost_s[old_of], edge_src=new_of[instance.edge_src], edge_dst=new_of[instance.edge_dst])
    states = embedded(instance, task, w)[0]
    assert embedded(other, task[old_of], w)[0] == pytest.approx(states[:, old_of], rel=1e-9, abs=1e-12)


@settings(max_examples=5 if SLOW else 30, deadline=None)
@given(SEEDS)
def test_after_two_rounds_a_task_knows_nothing_of_what_is_three_edges_away(seed):
    instance, w = small(seed), weights_of(seed)
    task, _ = known_of(instance, seed)
    linked = np.eye(instance.n_tasks, dtype=bool)
    linked[instance.edge_src, instance.edge_dst] = linked[instance.edge_dst, instance.edge_src] = True
    near = (linked.astype(int) @ linked.astype(int)) > 0  # two edges or fewer
    changed = task.copy()
    changed[0] += 3.0
    before, after = (embedded(instance, one, w)[0] for one in (task, changed))
    assert np.array_equal(before[1][~linked[0]], after[1][~linked[0]])
    assert np.array_equal(before[2][~near[0]], after[2][~near[0]])


def test_pooling_of_negative_values_keeps_the_largest_of_them():
    """A maximum does not begin at 0: embeddings are never negative, but what is pooled may be some day."""
    state = np.array([[-5.0], [-2.0], [-9.0]])
    mean, most, argmax = np.zeros((3, 1)), np.zeros((3, 1)), np.zeros((3, 1), np.int64)
    pool(np.array([0, 2, 2, 3]), np.array([0, 1, 2]), state, mean, most, argmax)
    assert mean.ravel().tolist() == [-3.5, 0, -9]
    assert most.ravel().tolist() == [-2, 0, -9]
    assert argmax.ravel().tolist() == [1, -1, 2]


@settings(max_examples=6 if SLOW else 40, deadline=None)
@given(SEEDS)
def test_hidden_units_and_rule_of_a_pair_are_plain_sums(seed):
    """The rule reads features as they are, the network reads them squashed."""
    instance, w = small(seed), weights_of(seed)
    task, pair = known_of(instance, seed)
    embedding = np.random.default_rng(seed + 2).normal(0, 1, (instance.n_tasks, WIDTH))
    base, rule = np.full((*instance.cost_s.shape, HIDDEN), np.nan), np.full(instance.cost_s.shape, np.nan)
    pair_base(task, pair, embedding, w, base, rule)
    for t, p in np.ndindex(instance.cost_s.shape):
        assert rule[t, p] == pytest.approx(math.fsum(task[t] * w.rule_task) + math.fsum(pair[t, p] * w.rule_pair))
        for j in range(HIDDEN):
            known_part = sum(squash(x) * w.pair_known[i, j] for i, x in enumerate(pair[t, p]))
            own = w.pair_bias[j] + sum(embedding[t, i] * w.pair_embedding[i, j] for i in range(WIDTH))
            assert base[t, p, j] == pytest.approx(own + known_part, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8), st.integers(0, 3), st.floats(0, 0.999))
def test_without_heat_the_first_of_the_best_is_taken_whatever_the_draw(values, beyond, draw):
    """Scores behind the count are scratch of other steps."""
    score = np.array([*values, *[99] * beyond], np.float64)
    assert choose(score, len(values), 0.0, draw) == values.index(max(values))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.floats(0.05, 3.0), st.floats(-1e3, 1e3))
def test_a_draw_that_runs_through_all_takes_each_as_often_as_the_softmax_says(values, heat, offset):
    """400 draws, even in [0, 1): shares are right to one in 400, and a number added to all scores changes none by more."""
    draws = (np.arange(400) + 0.5) / 400
    share = np.exp((np.array(values) - max(values)) / heat)
    share /= share.sum()
    for score in (np.array(values), np.array(values) + offset):
        picks = [choose(score, len(values), heat, float(draw)) for draw in draws]
        assert picks == sorted(picks)
        assert np.bincount(picks, minlength=len(values)) / 400 == pytest.approx(share, abs=1 / 400 + 1e-6)


def test_scores_far_apart_neither_overflow_nor_underflow():
    score = np.array([-1e6, 1e6, 0.0])
    assert {choose(score, 3, 0.01, draw) for draw in (0.0, 0.5, 0.999999)} == {1}
