"""`cosim place`: what it prints and writes, the round trip of an edited placement, and what a mistake looks like."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cosim.cli import warmup
from cosim.cli.warmup import Step, cold_steps, run_steps, steps
from cosim.plan import load_schedule

KEYS = {
    "workload", "chip", "policy", "fidelity", "objective", "makespan_s", "lower_bound_s", "gap", "lower_bound_from", "energy_j",
    "lower_bound_j", "planned", "accuracy_loss", "devices", "transfers", "baseline", "provenance", "files",
}  # fmt: skip
NPU = ("lenet5", "--chip", "edge_npu_soc")
CIM = ("lenet5", "--chip", "edge_cim_soc")


def place(cosim, *args):
    code, out, err = cosim("place", *args, "--json")
    assert code == 0, err
    return json.loads(out)


def test_json_is_one_object_whose_files_are_whole(cosim, tmp_path):
    data = place(cosim, *CIM)
    assert set(data) == KEYS
    assert data["lower_bound_s"] <= data["makespan_s"]
    assert data["lower_bound_j"] <= data["energy_j"]
    assert data["gap"] == pytest.approx(data["makespan_s"] / data["lower_bound_s"] - 1)
    assert {Path(name).name for name in data["files"]} == {
        "placement.html", "report.html", "ledger.csv", "ops.csv", "summary.csv", "placement.json",
    }  # fmt: skip
    assert all((tmp_path / name).stat().st_size > 0 for name in data["files"])
    assert not list(tmp_path.rglob(".*"))


def test_it_is_the_run_of_the_same_policy(cosim):
    placed = place(cosim, *CIM, "--policy", "greedy")
    run = json.loads(cosim("run", *CIM, "--policy", "greedy", "--json")[1])
    assert placed["makespan_s"] == run["latency_s"]
    assert placed["energy_j"] == run["energy_j"]
    assert (placed["lower_bound_s"], placed["gap"]) == (run["lower_bound_s"], run["gap"])
    assert {name: load["busy_s"] for name, load in placed["devices"].items()} == run["latency_by_device_s"]
    assert sum(load["ops"] for load in placed["devices"].values()) == run["n_ops"]


def test_the_table_names_bound_gap_load_and_what_it_improves_on(cosim):
    code, out, _ = cosim("place", *CIM, "--policy", "heft")
    assert code == 0
    for words in ("makespan", "energy", "no placement beats", "gap", "of the time", "cpu", "cim", "portfolio", "placement.html"):
        assert words in out, words


def test_the_same_seed_gives_the_same_placement(cosim):
    moves = ("--policy", "learned_search:500", "--seed", "3")  # a search that goes by time may come to more on a faster day
    assert place(cosim, *CIM, *moves) == place(cosim, *CIM, *moves)


def test_the_objective_is_what_it_says(cosim):
    makespan = place(cosim, *NPU, "--policy", "heft")
    assert makespan["objective"]["name"] == "makespan"
    assert makespan["objective"]["value"] == makespan["makespan_s"]


def test_a_trace_opens_with_one_lane_a_device(cosim, tmp_path):
    data = place(cosim, *CIM, "--policy", "heft", "--trace", "deep/trace.json")
    assert str(Path("deep/trace.json")) in data["files"]
    events = json.loads((tmp_path / "deep" / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    ops = [event for event in events if event["ph"] == "X" and event["cat"] == "op"]
    assert max(event["ts"] + event["dur"] for event in ops) == pytest.approx(1e6 * data["makespan_s"])
    lanes = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert set(data["devices"]) <= set(lanes)


# --- round trip --------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(cosim, tmp_path):
    """An exported placement: its file, what it gave, and a way to write an edited one."""
    data = place(cosim, *CIM, "--policy", "heft", "--export", "mine.json")
    file = tmp_path / "mine.json"
    return file, data, json.loads(file.read_text(encoding="utf-8"))


def test_an_export_replays_to_the_same_run(cosim, exported):
    file, data, _ = exported
    again = place(cosim, *CIM, "--policy", f"fixed:{file}", "--out", "again")
    assert again["makespan_s"] == pytest.approx(data["makespan_s"], rel=1e-9)
    assert again["energy_j"] == pytest.approx(data["energy_j"], rel=1e-9)
    assert {name: load["ops"] for name, load in again["devices"].items()} == {name: load["ops"] for name, load in data["devices"].items()}


def test_the_export_is_the_placement_of_the_report(exported, tmp_path):
    file, _, _ = exported
    assert file.read_bytes() == (tmp_path / "out" / "placement.json").read_bytes()
    assert load_schedule(file).policy == "heft"


def test_an_edit_moves_an_op(cosim, exported):
    file, data, placement = exported
    moved = next(op for op in placement["ops"] if op["device"] == "cim")
    moved["device"] = "cpu"
    file.write_text(json.dumps(placement), encoding="utf-8")
    again = place(cosim, *CIM, "--policy", f"fixed:{file}", "--out", "again")
    assert again["devices"]["cpu"]["ops"] == data["devices"]["cpu"]["ops"] + 1
    assert again["devices"]["cim"]["ops"] == data["devices"]["cim"]["ops"] - 1
    assert again["lower_bound_s"] == pytest.approx(data["lower_bound_s"])
    replayed = {op.name: op.device for op in load_schedule(Path("again/placement.json")).ops}
    assert replayed == {op["name"]: op["device"] for op in placement["ops"]}


def spoil(placement, how):
    ops = placement["ops"]
    if how == "device":
        ops[1]["device"] = "cmi"
    elif how == "op":
        ops[1]["name"] = ops[1]["name"] + "x"
    elif how == "twice":
        ops.append(ops[1])
    elif how == "missing":
        del ops[1]
    elif how == "priority":
        ops[1]["priority"] = "first"
    elif how == "key":
        ops[1]["devcie"] = ops[1].pop("device")
    return json.dumps(placement)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("device", ("ops[1].device", "'cmi'", "cim")),
        ("op", ("ops[1].name", "no op of the workload")),
        ("twice", ("is scheduled already by ops[1]",)),
        ("missing", ("not scheduled", "add an entry")),
        ("priority", ("ops[1].priority", "not a finite number")),
        ("key", ("ops[1]", "'devcie'", "device")),
    ],
)
def test_a_wrong_edit_is_refused_with_file_place_and_way_out(cosim, exported, tmp_path, how, said):
    file, _, placement = exported
    file.write_text(spoil(placement, how), encoding="utf-8")
    code, out, err = cosim("place", *CIM, "--policy", f"fixed:{file}", "--out", "again", "--trace", "t.json")
    assert (code, out) == (2, "")
    assert "mine.json" in err
    for words in said:
        assert words in err, err
    assert "Traceback" not in err
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "t.json").exists()


def test_an_op_on_a_device_that_cannot_run_it_is_refused_with_those_that_can(cosim, tmp_path):
    bert = ("bert_tiny", "--chip", "edge_cim_soc")
    place(cosim, *bert, "--policy", "heft", "--export", "mine.json")
    placement = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))
    next(op for op in placement["ops"] if "softmax" in op["name"].lower())["device"] = "cim"
    (tmp_path / "mine.json").write_text(json.dumps(placement), encoding="utf-8")
    code, out, err = cosim("place", *bert, "--policy", "fixed:mine.json", "--out", "again")
    assert (code, out) == (2, "")
    assert "'cim' cannot run op" in err
    assert "choose cpu or" in err


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--policy", "hetf"), "heft"),
        (("--policy", "fixed:none.json"), "none.json"),
        (("--policy", "heft:3"), "takes no argument"),
        (("--objective", "makspan"), "makespan"),
        (("--objective", "1.5"), "0 (makespan) to 1 (energy)"),
        (("--objective", "nan"), "nan"),
        (("--time-budget", "-1"), "time budget"),
        (("--time-budget", "0"), "time budget"),
        (("--time-budget", "inf"), "time budget"),
        (("--time-budget", "soon"), "soon"),
        (("--max-loss", "-1"), "loss limit"),
        (("--max-loss", "nan"), "loss limit"),
        (("--fidelity", "bound"), "bound"),
        (("--fidelity", "simpi"), "simpy"),
        (("--seed", "-1"), "seed"),
        (("--trace", "."), "name a file"),
        (("--trace", "file/t.json"), "is a file"),
        (("--export", "file/p.json"), "is a file"),
        (("--export", "."), "name a file"),
        (("--out", "file"), "name a folder"),
        (("--trace", "same.json", "--export", "./same.json"), "same.json"),
        (("--export", "out/placement.html"), "placement.html"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_a_mistake_ends_with_one_paragraph_and_nothing_written(cosim, tmp_path, options, said):
    (tmp_path / "file").write_text("kept")
    code, out, err = cosim("place", *NPU, *options)
    assert (code, out) == (2, "")
    assert said in err, err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_workload_and_chip_are_asked_for(cosim):
    assert cosim("place")[0] == 2
    assert "--chip" in cosim("place", "lenet5")[2]
    assert "did you mean" in cosim("place", "lenet6", "--chip", "edge_npu_soc")[2]


def test_a_file_that_cannot_be_written_leaves_no_others(cosim, tmp_path, monkeypatch):
    """The disk turns read-only while the simulation runs: all parts are written before the first file is put in place."""
    from cosim.cli import common
    from workloads.errors import StoreError

    write_part = common.write_part

    def refuse(path, data):
        if path.name == "t.json":
            raise StoreError(f"{path}: cannot be written: read-only file system")
        return write_part(path, data)

    monkeypatch.setattr(common, "write_part", refuse)
    code, _, err = cosim("place", *NPU, "--trace", "t.json")
    assert code == 2
    assert "read-only" in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_options_may_come_before_the_workload(cosim):
    code, out, _ = cosim("place", "--chip", "edge_npu_soc", "--json", "lenet5")
    assert code == 0
    assert json.loads(out)["workload"] == "lenet5"


def test_its_help_names_the_other_command(cosim):
    code, out, _ = cosim("place", "--help")
    assert code == 0
    assert "cosim place train" in out


# --- front -------------------------------------------------------------------------------------------------------


def test_a_front_writes_a_placement_for_every_point_that_replays(cosim, tmp_path):
    code, out, err = cosim("place", "front", *CIM, "--time-budget", "0.2", "--json")
    assert code == 0, err
    data = json.loads(out)
    names = {Path(name).name for name in data["files"]}
    assert names == {"front.html", "front.csv", *(f"front_{i + 1}.json" for i in range(len(data["points"])))}
    last = data["points"][-1]
    again = place(cosim, *CIM, "--policy", f"fixed:out/front_{len(data['points'])}.json", "--out", "again")
    assert again["makespan_s"] == pytest.approx(last["makespan_s"], rel=1e-9)
    assert again["energy_j"] == pytest.approx(last["energy_j"], rel=1e-9)


def test_a_front_prints_a_table(cosim):
    code, out, _ = cosim("place", "front", *NPU, "--time-budget", "0.1")
    assert code == 0
    for words in ("front_1.json", "heft", "portfolio", "none beats", "energy x delay"):
        assert words in out, words


@pytest.mark.parametrize(
    ("options", "said"), [(("--time-budget", "-1"), "time budget"), (("--fidelity", "bound"), "bound"), (("--policy", "heft"), "--policy")]
)
def test_a_mistake_in_a_front_leaves_nothing(cosim, tmp_path, options, said):
    code, out, err = cosim("place", "front", *NPU, *options)
    assert (code, out) == (2, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []


# --- training ----------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch):
    """A training that is over at once; returns what it was asked for."""
    import numpy as np

    from cosim.scheduling import train as module
    from cosim.scheduling.policy_weights import Trained, as_weights, initial
    from cosim.scheduling.train_judge import Judgement

    asked = []

    def train(minutes, seed, progress, n_steps=None):
        asked.append((minutes, seed, n_steps))
        curve = (Judgement(0, 1.01, 1.0), Judgement(9, 0.97, 0.95))
        for share, point in enumerate(curve):
            progress(share, point)
        provenance = {"seed": seed, "n_steps": 9, "cpu_minutes": 0.5, "recipe": {"width": 4}, "curve": []}
        return module.Training(Trained(as_weights(initial(np.random.default_rng(seed), 4, 5), 4, 5), 0.15, provenance), curve)

    monkeypatch.setattr(module, "train", train)
    return asked


def test_training_writes_weights_that_can_be_read_and_a_learning_curve(cosim, tmp_path, trained):
    from cosim.scheduling.policy_weights import load

    code, out, _ = cosim("place", "train", "--minutes", "2", "--seed", "3", "--out", "mine", "--json")
    data = json.loads(out)
    assert code == 0
    assert trained == [(2.0, 3, None)]
    assert (data["n_steps"], data["greedy"], data["best_of_8"]) == (9, 0.97, 0.95)
    assert [point["step"] for point in data["curve"]] == [0, 9]
    assert {Path(name).name for name in data["files"]} == {"policy.json", "training.html", "learning_curve.csv"}
    assert load(tmp_path / "mine" / "policy.json").provenance["seed"] == 3


def test_training_tells_how_far_it_came(cosim, trained):
    code, out, err = cosim("place", "train", "--steps", "9")
    assert code == 0
    assert trained == [(8.0, 0, 9)]
    assert "1.0100 -> 0.9700" in out
    assert "9 steps" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--minutes", "0"), "--minutes"),
        (("--minutes", "nan"), "--minutes"),
        (("--steps", "0"), "--steps"),
        (("--seed", "-1"), "--seed"),
        (("--out", "file"), "name a folder"),
        (("lenet5",), "lenet5"),
    ],
)
def test_a_mistake_ends_before_the_training_begins(cosim, tmp_path, trained, options, said):
    (tmp_path / "file").write_text("kept")
    code, out, err = cosim("place", "train", *options)
    assert (code, out) == (2, "")
    assert said in err
    assert trained == []
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_the_help_of_training_is_its_own(cosim):
    code, out, _ = cosim("place", "train", "--help")
    assert code == 0
    assert "--minutes" in out
    assert "--chip" not in out


# --- warming up --------------------------------------------------------------------------------------------------


def test_a_step_is_done_once_for_the_sources_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path))
    done = []
    step = Step("something", "hw_models.kernels", lambda: done.append(1))
    assert not step.mark.exists()
    step.run()
    assert step.mark.exists()
    assert step.mark.is_relative_to(tmp_path)
    assert done == [1]


def test_a_policy_is_compiled_only_where_it_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path))
    before = [step.label for step in cold_steps(["heft"])]
    assert before[-1] == "policy heft"
    assert [step.label for step in steps([])] == before[:-1]
    steps(["heft"])[-1].run()
    assert [step.label for step in cold_steps(["heft"])] == before[:-1]
    assert [step.label for step in cold_steps(["greedy"])][-1] == "policy greedy"


def test_engine_and_policies_are_compiled_in_a_process_beside_that_leaves_their_marks(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # nothing is compiled; who does what is the same
    monkeypatch.setattr(warmup.os, "cpu_count", lambda: 2)
    ran = []
    todo = [replace(step, work=partial(ran.append, step.label)) for step in steps(["greedy"])]
    run_steps(todo, show_progress=False)
    assert ran == ["DRAM", "processors", "MAC arrays", "compute in memory"]
    assert all(step.mark.exists() for step in todo)


def test_what_the_process_beside_does_not_do_is_done_here(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(warmup.sys, "executable", "/bin/false")
    ran = []
    run_steps([replace(step, work=partial(ran.append, step.label)) for step in steps(["greedy"])], show_progress=False)
    assert ran[-2:] == ["engine", "policy greedy"]
