"""How a table of ONNX files is compared with what is installed."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cosim.validation.onnx_models import compare_onnx, parse_shapes
from workloads.errors import WorkloadError

HEAD = "package,version,file,sha256_12,params,constant_node_elems,weights_total,run_shapes,macs\n"
KEYS = {"package", "file", "status", "reason", "macs", "macs_expected", "macs_rel_error", "params", "params_expected", "params_rel_error"}


@pytest.fixture
def site(tmp_path):
    """A folder of packages with one that ships a model: x[batch, 8] W[8, 3]."""
    folder = tmp_path / "site"
    package = folder / "tiny_models"
    package.mkdir(parents=True)
    weights = [numpy_helper.from_array(np.zeros((8, 3), np.float32), "w")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", inputs, [helper.make_empty_tensor_value_info("y")], weights
    )
    (package / "net.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return folder


def compare(tmp_path, site, *lines):
    path = tmp_path / "rows.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    rows = compare_onnx(path, [site])
    assert all(set(row) == KEYS for row in rows)
    json.dumps(rows, allow_nan=False)
    return rows


def line(sha="", params="24", constants="0", total="24", shapes="x=4x8", macs="96", package="tiny-models", file="tiny_models/net.onnx"):
    return f"{package},1.0,{file},{sha},{params},{constants},{total},{shapes},{macs}"


def test_a_model_is_loaded_at_the_shapes_of_its_row(tmp_path, site):
    (row,) = compare(tmp_path, site, line())
    assert (row["status"], row["reason"]) == ("ok", "")
    assert (row["macs"], row["macs_expected"], row["macs_rel_error"]) == (96, 96, 0.0)
    assert (row["params"], row["params_expected"], row["params_rel_error"]) == (24, 24, 0.0)


def test_errors_are_relative_to_what_is_expected(tmp_path, site):
    (row,) = compare(tmp_path, site, line(macs="100", total="20"))
    assert row["macs_rel_error"] == pytest.approx(0.04)
    assert row["params_rel_error"] == pytest.approx(0.2)


def test_weights_kept_as_constants_are_compared_by_the_total(tmp_path, site):
    (row,) = compare(tmp_path, site, line(params="0", constants="24", total="24"))
    assert (row["params_expected"], row["params_rel_error"]) == (24, 0.0)


def test_empty_cells_expect_nothing(tmp_path, site):
    (row,) = compare(tmp_path, site, line(params="", total="", macs=""))
    assert (row["status"], row["macs"], row["macs_rel_error"], row["params_rel_error"]) == ("ok", 96, None, None)


def test_expecting_no_macs_and_finding_some_is_all_wrong(tmp_path, site):
    (row,) = compare(tmp_path, site, line(macs="0"))
    assert row["macs_rel_error"] == 1.0


def test_a_package_that_is_not_there_is_skipped_with_the_way_to_get_it(tmp_path, site):
    rows = compare(tmp_path, site, line(package="absent", file="absent_models/a.onnx"), line(file="tiny_models/other.onnx"), line())
    assert [row["status"] for row in rows] == ["skipped", "skipped", "ok"]
    assert rows[0]["reason"] == "not installed: pip install absent==1.0"
    assert (rows[0]["macs"], rows[0]["macs_expected"]) == (None, 96)


def test_another_file_than_the_counted_one_is_said_and_compared(tmp_path, site):
    digest = hashlib.sha256((site / "tiny_models" / "net.onnx").read_bytes()).hexdigest()[:12]
    same, other = compare(tmp_path, site, line(sha=digest), line(sha="0123456789ab"))
    assert same["reason"] == ""
    assert (other["status"], other["macs_rel_error"]) == ("ok", 0.0)
    assert other["reason"] == f"another file than the one counted: sha256 {digest}, not 0123456789ab"


def test_shapes_that_do_not_fit_fail_the_row(tmp_path, site):
    (row,) = compare(tmp_path, site, line(shapes="x=4x9"))
    assert (row["status"], row["macs"]) == ("failed", None)
    assert "net.onnx" in row["reason"]


def test_shapes_of_a_row_that_never_ran_give_way_to_usual_ones(tmp_path, site):
    (row,) = compare(tmp_path, site, line(shapes="x=4x9", macs=""))
    assert (row["status"], row["macs"]) == ("ok", 24)
    assert "usual extents" in row["reason"]


def test_a_broken_model_fails_its_row_only(tmp_path, site):
    (site / "tiny_models" / "broken.onnx").write_bytes(b"not a model")
    rows = compare(tmp_path, site, line(file="tiny_models/broken.onnx"), line())
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert "truncated or not ONNX" in rows[0]["reason"]


def test_a_package_is_found_by_its_metadata_too(tmp_path, site):
    info = site / "tiny_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n")
    (info / "RECORD").write_text("tiny_models/net.onnx,,\n")
    (row,) = compare(tmp_path, site, line())
    assert row["status"] == "ok"


def test_packages_are_never_imported(tmp_path, site):
    (site / "tiny_models" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (row,) = compare(tmp_path, site, line())
    assert row["status"] == "ok"


def test_only_package_and_file_are_needed(tmp_path, site):
    path = tmp_path / "rows.csv"
    path.write_text("package,file\ntiny-models,tiny_models/net.onnx\n")
    (row,) = compare_onnx(path, [site])
    assert (row["status"], row["macs"], row["macs_rel_error"]) == ("ok", 24, None)


def test_a_file_without_these_columns_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("name,macs\n")
    with pytest.raises(WorkloadError, match=r"rows\.csv: column 'package' is missing"):
        compare_onnx(path)


def test_a_count_that_is_no_number_is_refused_with_its_line(tmp_path, site):
    with pytest.raises(WorkloadError, match=r"rows\.csv: line 3: column 'macs': 'many' is not a whole number"):
        compare(tmp_path, site, line(), line(macs="many"))


def test_shapes_are_read_from_text():
    assert parse_shapes("x=1x3x224x224 sr=scalar serving:0=7") == {"x": (1, 3, 224, 224), "sr": (), "serving:0": (7,)}
    assert parse_shapes("") == {}
    for text in ("x", "x=", "x=1xa", "=3"):
        with pytest.raises(WorkloadError, match="is not understood"):
            parse_shapes(text)
