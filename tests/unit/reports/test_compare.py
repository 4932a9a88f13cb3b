from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from cosim.simulation.compare import Comparison, Ratio, energy_by_group
from cosim.simulation.result import Result
from reports.compare import (
    _text_on,
    _two_lines,
    area_chart,
    by_importance,
    chip_colors,
    conclusions,
    headline_of,
    metric_chart,
    sentence,
    stack_chart,
    waterfall_chart,
)
from reports.figures import DOWN, GROUP_COLORS, UP

Make = Callable[..., Result]
Read = Callable[[str], Any]


@pytest.fixture
def pair(make_result: Make) -> Comparison:
    """The twin needs half the array's energy, with narrow spreads: 12.53 mJ against 9.53 mJ."""
    return Comparison((make_result("base", array="npu", factor=1.05), make_result("twin", energy=0.5, factor=1.05)))


def test_a_decided_ratio_below_one_says_that_the_other_chip_wins() -> None:
    text = sentence("energy_j", "twin", "base", Ratio(1 / 2.3, 1 / 3.8, 1 / 1.4))
    assert text == "twin uses 2.3× less energy than base (90 % interval 1.40 – 3.8); the interval excludes 1."


def test_a_decided_ratio_above_one_says_that_the_first_chip_wins() -> None:
    text = sentence("latency_s", "twin", "base", Ratio(3.1, 1.7, 5.5))
    assert text == "base is 3.1× faster than twin (90 % interval 1.70 – 5.5); the interval excludes 1."


def test_an_interval_around_one_decides_nothing() -> None:
    text = sentence("edp", "twin", "base", Ratio(0.8, 0.5, 1.3))
    assert text.startswith("Undecided in energy-delay product: that of twin is 0.80× that of base")
    assert text.endswith("0.50 – 1.30 does not exclude 1.")


@pytest.mark.parametrize("value", [0.0, float("inf")])
def test_nothing_is_said_of_a_ratio_to_nothing(value: float) -> None:
    assert "cannot be compared" in sentence("energy_j", "twin", "base", Ratio(value, 0.0, float("inf")))


def test_there_is_one_sentence_a_metric_and_chip(pair: Comparison, make_result: Make) -> None:
    assert len(conclusions(pair)) == 3
    assert len(conclusions(Comparison((*pair.results, make_result("third"))))) == 6


def test_the_headline_names_the_winner(pair: Comparison) -> None:
    assert headline_of(pair) == "twin uses 1.31× less energy than base on net<1>"
    assert headline_of(Comparison(pair.results[::-1])) == "twin uses 1.31× less energy than base on net<1>"


def test_the_headline_does_not_name_a_winner_that_is_undecided(make_result: Make) -> None:
    undecided = Comparison((make_result("base", array="npu", factor=3.0), make_result("twin", energy=0.9, factor=3.0)))
    assert headline_of(undecided) == "base or twin: which uses less energy on net<1> is undecided"


def test_the_headline_of_three_chips_gives_ratios_to_the_first(pair: Comparison, make_result: Make) -> None:
    third = make_result("third", array="npu", factor=1.05)
    assert headline_of(Comparison((*pair.results, third))) == ("Energy on net<1> relative to base: twin 0.76×, third 1.00× (undecided)")


def test_steps_are_sorted_by_size_and_sum_to_the_difference(pair: Comparison) -> None:
    first, twin = pair.results
    steps = by_importance(pair, twin)
    assert [name for name, _ in steps] == ["compute", "conversion"]
    assert [delta_j for _, delta_j in steps] == pytest.approx([-2e-3, -1e-3])
    assert sum(delta_j for _, delta_j in steps) == pytest.approx(twin.energy_j - first.energy_j)


def test_each_chip_keeps_one_color(pair: Comparison) -> None:
    colors = chip_colors(pair)
    assert list(colors) == ["base", "twin"]
    assert metric_chart(pair).legend == tuple(colors.items())


def test_metric_bars_carry_exact_values(pair: Comparison, read_page: Read) -> None:
    page = read_page(metric_chart(pair).svg)
    assert page.values("energy_j") == {result.chip.name: result.energy_j for result in pair.results}
    assert page.values("latency_s") == {result.chip.name: result.latency_s for result in pair.results}
    assert page.values("area_mm2") == pytest.approx({"base": 10.0, "twin": 10.0})


