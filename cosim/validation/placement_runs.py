"""Real networks on the chips of the catalog: policies and searches under contention, one pair at a time."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosim.provenance import model_version
from cosim.scheduling.base import make_policy
from cosim.scheduling.checker import check_plan
from cosim.scheduling.instance import Goal
from cosim.scheduling.objective import values_of
from cosim.simulation.costs import cost_ops
from cosim.simulation.lower_bound import floor_of
from cosim.simulation.placed import instance_of
from cosim.simulation.residency import plan_residency
from cosim.simulation.traffic import plan_traffic
from cosim.validation.placement_table import HEADROOM, Row, read_rows, write_rows
from cosim.validation.progress import shown
from hw_models.catalog import list_chips, load_chip
from workloads.errors import MappingError
from workloads.registry import list_networks, load_workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cosim.scheduling.instance import Instance
    from hw_models.chip import Chip
    from workloads.graph import Workload

POLICY, BUDGET_S, N_SEEDS = "learned_search", 0.02, 3
# A long search first takes so much of its time; the rest only where HEFT is so much above what was found, so that it may get far above.
SHORT, NEAR = 0.05, 1.05
Pair = tuple[str, str]


def light_models() -> dict[str, Path]:
    """ONNX files `light_*` that the onnx package ships, by name: real graphs without real weights."""
    spec = find_spec("onnx")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    files = [file for place in places for file in Path(place).glob("backend/test/data/light/light_*.onnx")]
    return {file.stem: file for file in sorted(files)}


def all_networks() -> list[str]:
    """Return every network of the zoo by its first name, and every light_* model."""
    return [*(name for name, network in list_networks().items() if not network.alias_of), *light_models()]


def load_network(name: str) -> Workload:
    """Return a network of the zoo, a light_* model, or an ONNX file; raises WorkloadError when there is none."""
    return load_workload(light_models().get(name, name))


def all_pairs(networks: Iterable[str] | None = None) -> list[Pair]:
    """Return networks (default: all) with every chip of the catalog that has two or more compute devices."""
    chips = [name for name in list_chips() if len(load_chip(name).devices) > 1]
    return [(network, chip) for network in (all_networks() if networks is None else networks) for chip in chips]


def measure(
    network: str, chip: str, search_s: float, known: Row | None = None, n_seeds: int = N_SEEDS, budget_s: float = BUDGET_S
) -> Row | None:
    """Run all policies on a pair; None when the network does not fit the chip, or has ops that no device of it runs.

    search_s  CPU seconds of the long search where HEFT may be 10 % above the best; a twentieth of it where the lower bound excludes
              that, or a twentieth finds nothing that HEFT is 5 % above
    known     an earlier row: if policies and engine see the same numbers, its best schedule counts, and no search as long is repeated
    Raises WorkloadError for a network that does not exist, a CosimError for a chip that cannot be read.
    """
    prepared = prepare(load_chip(chip), load_network(network))
    if prepared is None:
        return None
    instance, lower_bound_s = prepared
    digest = instance_digest(instance)
    heft_s, _ = _play(instance, "heft")
    portfolio_s, _ = _play(instance, "portfolio")
    runs = [_play(instance, POLICY, budget_s, seed) for seed in range(n_seeds)]
    found_s = [heft_s, portfolio_s, *(makespan_s for makespan_s, _ in runs)]
    had_s = 0.0
    if known is not None and known.instance == digest:
        found_s.append(known.best_s)
        had_s = known.search_s
    while had_s < (next_s := _search_s(search_s, had_s, heft_s, min(found_s), lower_bound_s)):
        found_s.append(_play(instance, "search", next_s)[0])
        had_s = next_s
    return Row(
        network=network,
        chip=chip,
        n_ops=instance.n_tasks,
        n_devices=instance.n_devices,
        heft_s=heft_s,
        portfolio_s=portfolio_s,
        learned_search_s=float(np.mean([makespan_s for makespan_s, _ in runs])),
        best_s=min(found_s),
        lower_bound_s=lower_bound_s,
        cpu_s=float(np.mean([cpu_s for _, cpu_s in runs])),
        search_s=had_s,
        instance=digest,
        model_version=model_version(),
    )


def measure_all(pairs: Sequence[Pair], search_s: float, file: Path | None = None) -> list[Row]:
    """Return the rows of pairs, those that do not fit left out.

    `file` is read first, if it is there, and written after every pair, so that a run that was stopped goes on where
    it was: rows of the same model version and of a search as long are taken as they are. Raises as `measure` does.
    """
    kept: Mapping[Pair, Row] = {row.pair: row for row in read_rows(file)} if file is not None and file.is_file() else {}
    warm_up()
    done: dict[Pair, Row] = {}
    for pair in shown(pairs, "networks on chips"):
        known = kept.get(pair)
        row = known if known is not None and _is_current(known, search_s) else measure(*pair, search_s, known)
        if row is not None:
            done[pair] = row
            if file is not None:
                write_rows(file, {**kept, **done}.values())
    return list(done.values())


def _is_current(row: Row, search_s: float) -> bool:
    return row.model_version == model_version() and row.search_s >= _search_s(
        search_s, row.search_s, row.heft_s, row.best_s, row.lower_bound_s
    )


def _search_s(search_s: float, had_s: float, heft_s: float, best_s: float, lower_bound_s: float) -> float:
    """How long the next search has to be after one of `had_s`: first short, then long if HEFT may be far above the best."""
    if had_s < SHORT * search_s:
        return SHORT * search_s
    return search_s if heft_s >= max(HEADROOM * lower_bound_s, NEAR * best_s) else SHORT * search_s


def instance_digest(instance: Instance) -> str:
    """Hash of the numbers that policies and engine see."""
    digest = hashlib.sha256(instance.cost_s.tobytes())
    for array in (instance.edge_src, instance.edge_dst, instance.edge_bytes, instance.bandwidth_bytes_per_s, instance.latency_s):
        digest.update(array.tobytes())
    if instance.tables is not None:
        ints, floats, _ = instance.tables.packed
        digest.update(ints.tobytes() + floats.tobytes())
    return digest.hexdigest()[:12]


def warm_up() -> None:
    """Compile and load what the policies need, before their CPU time is measured."""
    prepared = prepare(load_chip("edge_npu_soc"), load_workload("lenet5"))
    if prepared is not None:
        for name in ("heft", "portfolio", f"{POLICY}:64", "search:64"):  # moves, because seconds would be spent on compiling
            _play(prepared[0], name)


def prepare(chip: Chip, workload: Workload) -> tuple[Instance, float] | None:
    """Return what the policies see of a workload on a chip, and the makespan in s that no placement beats; None if it does not fit."""
    workload = workload.with_bits(8, 8)
    try:
        costs = cost_ops(chip, workload)
        residency = plan_residency(chip, workload, costs)
        traffic = plan_traffic(chip, workload, costs, residency)
    except MappingError:
        return None
    instance = instance_of(chip, workload, traffic, residency, costs, "fair")
    return instance, floor_of(chip, costs, traffic, residency, instance, shared=True, tight=True).makespan_s


def _play(instance: Instance, policy: str, budget_s: float | None = None, seed: int = 0) -> tuple[float, float]:
    """Return the makespan of a policy's plan as the engine plays it, and the CPU time of the calling thread that planning took."""
    made, given = make_policy(policy), replace(instance, goal=Goal(budget_s=budget_s))
    _ = given.arrays, given.tables.packed if given.tables is not None else None  # laid out before the clock starts, for every policy
    start_s = time.thread_time()
    plan = made.plan(given, np.random.default_rng(seed))
    cpu_s = time.thread_time() - start_s
    check_plan(given, plan, f"policy {policy!r}")
    return float(values_of(given, [plan])[0]), cpu_s
