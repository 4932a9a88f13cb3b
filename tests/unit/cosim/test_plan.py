"""Schedules as files: written whole, read back the same, and refused with file and place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosim.plan import PlannedOp, Schedule, load_schedule, save_schedule
from workloads.errors import ScheduleError

OPS = ("conv1", "conv2", "softmax")
DEVICES = ("cpu", "npu")


def schedule():
    """Three ops, two of them on the array."""
    return Schedule(
        "lenet5",
        "edge",
        (PlannedOp("conv1", "npu", 3.0, 0.0, 1e-6), PlannedOp("conv2", "npu", 2.0), PlannedOp("softmax", "cpu", 0.1)),
        "heft",
    )


def written(tmp_path, **changes):
    """A file with the schedule above, some of its keys changed."""
    path = tmp_path / "plan.json"
    save_schedule(schedule(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def entry(**changes):
    """One op of a file."""
    return {"name": "conv1", "device": "npu", "priority": 1} | changes


def test_a_schedule_comes_back_as_it_was_saved(tmp_path):
    path = tmp_path / "new folder" / "plan.json"
    save_schedule(schedule(), path)
    back = load_schedule(path)
    assert back == schedule()
    assert back.source == str(path)
    assert [item.name for item in path.parent.iterdir()] == ["plan.json"]


def test_the_file_has_the_documented_keys(tmp_path):
    data = json.loads(written(tmp_path).read_text())
    assert data["format"] == "cosim-schedule-1"
    assert (data["workload"], data["chip"], data["policy"]) == ("lenet5", "edge", "heft")
    assert data["ops"][0] == {"name": "conv1", "device": "npu", "priority": 3.0, "start_s": 0.0, "end_s": 1e-06}
    assert data["ops"][2] == {"name": "softmax", "device": "cpu", "priority": 0.1}


def test_one_op_stands_on_one_line_so_that_it_can_be_edited_by_hand(tmp_path):
    path = tmp_path / "plan.json"
    save_schedule(schedule(), path)
    assert sum('"conv2"' in line and '"npu"' in line for line in path.read_text().splitlines()) == 1


def test_views_by_name():
    assert schedule().assignment == {"conv1": "npu", "conv2": "npu", "softmax": "cpu"}
    assert schedule().priority == {"conv1": 3.0, "conv2": 2.0, "softmax": 0.1}
    assert Schedule.of("w", "c", [("a", "cpu", 1.0)], "hand").ops == (PlannedOp("a", "cpu", 1.0),)


def test_a_schedule_that_fits_is_accepted(tmp_path):
    load_schedule(written(tmp_path)).check(OPS, DEVICES)


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([entry(), entry(name="conv2"), entry(name="softmx")], r"ops\[2\].name: 'softmx' is no op of the workload; did you mean 'softmax'"),
        ([entry(device="nqu")], r"ops\[0\].device: 'nqu' is no device of the chip; did you mean 'npu'"),
        ([entry(device="tpu9")], r"ops\[0\].device: 'tpu9' is no device of the chip; choose one of: cpu, npu"),
        ([entry()], r"ops: op 'conv2' of the workload and 1 more not scheduled"),
        ([entry(), entry(name="conv2")], r"ops: op 'softmax' of the workload not scheduled"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_with_file_and_place(tmp_path, ops, message):
    path = written(tmp_path, ops=ops)
    with pytest.raises(ScheduleError, match=message) as caught:
        load_schedule(path).check(OPS, DEVICES)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "cosim-schedule-9"}, "format: 'cosim-schedule-9' is not known; choose 'cosim-schedule-1'"),
        ({"workload": 3}, "workload: 3 is not a name"),
        ({"chip": None}, "chip: None is not a name"),
        ({"policy": []}, r"policy: \[\] is not a name"),
        ({"ops": {}}, "ops: dict is not a list"),
        ({"opps": []}, "key 'opps' is not known; did you mean 'ops'"),
        ({"ops": ["conv1"]}, r"ops\[0\]: 'conv1' is not an object"),
        ({"ops": [entry(prio=1)]}, r"ops\[0\]: key 'prio' is not known; did you mean 'priority'"),
        ({"ops": [entry(name=None)]}, r"ops\[0\].name: None is not a name"),
        ({"ops": [entry(device=1)]}, r"ops\[0\].device: 1 is not a name"),
        ({"ops": [entry(), entry(priority="high")]}, r"ops\[1\].priority: 'high' is not a finite number"),
        ({"ops": [entry(priority=True)]}, r"ops\[0\].priority: True is not"),
        ({"ops": [entry(priority=float("nan"))]}, r"ops\[0\].priority: nan is not"),
        ({"ops": [entry(priority=10**400)]}, r"ops\[0\].priority: 1000"),
        ({"ops": [{"name": "conv1", "device": "npu"}]}, r"ops\[0\].priority: None is not"),
        ({"ops": [entry(start_s="soon")]}, r"ops\[0\].start_s: 'soon' is not"),
        ({"ops": [entry(), entry(device="cpu")]}, r"ops\[1\].name: 'conv1' is scheduled already by ops\[0\]"),
    ],
)
def test_what_is_no_schedule_is_refused_with_file_and_place(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(ScheduleError, match=message) as caught:
        load_schedule(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("text", ["", '{"format": ', "[1, 2]", "\ufeff{}", "[" * 100_000])
def test_text_that_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ScheduleError, match=r"plan.json"):
        load_schedule(path)


def test_a_syntax_error_is_given_with_line_and_column(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{\n "format" "cosim-schedule-1"}')
    with pytest.raises(ScheduleError, match=r"plan.json:2:11: not JSON"):
        load_schedule(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScheduleError, match="not JSON text"):
        load_schedule(path)


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ScheduleError, match=r"none.json: the schedule cannot be read: No such file"):
        load_schedule(tmp_path / "none.json")


def test_a_schedule_that_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = written(tmp_path)
    before = path.read_text()

    def broken(_self, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(ScheduleError, match="cannot be written: No space left on device"):
        save_schedule(Schedule("other", "chip", ()), path)
    assert path.read_text() == before
    assert [item.name for item in tmp_path.iterdir()] == ["plan.json"]


def test_an_interrupt_while_writing_leaves_no_half_file(tmp_path, monkeypatch):
    def interrupted(_self, _target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_schedule(schedule(), tmp_path / "plan.json")
    assert list(tmp_path.iterdir()) == []


def test_two_entries_of_one_op_and_priorities_without_order_are_refused():
    with pytest.raises(ScheduleError, match=r"schedule of 'w': ops\[1\].name: 'a' is scheduled already by ops\[0\]"):
        Schedule.of("w", "c", [("a", "cpu", 1.0), ("a", "npu", 2.0)])
    with pytest.raises(ScheduleError, match=r"ops\[0\].priority: inf is not finite"):
        Schedule.of("w", "c", [("a", "cpu", float("inf"))])


def test_ops_of_one_name_cannot_be_scheduled_by_name():
    with pytest.raises(ScheduleError, match="2 ops of the workload are called 'a'"):
        Schedule.of("w", "c", [("a", "cpu", 1.0)]).check(["a", "a"], ["cpu"])


def test_the_suggestion_among_thousands_of_ops_is_cut_short():
    with pytest.raises(ScheduleError, match=r"choose one of: op0, .*\.\.\.$") as caught:
        Schedule.of("w", "c", [("zzz", "cpu", 1.0)]).check([f"op{i}" for i in range(5000)], ["cpu"])
    assert len(str(caught.value)) < 400
