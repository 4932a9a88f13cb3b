"""Checks that cannot fail prove nothing: each law is broken on purpose, and the message has to name it with its numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from cosim.scheduling.base import Policy
from cosim.scheduling.greedy import Greedy
from cosim.simulation.run import Simulation
from cosim.simulation.uncertainty import Exposure
from cosim.testing import check_chip, check_device, check_memory, check_policy, check_run, check_workload, sample_ops, tiny_network
from cosim.testing.judge import close
from hw_models.cost import Component, Spread
from workloads.errors import MappingError, ScheduleError, SimulationError, SpecError, WorkloadError
from workloads.graph import Coverage, Gemm, OpKind, Workload

MATMUL = r"matmul 1x1x1x1 at 8/8 bits"


# --- devices ---------------------------------------------------------------------------------------------------------


def broken(hand, spoil):
    """The abacus, with a table that `spoil(table, ops, specs)` changes in place or replaces."""

    class Broken(hand.Abacus):
        @classmethod
        def costs(cls, specs, ops):
            table = super().costs(specs, ops)
            return spoil(table, ops, specs) or table

    return Broken


def put(name, value, where=np.s_[:, :1]):
    """Set a part of a field."""

    def spoil(table, ops, specs):
        getattr(table, name)[where] = value

    return spoil


def scaled(name, factor, where=np.s_[...]):
    """Multiply a part of a field."""

    def spoil(table, ops, specs):
        getattr(table, name)[where] *= factor

    return spoil


def with_component(*parts):
    return lambda table, ops, specs: replace(table, components=[parts] * len(specs))


def mac(**changes):
    return replace(Component("mac", "compute"), **changes)


def neighbors_count(table, ops, specs):
    table.energy_j[:, :, 0] += len(ops)


def first_spec_for_all(table, ops, specs):
    table.latency_s[:] = table.latency_s[:1]


def one_spec_too_many(table, ops, specs):
    """Twice the rows that were asked for."""
    arrays = {name: np.concatenate([value, value]) for name, value in vars(table).items() if isinstance(value, np.ndarray)}
    return replace(table, components=[*table.components] * 2, latency_spreads=[*table.latency_spreads] * 2, **arrays)


def less_for_more(table, ops, specs):
    table.energy_j[:, :, 0] = 1.0 / (1 + ops.n_macs)


def fails_when_empty(table, ops, specs):
    if not len(ops):
        raise IndexError("no row 0")


def writes_ops(table, ops, specs):
    ops.n_vector_ops[:] = 0


def components_of_ops(table, ops, specs):
    wire = Component("wire", "link", (Spread("wire", 1.0 + len(ops)),))
    return replace(table, components=[(mac(), wire)] * len(specs))


TICKS = count()


def never_twice_the_same(table, ops, specs):
    table.energy_j[:, :, 1] += next(TICKS)


DEVICES = {
    "negative energy": (put("energy_j", -1.0), rf"energy is finite and 0 or more; {MATMUL} takes \[-1.0, -1.0\] J"),
    "infinite energy": (put("energy_j", np.inf), rf"energy is finite and 0 or more; {MATMUL} takes \[inf, inf\] J"),
    "negative bytes": (put("n_bytes", -2.0), rf"bytes at the port are finite and 0 or more; {MATMUL} moves \[-2.0, -2.0, -2.0\] bytes"),
    "latency below its fixed part": (put("fixed_s", 7.0), rf"not below its fixed part.*; {MATMUL} takes 2.0 s of which 7.0 s are fixed"),
    "serial time beyond the latency": (put("serial_s", 9.0), rf"part of the latency; {MATMUL} takes 2.0 s of which 9.0 s are serial"),
    "lost results": (scaled("n_bytes", 0.5), rf"every result crosses the port; {MATMUL} makes 1 bytes and sends 0.5 \(and \d+ more\)"),
    "unsupported at a price": (put("supported", False), rf"an unsupported op is inf in latency and 0 elsewhere; {MATMUL} takes 2.0 s"),
    "arrays for pooling": (
        put("n_arrays", 3, np.s_[...]),
        r"arrays hold stored weights of products.*; matmul 12x64x64x64 .* takes 3 arrays",
    ),
    "programming nothing": (put("program_j", 1.0), rf"nothing without arrays; {MATMUL} is written in 0.0 s with 1.0 J to 0 arrays"),
    "two components of one name": (with_component(mac(), mac()), r"components have names of their own; \['mac', 'mac'\]"),
    "a category of its own": (with_component(mac(category="magic"), mac(name="b")), "categories are those of the ledger; 'mac' is 'magic'"),
    "a factor below 1": (with_component(mac(spreads=(Spread("s", 0.5),)), mac(name="b")), "a spread is a factor of 1 or more; 's' has 0.5"),
    "a limit without name": (put("limit", 5), r"every limit has a name; limits \[0, 5\] of \('macs', 'vector'\)"),
    "a price that depends on neighbors": (neighbors_count, r"an op of a batch costs what it costs alone; energy_j of .* is 2.0 and \d+"),
    "a price of another spec": (
        first_spec_for_all,
        r"spec 1 of a batch of \d costs what it costs alone; latency_s of .* is [\d.]+ and [\d.]+",
    ),
    "a spec too many": (one_spec_too_many, r"arrays are \[n_specs, n_ops\]; supported has shape \(2, \d+\) for 1 specs and \d+ ops"),
    "energy that falls with the batch": (less_for_more, rf"16 times the batch takes no less energy; {MATMUL} takes 0.5 J, 16 of it 0.05"),
    "failure without ops": (fails_when_empty, "a table without ops is safe; `costs` raised IndexError: no row 0"),
    "ops overwritten": (writes_ops, "the op table is left as it was; `costs` changed a column"),
    "components that depend on ops": (components_of_ops, "an op of a batch costs what it costs alone; components are"),
    "another price each time": (never_twice_the_same, "the same call gives the same table; energy_j of .* is"),
}


def test_the_abacus_itself_obeys_the_laws(hand):
    check_device(hand.Abacus, hand.AbacusSpec())
    check_device(hand.Abacus, hand.AbacusSpec(n_arrays=4, n_scratch=1, write_j=2.0, write_s=1.0), hand.AbacusSpec(mac_j=9.0))
    check_device(hand.Abacus, hand.AbacusSpec(kinds=(OpKind.MATMUL,)))


@pytest.mark.parametrize(("spoil", "message"), DEVICES.values(), ids=DEVICES)
def test_a_broken_device_is_refused_by_law_and_numbers(hand, spoil, message):
    with pytest.raises(MappingError, match=message) as caught:
        check_device(broken(hand, spoil), hand.AbacusSpec())
    assert str(caught.value).startswith("device kind 'abacus': ")
    assert "\n" not in str(caught.value)


def with_snr(*levels):
    """Every op at a level of its own call: one level is a stable SNR, even of ops that are not analog."""
    turn = count()

    def spoil(table, ops, specs):
        object.__setattr__(table, "output_snr", lambda: np.full(table.supported.shape, levels[next(turn) % len(levels)]))

    return spoil


def test_an_snr_of_what_is_no_product_or_of_no_rest_is_refused(hand):
    with pytest.raises(MappingError, match=r"only supported products have an output SNR.*; .* has 30.0 dB"):
        check_device(broken(hand, with_snr(30.0)), hand.AbacusSpec())
    with pytest.raises(MappingError, match="the same table gives the same output SNR; it changed"):
        check_device(broken(hand, with_snr(np.nan, 20.0)), hand.AbacusSpec())


STANDING = {
    "area": ("area_parts_m2", {"a": 1.0, "b": 2.0}, r"area parts sum to the area; {'a': 1.0, 'b': 2.0} m2 against 0.0 m2"),
    "negative area": ("area_m2", -1.0, "no area is negative; -1.0 m2"),
    "idle": ("idle_w", -0.5, "idle power is finite and 0 or more; -0.5 W"),
    "arrays": ("n_arrays", -1, "counts of arrays are 0 or more; -1 arrays"),
    "holder": ("scratch_arrays", 2, "only a kind that holds weights has arrays; 0 arrays"),
}


@pytest.mark.parametrize(("name", "value", "message"), STANDING.values(), ids=STANDING)
def test_a_device_is_refused_for_what_it_is(hand, name, value, message):
    wrong = type("Wrong", (hand.Abacus,), {name: value, "holds_weights": False})
    with pytest.raises(SpecError, match=message):
        check_device(wrong, hand.AbacusSpec())


def test_a_device_that_beats_its_peak_is_refused(hand):
    boaster = type("Boaster", (hand.Abacus,), {"peak_macs_per_s": lambda self, weight_bits, activation_bits: 0.25})
    with pytest.raises(MappingError, match=r"the peak is never beaten; matmul .* runs at [\d.]+ MAC/s, `peak_macs_per_s` is 0.25"):
        check_device(boaster, hand.AbacusSpec())


def test_arrays_where_no_weights_are_held_are_refused(hand):
    liar = type("Liar", (broken(hand, put("n_arrays", 1)),), {"holds_weights": False})
    with pytest.raises(MappingError, match=rf"on a kind that holds weights; {MATMUL} takes 1 arrays"):
        check_device(liar, hand.AbacusSpec())


def test_an_error_of_the_device_itself_passes_through(hand):
    def refuse(table, ops, specs):
        raise MappingError("my own words")

    with pytest.raises(MappingError, match=r"^my own words$"):
        check_device(broken(hand, refuse), hand.AbacusSpec())


def test_the_sample_has_every_kind_and_scales_with_the_batch():
    one, many = sample_ops(), sample_ops(16)
    assert set(one.kind.tolist()) == {int(kind) for kind in OpKind}
    assert (many.n_macs == 16 * one.n_macs).all()
    assert (many.output_elements == 16 * one.output_elements).all()
    stored = one.dynamic == 0
    assert (many.weight_elements[stored] == one.weight_elements[stored]).all()


# --- memories --------------------------------------------------------------------------------------------------------


def energy(read_j, write_j=lambda r, w: w):
    """Energies as functions of (read, written)."""
    return {"energy_parts_j": lambda self, r, w: {"read": read_j(r, w), "write": write_j(r, w)}}


MEMORIES = {
    "a toll": (energy(lambda r, w: r + 1.0), r"energy is linear in bytes; read: 1.0 J for 0.0 bytes read and 0.0 written"),
    "a discount": (
        energy(lambda r, w: r**0.9),
        r"energy is linear in bytes; read: \S+ J for 1.0 bytes read and 0.0 written, 1.0 J one by one",
    ),
    "a cross term": (
        energy(lambda r, w: r * w),
        r"energy is linear in bytes; read: 1.0 J for 1.0 bytes read and 1.0 written, 0.0 J one by",
    ),
    "negative energy": (energy(lambda r, w: -r), r"energy is finite and 0 or more; read: -1.0 J for 1.0 bytes read"),
    "changing components": (
        {"energy_parts_j": lambda self, r, w: {"read": r} if r else {"write": w}},
        r"components do not depend on the bytes; \['read'\] for 1.0 bytes read and 0.0 written, \['write'\] for none",
    ),
    "too fast": ({"bandwidth_bytes_per_s": 2e9}, "above 0 and not above the peak; 2000000000.0 B/s sustained, 1000000000.0 B/s peak"),
    "standing still": ({"bandwidth_bytes_per_s": 0.0}, "above 0 and not above the peak; 0.0 B/s sustained"),
    "no reason": ({"bandwidth_limit": ""}, "what limits the bandwidth has a name; bandwidth_limit is ''"),
    "a source of power": ({"standby_parts_w": {"leakage": -1.0}}, r"standby power is finite and 0 or more; {'leakage': -1.0} W"),
    "one name for two": ({"standby_parts_w": {"read": 1.0}}, r"have components of their own; \['read'\] are both"),
    "a note on nothing": ({"assumed": frozenset({"refresh"})}, r"spreads and assumptions are of components; \['refresh'\] are none"),
    "no room": ({"capacity_bytes": 0.0}, "the capacity is above 0; 0.0 bytes"),
    "before it is asked": ({"first_access_s": -1.0}, "the first access takes 0 or more; -1.0 s"),
    "antimatter": ({"area_m2": -1.0}, "the area is 0 or more; -1.0 m2"),
}


def test_the_store_itself_obeys_the_laws(hand):
    check_memory(hand.store("dram", read=1.0, write=2.0, leakage=0.5, area=1.0))


@pytest.mark.parametrize(("changes", "message"), MEMORIES.values(), ids=MEMORIES)
def test_a_broken_memory_is_refused_by_law_and_numbers(hand, changes, message):
    store = hand.store("dram", read=1.0)
    with pytest.raises(SpecError, match=rf"memory 'dram': .*{message}"):
        check_memory(type("Broken", (type(store),), changes)("dram", store.spec))


# --- policies --------------------------------------------------------------------------------------------------------


class Spoiled(Policy):
    """Greedy, with a plan that `spoil(plan, instance, rng)` replaces."""

    name = "spoiled"

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def plan(self, instance, rng):
        return self.spoil(Greedy().plan(instance, rng), instance, rng)


def all_on_the_first(plan, instance, rng):
    return replace(plan, assignment=np.zeros_like(plan.assignment))


def all_at_once(plan, instance, rng):
    """Earliest times as if each task had a device of its own."""
    start_s, end_s = np.zeros(instance.n_tasks), np.zeros(instance.n_tasks)
    for task in instance.topological_order.tolist():
        device = plan.assignment[task]
        start_s[task] = instance.ready_s(task, plan.assignment, end_s)[device]
        end_s[task] = start_s[task] + instance.cost_s[task, device]
    return replace(plan, start_s=start_s, end_s=end_s, makespan_s=float(end_s.max(initial=0.0)))


def too_early(plan, instance, rng):
    """Every task at time 0."""
    cost_s = plan.end_s - plan.start_s
    return replace(plan, start_s=np.zeros_like(cost_s), end_s=cost_s, makespan_s=float(cost_s.max(initial=0.0)))


def dawdling(plan, instance, rng):
    end_s = plan.end_s + 1e-6
    return replace(plan, end_s=end_s, makespan_s=float(end_s.max(initial=0.0)))


def forgets_transfers(plan, instance, rng):
    instance.edge_bytes[:] = 0.0
    return plan


def own_dice(plan, instance, rng):
    return replace(plan, priority=np.random.default_rng().random(instance.n_tasks))


POLICIES = {
    "a device that cannot": (all_on_the_first, r"tasks are where they can run; op\d+ is on 0, but runs on \[\d"),
    "no such device": (
        lambda plan, *_: replace(plan, assignment=plan.assignment + 9),
        r"tasks are on devices of the chip; op0 is on \d+ of 3",
    ),
    "two at once": (all_at_once, r"a device runs one task at a time; op\d+ starts at \S+ s, op\d+ ends at \S+ s"),
    "before the inputs": (too_early, r"no task starts before its inputs arrive; op\d+ starts at 0.0 s, what op\d+ sends arrives at \S+ s"),
    "another length": (dawdling, r"a task takes its cost; op0 runs from 0.0 s to \S+ s and costs \S+ s"),
    "a makespan of hope": (
        lambda plan, *_: replace(plan, makespan_s=plan.makespan_s / 2),
        r"the makespan is the last end; \S+ s against \S+ s",
    ),
    "priority nan": (
        lambda plan, *_: replace(plan, priority=plan.priority * np.nan),
        r"a finite number for each task; priority is \[nan\]",
    ),
    "too few entries": (lambda plan, *_: replace(plan, start_s=plan.start_s[1:]), r"a finite number for each task; start_s is \[\]"),
    "an edited instance": (forgets_transfers, "the instance is left as it was; edge_bytes has changed"),
    "dice of its own": (own_dice, r"one seed gives one plan; seed 1: priority is \[\S+\], then \[\S+\]"),
}


def test_a_policy_that_draws_from_its_rng_obeys_the_laws():
    check_policy(Spoiled(lambda plan, instance, rng: replace(plan, priority=plan.priority + rng.random(instance.n_tasks) / 4)))


@pytest.mark.parametrize(("spoil", "message"), POLICIES.values(), ids=POLICIES)
def test_a_broken_policy_is_refused_by_law_and_numbers(spoil, message):
    with pytest.raises(ScheduleError, match=rf"policy 'spoiled': .*{message}"):
        check_policy(Spoiled(spoil))


# --- workloads -------------------------------------------------------------------------------------------------------


def with_op(**changes):
    """The tiny network with its first op changed."""
    net = tiny_network()
    return replace(net, ops=(replace(net.ops[0], **changes), *net.ops[1:]))


class Stubborn(Workload):
    """Keeps its bits."""

    def with_bits(self, weight_bits, activation_bits):
        return self


class Shrinking(Workload):
    """Forgets its last op at fewer bits."""

    def with_bits(self, weight_bits, activation_bits):
        return replace(Workload(**vars_of(self)), ops=self.ops[:-1])


class Reshaping(Workload):
    """Flattens its tensors on the way."""

    def with_bits(self, weight_bits, activation_bits):
        net = Workload(**vars_of(self)).with_bits(weight_bits, activation_bits)
        return replace(net, tensors={name: replace(tensor, shape=(tensor.n_elements,)) for name, tensor in net.tensors.items()})


class Miscounting(Workload):
    """Claims a MAC too many."""

    n_macs = property(lambda self: sum(op.n_macs for op in self.ops) + 1)


def vars_of(net):
    return {name: getattr(net, name) for name in Workload.__dataclass_fields__}


NETWORKS = {
    "an input from nowhere": (lambda: replace(tiny_network(), inputs=()), "ops read what is given or made before; op 'conv' reads 'image'"),
    "a result of nothing": (lambda: replace(tiny_network(), outputs=("conv.weight",)), "results are made; 'conv.weight' is made by no op"),
    "a product without GEMM": (lambda: with_op(gemm=None), "products, and only they, have a GEMM; op 'conv' is MATMUL: None"),
    "a sum with GEMM": (lambda: with_op(kind=OpKind.POOL), "products, and only they, have a GEMM; op 'conv' is POOL: Gemm"),
    "no MACs": (lambda: with_op(gemm=Gemm(1, 0, 27, 8)), r"a product has MACs; op 'conv' has Gemm\(groups=1, m=0, k=27, n=8"),
    "negative work": (lambda: with_op(n_vector_ops=-1), "vector operations are 0 or more; op 'conv' has -1"),
    "one name for two": (lambda: with_op(name="pool"), "ops have names of their own; 5 ops have 4 names"),
    "no batch": (lambda: replace(tiny_network(), batch=0), "a batch is 1 or more; it is 0"),
    "no node": (lambda: replace(tiny_network(), coverage=Coverage()), "ops come from nodes that coverage counts; {'costed': {}"),
    "moved products": (
        lambda: replace(tiny_network(), coverage=Coverage({}, {"Conv": 1})),
        "products come from costed nodes; {'costed': {}, 'data_movement': {'Conv': 1}",
    ),
    "a count of 0": (lambda: replace(tiny_network(), coverage=Coverage({"Conv": 0})), "coverage counts nodes; costed has 0 of 'Conv'"),
    "bits that stay": (lambda: Stubborn(**vars_of(tiny_network())), r"bits go to tensors by their kind; \w+ '\S+' has 8 bits, not \d"),
    "bits that lose work": (lambda: Shrinking(**vars_of(tiny_network())), r"bits change no work; \d+ MACs at 4/6 bits"),
    "bits that change shapes": (
        lambda: Reshaping(**vars_of(tiny_network())),
        r"bits change no shape; 'image' was \(1, 3, 16, 16\) and is \(768,\)",
    ),
    "MACs that do not add up": (
        lambda: Miscounting(**vars_of(tiny_network())),
        r"rows times repeats are the workload; (\d+) MACs against \d+",
    ),
}


@pytest.mark.parametrize(("make", "message"), NETWORKS.values(), ids=NETWORKS)
def test_a_broken_workload_is_refused_by_law_and_numbers(make, message):
    with pytest.raises(WorkloadError, match=rf"workload 'tiny': .*{message}"):
        check_workload(make())


# --- chips -----------------------------------------------------------------------------------------------------------


def good_chip(hand, **numbers):
    return hand.chip({"cpu": {"area_m2": 2.0, **numbers}}, hand.store("dram", area=1.0))


def test_a_chip_made_by_hand_obeys_the_laws(hand):
    check_chip(good_chip(hand, idle_w=1.0))


def test_a_chip_without_a_link_is_refused(hand):
    with pytest.raises(SpecError, match=r"chip 'hand': every device has a link, .*; links of \[\], devices \['cpu'\]"):
        check_chip(replace(good_chip(hand), links={}))


def test_a_number_without_source_is_refused(hand):
    described = {"node": "22 nm", "devices": {"cpu": {"clock": "1 GHz"}}, "assumed": {"node": "a guess"}}
    with pytest.raises(SpecError, match=r"every number is sourced or assumed; not so: devices.cpu.clock$"):
        check_chip(replace(good_chip(hand), description=described))


def test_blocks_of_one_name_are_refused(hand):
    made = hand.chip({"dram": {"area_m2": 2.0}}, hand.store("dram", area=1.0))
    with pytest.raises(SpecError, match=r"have names of their own; \['dram', 'dram'\]"):
        check_chip(made)
    twins = replace(good_chip(hand), weights=hand.store("dram"))
    with pytest.raises(SpecError, match=r"have names of their own; \['cpu', 'dram'\], 2 memories"):
        check_chip(twins)


def test_a_device_or_memory_of_a_chip_is_checked_with_it(hand):
    with pytest.raises(SpecError, match=r"idle power is finite and 0 or more; -1.0 W"):
        check_chip(good_chip(hand, idle_w=-1.0))
    store = hand.store("dram")
    mute = type("Mute", (type(store),), {"bandwidth_limit": ""})("dram", store.spec)
    with pytest.raises(SpecError, match="memory 'dram': what limits the bandwidth has a name"):
        check_chip(hand.chip({"cpu": {}}, mute))


def swap(chip, cls):
    """The chip with its device as another class."""
    return replace(chip, devices={"cpu": cls("cpu", chip.devices["cpu"].spec)})


def test_a_network_without_a_place_is_no_fault(hand):
    check_run(good_chip(hand, kinds=(OpKind.MATMUL,)), tiny_network())


def test_a_refusal_that_names_nothing_is_refused(hand):
    def mumble(table, ops, specs):
        raise MappingError("does not fit")

    with pytest.raises(SimulationError, match=r"tiny on chip 'hand': a network without a place is refused by .*; does not fit"):
        check_run(swap(good_chip(hand), broken(hand, mumble)), tiny_network())


def test_a_fidelity_that_changes_its_mind_is_refused(hand):
    calls = count()

    def tired(table, ops, specs):
        if next(calls):
            raise MappingError("tiny on hand: no more")

    with pytest.raises(SimulationError, match=r"all fidelities agree on what can run; \['bound'\] ran, mapped says: tiny on hand: no more"):
        check_run(swap(good_chip(hand), broken(hand, tired)), tiny_network())


@pytest.mark.parametrize(("what", "name"), [("latency", "latency_s"), ("energy", "energy_j")])
def test_a_bound_that_is_beaten_is_refused(hand, what, name):
    calls = count(1)

    def faster_each_time(table, ops, specs):
        getattr(table, name)[:] /= next(calls)

    with pytest.raises(SimulationError, match=rf"the bound is not beaten; mapped: {what} is \S+, the bound \S+"):
        check_run(swap(good_chip(hand), broken(hand, faster_each_time)), tiny_network())


class Elsewhere(Exposure):
    """An interval above its total."""

    def interval(self):
        return 2 * self.total, 3 * self.total


def late(row):
    return row._replace(end_s=2 * row.end_s)


RESULTS = {
    "a lost row": (lambda result: replace(result, rows=result.rows[1:]), r"rows hold the MACs of the network; bound: \d+ of \d+"),
    "a late row": (lambda result: replace(result, rows=tuple(map(late, result.rows))), r"rows lie within the run; bound: \S+ s of \S+ s"),
    "an interval elsewhere": (
        lambda result: replace(result, latency=Elsewhere(result.latency_s)),
        r"intervals hold their totals; bound: latency is \S+, its interval \S+ to \S+",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), RESULTS.values(), ids=RESULTS)
def test_a_result_that_does_not_add_up_is_refused(hand, monkeypatch, spoil, message):
    run = Simulation.run
    monkeypatch.setattr(Simulation, "run", lambda self: spoil(run(self)))
    with pytest.raises(SimulationError, match=message):
        check_run(good_chip(hand), tiny_network())


def test_close_forgives_the_order_of_a_sum_and_no_more():
    assert close(0.1 + 0.2, 0.3)
    assert close(0.0, 0.0)
    assert not close(1.0, 1.0 + 1e-8)
    assert not close(0.0, 1e-30)
