"""`cosim study`: what it shows before a sweep, and what it exports, merges and finds after it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cosim.cli import study_show
from cosim.cli import sweep as sweep_module
from cosim.study.chunks import Inline
from cosim.study.dry_run import DryRun, Size, Times
from cosim.study.judge import ALL_COLUMNS
from cosim.study.store import HEAD, Store
from cosim.study.study_file import list_studies

STUDY = """
name: small
chip: edge_npu_soc
workloads:
  - {name: lenet5, weight: 2, bounds: [latency <= 1 s]}
  - mlp_mnist
axes:
  npu.rows: [32, 64, 96]
  npu.cols: [32, 64]
constraints: [npu.rows >= npu.cols, area <= 90 mm2]
objectives: [energy, latency]
bounds: [energy <= 1 J]
seed: 4
"""
SHOWN = {
    "study", "chips", "workloads", "combine", "fidelity", "fidelities", "policy", "weight_bits", "activation_bits", "axes", "constraints",
    "objectives", "bounds", "design", "replicates", "batch", "seed", "n_grid",
}  # fmt: skip
COUNTED = {
    "n_feasible", "feasible_share", "n_points", "n_rows", "n_cost_rows", "n_accuracies", "point_s", "accuracy_s", "cpu_s", "workers",
    "wall_s",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.setattr(sweep_module, "start_engine", lambda *args: Inline(args[1].task))


@pytest.fixture
def swept(cosim):
    assert cosim("sweep", "small.yaml")[0] == 0


def json_of(cosim, *args):
    code, out, err = cosim("study", *args, "--json")
    assert code == 0, err
    return json.loads(out)


def text_of(cosim, *args):
    code, out, err = cosim("study", *args)
    assert code == 0, err
    return out


def refused(cosim, *args):
    code, out, err = cosim("study", *args)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return err


class TestShow:
    def test_json_says_all_that_the_file_says(self, cosim):
        data = json_of(cosim, "show", "small.yaml")
        assert set(data) == SHOWN
        assert data["workloads"] == [
            {"name": "lenet5", "source": "lenet5", "weight": 2.0, "bounds": ["latency <= 1.000 s"]},
            {"name": "mlp_mnist", "source": "mlp_mnist", "weight": 1.0, "bounds": []},
        ]
        assert data["axes"] == [
            {"name": "npu.rows", "kind": "ordinal", "paths": ["devices.npu.rows"], "levels": [32, 64, 96]},
            {"name": "npu.cols", "kind": "categorical", "paths": ["devices.npu.cols"], "levels": [32, 64]},
        ]
        assert data["constraints"] == ["npu.rows >= npu.cols", "area <= 90 mm2"]
        assert data["objectives"] == [
            {"name": "energy", "direction": "minimize", "unit": "J"},
            {"name": "latency", "direction": "minimize", "unit": "s"},
        ]
        assert data["bounds"] == ["energy <= 1.000 J"]
        assert (data["chips"], data["combine"], data["fidelity"], data["policy"]) == (["edge_npu_soc"], "geomean", "event", "heft")
        assert (data["seed"], data["batch"], data["replicates"], data["n_grid"]) == (4, 4, 1, 6)
        assert data["design"] == {"method": "grid", "n": None, "own": 0}

    def test_nothing_is_evaluated_unless_asked(self, cosim, monkeypatch):
        monkeypatch.setattr("cosim.study.evaluate.Evaluator.evaluate", lambda *_: pytest.fail("nothing is run"))
        out = text_of(cosim, "show", "small.yaml")
        assert "feasible" not in out
        assert out.endswith("Next: cosim study show small.yaml --dry-run\n")

    def test_people_read_axes_constraints_objectives_and_bounds(self, cosim):
        lines = text_of(cosim, "show", "small.yaml").splitlines()
        assert lines[0] == "small: lenet5 x2, mlp_mnist (geomean) on edge_npu_soc, event, heft"
        assert lines[1:3] == ["  npu.rows  ordinal        3  32, 64, 96", "  npu.cols  categorical    2  32, 64"]
        assert lines[3:7] == [
            "constraints  npu.rows >= npu.cols; area <= 90 mm2",
            "objectives   minimize energy, minimize latency",
            "bounds       energy <= 1.000 J; latency <= 1.000 s (lenet5)",
            "grid         6 points",
        ]

    def test_a_dry_run_counts_points_rows_and_costs_and_starts_nothing(self, cosim, tmp_path):
        data = json_of(cosim, "show", "small.yaml", "--dry-run", "--workers", 3)
        assert set(data) == SHOWN | COUNTED
        assert (data["n_grid"], data["n_feasible"], data["n_points"], data["n_rows"]) == (6, 5, 5, 10)
        assert data["feasible_share"] == pytest.approx(5 / 6)
        assert data["n_cost_rows"] > 0
        assert (data["n_accuracies"], data["accuracy_s"], data["workers"]) == (0, 0.0, 3)
        assert data["wall_s"] > 0
        assert [one.name for one in tmp_path.iterdir()] == ["small.yaml"]
        assert cosim("sweep", "small.yaml", "--json")[1].count('"n_rows": 10') == 1

    def test_a_dry_run_in_words(self, cosim, monkeypatch):
        size = Size(5, 10, 1234, Times(2.0, 0.002, 0.001, 30.0, 12))
        monkeypatch.setattr("cosim.study.dry_run.dry_run", lambda _: DryRun(6, 5, 5 / 6, size))
        lines = text_of(cosim, "show", "small.yaml", "--dry-run", "--workers", "2").splitlines()
        assert lines[6:] == [
            "grid         6 points",
            "feasible     5 points",
            "sweep        5 points (grid), 10 rows",
            "cost rows    1,234 distinct (op x device variant x bits)",
            "accuracies   12 distinct, 30 s each",
            "time         about 3.1 min with 2 workers on free cores (2,000 us a point)",  # 2 + 1.234 + (0.01 + 360) / 2
            "Next: cosim sweep small.yaml",
        ]

    def test_a_grid_that_only_a_search_can_take(self, cosim, monkeypatch):
        monkeypatch.setattr("cosim.study.dry_run.dry_run", lambda _: DryRun(10**9, None, 0.125, None))
        out = text_of(cosim, "show", "small.yaml", "--dry-run")
        assert "feasible     about 12.5% of the grid, which is too large to list" in out
        assert "cosim optimise" in out
        data = json_of(cosim, "show", "small.yaml", "--dry-run")
        assert [data[key] for key in ("n_feasible", "n_points", "n_rows", "n_cost_rows", "cpu_s", "wall_s")] == [None] * 6

    def test_inactive_levels_and_long_lists_in_words(self, cosim, tmp_path):
        text = STUDY.replace("npu.rows: [32, 64, 96]", "npu.rows: 32..432 step 2\n  cpu.clock: {levels: [1 GHz], when: npu.cols == 64}")
        (tmp_path / "long.yaml").write_text(text, encoding="utf-8")
        lines = text_of(cosim, "show", "long.yaml").splitlines()
        assert lines[1].startswith("  npu.rows   ordinal      201  32, 34, 36, ")
        assert lines[1].endswith(", ...")
        assert len(lines[1]) < 140
        assert "none, 1 GHz" in lines[2]
        assert "cpu.clock only when npu.cols == 64" in lines[4]

    @pytest.mark.parametrize("name", sorted(list_studies()))
    def test_every_shipped_study_can_be_shown(self, cosim, name):
        data = json_of(cosim, "show", name)
        assert data["study"] == name
        assert data["n_grid"] > 1000

    def test_a_study_without_constraints_and_bounds(self, cosim, tmp_path):
        (tmp_path / "p.yaml").write_text("chip: edge_npu_soc\nworkload: lenet5\naxes: {npu.rows: [8, 16]}\n", encoding="utf-8")
        out = text_of(cosim, "show", "p.yaml")
        assert "constraints  none" in out
        assert "bounds       none" in out
        assert out.startswith("p: lenet5 on edge_npu_soc")

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.26, "0.3 s"), (9.96, "10.0 s"), (12.4, "12 s"), (119, "119 s"), (120, "2.0 min"), (9000, "2.5 h"), (1e6, "11.6 days")],
    )
    def test_times_are_in_the_unit_that_suits_them(self, seconds, text):
        assert study_show._duration(seconds) == text

    def test_mistakes(self, cosim, tmp_path):
        assert "study 'smal' is neither shipped nor a YAML file" in refused(cosim, "show", "smal")
        (tmp_path / "bad.yaml").write_text(STUDY.replace("npu.rows:", "npu.rowz:", 1), encoding="utf-8")
        err = refused(cosim, "show", "bad.yaml")
        assert "bad.yaml:8" in err
        assert "npu.rows" in err
        (tmp_path / "none.yaml").write_text(STUDY.replace("90 mm2", "1 mm2"), encoding="utf-8")
        assert "no point keeps to all its constraints" in refused(cosim, "show", "none.yaml", "--dry-run")
        assert "--workers" in refused(cosim, "show", "small.yaml", "--dry-run", "--workers", "0")


@pytest.mark.usefixtures("swept")
class TestExport:
    def test_csv_has_a_column_for_each_axis_and_value_and_is_sorted_by_key(self, cosim):
        rows = list(csv.DictReader(io.StringIO(text_of(cosim, "export", "small.yaml"))))
        assert list(rows[0]) == [*HEAD, "npu.rows", "npu.cols", *ALL_COLUMNS]
        assert len(rows) == 10
        assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
        assert {f"{row['npu.rows']} x {row['npu.cols']}" for row in rows} == {"32 x 32", "64 x 32", "64 x 64", "96 x 32", "96 x 64"}
        assert {row["workload"] for row in rows} == {"lenet5", "mlp_mnist"}
        assert all(float(row["energy_j"]) > 0 for row in rows)

    def test_the_study_and_its_store_have_the_same_rows(self, cosim):
        of_study = list(csv.DictReader(io.StringIO(text_of(cosim, "export", "small.yaml"))))
        of_store = list(csv.DictReader(io.StringIO(text_of(cosim, "export", "out/small.db"))))
        key = ("key", "energy_j", "latency_s", "npu.rows", "npu.cols")
        assert [[row[k] for k in key] for row in of_study] == [[row[k] for k in key] for row in of_store]

    def test_rows_of_another_study_in_the_store_are_left_out(self, cosim, tmp_path):
        whole = text_of(cosim, "export", "small.yaml")
        (tmp_path / "other.yaml").write_text(STUDY.replace("[32, 64]", "[16, 24]"), encoding="utf-8")
        assert cosim("sweep", "other.yaml", "--store", "out/small.db")[0] == 0
        assert text_of(cosim, "export", "small.yaml") == whole
        assert len(text_of(cosim, "export", "out/small.db").splitlines()) > len(whole.splitlines())

    def test_files_of_all_forms_hold_the_same(self, cosim):
        for form in ("csv", "json", "parquet"):
            code, out, err = cosim("study", "export", "small.yaml", "--format", form, "-o", f"deep/t.{form}")
            assert (code, out, err) == (0, "", f"wrote 10 rows to deep/t.{form}\n")
        assert Path("deep/t.csv").read_text(encoding="utf-8") == text_of(cosim, "export", "small.yaml", "--format", "csv")
        rows = json.loads(Path("deep/t.json").read_text(encoding="utf-8"))
        assert rows == json.loads(text_of(cosim, "export", "small.yaml", "--format", "json"))
        assert pq.read_table("deep/t.parquet").to_pylist() == rows
        assert not list(Path("deep").glob(".*"))

    def test_mistakes(self, cosim):
        assert "Parquet is no text; name a file with --output" in refused(cosim, "export", "small.yaml", "--format", "parquet")
        assert "--output .: is a folder" in refused(cosim, "export", "small.yaml", "-o", ".")
        assert "nosuch.db: there is no such store" in refused(cosim, "export", "small.yaml", "--store", "nosuch.db")
        assert "elsewhere/small.db: there is no such store" in refused(cosim, "export", "small.yaml", "--out", "elsewhere")
        assert "neither shipped nor a YAML file" in refused(cosim, "export", "nosuch")


class TestMerge:
    @pytest.fixture
    def shards(self, cosim):
        for i in (1, 2):
            assert cosim("sweep", "small.yaml", "--shard", f"{i}/2")[0] == 0
        return Path("out/small.shards")

    def test_json_counts_files_and_rows(self, cosim, shards):
        data = json_of(cosim, "merge", shards, "--store", "m.db")
        assert data == {"n_files": 2, "n_rows": 10, "n_new": 10, "missing": [], "store": "m.db"}
        assert json_of(cosim, "merge", shards, "--store", "m.db")["n_new"] == 0

    def test_the_merged_store_is_that_of_a_sweep(self, cosim, shards):
        out = text_of(cosim, "merge", shards, "--store", "m.db")
        assert "2 files, 10 rows, 10 of them new to m.db" in out
        assert "Next: cosim study export m.db --format csv" in out
        assert cosim("sweep", "small.yaml")[0] == 0
        assert text_of(cosim, "export", "m.db") == text_of(cosim, "export", "out/small.db")

    def test_a_missing_shard_is_refused_without_a_trace_unless_partial(self, cosim, shards, tmp_path):
        err = refused(cosim, "merge", shards / "1-of-2", "--store", "m.db")
        assert "shard 2/2 is missing" in err
        assert "--partial" in err
        assert not list(tmp_path.glob("m.db*"))
        code, out, err = cosim("study", "merge", shards / "1-of-2", "--store", "m.db", "--partial")
        assert code == 0
        assert "shard 2/2 is missing" in err
        assert "1 files" in out

    def test_a_store_that_was_there_stays_when_a_merge_is_refused(self, cosim, shards):
        text_of(cosim, "merge", shards, "--store", "m.db")
        refused(cosim, "merge", shards / "1-of-2", "--store", "m.db")
        with Store(Path("m.db"), ALL_COLUMNS) as store:
            assert store.n_rows() == 10

    def test_mistakes(self, cosim, shards, tmp_path):
        assert "does not exist" in refused(cosim, "merge", "nosuch", "--store", "m.db")
        assert "--store" in refused(cosim, "merge", shards)
        (tmp_path / "empty").mkdir()
        assert "empty: no shards there; run cosim sweep with --shard i/n first" in refused(cosim, "merge", "empty", "--store", "m.db")
        assert not list(tmp_path.glob("m.db*"))


@pytest.mark.usefixtures("swept")
class TestBest:
    def test_it_is_what_the_sweep_said(self, cosim):
        data = json_of(cosim, "best", "small.yaml")
        assert set(data) == {"study", "n_points", "best", "failed"}
        assert (data["study"], data["n_points"], data["failed"]) == ("small", 5, [])
        assert data["best"] == json.loads(cosim("sweep", "small.yaml", "--resume", "--json")[1])["best"]

    def test_two_networks_are_one_value_by_their_weights(self, cosim):
        with Store(Path("out/small.db"), ALL_COLUMNS) as store:
            rows = list(store.read())
        energy = {(row.workload, json.dumps(row.design)): row.values[ALL_COLUMNS.index("energy_j")] for row in rows}
        means = {d: (energy[("lenet5", d)] ** 2 * energy[("mlp_mnist", d)]) ** (1 / 3) for _, d in energy}
        found = json_of(cosim, "best", "small.yaml")["best"]["energy"]
        assert found["value"] == pytest.approx(min(means.values()), rel=1e-12)
        assert json.dumps(found["point"]) == min(means, key=means.get)

    def test_other_objectives_are_asked_of_the_same_rows(self, cosim):
        data = json_of(cosim, "best", "small.yaml", "--objective", "edp", "--objective", "maximize area")
        assert set(data["best"]) == {"edp", "area"}
        assert data["best"]["area"]["point"] == {"npu.rows": 96, "npu.cols": 64}

    def test_in_words(self, cosim):
        lines = text_of(cosim, "best", "small.yaml").splitlines()
        assert [line.split()[:2] for line in lines] == [["best", "energy"], ["best", "latency"]]
        assert all("npu.rows=" in line for line in lines)

    def test_mistakes(self, cosim, tmp_path):
        err = refused(cosim, "best", "small.yaml", "--objective", "energi")
        assert "'energi' is nothing that a run measures; did you mean 'energy'" in err
        assert "no such store" in refused(cosim, "best", "small.yaml", "--store", "x.db")
        assert "wants accuracy and names no data" in refused(cosim, "best", "small.yaml", "--objective", "accuracy")
        (tmp_path / "other.yaml").write_text(STUDY.replace("[32, 64]", "[16, 24]"), encoding="utf-8")
        assert "out/small.db holds no point of study 'small'" in refused(cosim, "best", "other.yaml")


def test_the_group_names_its_commands(cosim):
    out = cosim("study", "--help")[1]
    for name in ("show", "export", "merge", "best"):
        assert f"\n  {name}" in out
