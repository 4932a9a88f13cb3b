from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from cosim.validation import workloads as area
from cosim.validation.workloads import validate_workloads
from workloads.errors import WorkloadError

ZOO_HEAD = "name,variant,input_shape,params,macs\n"
GOOD = "mlp_mnist,,784,50890,50816\n"
ONNX_HEAD = "package,file,sha256_12,params,macs\n"


def onnx_row(status="ok", macs=0.0, params=0.0):
    return {"package": "p", "file": "f", "status": status, "macs_rel_error": macs, "params_rel_error": params}


@pytest.fixture
def onnx_rows(monkeypatch):
    """Rows that stand for compared ONNX files, in place of the importer."""
    rows = []
    stub = ModuleType("cosim.validation.onnx_models")
    stub.compare_onnx = lambda path: list(rows)
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    return rows


def zoo_file(folder, *lines):
    path = folder / "networks.csv"
    path.write_text(ZOO_HEAD + "".join(lines))
    return path


def test_a_zoo_table_is_known_by_its_columns(tmp_path):
    path = zoo_file(tmp_path, GOOD, "unheard_of,,1,1,1\n").rename(tmp_path / "any_name.csv")
    result = validate_workloads(path)
    assert (result["area"], result["n"], result["passed"], result["skipped_files"]) == ("workloads", 1, True, [])
    assert [(row["table"], row["status"]) for row in result["rows"]] == [("zoo", "ok"), ("zoo", "skipped")]
    assert result["metrics"]["zoo"] == {"n": 1, "n_failed": 0, "max_macs_rel_error": 0.0, "max_params_rel_error": 0.0}
    json.dumps(result, allow_nan=False)


def test_an_onnx_table_is_known_by_its_columns(tmp_path, onnx_rows):
    onnx_rows += [onnx_row(macs=0.001, params=None), onnx_row("skipped", None, None)]
    path = tmp_path / "other.csv"
    path.write_text(ONNX_HEAD)
    result = validate_workloads(path)
    assert result["metrics"]["onnx"] == {"n": 1, "n_failed": 0, "max_macs_rel_error": 0.001, "max_params_rel_error": 0.0}
    assert (result["n"], result["passed"]) == (1, True)


@pytest.mark.parametrize(
    ("row", "passed"),
    [(GOOD, True), ("mlp_mnist,,784,50890,51070\n", True), ("mlp_mnist,,784,50890,51080\n", False), ("mlp_mnist,,784,51200,\n", False)],
)
def test_half_a_percent_is_the_limit_of_either_count(tmp_path, row, passed):
    assert validate_workloads(zoo_file(tmp_path, row))["passed"] is passed


def test_a_row_that_cannot_be_built_fails_the_area(tmp_path):
    result = validate_workloads(zoo_file(tmp_path, GOOD, "mlp_mnist,,640,1,1\n"))
    assert result["metrics"]["zoo"]["n_failed"] == 1
    assert (result["n"], result["passed"]) == (1, False)


def test_a_failed_onnx_file_fails_the_area(tmp_path, onnx_rows):
    onnx_rows += [onnx_row(), onnx_row("failed", None, None)]
    (tmp_path / "onnx_models.csv").write_text(ONNX_HEAD)
    assert validate_workloads(tmp_path)["passed"] is False


def test_nothing_compared_is_not_a_pass(tmp_path):
    assert validate_workloads(zoo_file(tmp_path))["passed"] is False


def test_a_folder_is_searched_for_both_names(tmp_path, onnx_rows):
    onnx_rows.append(onnx_row())
    zoo_file(tmp_path, GOOD)
    (tmp_path / "unrelated.csv").write_text("a\n")
    assert validate_workloads(tmp_path)["skipped_files"] == ["onnx_models.csv"]
    (tmp_path / "onnx_models.csv").write_text(ONNX_HEAD)
    both = validate_workloads(tmp_path)
    assert (both["n"], both["skipped_files"], [row["table"] for row in both["rows"]]) == (2, [], ["onnx", "zoo"])


def test_an_empty_folder_compares_nothing(tmp_path):
    result = validate_workloads(tmp_path)
    assert (result["n"], result["passed"], result["skipped_files"]) == (0, False, ["onnx_models.csv", "networks.csv"])


def test_what_ships_is_compared_by_default(onnx_rows, monkeypatch, tmp_path):
    zoo_file(tmp_path, GOOD)
    monkeypatch.setattr(area, "DATA", tmp_path)
    assert validate_workloads(None)["n"] == 1
    assert validate_workloads()["passed"] is True


def test_other_columns_are_refused_by_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,input_shape,package\n")
    with pytest.raises(
        WorkloadError, match=r"t\.csv: is neither onnx_models\.csv \(missing: file, sha256_12\) nor networks\.csv \(missing: macs\)"
    ):
        validate_workloads(path)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match="there is no such file"):
        validate_workloads(tmp_path / "none")
