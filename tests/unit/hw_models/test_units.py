"""Units: every symbol means what pint says it means; bare numbers and wrong units are refused."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.units import UNITS, parse_quantity, show, yaml_key

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pint

PINT = pint.UnitRegistry()
SI = {
    "s": "s", "J": "J", "W": "W", "Hz": "Hz", "V": "V", "A": "A", "F": "farad", "ohm": "ohm", "S": "siemens", "m": "m", "m2": "m**2",
    "K": "kelvin", "B": "byte", "B/s": "byte/s", "J/B": "J/byte", "W/m2": "W/m**2", "F/m": "farad/m",
}  # fmt: skip
IN_PINT = {"min": "minute", "h": "hour"}
SYMBOLS = [(unit, symbol) for unit in SI for symbol in UNITS[unit]]


def pint_name(symbol: str) -> str:
    """Our symbol as pint spells it: squares with **, bits in full, farads apart from femto."""
    name = IN_PINT.get(symbol, symbol).replace("m2", "m**2")
    if name.endswith("bps"):
        name = name.removesuffix("bps") + "bit/s"
    head, slash, tail = name.partition("/")
    if head in {"Kib", "Mib", "Gib", "Tib"}:
        head += "it"
    return head + slash + tail


@pytest.mark.parametrize(("unit", "symbol"), SYMBOLS, ids=[symbol for _, symbol in SYMBOLS])
def test_every_symbol_has_the_factor_that_pint_gives_it(unit, symbol):
    expected = PINT.Quantity(1.0, pint_name(symbol)).to(SI[unit]).magnitude
    assert parse_quantity(f"1 {symbol}", unit) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=60)
@given(value=st.floats(1e-6, 1e9), case=st.sampled_from(SYMBOLS))
def test_any_number_agrees_with_pint(value, case):
    unit, symbol = case
    expected = PINT.Quantity(value, pint_name(symbol)).to(SI[unit]).magnitude
    assert parse_quantity(f"{value!r} {symbol}", unit) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("64 KiB", "B", 65536.0), ("64 kB", "B", 64000.0), ("7 pJ/bit", "J/B", 56e-12), ("25.6 GB/s", "B/s", 25.6e9), ("8 Gbps", "B/s", 1e9),
     ("1.5e3 ns", "s", 1.5e-6), (".5 V", "V", 0.5), ("4 TOPS", "op/s", 4e12), ("0.2 pJ/MAC", "J/op", 0.2e-12), ("-3 mA", "A", -3e-3),
     ("16Kib", "B", 2048.0), ("10 mW/mm2", "W/m2", 1e4), ("0.2 fF/um", "F/m", 2e-10), ("13.32ns", "s", 13.32e-9)],
)  # fmt: skip
def test_quantities_of_the_field(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [("64", "B", "without a unit"), (64, "B", "without a unit"), (0.8, "V", "without a unit"), ("64 K", "B", "unit of K"),
     ("5 nJ", "s", "unit of J"),
     ("5 parsec", "m", "not a known unit"), ("fast", "s", "write a quantity in s"), ("1e999 s", "s", "not finite"), (True, "s", "got True"),
     (None, "s", "got None"), ("nan s", "s", "write a quantity"), ("7 pJ", "J/B", "unit of J"), ("1 2 ns", "s", "not a known unit")],
)  # fmt: skip
def test_what_is_not_a_quantity_is_refused_with_an_example(text, unit, message):
    with pytest.raises(ValueError, match=message) as raised:
        parse_quantity(text, unit)
    assert "such as" in str(raised.value)


def test_no_symbol_belongs_to_two_quantities():
    """A unit must say what it measures, or a wrong one slips through."""
    seen: dict[str, str] = {}
    for unit, table in UNITS.items():
        for symbol in table:
            assert seen.setdefault(symbol, unit) == unit


@pytest.mark.parametrize(
    ("field", "key"),
    [("t_rcd_s", "t_rcd"), ("t_ccd_s_s", "t_ccd_s"), ("bandwidth_bytes_per_s", "bandwidth"), ("energy_j_per_byte", "energy"),
     ("capacity_bytes", "capacity"), ("area_m2", "area"), ("n_banks", "n_banks"), ("width_bits", "width_bits"), ("name", "name")],
)  # fmt: skip
def test_yaml_keys_drop_the_unit(field, key):
    assert yaml_key(field) == key


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.23e-5, "J", "12.3 µJ"),
        (0.0, "J", "0 J"),
        (25.6e9, "B/s", "25.6 GB/s"),
        (999.96, "W", "1.00 kW"),
        (1e-21, "J", "1e-21 J"),
        (-2e-3, "A", "-2.00 mA"),
    ],
)
def test_values_show_with_a_prefix(value, unit, text):
    assert show(value, unit) == text


@settings(max_examples=60)
@given(value=st.floats(1e-17, 1e14))
def test_what_is_shown_reads_back_within_its_digits(value):
    number, unit = show(value, "J", digits=4).split(" ")
    assert float(number) * {"TJ": 1e12, "GJ": 1e9, "MJ": 1e6}.get(unit, UNITS["J"].get(unit, 0.0)) == pytest.approx(value, rel=1e-3)
