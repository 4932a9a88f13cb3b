"""`cosim load`: what it prints and writes, how rates are read, and what a mistake looks like."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from cosim.cli.load import _arrival
from workloads.errors import CosimError

KEYS = {
    "workload", "chip", "policy", "fidelity", "order", "saturated", "in_flight", "n_inferences", "n_counted", "window_s",
    "throughput_per_s", "interval_s", "bound_per_s", "bottleneck", "streams", "little", "queue", "utilization", "energy",
    "operating_points", "notes", "provenance", "files",
}  # fmt: skip
CHIP = ("--chip", "edge_npu_soc", "--policy", "heft")


def load(cosim, *args):
    code, out, err = cosim("load", *args, *CHIP, "--inferences", "60", "--json")
    assert code == 0, err
    return json.loads(out)


def test_json_is_one_object_whose_files_are_whole(cosim, tmp_path):
    data = load(cosim, "lenet5@1000", "--deadline", "1ms")
    assert set(data) == KEYS
    assert {Path(name).name for name in data["files"]} == {
        "load.html", "load_streams.csv", "load_inferences.csv", "load_utilization.csv", "placement.json",
    }  # fmt: skip
    assert all((tmp_path / name).stat().st_size > 0 for name in data["files"])
    assert not list(tmp_path.rglob(".*"))
    assert (data["n_inferences"], data["n_counted"]) == (60, 54)
    (stream,) = data["streams"]
    assert stream["arrivals"] == "Poisson"
    assert stream["deadline_s"] == 1e-3
    assert stream["deadline_misses"] >= 0
    assert data["throughput_per_s"] < data["bound_per_s"]


def test_csv_holds_every_inference_and_statistic(cosim, tmp_path):
    data = load(cosim, "lenet5@1ms", "mlp@3000")
    rows = list(csv.DictReader((tmp_path / "out" / "load_inferences.csv").read_text().splitlines()))
    assert len(rows) == 60
    assert {row["stream"] for row in rows} == {"lenet5", "mlp"}
    assert all(float(row["arrival_s"]) <= float(row["start_s"]) <= float(row["end_s"]) for row in rows)
    assert sum(row["counted"] == "True" for row in rows) == data["n_counted"]
    streams = list(csv.DictReader((tmp_path / "out" / "load_streams.csv").read_text().splitlines()))
    assert [row["statistic"] for row in streams if row["stream"] == "mlp"] == ["mean", "p50", "p90", "p99", "max"]
    uses = {
        row["name"]: float(row["utilization"])
        for row in csv.DictReader((tmp_path / "out" / "load_utilization.csv").read_text().splitlines())
    }
    assert uses == {name: use["utilization"] for name, use in data["utilization"].items()}


def test_the_table_says_what_limits_and_what_is_missed(cosim):
    code, out, err = cosim("load", "lenet5@2000", *CHIP, "--inferences", "80", "--deadline", "1us")
    assert code == 0, err
    for word in ("lenet5 on edge_npu_soc", "p99", "limits this mix to", "miss the deadline of 1.00 µs", "Little's law", "Written:"):
        assert word in out


def test_a_saturated_load_needs_no_rate(cosim):
    data = load(cosim, "lenet5", "--saturated", "--in-flight", "2")
    assert data["saturated"] is True
    assert data["in_flight"] == {"limit": 2, "most": 1}  # heft runs all on one device
    assert data["interval_s"] == pytest.approx(1 / data["throughput_per_s"])
    assert data["streams"][0]["deadline_misses"] is None


def test_a_trace_is_read_and_played_whole(cosim, tmp_path):
    (tmp_path / "trace.csv").write_text("arrival_s,workload\n0,lenet5\n0,mlp\n0.001,lenet5\n0.002,lenet5\n0.0025,mlp\n")
    code, out, err = cosim("load", "lenet5", "mlp", *CHIP, "--trace-arrivals", "trace.csv", "--warmup", "0", "--json")
    assert code == 0, err
    data = json.loads(out)
    assert [stream["n"] for stream in data["streams"]] == [3, 2]
    assert data["streams"][0]["rate_per_s"] == pytest.approx(1000.0)


def test_names_choose_whose_deadline_and_priority_it_is(cosim):
    data = load(
        cosim, "lenet5@500", "lenet5@2ms", "mlp@100", "--deadline", "5ms", "--deadline", "lenet5#2=1ms", "--priority", "mlp=3",
        "--order", "priority",
    )  # fmt: skip
    assert [stream["name"] for stream in data["streams"]] == ["lenet5", "lenet5#2", "mlp"]
    assert [stream["deadline_s"] for stream in data["streams"]] == [5e-3, 1e-3, 5e-3]
    assert [stream["priority"] for stream in data["streams"]] == [0.0, 0.0, 3.0]


def test_clock_and_gating_reach_the_result(cosim):
    data = load(cosim, "lenet5@1ms", "--dvfs", "npu=0.5", "--gating", "10us,0.1")
    assert data["operating_points"]["npu"]["clock"] == 0.5
    assert data["energy"]["saved_by_gating_j"] > 0


def test_rates_and_periods_are_told_apart():
    assert _arrival("lenet5@200") == ("lenet5", {"rate_per_s": 200.0})
    assert _arrival("lenet5@2e3/s") == ("lenet5", {"rate_per_s": 2000.0})
    assert _arrival("lenet5@5ms") == ("lenet5", {"period_s": 5e-3})
    assert _arrival("lenet5") == ("lenet5", {})
    assert _arrival("my@home/net.onnx@3") == ("my@home/net.onnx", {"rate_per_s": 3.0})
    with pytest.raises(CosimError, match="often"):
        _arrival("lenet5@often")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("lenet5@1e9",), "unstable: lenet5 at 1e+09/s would keep device"),
        (("lenet5@-5",), "rate -5.0 is out of range"),
        (("lenet5",), "stream lenet5 has no rate; give one (lenet5@100)"),
        (("lenet5@10", "--order", "lifo"), "order 'lifo' is not known"),
        (("lenet5@10", "--order", "edf"), "needs the deadline"),
        (("lenet5@10", "--deadline", "5"), "without a unit"),
        (("lenet5@10", "--deadline", "lenet=5ms"), "'lenet' is none of the load; did you mean 'lenet5'"),
        (("lenet5@10", "--priority", "lenet5=high"), "'high' is not a number"),
        (("lenet5@10", "--dvfs", "npu"), "write NAME=VALUE"),
        (("lenet5@10", "--dvfs", "npu=2"), "would need more than the nominal"),
        (("lenet5@10", "--gating", "10us"), "write TIME,KEPT"),
        (("lenet5@10", "--inferences", "0"), "0 inferences are too few"),
        (("lenet5@10", "--trace-arrivals", "none.csv"), "give one of both"),
        (("lenet5", "--trace-arrivals", "none.csv"), "none.csv: the trace cannot be read"),
        (("lenet6@10",), "lenet6"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(cosim, tmp_path, args, message):
    code, out, err = cosim("load", *args, *CHIP)
    assert code == 2
    assert out == ""
    assert err.count("Error: ") == 1
    assert message in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_help_names_the_ways_to_arrive(cosim):
    code, out, _ = cosim("load", "--help")
    assert code == 0
    assert "lenet5@200" in out
    assert "--trace-arrivals" in out
