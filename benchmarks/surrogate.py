"""How near a layer's surrogate and the closed form come to the exact path, printed layer by layer: `cosim.validation.accuracy_surrogate`.

Run: python benchmarks/surrogate.py
"""

from __future__ import annotations

import os
import sys

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

from collections.abc import Iterator

import numpy as np

from cosim.validation.accuracy_surrogate import Row, rows_of


def lines(found: list[Row]) -> Iterator[str]:
    """The table, and what of it lies within."""
    yield "over the exact path's; alone: where the surrogate runs by itself from the image on"
    yield "rows bits range      cell std layer   error/signal   rest  error  alone: rest  error  closed form"
    for row in found:
        if row.counts:
            rest, error, free_rest, free_error = (*row.ratios(row.surrogate), *row.ratios(row.alone))
            yield (
                f"{row.rows:4d} {row.n_bits:4d} {row.kind:<10} {row.cell_std:8g} {row.layer:<7} {row.exact[1] / row.signal:12.4f} "
                f"{rest:6.3f} {error:6.3f} {free_rest:12.3f} {free_error:6.3f} {row.closed / row.exact[1]:12.3f}"
                f"{'' if row.is_within(row.surrogate) else '  beyond 20 %'}"
            )
    judged = [row for row in found if row.counts]
    within, free = (sum(row.is_within(getattr(row, name)) for row in judged) for name in ("surrogate", "alone"))
    factors = np.array([row.closed / row.exact[1] for row in judged if not row.cell_std])
    yield f"{within} of {len(judged)} layers within 20 % ({within / len(judged):.1%}), {len(found) - len(judged)} err too little to count"
    yield f"{free} of {len(judged)} where the surrogate runs by itself ({free / len(judged):.1%})"
    low, high, middle = factors.min(), factors.max(), np.median(factors)
    yield f"closed form over exact: {low:.2f} to {high:.2f}, median {middle:.2f} ({factors.size} layers, ideal cells)"


def main() -> None:
    """Print the table for the network that ships."""
    for line in lines(rows_of()):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
