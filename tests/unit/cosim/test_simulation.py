"""One run, end to end: the laws of the ledger, owners of joules, residency, and what a placement changes."""

from dataclasses import replace

import numpy as np
import pytest

import cosim
from cosim.engine.check import check_playback
from cosim.engine.simpy_engine import play
from cosim.ledger import energy_by, total_energy_j
from cosim.plan import save_schedule
from cosim.scheduling.base import Plan, make_policy
from cosim.simulation.accounting import account
from cosim.simulation.costs import cost_ops
from cosim.simulation.critical_path import critical_path
from cosim.simulation.joules import standby
from cosim.simulation.placed import instance_of, place, tables_of
from cosim.simulation.residency import plan_residency
from cosim.simulation.run import FIDELITIES, Simulation, schedule_of
from cosim.simulation.traffic import READ, WRITE, plan_traffic
from workloads.builder import GraphBuilder
from workloads.errors import MappingError, ScheduleError, SimulationError, WorkloadError

CHIPS = ("edge_npu_soc", "edge_cim_soc")


@pytest.fixture(scope="module", params=CHIPS)
def chip(request):
    return cosim.load_chip(request.param)


@pytest.fixture(scope="module")
def network():
    return cosim.load_workload("resnet18")


class Stages:
    """Every intermediate of one run, as `Simulation` makes them."""

    def __init__(self, chip, workload, policy="heft", mode="fair"):
        self.chip, self.workload = chip, workload.with_bits(8, 8)
        self.costs = cost_ops(chip, self.workload)
        self.residency = plan_residency(chip, self.workload, self.costs)
        self.traffic = plan_traffic(chip, self.workload, self.costs, self.residency)
        self.instance = instance_of(chip, self.workload, self.traffic, self.residency)
        self.plan = make_policy(policy).plan(self.instance, np.random.default_rng(0))
        self.placed = place(self.costs, self.traffic, tables_of(chip, self.workload, self.traffic, self.residency, mode), self.plan)
        self.playback = play(self.placed.problem)

    def rows(self):
        return account(self.chip, self.costs, self.traffic, self.residency, self.placed, self.playback, "simpy").rows


@pytest.fixture(scope="module")
def stages(chip, network):
    return Stages(chip, network)


def test_rows_sum_to_the_total_and_macs_to_the_workload(chip, network):
    result = Simulation(chip, network).run()
    assert result.ledger["energy_j"].sum() == pytest.approx(result.energy_j, rel=1e-12)
    assert result.ledger["n_macs"].sum() == network.n_macs
    assert sum(energy_by(result.rows, "device", "component").values()) == pytest.approx(result.energy_j, rel=1e-12)


def test_rows_lie_within_the_run(chip, network):
    result = Simulation(chip, network).run()
    for row in result.rows:
        assert 0 <= row.start_s <= row.end_s <= result.latency_s * (1 + 1e-12)
        assert row.energy_j >= 0
        assert row.n_bytes >= 0
        assert row.category in {"compute", "convert", "memory", "link", "static", "idle"}


def test_the_engines_trace_passes_the_independent_checker(stages):
    check_playback(stages.placed.problem, stages.playback)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_one_seed_gives_one_ledger(chip, network, fidelity):
    first, second = (Simulation(chip, network, fidelity=fidelity).run() for _ in range(2))
    assert first.rows == second.rows
    assert {row.fidelity for row in first.rows} == {fidelity}


def test_bytes_charged_to_memories_are_those_that_ops_and_transfers_move(stages):
    charged = sum(row.n_bytes for row in stages.rows() if row.device in stages.chip.memories)
    by_ops = stages.placed.n_bytes.sum()
    by_edges = stages.placed.problem.edge_bytes[stages.placed.crosses].sum()
    assert charged == pytest.approx(by_ops + by_edges, rel=1e-12)


def test_bytes_over_links_are_those_of_the_memories(stages):
    rows = stages.rows()
    links = sum(row.n_bytes for row in rows if row.category == "link" and row.device.startswith("link "))
    memories = sum(row.n_bytes for row in rows if row.device in stages.chip.memories)
    assert links == pytest.approx(memories, rel=1e-12)


def test_an_input_that_crosses_is_read_once_and_by_its_transfer(stages):
    rows = np.arange(len(stages.workload.ops))
    local = stages.traffic.n_bytes[rows, stages.plan.assignment, :, READ].sum()
    own = stages.placed.n_bytes[:, :, READ].sum()
    edges = stages.placed.problem.edge_bytes[stages.placed.crosses].sum()
    assert own <= local
    assert local - own <= edges + 1e-6


