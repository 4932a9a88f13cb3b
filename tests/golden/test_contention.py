"""The engine on the shipped contention cases, and the command that runs it on any others."""

from __future__ import annotations

import json
import shutil

import pytest

from cosim.validation.contention import DATA, validate_contention
from workloads.errors import CosimError, ScheduleError, SimulationError


def case(**changes):
    """Two tasks of 2 s side by side, 8 bytes each over 4 bytes/s together: 4 s."""
    values = {
        "instance": "two",
        "mode": "fair",
        "assignment": [0, 1],
        "priority": [2, 1],
        "op_bytes": [8, 8],
        "memory_bandwidth": 4,
        "start": [0.0, 0.0],
        "end": [4.0, 4.0],
        "makespan": 4.0,
    }
    return {key: value for key, value in (values | changes).items() if value != "leave out"}


def folder(tmp_path, cases):
    """A folder in the format of the shipped one."""
    instance = {
        "format": "sched-instance-1",
        "tasks": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
        "devices": [{"id": 0, "name": "p"}, {"id": 1, "name": "q"}],
        "cost": [[2, 2], [None, 2]],
        "edges": [],
        "bandwidth": [[0, 1], [1, 0]],
        "latency": [[0, 0], [0, 0]],
    }
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "two.json").write_text(json.dumps(instance))
    (tmp_path / "contention.json").write_text(cases if isinstance(cases, str) else json.dumps(cases))
    return tmp_path


def test_every_shipped_case_is_met_to_a_billionth():
    result = validate_contention()
    assert result["area"] == "contention"
    assert result["n"] == result["metrics"]["n"] == len(json.loads((DATA / "contention.json").read_text())) == 84
    assert result["metrics"]["max_rel_error"] <= 1e-9
    assert result["passed"] is True
    assert all(row["rel_error"] <= 1e-9 for row in result["rows"])
    assert {row["mode"] for row in result["rows"]} == {"none", "fifo", "fair"}
    json.dumps(result)


def test_another_folder_of_the_same_format_is_run(tmp_path):
    result = validate_contention(folder(tmp_path, {"x": case(), "y": case(mode="none", end=[2.0, 2.0], makespan=2.0)}))
    assert result["passed"]
    assert result["rows"][0] == {"name": "x", "mode": "fair", "makespan": 4.0, "expected": 4.0, "rel_error": 0.0}


@pytest.mark.parametrize("wrong", [{"end": [4.0, 4.00001]}, {"start": [1e-5, 0.0]}, {"makespan": 4.1}])
def test_one_wrong_number_is_noticed(tmp_path, wrong):
    result = validate_contention(folder(tmp_path, {"x": case(), "y": case(**wrong)}))
    assert result["passed"] is False
    assert result["rows"][0]["rel_error"] == 0.0
    assert result["rows"][1]["rel_error"] > 1e-6


def test_a_case_whose_instance_is_absent_is_named_and_skipped(tmp_path):
    result = validate_contention(folder(tmp_path, {"x": case(), "y": case(instance="three")}))
    assert (result["n"], result["passed"]) == (1, True)
    assert result["rows"][1]["name"] == "y"
    assert "three.json" in result["rows"][1]["skipped"]


def test_nothing_compared_is_not_passed(tmp_path):
    assert validate_contention(folder(tmp_path, {}))["passed"] is False
    shutil.rmtree(tmp_path / "instances")
    (tmp_path / "contention.json").write_text(json.dumps({"x": case()}))
    assert validate_contention(tmp_path)["passed"] is False


def test_an_absent_list_of_cases_is_skipped_and_named_a_missing_folder_refused(tmp_path):
    result = validate_contention(tmp_path)
    assert (result["n"], result["rows"], result["passed"], result["skipped_files"]) == (0, [], False, ["contention.json"])
    assert validate_contention()["skipped_files"] == []
    with pytest.raises(SimulationError, match=r"nowhere: there is no such folder"):
        validate_contention(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("{", r"contention.json:1:2: not JSON"),
        ("[]", r"contention.json: holds a list"),
        ({"x": 1}, r"contention.json: x: holds a int"),
        ({"x": case(priority="leave out")}, r"x.priority: is missing"),
        ({"x": case(assignment=[0])}, r"x.assignment: must be a list of 2 numbers"),
        ({"x": case(assignment=[0, "q"])}, r"x.assignment\[1\]: 'q' is not a finite number"),
        ({"x": case(assignment=[0, 0.5])}, r"x.assignment\[1\]: 0.5 is no device index"),
        ({"x": case(end=[4.0, float("nan")])}, r"x.end\[1\]: nan is not a finite number"),
        ({"x": case(makespan=None)}, r"x.makespan\[0\]: None is not a finite number"),
        ({"x": case(makespan=10**400)}, r"x.makespan\[0\]: 1000"),
        ({"x": case(memory_bandwidth=None)}, r"x.memory_bandwidth: is missing"),
        ({"x": case(memory_bandwidth=0)}, r"x: capacity_bytes_per_s\[0\] = 0.0; it must be above 0"),
        ({"x": case(op_bytes=[8, -8])}, r"x: task 1 \('b'\) has flow_bytes = -8.0"),
        ({"x": case(mode="slow")}, r"x: mode 'slow' is not known"),
        ({"x": case(mode=["fair"])}, r"x: mode \['fair'\] is not known"),
        ({"x": case(assignment=[0, 2])}, r"x: task 1 \('b'\) is placed on device 2"),
        ({"x": case(assignment=[0, 0])}, r"x: task 1 \('b'\) has no cost on device 0"),
    ],
)
def test_bad_cases_are_refused_with_file_and_place(tmp_path, cases, message):
    with pytest.raises((SimulationError, ScheduleError), match=message) as caught:
        validate_contention(folder(tmp_path, cases))
    assert str(caught.value).startswith(str(tmp_path))


def test_a_bad_instance_is_refused_with_its_file(tmp_path):
    path = folder(tmp_path, {"x": case()})
    (path / "instances" / "two.json").write_text('{"format": "sched-instance-1"')
    with pytest.raises(CosimError, match=r"two.json:1:30: not JSON"):
        validate_contention(path)
