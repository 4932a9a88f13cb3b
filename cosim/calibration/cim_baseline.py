"""The line to beat: ridge regression of ln TOPS/W on ln node, V, ln N, ADC bits and scope, for each kind on its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cosim.calibration.cim import Sample
from hw_models.kernels.cim_pass import ADC_BITS, ARRAY_ADC, CHIP, NODE, SCOPE, SUPPLY, N

Floats = NDArray[np.float64]
PENALTY = 1.0  # of standardized coefficients, with papers weighing 1 each


def features(inputs: Floats) -> Floats:
    """Ln node, ln V, ln N, ADC bits, whether a chip, whether array and ADC only; [n, 6]."""
    scope = inputs[:, SCOPE]
    logs = [np.log(inputs[:, column]) for column in (NODE, SUPPLY, N)]
    return np.stack([*logs, inputs[:, ADC_BITS], (scope == CHIP) * 1.0, (scope == ARRAY_ADC) * 1.0], axis=1)


def fit_baseline(sample: Sample, ln_y: Floats) -> Callable[[Floats], Floats]:
    """Fit on a sample with ln of its published values; returns the prediction of ln values from inputs [n, N_INPUTS]."""
    x, w = features(sample.inputs), sample.weights
    mean = np.average(x, axis=0, weights=w)
    sd = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    sd[sd == 0] = 1.0
    z, center = (x - mean) / sd, float(np.average(ln_y, weights=w))
    gram = z.T @ (z * w[:, None]) + PENALTY * np.eye(x.shape[1])
    slope = np.linalg.solve(gram, z.T @ (w * (ln_y - center)))
    return lambda inputs: np.asarray(center + ((features(inputs) - mean) / sd) @ slope)


def leave_one_out_baseline(sample: Sample, ln_y: Floats) -> Floats:
    """Ln of prediction over published for every row, fitted without its paper; [n]."""
    out = np.zeros(len(ln_y))
    papers = np.array(sample.paper)
    for name in dict.fromkeys(sample.paper):
        mine = papers == name
        model = fit_baseline(sample.without(name), ln_y[~mine])
        out[mine] = model(sample.inputs[mine]) - ln_y[mine]
    return out