def owners(rows):
    return sorted({(row.device, row.component) for row in rows})


def test_every_joule_has_one_owner(stages, monkeypatch):
    """Taking one owner's energy away lowers the total by its rows and leaves all other rows as they were."""
    before = stages.rows()
    by_owner = energy_by(before, "device", "component")
    for device, component in owners(before):
        with monkeypatch.context() as patch:
            silence(patch, stages, device, component)
            after = stages.rows()
        lost = by_owner[f"{device}.{component}"]
        assert total_energy_j(after) == pytest.approx(total_energy_j(before) - lost, rel=1e-9), (device, component)
        kept = [row for row in before if (row.device, row.component) != (device, component)]
        assert [row for row in after if (row.device, row.component) != (device, component)] == kept


def silence(patch, stages, device, component):
    """Make one owner's energy zero at its source."""
    chip = stages.chip
    if device.startswith("link "):
        patch.setattr(chip.links[device.removeprefix("link ")], "energy_j", lambda n_bytes: 0.0)
    elif device in chip.memories:
        memory = chip.memories[device]
        dynamic, static = memory.energy_parts_j, memory.standby_parts_w
        patch.setattr(
            type(memory), "energy_parts_j", lambda self, r, w: {**dynamic(r, w), component: 0.0} if self is memory else dynamic(r, w)
        )
        patch.setattr(
            type(memory),
            "standby_parts_w",
            property(lambda self: {k: 0.0 if k == component and self is memory else v for k, v in static.items()}),
        )
    elif component == "idle":
        patch.setattr(type(chip.devices[device]), "idle_w", property(lambda self: 0.0))
    else:
        d = list(chip.devices).index(device)
        table = stages.costs.tables[d]
        energy = table.energy_j.copy()
        energy[:, :, [part.name for part in table.components[0]].index(component)] = 0.0
        tables = tuple(replace(t, energy_j=energy) if i == d else t for i, t in enumerate(stages.costs.tables))
        patch.setattr(stages, "costs", replace(stages.costs, tables=tables))


def test_standby_is_power_times_makespan(stages):
    makespan_s = stages.playback.makespan_s
    for (device, component), power_w, category, *_ in standby(stages.chip):
        rows = [row for row in stages.rows() if (row.device, row.component, row.category) == (device, component, category)]
        assert sum(row.energy_j for row in rows) == pytest.approx(power_w * makespan_s, rel=1e-12)
        assert all((row.op, row.start_s, row.end_s) == ("", 0.0, makespan_s) for row in rows)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_v2", "bert_base"])
def test_no_rung_beats_the_bound(chip, name):
    dims = {"seq": 16} if name == "bert_base" else {}
    network = cosim.load_workload(name, **dims)
    bound = Simulation(chip, network, fidelity="bound").run()
    for policy in ("heft", "greedy", "single"):
        for fidelity in ("mapped", "simpy"):
            result = Simulation(chip, network, policy, fidelity).run()
            assert bound.latency_s <= result.latency_s * (1 + 1e-9), (policy, fidelity)
            assert bound.energy_j <= result.energy_j * (1 + 1e-9), (policy, fidelity)


def test_the_critical_path_runs_backwards_and_fits_in_the_makespan(stages):
    steps = critical_path(stages.placed.problem, stages.playback)
    assert steps[0].op == int(stages.playback.end_s.argmax())
    assert sum(step.duration_s for step in steps) <= stages.playback.makespan_s * (1 + 1e-9)
    starts = [stages.playback.start_s[step.op] for step in steps if step.edge is None]
    assert starts == sorted(starts, reverse=True)


def test_intervals_hold_their_totals(chip, network):
    summary = Simulation(chip, network).run().summary()
    for key in ("latency_s", "energy_j"):
        assert 0 <= summary[f"{key}_low"] <= summary[key] <= summary[f"{key}_high"]


def test_a_saved_placement_edited_by_hand_is_replayed(chip, network, tmp_path):
    result = Simulation(chip, network).run()
    path = tmp_path / "placement.json"
    save_schedule(schedule_of(result), path)
    assert Simulation(chip, network, f"fixed:{path}").run().latency_s == pytest.approx(result.latency_s, rel=1e-9)
    path.write_text(path.read_text().replace(f'"device": "{result.ops[-1].device}"', '"device": "cpu"'))
    moved = Simulation(chip, network, f"fixed:{path}").run()
    assert {op.device for op in moved.ops} != {op.device for op in result.ops}


