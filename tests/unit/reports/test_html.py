from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import Any

import pytest

from cosim.ledger import GROUPS
from cosim.simulation.compare import ACCURACY_NOTE, Comparison
from cosim.simulation.programming import Programming
from cosim.simulation.result import Result
from reports.html import compare_files, findings, run_files, run_page
from reports.wording import TOPS_RULE

Make = Callable[..., Result]
Read = Callable[[str], Any]
HEADLINE = (
    "latency_s", "latency_s_low", "latency_s_high", "energy_j", "energy_j_low", "energy_j_high", "edp_js", "edp_js_low", "edp_js_high",
    "area_mm2", "tops_per_w", "tops_per_w_low", "tops_per_w_high", "programming_energy_j", "programming_latency_s",
    "break_even_inferences", "resident_weight_fraction", "assumed_share",
)  # fmt: skip


def sums(rows: list[dict[str, str]], value: str, *keys: str) -> dict[str, float]:
    """Sum a column by others, their values joined by a bar."""
    found: dict[str, float] = {}
    for row in rows:
        key = "|".join(row[name] for name in keys)
        found[key] = found.get(key, 0.0) + float(row[value])
    return found


def test_a_run_has_a_page_and_three_tables(make_result: Make) -> None:
    assert set(run_files(make_result())) == {"report.html", "ledger.csv", "ops.csv", "summary.csv"}


def test_every_headline_number_of_the_page_stands_in_the_summary(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result(energy=1 / 3))
    page, (row,) = read_page(files["report.html"]), read_csv(files["summary.csv"])
    for metric in HEADLINE:
        assert page.values(metric) == {"": float(row[metric])}, metric


def test_headline_energy_and_latency_follow_from_the_ledger(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result())
    page, rows = read_page(files["report.html"]), read_csv(files["ledger.csv"])
    assert page.values("energy_j")[""] == pytest.approx(sum(float(row["energy_j"]) for row in rows))
    assert page.values("latency_s")[""] == pytest.approx(max(float(row["end_s"]) for row in rows))


def test_component_bars_and_rows_follow_from_the_ledger(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result())
    page = read_page(files["report.html"])
    expected = {
        key.replace("|", "."): value for key, value in sums(read_csv(files["ledger.csv"]), "energy_j", "device", "component").items()
    }
    assert page.values("component_energy_j", ["tr"]) == pytest.approx(expected)
    assert page.values("component_energy_j", ["rect"]) == pytest.approx(expected)


def test_group_rows_follow_from_the_ledger(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result())
    assert read_page(files["report.html"]).values("group_energy_j") == pytest.approx(
        sums(read_csv(files["ledger.csv"]), "energy_j", "group")
    )


def test_op_bars_follow_from_the_ledger_even_of_awkward_names(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result())
    page, rows = read_page(files["report.html"]), read_csv(files["ledger.csv"])
    by_op = [row for row in rows if row["op"]]
    assert page.values("op_group_energy_j") == pytest.approx(sums(by_op, "energy_j", "op", "group"))
    assert page.values("op_energy_j") == pytest.approx(sums(by_op, "energy_j", "op"))


def test_limits_and_devices_follow_from_the_ops(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result(n_ops=6))
    page, ops = read_page(files["report.html"]), read_csv(files["ops.csv"])
    assert page.values("limit_busy_s") == pytest.approx(sums(ops, "duration_s", "device", "limit"))
    assert page.values("device_busy_s") == pytest.approx(sums(ops, "duration_s", "device"))


def test_roofline_dots_follow_from_the_ops(make_result: Make, read_page: Read, read_csv: Read) -> None:
    files = run_files(make_result(n_ops=6))
    ops = [row for row in read_csv(files["ops.csv"]) if int(row["n_macs"])]
    expected = {row["op"]: 2 * int(row["n_macs"]) / float(row["duration_s"]) for row in ops}
    assert read_page(files["report.html"]).values("rate_ops_per_s") == pytest.approx(expected)


def test_areas_add_up_to_the_headline(make_result: Make, read_page: Read) -> None:
    page = read_page(run_page(make_result()))
    assert sum(page.values("area_part_m2").values()) * 1e6 == pytest.approx(page.values("area_mm2")[""])


def test_names_from_outside_are_escaped(make_result: Make) -> None:
    html = run_page(make_result(names=["<script>alert(1)</script>", '"><img src=x>', "last"]))
    assert "<script>alert" not in html
    assert "<img" not in html
    assert escape("<script>alert(1)</script>") in html


def test_notes_sources_and_assumptions_are_on_the_page(make_result: Make, read_page: Read) -> None:
    text = read_page(run_page(make_result())).text
    assert "seq was <chosen>" in text
    assert "a process & its <manual>" in text
    assert "devices.cim.adc energy × / ÷ 2 mid of three papers" in text
    assert "devices.cpu.clock 1 GHz × / ÷ 1.5 a guess" in text
    assert "6 of 6 nodes: 3 costed, 1 data movement, 2 free" in text
    assert TOPS_RULE in text
    assert "model_version abc" in text


def test_the_spreads_that_matter_are_ranked(make_result: Make, read_page: Read) -> None:
    text = read_page(run_page(make_result(factor=1.6))).text
    assert "cim.adc.energy × / ÷ 1.6" in text
    assert "cim.clock × / ÷ 1.6 66.7 % −25.0 % / +40.0 %" in text


def test_a_result_without_spreads_says_so(make_result: Make, read_page: Read) -> None:
    result = make_result(factor=1.0)
    text = read_page(run_page(replace(result, latency=type(result.latency)(result.latency_s)))).text
    assert "Nothing that this latency rests on has a range." in text
    assert "no spread modeled" in text


