from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from cosim.simulation.result import Result
from reports.energy import STANDBY, by_component, by_group, by_op, component_chart, op_chart, top_ops

Make = Callable[..., Result]
TOTAL_J = 2 * 6e-3 + 0.5e-3 + 3e-5  # two ops on the array, one on the cpu, background over 3 ms


def test_components_are_sorted_and_add_up_to_the_total(make_result: Make) -> None:
    parts = by_component(make_result())
    assert [part.name for part in parts] == ["dram.read", "cim.mac", "cim.adc", "cpu.mac", "dram.background"]
    assert sum(part.energy_j for part in parts) == pytest.approx(TOTAL_J)
    assert sum(part.share for part in parts) == pytest.approx(1)


def test_components_belong_to_the_bars_of_a_comparison(make_result: Make) -> None:
    groups = {part.name: part.group for part in by_component(make_result())}
    assert groups["dram.read"] == "DRAM and weight store"
    assert groups["cim.adc"] == "conversion"
    assert groups["dram.background"] == "memory standby"


def test_a_component_goes_up_and_down_by_its_own_spread(make_result: Make) -> None:
    adc = next(part for part in by_component(make_result(factor=2.0)) if part.name == "cim.adc")
    assert (adc.low_j, adc.high_j) == pytest.approx((1e-3, 4e-3))
    assert adc.assumed


def test_a_component_without_spread_has_no_width(make_result: Make) -> None:
    mac = next(part for part in by_component(make_result()) if part.name == "cim.mac")
    assert mac.low_j == mac.high_j == pytest.approx(mac.energy_j)
    assert not mac.assumed


def test_background_power_moves_with_the_latency(make_result: Make) -> None:
    """2 of 3 ms scale with a clock that may be twice as slow: 3 ms become 5 ms, and 30 µJ become 50 µJ."""
    background = next(part for part in by_component(make_result(factor=2.0)) if part.name == "dram.background")
    assert background.high_j == pytest.approx(5e-5)


def test_bytes_of_a_component_are_those_it_moved(make_result: Make) -> None:
    assert {part.name: part.n_bytes for part in by_component(make_result())}["dram.read"] == 1e6


def test_groups_are_sorted_and_leave_out_what_is_empty(make_result: Make) -> None:
    groups = by_group(make_result())
    assert list(groups) == ["DRAM and weight store", "compute", "conversion", "memory standby"]
    assert groups["compute"] == pytest.approx(4.5e-3)


def test_ops_are_sorted_and_what_belongs_to_none_comes_last(make_result: Make) -> None:
    ops = by_op(make_result())
    assert [op.energy_j for op in ops] == pytest.approx([6e-3, 6e-3, 0.5e-3, 3e-5])
    assert ops[-1].name == ""


def test_an_op_is_split_over_groups(make_result: Make) -> None:
    assert by_op(make_result())[0].groups == pytest.approx({"compute": 2e-3, "conversion": 1e-3, "DRAM and weight store": 3e-3})


def test_top_ops_other_ops_and_standby_are_the_whole(make_result: Make) -> None:
    result = make_result(n_ops=40)
    ops, whole = top_ops(result, 5)
    assert len(ops) == 5
    assert [op.name for op in whole] == ["the 5 ops above", "35 other ops", STANDBY]
    assert sum(op.energy_j for op in whole) == pytest.approx(result.energy_j)
    assert whole[0].energy_j == pytest.approx(sum(op.energy_j for op in ops))


def test_few_ops_leave_no_others(make_result: Make) -> None:
    _, whole = top_ops(make_result(n_ops=3), 5)
    assert [op.name for op in whole] == ["the 3 ops above", STANDBY]


def test_the_title_of_the_component_figure_names_the_largest(make_result: Make) -> None:
    chart = component_chart(make_result())
    assert chart.title == f"dram.read takes {6e-3 / TOTAL_J:.1%}".replace("%", " %") + " of the energy"


def test_the_component_figure_merges_small_ones_but_marks_every_shown_one(make_result: Make) -> None:
    result = make_result()
    rows = [row._replace(component=f"part{i}") for i in range(20) for row in result.rows[:1]]
    many = type(result)(**{**vars(result), "rows": (*result.rows, *rows)})
    svg = component_chart(many).svg
    assert svg.count('data-metric="component_energy_j"') == 12
    assert "13 others" in svg


def test_figures_are_well_formed_with_awkward_names(make_result: Make) -> None:
    for chart in (component_chart(make_result()), op_chart(make_result())):
        ET.fromstring(chart.svg)


def test_segments_of_the_op_figure_add_up_to_the_ops(make_result: Make, read_page: Callable[[str], object]) -> None:
    result = make_result(n_ops=30)
    values = read_page(op_chart(result).svg).values("op_sum_energy_j")  # type: ignore[attr-defined]
    assert sum(values.values()) == pytest.approx(result.energy_j)


def test_the_op_figure_says_how_much_its_ops_take(make_result: Make) -> None:
    assert op_chart(make_result(n_ops=30)).title.startswith("15 ops of 30 take ")


def test_a_run_that_spends_nothing_can_be_drawn(make_result: Make) -> None:
    result = make_result()
    free = type(result)(**{**vars(result), "rows": ()})
    assert component_chart(free).title == "No energy is spent"
    assert "0 %" in op_chart(free).title