def test_the_metric_figure_says_what_each_chip_takes(pair: Comparison) -> None:
    assert metric_chart(pair).title == "twin takes 1.00× the latency, 0.76× the energy, 1.00× the area of base"


def test_stacks_are_the_groups_of_each_chip(pair: Comparison, read_page: Read) -> None:
    values = read_page(stack_chart(pair).svg).values("group_energy_j")
    for result in pair.results:
        own = {group: joules for group, joules in energy_by_group(result).items() if joules}
        assert {group: values[f"{result.chip.name}|{group}"] for group in own} == own


def test_groups_have_the_same_colors_on_all_chips(pair: Comparison) -> None:
    assert all(GROUP_COLORS[group] == color for group, color in stack_chart(pair).legend)


def test_the_stack_figure_names_the_largest_group_of_each_chip(pair: Comparison) -> None:
    title = stack_chart(pair).title
    assert title == "Largest group: DRAM and weight store on base (47.9 %), DRAM and weight store on twin (63.0 %)"


def test_area_blocks_of_one_name_share_a_color_and_add_up(pair: Comparison, read_page: Read) -> None:
    chart = area_chart(pair)
    assert [block for block, _ in chart.legend].count("cpu") == 1
    values = read_page(chart.svg).values("area_part_mm2")
    assert sum(value for key, value in values.items() if key.startswith("base|")) == pytest.approx(10.0)


def test_the_waterfall_starts_and_ends_at_the_totals(pair: Comparison, read_page: Read) -> None:
    page = read_page(waterfall_chart(pair, pair.results[1]).svg)
    ends, steps = page.values("energy_j"), page.values("delta_j")
    assert ends == {result.chip.name: result.energy_j for result in pair.results}
    assert ends["base"] + sum(steps.values()) == pytest.approx(ends["twin"])


def test_waterfall_colors_tell_more_from_less(make_result: Make) -> None:
    base, more, less = make_result("base", array="npu"), make_result("more", energy=2.0), make_result("less", energy=0.5)
    comparison = Comparison((base, more, less))
    assert f"fill: {UP.lower()}" in waterfall_chart(comparison, more).svg
    assert f"fill: {DOWN.lower()}" not in waterfall_chart(comparison, more).svg
    assert f"fill: {DOWN.lower()}" in waterfall_chart(comparison, less).svg


def test_the_waterfall_names_the_main_cause(pair: Comparison) -> None:
    assert waterfall_chart(pair, pair.results[1]).title == "twin uses 3.00 mJ less: compute saves 2.00 mJ"


def test_a_waterfall_without_difference_says_so(make_result: Make) -> None:
    same = Comparison((make_result("base", array="npu"), make_result("twin")))
    chart = waterfall_chart(same, same.results[1])
    assert chart.title == "twin uses as much energy as base"
    ET.fromstring(chart.svg)


def test_all_figures_of_three_chips_are_well_formed_and_apart(pair: Comparison, make_result: Make) -> None:
    three = Comparison((*pair.results, make_result("third", energy=3.0)))
    charts = [metric_chart(three), stack_chart(three), area_chart(three), *(waterfall_chart(three, result) for result in three.results[1:])]
    for chart in charts:
        ET.fromstring(chart.svg)
    assert len({chart.name for chart in charts}) == len(charts)


@pytest.mark.parametrize(("color", "ink"), [("#ffffff", "#1f2933"), ("#000000", "white"), ("#0072B2", "white"), ("#E69F00", "#1f2933")])
def test_text_on_a_color_is_the_one_that_can_be_read(color: str, ink: str) -> None:
    assert _text_on(color) == ink


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("compute", "compute"),
        ("DRAM and weight store", "DRAM and\nweight store"),
        ("edge_npu_soc_two", "edge_npu_\nsoc_two"),
        ("x" * 30, "xxxx…xxxxxxxxx"),
    ],
)
def test_long_labels_break_near_their_middle(label: str, lines: str) -> None:
    assert _two_lines(label, 10) == lines
