"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def times_transposed(x: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Return x W^T of stacks [..., v, k] and [..., n, k].

    BLAS may raise the flag of invalid numbers for lanes that it pads and throws away; results are not touched by that.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.matmul(x, np.swapaxes(weights, -1, -2)))
