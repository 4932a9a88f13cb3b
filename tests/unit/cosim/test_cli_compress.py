"""`cosim compress`: one JSON object, files that can be read back, and words for what cannot be."""

from __future__ import annotations

import json

import pytest

from cosim.training.network_file import load_network
from cosim.training.skipping import skip
from workloads.program_onnx import from_onnx

pytest.importorskip("torch")


def test_json_and_files_and_a_second_run_that_resumes(cosim, tmp_path):
    words = ("compress", "mlp_digits", "--data", "digits8x8", "--max-drop-points", "2", "--seeds", "0", "--quick", "--json")
    code, out, _ = cosim(*words)
    told = json.loads(out)
    assert code == 0
    assert told["network"] == "mlp_digits"
    left = skip(load_network(tmp_path / "out" / "mlp_digits_compressed_seed0.npz"))
    assert left.n_weights == sum(layer["n_weights"] for layer in told["layers"])
    weights = from_onnx(tmp_path / "out" / "mlp_digits_compressed_seed0.onnx").weights
    assert sum(int((array != 0).sum()) for name, array in weights.items() if name.endswith("weight")) == left.n_weights
    assert {"compress.html", "compress.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
    code, out, _ = cosim(*words, "--resume")
    again = json.loads(out)
    assert {**again, "cpu_s": 0} == {**told, "cpu_s": 0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lenet6", "--max-drop-points", "1"), "lenet6"),
        (("mlp_digits", "--max-drop-points", "-1"), "max-drop-points"),
        (("mlp_digits", "--max-drop-points", "1", "--chip", "edge_npu_soc"), "cim_macro"),
        (("mlp_digits",), "--max-drop-points"),
    ],
)
def test_what_cannot_be_is_said(cosim, words, said):
    code, _, err = cosim("compress", *words)
    assert code == 2
    assert said in err
