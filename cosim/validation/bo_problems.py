"""Combinatorial benchmarks with exact optima, by name: what a sampler sees of each, and what it is worth (PROBLEMS.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cosim.validation.bo_chains import N_STAGES, Contamination, generator, pest_cost
from cosim.validation.bo_ising import KL_CAP, N_EDGES, Ising, draw_couplings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Evaluate = Callable[[Ints, int], tuple[float, ...]]

N_PESTICIDES, N_RESAMPLED, RESAMPLE_SEED = 5, 20_000, 10**6
PATHS = (5, 20, 100)
LOOP_FREE_COST = 0.05
MULTI = ("mf_contamination", "mf_pest", "mf_ising")


@dataclass(frozen=True, eq=False)
class Bench:
    """An instance: levels of each variable [d], objectives, costs of its fidelities (the last is the truth, 1), f(x, fidelity)."""

    n_levels: Ints
    objectives: tuple[str, ...]
    costs: tuple[float, ...]
    evaluate: Evaluate
    resampled: Callable[[Ints], float] | None = None
    front: Callable[[], Floats] | None = None


def _contamination(seed: int, weight: float, _: Floats | None) -> Bench:
    chain = Contamination(seed)
    return _bench(2, N_STAGES, lambda x, _: (chain.cost(x) + weight * int(x.sum()),))


def _mf_contamination(seed: int, weight: float, _: Floats | None) -> Bench:
    chain = Contamination(seed)
    return _bench(2, N_STAGES, lambda x, m: (chain.cost(x, PATHS[m]) + weight * int(x.sum()),), tuple(n / PATHS[-1] for n in PATHS))


def _pest(seed: int, _: float, __: Floats | None) -> Bench:
    stream = generator(seed)  # runs on over the whole study
    return Bench(
        np.full(N_STAGES, N_PESTICIDES),
        ("f",),
        (1.0,),
        lambda x, _: (pest_cost(x, stream),),
        resampled=lambda x: pest_cost(x, generator(RESAMPLE_SEED + seed), N_RESAMPLED, N_RESAMPLED),
    )


def _mf_pest(seed: int, _: float, __: Floats | None) -> Bench:
    return _bench(N_PESTICIDES, N_STAGES, lambda x, m: (pest_cost(x, generator(seed), PATHS[m]),), tuple(n / PATHS[-1] for n in PATHS))


def _ising(seed: int, weight: float, couplings: Floats | None) -> Bench:
    model = Ising(draw_couplings(seed) if couplings is None else couplings)
    return _bench(2, N_EDGES, lambda x, _: (model.kl(x) + weight * int(x.sum()),))


def _mf_ising(seed: int, weight: float, couplings: Floats | None) -> Bench:
    model = Ising(draw_couplings(seed) if couplings is None else couplings)
    ladder = (model.loop_free_kl, model.kl)
    return _bench(2, N_EDGES, lambda x, m: (ladder[m](x) + weight * int(x.sum()),), (LOOP_FREE_COST, 1.0))


def _ising_biobj(seed: int, _: float, couplings: Floats | None) -> Bench:
    model = Ising(draw_couplings(seed) if couplings is None else couplings)
    return Bench(
        np.full(N_EDGES, 2),
        ("edges", "kl"),
        (1.0,),
        lambda x, _: (int(x.sum()) / N_EDGES, min(model.kl(x), KL_CAP) / KL_CAP),
        front=model.front,
    )


def _bench(levels: int, n: int, evaluate: Evaluate, costs: tuple[float, ...] = (1.0,)) -> Bench:
    return Bench(np.full(n, levels), ("f",), costs, evaluate)


PROBLEMS: Mapping[str, Callable[[int, float, Floats | None], Bench]] = MappingProxyType(
    {
        "contamination25": _contamination,
        "ising24": _ising,
        "pest25": _pest,
        "ising_biobj": _ising_biobj,
        "mf_contamination": _mf_contamination,
        "mf_pest": _mf_pest,
        "mf_ising": _mf_ising,
    }
)
# Problems whose optimum is looked up, and the problem that its row names.
OPTIMUM_OF = MappingProxyType(
    {"contamination25": "contamination25", "ising24": "ising24", "mf_contamination": "contamination25", "mf_ising": "ising24"}
)


def make_bench(problem: str, weight: float, seed: int, couplings: Floats | None = None) -> Bench:
    """Return a fresh instance (pest25 begins its stream of noise); `couplings` [24] are those of an Ising instance, if they are given."""
    return PROBLEMS[problem](seed, weight, couplings)


def initial_points(n_levels: Ints, run_seed: int, n: int = 20) -> Ints:
    """[n, d] uniform points that all methods of a run share."""
    draw = generator(run_seed)
    return np.array([[draw.randint(0, c) for c in n_levels] for _ in range(n)])


def relabeling(n_levels: Ints, relabel_seed: int) -> list[Ints]:
    """For each variable, what its level v means: its place v of a permutation."""
    draw = generator(relabel_seed)
    return [draw.permutation(int(c)) for c in n_levels]
