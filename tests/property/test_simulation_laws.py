"""Laws of whole runs, on small random networks and chips of the catalog."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine.check import check_playback
from cosim.engine.simpy_engine import play
from cosim.ledger import energy_by
from cosim.plan import Schedule, save_schedule
from cosim.scheduling.base import make_policy
from cosim.simulation.costs import cost_ops
from cosim.simulation.placed import instance_of, place, tables_of
from cosim.simulation.residency import plan_residency
from cosim.simulation.run import Simulation
from cosim.simulation.traffic import plan_traffic
from hw_models.catalog import load_chip
from workloads.builder import GraphBuilder

CHIPS = ("edge_npu_soc", "edge_cim_soc", "cortex_m7_mcu", "isaac_isca_2016")
WITH_SRAM = CHIPS[:2]
laws = settings(max_examples=40, deadline=None)
chips = st.sampled_from(CHIPS)


@cache
def chip(name):
    return load_chip(name)


layers = st.lists(
    st.one_of(
        st.tuples(st.just("conv"), st.integers(1, 24), st.sampled_from([1, 3]), st.sampled_from([1, 2])),
        st.tuples(st.just("depthwise"), st.sampled_from([3, 5])),
        st.tuples(st.just("pool")),
        st.tuples(st.just("act"), st.sampled_from(["Relu", "HardSwish"])),
    ),
    max_size=6,
)
images = st.tuples(st.integers(1, 2), st.integers(1, 8), st.integers(1, 20))  # batch, channels, pixels of a side


def extend(build, x, layer):
    """Append one layer."""
    what, *sizes = layer
    if what == "conv":
        channels, kernel, stride = sizes
        return build.conv2d(x, channels, kernel, stride, "same", bias=True)
    if what == "depthwise":
        return build.conv2d(x, x.shape[1], sizes[0], 1, "same", groups=x.shape[1])
    if what == "pool":
        return build.pool("MaxPool", x, 2, 2, ceil=True)
    return build.elementwise(sizes[0], x)


def chain(image, given_layers, classes=10, *, skip=False):
    """Layers one after another and a classifier; with `skip`, the input of each second layer of equal shape is added back."""
    batch, channels, pixels = image
    build = GraphBuilder("random", batch)
    x = build.input("image", batch, channels, pixels, pixels)
    for i, layer in enumerate(given_layers):
        y = extend(build, x, layer)
        x = build.add(x, y) if skip and i % 2 and y.shape == x.shape else y
    x = build.global_pool(x)
    return build.build(build.linear(x.view(batch, x.shape[1]), classes))


chains = st.builds(chain, images, layers, st.integers(1, 40))
networks = st.builds(chain, images, layers, st.integers(1, 40), skip=st.booleans())


@laws
@given(chips, networks, st.sampled_from(["bound", "mapped", "simpy"]))
def test_rows_sum_to_the_totals(name, net, fidelity):
    result = Simulation(chip(name), net, fidelity=fidelity).run()
    assert sum(row.energy_j for row in result.rows) == pytest.approx(result.energy_j, rel=1e-12)
    assert sum(energy_by(result.rows, "device", "component").values()) == pytest.approx(result.energy_j, rel=1e-12)
    assert result.energy.total == pytest.approx(result.energy_j, rel=1e-12)
    assert sum(row.n_macs for row in result.rows) == net.n_macs
    assert result.latency_s == pytest.approx(max(op.end_s for op in result.ops)) or fidelity == "bound"
    assert max(result.busy_s.values()) <= result.latency_s * (1 + 1e-9) or fidelity == "bound"


@laws
@given(chips, networks, st.sampled_from(["heft", "greedy", "single", "single:cpu"]))
def test_the_bound_is_never_beaten(name, net, policy):
    bound = Simulation(chip(name), net, fidelity="bound").run()
    for fidelity in ("mapped", "simpy"):
        result = Simulation(chip(name), net, policy, fidelity).run()
        assert bound.latency_s <= result.latency_s * (1 + 1e-9)
        assert bound.energy_j <= result.energy_j * (1 + 1e-9)


@laws
@given(chips, networks, st.sampled_from(["bound", "mapped", "simpy"]))
def test_intervals_hold_the_totals(name, net, fidelity):
    result = Simulation(chip(name), net, fidelity=fidelity).run()
    for exposure in (result.latency, result.energy, result.edp):
        low, high = exposure.interval()
        assert 0 <= low <= exposure.total * (1 + 1e-12)
        assert exposure.total <= high * (1 + 1e-12)
        assert all(factor >= 1 and part >= 0 for factor, part in exposure.by_name.values())


def random_schedule(made, net, seed):
    """Each op on some device that can run it, in order."""
    workload = net.with_bits(8, 8)
    costs = cost_ops(made, workload)
    able = plan_traffic(made, workload, costs, plan_residency(made, workload, costs)).supported
    rng, names = np.random.default_rng(seed), list(made.devices)
    entries = [(op.name, names[rng.choice(np.flatnonzero(able[i]))], float(-i)) for i, op in enumerate(net.ops)]
    return Schedule.of(net.name, made.name, entries)


def with_backing(made, factor):
    """The chip with a backing store (and weight store, where that is the same) of another bandwidth."""
    cls, rate = type(made.backing), made.backing.bandwidth_bytes_per_s
    faster = type("Faster", (cls,), {"bandwidth_bytes_per_s": factor * rate})(made.backing.name, made.backing.spec)
    return replace(made, backing=faster, weights=faster if made.weights is made.backing else made.weights)


@laws
@given(name=chips, net=chains, seed=st.integers(0, 99), factors=st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)))
def test_a_faster_dram_never_slows_a_chain_at_a_fixed_placement(tmp_path_factory, name, net, seed, factors):
    """Without contention and without branches: with branches, shorter ops may be dispatched in a worse order (Graham, 1969)."""
    path = tmp_path_factory.getbasetemp() / "placement.json"
    save_schedule(random_schedule(chip(name), net, seed), path)
    slow, fast = (Simulation(with_backing(chip(name), f), net, f"fixed:{path}", "mapped").run() for f in sorted(factors))
    assert [op.device for op in slow.ops] == [op.device for op in fast.ops]
    assert fast.latency_s <= slow.latency_s * (1 + 1e-12)
    assert {op["device"] for op in json.loads(path.read_text())["ops"]} == {op.device for op in fast.ops}


def with_sram(made, capacity_bytes):
    """The chip with a shared memory of another capacity."""
    cls = type(made.shared)
    return replace(made, shared=type("Resized", (cls,), {"capacity_bytes": capacity_bytes})(made.shared.name, made.shared.spec))


def dram_bytes(made, net):
    return Simulation(made, net, "single:cpu", "mapped").run().memory_bytes[made.backing.name]


@laws
@given(st.sampled_from(WITH_SRAM), chains, st.integers(1, 2**14))
def test_twice_the_sram_never_moves_more_bytes_of_a_chain_through_dram(name, net, capacity_bytes):
    """Twice: what a larger memory keeps may push out only what is smaller. A little more may do worse, since the walk is greedy."""
    little, twice, plenty = (dram_bytes(with_sram(chip(name), size), net) for size in (capacity_bytes, 2 * capacity_bytes, 2**30))
    assert plenty <= twice <= little
    if name == "edge_npu_soc":  # edge_cim_soc keeps arrays for weights, which a cpu has to fetch
        assert plenty == sum(net.tensors[tensor].n_bytes for tensor in (*net.inputs, *net.outputs))


@laws
@given(chips, networks)
def test_engine_and_plan_agree_without_contention(name, net):
    """A list schedule that only appends is replayed in the order of its starts, and no later than it was planned."""
    made, workload = chip(name), net.with_bits(8, 8)
    costs = cost_ops(made, workload)
    residency = plan_residency(made, workload, costs)
    traffic = plan_traffic(made, workload, costs, residency)
    plan = make_policy("single:cpu").plan(instance_of(made, workload, traffic, residency), np.random.default_rng(0))
    placed = place(costs, traffic, tables_of(made, workload, traffic, residency, "none"), plan)
    playback = play(placed.problem)
    check_playback(placed.problem, playback)
    assert playback.makespan_s <= plan.makespan_s * (1 + 1e-9)


@laws
@given(st.sampled_from(CHIPS[:3]), chains, st.sampled_from([(2, 8), (4, 8), (2, 4), (8, 16)]))
def test_more_bits_never_move_fewer_bytes(name, net, bits):
    few, more = (Simulation(chip(name), net, "single:cpu", weight_bits=b, activation_bits=b).run() for b in bits)
    assert sum(few.memory_bytes.values()) <= sum(more.memory_bytes.values())


@laws
@given(chips, images, layers, st.integers(2, 5))
def test_a_larger_batch_takes_no_less_time(name, image, given_layers, times):
    """On one processor; on all devices together a batch may find a better placement."""
    batch, *size = image
    one, many = (chain((n, *size), given_layers) for n in (batch, times * batch))
    few, more = (Simulation(chip(name), net, "single:cpu", "mapped").run() for net in (one, many))
    assert more.workload.n_macs == times * few.workload.n_macs
    assert few.latency_s <= more.latency_s * (1 + 1e-9)
    assert sum(few.memory_bytes.values()) <= sum(more.memory_bytes.values())
