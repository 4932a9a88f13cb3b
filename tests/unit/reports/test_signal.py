"""Output SNR of analog ops, from the result to every report: never energy without what it costs in signal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from cosim.simulation.compare import Comparison
from cosim.simulation.result import Result, signal_of
from reports.csv_files import ops_csv, summary_csv
from reports.html import compare_files, run_files
from reports.text import compare_table, run_table

Make = Callable[..., Result]
LEVELS = (35.25, 20.5, inf, None)  # the last op is digital, on the cpu


def analog(result: Result, levels: tuple[float | None, ...] = LEVELS) -> Result:
    return replace(result, ops=tuple(replace(op, output_snr_db=level) for op, level in zip(result.ops, levels, strict=True)))


@pytest.fixture
def result(make_result: Make) -> Result:
    return analog(make_result(n_ops=4))


def test_the_worst_op_is_named_and_the_median_goes_by_macs(result: Result) -> None:
    """Three ops of equal MACs at 20.5, 35.25 and inf dB; with a first op of four times the MACs that one is the median."""
    assert result.signal is not None
    assert (result.signal.n_ops, result.signal.worst_db, result.signal.worst_op) == (3, 20.5, "op1")
    assert result.signal.median_db == 35.25
    heavy = (result.ops[0], replace(result.ops[1], n_macs=4 * result.ops[1].n_macs), *result.ops[2:])
    found = signal_of(heavy)
    assert found is not None
    assert found.median_db == 20.5


def test_without_analog_ops_nothing_is_said(make_result: Make) -> None:
    plain = make_result()
    assert plain.signal is None
    assert plain.summary()["output_snr_db"] is None
    assert plain.summary()["op_output_snr_db"] == []
    assert "output SNR" not in run_table(plain)
    assert "Output SNR" not in run_files(plain)["report.html"]


def test_json_tells_lossless_from_a_level(result: Result) -> None:
    data = json.loads(json.dumps(result.summary(), allow_nan=False))
    assert data["output_snr_db"] == {"n_ops": 3, "worst": 20.5, "worst_op": "op1", "median": 35.25}
    assert [(op["output_snr_db"], op["lossless"]) for op in data["op_output_snr_db"]] == [(35.25, False), (20.5, False), (None, True)]


def test_csv_is_exact(result: Result, read_csv: Callable[[str], list[dict[str, str]]]) -> None:
    assert [row["output_snr_db"] for row in read_csv(ops_csv(result))] == ["35.25", "20.5", "inf", ""]
    (row,) = read_csv(summary_csv(result))
    assert (row["output_snr_db_worst"], row["output_snr_db_median"]) == ("20.5", "35.25")


def test_the_terminal_shows_it_beside_the_energy(result: Result) -> None:
    text = run_table(result)
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  output SNR"))
    assert "20.5 dB" in lines[at]
    assert "worst of 3 analog ops, op1; median by MACs 35.2 dB" in lines[at]
    assert lines[at - 2].startswith("  energy")
    for told in ("SNR", "35.2 dB", "lossless", "—"):
        assert told in text[text.index("Energy by op") :]


def test_the_page_shows_every_op_and_the_summary(result: Result, read_page: Callable[[str], Any]) -> None:
    page = read_page(run_files(result)["report.html"])
    assert list(page.values("op_output_snr_db").values()) == [35.25, 20.5, inf]
    assert page.values("output_snr_db_worst") == {"": 20.5}
    assert page.values("output_snr_db_median") == {"": 35.25}
    assert "Outputs of 3 analog ops have an SNR of 35.2 dB at the median of MACs and 20.5 dB at worst (op1)" in page.text


def test_a_comparison_shows_it_for_each_chip(make_result: Make, read_page: Callable[[str], Any]) -> None:
    comparison = Comparison((make_result("base"), analog(make_result("twin", n_ops=3), LEVELS[1:])))
    (line,) = (line for line in compare_table(comparison).splitlines() if line.startswith("output SNR, worst"))
    assert line.split()[3:] == ["—", "20.5", "dB"]
    page = read_page(compare_files(comparison)["compare.html"])
    assert page.values("output_snr_db_worst") == {"twin": 20.5}
    assert comparison.summary()["rows"][1]["output_snr_db"]["worst"] == 20.5
