"""What placing an op on analog arrays is estimated to cost in accuracy, until accuracy is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.costs import OpCosts

# Accuracy lost for each unit of summed noise-to-signal ratio: assumed, so that 20 layers of 30 dB cost 1 %; networks differ.
# That the chance of a changed decision grows with the sum of noise variances over the layers is the bound of Sakr, Kim, Shanbhag,
# "Analytical guarantees on numerical precision of deep neural networks", ICML 2017.
LOSS_PER_NSR = 0.5


def loss_of(costs: OpCosts) -> NDArray[np.float64] | None:
    """[n_ops, n_devices] accuracy (as a fraction, at most 1) that an op loses on a device: 0.5 * 10^(-SNR/10) in analog, else 0.

    SNR: the closed-form output SNR of the cost table. An estimate, to rank and to bound placements; None on a chip without analog devices.
    """
    if all(table.output_snr is None for table in costs.tables):
        return None
    return loss_of_snr(np.stack([table.output_snr_db[0][costs.row_of_op] for table in costs.tables], axis=1))


def loss_of_snr(snr_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy that ops of some output SNR lose, 0 where it is NaN: not analog."""
    return np.where(np.isnan(snr_db), 0.0, np.minimum(1.0, LOSS_PER_NSR * 10.0 ** (-np.nan_to_num(snr_db, nan=np.inf) / 10.0)))
