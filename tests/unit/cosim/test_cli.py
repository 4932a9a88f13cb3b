"""The command line: contracts that scripts depend on, and what a mistake looks like."""

import json

import pytest

RUN_KEYS = {
    "workload", "chip", "weight_bits", "activation_bits", "latency_s", "latency_s_low", "latency_s_high",
    "energy_j", "energy_j_low", "energy_j_high", "programming_energy_j", "programming_latency_s", "break_even_inferences",
    "resident_weight_fraction", "area_mm2", "macs", "params", "n_ops", "coverage", "energy_by_component_j",
    "latency_by_device_s", "binding", "assumed_share", "files", "provenance",
}  # fmt: skip


def test_run_prints_one_json_object_and_writes_whole_files(cosim, tmp_path):
    code, out, _ = cosim("run", "lenet5", "--chip", "edge_cim_soc", "--json")
    data = json.loads(out)
    assert code == 0
    assert set(data) >= RUN_KEYS
    assert data["energy_j_low"] <= data["energy_j"] <= data["energy_j_high"]
    assert data["latency_s_low"] <= data["latency_s"] <= data["latency_s_high"]
    assert sum(data["energy_by_component_j"].values()) == pytest.approx(data["energy_j"], rel=1e-12)
    assert {row["op"] for row in data["binding"]}
    assert len(data["binding"]) == data["n_ops"]
    assert all((tmp_path / name).stat().st_size > 0 for name in data["files"])
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_run_prints_a_table_with_units_and_the_files(cosim):
    code, out, _ = cosim("run", "lenet5", "--chip", "edge_npu_soc", "--out", "elsewhere")
    assert code == 0
    assert "TOPS/W" in out
    assert "mm2" in out.replace("²", "2")
    assert "elsewhere/report.html" in out


def test_the_same_seed_gives_the_same_numbers(cosim):
    first = json.loads(cosim("run", "lenet5", "--chip", "edge_cim_soc", "--json")[1])
    second = json.loads(cosim("run", "lenet5", "--chip", "edge_cim_soc", "--json")[1])
    assert first == second


def test_batch_dims_and_bits_reach_the_workload(cosim):
    data = json.loads(
        cosim("run", "bert_base", "--chip", "edge_npu_soc", "--dim", "seq=8", "--batch", "2", "--weight-bits", "4", "--json")[1]
    )
    assert (data["dims"]["seq"], data["batch"], data["weight_bits"], data["activation_bits"]) == (8, 2, 4, 8)


def test_the_bound_is_not_beaten_by_the_rungs_above(cosim):
    latency, energy = {}, {}
    for rung in ("bound", "mapped", "simpy"):
        data = json.loads(cosim("run", "resnet18", "--chip", "edge_cim_soc", "--fidelity", rung, "--json")[1])
        latency[rung], energy[rung] = data["latency_s"], data["energy_j"]
    assert latency["bound"] <= min(latency["mapped"], latency["simpy"])
    assert energy["bound"] <= min(energy["mapped"], energy["simpy"])


def test_a_placement_is_written_and_replays_to_the_same_result(cosim):
    first = json.loads(cosim("run", "resnet18", "--chip", "edge_npu_soc", "--json")[1])
    again = json.loads(
        cosim("run", "resnet18", "--chip", "edge_npu_soc", "--policy", "fixed:out/placement.json", "--out", "b", "--json")[1]
    )
    assert again["latency_s"] == pytest.approx(first["latency_s"], rel=1e-9)
    assert again["energy_j"] == pytest.approx(first["energy_j"], rel=1e-9)


def test_compare_prints_rows_ratios_and_a_waterfall_that_sums_up(cosim):
    code, out, _ = cosim("compare", "lenet5", "--chips", "edge_npu_soc,edge_cim_soc", "--json")
    data = json.loads(out)
    assert code == 0
    assert [row["chip"] for row in data["rows"]] == ["edge_npu_soc", "edge_cim_soc"]
    assert set(data["ratios"]) == {"latency_s", "energy_j", "edp", "area_mm2"}
    assert all(row["edge_npu_soc"] == 1.0 for row in data["ratios"].values())
    difference = data["rows"][1]["energy_j"] - data["rows"][0]["energy_j"]
    assert sum(step["delta_j"] for step in data["waterfall"]) == pytest.approx(difference, rel=1e-9)
    assert "accuracy is not modeled" in data["accuracy"]
    assert all(set(row) >= RUN_KEYS for row in data["rows"])


