"""Column passes: hand calculations of each component, laws that hold for all constants, and the kernel's plain twin."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cim.calibrated import COMPONENTS, FITTED, Calibration, predict, raw_costs, read_calibration, read_priors
from hw_models.cim.pass_inputs import PassInput, as_array
from hw_models.kernels import cim_pass as k
from workloads.errors import SpecError

UNIT = PassInput(kind="sram", node_m=28e-9, supply_v=1.0, n=64, input_bits=1, weight_bits=1, adc_bits=4, way="charge", latency_s=5e-9)


def constants() -> dict[str, float]:
    return dict(zip([prior.name for prior in read_priors()], read_calibration().constants, strict=True))


def energy(one: PassInput) -> dict[str, float]:
    return dict(zip(COMPONENTS, predict([one]).energy_j[0], strict=True))


def test_priors_come_in_the_order_of_the_kernel() -> None:
    names = [prior.name for prior in read_priors()]
    for name in (
        "S_NODE_CELL",
        "S_STATIC",
        "E_CURRENT",
        "E_VOLTAGE",
        "D_ADDER",
        "D_SERIAL",
        "SCOPE_CHIP",
        "ADC_UNIT_CAP",
        "T_ACCESS",
        "T_DIGITAL",
    ):
        assert names[getattr(k, name)] == name.lower()
    assert len(names) == k.N_CONSTANTS
    assert all(prior.source for prior in read_priors())


def test_charge_cells_of_one_bit_spend_a_unit_each_and_nothing_on_lines_or_levels() -> None:
    found, c = energy(UNIT), constants()
    assert found["cell"] == pytest.approx(64 * c["s_charge"])
    assert found["line"] == found["driver"] == found["scope"] == 0
    assert found["adc"] == pytest.approx(4 * c["s_adc_bit"] + 15 * c["s_adc_level"])
    assert found["logic"] == pytest.approx(c["s_fixed"])
    assert found["static"] == pytest.approx(c["s_static"] * 5e-9)


def test_a_discharging_bit_line_pays_for_all_cells_on_it() -> None:
    found, c = energy(replace(UNIT, way="bitline", rows=512)), constants()
    assert found["line"] == pytest.approx(512 * c["s_line"])


def test_levels_of_a_multi_bit_drive_cost_in_proportion_to_their_number() -> None:
    found, c = energy(replace(UNIT, input_bits=5)), constants()
    assert found["driver"] == pytest.approx(found["cell"] * c["s_levels"] * 30)


def test_resistive_cells_spend_current_times_time_times_voltage() -> None:
    one = replace(UNIT, kind="envm", way="current", family="reram", supply_v=0.8, latency_s=10e-9)
    assert energy(one)["cell"] == pytest.approx(64 * constants()["e_current"] * 10e-9 * 0.8)
    for family in ("pcm", "mram", "flash"):
        ratio = energy(replace(one, family=family))["cell"] / energy(one)["cell"]
        assert ratio == pytest.approx(constants()[f"e_{family}"])
    assert energy(replace(one, way="voltage"))["cell"] / energy(one)["cell"] == pytest.approx(constants()["e_voltage"])


def test_an_adder_tree_has_w_plus_1_adders_for_each_input_and_a_serial_one_w_plus_log_n() -> None:
    one, c = replace(UNIT, kind="digital", way="tree", weight_bits=4, input_bits=2, adc_bits=0), constants()
    assert energy(one)["cell"] == pytest.approx(64 * 4 * 2 * c["d_product"])
    assert energy(one)["logic"] == pytest.approx(64 * 2 * 5 * c["d_adder"] + (4 + 6 + 2) * 2 * c["d_sum"])
    serial = replace(one, way="serial", input_bits=1)
    assert energy(serial)["logic"] == pytest.approx(64 * (4 + log2(64)) * c["d_serial"])
    assert energy(serial)["adc"] == 0


@pytest.mark.parametrize(
    ("adc", "units"),
    [
        ("flash", lambda b, a, n, c: a * (2**b - 1)),
        ("sar", lambda b, a, n, c: a * b + c * 4**b),
        ("ramp", lambda b, a, n, c: a + n * (2**b - 1)),
    ],
)
@pytest.mark.parametrize("bits", [1, 2, 3, 6])
def test_every_adc_law_holds_below_4_bits(adc: str, units, bits: int) -> None:
    c = constants()
    found = energy(replace(UNIT, adc=adc, adc_bits=bits))["adc"]
    assert found == pytest.approx(units(bits, c["s_adc_bit"], c["s_adc_level"], c["adc_unit_cap"]))


def test_an_adc_resolves_no_more_than_there_is_to_tell_apart() -> None:
    assert UNIT.lossless_bits == 7  # sums 0 ... 64
    assert energy(replace(UNIT, adc_bits=10))["adc"] == energy(replace(UNIT, adc_bits=7))["adc"]


def test_scope_multiplies_the_whole_macro() -> None:
    c = constants()
    macro, chip, array = (sum(energy(replace(UNIT, scope=scope)).values()) for scope in ("macro", "chip", "adc"))
    assert chip / macro == pytest.approx(c["scope_chip"])
    assert array / macro == pytest.approx(c["scope_array"])


def test_a_hidden_latency_is_predicted_and_used() -> None:
    hidden = predict([replace(UNIT, latency_s=None)])
    shown = predict([replace(UNIT, latency_s=float(hidden.latency_s[0]))])
    assert hidden.total_j[0] == pytest.approx(shown.total_j[0])


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(
        [("sram", "charge"), ("sram", "bitline"), ("sram", "current"), ("sram", "temporal"), ("envm", "current"), ("digital", "tree")]
    ),
    n=st.integers(1, 2048),
    bits=st.integers(1, 8),
    adc=st.integers(1, 8),
    supply=st.floats(0.4, 1.2),
)
def test_more_rows_bits_or_volts_never_cost_less(kind, n: int, bits: int, adc: int, supply: float) -> None:
    one = PassInput(
        kind=kind[0],
        way=kind[1],
        node_m=28e-9,
        supply_v=supply,
        n=n,
        input_bits=bits,
        weight_bits=1,
        adc_bits=adc,
        family="reram",
        latency_s=5e-9,
    )
    base = predict([one]).total_j[0]
    assert base > 0
    for more in (
        replace(one, n=n + 1),
        replace(one, input_bits=bits + 1),
        replace(one, supply_v=supply * 1.1),
        replace(one, adc_bits=adc + 1),
    ):
        assert predict([more]).total_j[0] >= base * (1 - 1e-12)


def test_a_batch_equals_its_rows_one_by_one() -> None:
    rows = [replace(UNIT, n=n, input_bits=bits, way=way) for n in (4, 64) for bits in (1, 4) for way in ("charge", "bitline", "temporal")]
    together = raw_costs(as_array(rows), read_calibration().constants)
    for i, one in enumerate(rows):
        alone = raw_costs(as_array([one]), read_calibration().constants)
        assert np.array_equal(together[0][i], alone[0][0])
        assert together[1][i] == alone[1][0]


def test_each_prior_widens_the_interval_by_a_tenth_in_ln() -> None:
    known = predict([UNIT]).factor[0]
    assert log(predict([replace(UNIT, priors=("adc_type", "n_adc"))]).factor[0] / known) == pytest.approx(0.2)
    assert known == pytest.approx(exp(read_calibration().half_ln["energy.sram"]))


def test_extrapolation_is_flagged_by_name() -> None:
    assert predict([UNIT]).flags == ((),)
    (flags,) = predict([replace(UNIT, node_m=3e-9, n=10_000)]).flags
    assert [flag.split()[0] for flag in flags] == ["node_nm", "n"]
    assert "outside the fitted" in flags[0]


def test_a_calibration_without_a_constant_is_refused_by_name(tmp_path) -> None:
    bad = tmp_path / "cim.csv"
    bad.write_text("\n".join(line for line in FITTED.read_text().splitlines() if "s_charge" not in line))
    with pytest.raises(SpecError, match="constant s_charge is missing"):
        read_calibration(bad)


def test_the_shipped_calibration_is_read_once_and_complete() -> None:
    used = read_calibration()
    assert isinstance(used, Calibration)
    assert used is read_calibration()
    assert {f"{target}.{kind}" for target in ("energy", "latency") for kind in ("sram", "envm", "digital")} == set(used.half_ln)
