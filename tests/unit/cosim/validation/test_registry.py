from __future__ import annotations

import subprocess
import sys

import pytest

from cosim.validation.registry import AREAS, validate
from workloads.errors import WorkloadError


def test_an_area_is_run_on_the_data_it_is_given(tmp_path):
    (tmp_path / "networks.csv").write_text("name,variant,input_shape,params,macs\nmlp_mnist,,784,50890,50816\n")
    result = validate("workloads", tmp_path / "networks.csv")
    assert {"area", "n", "metrics", "rows", "passed"} <= set(result)
    assert (result["area"], result["n"], result["passed"]) == ("workloads", 1, True)


def test_an_unknown_area_suggests_the_nearest():
    with pytest.raises(WorkloadError, match=r"no area 'workload' to validate; did you mean 'workloads'\?"):
        validate("workload", None)


def test_areas_name_a_module_and_a_function():
    assert {"workloads", "contention"} <= set(AREAS)
    assert all(target.startswith("cosim.validation.") and target.count(":") == 1 for target in AREAS.values())


def test_listing_areas_imports_no_numerics():
    code = "import sys, cosim.validation.registry; print(sorted({'numpy', 'pandas', 'numba', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