def test_validate_reports_metrics_and_whether_they_hold(cosim):
    code, out, _ = cosim("validate", "contention", "--json", "--strict")
    data = json.loads(out)
    assert code == 0
    assert data["area"] == "contention"
    assert data["passed"] is True
    assert data["metrics"]["max_rel_error"] <= 1e-9
    assert data["metrics"]["n"] == data["n"] > 0


@pytest.mark.parametrize("what", ["chips", "workloads", "devices", "parts"])
def test_lists_name_everything_once(cosim, what):
    code, out, _ = cosim("list", what, "--json")
    names = [row["name"] for row in json.loads(out)[what]]
    assert code == 0
    assert len(names) == len(set(names)) > 4
    code, out, _ = cosim("list", what)
    assert code == 0
    assert len(out.splitlines()) == len(names)


def test_show_prints_numbers_with_their_origin(cosim):
    code, out, _ = cosim("show", "edge_cim_soc")
    assert code == 0
    assert "# assumed:" in out
    assert json.loads(cosim("show", "edge_cim_soc", "--json")[1])["name"] == "edge_cim_soc"
    assert "MACs" in cosim("show", "lenet5")[1]
    first_part = json.loads(cosim("list", "parts", "--json")[1])["parts"][0]["name"]
    assert cosim("show", first_part)[0] == 0


def test_new_writes_a_chip_that_checks_and_runs(cosim, tmp_path):
    assert cosim("new", "mine.yaml", "--from", "edge_cim_soc")[0] == 0
    code, out, _ = cosim("check", "mine.yaml")
    assert code == 0
    assert "ok: chip" in out
    data = json.loads(cosim("run", "lenet5", "--chip", "mine.yaml", "--json")[1])
    assert data["chip"] == "mine"
    code, _, err = cosim("new", "mine.yaml", "--from", "edge_cim_soc")
    assert code == 2
    assert "exists already" in err


def test_warmup_says_where_kernels_are_kept(cosim):
    code, out, _ = cosim("warmup")
    assert code == 0
    assert "kernels are compiled" in out


MISTAKES = {
    "no such network": (("run", "resnet5000", "--chip", "edge_npu_soc"), "did you mean"),
    "no such chip": (("run", "lenet5", "--chip", "edge_npu"), "did you mean 'edge_npu_soc'?"),
    "no such chip file": (("run", "lenet5", "--chip", "nowhere.yaml"), "nowhere.yaml: no such file"),
    "no such network file": (("run", "nowhere.onnx", "--chip", "edge_npu_soc"), "nowhere.onnx"),
    "unknown dimension": (("run", "lenet5", "--chip", "edge_npu_soc", "--dim", "sequence=3"), "dimension 'sequence' is not known"),
    "dimension without value": (("run", "bert_base", "--chip", "edge_npu_soc", "--dim", "seq"), "NAME=INT"),
    "zero batch": (("run", "lenet5", "--chip", "edge_npu_soc", "--batch", "0"), "batch = 0 is out of range"),
    "one dimension twice": (
        ("run", "lenet5", "--chip", "edge_npu_soc", "--batch", "2", "--dim", "batch=3"),
        "dimension 'batch' is given twice, as 3 and as 2",
    ),
    "two signs": (("run", "lenet5", "--chip", "edge_npu_soc", "--dim", "batch=--1"), "'batch=--1' is not NAME=INT"),
    "a digit that is none": (("run", "lenet5", "--chip", "edge_npu_soc", "--dim", "batch=²"), "'batch=²' is not NAME=INT"),
    "negative seed": (("run", "lenet5", "--chip", "edge_npu_soc", "--seed", "-1"), "seed -1 is negative"),
    "unknown policy at the bound": (
        ("run", "lenet5", "--chip", "edge_npu_soc", "--fidelity", "bound", "--policy", "heftt"),
        "did you mean 'heft'?",
    ),
    "no bits": (("run", "lenet5", "--chip", "edge_npu_soc", "--weight-bits", "0"), "weight bits: 0 is out of range"),
    "unknown policy": (("run", "lenet5", "--chip", "edge_npu_soc", "--policy", "heftt"), "did you mean 'heft'?"),
    "unknown fidelity": (("run", "lenet5", "--chip", "edge_npu_soc", "--fidelity", "simpi"), "did you mean 'simpy'?"),
    "missing schedule": (("run", "lenet5", "--chip", "edge_npu_soc", "--policy", "fixed:nowhere.json"), "nowhere.json"),
    "one chip to compare": (("compare", "lenet5", "--chips", "edge_npu_soc"), "two chips or more"),
    "one chip twice": (("compare", "lenet5", "--chips", "edge_npu_soc,edge_npu_soc"), "different chips"),
    "unknown command": (("rum",), "did you mean 'run'?"),
    "unknown area": (("validate", "contentions"), "did you mean 'contention'?"),
    "data without area": (("validate", "--data", "x"), "name the area"),
    "unknown name": (("show", "edge_cim_sok"), "did you mean 'edge_cim_soc'?"),
    "new without yaml": (("new", "mine.txt", "--from", "edge_cim_soc"), ".yaml"),
}


