"""`cosim optimise`: the contract of --json, when it stops, going on from its store, and what a mistake looks like."""

from __future__ import annotations

import csv
import json
from itertools import pairwise

import numpy as np
import pytest

from cosim.study.judge import ALL_COLUMNS, StudyJudge
from cosim.study.store import Store
from cosim.study.study_file import load_study

TEXT = """
name: small
chip: edge_cim_soc
workload: lenet5
axes:
  weight_bits: [4, 6, 8]
  devices.cim.n_macros: [400, 800, 1640]
  devices.cpu.clock: [1 GHz, 500 MHz]
  devices.cim.n_adcs: [4, 8]
objectives: [energy]
bounds: [latency <= 1 s]
fidelity: bound
batch: 2
"""
KEYS = {
    "study", "sampler", "seed", "fidelity", "objectives", "bounds", "n_trials", "cost", "n_feasible", "n_failed", "best", "front",
    "model_version", "stopped", "n_evaluated", "n_from_store", "n_warm", "store", "files",
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def quick(monkeypatch):
    """Without a page, which has tests of its own."""
    monkeypatch.setattr("cosim.cli.optimise._written", lambda *_: [])


@pytest.fixture
def search(cosim, study):
    """Search with random points, unless told otherwise; returns what --json printed."""

    def run(*args, sampler="random"):
        code, out, err = cosim("optimise", study, "--sampler", sampler, "--json", *args)
        assert code == 0, err
        return json.loads(out)

    return run


def trials(err):
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


class TestResult:
    def test_json_is_one_object_whose_files_are_whole(self, search, tmp_path):
        found = search("--budget", 8)
        assert set(found) == KEYS
        assert (found["study"], found["sampler"], found["seed"], found["fidelity"]) == ("small", "random", 0, "bound")
        assert found["objectives"] == [{"name": "energy", "direction": "minimize", "unit": "J"}]
        assert found["bounds"] == ["latency <= 1.000 s"]
        assert (found["n_trials"], found["cost"], found["n_feasible"], found["n_failed"]) == (8, 8.0, 8, 0)
        assert found["files"] == ["out/small.html", "out/small_points.csv"]
        assert all((tmp_path / name).stat().st_size > 0 for name in (*found["files"], found["store"]))
        with (tmp_path / "out/small_points.csv").open() as file:
            assert len(list(csv.reader(file))) == 1 + 8

    def test_the_best_is_the_least_of_what_the_store_holds(self, search, study, quick):
        found = search("--budget", 10)
        with Store(found["store"], ALL_COLUMNS) as store:
            rows = list(store.read())
        assert len(rows) == found["n_evaluated"] == 10
        energy = [row.values[ALL_COLUMNS.index("energy_j")] for row in rows]
        best = found["best"]["energy"]
        assert best["values"]["energy"]["value"] == min(energy)
        assert best["point"] == rows[int(np.argmin(energy))].design
        assert best["values"]["energy"]["low"] < min(energy) < best["values"]["energy"]["high"]
        assert found["front"] == [best]
        load_study(study).space.encode([best["point"]])

    def test_objectives_in_place_of_the_studys(self, search, quick):
        found = search("--budget", 12, "--objective", "latency", "--objective", "maximize snr")
        assert [one["name"] for one in found["objectives"]] == ["latency", "snr"]
        assert set(found["best"]) == {"latency", "snr"}
        front = [[one["values"][name]["value"] for name in ("latency", "snr")] for one in found["front"]]
        assert front == sorted(front)
        assert all(snr < more for (_, snr), (_, more) in pairwise(front))
        assert "low" in found["front"][0]["values"]["latency"]
        assert "low" not in found["front"][0]["values"]["snr"]

    def test_without_a_feasible_point_there_is_no_best(self, search, study):
        study.write_text(TEXT.replace("latency <= 1 s", "latency <= 1 ps"))
        found = search("--budget", 4)
        assert (found["n_feasible"], found["n_failed"], found["best"], found["front"]) == (0, 0, {"energy": None}, [])

    def test_points_that_fail_are_counted_with_their_reason(self, cosim, search, study, quick):
        study.write_text(TEXT.replace("[4, 6, 8]", "[99, 8]"))
        found = search("--budget", 8)
        assert 0 < found["n_failed"] < 8
        assert found["n_feasible"] + found["n_failed"] == 8
        assert found["best"]["energy"]["point"]["weight_bits"] == 8
        code, _, err = cosim("optimise", study, "--sampler", "random", "--budget", 8, "--progress", "jsonl", "--json")
        assert code == 0
        failed = [one for one in trials(err) if one["error"]]
        assert len(failed) == found["n_failed"]
        assert all(one["energy"] is None and not one["gain"] and "99 is out of range" in one["error"] for one in failed)

    def test_text_names_the_best_the_files_and_what_to_do_next(self, cosim, study):
        code, out, _ = cosim("optimise", study, "--sampler", "random", "--budget", 5)
        assert code == 0
        assert out.startswith("small: best energy")
        assert "5 evaluations with random (seed 0), cost 5: 5 computed, 0 taken from the store" in out
        assert "Written: out/small.html, out/small_points.csv, out/small.db" in out
        assert out.endswith("Next: cosim study export out/small.db --format csv\n")

    def test_progress_is_one_line_a_trial_and_gains_get_better(self, cosim, study, quick):
        code, out, err = cosim("optimise", study, "--sampler", "random", "--budget", 9, "--progress", "jsonl", "--json")
        assert code == 0
        told = trials(err)
        assert [(one["trial"], one["spent"], one["fidelity"]) for one in told] == [(i, i + 1.0, "bound") for i in range(9)]
        gains = [one["energy"] for one in told if one["gain"]]
        assert told[0]["gain"]
        assert gains == sorted(gains, reverse=True)
        assert gains[-1] == json.loads(out)["best"]["energy"]["values"]["energy"]["value"]


class TestStop:
    def test_after_so_many_evaluations(self, search, quick):
        assert search("--budget", 3)["n_trials"] == 3

    def test_a_longer_budget_begins_alike(self, cosim, study, quick):
        told = []
        for budget in (4, 7):
            _, _, err = cosim("optimise", study, "--sampler", "ga", "--budget", budget, "--progress", "jsonl", "--json")
            told.append([(one["trial"], one["energy"]) for one in trials(err)])
        assert told[0] == told[1][:4]

    def test_before_the_cost_is_passed(self, search, study, quick):
        study.write_text(TEXT.replace("fidelity: bound", "fidelities: {bound: 0.5, mapped: 2}"))
        found = search("--cost", 9)
        assert (found["fidelity"], found["cost"], found["n_trials"]) == ("mapped", 8.0, 4)

    def test_after_so_many_without_gain(self, cosim, study, quick):
        code, out, err = cosim("optimise", study, "--sampler", "random", "--patience", 5, "--progress", "jsonl", "--json")
        assert code == 0
        told = trials(err)
        last = max(one["trial"] for one in told if one["gain"])
        assert last + 5 < len(told) <= last + 5 + 2  # those under way are waited for
        assert json.loads(out)["n_trials"] == len(told)

    def test_after_minutes(self, search, monkeypatch, quick):
        ticks = iter(range(10_000))
        monkeypatch.setattr("cosim.study.optimise.Trials.__init__", slow(ticks))
        found = search("--minutes", 0.1)
        assert 2 <= found["n_trials"] <= 8

    def test_the_first_of_several_limits_counts(self, search, quick):
        assert search("--budget", 6, "--cost", 4.5, "--minutes", 10)["n_trials"] == 4

    def test_where_all_points_are_known(self, cosim, search, study, quick):
        """Of 3 x 3 points, the last one asked is the ninth; all that is said does not depend on the budget."""
        study.write_text(TEXT.replace("  devices.cpu.clock: [1 GHz, 500 MHz]\n  devices.cim.n_adcs: [4, 8]\n", ""))
        found = search("--budget", 200)
        assert (found["stopped"], found["n_evaluated"], found["n_feasible"]) == ("all points known", 9, 9)
        assert 9 <= found["n_trials"] < 40
        again = search("--budget", 100)
        assert (again["n_trials"], again["best"]) == (found["n_trials"], found["best"])
        code, out, _ = cosim("optimise", study, "--sampler", "random")
        assert code == 0
        assert "\nStopped: all points known; every feasible point has a value at the highest fidelity\n" in out

    @pytest.mark.parametrize(
        ("args", "why"),
        [
            (("--budget", 3), "budget"),
            (("--cost", 2.5), "cost"),
            (("--budget", 30, "--patience", 3), "patience"),
            (("--budget", 3, "--cost", 3), "budget"),
        ],
    )
    def test_is_said(self, search, quick, args, why):
        assert search(*args)["stopped"] == why

    def test_is_said_of_minutes(self, search, monkeypatch, quick):
        ticks = iter(range(10_000))
        monkeypatch.setattr("cosim.study.optimise.Trials.__init__", slow(ticks))
        assert search("--minutes", 0.1)["stopped"] == "minutes"

    def test_every_reason_has_words(self):
        from typing import get_args

        from cosim.cli.optimise import STOPPED
        from cosim.study.optimise import Reason

        assert set(STOPPED) == set(get_args(Reason))


def slow(ticks):
    """A search whose clock goes on a second whenever it is read."""
    from cosim.study.optimise import Trials

    begin = Trials.__init__

    def init(self, search, judge, stop, clock):
        begin(self, search, judge, stop, lambda: float(next(ticks)))

    return init


class TestStored:
    def test_the_same_command_takes_all_from_its_store_and_finds_the_same(self, search, quick):
        first = search("--budget", 7, sampler="sa")
        again = search("--budget", 7, sampler="sa")
        assert (first["n_evaluated"], first["n_from_store"]) == (7, 0)
        assert (again["n_evaluated"], again["n_from_store"]) == (0, 7)
        counts = {"n_evaluated", "n_from_store"}
        assert {key: value for key, value in first.items() if key not in counts} == {k: v for k, v in again.items() if k not in counts}

    def test_another_seed_goes_another_way_and_shares_rows(self, search, tmp_path, quick):
        one, other = (search("--budget", 30, "--seed", seed) for seed in (3, 4))
        assert (one["seed"], other["seed"]) == (3, 4)
        assert other["n_from_store"] > 0
        with Store(tmp_path / "out/small.db", ALL_COLUMNS) as store:
            assert store.n_rows() == one["n_evaluated"] + other["n_evaluated"] <= 36

    def test_the_store_is_where_it_is_wanted(self, search, tmp_path, quick):
        found = search("--budget", 2, "--store", tmp_path / "rows/mine.db", "--out", tmp_path / "pages")
        assert found["store"] == str(tmp_path / "rows/mine.db")
        assert (tmp_path / "rows/mine.db").is_file()
        assert not (tmp_path / "pages/small.db").exists()

    def test_an_interrupted_search_says_so_and_goes_on_from_there(self, cosim, search, study, monkeypatch, quick):
        whole = search("--budget", 8, "--store", "whole.db")
        submit, left = StudyJudge.submit, iter(range(5))

        def interrupted(self, row, fidelity):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return submit(self, row, fidelity)

        monkeypatch.setattr(StudyJudge, "submit", interrupted)
        code, out, err = cosim("optimise", study, "--sampler", "random", "--budget", 8, "--json")
        assert (code, out) == (130, "")
        assert "interrupted: all evaluations are in out/small.db; the same command takes them from there and goes on" in err
        monkeypatch.setattr(StudyJudge, "submit", submit)
        found = search("--budget", 8)
        assert (found["n_evaluated"], found["n_from_store"]) == (4, 4)  # of five that began, one was not told yet
        assert (found["best"], found["front"]) == (whole["best"], whole["front"])

    def test_two_writers_are_one_too_many(self, cosim, study, tmp_path):
        with Store(tmp_path / "out/small.db", ALL_COLUMNS, write=True):
            code, out, err = cosim("optimise", study, "--sampler", "random", "--budget", 2)
        assert (code, out) == (2, "")
        assert "out/small.db" in err


class TestWarmStart:
    def test_rows_of_another_store_and_of_a_table(self, search, tmp_path, quick):
        search("--budget", 6, "--store", "other.db")
        names = "weight_bits,devices.cim.n_macros,devices.cpu.clock,devices.cim.n_adcs,energy,latency"
        (tmp_path / "known.csv").write_text(f"{names}\n8,400,1 GHz,8,2 uJ,3 ms\n")
        found = search("--budget", 3, "--warm-start", "other.db", "--warm-start", "known.csv", sampler="ga")
        assert (found["n_warm"], found["n_trials"]) == (7, 3)

    def test_a_measured_point_may_be_best_and_is_marked(self, cosim, search, study, tmp_path):
        """One femtojoule is less than any point of the study takes; there is no interval of a value that was told."""
        names = "weight_bits,devices.cim.n_macros,devices.cpu.clock,devices.cim.n_adcs,energy,latency"
        (tmp_path / "known.csv").write_text(f"{names}\n8,400,1 GHz,8,1 fJ,3 ms\n4,400,1 GHz,8,1 aJ,3 s\n")  # the second breaks the bound
        found = search("--budget", 4, "--warm-start", "known.csv")
        point = {"weight_bits": 8, "devices.cim.n_macros": 400, "devices.cpu.clock": "1 GHz", "devices.cim.n_adcs": 8}
        best = {"point": point, "values": {"energy": {"value": pytest.approx(1e-15)}}, "source": "warm start"}
        assert (found["best"]["energy"], found["front"]) == (best, [best])
        assert (found["n_trials"], found["n_warm"], found["n_feasible"]) == (4, 2, 5)
        assert "NaN" not in (tmp_path / "out/small.html").read_text()
        with (tmp_path / "out/small_points.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["trial"] for row in rows] == ["1", "2", "3", "4", "", ""]
        assert [row["status"] for row in rows[4:]] == ["feasible", "infeasible"]
        code, out, _ = cosim("optimise", study, "--sampler", "random", "--budget", 4, "--warm-start", "known.csv")
        assert code == 0
        assert "small: best energy 1.000 fJ of 6 points" in out
        assert "devices.cim.n_adcs 8 (warm start)" in out

    def test_points_of_a_store_come_with_their_intervals(self, search, quick):
        """A store that holds all points: nothing is left to evaluate, and the best is that of the search that filled it."""
        whole = search("--budget", 500, "--store", "whole.db")
        assert (whole["stopped"], whole["n_evaluated"]) == ("all points known", 36)
        found = search("--budget", 50, "--warm-start", "whole.db")
        assert (found["stopped"], found["n_trials"], found["n_warm"], found["cost"]) == ("all points known", 0, 36, 0.0)
        assert (whole["best"]["energy"]["source"], found["best"]["energy"]["source"]) == ("search", "warm start")
        assert found["best"]["energy"]["values"] == whole["best"]["energy"]["values"]
        assert found["n_feasible"] == 36

    def test_lower_fidelities_are_no_candidates(self, search, study, tmp_path, quick):
        study.write_text(TEXT.replace("fidelity: bound", "fidelities: {bound: 0.5, mapped: 2}"))
        names = "fidelity,weight_bits,devices.cim.n_macros,devices.cpu.clock,devices.cim.n_adcs,energy,latency"
        (tmp_path / "known.csv").write_text(f"{names}\nbound,8,400,1 GHz,8,1 fJ,3 ms\n")
        found = search("--budget", 3, "--warm-start", "known.csv")
        assert (found["best"]["energy"]["source"], found["n_warm"]) == ("search", 1)

    def test_the_page_of_a_search_that_had_nothing_to_do(self, cosim, search, study, tmp_path):
        search("--budget", 500, "--store", "whole.db")
        code, out, _ = cosim("optimise", study, "--warm-start", "whole.db", "--out", "again")
        assert code == 0
        assert "0 evaluations with gp (seed 0), cost 0: 0 computed" in out
        assert "36 points" in (tmp_path / "again/small.html").read_text()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "--warm-start known.csv: there is no such file; give a store or a .csv file"),
            ("weight_bits\n", "known.csv:1: column 'devices.cim.n_macros' is missing"),
        ],
    )
    def test_that_cannot_be_read(self, cosim, study, tmp_path, text, message):
        if text is not None:
            (tmp_path / "known.csv").write_text(text)
        code, out, err = cosim("optimise", study, "--budget", 2, "--warm-start", "known.csv")
        assert (code, out) == (2, "")
        assert message in err


