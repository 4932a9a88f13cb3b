"""Random scheduling instances, graphs x chips: what the learned policy is trained and chosen on, and compared on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.generate_graphs import CLASSIC, MATMUL, N_KINDS, NETWORKS, Graph, layered
from cosim.scheduling.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.engine.problem import BoolArray, FloatArray

# Raised whenever the same seed would give another instance; kept with trained weights.
GENERATOR_VERSION = 2

# Relative speed at (matmul, elementwise, attention, norm, other) work; 0: cannot run it. All values are assumed: they
# spread like those of edge chips, where a vector engine is slow at matrices and an in-memory array runs nothing else.
_SPEED = {
    "cpu": (1.0, 1.0, 1.0, 1.0, 1.0),
    "gpu": (6.0, 4.0, 5.0, 2.5, 2.0),
    "npu": (10.0, 2.0, 4.0, 0.0, 0.0),
    "dsp": (3.0, 3.0, 2.5, 2.0, 1.5),
    "cim": (18.0, 0.0, 0.0, 0.0, 0.0),
}


_LAYERED_SHARE = 0.45


def random_instance(rng: np.random.Generator, n_tasks: tuple[int, int] = (8, 120), n_devices: tuple[int, int] = (2, 6)) -> Instance:
    """Return a random graph on a random chip, with about `n_tasks` (least, most) tasks and `n_devices` (least, most) devices.

    Half of the graphs are of the scheduling literature, half are neural networks, alone or two at a time. Chips are
    of related, unrelated or kind-dependent costs, the latter with arrays that run matrix products only. The ratio of
    mean transfer to mean cost is log-uniform in 0.05 to 5; half of the instances are in integers.
    """
    n = int(np.exp(rng.uniform(*np.log(n_tasks))))
    m = int(rng.integers(n_devices[0], n_devices[1] + 1))
    is_network = rng.random() < 0.5
    graph = _network(rng, n) if is_network else _pick(rng, CLASSIC)(rng, n)
    draw = rng.random()
    if is_network or draw < 0.3:
        names, cost_s = _chip_by_kind(rng, graph, m)
    elif draw < 0.5:
        names, cost_s = _related(rng, graph, m)
    else:
        names, cost_s = _unrelated(rng, graph, m)
    return _instance(rng, graph, names, cost_s)


def random_instances(seed: int, count: int, n_tasks: tuple[int, int] = (8, 120), n_devices: tuple[int, int] = (2, 6)) -> list[Instance]:
    """Return `count` random instances, those of one seed always the same."""
    rng = np.random.default_rng(seed)
    return [random_instance(rng, n_tasks, n_devices) for _ in range(count)]


def _pick(
    rng: np.random.Generator, builders: tuple[Callable[[np.random.Generator, int], Graph], ...]
) -> Callable[[np.random.Generator, int], Graph]:
    """Return a builder; half of the classic graphs are layered ones, which are the hardest and the most used in the literature."""
    if layered in builders and rng.random() < _LAYERED_SHARE:
        return layered
    return builders[int(rng.integers(len(builders)))]


def _network(rng: np.random.Generator, n: int) -> Graph:
    """Return one network, or two tenants side by side."""
    if rng.random() < 0.7:
        return _pick(rng, NETWORKS)(rng, n)
    share = rng.uniform(0.3, 0.7)
    graph = _pick(rng, NETWORKS)(rng, max(2, int(share * n)))
    graph.merge(_pick(rng, NETWORKS)(rng, max(2, int((1 - share) * n))))
    return graph


def _chip_by_kind(rng: np.random.Generator, graph: Graph, m: int) -> tuple[list[str], FloatArray]:
    """Return devices with a host that runs everything, and costs work / speed(device kind, work kind) x noise."""
    others = rng.choice(["gpu", "npu", "dsp", "cim", "cim", "cpu"], m - 1).tolist()
    if others and rng.random() < 0.6 and "cim" not in others:
        others[-1] = "cim"
    kinds = ["cpu", *others]
    work, kind = np.array(graph.work), np.array(graph.kind)
    noise = rng.uniform(0.0, 0.4)
    cost_s = np.empty((work.size, m))
    for p, name in enumerate(kinds):
        speed = np.array(_SPEED[name]) * np.exp(rng.normal(0.0, 0.4, N_KINDS)) * np.exp(rng.normal(0.0, 0.4))
        if name == "npu" and rng.random() < 0.4:
            speed[3:] = _SPEED["dsp"][3:]
        if name == "gpu" and rng.random() < 0.2:
            speed[3 + int(rng.integers(2))] = 0.0
        with np.errstate(divide="ignore"):
            cost_s[:, p] = work / speed[kind] * np.exp(rng.normal(0.0, noise, work.size))
    fixed = rng.choice([0.0, 0.05, 0.3]) * cost_s[:, 0].mean()  # what starting a kernel takes on every device
    cost_s += fixed * rng.uniform(0.0, 1.0, m)
    order = rng.permutation(m)
    counts = dict.fromkeys(_SPEED, 0)
    names = []
    for p in order:
        counts[kinds[p]] += 1
        names.append(f"{kinds[p]}{counts[kinds[p]]}")
    return names, cost_s[:, order]


def _related(rng: np.random.Generator, graph: Graph, m: int) -> tuple[list[str], FloatArray]:
    """Return devices of one speed each."""
    speed = np.exp(rng.uniform(0.0, rng.uniform(0.2, 2.0), m))
    return [f"p{p}" for p in range(m)], np.array(graph.work)[:, np.newaxis] / speed


def _unrelated(rng: np.random.Generator, graph: Graph, m: int) -> tuple[list[str], FloatArray]:
    """Return devices whose costs differ at random from task to task, in one of three ways; some cannot run every task."""
    n = len(graph.work)
    work = np.array(graph.work)[:, np.newaxis]
    draw = rng.random()
    if draw < 0.4:  # the HEFT paper: mean cost x uniform(1 - h/2, 1 + h/2)
        spread = rng.choice([0.2, 0.5, 1.0, 1.5, 1.9])
        cost_s = work * rng.uniform(1 - spread / 2, 1 + spread / 2, (n, m))
    elif draw < 0.7:
        cost_s = rng.uniform(0.1, 1.0, (n, m)) * (work if rng.random() < 0.5 else 1.0)
    else:
        cost_s = work * np.exp(rng.normal(0.0, rng.uniform(0.2, 1.2), (n, m)))
    if rng.random() < 0.3:
        cost_s[_unsupported(rng, n, m, graph)] = np.inf
    return [f"p{p}" for p in range(m)], cost_s


def _unsupported(rng: np.random.Generator, n: int, m: int, graph: Graph) -> BoolArray:
    """Return a mask that leaves every task a device: at random, or one device for matrix products only."""
    if rng.random() < 0.5:
        mask = rng.random((n, m)) < rng.uniform(0.05, 0.5)
    else:
        mask = np.zeros((n, m), bool)
        mask[:, int(rng.integers(m))] = np.array(graph.kind) != MATMUL
    mask[np.arange(n), rng.integers(0, m, n)] = False
    return mask


def _instance(rng: np.random.Generator, graph: Graph, names: list[str], cost_s: FloatArray) -> Instance:
    """Add links of a random ratio of transfer to cost, and turn all times into integers or leave them."""
    n, m = cost_s.shape
    bandwidth = np.ones((m, m)) if rng.random() < 0.5 else np.exp(rng.normal(0.0, rng.uniform(0.1, 0.7), (m, m)))
    bandwidth = np.sqrt(bandwidth * bandwidth.T) if rng.random() < 0.7 else bandwidth
    size = np.array([edge[2] for edge in graph.edges])
    if rng.random() < 0.4:
        size *= np.exp(rng.normal(0.0, 0.6, size.size))
    finite = np.isfinite(cost_s)
    mean_s = float(np.mean(cost_s[finite]))
    ccr = float(np.exp(rng.uniform(np.log(0.05), np.log(5.0))))
    share = rng.choice([0.0, rng.uniform(0.0, 0.8)])  # of the transfer that is latency
    size *= (1.0 - share) * ccr * mean_s / max(float(size.mean()) if size.size else 1.0, 1e-9)
    latency_s = share * ccr * mean_s * (np.ones((m, m)) if rng.random() < 0.5 else rng.uniform(0.5, 1.5, (m, m)))
    if rng.random() < 0.5:
        unit = mean_s / rng.uniform(8.0, 40.0)
        cost_s = np.maximum(np.rint(cost_s / unit), 1.0)
        size, latency_s = np.rint(size / unit), np.rint(latency_s / unit)
        if rng.random() < 0.7:
            bandwidth = np.maximum(np.rint(bandwidth), 1.0)
    return Instance(
        task_names=tuple(f"t{i}" for i in range(n)),
        device_names=tuple(names),
        cost_s=cost_s,
        edge_src=np.array([edge[0] for edge in graph.edges], np.int64),
        edge_dst=np.array([edge[1] for edge in graph.edges], np.int64),
        edge_bytes=size,
        bandwidth_bytes_per_s=bandwidth,
        latency_s=latency_s,
    )
