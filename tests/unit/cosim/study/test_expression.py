"""Conditions of a study file: read once, and nothing but arithmetic on levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study.expression import read_expression, value_of
from workloads.errors import SpecError

NAMES = ("cim.rows", "cim.cols", "cell", "layers./conv1.weight_bits")


def holds(text: str, **levels: object) -> bool:
    given = {name.replace("__", "."): value for name, value in levels.items()}
    read = read_expression(text, (*NAMES, *given))
    return read.holds([given[name] for name in read.names])


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("cim.rows % 32 == 0", True),
        ("cim.rows % 48 == 0", False),
        ("power_of_two(cim.rows)", True),
        ("divides(cim.cols, cim.rows)", True),
        ("64 <= cim.rows < 128", False),
        ("cim.rows * cim.cols <= 2 ** 13", True),
        ("not cim.rows == 128 or cim.cols in [32, 64]", True),
        ("cim.cols not in (32, 64)", False),
        ("min(cim.rows, cim.cols) == 64 and max(cim.rows, cim.cols) == 128", True),
        ("-cim.rows < 0", True),
        ("log2(cim.rows) == 7", True),
        ("cim.rows // 3 == 42", True),
    ],
)
def test_conditions_are_arithmetic(text, true):
    assert holds(text, cim__rows=128, cim__cols=64) is true


def test_names_stand_in_the_order_in_which_they_come():
    assert read_expression("cim.cols < cim.rows and cim.cols > 1", NAMES).names == ("cim.cols", "cim.rows")


def test_an_axis_whose_name_is_no_name_is_called_by_axis():
    assert read_expression("axis('layers./conv1.weight_bits') <= 4", NAMES).names == ("layers./conv1.weight_bits",)


def test_a_quantity_is_its_value_in_si_units_on_both_sides():
    assert value_of("0.8 V") == 0.8
    assert value_of("64 KiB") == 65536.0
    assert value_of("sram") == "sram"
    assert holds("supply < '900 mV'", supply=value_of("0.8 V"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cim.row % 2", "did you mean 'cim.rows'"),
        ("cim.rows %% 2", "cannot be read"),
        ("__import__('os').system('true')", "not known"),
        ("(lambda: cim.rows)()", "not known"),
        ("cim.rows << 2 > 4", "is not understood"),
        ("cim.rows[0] > 1", "is not understood"),
        ("cim.rows is 4", "is not understood"),
        ("min(cim.rows, key=abs)", "not known"),
        ("5 > 4", "names no axis"),
    ],
)
def test_what_is_no_condition_is_refused(text, says):
    with pytest.raises(SpecError, match=says):
        read_expression(text, NAMES)


def test_levels_that_do_not_go_together_are_named():
    with pytest.raises(SpecError, match="makes no sense with cell = 'sram'"):
        holds("cell + 1 > 2", cell="sram")
    with pytest.raises(SpecError, match=r"cim\.rows = 0"):
        holds("4 % cim.rows == 0", cim__rows=0)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_comparisons_are_those_of_python(a, b):
    assert holds("cim.rows < cim.cols", cim__rows=a, cim__cols=b) == (a < b)
    assert holds("cim.rows % cim.cols == 0", cim__rows=a, cim__cols=b) == (a % b == 0)
