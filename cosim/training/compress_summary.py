"""The numbers of a compression as plain data: the contract of `cosim compress --json`, and the networks that it leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosim.training.compress import CompressResult, Measured, provenance_of


@dataclass(frozen=True)
class LayerRow:
    """One product of the compressed network beside the dense one, means over seeds; energies in J."""

    name: str
    rows: float
    columns: float
    weight_bits: float
    activation_bits: float
    n_weights: float
    density: float
    n_arrays: float
    energy_j: float
    dense_rows: int
    dense_columns: int
    dense_j: float


def layer_rows(result: CompressResult) -> list[LayerRow]:
    """What is left of each layer."""
    dense, ours = result.final["dense"], result.final["gates"]
    rows = []
    for i, whole in enumerate(dense[0].energy.products):
        left = [run.energy.products[i] for run in ours]
        held = [run.skipped.layers[whole.name] for run in ours]
        rows.append(
            LayerRow(
                name=whole.name,
                rows=_mean(one.k for one in left),
                columns=_mean(one.n for one in left),
                weight_bits=_mean(one.weight_bits for one in held),
                activation_bits=_mean(one.activation_bits for one in left),
                n_weights=_mean(one.n_weights for one in held),
                density=_mean(one.density for one in held),
                n_arrays=_mean(one.n_arrays for one in left),
                energy_j=_mean(one.energy_j for one in left),
                dense_rows=whole.k,
                dense_columns=whole.n,
                dense_j=_mean(run.energy.products[i].energy_j for run in dense),
            )
        )
    return rows


def breakdown(runs: Sequence[Measured]) -> dict[str, float]:
    """Joules of all products by component of the macro, and of operands on their way; means over seeds."""
    parts: dict[str, float] = {}
    for run in runs:
        for product in run.energy.products:
            for name, energy_j in {**product.components_j, "operands": product.traffic_j}.items():
                parts[name] = parts.get(name, 0.0) + energy_j / len(runs)
    return parts


def summary(result: CompressResult) -> dict[str, Any]:
    """All keys of `cosim compress --json`; accuracies are percentages of test images, errors of fronts of validation images."""
    job, ours = result.job, result.final["gates"]
    reference_j, energy_j = result.energy_j("dense"), result.energy_j("gates")
    n_train, n_val, n_test = result.sizes
    control = result.test("dense")
    return {
        "network": job.entry.name,
        "data": job.dataset.name,
        "split": {"seed": job.dataset.split_seed, "n_train": n_train, "n_val": n_val, "n_test": n_test},
        "chip": job.chip.name,
        "weight_bits": max(held.weight_bits for run in ours for held in run.skipped.layers.values()),
        "activation_bits": max(product.activation_bits for run in ours for product in run.energy.products),
        "path": "digital",
        "seeds": list(job.seeds),
        "n_draws": 1,
        "accuracy": result.test("gates").as_dict(),
        "control": control.as_dict(),
        "float": result.float_test.as_dict(),
        "drop": control.mean - result.test("gates").mean,
        "max_drop_points": job.max_drop,
        "within_bound_on_validation": result.within["gates"],
        "chosen": result.chosen["gates"].name,
        "weights_pruned": _mean(run.pruned for run in ours),
        "mean_bits_remaining": _mean(run.skipped.mean_bits for run in ours),
        "energy_dynamic_j": energy_j,
        "energy_reference_j": reference_j,
        "ratio": reference_j / energy_j,
        "energy_total_j": _mean(run.energy.total_j for run in ours),
        "energy_reference_total_j": _mean(run.energy.total_j for run in result.final["dense"]),
        "breakdown_j": breakdown(ours),
        "breakdown_reference_j": breakdown(result.final["dense"]),
        "layers": [_layer(row) for row in layer_rows(result)],
        "front": [one.as_dict(result.control.accuracy) for one in result.front("gates")],
        "baseline_front": [one.as_dict(result.control.accuracy) for one in result.front("magnitude")],
        "baseline": _baseline(result),
        "hypervolume": {"ours": result.hypervolume("gates").as_dict(), "baseline": result.hypervolume("magnitude").as_dict()},
        "cpu_s": round(result.cpu_s, 2),
        "provenance": {**provenance_of(job), "test_set_reads": len(job.seeds) * (1 + len(result.final))},
    }


def _layer(row: LayerRow) -> dict[str, Any]:
    """One layer as plain data."""
    return {
        "name": row.name,
        "rows": row.rows,
        "cols": row.columns,
        "bits": row.weight_bits,
        "activation_bits": row.activation_bits,
        "n_weights": row.n_weights,
        "density": row.density,
        "arrays": row.n_arrays,
        "energy": row.energy_j,
        "dense": {"rows": row.dense_rows, "cols": row.dense_columns, "energy": row.dense_j},
    }


def _baseline(result: CompressResult) -> dict[str, Any] | None:
    """The cheapest point of uniform bits and magnitude pruning that holds the drop, by the same choice."""
    if "magnitude" not in result.final:
        return None
    score = result.test("magnitude")
    return {
        "chosen": result.chosen["magnitude"].name,
        "within_bound_on_validation": result.within["magnitude"],
        "accuracy": score.as_dict(),
        "drop": result.test("dense").mean - score.mean,
        "energy_dynamic_j": result.energy_j("magnitude"),
        "weights_pruned": _mean(run.pruned for run in result.final["magnitude"]),
        "ratio_to_ours": result.energy_j("magnitude") / result.energy_j("gates"),
    }


def _mean(values: Iterable[float]) -> float:
    """Mean of numbers."""
    return float(np.mean(list(values)))
