"""What a result was made from: hashes that change with what they stand for, and with nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import cosim
from cosim import provenance as module
from cosim.provenance import model_version, provenance, workload_digest
from cosim.simulation.run import Simulation
from workloads.registry import load_workload


class TestWorkloadDigest:
    def test_the_same_network_has_the_same_hash(self, hand):
        assert workload_digest(hand.line(4, 3, 2)) == workload_digest(hand.line(4, 3, 2))
        assert len(workload_digest(hand.line(4, 3, 2))) == 16

    @pytest.mark.parametrize(
        "other",
        [
            lambda hand: hand.line(4, 3, 3),
            lambda hand: hand.line(4, 3, 2, batch=2),
            lambda hand: hand.line(4, 3, 2).with_bits(4, 8),
            lambda hand: hand.line(4, 3, 2).with_bits(8, 4),
            lambda hand: replace(hand.line(4, 3, 2), ops=hand.line(4, 3, 2).ops[:1]),
        ],
        ids=["width", "batch", "weight bits", "activation bits", "ops"],
    )
    def test_another_network_has_another(self, hand, other):
        assert workload_digest(other(hand)) != workload_digest(hand.line(4, 3, 2))

    def test_title_and_notes_are_not_part_of_it(self, hand):
        net = hand.line(4, 3, 2)
        assert workload_digest(replace(net, name="other", notes=("a note",), source="elsewhere")) == workload_digest(net)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the packages in small, and the version of the models in it."""
    files = {
        "cosim/provenance.py": "x",
        "cosim/engine/a.py": "x",
        "cosim/scheduling/weights/w.json": "x",
        "cosim/validation/b.py": "x",
        "hw_models/chips/c.yaml": "x",
        "hw_models/parts/d.csv": "x",
        "workloads/e.py": "x",
        "reports/f.py": "x",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "cosim" / "provenance.py"))
    return tmp_path, model_version.__wrapped__


class TestModelVersion:
    @pytest.mark.parametrize(
        "name",
        ["cosim/engine/a.py", "cosim/scheduling/weights/w.json", "hw_models/chips/c.yaml", "hw_models/parts/d.csv", "workloads/e.py"],
    )
    def test_an_edited_model_or_number_changes_it(self, tree, name):
        root, version = tree
        before = version()
        (root / name).write_text("y")
        assert version() != before

    def test_a_renamed_file_changes_it(self, tree):
        root, version = tree
        before = version()
        (root / "workloads/e.py").rename(root / "workloads/g.py")
        assert version() != before

    @pytest.mark.parametrize("name", ["reports/f.py", "cosim/validation/b.py", "hw_models/notes.txt"])
    def test_reports_validation_and_other_files_do_not(self, tree, name):
        root, version = tree
        before = version()
        (root / name).write_text("y")
        assert version() == before

    def test_it_is_that_of_the_installed_packages(self):
        assert int(model_version(), 16) > 0
        assert len(model_version()) == 16
        assert Path(module.__file__).parent.parent == Path(cosim.__file__).parent.parent


class TestRecord:
    def test_it_names_versions_hashes_and_the_question(self, hand):
        record = provenance(hand.line(4, 3, 2), "chip hash", seed=7, policy="greedy", fidelity="mapped")
        assert record["cosim"] == cosim.__version__
        assert record["model_version"] == model_version()
        assert (record["chip_hash"], record["seed"], record["policy"], record["fidelity"]) == ("chip hash", 7, "greedy", "mapped")
        assert {"python", "numpy", "numba", "simpy", "onnx", "workload_hash"} <= set(record)
        assert json.loads(json.dumps(record)) == record

    def test_a_package_that_is_not_there_is_said_to_be_missing(self, monkeypatch, hand):
        monkeypatch.setattr(module, "_PACKAGES", ("no_such_package_at_all",))
        record = provenance(hand.line(4, 2), "", seed=0, policy="", fidelity="")
        assert record["no_such_package_at_all"] == "not installed"

    def test_a_network_of_the_zoo_names_its_paper(self):
        assert provenance(load_workload("lenet5"), "", seed=0, policy="", fidelity="")["workload_source"]

    def test_a_result_carries_it_with_the_bits_it_ran_at(self, hand):
        made = hand.chip({"cpu": {}})
        eight, four = (Simulation(made, hand.line(4, 3, 2), weight_bits=bits, seed=3).run().provenance for bits in (8, 4))
        assert eight["chip_hash"] == made.digest
        assert eight["seed"] == 3
        assert eight["workload_hash"] == workload_digest(hand.line(4, 3, 2))
        assert four["workload_hash"] == workload_digest(hand.line(4, 3, 2).with_bits(4, 8))
