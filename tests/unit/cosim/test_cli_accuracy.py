"""`cosim accuracy`, and accuracy beside the energy of `cosim run` and `cosim compare`."""

from __future__ import annotations

import json
import os

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from cosim.cli import cli
from cosim.training.accuracy_energy import joules_of
from cosim.training.assess import Question, assess, split_sizes
from cosim.training.data import load_data
from cosim.training.hardware import CAUSES
from cosim.training.hardware_choice import chosen
from cosim.training.network import Network
from cosim.training.network_file import load_any
from cosim.training.networks import trainable
from workloads.errors import CosimError, SimulationError
from workloads.program_onnx import to_onnx

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
slow_without_jit = pytest.mark.skipif(JIT_OFF, reason="many vectors through arrays")

KEYS = {
    "network", "data", "split", "chip", "weight_bits", "activation_bits", "path", "seeds", "n_draws", "accuracy", "control", "float",
    "provenance", "time_s", "compensation", "passes", "ece", "accuracy_at_coverage", "coverage", "energy_j", "loss_by_cause", "warnings",
    "files",
}  # fmt: skip


@pytest.fixture
def small(tmp_path):
    """Forty of the digits, and an untrained network for them in an ONNX file."""
    data = load_data("digits8x8")
    rows = np.concatenate([np.flatnonzero(data.labels == label)[:20] for label in range(10)])
    np.savez(tmp_path / "few.npz", x=data.inputs[rows], y=data.labels[rows])
    model = tmp_path / "tiny.onnx"
    onnx.save(to_onnx(trainable("mlp_digits").build(np.random.default_rng(0))), model)
    return str(model), str(tmp_path / "few.npz"), tmp_path


def run(*words):
    found = CliRunner().invoke(cli, list(words))
    assert found.exit_code == 0, found.output
    return found.stdout


def ask(small, *words):
    model, data, folder = small
    return json.loads(run("accuracy", model, "--data", data, "--out", str(folder / "out"), "--json", *words))


def test_json_has_the_contract_and_losses_sum_to_the_drop(small):
    found = ask(small, "--chip", "edge_cim_soc", "--noise", "0.3", "--seeds", "0,1", "--draws", "2", "--inputs", "unit")
    assert set(found) >= KEYS
    assert set(CAUSES) | {"interaction"} == set(found["loss_by_cause"])
    drop = found["float"]["mean"] - found["accuracy"]["mean"]
    assert sum(found["loss_by_cause"].values()) == pytest.approx(drop)
    assert found["split"] == {"seed": 0, "n_train": 140, "n_val": 20, "n_test": 40}
    assert (found["seeds"], found["n_draws"], found["passes"], found["coverage"]) == ([0, 1], 2, 1, 0.9)
    assert len(found["accuracy"]["per_seed"]) == 2
    assert found["energy_j"] > 0
    assert found["provenance"]["test_set_reads"] == 1 + 4 + 4  # float, chips, and chips with their one cause alone


def test_passes_multiply_the_energy_and_both_ways_of_redrawing_are_reported(small):
    words = ("--chip", "edge_cim_soc", "--noise", "0.3", "--seeds", "0", "--draws", "1")
    one, four = ask(small, *words), ask(small, *words, "--passes", "4")
    assert four["energy_j"] == pytest.approx(4 * one["energy_j"])
    assert one["redrawn"] is None
    assert set(four["redrawn"]) == {"accuracy", "ece", "accuracy_at_coverage"}
    assert "ensemble" in four["loss_by_cause"]


def test_the_fallback_charges_both_devices_and_rises_in_energy_with_the_threshold(small):
    found = ask(small, "--chip", "edge_cim_soc", "--noise", "0.3", "--seeds", "0", "--draws", "1")
    rows = found["fallback"]
    energies, sent = [row["energy_j"] for row in rows], [row["share_sent"] for row in rows]
    assert energies == sorted(energies)
    assert sent == sorted(sent)
    assert (sent[0], sent[-1]) == (0.0, 1.0)
    assert energies[0] == pytest.approx(found["energy_j"])
    assert energies[-1] == pytest.approx(found["energy_j"] + found["energy_digital_j"])
    assert rows[-1]["accuracy"] == pytest.approx(found["control"]["mean"])


def test_time_with_a_unit_gives_a_curve_and_without_compensation_another(small):
    words = ("--noise", "pcm_like", "--seeds", "0", "--draws", "1", "--time", "1 day")
    found = ask(small, *words)
    assert (found["time_s"], found["compensation"]) == (86400.0, True)
    assert [row["time_s"] for row in found["over_time"]] == [1.0, 60.0, 3600.0, 86400.0]
    assert found["over_time"][-1]["compensated"]["mean"] == pytest.approx(found["accuracy"]["mean"])
    assert ask(small, *words, "--no-compensation")["compensation"] is False


@slow_without_jit
def test_a_part_alone_and_a_chip_without_arrays(small):
    part = ask(small, "--chip", "ref_bitserial", "--seeds", "0")
    assert (part["weight_bits"], part["activation_bits"], part["path"]) == (8, 8, "exact")
    assert part["energy_j"] > 0
    digital = ask(small, "--chip", "mobile_cpu" if "mobile_cpu" in chips() else chips()[0], "--seeds", "0")
    assert digital["accuracy"] == digital["control"]
    assert any("no compute-in-memory arrays: all products run digitally" in text for text in digital["notes"])


