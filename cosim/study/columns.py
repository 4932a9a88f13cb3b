"""What a result row of a study says: names with their units, in the order in which kernels write and stores keep them."""

from __future__ import annotations

from cosim.study.kernels.point_data import CATEGORIES, N_RESULTS, N_TOTALS

_TOTALS = ("latency_s", "latency_low_s", "latency_high_s", "energy_j", "energy_low_j", "energy_high_j", "area_m2")
_ENERGIES = tuple(f"{category}_j" for category in CATEGORIES)
_SHARES = ("assumed_share", "min_snr_db", "loss", "resident_fraction")

# NaN stands for "none": no analog op, no estimate.
COLUMNS: tuple[str, ...] = (*_TOTALS, *_ENERGIES, *_SHARES)

if len(_TOTALS) != N_TOTALS or len(COLUMNS) != N_RESULTS:
    raise ImportError("cosim.study.columns and its kernels do not agree on the columns of a row")
