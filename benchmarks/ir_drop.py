"""CPU time of the IR-drop solver, with its error and the ratio of its time to a dense nodal solve; medians of warm calls.

Run: python benchmarks/ir_drop.py [--dense 24]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import numpy as np
from numpy.typing import NDArray
from timing import median_s

from hw_models.cim.parasitics import Wires, column_currents, effective_conductance

FULL_S, READ_V = 100e-6, 0.2
WIRES = Wires(row_ohm=1.0, col_ohm=1.0)


def dense_currents(cells: NDArray[np.float64], volts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column currents by one dense solve over the 2 rows cols nodes."""
    rows, cols = cells.shape
    a = np.arange(rows * cols).reshape(rows, cols)
    b = a + rows * cols
    nodes = np.zeros((2 * rows * cols, 2 * rows * cols))
    links = ((a, b, cells), (a[:, 1:], a[:, :-1], 1 / WIRES.row_ohm), (b[1:], b[:-1], 1 / WIRES.col_ohm))
    for p, q, siemens in links:
        np.add.at(nodes, (p, p), siemens)
        np.add.at(nodes, (q, q), siemens)
        nodes[p, q] -= siemens
        nodes[q, p] -= siemens
    nodes[a[:, 0], a[:, 0]] += 1 / WIRES.row_ohm
    nodes[b[-1], b[-1]] += 1 / WIRES.col_ohm
    right = np.zeros((2 * rows * cols, volts.shape[0]))
    right[a[:, 0]] = volts.T / WIRES.row_ohm
    return np.asarray(np.linalg.solve(nodes, right)[b[-1]].T / WIRES.col_ohm)


def main() -> None:
    """Measure at several sizes; the dense solve takes 32 N^4 bytes and is run at one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dense", type=int, default=24, help="size of the crossbar that is solved densely too")
    dense = parser.parse_args().dense
    rng = np.random.default_rng(0)
    for n in (dense, 128, 256, 1024):
        cells, volts = FULL_S * rng.uniform(0.01, 1, (n, n)), READ_V * rng.integers(0, 2, (1, n)).astype(np.float64)
        ours_s = median_s(partial(column_currents, cells, volts, WIRES))
        sys.stdout.write(f"{n:>4} x {n:<4} one vector {ours_s * 1e3:9.2f} ms CPU")
        if n == dense:
            dense_s = median_s(partial(dense_currents, cells, volts), 3)
            error = np.abs(column_currents(cells, volts, WIRES) / dense_currents(cells, volts) - 1).max()
            sys.stdout.write(f"   dense solve {dense_s * 1e3:.0f} ms, {dense_s / ours_s:.0f} times as long; error {error:.0e}")
        elif n <= 256:
            whole_s = median_s(partial(effective_conductance, cells, WIRES), 3)
            sys.stdout.write(f"   effective conductances {whole_s * 1e3:8.1f} ms")
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
