"""What arrays hold, what copies of weights can shorten, and what of the plan a placement uses."""

import numpy as np
import pytest

import cosim
from cosim.plan import save_schedule
from cosim.simulation.costs import cost_ops
from cosim.simulation.residency import plan_residency
from cosim.simulation.run import Simulation, schedule_of
from cosim.simulation.traffic import plan_traffic


@pytest.fixture
def variant(tmp_path):
    """Return a chip like edge_cim_soc with some keys of its arrays changed."""

    def make(**change):
        path = tmp_path / "variant.yaml"
        keys = ", ".join(f"{key}: {value}" for key, value in change.items())
        path.write_text(f"base: edge_cim_soc\ndevices: {{cim: {{{keys}}}}}\n")
        return cosim.load_chip(path)

    return make


def stages(chip, network):
    workload = cosim.load_workload(network).with_bits(8, 8)
    costs = cost_ops(chip, workload)
    residency = plan_residency(chip, workload, costs)
    return costs, residency, plan_traffic(chip, workload, costs, residency)


class TestCopies:
    def test_they_share_the_wires_to_the_arrays(self, variant):
        """A 1.2 ms stream of vgg16's second layer goes over one H-tree, in however many arrays its weights lie."""
        costs, residency, traffic = stages(variant(n_macros=3000), "vgg16")
        bits = 50176 * (576 * 8 + 64 * 24)  # vectors of 3 x 3 x 64 bytes in, 64 sums of 24 bits back
        assert costs.serial_s[1, 3] == pytest.approx(bits / 512 / 500e6)
        assert (traffic.body_s >= costs.serial_s).all()
        assert residency.copies[1] > 1

    def test_none_is_made_that_saves_no_time(self, variant):
        """Arrays stay empty once every op waits for what its copies share."""
        costs, residency, _ = stages(variant(n_macros=40000), "resnet18")
        for i, copies in enumerate(residency.copies):
            if copies > 1:
                body_s = costs.latency_s[i, 3] - costs.fixed_s[i, 3]
                assert body_s / (copies - 1) > costs.serial_s[i, 3]


def test_arrays_that_are_rewritten_take_their_rounds_once(variant):
    """A layer of 128 arrays on 60 arrays, of which 20 are rewritten: 7 rounds, one after another, each as long as one alone."""
    costs, residency, traffic = stages(variant(n_macros=60, scratch_macros=20), "resnet50")
    last = len(residency.array_device) - 1
    assert costs.n_arrays[last, 3] == 128
    whole = stages(variant(n_macros=1640), "resnet50")[0]
    one_s = whole.latency_s[last, 3] - whole.fixed_s[last, 3]
    assert residency.array_device[last] == -1
    assert traffic.body_s[last, 3] < 7.5 * one_s


class TestInUse:
    def test_weights_of_ops_that_run_elsewhere_are_not_resident(self, variant, tmp_path):
        chip, network = variant(n_macros=1640), cosim.load_workload("resnet18")
        path = tmp_path / "placement.json"
        save_schedule(schedule_of(Simulation(chip, network, "single:cpu").run()), path)
        moved = Simulation(chip, network, f"fixed:{path}").run()
        assert not any(op.resident for op in moved.ops)
        pinned = moved.resident_weight_fraction * network.with_bits(8, 8).weight_bytes
        assert 0 < pinned < chip.shared.capacity_bytes  # the shared memory keeps what it can
        assert moved.memory_bytes["dram"] > network.with_bits(8, 8).weight_bytes - pinned

    def test_programming_counts_what_runs_in_arrays(self):
        """HEFT sends some layers of resnet50 to the DSP: their weights come from DRAM at each inference and are not programmed."""
        chip = cosim.load_chip("edge_cim_soc")
        result = Simulation(chip, cosim.load_workload("resnet50")).run()
        held = [op.resident for op in result.ops]
        costs, residency, _ = stages(chip, "resnet50")
        assert sum(held) < sum(device == 3 for device in residency.array_device)
        used = plan_residency(chip, costs.workload, costs, [list(chip.devices).index(op.device) for op in result.ops])
        assert [device >= 0 for device in used.array_device] == held
        programmed = sum(costs.program_s[i, 3] * used.copies[i] for i in np.flatnonzero(held))
        assert result.programming.latency_s == pytest.approx(programmed)


def test_the_bound_pays_for_rewriting_arrays(variant):
    """Energy to write weights is part of what an op costs on arrays that do not keep them: the bound has to count it or go elsewhere."""
    chip, network = variant(n_macros=400, scratch_macros=200), cosim.load_workload("gpt2", past=64)
    kwargs = {"weight_bits": 16, "activation_bits": 16}
    bound = Simulation(chip, network, fidelity="bound", **kwargs).run()
    for policy in ("heft", "single:dsp", "single:cpu"):
        result = Simulation(chip, network, policy, "mapped", **kwargs).run()
        assert bound.energy_j <= result.energy_j * (1 + 1e-9)
        assert bound.latency_s <= result.latency_s * (1 + 1e-9)


def test_one_cause_has_one_name_on_every_chip():
    """The same processor under two device names: its launch is uncertain under one name, so that it cancels in a ratio."""
    network = cosim.load_workload("mlperf_tiny_dscnn_kws")
    names = []
    for chip, policy in (("edge_npu_soc", "single:cpu"), ("eyeriss_isscc_2016", "heft")):
        spreads = Simulation(cosim.load_chip(chip), network, policy).run().latency.by_name
        names.append({name for name in spreads if name.endswith(".launch")})
    assert names[0] & names[1] == {"Quad Cortex-A55 class, 22 nm.launch"}