def test_a_placement_where_an_op_cannot_run_is_refused(network, tmp_path):
    chip = cosim.load_chip("edge_cim_soc")
    result = Simulation(chip, network).run()
    path = tmp_path / "placement.json"
    save_schedule(schedule_of(result), path)
    add = next(op for op in result.ops if op.op_type == "MaxPool")
    path.write_text(path.read_text().replace(f'"name": "{add.name}", "device": "{add.device}"', f'"name": "{add.name}", "device": "cim"'))
    if type(chip.devices["cim"]).costs is not None and not supports(chip, network, add.name, "cim"):
        with pytest.raises(ScheduleError):
            Simulation(chip, network, f"fixed:{path}").run()


def supports(chip, network, op_name, device):
    costs = cost_ops(chip, network)
    return bool(costs.supported[[op.name for op in network.ops].index(op_name), list(chip.devices).index(device)])


def test_a_result_carries_what_its_chip_says_of_itself(chip, network):
    notes = Simulation(chip, network).run().summary()["notes"]
    assert [note for note in notes if note.startswith("cim: 8-bit ADCs")] == [note for note in chip.notes if "ADC" in note]
    eyeriss = cosim.load_chip("eyeriss_isscc_2016")
    assert any("eyeriss: energies per operation at 65 nm are extrapolated" in note for note in Simulation(eyeriss, network).run().notes)


def test_time_lost_to_others_traffic_rests_on_the_shared_memory():
    chip, network = cosim.load_chip("edge_npu_soc"), cosim.load_workload("bert_base", seq=16)
    alone, shared = (Simulation(chip, network, fidelity=rung).run() for rung in ("mapped", "simpy"))
    assert shared.latency_s > alone.latency_s
    assert shared.latency.by_name["dram.bandwidth"][1] > 0


def test_an_unknown_fidelity_suggests_the_nearest(chip, network):
    with pytest.raises(SimulationError, match="did you mean 'simpy'"):
        Simulation(chip, network, fidelity="simpi").run()


def test_a_network_that_does_nothing_at_run_time_is_refused(chip):
    idle = GraphBuilder("idle")
    image = idle.input("image", 1, 3, 8, 8)
    idle.free("Identity")
    with pytest.raises(WorkloadError, match="idle: no node does anything at run time"):
        Simulation(chip, idle.build(image)).run()


class TestResidency:
    def test_arrays_are_not_given_twice(self, stages):
        used = dict.fromkeys(range(len(stages.chip.devices)), 0)
        for i, d in enumerate(stages.residency.array_device):
            if d >= 0:
                used[d] += int(stages.costs.n_arrays[i, d]) * stages.residency.copies[i]
        for d, device in enumerate(stages.chip.devices.values()):
            assert used[d] <= device.n_arrays

    def test_what_is_pinned_and_live_fits_the_shared_memory(self, stages):
        pinned = sum(stages.workload.tensors[name].n_bytes for name in stages.residency.pinned)
        assert pinned + stages.residency.peak_shared_bytes <= stages.chip.shared.capacity_bytes

    def test_weights_that_stay_cost_no_fetch(self, stages):
        for i, d in enumerate(stages.residency.array_device):
            if d >= 0:
                assert stages.traffic.own_bytes[i, d, :, READ].sum() == 0

    def test_graph_inputs_and_outputs_live_in_the_backing_store(self, stages):
        for name in (*stages.workload.inputs, *stages.workload.outputs):
            assert stages.residency.home[name] is stages.chip.backing

    def test_larger_batches_spill_to_the_backing_store(self, chip):
        spilled = []
        for batch in (1, 64):
            result = Simulation(chip, cosim.load_workload("resnet18", batch=batch)).run()
            spilled.append(result.memory_bytes[chip.backing.name] / batch)
        assert spilled[1] > spilled[0] * 1.5

    def test_weights_too_large_for_their_store_are_refused_by_name(self):
        mcu = cosim.load_chip("cortex_m7_mcu")
        with pytest.raises(MappingError, match=r"resnet50 on cortex_m7_mcu: weights need 24\.\d MiB but flash holds 2\.0 MiB"):
            Simulation(mcu, cosim.load_workload("resnet50")).run()

    def test_programming_is_reported_apart_and_pays_off(self, network):
        result = Simulation(cosim.load_chip("edge_cim_soc"), network).run()
        assert result.resident_weight_fraction > 0.9
        assert result.programming.energy_j > 0
        assert result.programming.break_even_inferences >= 1
        assert not any(row.component == "program" for row in result.rows)

    def test_a_chip_that_keeps_nothing_programs_nothing(self, network):
        result = Simulation(cosim.load_chip("a100_sxm"), network).run()
        assert result.resident_weight_fraction == 0
        assert result.programming.energy_j == 0
        assert result.programming.break_even_inferences is None


