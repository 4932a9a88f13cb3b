"""What analog ops are estimated to cost in accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cosim
from cosim.simulation.costs import cost_ops
from cosim.simulation.loss import LOSS_PER_NSR, loss_of


@pytest.fixture(scope="module")
def costs():
    return cost_ops(cosim.load_chip("edge_cim_soc"), cosim.load_workload("resnet18"))


def with_snr(costs, snr_db):
    """The same costs, with one output SNR for every op of the in-memory device."""
    tables = [
        table if table.output_snr is None else replace(table, output_snr=lambda t=table: np.full(t.supported.shape, snr_db))
        for table in costs.tables
    ]
    return replace(costs, tables=tuple(tables))


@pytest.mark.parametrize(("snr_db", "loss"), [(30.0, 0.5e-3), (20.0, 0.5e-2), (np.inf, 0.0), (-60.0, 1.0), (np.nan, 0.0)])
def test_loss_is_half_the_noise_to_signal_ratio_at_most_all_and_none_without_analog(costs, snr_db, loss):
    found = loss_of(with_snr(costs, snr_db))
    assert found[:, 3] == pytest.approx(loss)
    assert (found[:, :3] == 0).all()
    assert LOSS_PER_NSR == 0.5


def test_twenty_layers_of_thirty_decibels_cost_one_percent(costs):
    assert loss_of(with_snr(costs, 30.0))[:20, 3].sum() == pytest.approx(0.01)


def test_a_chip_without_analog_devices_has_no_estimate():
    chip = cosim.load_chip("edge_npu_soc")
    assert loss_of(cost_ops(chip, cosim.load_workload("lenet5"))) is None


def test_less_noise_never_costs_more(costs):
    losses = [loss_of(with_snr(costs, snr_db)).sum() for snr_db in (0.0, 10.0, 20.0, 40.0)]
    assert losses == sorted(losses, reverse=True)
