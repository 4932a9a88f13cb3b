"""One point of a study as one simulation: what the batched evaluator has to agree with, and what a reader looks into."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from cosim.simulation.run import Simulation
from cosim.study.kernels.point_data import CATEGORIES
from cosim.study.networks import with_layer_bits
from cosim.study.paths import is_run_field
from cosim.study.run_fields import RunAxes
from hw_models.catalog import load_chip
from workloads.registry import load_workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cosim.simulation.result import Result
    from cosim.study.space import Level
    from cosim.study.spec import Study


def simulation_of(study: Study, point: Mapping[str, Level], w: int = 0, fidelity: str | None = None) -> Simulation:
    """Return the simulation of a point for a workload of a study; raises a CosimError where its chip or network cannot be made."""
    runs = RunAxes(study)
    run = runs.fields(int(runs.numbers(study.space.encode([point]))[0]))
    levels = [(path, point[axis.name]) for axis in study.space.axes for path in axis.paths or (axis.name,) if not is_run_field(path)]
    chip = load_chip(study.chips[run.chip], {path: level for path, level in levels if level is not None})
    source, batch, dims = run.sources[w]
    network = load_workload(source, batch, **dict(dims))
    if run.weights or run.activations:
        network = with_layer_bits(network, run.weight_bits, run.activation_bits, dict(run.weights), dict(run.activations))
    return Simulation(chip, network, run.policy, fidelity or study.fidelity, study.seed, run.weight_bits, run.activation_bits)


def row_of(result: Result) -> list[float]:
    """Return what a result says in the order of `cosim.study.columns.COLUMNS`; NaN: none."""
    by_category = dict.fromkeys(CATEGORIES, 0.0)
    for row in result.rows:
        by_category[row.category] += row.energy_j
    return [
        result.latency_s,
        *result.latency.interval(),
        result.energy_j,
        *result.energy.interval(),
        result.chip.area_m2,
        *by_category.values(),
        result.assumed_share,
        nan if result.signal is None else result.signal.worst_db,
        nan if result.accuracy_loss is None else result.accuracy_loss,
        result.resident_weight_fraction,
    ]