def test_findings_name_consumer_limit_weights_and_trust(make_result: Make) -> None:
    told = findings(make_result(n_ops=10))
    assert told[0].startswith("dram.read is the largest consumer with ")
    assert told[1] == "80.0 % of the busy time is limited by adc on cim."
    assert "paid off after 14 inferences" in told[2]
    assert "the widest spread is cim.adc.energy (×1.5)" in told[3]


@pytest.mark.parametrize(
    ("programming", "text"),
    [
        (Programming(0.1, 0.2, 1), "1 inference"),
        (Programming(0.1, 0.2, None), "never: it saves nothing"),
        (Programming(0, 0, None), "nothing to program"),
    ],
)
def test_break_even_is_told_in_words(make_result: Make, read_page: Read, programming: Programming, text: str) -> None:
    assert f"pays off after {text}" in read_page(run_page(replace(make_result(), programming=programming))).text


def test_a_page_loads_nothing_from_elsewhere(make_result: Make) -> None:
    files = {**run_files(make_result()), **compare_files(Comparison((make_result("base", array="npu"), make_result("twin"))))}
    for name in ("report.html", "compare.html"):
        addresses = set(re.findall(r"https?://[^\"' <)]+", files[name]))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"<(img|iframe|object|embed)\b|@import|src=", files[name])
        assert "default-src 'none'" in files[name]


def test_ids_of_a_page_are_unique(make_result: Make, read_page: Read) -> None:
    third = make_result("third", energy=3.0)
    for html in (
        run_page(make_result()),
        compare_files(Comparison((make_result("base", array="npu"), make_result("twin"), third)))["compare.html"],
    ):
        ids = [attrs["id"] for _, attrs in read_page(html).tags if "id" in attrs]
        assert len(ids) == len(set(ids))


def test_every_figure_has_a_message_a_name_and_well_formed_svg(make_result: Make) -> None:
    html = run_page(make_result())
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    assert len(figures) == 4
    for figure in figures:
        assert re.search(r"<h3>[^<]{10,}</h3>", figure)
        svg = re.search(r"<svg.*</svg>", figure, flags=re.DOTALL)
        assert svg
        assert ET.fromstring(svg[0]).get("aria-label")


def test_the_same_result_makes_the_same_files(make_result: Make) -> None:
    assert run_files(make_result()) == run_files(make_result())


def test_a_run_without_products_energy_or_time_has_a_page(make_result: Make, read_page: Read) -> None:
    result = make_result()
    ops = tuple(replace(op, n_macs=0, end_s=op.start_s) for op in result.ops)
    nothing = replace(result, rows=(), ops=ops, latency=type(result.latency)(0.0), busy_s=dict.fromkeys(result.busy_s, 0.0))
    assert "No op of this workload multiplies" in read_page(run_page(nothing)).text


def test_a_network_of_400_ops_stays_small(make_result: Make) -> None:
    assert len(run_page(make_result(n_ops=400))) < 1_000_000


@pytest.fixture
def three(make_result: Make) -> Comparison:
    return Comparison((make_result("base", array="npu"), make_result("twin", energy=1 / 3), make_result("third", energy=2.0)))


def test_a_comparison_has_a_page_and_three_tables(three: Comparison) -> None:
    assert set(compare_files(three)) == {"compare.html", "compare_ledger.csv", "compare_summary.csv", "waterfall.csv"}


def test_every_number_side_by_side_stands_in_the_summary(three: Comparison, read_page: Read, read_csv: Read) -> None:
    files = compare_files(three)
    page, rows = read_page(files["compare.html"]), read_csv(files["compare_summary.csv"])
    for metric in (
        "latency_s",
        "energy_j",
        "edp_js",
        "area_mm2",
        "tops_per_w",
        "programming_energy_j",
        "resident_weight_fraction",
        "assumed_share",
    ):
        assert page.values(metric, ["b", "td", "span"]) == {row["chip"]: float(row[metric]) for row in rows}, metric
    for metric in ("latency_s", "energy_j", "edp", "area_mm2"):
        assert page.values(f"{metric}_ratio") == {row["chip"]: float(row[f"{metric}_ratio"]) for row in rows[1:]}, metric


def test_waterfall_steps_and_rows_stand_in_the_csv(three: Comparison, read_page: Read, read_csv: Read) -> None:
    files = compare_files(three)
    page = read_page(files["compare.html"])
    steps = {f"{row['chip']}|{row['component']}": float(row["delta_j"]) for row in read_csv(files["waterfall.csv"])}
    assert page.values("delta_j", ["rect"]) == {key: step for key, step in steps.items() if step}
    assert page.values("delta_j", ["td"]).items() <= steps.items()


def test_stacked_bars_follow_from_the_ledgers(three: Comparison, read_page: Read, read_csv: Read) -> None:
    files = compare_files(three)
    expected = sums(read_csv(files["compare_ledger.csv"]), "energy_j", "chip", "group")
    assert read_page(files["compare.html"]).values("group_energy_j", ["rect"]) == pytest.approx(expected)
    assert {key.partition("|")[2] for key in expected} <= set(GROUPS)


def test_the_page_says_that_accuracy_is_not_modeled(three: Comparison, read_page: Read) -> None:
    assert ACCURACY_NOTE[1:] in read_page(compare_files(three)["compare.html"]).text


def test_the_page_says_plainly_that_the_first_chip_wins(make_result: Make, read_page: Read) -> None:
    worse = Comparison((make_result("base", array="npu", factor=1.05), make_result("twin", energy=3.0, factor=1.05)))
    text = read_page(compare_files(worse)["compare.html"]).text
    assert "base uses 1.96× less energy than twin" in text
    assert "the interval excludes 1" in text
    assert "undecided" in text  # the latencies are equal
