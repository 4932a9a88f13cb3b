"""Searches on the golden instances: how near to the best known schedules a fixed number of moves comes, and what is proven."""

from __future__ import annotations

import json
from pathlib import Path

import numba
import numpy as np
import pytest

import cosim
from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.instance_file import read_instance

GOLDEN = Path(cosim.__file__).parent / "validation" / "data" / "scheduling_golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
NAMES = sorted(EXPECTED)

compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="takes as long as compiled loops save")


def ratios(policy, names=NAMES, seeds=range(3)):
    """Mean makespan over the best known, by instance."""
    found = {}
    for name in names:
        instance = read_instance(GOLDEN / "instances" / f"{name}.json")
        plans = [make_policy(policy).plan(instance, np.random.default_rng(seed)) for seed in seeds]
        for plan in plans:
            check_plan(instance, plan, policy)
            assert plan.makespan_s >= EXPECTED[name]["cpsat"]["lower_bound"] * (1 - 1e-9)
        found[name] = np.mean([plan.makespan_s for plan in plans]) / EXPECTED[name]["best_known_makespan"]
    return found


def geometric_mean(values):
    """Of the values of a dictionary."""
    return float(np.exp(np.log(list(values.values())).mean()))


@compiled
@pytest.mark.parametrize(
    ("policy", "most", "n_seeds"), [("anneal:50000", 1.03, 3), ("learned_search:50000", 1.03, 3), ("search:1000000", 1.005, 1)]
)
def test_so_many_moves_come_so_near(policy, most, n_seeds):
    assert geometric_mean(ratios(policy, seeds=range(n_seeds))) <= most


@compiled
def test_a_million_moves_find_every_proven_optimum_of_at_most_30_tasks():
    small = [name for name in NAMES if EXPECTED[name]["optimal"] and EXPECTED[name]["n_tasks"] <= 30]
    assert len(small) >= 10
    for name, ratio in ratios("search:1000000", small, range(1)).items():
        assert ratio <= 1.005, name


def test_few_moves_are_no_worse_than_the_best_classic():
    for name, ratio in ratios("anneal:200", ("topcuoglu10", "chain_trap12"), range(1)).items():
        classics = EXPECTED[name]["reference_classic"].values()
        assert ratio * EXPECTED[name]["best_known_makespan"] <= min(classics) * (1 + 1e-12)


@pytest.mark.parametrize("name", ["topcuoglu10", "arabnejad10", "resnet4_cpu_dsp_gpu_cim", "moe4_cpu_dsp_cim2"])
def test_what_cp_sat_proved_is_proven_again(name):
    pytest.importorskip("ortools")
    instance = read_instance(GOLDEN / "instances" / f"{name}.json")
    plan = make_policy("exact").plan(instance, np.random.default_rng(0))
    check_plan(instance, plan, "exact")
    assert plan.makespan_s == plan.lower_bound_s == EXPECTED[name]["best_known_makespan"]
