"""Which of the Gaussian-process samplers a problem takes: by its number of objectives and of fidelities, nothing else."""

from __future__ import annotations

from cosim.study.samplers.base import Sampler
from cosim.study.samplers.gp import GpSampler
from cosim.study.samplers.gp_ladder import LadderParetoSampler, LadderSampler
from cosim.study.samplers.gp_pareto import ParetoSampler
from cosim.study.samplers.problem import Problem


def make_gp(problem: Problem, seed: int) -> Sampler:
    """Return the sampler for a problem: with several objectives, or fidelities, the one that is made for them."""
    kinds = {(False, False): GpSampler, (True, False): ParetoSampler, (False, True): LadderSampler, (True, True): LadderParetoSampler}
    return kinds[len(problem.goals) > 1, len(problem.costs) > 1](problem, seed)