def chips():
    from hw_models.catalog import list_chips

    return [name for name in list_chips() if chosen(name).hardware.macro is None]


@slow_without_jit
def test_text_and_page_say_the_same_as_json(small):
    model, data, folder = small
    words = ("accuracy", model, "--data", data, "--chip", "ref_bitserial", "--seeds", "0", "--out", str(folder / "out"))
    text = run(*words)
    found = json.loads(run(*words, "--json"))
    for words_ in ("on the hardware", "rounded, digital", "float", "energy of an answer", "points lost to", "calibration error"):
        assert words_ in text
    assert f"{found['accuracy']['mean']:.2f} ± 0.00 %" in text
    assert ("warning: adc.range" in text) == any("adc.range" in one["parameter"] for one in found["warnings"])
    page = (folder / "out" / "accuracy.html").read_text(encoding="utf-8")
    assert f'data-metric="accuracy" data-value="{found["accuracy"]["mean"]}"' in page
    for name in ("loss", "coverage", "reliability"):
        assert f'id="{name}' in page or f"{name}" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "network 'nothing' is neither"),
        (("mlp_digits", "--data", "mnist5"), "data 'mnist5'"),
        (("mlp_digits", "--chip", "edge_cim_so"), "no chip or macro"),
        (("mlp_digits", "--noise", "pcm"), "noise 'pcm' is no number"),
        (("mlp_digits", "--coverage", "0"), "coverage 0.0: choose a share"),
    ],
)
def test_bad_words_are_told_with_a_way_out(words, message):
    found = CliRunner().invoke(cli, ["accuracy", *words])
    assert found.exit_code != 0
    assert isinstance(found.exception, CosimError)
    assert message in str(found.exception)


def test_a_time_needs_a_unit():
    found = CliRunner().invoke(cli, ["accuracy", "mlp_digits", "--time", "12"])
    assert found.exit_code == 2
    assert "'1 year'" in found.output


def test_bits_of_a_trained_network_are_not_changed():
    network = Network(load_any("mlp_digits").program, weight_bits=4, activation_bits=4)
    question = Question("net.npz", network, load_data("digits8x8"), "edge_cim_soc", chosen("edge_cim_soc"), weight_bits=8)
    with pytest.raises(SimulationError, match=r"weight_bits 8: net.npz was trained for 4; leave the option out"):
        assess(question)


def test_inputs_are_scaled_as_asked():
    data = load_data("digits8x8")
    network = Network(load_any("mlp_digits").program, scaling=(2.0, 0.0, 1.0))

    def scaling(inputs):
        return Question("n", network, data, "edge_cim_soc", chosen("edge_cim_soc", "0.1"), inputs=inputs).trial.network.scaling

    assert scaling("network") == (2.0, 0.0, 1.0)
    assert scaling("raw") == (1.0, 0.0, 1.0)
    assert scaling("unit") == (16.0, 0.0, 1.0)
    assert scaling("standard") == tuple(data.scale)
    assert split_sizes(data)["n_test"] == 450


def test_joules_are_dynamic_and_of_the_devices_asked_for():
    program = load_any("mlp_digits").program
    found = joules_of(program, chosen("edge_cim_soc"), 8, 8)
    assert found.pass_j is not None
    assert found.digital_j is not None
    assert 0 < found.pass_j < found.digital_j
    assert found.unit in chosen("edge_cim_soc").chip.devices
    alone = joules_of(program, chosen("ref_bitserial"), 8, 8)
    assert (alone.digital_j, alone.note) == (None, "energy: products only, by the macro")
    assert alone.pass_j > 0


@slow_without_jit
def test_run_and_compare_print_accuracy_beside_energy(small):
    model, data, folder = small
    out = ("--accuracy", data, "--out", str(folder / "out"))
    text = run("run", model, "--chip", "edge_cim_soc", *out)
    assert "Accuracy on few (40 test inputs)" in text
    found = json.loads(run("run", model, "--chip", "edge_cim_soc", *out, "--json"))
    assert set(found["accuracy"]) >= {"mean", "std", "per_seed", "control", "float", "data", "warnings"}
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert f'data-metric="accuracy" data-value="{found["accuracy"]["mean"]}"' in page
    both = json.loads(run("compare", model, "--chips", f"edge_cim_soc,{chips()[0]}", *out, "--json"))
    assert set(both["accuracy"]) == {"edge_cim_soc", chips()[0]}
    assert all(row["accuracy"] == both["accuracy"][row["chip"]] for row in both["rows"])
    page = (folder / "out" / "compare.html").read_text(encoding="utf-8")
    assert page.count('data-metric="accuracy"') == 2
    assert "accuracy is not modeled, only" not in page.lower()


def test_a_workload_without_weights_is_told_before_anything_is_simulated():
    found = CliRunner().invoke(cli, ["run", "resnet50", "--chip", "edge_cim_soc", "--accuracy", "digits8x8"])
    assert isinstance(found.exception, CosimError)
    assert "--accuracy digits8x8: network 'resnet50'" in str(found.exception)
