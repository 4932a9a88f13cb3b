from __future__ import annotations

from collections.abc import Callable

import pytest

from cosim.ledger import COLUMNS, GROUPS
from cosim.simulation.compare import Comparison, energy_by_group
from cosim.simulation.result import Result
from reports.csv_files import headline, ledger_csv, ledgers_csv, ops_csv, summaries_csv, summary_csv, waterfall_csv

Make = Callable[..., Result]
Read = Callable[[str], list[dict[str, str]]]


def test_the_ledger_has_the_columns_of_the_ledger_and_the_group(make_result: Make, read_csv: Read) -> None:
    rows = read_csv(ledger_csv(make_result()))
    assert tuple(rows[0]) == (*COLUMNS, "group")
    assert {row["group"] for row in rows} <= set(GROUPS)


def test_the_ledger_is_exact(make_result: Make, read_csv: Read) -> None:
    result = make_result(energy=1 / 3)
    rows = read_csv(ledger_csv(result))
    assert [float(row["energy_j"]) for row in rows] == [row.energy_j for row in result.rows]
    assert [float(row["end_s"]) for row in rows] == [row.end_s for row in result.rows]
    assert sum(float(row["energy_j"]) for row in rows) == result.energy_j


def test_names_survive_the_way_through_csv(make_result: Make, read_csv: Read) -> None:
    names = ['a,b\n"c"', "d;e", "last"]
    assert [row["op"] for row in read_csv(ops_csv(make_result(names=names)))] == names


def test_ops_tell_their_duration_and_energy(make_result: Make, read_csv: Read) -> None:
    rows = read_csv(ops_csv(make_result()))
    assert [float(row["energy_j"]) for row in rows] == pytest.approx([6e-3, 6e-3, 0.5e-3])
    assert [float(row["duration_s"]) for row in rows] == pytest.approx([1e-3] * 3)
    assert [row["resident"] for row in rows] == ["True", "False", "False"]


def test_every_float_column_of_ops_carries_its_unit(make_result: Make, read_csv: Read) -> None:
    row = read_csv(ops_csv(make_result()))[0]
    floats = {name for name, value in row.items() if "." in value and value.replace(".", "").replace("e-", "").isdigit()}
    assert floats
    assert all(name.endswith(("_s", "_j", "_bytes")) for name in floats)


def test_the_summary_is_one_row_with_intervals(make_result: Make, read_csv: Read) -> None:
    result = make_result()
    (row,) = read_csv(summary_csv(result))
    assert float(row["energy_j"]) == result.energy_j
    assert (float(row["latency_s_low"]), float(row["latency_s_high"])) == result.latency.interval()
    assert float(row["edp_js"]) == pytest.approx(result.energy_j * result.latency_s)
    assert int(row["n_nodes"]) == 6


def test_efficiency_is_least_where_the_energy_is_most(make_result: Make) -> None:
    """2 GMACs are 4e9 operations; 4e-3 tera-operations over joules."""
    result = make_result()
    row = headline(result)
    low, high = result.energy.interval()
    assert (row["tops_per_w_low"], row["tops_per_w_high"]) == pytest.approx((4e-3 / high, 4e-3 / low))
    assert row["tops_per_w_low"] < row["tops_per_w"] < row["tops_per_w_high"]


def test_what_never_pays_off_leaves_its_field_empty(make_result: Make, read_csv: Read) -> None:
    (row,) = read_csv(summary_csv(make_result(resident=0.0)))
    assert row["break_even_inferences"] == ""


def test_the_headline_agrees_with_the_json_summary(make_result: Make) -> None:
    result = make_result()
    row, summary = headline(result), result.summary()
    shared = row.keys() & summary.keys()
    assert len(shared) > 15
    assert {name: row[name] for name in shared} == {name: summary[name] for name in shared}


@pytest.fixture
def comparison(make_result: Make) -> Comparison:
    return Comparison((make_result("base", array="npu"), make_result("twin", energy=0.5), make_result("third", energy=2.0)))


def test_ledgers_of_a_comparison_start_with_the_chip(comparison: Comparison, read_csv: Read) -> None:
    rows = read_csv(ledgers_csv(comparison))
    assert next(iter(rows[0])) == "chip"
    for result in comparison.results:
        assert sum(float(row["energy_j"]) for row in rows if row["chip"] == result.chip.name) == pytest.approx(result.energy_j)


def test_summaries_hold_ratios_to_the_first_chip(comparison: Comparison, read_csv: Read) -> None:
    rows = read_csv(summaries_csv(comparison))
    first = float(rows[0]["energy_j"])
    assert [float(row["energy_j_ratio"]) for row in rows] == pytest.approx([float(row["energy_j"]) / first for row in rows])
    assert float(rows[1]["energy_j_ratio_low"]) < float(rows[1]["energy_j_ratio"]) < float(rows[1]["energy_j_ratio_high"])


def test_waterfall_steps_sum_to_the_difference(comparison: Comparison, read_csv: Read) -> None:
    rows = read_csv(waterfall_csv(comparison))
    for result in comparison.results[1:]:
        deltas = [float(row["delta_j"]) for row in rows if row["chip"] == result.chip.name]
        assert len(deltas) == len(GROUPS)
        assert sum(deltas) == pytest.approx(result.energy_j - comparison.results[0].energy_j)


def test_waterfall_steps_follow_from_the_ledgers(comparison: Comparison, read_csv: Read) -> None:
    ledger = read_csv(ledgers_csv(comparison))
    for row in read_csv(waterfall_csv(comparison)):
        sums = [
            sum(float(line["energy_j"]) for line in ledger if line["chip"] == chip and line["group"] == row["component"])
            for chip in (row["first_chip"], row["chip"])
        ]
        assert float(row["delta_j"]) == pytest.approx(sums[1] - sums[0], abs=1e-15)


def test_the_group_column_is_that_of_the_comparison(make_result: Make, read_csv: Read) -> None:
    result = make_result()
    sums = dict.fromkeys(GROUPS, 0.0)
    for row in read_csv(ledger_csv(result)):
        sums[row["group"]] += float(row["energy_j"])
    assert sums == pytest.approx(energy_by_group(result))
