"""Joules of an answer: dynamic ones only, on the devices that were asked for, and the least of the digital ones."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cosim.training import accuracy_energy
from cosim.training.accuracy_energy import Joules, joules_of
from cosim.training.hardware import Hardware
from cosim.training.hardware_choice import Chosen, chosen
from hw_models.cim.macro import CimMacro
from workloads.errors import SimulationError
from workloads.optable import OpTable
from workloads.program import Node, Program
from workloads.program_onnx import workload_of

ARRAYS = chosen("ref_bitserial")


def program(k=16, n=4):
    weights = {"w": np.ones((n, k), dtype=np.float32)}
    return Program("fc", "x", (k,), "y", (Node("fc", "Gemm", ("x", "w"), ("y",), {"transB": 1}),), weights)


@pytest.fixture
def spends(monkeypatch):
    """A chip whose devices spend what is written down; notes what was simulated."""
    asked = []

    def install(**spent_j):
        class Simulation:
            def __init__(self, chip, workload, policy, *, weight_bits, activation_bits):
                self.name = policy.removeprefix("single:")
                asked.append((self.name, weight_bits, activation_bits))

            def run(self):
                if isinstance(spent_j[self.name], Exception):
                    raise spent_j[self.name]
                rows = [("compute", spent_j[self.name] / 2), ("traffic", spent_j[self.name] / 2), ("static", 100.0), ("idle", 100.0)]
                return SimpleNamespace(rows=[SimpleNamespace(category=category, energy_j=energy_j) for category, energy_j in rows])

        monkeypatch.setattr(accuracy_energy, "Simulation", Simulation)
        arrays = CimMacro("cim", ARRAYS.hardware.macro)
        devices = {name: arrays if name.startswith("cim") else object() for name in spent_j}
        device = next((name for name in devices if name.startswith("cim")), None)
        return Chosen(Hardware("h"), SimpleNamespace(devices=devices), device)

    return SimpleNamespace(install=install, asked=asked)


def test_what_idles_or_leaks_is_not_counted_and_the_cheapest_digital_device_is_taken(spends):
    place = spends.install(cpu=8.0, cim=1.0, npu=4.0)
    assert joules_of(program(), place, 4, 6) == Joules(1.0, 4.0, "npu")
    assert sorted(spends.asked) == [("cim", 4, 6), ("cpu", 4, 6), ("npu", 4, 6)]


def test_a_chip_without_arrays_answers_on_its_digital_device(spends):
    assert joules_of(program(), spends.install(cpu=8.0, gpu=2.0), 8, 8) == Joules(2.0, 2.0, "gpu")


def test_a_chip_of_arrays_alone_has_no_digital_answer(spends):
    assert joules_of(program(), spends.install(cim=1.0), 8, 8) == Joules(1.0, None, None)


def test_what_the_simulator_refuses_is_said_and_not_priced(spends):
    found = joules_of(program(), spends.install(cpu=SimulationError("cpu: cannot do it")), 8, 8)
    assert found == Joules(None, note="no energy: cpu: cannot do it")


def test_noise_without_a_chip_has_no_joules():
    assert joules_of(program(), Chosen(Hardware("g", sigma=0.1)), 8, 8) == Joules(None, note="no energy: no chip was named")


def test_a_macro_alone_is_priced_by_its_own_table_product_by_product():
    found = joules_of(program(), ARRAYS, 8, 8)
    table = CimMacro.costs([ARRAYS.hardware.macro], OpTable.from_workload(workload_of(program()).with_bits(8, 8)))
    assert found.pass_j == pytest.approx(sum(float(table.energy_j[0, i].sum()) for i in np.flatnonzero(table.supported[0])))
    assert found.pass_j > 0
    assert (found.digital_j, found.unit, found.note) == (None, None, "energy: products only, by the macro")


def test_more_bits_and_more_products_cost_more_on_a_macro():
    def spent(bits, k):
        return joules_of(program(k), ARRAYS, bits, bits).pass_j

    assert spent(2, 16) < spent(8, 16) < spent(8, 1024)


def test_what_is_no_product_costs_a_macro_nothing():
    plain = program()
    with_relu = Program("r", "x", (16,), "z", (*plain.nodes, Node("relu", "Relu", ("y",), ("z",))), plain.weights)
    assert joules_of(with_relu, ARRAYS, 8, 8).pass_j == pytest.approx(joules_of(plain, ARRAYS, 8, 8).pass_j)
