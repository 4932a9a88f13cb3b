"""`cosim validate bo` as a whole, with a sampler that takes no time."""

from __future__ import annotations

import json

import pytest

from cosim.validation import bo
from cosim.validation.bo import validate_bo
from cosim.validation.bo_run import drive as real_drive
from cosim.validation.registry import validate
from workloads.errors import WorkloadError

HEAD = "problem,lambda,instance_seed,run_seed,relabel_seed,budget\n"


@pytest.fixture(autouse=True)
def quick_sampler(monkeypatch):
    """Let random points stand in for the default sampler, which has tests of its own."""
    from dataclasses import replace

    from cosim.validation import bo_jobs

    def drive(job):
        return real_drive(replace(job, sampler="random" if job.sampler == "gp" else job.sampler, multi=False))

    monkeypatch.setattr(bo_jobs, "drive", drive)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "bench"
    folder.mkdir()
    (folder / "runs.csv").write_text(HEAD + "pest25,,1,0,5,30\npest25,,1,1,6,30\nmf_pest,,2,0,7,25\nising_biobj,0,3,0,8,100\n")
    return folder


def test_rows_and_metrics_of_a_folder(data):
    found = validate_bo(data, jobs=0)
    assert (found["area"], found["n"]) == ("bo", 4)
    assert [(row["problem"], row["run_seed"], row["n"]) for row in found["rows"]][:4] == [
        ("pest25", 0, 20),
        ("pest25", 0, 30),
        ("pest25", 1, 20),
        ("pest25", 1, 30),
    ]
    assert {"problem", "lambda", "instance_seed", "run_seed", "relabel_seed", "n", "best", "x"} <= set(found["rows"][0])
    assert {row["problem"] for row in found["sa_rows"]} == {"pest25"}
    assert {row["problem"] for row in found["single_rows"]} == {"mf_pest"}
    assert found["metrics"]["pest25"]["n_runs"] == 2
    assert found["metrics"]["holds"]["ising_biobj hv_at_100 >= 0.97"] is False
    assert not found["passed"]
    json.dumps(found)


def test_quick_is_one_run_a_problem_of_few_evaluations(data):
    found = validate_bo(data, quick=True, jobs=0)
    assert found["n"] == 3
    assert {name: one["n_runs"] for name, one in found["metrics"].items() if name != "holds"} == {
        "pest25": 1,
        "mf_pest": 1,
        "ising_biobj": 1,
    }
    assert max(row["n"] for row in found["rows"]) == bo.QUICK
    assert found["passed"]


def test_seeds_take_the_place_of_those_of_the_folder(data):
    rows = validate(area="bo", path=data, seeds=(4,), quick=True, jobs=0)["rows"]
    assert {row["run_seed"] for row in rows} == {4}


def test_what_is_kept_is_gone_on_from(data, tmp_path):
    first = validate_bo(data, quick=True, jobs=0, folder=tmp_path / "kept")
    assert validate_bo(data, quick=True, jobs=0, folder=tmp_path / "kept") == first


def test_mistakes_are_said(data):
    with pytest.raises(WorkloadError, match="--jobs -1: give 1 or more"):
        validate_bo(data, jobs=-1)
