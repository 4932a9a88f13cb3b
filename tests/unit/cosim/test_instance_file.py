"""Scheduling instances as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosim.scheduling.instance_file import read_instance
from cosim.validation import contention
from workloads.errors import ScheduleError

SHIPPED = contention.DATA / "instances"


def written(tmp_path, **changes):
    """Two tasks on two devices; the second task runs on the second device only."""
    data = {
        "format": "sched-instance-1",
        "name": "two",
        "tasks": [{"id": 0, "name": "conv"}, {"id": 1, "name": "softmax"}],
        "devices": [{"id": 0, "name": "cim"}, {"id": 1, "name": "cpu"}],
        "cost": [[3, 9], [None, 4]],
        "edges": [{"src": 0, "dst": 1, "size": 12}],
        "bandwidth": [[0, 4], [6, 0]],
        "latency": [[0, 1], [2, 0]],
    }
    path = tmp_path / "two.json"
    path.write_text(json.dumps({key: value for key, value in (data | changes).items() if value != "leave out"}))
    return path


def test_costs_links_and_edges_are_read(tmp_path):
    given = read_instance(written(tmp_path))
    assert given.task_names == ("conv", "softmax")
    assert given.device_names == ("cim", "cpu")
    assert given.cost_s.tolist() == [[3.0, 9.0], [np.inf, 4.0]]
    assert given.ready_s(1, np.array([0, 1]), np.array([3.0, 0.0])).tolist() == [3.0, 3 + 1 + 12 / 4]


def test_related_machines_take_work_over_speed(tmp_path):
    devices = [{"id": 0, "name": "slow", "speed": 1}, {"id": 1, "name": "fast", "speed": 4}]
    given = read_instance(written(tmp_path, cost="leave out", task_work=[12, 8], devices=devices))
    assert given.cost_s.tolist() == [[12.0, 3.0], [8.0, 2.0]]


def test_related_machines_of_the_shipped_files_agree_with_their_cost_tables(tmp_path):
    for source in SHIPPED.glob("layered_rel_*.json"):
        data = json.loads(source.read_text())
        path = tmp_path / source.name
        path.write_text(json.dumps({key: value for key, value in data.items() if key != "cost"}))
        assert read_instance(path).cost_s.tolist() == read_instance(source).cost_s.tolist()


def test_names_may_be_left_out(tmp_path):
    assert read_instance(written(tmp_path, tasks=[{}, {}])).task_names == ("0", "1")


def test_null_is_allowed_on_the_diagonal_of_the_links(tmp_path):
    given = read_instance(written(tmp_path, bandwidth=[[None, 4], [6, None]], latency=[[None, 1], [2, None]]))
    assert given.bandwidth_bytes_per_s[0, 1] == 4.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "sched-instance-2"}, "format: 'sched-instance-2' is not known"),
        ({"tasks": {}}, "tasks: must be a list of objects, but is dict"),
        ({"tasks": [1, 2]}, "tasks: must be a list of objects"),
        ({"devices": []}, "devices: is empty"),
        ({"tasks": [{"id": 1}, {"id": 0}]}, r"tasks\[0\].id: 1 is not its position 0"),
        ({"cost": [[1, 1]]}, "cost: must be a list of 2 rows"),
        ({"cost": [[1, 1], [1]]}, r"cost\[1\]: must be a list of 2 numbers"),
        ({"cost": [[1, "x"], [1, 1]]}, r"cost\[0\]\[1\]: 'x' is not a number"),
        ({"cost": [[1, -1], [1, 1]]}, "cost of task 'conv' on 'cpu' is -1.0"),
        ({"cost": [[1, 1], [None, None]]}, "task 'softmax' is supported by no device"),
        ({"cost": "leave out"}, "cost: missing; give cost"),
        ({"cost": "leave out", "task_work": [1, 2]}, r"devices\[0\].speed: None is not a number"),
        ({"edges": [{"src": 0, "dst": 2, "size": 1}]}, r"edges\[0\].dst: 2.0 is no task id"),
        ({"edges": [{"src": 0.5, "dst": 1, "size": 1}]}, r"edges\[0\].src: 0.5 is no task id"),
        ({"edges": [{"src": 0, "dst": 1}]}, r"edges\[0\].size: None is not a number"),
        ({"edges": [{"src": 0, "dst": 1, "size": True}]}, r"edges\[0\].size: True is not a number"),
        ({"edges": [{"src": 0, "dst": 1, "size": 10**400}]}, r"edges\[0\].size: 1000"),
        ({"edges": [{"src": 0, "dst": 1, "size": -1}]}, r"edge_bytes\[0\] = -1.0"),
        ({"edges": [{"src": 0, "dst": 1, "size": 1}, {"src": 1, "dst": 0, "size": 1}]}, "the edges form a cycle"),
        ({"bandwidth": [[0, 0], [1, 0]]}, "bandwidth from 'cim' to 'cpu' is 0.0"),
        ({"bandwidth": [[0, None], [1, 0]]}, r"bandwidth\[0\]\[1\]: None is not a number"),
        ({"latency": None}, "latency: must be a list of 2 rows"),
    ],
)
def test_what_is_no_instance_is_refused_with_file_and_place(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(ScheduleError, match=message) as caught:
        read_instance(path)
    assert str(caught.value).startswith(str(path))


def test_a_speed_of_zero_is_refused(tmp_path):
    path = written(tmp_path, cost="leave out", task_work=[1, 2], devices=[{"speed": 1}, {"speed": 0}])
    with pytest.raises(ScheduleError, match=r"devices\[1\].speed: 0.0 must be above 0"):
        read_instance(path)


@pytest.mark.parametrize(("text", "message"), [("[]", "holds a list"), ("{", r"x.json:1:2: not JSON"), ("[" * 100_000, "not JSON text")])
def test_text_that_is_no_instance_is_refused(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ScheduleError, match=message):
        read_instance(path)


def test_a_file_that_does_not_exist_is_refused():
    with pytest.raises(ScheduleError, match="cannot be read: No such file"):
        read_instance(Path("no/such.json"))
