"""`cosim validate`: which areas run, what goes to stdout and stderr, and the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.cli.validate import command
from cosim.validation import registry
from workloads.errors import CosimError

QUICK = [name for name in registry.AREAS if name not in registry.SLOW]


@pytest.fixture
def results():
    """Area → what its comparison finds; an area without an entry passes."""
    return {}


@pytest.fixture
def ran(monkeypatch, results):
    """Let no area compare anything; returns the (area, data) that were asked for, in turn."""
    asked = []

    def fake(area, path=None, **options):
        asked.append((area, path, *([options] if options else [])))
        return {"area": area, "n": 3, "metrics": {"max_rel_error": 0.0123456}, "rows": [], "passed": True} | results.get(area, {})

    monkeypatch.setattr(registry, "validate", fake)
    return asked


def invoke(*args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


class TestWhichAreasRun:
    def test_without_a_name_all_quick_ones_in_turn(self, ran):
        assert invoke().exit_code == 0
        assert ran == [(name, None) for name in QUICK]

    def test_the_slow_ones_are_named_on_stderr_with_what_would_run_them(self, ran):
        done = invoke()
        assert done.stderr == f"Not run, since they take minutes: {', '.join(registry.SLOW)}; name one to run it.\n"
        assert not set(registry.SLOW) & {area for area, _ in ran}

    @pytest.mark.parametrize("area", registry.SLOW)
    def test_a_slow_one_runs_when_it_is_named_and_nothing_is_noted(self, ran, area):
        done = invoke(area)
        assert ran == [(area, None)]
        assert done.stderr == ""

    def test_slow_ones_are_areas_and_not_all_of_them(self):
        assert set(registry.SLOW) < set(registry.AREAS)


class TestData:
    def test_it_goes_to_the_area_that_is_named(self, ran):
        assert invoke("workloads", "--data", "mine/networks.csv").exit_code == 0
        assert ran == [("workloads", Path("mine/networks.csv"))]

    def test_without_an_area_it_is_refused_before_any_work(self, ran):
        done = invoke("--data", "mine.csv")
        assert isinstance(done.exception, CosimError)
        assert str(done.exception) == f"--data mine.csv: name the area it is for: {', '.join(registry.AREAS)}"
        assert ran == []

    @pytest.mark.parametrize(
        ("args", "message"),
        [(["--data", "mine.csv"], "name the area it is for: accuracy, "), (["contentoin"], "did you mean 'contention'?")],
    )
    def test_such_mistakes_end_with_code_2_and_a_sentence_on_stderr(self, monkeypatch, capsys, args, message):
        monkeypatch.setattr(sys, "argv", ["cosim", "validate", *args])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert stopped.value.code == 2
        assert out == ""
        assert message in " ".join(err.split())


class TestOptionsOfAccuracy:
    def test_they_reach_the_area_by_name_and_only_those_that_are_given(self, ran):
        assert invoke("accuracy").exit_code == 0
        args = ("--nets", "mlp,cnn", "--seeds", "0,1", "--jobs", 2, "--goals", "all", "--out", "kept")
        assert invoke("accuracy", *args).exit_code == 0
        given = {"nets": ("mlp", "cnn"), "seeds": (0, 1), "jobs": 2, "goals": ("all",), "folder": Path("kept")}
        assert ran == [("accuracy", None), ("accuracy", None, given)]

    @pytest.mark.parametrize("area", [(), ("noise",)])
    def test_other_areas_refuse_them(self, ran, area):
        done = invoke(*area, "--jobs", 2, "--out", "kept")
        assert str(done.exception) == "--jobs, --out: only the area accuracy or bo has such options; run cosim validate accuracy"
        assert ran == []

    @pytest.mark.parametrize(
        ("area", "args", "message"),
        [
            ("accuracy", ("--quick",), "--quick: only the area bo has such options; run cosim validate bo"),
            ("bo", ("--goals", "all", "--jobs", 2), "--goals: only the area accuracy has such options; run cosim validate accuracy"),
        ],
    )
    def test_an_area_refuses_those_of_another(self, ran, area, args, message):
        assert str(invoke(area, *args).exception) == message
        assert ran == []

    def test_bo_takes_its_own(self, ran):
        assert invoke("bo", "--quick", "--seeds", "3", "--jobs", 1, "--out", "kept").exit_code == 0
        assert ran == [("bo", None, {"quick": True, "seeds": (3,), "jobs": 1, "folder": Path("kept")})]

    @pytest.mark.parametrize("args", [("--seeds", "0,0"), ("--seeds", "x"), ("--jobs", "0")])
    def test_bad_values_are_refused(self, ran, args):
        assert invoke("accuracy", *args).exit_code == 2
        assert ran == []


class TestJson:
    def test_of_one_area_is_its_result(self, ran):
        assert json.loads(invoke("cim", "--json").stdout)["area"] == "cim"
        assert len(ran) == 1

    def test_of_all_lists_them_and_says_whether_every_one_passed(self, ran, results):
        whole = json.loads(invoke("--json").stdout)  # the note is not in it
        assert (list(whole["areas"]), whole["passed"]) == ([area for area, _ in ran], True)
        results["noise"] = {"passed": False}
        whole = json.loads(invoke("--json").stdout)
        assert whole["passed"] is False
        assert [area for area, one in whole["areas"].items() if not one["passed"]] == ["noise"]


class TestStrict:
    @pytest.mark.parametrize(
        ("args", "code"),
        [(["noise"], 0), (["noise", "--strict"], 1), (["noise", "--strict", "--json"], 1), (["cim", "--strict"], 0), (["--strict"], 1)],
    )
    def test_a_missed_target_is_exit_code_1_only_when_asked_for(self, ran, results, args, code):
        results["noise"] = {"passed": False}
        done = invoke(*args)
        assert done.exit_code == code
        assert ("noise", None) in ran or "noise" not in args

    def test_the_report_is_printed_before_the_code_is_returned(self, ran, results):
        results["noise"] = {"passed": False}
        assert invoke("--strict").stdout.count("rows compared") == len(ran)


class TestText:
    def test_a_line_of_verdict_and_one_for_each_metric_with_three_digits(self, ran, results):
        results["cim"] = {"metrics": {"max_rel_error": 0.0123456, "n": 12345}, "n": 7}
        lines = invoke("cim").stdout.splitlines()
        assert lines[0] == "cim: passed, 7 rows compared"
        assert [line.split() for line in lines[1:]] == [["max_rel_error", "0.0123"], ["n", "12345"]]
        assert len(ran) == 1

    def test_metrics_in_groups_are_named_by_their_path(self, ran, results):
        results["cim"] = {"metrics": {"energy": {"adc": {"error": 2.0}, "n": 4}, "holds": True}, "passed": False}
        lines = invoke("cim").stdout.splitlines()
        assert lines[0].startswith("cim: NOT passed")
        assert [line.split() for line in lines[1:]] == [["energy.adc.error", "2"], ["energy.n", "4"], ["holds", "True"]]
        assert len(ran) == 1

    def test_files_that_were_skipped_are_listed_last(self, ran, results):
        results["workloads"] = {"skipped_files": ["a.onnx", "b.onnx"]}
        assert invoke("workloads").stdout.splitlines()[-2:] == ["  skipped: a.onnx", "  skipped: b.onnx"]
        assert len(ran) == 1