class TestTraffic:
    def test_writes_are_the_outputs(self, stages):
        for i, op in enumerate(stages.workload.ops):
            n_bytes = sum(stages.workload.tensors[name].n_bytes for name in op.outputs)
            for d in range(len(stages.chip.devices)):
                if stages.costs.supported[i, d]:
                    assert stages.traffic.n_bytes[i, d, :, WRITE].sum() >= 0.999 * n_bytes

    def test_an_op_waits_for_the_first_byte_of_the_slowest_memory_it_has_to_touch(self, stages):
        last = stages.workload.producer[stages.workload.outputs[0]]
        d = int(stages.plan.assignment[last])
        first_s = stages.chip.backing.first_access_s
        assert first_s > max(m.first_access_s for m in stages.chip.memories.values() if m is not stages.chip.backing)
        assert stages.traffic.fixed_s[last, d] == pytest.approx(stages.costs.fixed_s[last, d] + first_s)

    def test_own_bytes_leave_activations_out(self, stages):
        assert (stages.traffic.own_bytes <= stages.traffic.n_bytes + 1e-9).all()

    def test_a_dynamic_operand_counts_as_an_activation(self, chip):
        build = GraphBuilder("attention")
        q, k = build.input("q", 1, 4, 16, 32), build.input("k", 1, 4, 32, 16)
        from workloads.graph import Gemm

        scores = build.matmul(q, k, gemm=Gemm(4, 16, 32, 16, dynamic=True), shape=(1, 4, 16, 16))
        stages = Stages(chip, build.build(scores))
        assert stages.traffic.own_bytes[..., READ].sum() == 0
        d = int(stages.plan.assignment[0])
        assert stages.traffic.n_bytes[0, d, :, READ].sum() >= 2 * 4 * 16 * 32

    def test_uncontended_time_is_infinite_where_unsupported(self, stages):
        uncontended = stages.traffic.uncontended_s()
        assert np.isinf(uncontended[~stages.traffic.supported]).all()
        assert np.isfinite(uncontended[stages.traffic.supported]).all()


def test_both_engines_give_the_same_times_and_joules_to_the_last_bit(chip, network):
    compiled, processes = (cosim.Simulation(chip, network, fidelity=rung).run() for rung in ("event", "simpy"))
    assert compiled.fidelity == "event"
    assert [(op.start_s, op.end_s) for op in compiled.ops] == [(op.start_s, op.end_s) for op in processes.ops]
    assert [row._replace(fidelity="simpy") for row in compiled.rows] == list(processes.rows)


def test_arrays_that_a_placement_leaves_empty_hold_copies_of_the_ops_it_runs_there():
    chip = cosim.load_chip("edge_cim_soc")
    given = cosim.Simulation(chip, cosim.load_workload("resnet50"))
    costs, residency, traffic, instance = given._prepared()
    cim = list(chip.devices).index("cim")
    on_arrays = [i for i, device in enumerate(residency.array_device) if device == cim]
    body_s = (costs.latency_s - costs.fixed_s)[:, cim]
    kept = max(on_arrays, key=lambda i: body_s[i] / residency.copies[i] - costs.serial_s[i, cim])  # what a copy may help most
    fastest = np.argmin(np.where(np.arange(instance.n_devices) == cim, np.inf, instance.cost_s), axis=1)
    others = np.isin(np.arange(instance.n_tasks), [i for i in on_arrays if i != kept])
    assignment = np.where(others, fastest, instance.cost_s.argmin(axis=1))
    assignment[kept] = cim
    plan = Plan(assignment, np.arange(instance.n_tasks, 0, -1.0), np.zeros(instance.n_tasks), np.zeros(instance.n_tasks), 0.0)
    settled, _ = given._settled(costs, residency, traffic, plan)
    assert settled.copies[kept] > residency.copies[kept]
    assert [i for i, device in enumerate(settled.array_device) if device >= 0] == [i for i in on_arrays if assignment[i] == cim]
    result = given.run(plan=plan)
    assert [op.resident for op in result.ops] == [i == kept for i in range(instance.n_tasks)]
