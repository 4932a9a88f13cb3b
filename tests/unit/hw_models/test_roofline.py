"""The roofline kernel against a plain twin, and what Cpu, Gpu and Dsp share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from hw_models.compute.batch import ALL_KINDS, allowed, components_of_each
from hw_models.compute.cpu import Cpu, CpuSpec
from hw_models.compute.gpu import Gpu, GpuSpec
from hw_models.compute.roofline import instruction_j, spec_row
from hw_models.cost import INPUT, OUTPUT, WEIGHT
from hw_models.kernels import opcolumns
from hw_models.kernels import roofline as kernel
from hw_models.memory.sram import sram_access
from hw_models.technology import instruction_energy, logic_leakage, mac_energy, op_energy, scale_logic_energy
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable


def op(kind=OpKind.MATMUL, groups=0, m=0, k=0, n=0, *, vector=0, special=0, weight=None, inputs=None, output=None, bits=(8, 8), dynamic=0):
    """One row of an op table; operand sizes default to those of the GEMM."""
    sizes = [groups * k * n, groups * m * k, groups * m * n]
    given = [size if x is None else x for size, x in zip(sizes, (weight, inputs, output), strict=True)]
    return (int(kind), groups, m, k, n, dynamic, vector, special, *given, *bits)


def table(*rows):
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def gemm(m, k, n, groups=1, **more):
    return op(OpKind.MATMUL, groups, m, k, n, **more)


def cpu(**changes):
    fields = {
        "node": "22 nm", "clock": "1 GHz", "n_cores": 4, "simd_bits": 128,
        "mac": {"int8": {"per_cycle": 16, "block": [1, 4, 4]}, "fp32": {"per_cycle": 4, "block": [1, 4, 1]}},
        "l1": "32 KiB", "l1_width_bits": 64, "l1_bytes_per_cycle": 16,
        "llc": "512 KiB", "llc_width_bits": 256, "llc_bytes_per_cycle": 64,
        "launch": "2 us", "efficiency": 0.5, "special_slowdown": 3, "tile": [64, 32], "register_tile": [8, 8], "area": "5 mm2",
    }  # fmt: skip
    return CpuSpec.model_validate(fields | changes)


def gpu(**changes):
    fields = {
        "node": "7 nm", "clock": "1.5 GHz", "n_sms": 20, "lanes_32": 64, "lanes_16": 128,
        "mac": {"fp16": {"per_cycle": 1024, "block": [16, 8, 16]}, "fp32": {"per_cycle": 64, "block": [1, 32, 1]}},
        "shared_memory": "128 KiB", "shared_memory_width_bits": 1024, "shared_memory_bytes_per_cycle": 128,
        "l2": "8 MiB", "l2_width_bits": 512, "l2_bytes_per_cycle": 1024,
        "launch": "4 us", "efficiency": 0.8, "control_factor": 2, "tile": [128, 128], "register_tile": [64, 64], "area": "400 mm2",
    }  # fmt: skip
    return GpuSpec.model_validate(fields | changes)


def up(value, grain):
    return math.ceil(value / grain) * grain


def twin(spec, row):
    """The model of docs and docstrings in plain Python: (latency_s, energies, bytes) of one op on one spec."""
    o = dict(zip(COLUMNS, row, strict=True))
    machine = spec.machine()
    is_gemm = o["kind"] == OpKind.MATMUL
    formats = {int(name.strip("intfp")): (name, mac) for name, mac in spec.mac.items()}
    wanted = max(o["weight_bits"], o["activation_bits"]) if is_gemm else o["activation_bits"]
    widths = sorted(formats) if is_gemm else [8, 16, 32]
    width = next(w for w in widths if w >= wanted)
    index = (8, 16, 32).index(width)
    port = [
        math.ceil(o[f"{x}_elements"] * o[f"{b}_bits"] / 8)
        for x, b in (("weight", "weight"), ("input", "activation"), ("output", "activation"))
    ]
    steps = max(o["n_vector_ops"], 2 * o["output_elements"]) if o["kind"] == OpKind.MOVE else o["n_vector_ops"]
    steps *= spec.special_slowdown if o["special"] else 1
    clock, units = spec.clock_hz, machine.n_units
    vector_s = math.ceil(steps / (machine.lanes[index] * units)) / (clock * spec.efficiency)
    far_rate = machine.far.bytes_per_cycle * clock if machine.far else math.inf
    near_rate = machine.near.bytes_per_cycle * clock
    macs = o["groups"] * o["m"] * o["k"] * o["n"]
    name, mac = formats.get(width, ("int32", None))
    if macs:
        seconds, instructions, near_bytes, far_bytes = twin_gemm(spec, machine, o, index, mac, port, vector_s)
        port[:2] = twin_port(o, port, machine.port_capacity_bytes / 2)
    else:
        near_bytes = far_bytes = sum(port)
        instructions = 0
        seconds = max(vector_s, near_bytes / (near_rate * units), far_bytes / far_rate)
    instructions += steps / machine.length[index] + near_bytes / machine.load_bytes
    alu = op_energy("fp add", width, spec.node_m) if name[0] == "f" else op_energy("int add", max(width, 16), spec.node_m)
    mac_j = macs * mac_energy(width, width, 32, spec.node_m, floating=name[0] == "f").value if macs else 0
    near = sram_access(machine.near.capacity_bytes, machine.near.width_bits, spec.node_m, spec.cell)
    near_read_j, near_write_j = (j * 8 / machine.near.width_bits for j in (near.read_j, near.write_j))
    cache_j = near_bytes * near_read_j + (0 if machine.far else sum(port) * near_write_j)
    if machine.far:
        far = sram_access(machine.far.capacity_bytes, machine.far.width_bits, spec.node_m, spec.cell)
        cache_j += (
            far_bytes * (far.read_j * 8 / machine.far.width_bits + near_write_j) + sum(port) * far.write_j * 8 / machine.far.width_bits
        )
    vector_j = steps * alu.value
    energies = [
        mac_j,
        vector_j,
        instructions * instruction_j(spec, machine.register_bits),
        cache_j,
        spec.control_factor * (mac_j + vector_j),
    ]
    return spec.launch_s + seconds, energies, port


def twin_gemm(spec, machine, o, index, mac, port, vector_s):
    g, m, k, n = (o[x] for x in ("groups", "m", "k", "n"))
    bm, bn, bk = mac.block
    rate = spec.clock_hz * spec.efficiency
    far_rate = machine.far.bytes_per_cycle * spec.clock_hz if machine.far else math.inf
    near_bytes = g * (m * k * math.ceil(n / spec.register_tile[1]) * o["activation_bits"] / 8 + m * n * o["activation_bits"] / 8)
    near_bytes += g * k * n * math.ceil(m / spec.register_tile[0]) * o["weight_bits"] / 8
    near_s = near_bytes / (machine.near.bytes_per_cycle * spec.clock_hz)
    options = []
    for tile_m in (spec.tile[0], spec.tile[0] // 2, spec.tile[0] // 4):
        for tile_n in (spec.tile[1], spec.tile[1] // 2, spec.tile[1] // 4):
            tiles_m, tiles_n = math.ceil(m / max(bm, tile_m)), math.ceil(n / max(bn, tile_n))
            rows, cols, depth = up(math.ceil(m / tiles_m), bm), up(math.ceil(n / tiles_n), bn), up(k, bk)
            tiles = g * tiles_m * tiles_n
            compute = math.ceil(tiles / machine.n_units) * rows * cols * depth / (mac.per_cycle * rate)
            far_bytes = port[0] * tiles_m + port[1] * tiles_n + port[2]
            seconds = max(compute + vector_s, far_bytes / far_rate, near_s / min(tiles, machine.n_units))
            options.append((seconds, tiles * rows * cols * depth / (bm * bn * bk), near_bytes, far_bytes))
    lanes, per_cycle = machine.length[index], min(machine.lanes[index], mac.per_cycle) / machine.length[index]
    counts = {"m": m, "n": n, "k": k, "g": g}
    work = min(g * m * k * n // counts[axis] * math.ceil(counts[axis] / lanes) for axis in counts)
    seconds = max(
        math.ceil(work / machine.n_units) / (per_cycle * rate) + vector_s, sum(port) / far_rate, near_s / min(work, machine.n_units)
    )
    options.append((seconds, work, near_bytes, sum(port)))
    return min(options, key=lambda option: option[0])


def twin_port(o, port, usable):
    w, i, g = port[0], port[1], o["groups"]
    side = math.isqrt(int(usable / 4))
    orders = [
        (w, i * max(1, math.ceil(w / g / usable))),
        (w * max(1, math.ceil(i / g / usable)), i),
        (w * math.ceil(o["m"] / side), i * math.ceil(o["n"] / side)),
    ]
    return min(orders, key=sum)


def random_rows(rng, n):
    rows = []
    for _ in range(n):
        kind = int(rng.choice([0, 0, 0, 1, 2, 3, 6]))
        bits = tuple(int(b) for b in rng.choice([2, 4, 8, 16, 32], 2))
        if kind == 0:
            g, m, k, n_ = (int(x) for x in np.exp(rng.uniform(0, 6, 4)))
            rows.append(gemm(m, k, n_, groups=g, vector=int(rng.integers(0, 10**5)), special=int(rng.integers(2)), bits=bits))
        else:
            sizes = [int(x) for x in rng.integers(0, 10**5, 4)]
            rows.append(
                op(kind, vector=sizes[0], weight=sizes[1], inputs=sizes[2], output=sizes[3], special=int(rng.integers(2)), bits=bits)
            )
    return rows


@pytest.mark.parametrize(("cls", "spec"), [(Cpu, cpu()), (Cpu, cpu(llc=None)), (Gpu, gpu())], ids=["cpu", "microcontroller", "gpu"])
def test_the_kernel_agrees_with_its_plain_twin(cls, spec):
    rows = random_rows(np.random.default_rng(1), 150)
    costs = cls.costs([spec], table(*rows))
    for i, row in enumerate(rows):
        latency_s, energies_j, n_bytes = twin(spec, row)
        assert costs.latency_s[0, i] == pytest.approx(latency_s, rel=1e-12), row
        assert costs.energy_j[0, i].sum() == pytest.approx(sum(energies_j), rel=1e-9), row
        assert costs.n_bytes[0, i] == pytest.approx(n_bytes), row


def test_a_batch_costs_what_its_members_cost_alone():
    specs = [cpu(), cpu(clock="2 GHz", n_cores=1), cpu(llc=None)]
    rows = random_rows(np.random.default_rng(2), 20)
    batch = Cpu.costs(specs, table(*rows))
    for s, spec in enumerate(specs):
        for i, row in enumerate(rows):
            alone = Cpu.costs([spec], table(row))
            assert batch.latency_s[s, i] == alone.latency_s[0, 0]
            assert (batch.energy_j[s, i] == alone.energy_j[0, 0]).all()


def test_no_ops_give_an_empty_table():
    assert Cpu.costs([cpu()], table()).latency_s.shape == (1, 0)


def test_kernels_and_workloads_agree_on_columns_and_kinds():
    assert [getattr(opcolumns, name.upper()) for name in COLUMNS] == list(range(len(COLUMNS)))
    assert (opcolumns.MATMUL, opcolumns.MOVE) == (OpKind.MATMUL, OpKind.MOVE)
    assert [kind.name.lower() for kind in OpKind] == list(ALL_KINDS)


def test_the_spec_row_has_a_number_for_each_column():
    assert len(spec_row(cpu(), cpu().machine())) == kernel.N_COLUMNS == kernel.ALU_J + 3


def test_bits_between_formats_run_at_the_next_wider_one_and_the_table_says_so():
    costs = Cpu.costs([cpu()], table(gemm(8, 8, 8, bits=(4, 4)), gemm(8, 8, 8, bits=(8, 12)), gemm(8, 8, 8, bits=(32, 8))))
    assert costs.compute_weight_bits.tolist() == [[8, 32, 32]]
    assert costs.compute_activation_bits.tolist() == [[8, 32, 32]]


def test_a_product_wider_than_every_format_is_not_supported():
    costs = Gpu.costs([gpu(mac={"fp16": {"per_cycle": 64, "block": [1, 8, 1]}})], table(gemm(8, 8, 8, bits=(8, 32)), gemm(8, 8, 8)))
    assert costs.supported.tolist() == [[False, True]]
    assert np.isinf(costs.latency_s[0, 0])
    assert costs.energy_j[0, 0].sum() == costs.n_bytes[0, 0].sum() == costs.fixed_s[0, 0] == 0


def test_a_spec_may_restrict_the_kinds_it_takes():
    costs = Cpu.costs([cpu(op_kinds=["pool"]), cpu()], table(gemm(8, 8, 8), op(OpKind.POOL, vector=9, inputs=9, output=1)))
    assert costs.supported.tolist() == [[False, True], [True, True]]


def test_special_functions_need_a_spec_that_has_them():
    rows = table(op(OpKind.SOFTMAX, vector=9, special=1), op(OpKind.POOL, vector=9))
    assert allowed([ALL_KINDS, ALL_KINDS], [False, True], rows).tolist() == [[False, True], [True, True]]


class TestPortTraffic:
    """Cache of 512 KiB: half holds what stays, 256 KiB."""

    def port(self, row, **changes):
        return Cpu.costs([cpu(**changes)], table(row)).n_bytes[0, 0]

    def test_operands_that_fit_are_read_once(self):
        assert self.port(gemm(256, 512, 512)).tolist() == [512 * 512, 256 * 512, 256 * 512]

    def test_weights_that_do_not_fit_are_read_once_while_inputs_stay(self):
        assert self.port(gemm(256, 1024, 4096)).tolist() == [1024 * 4096, 256 * 1024, 256 * 4096]

    def test_inputs_twice_the_room_cost_a_second_pass_over_weights_or_inputs(self):
        """A of 512 KiB, B of 4 MiB: two chunks of A, B twice (8.5 MiB); B in 16 chunks would read A 16 times (12 MiB)."""
        assert self.port(gemm(512, 1024, 4096))[:2].tolist() == [2 * 1024 * 4096, 512 * 1024]

    def test_square_blocks_of_sums_win_when_both_operands_are_large(self):
        """b = sqrt(256 Ki / 4) = 256: each operand 16 times, 512 MiB; held in chunks one would be read 64 times."""
        assert self.port(gemm(4096, 4096, 4096))[:2].tolist() == [16 * 4096**2, 16 * 4096**2]

    def test_groups_are_worked_one_after_another(self):
        """256 groups of 16 KiB each: every group fits although all weights together do not."""
        assert self.port(gemm(64, 128, 128, groups=256))[WEIGHT] == 256 * 128 * 128

    def test_ops_without_products_move_every_operand_once(self):
        row = op(OpKind.NORM, vector=8000, special=1, weight=10, inputs=1000, output=1000, bits=(16, 16))
        assert self.port(row).tolist() == [20, 2000, 2000]

    def test_a_dynamic_operand_counts_as_weight_at_activation_bits(self):
        assert self.port(gemm(16, 64, 16, bits=(4, 4), dynamic=1))[[WEIGHT, INPUT, OUTPUT]].tolist() == [512, 512, 128]


class TestLimits:
    """Which of launch, compute, vector and cache sets the latency."""

    def limit(self, row, **changes):
        costs = Cpu.costs([cpu(**changes)], table(row))
        return costs.limits[costs.limit[0, 0]]

    def test_a_tiny_product_is_launch(self):
        assert self.limit(gemm(4, 4, 4)) == "launch"

    def test_a_large_product_is_compute(self):
        assert self.limit(gemm(512, 512, 512)) == "compute"

    def test_a_large_product_with_a_starved_cache_is_cache(self):
        assert self.limit(gemm(512, 512, 512), l1_bytes_per_cycle=1) == "cache"

    def test_a_softmax_is_vector(self):
        assert self.limit(op(OpKind.SOFTMAX, vector=11 * 10**6, special=1, inputs=10**6, output=10**6)) == "vector"

    def test_a_copy_through_a_starved_last_level_is_cache(self):
        assert self.limit(op(OpKind.MOVE, inputs=10**6, output=10**6), llc_bytes_per_cycle=1) == "cache"


class TestEnergy:
    """Components and what they rest on."""

    def test_an_instruction_costs_a_scalar_one_and_its_extra_register_bits(self):
        """128-bit operands: 3 x 96 bits more than a scalar; 2 pJ per 64 bits at 28 nm (NVIDIA energy budget)."""
        extra_j = 3 * 96 * 2e-12 / 64 * scale_logic_energy(28e-9, 22e-9).value
        assert instruction_j(cpu(), 128) == pytest.approx(instruction_energy(22e-9).value + extra_j)
        assert instruction_j(cpu(instruction_factor=4), 32) == pytest.approx(4 * instruction_energy(22e-9).value)

    def test_control_is_a_multiple_of_arithmetic(self):
        costs = Gpu.costs([gpu()], table(gemm(64, 64, 64, vector=4096)))
        mac, vector, _, _, control = costs.energy_j[0, 0]
        assert control == pytest.approx(2 * (mac + vector))

    def test_instructions_dominate_a_scalar_machine_and_not_a_matrix_unit(self):
        """Horowitz: a one-op instruction is 95 % overhead; one that does 2048 MACs is not."""
        scalar = cpu(simd_bits=32, mac={"int8": {"per_cycle": 1, "block": [1, 1, 1]}})
        mac, _, instruction, *_ = Cpu.costs([scalar], table(gemm(64, 64, 64))).energy_j[0, 0]
        assert instruction / (mac + instruction) > 0.95
        mac, _, instruction, *_ = Gpu.costs([gpu()], table(gemm(512, 512, 512))).energy_j[0, 0]
        assert instruction / (mac + instruction) < 0.2

    def test_assumed_numbers_are_flagged_and_give_spreads(self):
        spec = gpu(title="G", assumed={"control_factor": "x", "efficiency": "x"}, ranges={"control_factor": 2.0, "efficiency": 1.25})
        costs = Gpu.costs([spec], table(gemm(8, 8, 8)))
        parts = {part.name: part for part in costs.components[0]}
        assert parts["control"].assumed
        assert not parts["mac"].assumed
        assert ("G.control_factor", 2.0) in [(spread.name, spread.factor) for spread in parts["control"].spreads]
        assert [(spread.name, spread.factor) for spread in costs.latency_spreads[0]] == [("G.efficiency", 1.25)]
        assert {part.spreads[0].name for part in parts.values()} == {"technology.logic", "technology.sram"}

    def test_equal_specs_share_their_components(self):
        spec = cpu()
        specs = [spec.model_copy(update={"clock_hz": 1e9 + i}) for i in range(5)]
        calls = []
        components_of_each(specs, lambda s: s.node_m, lambda s: calls.append(s) or ())
        assert len(calls) == 1
        listed = Cpu.costs([*specs, cpu(node="7 nm")], table(gemm(8, 8, 8))).components
        assert listed[0] is listed[4]
        assert listed[0] != listed[5]


class TestStandby:
    """Area and idle power."""

    def test_without_an_idle_power_the_area_leaks(self):
        device = Cpu("host", cpu(assumed={"area": "guess"}))
        assert device.idle_w == pytest.approx(5e-6 * logic_leakage(22e-9).value)
        assert device.idle_assumed
        assert [spread.name for spread in device.idle_spreads] == ["technology.leakage", "cpu.area"]
        assert device.area_parts_m2 == {"host": pytest.approx(5e-6)}

    def test_a_published_idle_power_is_taken_as_it_is(self):
        device = Cpu("host", cpu(idle="28 W", sources={"idle": "a paper"}))
        assert (device.idle_w, device.idle_assumed, device.idle_spreads) == (28, False, ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mac": {"int16": {"per_cycle": 4, "block": [1, 4, 1]}, "fp16": {"per_cycle": 4, "block": [1, 4, 1]}}},
            "two formats of one width",
        ),
        ({"mac": {}}, "at least 1"),
        ({"efficiency": 1.2}, "less than or equal to 1"),
        ({"node": "1 nm"}, "5 nm to 180 nm"),
        ({"clock": 1e9}, "without a unit"),
        ({"n_cores": 0}, "greater than 0"),
        ({"op_kinds": ["conv"]}, "'matmul'"),
    ],
)
def test_a_spec_that_is_not_physical_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        cpu(**changes)
