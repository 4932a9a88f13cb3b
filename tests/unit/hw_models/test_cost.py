"""The seam between devices and engine: a table that is not physical is refused, whoever filled it in."""

import numpy as np
import pytest

from cosim.simulation.costs import cost_ops
from hw_models.catalog import load_chip
from hw_models.cost import Component, Spread, empty_costs
from workloads.errors import MappingError
from workloads.registry import load_workload

PARTS = (Component("mac", "compute"), Component("buffer", "memory", (Spread("sram", 2.0),), assumed=True))


def table(n_specs=2, n_ops=3):
    bits = np.full(n_ops, 8)
    return empty_costs([PARTS] * n_specs, ("compute",), [()] * n_specs, bits, bits)


def test_an_empty_table_supports_nothing_and_costs_nothing():
    empty = table()
    assert not empty.supported.any()
    assert np.isinf(empty.latency_s).all()
    assert empty.energy_j.shape == (2, 3, 2)
    assert empty.energy_j.sum() == empty.n_bytes.sum() == empty.program_j.sum() == 0
    assert empty.compute_weight_bits.tolist() == [[8] * 3] * 2


def test_without_analog_ops_there_is_no_output_snr_and_with_them_it_is_asked_for_once():
    assert np.isnan(table().output_snr_db).all()
    bits, asked = np.full(2, 8), []

    def output_snr():
        asked.append(1)
        return np.array([[31.5, np.inf]])

    analog = empty_costs([PARTS], ("compute",), [()], bits, bits, output_snr)
    assert not asked
    assert analog.output_snr_db.tolist() == analog.output_snr_db.tolist() == [[31.5, np.inf]]
    assert len(asked) == 1


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.array([[0.0, -np.inf]])])
def test_an_output_snr_that_is_none_is_refused(wrong):
    bits = np.full(2, 8)
    with pytest.raises(MappingError, match=r"output_snr gives shape .*, expected \(1, 2\), all above -inf dB"):
        _ = empty_costs([PARTS], ("compute",), [()], bits, bits, lambda: wrong).output_snr_db


def test_a_table_of_no_ops_is_a_table():
    assert table(n_ops=0).supported.shape == (2, 0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("energy_j", -1.0, "energy_j has a negative number"),
        ("energy_j", np.nan, "energy_j has a negative number, or one that is none"),
        ("n_bytes", -1.0, "n_bytes"),
        ("serial_s", -1.0, "serial_s"),
        ("program_j", -1.0, "program_j"),
        ("latency_s", -1.0, "latency that is not below its fixed part"),
        ("supported", True, "a supported op needs a finite latency"),
    ],
)
def test_numbers_that_are_not_physical_are_refused(field, value, message):
    wrong = table()
    getattr(wrong, field)[0, 1] = value
    with pytest.raises(MappingError, match=message):
        wrong.check()


@pytest.mark.parametrize("field", ["latency_s", "serial_s", "limit", "compute_weight_bits", "n_bytes"])
def test_shapes_that_disagree_are_refused_by_name(field):
    from dataclasses import replace

    good = table()
    with pytest.raises(MappingError, match=f"cost table: {field} has shape"):
        replace(good, **{field: getattr(good, field)[:, :2]})


def test_each_spec_has_its_components_and_its_spreads():
    from dataclasses import replace

    with pytest.raises(MappingError, match="one component list for each spec"):
        replace(table(), components=[PARTS])
    with pytest.raises(MappingError, match="1 entries of latency_spreads for 2 specs"):
        replace(table(), latency_spreads=[()])


def test_a_device_that_returns_nonsense_is_named(monkeypatch):
    chip = load_chip("edge_npu_soc")
    kind = type(chip.devices["dsp"])
    honest = kind.costs

    def forged(specs, ops):
        result = honest(specs, ops)
        result.energy_j[:] = -1.0
        return result

    monkeypatch.setattr(kind, "costs", staticmethod(forged))
    with pytest.raises(MappingError, match="device 'dsp' of kind 'dsp': cost table: energy_j"):
        cost_ops(chip, load_workload("lenet5"))
