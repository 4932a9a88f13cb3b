"""Compression of a small network from end to end: choice, files, resume, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cosim.training.array_energy import energy_on_arrays
from cosim.training.compress import Candidate, CompressJob, Tried, choose, compress
from cosim.training.compress_stages import CompressRecipe, recipe_of, without_weak_rows
from cosim.training.compress_summary import summary
from cosim.training.data import load_data
from cosim.training.energy_prior import EnergyPrior, Marginal
from cosim.training.network import Network
from cosim.training.network_file import load_network, save_network
from cosim.training.networks import trainable
from cosim.training.skipping import skip
from hw_models.catalog import load_chip
from reports.compress import compress_csv, compress_page, compress_table
from workloads.errors import SimulationError
from workloads.program_builder import ProgramBuilder

pytest.importorskip("torch")

RECIPE = CompressRecipe(
    first=4, gates=2, settle=1, tune=2, strengths=(50.0,), keep=0.3, first_ladder=(2, 4), baseline=((2, 2, (0.5,)), (8, 8, (0.0,)))
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    return CompressJob(trainable("mlp_digits"), load_data("digits8x8"), load_chip("edge_cim_soc"), 5.0, (0,), RECIPE, folder)


@pytest.fixture(scope="module")
def result(job):
    return compress(job)


KEYS = {
    "network", "data", "split", "chip", "weight_bits", "activation_bits", "path", "seeds", "n_draws", "accuracy", "control", "float",
    "provenance", "weights_pruned", "mean_bits_remaining", "energy_dynamic_j", "energy_reference_j", "ratio", "layers", "front",
    "baseline_front", "hypervolume",
}  # fmt: skip


def test_all_keys_of_the_contract_are_there_and_are_plain_json(result):
    told = json.loads(json.dumps(summary(result)))
    assert set(told) >= KEYS
    assert set(told["hypervolume"]) == {"ours", "baseline"}
    assert told["ratio"] == pytest.approx(told["energy_reference_j"] / told["energy_dynamic_j"])
    assert sum(layer["energy"] for layer in told["layers"]) == pytest.approx(told["energy_dynamic_j"], rel=1e-9)
    assert sum(told["breakdown_j"].values()) == pytest.approx(told["energy_dynamic_j"], rel=1e-9)
    assert told["weights_pruned"] >= 0.7
    assert told["provenance"]["test_set_reads"] == 4


def test_energy_is_that_of_the_network_that_is_left(job, result, tmp_path):
    (run,) = result.final["gates"]
    save_network(run.network, tmp_path / "net.npz")
    again = skip(load_network(tmp_path / "net.npz"))
    assert energy_on_arrays(job.chip, again.workload).products_j == run.energy.products_j
    assert run.energy.products_j < result.energy_j("dense")


def test_a_stopped_run_goes_on_from_its_stages_and_tells_the_same(job, result):
    (job.folder / "seed0_final_gates_50.npz").unlink()
    again = compress(replace(job, resume=True))
    drop = ("cpu_s",)
    first, second = summary(result), summary(again)
    assert {k: v for k, v in second.items() if k not in drop} == {k: v for k, v in first.items() if k not in drop}
    assert again.cpu_s < result.cpu_s


def test_the_page_and_the_table_say_what_was_found(result):
    page, table = compress_page(result), compress_table(result)
    assert "gates 50" in page
    assert "<svg" in page
    assert "fc1" in table
    assert "Hypervolume" in table
    assert len(compress_csv(result).splitlines()) == 1 + 1 + len(result.tried)


def tried(name, accuracy, energy_j):
    one = Tried(Candidate("gates", name), ())
    object.__setattr__(one, "__class__", type("Fixed", (Tried,), {"accuracy": accuracy, "energy_j": energy_j}))
    return one


def test_the_least_joules_within_the_drop_are_chosen_else_the_most_accurate():
    points = [tried("a", 97.0, 3.0), tried("b", 96.0, 2.0), tried("c", 90.0, 1.0)]
    assert choose(points, 95.5).candidate.name == "b"
    assert choose(points, 99.0).candidate.name == "a"
    assert choose([], 99.0) is None


def test_rows_go_that_carry_less_of_their_layer_than_they_cost():
    b = ProgramBuilder("net", (4,), np.random.default_rng(0))
    program = b.build(b.linear(b.input, 2)).with_weights({"fc1.weight": np.array([[3.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 2.0]], np.float32)})
    network = Network(program, weight_bits=2, activation_bits=4)  # squares of rows: 9, 1, 2, 4 of 16
    for row_j, cell_j, left in ((0.1, 0.0, [0, 2, 3]), (0.1, 0.05, [0, 3]), (2.0, 0.0, [0])):
        prior = EnergyPrior({"fc1": {(2, 4): Marginal(0.0, row_j, 0.0, cell_j, 0.0, 0.0)}}, 1.0)
        found = without_weak_rows(network, prior, 1.0).program.weights["fc1.weight"]
        assert np.flatnonzero(found.any(axis=0)).tolist() == left


def test_what_cannot_be_is_refused(job):
    with pytest.raises(SimulationError, match="max-drop-points"):
        compress(replace(job, max_drop=-1.0))
    with pytest.raises(SimulationError, match="cim_macro"):
        compress(replace(job, chip=load_chip("edge_npu_soc"), folder=None))
    assert recipe_of(quick=True, tune=3).tune == 3