class TestMistakes:
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (("--sampler", "randm"), "--sampler randm: is not known; did you mean 'random'?"),
            (("--objective", "enrgy"), "'enrgy' is nothing that a run measures; did you mean 'energy'?"),
            (("--objective", "minimise more energy"), "cannot be read; write minimize energy"),
            (("--objective", "accuracy"), "study 'small' wants accuracy and names no data; add accuracy: {data: digits8x8}"),
            (("--objective", "loss"), "fidelity 'bound' places nothing and cannot give loss; choose mapped or event"),
            (("--budget", "0"), "budget 0 is out of range; choose more than 0"),
            (("--cost", "-1"), "cost -1.0 is out of range"),
            (("--cost", "nan"), "cost nan is out of range"),
            (("--minutes", "0"), "minutes 0.0 is out of range"),
            (("--patience", "0"), "patience 0 is out of range"),
            (("--warm-start", "none.db"), "--warm-start none.db: there is no such file"),
            (("--out", "small.yaml"), "--out small.yaml: is a file; name a folder"),
            (("--store", "."), "--store .: is a folder; name a file"),
            (("--workers", "0"), "0 is not in the range x>=1"),
            (("--seed", "-1"), "-1 is not in the range x>=0"),
        ],
    )
    def test_are_named_and_nothing_is_written(self, cosim, study, tmp_path, args, message):
        code, out, err = cosim("optimise", study, *args)
        assert (code, out) == (2, "")
        assert message in err
        assert "Traceback" not in err
        assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]

    def test_a_study_that_is_not_there(self, cosim):
        code, out, err = cosim("optimise", "edge_soc_are")
        assert (code, out) == (2, "")
        assert "did you mean 'edge_soc_area'?" in err

    def test_a_process_that_died_ends_with_code_1_and_what_to_do(self, cosim, study, monkeypatch, quick):
        from cosim.study.failures import EngineError

        def dies(*_):
            raise EngineError("a worker process died; what was evaluated is kept, and the same command goes on from there")

        monkeypatch.setattr(StudyJudge, "submit", dies)
        code, out, err = cosim("optimise", study, "--sampler", "random", "--budget", 2, "--json")
        assert (code, out) == (1, "")
        assert err.startswith("Error: a worker process died;")

    def test_a_full_disk_ends_with_code_1_and_loses_nothing(self, cosim, study, monkeypatch, quick):
        from cosim.study.failures import StoreFullError

        written = Store.write

        def full(self, *args, **more):
            if self.n_rows() >= 3:
                raise StoreFullError("small.db: the disk is full")
            return written(self, *args, **more)

        monkeypatch.setattr(Store, "write", full)
        code, out, err = cosim("optimise", study, "--sampler", "random", "--budget", 6, "--json")
        assert (code, out) == (1, "")
        assert "the disk is full" in err
        with Store("out/small.db", ALL_COLUMNS) as store:
            assert store.n_rows() == 3
