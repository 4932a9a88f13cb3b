"""Learned + 20 ms of search on real networks, under contention: against the classic policies, long searches and lower bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cosim.validation.placement_runs import Pair, all_pairs, measure_all
from cosim.validation.placement_table import Row
from cosim.validation.tables import read_table
from workloads.errors import WorkloadError

TABLE = Path(__file__).parent / "data" / "placement_table.csv"
# What is run unless pairs are given: small and large, chains and branches, with and without attention.
NETWORKS = (
    "bert_tiny",
    "densenet121",
    "dscnn_kws",
    "gpt2_small",
    "lenet5",
    "lenet5_1998",
    "light_inception_v1",
    "light_shufflenet",
    "light_squeezenet",
    "mlperf_tiny_resnet8_cifar",
    "mobilenet_v2_x0_75",
    "resnet50",
)
SEARCH_S = 2.0
MAX_GEOMEAN, MAX_RATIO, MIN_CLOSED = 1.0, 1.02, 0.6
ROUNDING = 1e-9


def validate_placement(path: Path | None = None, search_s: float = SEARCH_S, file: Path | None = None) -> dict[str, Any]:
    """Measure learned + search on pairs of network and chip, and hold it to its targets.

    path      CSV with the columns network and chip (default: twelve networks on every chip with two or more compute devices);
              pairs that do not fit are named and skipped
    search_s  CPU seconds of the long search that it is measured against, less where that cannot show headroom (see `measure`)
    file      a table that is read and added to, so that a long run can be stopped and go on

    Passed: geometric mean of learned + search over portfolio at most 1 and never above 1.02; where HEFT is 10 % or more above the
    best schedule known, 60 % of that gap closed; nothing below its lower bound. Raises WorkloadError when the file cannot be read
    or names no pair, a CosimError for a network or chip that does not exist.
    """
    pairs = all_pairs(NETWORKS) if path is None else read_pairs(path)
    rows = measure_all(pairs, search_s, file)
    measured = {row.pair for row in rows}
    metrics = metrics_of(rows)
    holds = holds_of(metrics)
    return {
        "area": "placement",
        "n": len(rows),
        "metrics": {**metrics, "holds": holds},
        "rows": [{**asdict(row), "vs_portfolio": row.vs_portfolio, "gap_closed": row.gap_closed} for row in rows],
        "passed": bool(holds) and all(holds.values()),
        "skipped_files": [f"{network} on {chip}: does not fit" for network, chip in pairs if (network, chip) not in measured],
    }


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a CSV with the columns network and chip; raises WorkloadError when there is none."""
    _, table = read_table(path, ("network", "chip"))
    pairs = [(cells["network"].strip(), cells["chip"].strip()) for cells in table]
    for line, pair in enumerate(pairs, start=2):
        if not all(pair):
            raise WorkloadError(f"{path}: line {line}: network or chip is empty; name both")
    if not pairs:
        raise WorkloadError(f"{path}: names no network and chip; write one pair a line, such as lenet5,edge_cim_soc")
    return list(dict.fromkeys(pairs))


def metrics_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Numbers that tell how good learned + search is; those of no row are left out, gaps are None without a case of headroom."""
    if not rows:
        return {"n": 0}
    closed = [row.gap_closed for row in rows if row.has_headroom]
    return {
        "n": len(rows),
        "geomean_vs_portfolio": geomean([row.vs_portfolio for row in rows]),
        "worst_vs_portfolio": max(row.vs_portfolio for row in rows),
        "geomean_vs_heft": geomean([row.learned_search_s / row.heft_s for row in rows]),
        "geomean_vs_best": geomean([row.learned_search_s / row.best_s for row in rows]),
        "geomean_vs_bound": geomean([row.learned_search_s / row.lower_bound_s for row in rows]),
        "n_headroom": len(closed),
        "min_gap_closed": min(closed, default=None),
        "median_gap_closed": float(np.median(closed)) if closed else None,
        "below_bound": sum(row.best_s < row.lower_bound_s * (1 - ROUNDING) for row in rows),
        "mean_cpu_s": float(np.mean([row.cpu_s for row in rows])),
        "max_cpu_s": max(row.cpu_s for row in rows),
    }


def holds_of(metrics: Mapping[str, Any]) -> dict[str, bool]:
    """Whether each target holds that the metrics can tell of."""
    if not metrics["n"]:
        return {}
    holds = {
        f"geomean of learned + search / portfolio <= {MAX_GEOMEAN:g}": metrics["geomean_vs_portfolio"] <= MAX_GEOMEAN + ROUNDING,
        f"never above {MAX_RATIO:g} x portfolio": metrics["worst_vs_portfolio"] <= MAX_RATIO,
        "nothing is below its lower bound": metrics["below_bound"] == 0,
    }
    if metrics["n_headroom"]:
        holds[f"gap closed >= {MIN_CLOSED:g}"] = metrics["min_gap_closed"] >= MIN_CLOSED
    return holds


def geomean(values: Sequence[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))
