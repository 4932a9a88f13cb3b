"""CPU time of the functional macro for 1000 vectors through a layer of 784 x 64, beside the same in plain numpy.

8-bit inputs one bit at a time, 4-bit weights in four single-bit slices, 128 rows at once, 4-bit ADCs of full range: 14 336
conversions a vector.
Medians of warm calls on one thread. Run: python benchmarks/cim_mvm.py
"""

from __future__ import annotations

import os

# One thread, and the BLAS kernels that this processor gets by default; set before numpy loads its BLAS.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)

import sys  # noqa: E402

import numpy as np  # noqa: E402
from timing import median_s  # noqa: E402

from hw_models.catalog import resolve_part  # noqa: E402
from hw_models.cim.functional import Floats, Ints, ProgrammedArray  # noqa: E402
from hw_models.cim.spec import CimMacroSpec  # noqa: E402

N_VECTORS, N_INPUTS, N_OUTPUTS, ROWS = 1000, 784, 64, 128
INPUT_BITS, WEIGHT_BITS = 8, 4
IDEAL_S, NOISY_S = 0.026, 0.06  # limits of the requirement, CPU seconds for 1000 vectors


def macro(cell: dict[str, float], adc: dict[str, float | str]) -> CimMacroSpec:
    """The shipped SRAM macro with other cells and converters."""
    data = resolve_part("cim_macro/sram_charge_22nm_256x256").data
    data.pop("kind")
    changed = {"rows_active": ROWS, "input_bits_per_pass": 1, "bits_per_cell": 1, "encoding": "offset"}
    nested = {"cell": data["cell"] | cell, "adc": data["adc"] | {"n_bits": 4, "range": "full"} | adc}
    return CimMacroSpec.model_validate(data | changed | nested)


def plain(array: ProgrammedArray, inputs: Ints, dtype: type) -> Floats:
    """The same product by einsum over bit planes of inputs and slices of weights."""
    n_slices, found = array.layout.n_slices, array.range
    if found is None:
        return np.zeros(0)
    planes = ((inputs[:, None, :] >> np.arange(INPUT_BITS)[:, None]) & 1).astype(dtype)
    total = np.zeros((inputs.shape[0], n_slices, N_OUTPUTS))
    weights = 2.0 ** np.arange(INPUT_BITS)
    levels = array.levels.astype(dtype)
    for first, last in zip(array.layout.starts[:-1], array.layout.starts[1:], strict=True):
        sums = np.einsum("vpk,ksn->vpsn", planes[:, :, first:last], levels[first:last], optimize=True)
        total += np.einsum("vpsn,p->vsn", found.read(sums), weights, optimize=True)
    return np.einsum("vsn,s->vn", total, array.layout.slice_weights) - array.layout.offset * inputs.sum(axis=1)[:, None]


def main() -> None:
    """Time ideal cells, cells with programming errors, and those with fresh noise in every pass."""
    rng = np.random.default_rng(0)
    half = 2 ** (WEIGHT_BITS - 1)
    inputs = rng.integers(0, 2**INPUT_BITS, (N_VECTORS, N_INPUTS))
    weights = rng.integers(-half, half, (N_INPUTS, N_OUTPUTS))
    errs, noise = {"programming_sigma": 0.05}, {"noise_lsb": 0.5}
    sys.stdout.write(
        f"CPU-s per {N_VECTORS} vectors, {N_INPUTS} x {N_OUTPUTS}, {INPUT_BITS}-bit inputs, {WEIGHT_BITS}-bit weights, {ROWS} rows\n"
    )
    for name, cell, adc, limit_s in (
        ("ideal cells", {}, {}, IDEAL_S),
        ("cells with programming error", errs, {}, NOISY_S),
        ("the same, read and ADC noise in every pass", errs | {"read_sigma": 0.02}, noise, None),
    ):
        array = ProgrammedArray.program(macro(cell, adc), weights, WEIGHT_BITS, np.random.default_rng(1))
        draws = np.random.default_rng(2)
        found_s = median_s(lambda array=array, draws=draws: array.multiply(inputs, INPUT_BITS, draws), 9)
        line = f"{name:<44} {found_s:7.4f}"
        if limit_s:
            plain_s = median_s(lambda array=array: plain(array, inputs, np.float32), 3)
            worst = np.abs(plain(array, inputs, np.float64) - array.multiply(inputs, INPUT_BITS)).max()
            line += (
                f"  limit {limit_s:.3f}; numpy einsum {plain_s:.3f}, {plain_s / found_s:.1f} times as long; largest difference {worst:.2g}"
            )
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
