from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from cosim.simulation.compare import Comparison
from cosim.simulation.programming import Programming
from cosim.simulation.result import Result
from reports.text import compare_table, coverage_line, run_table, weights_line
from reports.wording import TOPS_RULE, quantity, span
from workloads.graph import Coverage

Make = Callable[..., Result]


def section(text: str, title: str) -> list[str]:
    """Lines of the block that starts with a title."""
    return next(block for block in text.split("\n\n") if block.startswith(title)).splitlines()[1:]


def test_the_headline_has_units_and_intervals(make_result: Make) -> None:
    result = make_result()
    text = run_table(result)
    assert f"{quantity(result.energy_j, 'J')}" in text
    assert span(*result.energy.interval(), "J") in text
    assert span(*result.latency.interval(), "s") in text
    assert TOPS_RULE in text


def test_the_title_names_network_chip_bits_policy_and_seed(make_result: Make) -> None:
    head = run_table(make_result()).split("\n\n")[0]
    assert head.startswith("net<1> on twin\n")
    assert "8-bit weights, 8-bit activations" in head
    assert "policy heft, fidelity simpy, seed 0" in head


def test_columns_of_a_table_are_aligned(make_result: Make) -> None:
    lines = section(run_table(make_result()), "Energy by component")
    assert len({line.index("%") for line in lines}) == 1


def test_components_come_with_bars_of_their_share(make_result: Make) -> None:
    lines = section(run_table(make_result()), "Energy by component")
    assert lines[0].strip().startswith("dram.read")
    assert [line.count("█") for line in lines] == [11, 8, 4, 1, 0]
    assert lines[-1].endswith("▏")


def test_small_components_are_summed_in_the_terminal(make_result: Make) -> None:
    result = make_result()
    many = replace(result, rows=(*result.rows, *(result.rows[0]._replace(component=f"part{i:02}") for i in range(20))))
    lines = section(run_table(many), "Energy by component")
    assert len(lines) == 15
    assert lines[-1].strip().startswith("11 others")


def test_top_ops_are_followed_by_all_others_and_standby(make_result: Make) -> None:
    lines = section(run_table(make_result(n_ops=30)), "Energy by op")
    assert len(lines) == 1 + 10 + 2
    assert lines[-2].strip().startswith("20 other ops")
    assert lines[-1].strip().startswith("standby (no op)")


def test_an_op_tells_where_it_runs_and_what_limits_it(make_result: Make) -> None:
    line = section(run_table(make_result()), "Energy by op")[1]
    assert line.split()[1:3] == ["Conv", "cim"]
    assert line.endswith("dram: pin bandwidth")


def test_long_op_names_do_not_break_the_table(make_result: Make) -> None:
    text = run_table(make_result(names=["x" * 300, "y" * 300, "z"]))
    assert max(map(len, text.splitlines())) < 160


def test_coverage_accounts_for_every_node(make_result: Make) -> None:
    result = make_result()
    coverage = Coverage({"Conv": 500}, {"Odd": 20}, {"Reshape": 92})
    covered = replace(result, workload=replace(result.workload, coverage=coverage))
    assert coverage_line(covered) == "612 of 612 nodes: 500 costed, 20 data movement, 92 free"


def test_weights_say_what_programming_costs_and_when_it_pays(make_result: Make) -> None:
    line = weights_line(make_result())
    assert line.startswith("50.0 % of the weight bytes stay on the chip")
    assert "400 ms and 20.0 mJ (not in the totals)" in line
    assert line.endswith("paid off after 14 inferences")


def test_programming_that_saves_nothing_never_pays_off(make_result: Make) -> None:
    result = replace(make_result(), programming=Programming(0.02, 0.4, None))
    assert weights_line(result).endswith("that never pays off")


def test_without_resident_weights_nothing_is_said_of_programming(make_result: Make) -> None:
    assert weights_line(make_result(resident=0.0)) == "0 % of the weight bytes stay on the chip between inferences"


def test_trust_names_the_share_that_is_assumed_and_the_widest_spread(make_result: Make) -> None:
    result = make_result(factor=1.6)
    lines = "\n".join(section(run_table(result), "What it rests on"))
    assert f"{result.assumed_share * 100:.1f} % of the energy rests on an assumed number" in lines
    assert "cim.adc.energy (×1.6: up to +" in lines
    assert "note: seq was <chosen>" in lines


def test_ops_at_other_bits_are_named(make_result: Make) -> None:
    result = make_result()
    changed = replace(result, ops=tuple(replace(op, weight_bits=4) for op in result.ops))
    assert "cim computes 2 ops at 4-bit weights and 8-bit activations" in run_table(changed)


def test_a_run_that_spends_nothing_has_a_table(make_result: Make) -> None:
    result = make_result()
    empty = replace(result, rows=(), latency=type(result.latency)(0.0), busy_s=dict.fromkeys(result.busy_s, 0.0))
    assert "0 J" in run_table(empty)


@pytest.fixture
def comparison(make_result: Make) -> Comparison:
    return Comparison((make_result("base", array="npu", factor=1.05), make_result("twin", energy=0.5, factor=1.05)))


def test_a_comparison_has_one_column_a_chip(comparison: Comparison) -> None:
    text = compare_table(comparison)
    block = next(block for block in text.split("\n\n") if "latency" in block)
    assert block.splitlines()[0].split() == ["base", "twin"]
    assert "weights resident" in block
    assert TOPS_RULE in block


def test_ratios_say_whether_their_interval_excludes_one(comparison: Comparison) -> None:
    lines = section(compare_table(comparison), "ratio to base")
    told = {line.split("  ")[0].strip(): line for line in lines}
    assert told["energy"].rstrip().endswith("  excludes 1")
    assert told["latency"].rstrip().endswith("does not exclude 1")
    assert told["area"].rstrip().endswith("1.00×")


def test_the_waterfall_is_printed_from_total_to_total(comparison: Comparison) -> None:
    lines = section(compare_table(comparison), "Where the difference to base comes from")
    assert [line.split()[0] for line in lines] == ["base", "compute", "conversion", "twin"]
    assert "-2.00 mJ" in lines[1]


def test_groups_end_with_the_totals(comparison: Comparison) -> None:
    block = next(block for block in compare_table(comparison).split("\n\n") if block.startswith("energy "))
    assert block.splitlines()[-1].split() == ["total", "12.5", "mJ", "9.53", "mJ"]


def test_a_comparison_ends_with_what_may_be_concluded_and_with_the_accuracy_note(comparison: Comparison) -> None:
    *_, conclusion, note = compare_table(comparison).split("\n\n")
    assert "twin uses 1.31× less energy than base" in conclusion
    assert note.startswith("Accuracy is not mode")


def test_three_chips_have_a_waterfall_each(comparison: Comparison, make_result: Make) -> None:
    text = compare_table(Comparison((*comparison.results, make_result("third", energy=2.0))))
    assert text.count("Where the difference to base comes from") == 2


def test_terminal_tables_need_no_matplotlib_jinja_or_pandas() -> None:
    code = "import sys, reports.text; assert not {'matplotlib', 'jinja2', 'pandas'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
