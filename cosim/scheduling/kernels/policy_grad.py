"""Gradients of the learned policy, written out: log-probabilities of roll-outs back to every weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.scheduling.kernels.policy_features import Known
from cosim.scheduling.kernels.policy_net import Weights, embed, pair_base
from cosim.scheduling.kernels.policy_roll import Record, Scratch, make_record, make_scratch, roll_out
from hw_models.kernels._jit import kernel

if TYPE_CHECKING:
    from cosim.scheduling.arrays import Arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEGLIGIBLE = 1e-5  # difference of a probability from what was done, below which a pair teaches nothing
SPREAD = 0.02  # of log makespans, below which samples count as alike


@kernel
def pair_gradient(slope: float, x: Floats, base: Floats, base_grad: Floats, t: int, p: int, w: Weights, g: Weights, s: Scratch) -> None:
    """Add slope * d score of one pair to the gradients of what a step computes."""
    n_features, h = w.pair_step.shape
    for j in range(h):
        s.hidden[j] = base[t, p, j]
    for f in range(n_features):
        g.rule_step[f] += slope * x[f]
        s.squashed[f] = x[f] / (1.0 + abs(x[f]))
        for j in range(h):
            s.hidden[j] += s.squashed[f] * w.pair_step[f, j]
    for j in range(h):
        g.pair_out[j] += slope * max(s.hidden[j], 0.0)
        s.hidden[j] = slope * w.pair_out[j] if s.hidden[j] > 0.0 else 0.0
        base_grad[t, p, j] += s.hidden[j]
    for f in range(n_features):
        for j in range(h):
            g.pair_step[f, j] += s.squashed[f] * s.hidden[j]


@kernel
def step_gradient(
    weight: float,
    entropy: float,
    heat: float,
    record: Record,
    step: int,
    only_task: bool,
    base: Floats,
    w: Weights,
    g: Weights,
    base_grad: Floats,
    rule_grad: Floats,
    s: Scratch,
) -> float:
    """Add the gradient of weight * -log p[chosen] - entropy * H(p) of one step; return -log p[chosen].

    With p = softmax(score / heat), d(-log p[chosen])/d score[k] = (p[k] - [k = chosen]) / heat, and
    d(-H)/d score[k] = p[k] (log p[k] + H) / heat. `only_task`: p of the device, given the task.
    """
    size, chosen = record.size[step], record.chosen[step]
    score, task = record.score[step], record.task[step]
    top, total = -np.inf, 0.0
    for k in range(size):
        if not only_task or task[k] == task[chosen]:
            top = max(top, score[k])
    mean = 0.0
    for k in range(size):
        if not only_task or task[k] == task[chosen]:
            share = np.exp((score[k] - top) / heat)
            total += share
            mean += share * (score[k] - top) / heat
    mean /= total
    for k in range(size):
        if only_task and task[k] != task[chosen]:
            continue
        share = np.exp((score[k] - top) / heat) / total
        miss = share - (1.0 if k == chosen else 0.0)
        slope = (weight * miss + entropy * share * ((score[k] - top) / heat - mean)) / heat  # log p + H = score/heat - its mean
        if max(abs(miss), share) > NEGLIGIBLE:
            rule_grad[task[k], record.device[step, k]] += slope
            pair_gradient(slope, record.features[step, k], base, base_grad, task[k], record.device[step, k], w, g, s)
    return float(np.log(total) - (score[chosen] - top) / heat)


@kernel
def base_gradient(
    task: Floats, pair: Floats, embedding: Floats, base_grad: Floats, rule_grad: Floats, w: Weights, g: Weights, embedding_grad: Floats
) -> None:
    """Take the gradients of `pair_base` back to weights and embeddings."""
    n, m, h = base_grad.shape
    for t in range(n):
        for p in range(m):
            slope = rule_grad[t, p]
            if slope == 0.0:
                continue
            for i in range(task.shape[1]):
                g.rule_task[i] += slope * task[t, i]
            for i in range(pair.shape[2]):
                x = pair[t, p, i]
                g.rule_pair[i] += slope * x
                x /= 1.0 + abs(x)
                for j in range(h):
                    g.pair_known[i, j] += x * base_grad[t, p, j]
            for j in range(h):
                g.pair_bias[j] += base_grad[t, p, j]
            for i in range(embedding.shape[1]):
                for j in range(h):
                    g.pair_embedding[i, j] += embedding[t, i] * base_grad[t, p, j]
                    embedding_grad[t, i] += w.pair_embedding[i, j] * base_grad[t, p, j]


@kernel
def embed_gradient(a: Arrays, task: Floats, states: Floats, pooled: Floats, argmax: Ints, out_grad: Floats, w: Weights, g: Weights) -> None:
    """Take the gradients of the embeddings back through the rounds of `embed`; `out_grad` [n, d] is overwritten."""
    n, d = out_grad.shape
    for r in range(w.message.shape[0] - 1, -1, -1):
        below = np.zeros((n, d))
        for t in range(n):
            for j in range(d):
                if states[r + 1, t, j] <= 0.0:
                    continue
                slope = out_grad[t, j]
                g.message_bias[r, j] += slope
                for i in range(d):
                    g.message[r, 0, i, j] += slope * states[r, t, i]
                    below[t, i] += slope * w.message[r, 0, i, j]
                    for c in range(4):
                        g.message[r, c + 1, i, j] += slope * pooled[r, c, t, i]
                for i in range(d):
                    n_in, n_out = a.pred_first[t + 1] - a.pred_first[t], a.succ_first[t + 1] - a.succ_first[t]
                    for e in range(a.pred_first[t], a.pred_first[t + 1]):
                        below[a.pred[e], i] += slope * w.message[r, 1, i, j] / n_in
                    for k in range(a.succ_first[t], a.succ_first[t + 1]):
                        below[a.succ[k], i] += slope * w.message[r, 3, i, j] / n_out
                    if argmax[r, 0, t, i] >= 0:
                        below[argmax[r, 0, t, i], i] += slope * w.message[r, 2, i, j]
                    if argmax[r, 1, t, i] >= 0:
                        below[argmax[r, 1, t, i], i] += slope * w.message[r, 4, i, j]
        out_grad[:] = below
    for t in range(n):
        for j in range(d):
            if states[0, t, j] > 0.0:
                g.task_bias[j] += out_grad[t, j]
                for i in range(task.shape[1]):
                    g.task_in[i, j] += out_grad[t, j] * task[t, i] / (1.0 + abs(task[t, i]))


class Tape(NamedTuple):
    """What one forward pass over the graph leaves for the way back; see `embed` and `pair_base`."""

    states: Floats
    pooled: Floats
    argmax: Ints
    base: Floats
    rule: Floats
    base_grad: Floats
    rule_grad: Floats


@kernel
def forward(a: Arrays, known: Known, w: Weights) -> Tape:
    """Run the network over the graph; gradients start at zero."""
    n, m = a.cost_s.shape
    h, d, rounds = w.pair_out.size, w.task_bias.size, w.message.shape[0]
    states, pooled = np.zeros((rounds + 1, n, d)), np.zeros((rounds, 4, n, d))
    argmax = np.zeros((rounds, 2, n, d), np.int64)
    base, rule = np.zeros((n, m, h)), np.zeros((n, m))
    embed(a, known.task, w, states, pooled, argmax)
    pair_base(known.task, known.pair, states[rounds], w, base, rule)
    return Tape(states, pooled, argmax, base, rule, np.zeros((n, m, h)), np.zeros((n, m)))


@kernel
def backward(a: Arrays, known: Known, w: Weights, tape: Tape, g: Weights) -> None:
    """Take what the steps have left in the tape back to the weights."""
    embedding = tape.states[tape.states.shape[0] - 1]
    embedding_grad = np.zeros(embedding.shape)
    base_gradient(known.task, known.pair, embedding, tape.base_grad, tape.rule_grad, w, g, embedding_grad)
    embed_gradient(a, known.task, tape.states, tape.pooled, tape.argmax, embedding_grad, w, g)


@kernel
def reinforce(a: Arrays, known: Known, w: Weights, g: Weights, heat: float, entropy: float, draws: Floats, judged_s: Floats) -> Floats:
    """Sample roll-outs of one instance and add a policy gradient of log makespan to `g`; return the makespans.

    draws [k, n] in [0, 1). With l = log makespan, the weight of d(-log probability) of sample i is
    -(l_i - mean l) / (standard deviation of l + SPREAD) / k: the samples are each other's baseline
    (Williams, Machine Learning 8, 1992; Kool, van Hoof, Welling, ICLR workshop, 2019). `entropy` times the
    entropy of every choice is rewarded, so that samples stay apart. judged_s [k], when it has any length, stands for
    the makespans: what somebody else, an engine with contention, found for the same draws.
    """
    k, n = draws.shape
    m = a.cost_s.shape[1]
    tape, scratch, nobody = forward(a, known, w), make_scratch(n, m, w.pair_out.size), np.zeros(0, np.int64)
    device, start_s, end_s = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    makespan_s, value = np.zeros(k), np.zeros(k)
    records = [make_record(n, m) for _ in range(k)]
    for i in range(k):
        makespan_s[i] = roll_out(a, known, w, tape.base, tape.rule, heat, draws[i], nobody, scratch, device, start_s, end_s, records[i])
        if judged_s.size > 0:
            makespan_s[i] = judged_s[i]
        value[i] = np.log(max(makespan_s[i], 1e-12 * known.scale_s))
    mean = value.mean()
    spread = np.sqrt(((value - mean) ** 2).mean())
    for i in range(k):
        weight = -(value[i] - mean) / (spread + SPREAD) / k
        if abs(weight) > 1e-9 or entropy > 0.0:
            for step in range(n):
                step_gradient(weight, entropy / k, heat, records[i], step, False, tape.base, w, g, tape.base_grad, tape.rule_grad, scratch)
    backward(a, known, w, tape, g)
    return makespan_s


@kernel
def imitate(a: Arrays, known: Known, w: Weights, g: Weights, heat: float, guide: Ints) -> float:
    """Add the gradient of the mean over steps of -log probability of a guide's devices [n] to `g`; return that mean."""
    n, m = a.cost_s.shape
    tape, record, scratch = forward(a, known, w), make_record(n, m), make_scratch(n, m, w.pair_out.size)
    device, start_s, end_s = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    roll_out(a, known, w, tape.base, tape.rule, heat, np.zeros(n), guide, scratch, device, start_s, end_s, record)
    surprise = 0.0
    for step in range(n):
        surprise += step_gradient(1.0 / n, 0.0, heat, record, step, True, tape.base, w, g, tape.base_grad, tape.rule_grad, scratch) / n
    backward(a, known, w, tape, g)
    return surprise
