"""`cosim validate accuracy` on small tables, each network trained for an epoch or two."""

from __future__ import annotations

import pytest

from cosim.training.recipe import Phase
from cosim.validation import accuracy, accuracy_recipes
from cosim.validation.accuracy import validate_accuracy
from workloads.errors import SimulationError, WorkloadError

STRESS = "net,recipe,seed,noise_std,acc\n"
ANCHOR = "recipe,seed,passes,acc,acc_at_90pct_coverage,ece\n"


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two tables of digits networks of few epochs; what they are expected to reach is nonsense."""
    monkeypatch.setattr(accuracy_recipes, "FIRST", {"mlp": Phase(2, 5e-3), "cnn": Phase(1, 1e-3)})
    monkeypatch.setattr(accuracy_recipes, "MORE", {"mlp": Phase(1, 2e-3), "cnn": Phase(1, 1e-3)})
    rows = "".join(f"mlp,float,{seed},{noise},{50 + seed}\n" for seed in (0, 1) for noise in (0.0, 0.1))
    (tmp_path / "training_stress.csv").write_text(STRESS + rows + "cnn,float,0,0.0,97\n")
    (tmp_path / "uncertainty_anchor.csv").write_text(ANCHOR + "control,0,4,93,97,0.06\n")
    return tmp_path


def test_groups_are_compared_and_what_is_absent_is_named(tables):
    pytest.importorskip("torch")
    result = validate_accuracy(tables, nets=("mlp",), jobs=0, goals=())
    assert (result["area"], result["n"]) == ("accuracy", 5)
    assert [(row["reading"], row["n"], row["n_table"]) for row in result["rows"]] == [
        ("noise 0", 2, 2),
        ("noise 0.1", 2, 2),
        ("noise 0.2, 4 passes: acc", 1, 1),
        ("noise 0.2, 4 passes: acc_at_90pct_coverage", 1, 1),
        ("noise 0.2, 4 passes: ece", 1, 1),
    ]
    assert 60 < result["rows"][0]["mean"] < 100  # two epochs
    assert not result["passed"]  # a table that says 50 %
    metrics = result["metrics"]
    assert metrics["per_file"]["training_stress"]["n_beyond_twice"] == 2
    assert metrics["goals"] == {}
    assert result["skipped_files"] == ["training_baselines.csv", "adc_sweep.csv", "adc_aware.csv"]


def test_seeds_are_those_that_are_asked_for_and_goals_run_beside(tables, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(accuracy, "reach", lambda names: dict.fromkeys(names, 1))
    monkeypatch.setattr(accuracy, "check_goals", lambda names: None)
    (tables / "uncertainty_anchor.csv").unlink()
    result = validate_accuracy(tables, nets=("mlp",), seeds=(7,), jobs=0, goals=("a",), folder=tables / "kept")
    assert {(row["n"], row["n_table"]) for row in result["rows"]} == {(1, 2)}
    assert result["metrics"]["goals"] == {"a": 1}
    assert len(list((tables / "kept").glob("mlp_seed7_*.npz"))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nets": ("mpl",)}, "did you mean 'mlp'"),
        ({"seeds": ()}, "--seeds"),
        ({"seeds": (0, 0)}, "different"),
        ({"seeds": (-1,)}, "0 or more"),
        ({"jobs": -1}, "--jobs -1"),
        ({"goals": ("all", "gaussian")}, "--goals gaussian: is not known"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(tables, monkeypatch, options, message):
    monkeypatch.setattr(accuracy, "measure_all", pytest.fail)
    with pytest.raises(WorkloadError, match=message):
        validate_accuracy(tables, **{"jobs": 0, **options})


def test_without_torch_the_extra_is_named(tables, monkeypatch):
    monkeypatch.setattr("cosim.training.torch_needed.find_spec", lambda name: None)
    with pytest.raises(SimulationError, match=r"cosim\[train\]"):
        validate_accuracy(tables)
