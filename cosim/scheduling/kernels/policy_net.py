"""The learned policy: message passing over the graph once, then one small network per (ready task, device) and step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_STEP_FEATURES = 16


class Weights(NamedTuple):
    """Weights of width d of embeddings and h hidden units of a pair.

    task_in [n_task, d], task_bias [d]      first embedding
    message [rounds, 5, d, d], message_bias [rounds, d]   own, mean and max of inputs, mean and max of successors
    pair_embedding [d, h], pair_known [n_pair, h], pair_step [n_step, h], pair_bias [h], pair_out [h]
    rule_task [n_task], rule_pair [n_pair], rule_step [n_step]   the linear rule that the network corrects
    """

    task_in: Floats
    task_bias: Floats
    message: Floats
    message_bias: Floats
    pair_embedding: Floats
    pair_known: Floats
    pair_step: Floats
    pair_bias: Floats
    pair_out: Floats
    rule_task: Floats
    rule_pair: Floats
    rule_step: Floats


@kernel
def embed(a: Arrays, task: Floats, w: Weights, states: Floats, pooled: Floats, argmax: Ints) -> None:
    """Fill embeddings of all tasks, [rounds + 1, n, d], and what they were made of, [rounds, 4, n, d] and [rounds, 2, n, d]."""
    n, d = task.shape[0], w.task_bias.size
    for t in range(n):
        for j in range(d):
            states[0, t, j] = w.task_bias[j]
        for i in range(task.shape[1]):
            x = task[t, i] / (1.0 + abs(task[t, i]))
            for j in range(d):
                states[0, t, j] += x * w.task_in[i, j]
        for j in range(d):
            states[0, t, j] = max(states[0, t, j], 0.0)
    for r in range(w.message.shape[0]):
        pool(a.pred_first, a.pred, states[r], pooled[r, 0], pooled[r, 1], argmax[r, 0])
        pool(a.succ_first, a.succ, states[r], pooled[r, 2], pooled[r, 3], argmax[r, 1])
        for t in range(n):
            out = states[r + 1, t]
            for j in range(d):
                out[j] = w.message_bias[r, j]
            for i in range(d):
                x, x0, x1, x2, x3 = states[r, t, i], pooled[r, 0, t, i], pooled[r, 1, t, i], pooled[r, 2, t, i], pooled[r, 3, t, i]
                for j in range(d):
                    out[j] += (
                        x * w.message[r, 0, i, j]
                        + x0 * w.message[r, 1, i, j]
                        + x1 * w.message[r, 2, i, j]
                        + x2 * w.message[r, 3, i, j]
                        + x3 * w.message[r, 4, i, j]
                    )
            for j in range(d):
                out[j] = max(out[j], 0.0)


@kernel
def pool(first: Ints, other: Ints, state: Floats, mean: Floats, most: Floats, argmax: Ints) -> None:
    """Fill mean and maximum over the neighbors of each task, 0 without any, and where the maximum came from."""
    n, d = state.shape
    for t in range(n):
        count = first[t + 1] - first[t]
        for j in range(d):
            mean[t, j], most[t, j], argmax[t, j] = 0.0, 0.0, -1
        for k in range(first[t], first[t + 1]):
            u = other[k]
            for j in range(d):
                mean[t, j] += state[u, j] / count
                if argmax[t, j] < 0 or state[u, j] > most[t, j]:
                    most[t, j], argmax[t, j] = state[u, j], u


@kernel
def pair_base(task: Floats, pair: Floats, embedding: Floats, w: Weights, base: Floats, rule: Floats) -> None:
    """Fill what does not change from step to step: hidden units [n, m, h] before the step's part, and the rule's score [n, m]."""
    n, m, h = base.shape
    own = np.zeros(h)
    for t in range(n):
        rule_task = 0.0
        for i in range(task.shape[1]):
            rule_task += task[t, i] * w.rule_task[i]
        for j in range(h):
            own[j] = w.pair_bias[j]
        for i in range(embedding.shape[1]):
            for j in range(h):
                own[j] += embedding[t, i] * w.pair_embedding[i, j]
        for p in range(m):
            out = base[t, p]
            rule[t, p] = rule_task
            for j in range(h):
                out[j] = own[j]
            for i in range(pair.shape[2]):
                x = pair[t, p, i]
                rule[t, p] += x * w.rule_pair[i]
                x /= 1.0 + abs(x)
                for j in range(h):
                    out[j] += x * w.pair_known[i, j]


@kernel
def choose(score: Floats, count: int, heat: float, draw: float) -> int:
    """Index of the highest score at heat 0 (ties: the first), else drawn from softmax(score / heat) by `draw` in [0, 1)."""
    best = 0
    for i in range(count):
        if score[i] > score[best]:
            best = i
    if heat <= 0.0:
        return best
    total, top = 0.0, score[best]
    for i in range(count):
        total += np.exp((score[i] - top) / heat)
    left = draw * total
    for i in range(count):
        left -= np.exp((score[i] - top) / heat)
        if left < 0.0:
            return i
    return best
