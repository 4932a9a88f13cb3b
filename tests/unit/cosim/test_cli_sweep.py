"""`cosim sweep`: what it prints and writes, how it goes on, and what a mistake looks like."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosim.cli import sweep as module
from cosim.study.chunks import Inline
from cosim.study.failures import EngineError, StoreFullError
from cosim.study.judge import ALL_COLUMNS
from cosim.study.store import Store

STUDY = """
name: small
chip: edge_npu_soc
workload: lenet5
axes:
  npu.rows: [32, 64, 96]
  weight_bits: [4, 8]
objectives: [energy, latency]
"""
KEYS = {
    "study", "fidelity", "n_points", "n_rows", "n_stored", "n_computed", "n_computed_failed", "elapsed_s", "failed", "best", "store",
    "next",
}  # fmt: skip
LINE = {"acknowledged", "rows", "failed", "stored", "total", "elapsed_s", "remaining_s"}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    return "small.yaml"


@pytest.fixture
def here(monkeypatch):
    """Engines in this process; returns what was asked for."""
    asked = []

    def start(*args):
        asked.append(args)
        return Inline(args[1].task)

    monkeypatch.setattr(module, "start_engine", start)
    return asked


def sweep(cosim, *args):
    code, out, err = cosim("sweep", *args, "--json")
    assert code == 0, err
    return json.loads(out)


def text_of(cosim, *args):
    code, out, err = cosim(*args)
    assert code == 0, err
    return out


class TestResult:
    def test_json_is_one_object_with_the_best_of_each_objective(self, cosim, study, here):
        data = sweep(cosim, study)
        assert set(data) == KEYS
        assert (data["study"], data["fidelity"], data["n_points"], data["n_rows"], data["n_stored"]) == ("small", "event", 6, 6, 6)
        assert (data["n_computed"], data["n_computed_failed"], data["failed"]) == (6, 0, [])
        assert data["store"] == str(Path("out/small.db"))
        assert data["next"] == "cosim study export out/small.db --format csv"
        assert set(data["best"]) == {"energy", "latency"}
        one = data["best"]["energy"]
        assert set(one) == {"point", "value", "interval", "unit", "text"}
        assert one["unit"] == "J"
        assert one["interval"][0] < one["value"] < one["interval"][1]
        with Store(Path("out/small.db"), ALL_COLUMNS) as store:
            energy = [row.values[ALL_COLUMNS.index("energy_j")] for row in store.read()]
        assert one["value"] == min(energy)
        assert len(energy) == 6

    def test_each_best_is_the_best_of_its_own_objective(self, cosim, study, here):
        best = sweep(cosim, study)["best"]
        with Store(Path("out/small.db"), ALL_COLUMNS) as store:
            rows = list(store.read())
        for name, column in (("energy", "energy_j"), ("latency", "latency_s")):
            i = ALL_COLUMNS.index(column)
            least = min(rows, key=lambda row, i=i: row.values[i])
            assert best[name]["value"] == least.values[i]
            assert best[name]["point"] in [row.design for row in rows if row.values[i] == least.values[i]]

    def test_people_read_what_was_found_where_it_is_and_what_comes_next(self, cosim, study, here):
        out = text_of(cosim, "sweep", study)
        assert "small: 6 points, 6 of 6 rows there, 6 new" in out
        assert re.search(r"best energy +[\d.]+ µJ \([\d.]+ µJ to [\d.]+ µJ\)  npu\.rows=\d+, weight_bits=\d", out)
        assert "Written: out/small.db" in out
        assert "Next: cosim study export out/small.db --format csv" in out

    def test_the_store_goes_where_it_is_told(self, cosim, study, here, tmp_path):
        data = sweep(cosim, study, "--store", "deep/er/rows.db")
        assert data["store"] == "deep/er/rows.db"
        assert (tmp_path / "deep/er/rows.db").is_file()
        assert not (tmp_path / "out").exists()
        assert sweep(cosim, study, "--out", "elsewhere")["store"] == "elsewhere/small.db"

    def test_points_that_fail_are_counted_by_reason_and_do_not_stop_it(self, cosim, here, tmp_path):
        text = STUDY.replace("[4, 8]", "[8, 98, 99]").replace("[32, 64, 96]", "[32, 64]")
        (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
        data = sweep(cosim, "bad.yaml")
        assert (data["n_rows"], data["n_stored"], data["n_computed_failed"]) == (6, 6, 4)
        assert data["failed"] == [{"reason": "weight bits: 98 is out of range; choose 1 to 32", "n": 4}]
        assert data["best"]["energy"]["point"]["weight_bits"] == 8
        out = text_of(cosim, "sweep", "bad.yaml", "--resume")
        assert "4 points failed:\n        4  weight bits: 98 is out of range" in out

    def test_where_nothing_keeps_to_the_bounds_it_says_so(self, cosim, here, tmp_path):
        (tmp_path / "tight.yaml").write_text(STUDY + "bounds: [latency <= 1 ps]\n", encoding="utf-8")
        assert sweep(cosim, "tight.yaml")["best"] == {"energy": None, "latency": None}
        assert "best energy    none keeps to all bounds" in text_of(cosim, "sweep", "tight.yaml", "--resume")

    def test_an_objective_without_an_interval_has_none(self, cosim, here, tmp_path):
        (tmp_path / "area.yaml").write_text(STUDY.replace("[energy, latency]", "[area]"), encoding="utf-8")
        best = sweep(cosim, "area.yaml")["best"]["area"]
        assert best["interval"] is None
        assert best["text"].endswith("mm2")
        assert best["point"]["npu.rows"] == 32

    def test_a_metric_that_no_point_has_is_no_number(self, cosim, here, tmp_path):
        (tmp_path / "snr.yaml").write_text(STUDY.replace("[energy, latency]", "[snr]"), encoding="utf-8")  # a digital chip
        assert sweep(cosim, "snr.yaml")["best"] == {"snr": None}


class TestGoOn:
    def test_a_second_time_is_refused_and_resumed_computes_nothing(self, cosim, study, here):
        sweep(cosim, study)
        code, out, err = cosim("sweep", study, "--json")
        assert (code, out) == (2, "")
        assert err.startswith("Error: 6 of 6 rows of study 'small' are there already: there is nothing left to compute")
        here.clear()
        data = sweep(cosim, study, "--resume")
        assert (data["n_computed"], data["n_stored"], here) == (0, 6, [])
        assert data["best"]["energy"] is not None

    def test_a_limit_says_how_to_go_on(self, cosim, study, here):
        first = sweep(cosim, study, "--limit", 4)
        assert (first["n_computed"], first["n_stored"], first["n_rows"]) == (4, 4, 6)
        assert first["next"] == "cosim sweep small.yaml --resume"
        code, _, err = cosim("sweep", study)
        assert code == 2
        assert "4 of 6 rows" in err
        assert "add --resume to compute the other 2" in err
        second = sweep(cosim, study, "--resume")
        assert (second["n_computed"], second["n_stored"]) == (2, 6)
        assert second["best"] == {**sweep(cosim, study, "--store", "whole.db")["best"]}

    def test_an_edited_study_takes_the_rows_that_it_shares(self, cosim, study, here, tmp_path):
        sweep(cosim, study)
        (tmp_path / study).write_text(STUDY.replace("[32, 64, 96]", "[64, 96, 128]"), encoding="utf-8")
        data = sweep(cosim, study, "--resume")
        assert (data["n_rows"], data["n_computed"]) == (6, 2)
        with Store(Path("out/small.db"), ALL_COLUMNS) as store:
            assert store.n_rows() == 8
            assert len(store.origins()) == 2

    def test_failures_are_retried_when_asked(self, cosim, here, tmp_path):
        (tmp_path / "bad.yaml").write_text(STUDY.replace("[4, 8]", "[8, 99]"), encoding="utf-8")
        sweep(cosim, "bad.yaml")
        assert sweep(cosim, "bad.yaml", "--resume")["n_computed"] == 0
        assert sweep(cosim, "bad.yaml", "--retry-failed")["n_computed"] == 3

    def test_the_command_that_goes_on_has_all_that_mattered(self, cosim, study, here):
        args = ("--store", "a.db", "--out", "o", "--engine", "dask", "--scheduler", "tcp://host:8786", "--limit", "1")
        found = sweep(cosim, study, *args)
        assert found["next"] == "cosim sweep small.yaml --resume --store a.db --out o --engine dask --scheduler tcp://host:8786"


class TestEngines:
    def test_workers_engine_and_scheduler_reach_what_starts_it(self, cosim, study, here, monkeypatch):
        sweep(cosim, study, "--workers", 3)
        assert (here[0][0], here[0][2], here[0][3]) == ("pool", None, 3)
        sweep(cosim, study, "--store", "b.db", "--engine", "dask", "--scheduler", "tcp://h:1")
        assert (here[1][0], here[1][2]) == ("dask", "tcp://h:1")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
        sweep(cosim, study, "--store", "c.db")
        assert here[2][3] == 5

    def test_a_pool_gives_the_table_of_this_process(self, cosim, study, monkeypatch):
        tables = []
        for workers, engine in ((2, module.start_engine), (1, lambda *args: Inline(args[1].task))):
            monkeypatch.setattr(module, "start_engine", engine)
            sweep(cosim, study, "--workers", workers, "--store", f"{workers}.db")
            tables.append(text_of(cosim, "study", "export", f"{workers}.db"))
        assert tables[0] == tables[1]
        assert len(tables[0].splitlines()) == 7

    @pytest.mark.parametrize("error", [EngineError("the Dask scheduler tcp://h:1 is gone"), StoreFullError("out/small.db: no more rows")])
    def test_what_is_nobodys_mistake_is_one_line_and_exit_code_1(self, cosim, study, monkeypatch, error):
        def start(*_):
            raise error

        monkeypatch.setattr(module, "start_engine", start)
        code, out, err = cosim("sweep", study, "--json")
        assert (code, out) == (1, "")
        assert err == f"Error: {error}\n"

    def test_ctrl_c_says_what_is_kept_and_how_to_go_on(self, cosim, study, monkeypatch):
        class Stopped(Inline):
            def wait(self, timeout_s):
                raise KeyboardInterrupt

        monkeypatch.setattr(module, "start_engine", lambda *args: Stopped(args[1].task))
        code, out, err = cosim("sweep", study, "--workers", 2)
        assert (code, out) == (130, "")
        assert "all rows counted are kept; go on with: cosim sweep small.yaml --resume\n" in err
        assert not list(Path("out").glob("*.lock"))


class TestProgress:
    def test_each_line_is_one_object_on_stderr_and_the_last_counts_all(self, cosim, study, here):
        code, out, err = cosim("sweep", study, "--progress", "jsonl", "--json")
        assert code == 0
        assert json.loads(out)["n_stored"] == 6
        lines = [json.loads(line) for line in err.splitlines()]
        assert all(set(line) == LINE for line in lines)
        assert (lines[-1]["acknowledged"], lines[-1]["stored"], lines[-1]["total"], lines[-1]["remaining_s"]) == (6, 6, 6, 0.0)

    def test_without_a_terminal_and_unasked_it_says_nothing(self, cosim, study, here):
        assert cosim("sweep", study)[2] == ""

    def test_on_a_terminal_there_is_a_bar(self, study, monkeypatch):
        from cosim.study.progress import Bar, JsonLines, Silent

        def progress(*, jsonl, is_terminal):
            monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
            return module._progress(module.Asked(study, 1, "pool", None, None, Path("out"), jsonl))

        assert isinstance(progress(jsonl=False, is_terminal=True), Bar)
        assert isinstance(progress(jsonl=True, is_terminal=True), JsonLines)
        assert isinstance(progress(jsonl=False, is_terminal=False), Silent)


class TestShards:
    def test_shards_are_merged_into_the_table_of_the_sweep(self, cosim, study, here):
        sweep(cosim, study, "--store", "whole.db")
        n = 0
        for i in (1, 2, 3):
            data = sweep(cosim, study, "--shard", f"{i}/3")
            assert set(data) == (KEYS - {"failed", "best", "store"}) | {"shard", "files"}
            assert data["shard"] == f"{i}/3"
            assert data["n_stored"] == data["n_rows"]
            assert data["files"] == f"out/small.shards/{i}-of-3"
            assert data["next"] == "cosim study merge out/small.shards --store out/small.db"
            n += data["n_rows"]
        assert n == 6
        assert not Path("out/small.db").exists()
        text_of(cosim, *data["next"].split()[1:])
        assert text_of(cosim, "study", "export", "out/small.db") == text_of(cosim, "study", "export", "whole.db")

    def test_people_read_where_its_files_are(self, cosim, study, here):
        out = text_of(cosim, "sweep", study, "--shard", "1/1")
        assert "Written: out/small.shards/1-of-1" in out
        assert "Next: cosim study merge out/small.shards --store out/small.db" in out

    def test_a_shard_goes_on_too_and_says_how(self, cosim, study, here):
        code, _, err = [cosim("sweep", study, "--shard", "1/1") for _ in range(2)][1]
        assert code == 2
        assert "add --resume" in err or "nothing left" in err
        assert sweep(cosim, study, "--shard", "1/1", "--resume")["n_computed"] == 0


class TestMistakes:
    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (("nosuch",), "study 'nosuch' is neither shipped nor a YAML file"),
            (("small.yaml", "--shard", "3/2"), "--shard 3/2: write i/n with i from 1 to n"),
            (("small.yaml", "--scheduler", "tcp://h:1"), "--scheduler tcp://h:1: belongs to --engine dask; add that"),
            (("small.yaml", "--shard", "1/2", "--store", "a.db"), "--store a.db: a shard is written to Parquet files below --out"),
            (("small.yaml", "--out", "small.yaml"), "--out small.yaml: is a file; name a folder"),
            (("small.yaml", "--store", "."), "--store .: is a folder; name a file"),
            (("small.yaml", "--store", "small.yaml"), "small.yaml: is not a store of cosim; name another --store"),
            (("small.yaml", "--store", "small.yaml/a.db"), "is a file; name a file in a folder"),
            (("small.yaml", "--workers", "0"), "--workers"),
            (("small.yaml", "--limit", "0"), "--limit"),
            (("small.yaml", "--engine", "threads"), "'pool', 'dask'"),
            (("small.yaml", "--progress", "bar"), "jsonl"),
        ],
    )
    def test_each_is_one_message_and_nothing_is_written(self, cosim, study, here, tmp_path, args, text):
        code, out, err = cosim("sweep", *args)
        assert (code, out, here) == (2, "", [])
        assert text in err
        assert "Traceback" not in err
        assert [one.name for one in tmp_path.iterdir()] == ["small.yaml"]
        assert (tmp_path / "small.yaml").read_text(encoding="utf-8") == STUDY

    def test_a_store_that_another_process_writes_is_left_alone(self, cosim, study, here):
        with Store(Path("out/small.db"), ALL_COLUMNS, write=True):
            code, out, err = cosim("sweep", study)
        assert (code, out) == (2, "")
        assert f"process {os.getpid()} on" in err
        assert "writes it" in err

    def test_an_objective_that_the_rung_cannot_give(self, cosim, here, tmp_path):
        (tmp_path / "b.yaml").write_text(STUDY.replace("[energy, latency]", "[loss]\nfidelity: bound"), encoding="utf-8")
        code, _, err = cosim("sweep", "b.yaml")
        assert code == 2
        assert "loss" in err
        assert "bound" in err


class TestReasons:
    def test_texts_that_differ_in_numbers_are_one_reason(self):
        errors = ["", "needs 3 KiB of 2.5 KiB", "no room", "needs 1e-3 KiB of 7 KiB", "", "needs 4 KiB of 2 KiB"]
        assert module.reasons(errors) == [{"reason": "needs 3 KiB of 2.5 KiB", "n": 3}, {"reason": "no room", "n": 1}]
        assert module.reasons([]) == []

    def test_only_the_most_frequent_are_printed(self):
        said = []
        failed = [{"reason": f"r{i}", "n": 10 - i} for i in range(8)]
        numbers = {"study": "s", "n_points": 1, "n_stored": 1, "n_rows": 1, "n_computed": 1, "next": "n", "store": "x"}
        module._tell({**numbers, "failed": failed, "best": {}}, said.append)
        assert said[1:-2] == ["52 points failed:", *(f"  {10 - i:>7}  r{i}" for i in range(5)), "       12  for 3 other reasons"]


def test_ctrl_c_in_earnest_keeps_what_was_counted(study, tmp_path):
    axes = "axes:\n  npu.rows: 16..128 step 2\n  npu.cols: 16..128 step 2\n"  # 3249 points of 2 ms: a policy in Python
    text = re.sub(r"axes:.*?(?=objectives)", axes, STUDY, flags=re.DOTALL).replace("lenet5", "resnet18") + "policy: greedy\n"
    (tmp_path / study).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "cosim", "sweep", study, "--workers", "2", "--progress", "jsonl"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes) as running:
        while not (line := running.stderr.readline()).startswith("{"):
            assert line
        time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: workers hear it too
        out, rest = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    told = json.loads([line, *(line for line in rest.splitlines() if line.startswith("{"))][-1])
    assert 0 < told["acknowledged"] < told["total"] == 57 * 57
    assert "go on with: cosim sweep small.yaml --resume" in rest
    assert "Traceback" not in rest
    with Store(tmp_path / "out/small.db", ALL_COLUMNS) as store:
        assert store.n_rows() >= told["acknowledged"]
