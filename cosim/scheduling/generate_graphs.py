"""Random task graphs: the shapes that list scheduling is studied on, and the shapes of neural networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Kinds of work. A device kind is fast or slow at each; an in-memory array runs the first only, or little more.
MATMUL, ELEMENTWISE, ATTENTION, NORM, OTHER = range(5)
N_KINDS = 5


@dataclass
class Graph:
    """A task graph in the making: relative work and kind of each task, edges with relative sizes."""

    work: list[float] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    edges: list[tuple[int, int, float]] = field(default_factory=list)

    def add(self, kind: int, work: float, inputs: Sequence[int] = (), size: float = 1.0) -> int:
        """Append a task that reads `inputs`; return its id."""
        task = len(self.work)
        self.work.append(work)
        self.kind.append(kind)
        self.edges += [(source, task, size) for source in dict.fromkeys(inputs)]
        return task

    def merge(self, other: Graph) -> None:
        """Append another graph as an independent part."""
        shift = len(self.work)
        self.work += other.work
        self.kind += other.kind
        self.edges += [(u + shift, v + shift, size) for u, v, size in other.edges]


def _draw(rng: np.random.Generator, spread: float = 0.8) -> float:
    """Return a positive number around 1 with a log-normal spread."""
    return float(np.exp(rng.normal(0.0, spread)))


def _random_kind(rng: np.random.Generator) -> int:
    return int(rng.choice(N_KINDS, p=(0.4, 0.2, 0.1, 0.15, 0.15)))


def layered(rng: np.random.Generator, n: int) -> Graph:
    """Tasks in layers of random width; every task reads a few of the layer before, sometimes of earlier ones.

    Shapes and degrees span those of the generator in Topcuoglu et al., IEEE TPDS 13(3), 2002, section 5: up to five edges a task.
    """
    graph = Graph()
    width = float(np.sqrt(n) * rng.uniform(0.4, 2.0))
    fan_in = rng.uniform(1.0, 5.0)
    spread = rng.uniform(0.1, 0.8)
    reach = rng.uniform(0.0, 0.4)
    before: list[int] = []
    while len(graph.work) < n:
        layer = []
        for _ in range(min(n - len(graph.work), 1 + rng.poisson(max(width - 1.0, 0.0)))):
            inputs: list[int] = []
            if before:
                inputs = rng.choice(before, min(len(before), 1 + rng.poisson(fan_in - 1.0)), replace=False).tolist()
                if rng.random() < reach:
                    inputs.append(int(rng.integers(0, before[-1] + 1)))
            layer.append(graph.add(_random_kind(rng), _draw(rng, spread), inputs, _draw(rng, spread)))
        before = layer
    return graph


def sparse(rng: np.random.Generator, n: int) -> Graph:
    """Every pair of tasks in order is joined with one small probability."""
    graph = Graph()
    density = rng.uniform(1.0, 4.0) / n
    for task in range(n):
        inputs = np.flatnonzero(rng.random(task) < density).tolist()
        graph.add(_random_kind(rng), _draw(rng), inputs, _draw(rng))
    return graph


def fork_join(rng: np.random.Generator, n: int) -> Graph:
    """Stages of parallel chains between one fork and one join."""
    graph = Graph()
    root = graph.add(_random_kind(rng), _draw(rng))
    width, length = int(rng.integers(2, 9)), int(rng.integers(1, 5))
    while len(graph.work) < n:
        ends = []
        for _ in range(width):
            last = root
            for _ in range(length):
                last = graph.add(_random_kind(rng), _draw(rng), [last], _draw(rng))
            ends.append(last)
        root = graph.add(_random_kind(rng), _draw(rng), ends, _draw(rng))
    return graph


def series_parallel(rng: np.random.Generator, n: int) -> Graph:
    """Recursive composition in series and in parallel."""
    graph = Graph()

    def build(size: int, inputs: list[int]) -> list[int]:
        if size <= 1:
            return [graph.add(_random_kind(rng), _draw(rng), inputs, _draw(rng))]
        first = int(rng.integers(1, size))
        if rng.random() < 0.5:
            return build(size - first, build(first, inputs))
        ends = build(first, inputs) + build(size - first, inputs)
        return ends if rng.random() < 0.4 else [graph.add(_random_kind(rng), _draw(rng), ends, _draw(rng))]

    build(n, [])
    return graph


def chains(rng: np.random.Generator, n: int) -> Graph:
    """A few chains whose kinds alternate, sometimes with cross edges: where greedy earliest finish ping-pongs."""
    graph = Graph()
    n_chains = int(rng.integers(1, 5))
    period = int(rng.integers(1, 5))
    cross = rng.choice([0.0, 0.15])
    last: list[int] = []
    for step in range(max(n // n_chains, 1)):
        ends = []
        for chain in range(n_chains):
            inputs = [last[chain]] if last else []
            if last and rng.random() < cross:
                inputs.append(int(rng.choice(last)))
            kind = MATMUL if step % (period + 1) else _random_kind(rng)
            ends.append(graph.add(kind, _draw(rng, 0.4), inputs, _draw(rng, 0.4)))
        last = ends
    return graph


def tree(rng: np.random.Generator, n: int) -> Graph:
    """Edges out of one root, or all into one root."""
    graph = Graph()
    arity = int(rng.integers(2, 5))
    parents = [-1, *[int(rng.integers(max(0, (i - 1) // arity - 1), (i - 1) // arity + 1)) for i in range(1, n)]]
    into_root = rng.random() < 0.5
    if into_root:
        children: list[list[int]] = [[] for _ in range(n)]
        for task, parent in enumerate(parents[1:], 1):
            children[n - 1 - parent].append(n - 1 - task)
        for task in range(n):
            graph.add(_random_kind(rng), _draw(rng), children[task], _draw(rng))
        return graph
    for task in range(n):
        graph.add(_random_kind(rng), _draw(rng), [parents[task]] if task else [], _draw(rng))
    return graph


def _tiled(rng: np.random.Generator, n: int, tasks_of: Callable[[int], int], build: Callable[[Graph, int, list[float]], None]) -> Graph:
    """Return the tiled factorization nearest to n tasks, its four tile kernels with random relative work."""
    tiles = min(range(2, 12), key=lambda size: abs(tasks_of(size) - n))
    graph = Graph()
    build(graph, tiles, [1.0 * _draw(rng, 0.3), 3.0 * _draw(rng, 0.3), 3.0 * _draw(rng, 0.3), 6.0 * _draw(rng, 0.3)])
    return graph


def cholesky(rng: np.random.Generator, n: int) -> Graph:
    """Tiled Cholesky factorization: POTRF, TRSM, SYRK and GEMM."""

    def build(graph: Graph, tiles: int, work: list[float]) -> None:
        owner: dict[tuple[int, int], int] = {}
        for k in range(tiles):
            owner[k, k] = graph.add(OTHER, work[0], [owner[k, k]] if k else [])
            for i in range(k + 1, tiles):
                owner[i, k] = graph.add(NORM, work[1], [owner[k, k], *([owner[i, k]] if k else [])])
            for i in range(k + 1, tiles):
                owner[i, i] = graph.add(ATTENTION, work[2], [owner[i, k], *([owner[i, i]] if k else [])])
                for j in range(k + 1, i):
                    owner[i, j] = graph.add(MATMUL, work[3], [owner[i, k], owner[j, k], *([owner[i, j]] if k else [])])

    return _tiled(rng, n, lambda t: t * (t + 1) * (t + 2) // 6, build)


def lu(rng: np.random.Generator, n: int) -> Graph:
    """Tiled LU factorization: GETRF, row and column solves, GEMM."""

    def build(graph: Graph, tiles: int, work: list[float]) -> None:
        owner: dict[tuple[int, int], int] = {}
        for k in range(tiles):
            owner[k, k] = graph.add(OTHER, work[0], [owner[k, k]] if k else [])
            for i in range(k + 1, tiles):
                owner[i, k] = graph.add(NORM, work[1], [owner[k, k], *([owner[i, k]] if k else [])])
                owner[k, i] = graph.add(ATTENTION, work[2], [owner[k, k], *([owner[k, i]] if k else [])])
            for i in range(k + 1, tiles):
                for j in range(k + 1, tiles):
                    owner[i, j] = graph.add(MATMUL, work[3], [owner[i, k], owner[k, j], *([owner[i, j]] if k else [])])

    return _tiled(rng, n, lambda t: t * (t + 1) * (2 * t + 1) // 6, build)


def butterfly(rng: np.random.Generator, n: int) -> Graph:
    """Fast Fourier transform: log2(width) stages, each task reads two of the stage before."""
    graph = Graph()
    bits = min(range(1, 6), key=lambda b: abs((b + 1) * 2**b - n))
    width = 2**bits
    last = [graph.add(ELEMENTWISE, _draw(rng, 0.3)) for _ in range(width)]
    for bit in range(bits):
        last = [graph.add(MATMUL if bit % 2 else OTHER, _draw(rng, 0.3), [last[i], last[i ^ (1 << bit)]]) for i in range(width)]
    return graph


def inception(rng: np.random.Generator, n: int) -> Graph:
    """Blocks of parallel convolution branches, concatenated; activations sometimes tasks of their own."""
    graph = Graph()
    last = graph.add(MATMUL, 2.0 * _draw(rng))
    with_activation = rng.random() < 0.4
    n_branches = int(rng.integers(2, 6))
    while len(graph.work) < n:
        ends, size = [], _draw(rng, 0.4)
        for branch in range(n_branches):
            here = last
            if branch == n_branches - 1 and rng.random() < 0.7:
                here = graph.add(OTHER, 0.2 * _draw(rng, 0.4), [here], size)  # pooling
            for _ in range(1 + branch % 3):
                here = graph.add(MATMUL, 2.0 * _draw(rng), [here], size)
                if with_activation:
                    here = graph.add(ELEMENTWISE, 0.15 * _draw(rng, 0.4), [here], size)
            ends.append(here)
        last = graph.add(OTHER, 0.1 * _draw(rng, 0.4), ends, size)
    return graph


def resnet(rng: np.random.Generator, n: int) -> Graph:
    """Residual blocks: convolutions, normalization, activation, addition; some with a projection."""
    graph = Graph()
    last = graph.add(MATMUL, 2.0 * _draw(rng))
    depth = int(rng.integers(1, 4))
    fused = rng.random() < 0.4
    while len(graph.work) < n:
        here, size = last, _draw(rng, 0.4)
        for _ in range(depth):
            here = graph.add(MATMUL, 2.0 * _draw(rng, 0.6), [here], size)
            if not fused:
                here = graph.add(NORM, 0.15 * _draw(rng, 0.4), [here], size)
                here = graph.add(ELEMENTWISE, 0.1 * _draw(rng, 0.4), [here], size)
        side = graph.add(MATMUL, 0.5 * _draw(rng), [last], size) if rng.random() < 0.3 else last
        last = graph.add(ELEMENTWISE, 0.15 * _draw(rng, 0.4), [here, side], size)
    return graph


def _attention(graph: Graph, rng: np.random.Generator, source: int, n_heads: int, size: float) -> int:
    """Append self-attention, heads as tasks of their own."""
    split = rng.random() < 0.5
    joint = [] if split else [graph.add(MATMUL, 1.5 * _draw(rng, 0.2), [source], size) for _ in range(3)]
    heads = []
    for _ in range(n_heads):
        qkv = [graph.add(MATMUL, 0.5 * _draw(rng, 0.2), [source], size) for _ in range(3)] if split else joint
        scores = graph.add(ATTENTION, 0.6 * _draw(rng, 0.2), qkv[:2], size)
        softmax = graph.add(NORM, 0.3 * _draw(rng, 0.2), [scores], size)
        heads.append(graph.add(ATTENTION, 0.6 * _draw(rng, 0.2), [softmax, qkv[2]], size))
    joined = graph.add(OTHER, 0.1, heads, size) if n_heads > 1 and rng.random() < 0.6 else -1
    return graph.add(MATMUL, 1.0 * _draw(rng, 0.2), heads if joined < 0 else [joined], size)


def transformer(rng: np.random.Generator, n: int) -> Graph:
    """Blocks of attention with one or more heads, normalizations, a two- or three-matrix feed-forward net, additions."""
    graph = Graph()
    n_heads = int(rng.integers(1, 5))
    gated = rng.random() < 0.4
    last = graph.add(OTHER, 0.2 * _draw(rng, 0.4))
    while len(graph.work) < n:
        size = _draw(rng, 0.3)
        norm = graph.add(NORM, 0.15 * _draw(rng, 0.3), [last], size)
        attended = _attention(graph, rng, norm, n_heads, size)
        added = graph.add(ELEMENTWISE, 0.1 * _draw(rng, 0.3), [last, attended], size)
        norm = graph.add(NORM, 0.15 * _draw(rng, 0.3), [added], size)
        hidden = [graph.add(MATMUL, 3.0 * _draw(rng, 0.3), [norm], size) for _ in range(2 if gated else 1)]
        active = graph.add(ELEMENTWISE, 0.2 * _draw(rng, 0.3), hidden, 2 * size)
        out = graph.add(MATMUL, 3.0 * _draw(rng, 0.3), [active], 2 * size)
        last = graph.add(ELEMENTWISE, 0.1 * _draw(rng, 0.3), [added, out], size)
    return graph


def mixture_of_experts(rng: np.random.Generator, n: int) -> Graph:
    """Blocks of a router, parallel experts of uneven load, and a weighted sum."""
    graph = Graph()
    last = graph.add(OTHER, 0.5 * _draw(rng, 0.4))
    n_experts = int(rng.integers(2, 9))
    attends = rng.random() < 0.4
    while len(graph.work) < n:
        size = _draw(rng, 0.3)
        here = _attention(graph, rng, last, 1, size) if attends else last
        norm = graph.add(NORM, 0.2 * _draw(rng, 0.3), [here], size)
        router = graph.add(OTHER, 0.2 * _draw(rng, 0.3), [norm], 0.2 * size)
        outputs = []
        for _ in range(n_experts):
            load = _draw(rng, 0.6)
            up = graph.add(MATMUL, 2.0 * load, [norm, router], size)
            active = graph.add(ELEMENTWISE, 0.2 * load, [up], size)
            outputs.append(graph.add(MATMUL, 2.0 * load, [active], size))
        last = graph.add(ELEMENTWISE, 0.2 * _draw(rng, 0.3), [*outputs, router], size)
    return graph


CLASSIC = (layered, sparse, fork_join, series_parallel, chains, tree, cholesky, lu, butterfly)
NETWORKS = (inception, resnet, transformer, mixture_of_experts)
