"""Real networks on real chips: what is measured, kept and told. No test looks at a clock."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cosim.cli import cli
from cosim.scheduling.base import make_policy
from cosim.scheduling.objective import values_of
from cosim.simulation.run import Simulation
from cosim.validation import placement_runs
from cosim.validation.placement import TABLE, holds_of, metrics_of, read_pairs, validate_placement
from cosim.validation.placement_page import page, render
from cosim.validation.placement_runs import (
    all_networks,
    all_pairs,
    instance_digest,
    light_models,
    load_network,
    measure,
    measure_all,
    prepare,
)
from cosim.validation.placement_table import COLUMNS, Row, read_rows, write_rows
from cosim.validation.registry import validate
from hw_models.catalog import load_chip
from workloads.errors import CosimError, WorkloadError

ROOT = Path(__file__).parents[4]
ROW = Row("net", "chip", 3, 2, 2.0, 1.5, 1.2, 1.0, 0.5, 0.02, 10.0, "abc", "def")


def pairs_file(path, *pairs):
    path.write_text("network,chip\n" + "".join(f"{network},{chip}\n" for network, chip in pairs), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def row():
    return measure("lenet5", "edge_npu_soc", 0.05, n_seeds=1)


# --- one pair ---------------------------------------------------------------------------------------------------


def test_a_row_orders_bound_best_and_policies(row):
    assert row.lower_bound_s <= row.best_s <= row.learned_search_s <= row.portfolio_s * (1 + 1e-12)
    assert row.portfolio_s <= row.heft_s
    assert (row.n_ops, row.n_devices) == (7, 4)
    assert row.cpu_s > 0.0


def test_makespans_are_those_that_a_run_plays(row):
    chip, workload = load_chip("edge_npu_soc"), load_network("lenet5")
    assert row.heft_s == Simulation(chip, workload, policy="heft").run().latency_s
    assert row.portfolio_s == Simulation(chip, workload, policy="portfolio").run().latency_s


def test_the_instance_is_the_one_that_a_simulation_gives_its_policy():
    instance, _ = prepare(load_chip("edge_cim_soc"), load_network("lenet5"))
    assert instance.tables.mode == "fair"
    assert instance_digest(instance) == instance_digest(Simulation(load_chip("edge_cim_soc"), load_network("lenet5")).instance())


def test_the_digest_changes_with_what_the_engine_sees_alone():
    instance, _ = prepare(load_chip("edge_npu_soc"), load_network("lenet5"))
    slower = replace(instance, tables=replace(instance.tables, fixed_s=instance.tables.fixed_s + 1e-9))
    assert instance_digest(slower) != instance_digest(instance)


def test_a_network_that_does_not_fit_has_no_row():
    assert measure("vgg16", "neurram_nature_2022", 0.05) is None


@pytest.mark.parametrize(
    ("heft_s", "best_s", "bound_s", "long"),
    [(1.2, 1.0, 1.0, True), (1.2, 1.0, 1.15, False), (1.2, 1.15, 1.0, False), (1.06, 1.0, 0.9, True)],
)
def test_a_search_is_long_only_where_heft_may_be_far_above_the_best(heft_s, best_s, bound_s, long):
    assert placement_runs._search_s(10.0, 0.0, heft_s, best_s, bound_s) == 0.5
    assert placement_runs._search_s(10.0, 0.5, heft_s, best_s, bound_s) == (10.0 if long else 0.5)


def test_a_best_schedule_of_an_earlier_run_counts_if_the_instance_is_the_same(row):
    earlier = replace(row, best_s=row.best_s / 2, search_s=99.0)
    again = measure("lenet5", "edge_npu_soc", 0.05, earlier, n_seeds=1)
    assert (again.best_s, again.search_s) == (row.best_s / 2, 99.0)
    other = measure("lenet5", "edge_npu_soc", 0.05, replace(earlier, instance="other"), n_seeds=1)
    assert other.best_s > row.best_s / 2


def test_no_schedule_is_below_the_bound():
    instance, bound_s = prepare(load_chip("edge_cim_soc"), load_network("lenet5"))
    plans = [make_policy(name).plan(instance, np.random.default_rng(0)) for name in ("heft", "peft", "met", "single", "greedy")]
    assert values_of(instance, plans).min() >= bound_s


# --- networks and pairs -----------------------------------------------------------------------------------------


def test_every_network_is_there_once_and_light_models_load_by_name():
    names = all_networks()
    assert len(names) == len(set(names))
    assert {"resnet50", "light_resnet50"} <= set(names)
    assert len(light_models()) == 9
    assert load_network("light_squeezenet").n_macs == 349_151_936


def test_chips_with_one_device_are_left_out():
    chips = {chip for _, chip in all_pairs(["lenet5"])}
    assert "edge_cim_soc" in chips
    assert "cortex_m7_mcu" not in chips


# --- runs that go on --------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_where_it_was(tmp_path, monkeypatch):
    file, asked = tmp_path / "table.csv", []

    def measured(network, chip, search_s, known=None):
        asked.append((network, chip, known))
        if network == "b" and len(asked) == 2:
            raise KeyboardInterrupt
        return replace(ROW, network=network, chip=chip, search_s=search_s, model_version=placement_runs.model_version())

    monkeypatch.setattr(placement_runs, "measure", measured)
    monkeypatch.setattr(placement_runs, "warm_up", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        measure_all([("a", "x"), ("b", "x")], 2.0, file)
    assert [row.network for row in read_rows(file)] == ["a"]
    rows = measure_all([("a", "x"), ("b", "x")], 2.0, file)
    assert [entry[:2] for entry in asked] == [("a", "x"), ("b", "x"), ("b", "x")]
    assert [row.pair for row in rows] == [("a", "x"), ("b", "x")] == [row.pair for row in read_rows(file)]


@pytest.mark.parametrize("change", [{"model_version": "old"}, {"search_s": 1.0}])
def test_rows_of_other_models_or_shorter_searches_are_measured_again(tmp_path, monkeypatch, change):
    current = replace(ROW, model_version=placement_runs.model_version())
    write_rows(tmp_path / "t.csv", [replace(current, **change)])
    monkeypatch.setattr(placement_runs, "measure", lambda network, chip, search_s, known=None: replace(current, best_s=known.best_s / 2))
    monkeypatch.setattr(placement_runs, "warm_up", lambda: None)
    (row,) = measure_all([ROW.pair], 10.0, tmp_path / "t.csv")
    assert row.best_s == 0.5
    assert read_rows(tmp_path / "t.csv") == [row]


def test_rows_of_pairs_that_are_not_asked_for_stay_in_the_file(tmp_path, monkeypatch):
    write_rows(tmp_path / "t.csv", [replace(ROW, network="other")])
    monkeypatch.setattr(placement_runs, "measure", lambda *given: ROW)
    monkeypatch.setattr(placement_runs, "warm_up", lambda: None)
    assert measure_all([ROW.pair], 1.0, tmp_path / "t.csv") == [ROW]
    assert [row.network for row in read_rows(tmp_path / "t.csv")] == ["net", "other"]


# --- the table --------------------------------------------------------------------------------------------------


def test_rows_survive_a_file_to_the_last_bit(tmp_path):
    rows = [replace(ROW, heft_s=math.pi, network=name) for name in ("a", "b")]
    write_rows(tmp_path / "t.csv", rows)
    assert read_rows(tmp_path / "t.csv") == rows
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("heft_s", "soon", r"t\.csv: line 2: column 'heft_s': 'soon' is no time in s"),
        ("best_s", "inf", "column 'best_s': 'inf' is no time in s"),
        ("cpu_s", "-1", "column 'cpu_s'"),
        ("n_ops", "many", "column 'n_ops': 'many' is not a whole number"),
        ("chip", "", "column 'chip' is empty"),
    ],
)
def test_a_broken_cell_is_named(tmp_path, column, text, message):
    write_rows(tmp_path / "t.csv", [ROW])
    with (tmp_path / "t.csv").open(newline="") as stream:
        (cells,) = csv.DictReader(stream)
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerow(cells | {column: text})
    with pytest.raises(WorkloadError, match=message):
        read_rows(tmp_path / "t.csv")


def test_a_table_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(WorkloadError, match=r"no_folder/t\.csv: the table cannot be written"):
        write_rows(tmp_path / "no_folder" / "t.csv", [ROW])


# --- metrics and targets ----------------------------------------------------------------------------------------


def test_gap_and_ratio_by_hand():
    assert ROW.vs_portfolio == pytest.approx(0.8)
    assert ROW.gap_closed == pytest.approx(0.8)  # (2 - 1.2) / (2 - 1)
    assert ROW.has_headroom
    assert not replace(ROW, heft_s=1.09).has_headroom
    assert replace(ROW, heft_s=1.0).gap_closed == 0.0


def test_metrics_by_hand():
    rows = [ROW, replace(ROW, learned_search_s=1.5, heft_s=1.0)]
    found = metrics_of(rows)
    assert found["geomean_vs_portfolio"] == pytest.approx(math.sqrt(0.8))
    assert found["worst_vs_portfolio"] == 1.0
    assert (found["n"], found["n_headroom"]) == (2, 1)
    assert found["min_gap_closed"] == found["median_gap_closed"] == pytest.approx(0.8)
    assert holds_of(found) == dict.fromkeys(holds_of(found), True)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"learned_search_s": 1.51}, ["geomean of learned + search / portfolio <= 1", "gap closed >= 0.6"]),
        ({"learned_search_s": 1.45}, ["gap closed >= 0.6"]),
        ({"learned_search_s": 1.54, "heft_s": 1.05}, ["geomean of learned + search / portfolio <= 1", "never above 1.02 x portfolio"]),
        ({"lower_bound_s": 1.1}, ["nothing is below its lower bound"]),
    ],
)
def test_each_target_can_be_missed(change, missed):
    assert [name for name, ok in holds_of(metrics_of([replace(ROW, **change)])).items() if not ok] == missed


def test_without_headroom_the_gap_is_not_judged():
    found = metrics_of([replace(ROW, heft_s=1.0)])
    assert found["min_gap_closed"] is None
    assert not any(name.startswith("gap") for name in holds_of(found))


# --- the command ------------------------------------------------------------------------------------------------


def test_pairs_of_a_file_are_measured_and_what_does_not_fit_is_named(tmp_path):
    path = pairs_file(tmp_path / "pairs.csv", ("lenet5", "edge_npu_soc"), ("vgg16", "neurram_nature_2022"))
    found = validate_placement(path, search_s=0.05, file=tmp_path / "table.csv")
    assert (found["area"], found["n"], found["passed"]) == ("placement", 1, True)
    assert found["skipped_files"] == ["vgg16 on neurram_nature_2022: does not fit"]
    (row,) = found["rows"]
    assert {"network", "chip", "vs_portfolio", "gap_closed", "lower_bound_s"} <= set(row)
    assert len(read_rows(tmp_path / "table.csv")) == 1


def test_the_shipped_table_can_name_the_pairs():
    assert len(read_pairs(TABLE)) == len(read_rows(TABLE))


def test_nothing_measured_is_not_passed(tmp_path):
    found = validate("placement", pairs_file(tmp_path / "pairs.csv", ("vgg16", "neurram_nature_2022")))
    assert (found["n"], found["passed"]) == (0, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network\nlenet5\n", "column 'chip' is missing"),
        ("network,chip\n", "names no network and chip"),
        ("network,chip\nlenet5,\n", "line 2: network or chip is empty"),
    ],
)
def test_a_bad_file_of_pairs_is_named(tmp_path, text, message):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(WorkloadError, match=message):
        validate_placement(tmp_path / "pairs.csv")


@pytest.mark.parametrize(("pair", "message"), [(("resnet5", "edge_npu_soc"), "resnet50"), (("lenet5", "edge_npu"), "edge_npu_soc")])
def test_a_name_that_does_not_exist_suggests_the_nearest(tmp_path, pair, message):
    with pytest.raises(CosimError, match=message):
        validate_placement(pairs_file(tmp_path / "pairs.csv", pair), search_s=0.05)


def test_the_command_prints_json(tmp_path):
    path = pairs_file(tmp_path / "pairs.csv", ("lenet5", "edge_npu_soc"))
    done = CliRunner().invoke(cli, ["validate", "placement", "--data", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["metrics"]["n"] == 1


# --- the page ---------------------------------------------------------------------------------------------------


def test_the_page_tells_targets_and_every_pair():
    text = render([ROW, replace(ROW, network="worse", learned_search_s=1.6)])
    assert "| learned + 20 ms / portfolio, worst | 1.0667 | <= 1.02 | **no** |" in text
    assert "| net | chip | 2.000 | 1.500 | 1.200 | 0.80 |" in text
    assert "| net | chip | 3 | 1000 | 2.000 | 2.0000 | 1.5000 | 1.2000 | 0.8000 |" in text


def test_the_page_says_that_no_pair_has_headroom():
    text = render([replace(ROW, heft_s=1.0, learned_search_s=1.0, portfolio_s=1.0)])
    assert "above the best schedule known." in text
    assert "\nNone.\n" in text
    assert "gap closed, least" not in text


def test_the_shipped_table_holds_its_targets():
    rows = read_rows(TABLE)
    assert len({row.pair for row in rows}) == len(rows) >= 400
    assert all(holds_of(metrics_of(rows)).values())


def test_the_page_is_what_the_table_gives():
    text = (ROOT / "docs" / "placement_table.md").read_text(encoding="utf-8")
    assert text == page(), "docs/placement_table.md is stale; python benchmarks/placement_networks.py writes it"