@pytest.mark.parametrize(("args", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_ends_with_one_paragraph_and_exit_code_2(cosim, tmp_path, args, message):
    code, out, err = cosim(*args)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "out").exists(), "nothing is half written"


def test_an_output_folder_that_is_a_file_is_refused_before_any_work(cosim, tmp_path):
    (tmp_path / "out").write_text("mine")
    code, _, err = cosim("run", "lenet5", "--chip", "edge_npu_soc")
    assert code == 2
    assert "is a file" in err
    assert (tmp_path / "out").read_text() == "mine"


def test_ctrl_c_leaves_no_half_file(cosim, tmp_path, monkeypatch):
    import reports.html

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reports.html, "run_files", interrupt)
    code, _, err = cosim("run", "lenet5", "--chip", "edge_npu_soc")
    assert code == 130
    assert "nothing was half written" in err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_half_file(cosim, tmp_path, monkeypatch):
    from pathlib import Path

    def no_space(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    code, _, err = cosim("run", "lenet5", "--chip", "edge_npu_soc")
    assert code == 2
    assert "No space left on device" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_new_from_a_file_still_finds_what_stood_beside_it(cosim, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "base.yaml").write_text("base: edge_npu_soc\n")
    (tmp_path / "a" / "v.yaml").write_text("base: base.yaml\n")
    assert cosim("new", "b.yaml", "--from", "a/v.yaml")[0] == 0
    assert "base: a/base.yaml" in (tmp_path / "b.yaml").read_text()
    assert cosim("check", "b.yaml")[0] == 0


def test_check_builds_a_part_and_names_what_is_wrong(cosim, tmp_path):
    (tmp_path / "core.yaml").write_text("part: cpu/cortex_a55_quad_22nm\nclock: 2 ns\nsources: {clock: x}\n")
    code, _, err = cosim("check", "core.yaml")
    assert code == 2
    assert "core.yaml:2: clock" in err
    assert "'ns' is a unit of s" in err
    assert cosim("check", "cpu/cortex_a55_quad_22nm")[0] == 0


def test_check_takes_a_chip_without_devices_for_a_chip(cosim, tmp_path):
    (tmp_path / "chip.yaml").write_text("node: 22 nm\nmemory: {backing: {part: dram/lpddr5_6400_x32}}\nsources: {node: x}\n")
    code, _, err = cosim("check", "chip.yaml")
    assert code == 2
    assert "chip.yaml:1: devices: this key is required" in err


def test_check_lists_numbers_that_nobody_stands_for(cosim, tmp_path):
    (tmp_path / "core.yaml").write_text("part: cpu/cortex_a55_quad_22nm\nclock: 2 GHz\n")
    code, _, err = cosim("check", "core.yaml")
    assert code == 2
    assert "neither source nor `assumed`: clock" in err


def test_compare_says_which_chip_computes_at_other_bits_and_what_its_converters_lose(cosim):
    code, out, _ = cosim("compare", "lenet5", "--chips", "edge_npu_soc,edge_cim_soc", "--weight-bits", "12")
    assert code == 0
    assert "On edge_npu_soc\n  npu computes" in out
    assert "at 16-bit weights" in out
    assert "On edge_cim_soc" in out
    assert "8-bit ADCs read sums of 256 rows" in out


def test_a_number_too_large_to_count_with_is_refused_by_device(cosim, tmp_path):
    text = "base: edge_cim_soc\ndevices: {cim: {n_macros: 100000000000000000000}}\n"
    (tmp_path / "huge.yaml").write_text(text)
    code, _, err = cosim("run", "lenet5", "--chip", "huge.yaml")
    assert code == 2
    assert "Traceback" not in err
    assert "cim" in err


def test_chips_of_one_name_are_told_to_take_another(cosim, tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("base: edge_npu_soc\nname: same\n")
    code, _, err = cosim("compare", "lenet5", "--chips", "a.yaml,b.yaml")
    assert code == 2
    assert "got same, same: give each file a `name:` of its own" in err
