"""The systolic kernel against a plain twin, its laws by hand, and the shipped arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from hw_models.catalog import resolve_part
from hw_models.compute.spatial import SpatialArray, SpatialArraySpec, area_parts, buffer, mac_energies
from hw_models.kernels import systolic as kernel
from hw_models.memory.sram import bank_wire_j, sram_access
from hw_models.registry import device_class
from hw_models.technology import logic_leakage, mac_area, mac_energy, op_energy, register_energy
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

FLOWS = ("os", "ws", "is")


def table(*rows):
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def gemm(m, k, n, groups=1, *, bits=(8, 8), vector=0, special=0, inputs=None):
    sizes = (groups * k * n, groups * m * k if inputs is None else inputs, groups * m * n)
    return (int(OpKind.MATMUL), groups, m, k, n, 0, vector, special, *sizes, *bits)


def stream(kind, vector, size, special=0, bits=8, weight=0):
    return (int(kind), 0, 0, 0, 0, 0, vector, special, weight, size, size, bits, bits)


def array(**changes):
    fields = {
        "node": "22 nm", "clock": "1 GHz", "rows": 16, "cols": 8, "dataflows": list(FLOWS),
        "weight_buffer": "16 KiB", "input_buffer": "8 KiB", "output_buffer": "8 KiB", "buffer_width_bits": 128, "buffer_banks": 2,
        "vector_lanes": 8, "special_functions": True, "special_slowdown": 2, "op_kinds": ["matmul", "pool", "elementwise", "move"],
        "port_bandwidth": "16 GB/s", "launch": "0 s", "control_fraction": 0.1, "area_overhead": 2,
    }  # fmt: skip
    return SpatialArraySpec.model_validate(fields | changes)


def cost(row, **changes):
    return SpatialArray.costs([array(**changes)], table(row))


def cycles(row, **changes):
    """Cycles on the 1 GHz array with a port that never matters."""
    return round(cost(row, port_bandwidth="1000 TB/s", **changes).latency_s[0, 0] * 1e9, 6)


def up(a, b):
    return -(-a // b)


def twin_options(spec, o):
    """Every mapping of one GEMM: (cycles, port bytes, array accesses in bytes) by dataflow and loop order, in plain Python."""
    g, m, k, n = (o[x] for x in ("groups", "m", "k", "n"))
    pw, pi = up(o["weight_bits"], spec.native_bits), up(o["activation_bits"], spec.native_bits)
    w0, i0, o0 = (
        math.ceil(o[f"{x}_elements"] * o[b] / 8)
        for x, b in zip(("weight", "input", "output"), ("weight_bits", "activation_bits", "activation_bits"), strict=True)
    )
    cap = {name: spec.buffer_bytes(name) / 2 for name in ("weight", "input", "output")}
    a_bytes, b_bytes = g * m * k * o["activation_bits"] / 8, g * k * n * o["weight_bits"] / 8
    sum_bytes = g * m * n * spec.accumulator_bits / 8
    for flow in spec.dataflows:
        sr, sc, t = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[flow]
        packed = max(1, min(spec.rows // sr, spec.cols // sc))
        batches, fr, fc = up(g, packed), up(sr, spec.rows), up(sc, spec.cols)
        fill = spec.cols + (1 if flow == "os" else 2) * spec.rows - 2

        def again(size, times, panels, room, batches=batches):
            return size + (times - 1) * max(0, size - panels * batches * room)

        if flow == "os":
            for i_panels, w_panels in ((1, fc), (fr, 1)):
                port = (again(w0, fr * pi, w_panels, cap["weight"]), again(i0, fc * pw, i_panels, cap["input"]), o0)
                yield pw * pi * batches * fr * fc * (fill + t), port, (b_bytes * fr * pi, a_bytes * fc * pw, sum_bytes)
            continue
        panel = t * min(spec.cols, sc * packed) * spec.accumulator_bits / 8
        needed = max(1, min(t, math.ceil(panel / cap["output"]))) if fr * pw * pi > 1 else 1
        for chunks, walked_panels, sum_panels in ((1, 1, fc), (1, fr, 1), (needed, 1, fc * needed)):
            spill = 2 * (fr * pw * pi - 1) * max(0, sum_bytes - sum_panels * batches * cap["output"])
            held, walked, passes = ("weight", "input", pw) if flow == "ws" else ("input", "weight", pi)
            size = {"weight": w0, "input": i0}
            port = {held: again(size[held], chunks, fc, cap[held]), walked: again(size[walked], fc * passes, walked_panels, cap[walked])}
            inner = {"weight": b_bytes, "input": a_bytes}
            reads = {held: inner[held] * chunks, walked: inner[walked] * fc * passes}
            total = pw * pi * batches * fr * fc * (chunks * fill + t)
            yield total, (port["weight"], port["input"], o0 + spill), (reads["weight"], reads["input"], sum_bytes * fr * pw * pi)


def twin(spec, row):
    """(latency_s, total energy, port bytes) of one op on one spec."""
    o = dict(zip(COLUMNS, row, strict=True))
    steps = o["n_vector_ops"]
    if o["kind"] == OpKind.MOVE:
        steps = max(steps, 2 * o["output_elements"])
    steps *= spec.special_slowdown if o["special"] else 1
    vector_s = math.ceil(steps / spec.vector_lanes) / spec.clock_hz
    (w_read, w_write), (i_read, i_write), (o_read, o_write) = (buffer(spec, name)[1:] for name in ("weight", "input", "output"))
    vector_j = steps * op_energy("int add", spec.accumulator_bits, spec.node_m).value
    macs = o["groups"] * o["m"] * o["k"] * o["n"]
    if not macs:
        port = [
            math.ceil(o[f"{x}_elements"] * o[b] / 8)
            for x, b in (("weight", "weight_bits"), ("input", "activation_bits"), ("output", "activation_bits"))
        ]
        memory_j = port[0] * (w_read + w_write) + port[1] * (i_read + i_write) + port[2] * (o_read + o_write)
        return spec.launch_s + vector_s, (vector_j + memory_j) * (1 + spec.control_fraction), port
    rate = spec.port_bandwidth_bytes_per_s
    best = min(twin_options(spec, o), key=lambda option: (max(option[0] / spec.clock_hz, sum(option[1]) / rate), sum(option[1]), option[0]))
    total, port, (weight_read, input_read, sums) = best
    passes = up(o["weight_bits"], spec.native_bits) * up(o["activation_bits"], spec.native_bits)
    spill = port[2] - math.ceil(o["output_elements"] * o["activation_bits"] / 8)
    memory_j = port[0] * w_write + weight_read * w_read + port[1] * i_write + input_read * i_read + (sums + spill / 2) * (o_read + o_write)
    mac_j = macs * passes * mac_energy(spec.native_bits, spec.native_bits, spec.accumulator_bits, spec.node_m).value
    return spec.launch_s + max(total / spec.clock_hz, vector_s), (mac_j, memory_j, vector_j), port


def random_rows(rng, count):
    rows = []
    for _ in range(count):
        bits = tuple(int(b) for b in rng.choice([4, 8, 12, 16], 2))
        if rng.random() < 0.8:
            g, m, k, n = (max(1, int(x)) for x in np.exp(rng.uniform(-1, 6, 4)))
            rows.append(
                gemm(
                    m,
                    k,
                    n,
                    g,
                    bits=bits,
                    vector=int(rng.integers(10**5)),
                    special=int(rng.integers(2)),
                    inputs=int(rng.integers(1, g * m * k + 1)),
                )
            )
        else:
            kind = rng.choice([OpKind.POOL, OpKind.ELEMENTWISE, OpKind.MOVE])
            rows.append(
                stream(kind, int(rng.integers(10**5)), int(rng.integers(10**5)), int(rng.integers(2)), bits[0], int(rng.integers(1000)))
            )
    return rows


@pytest.mark.parametrize("flows", [FLOWS, ("os",), ("ws",), ("is",)], ids=str)
def test_the_kernel_agrees_with_its_plain_twin(flows):
    spec = array(dataflows=list(flows), launch="1 us")
    rows = random_rows(np.random.default_rng(3), 120)
    costs = SpatialArray.costs([spec], table(*rows))
    for i, row in enumerate(rows):
        latency_s, energy, port = twin(spec, row)
        assert costs.latency_s[0, i] == pytest.approx(latency_s, rel=1e-12), row
        assert costs.n_bytes[0, i] == pytest.approx(port, rel=1e-12), row
        mac_j, _, buffer_j, vector_j, _ = costs.energy_j[0, i]
        if isinstance(energy, tuple):
            assert (mac_j, buffer_j, vector_j) == pytest.approx(energy, rel=1e-9), row
        else:
            assert costs.energy_j[0, i].sum() == pytest.approx(energy, rel=1e-9), row


def test_a_batch_costs_what_its_members_cost_alone():
    specs = [array(), array(rows=32), array(dataflows=["ws"], native_bits=4)]
    rows = random_rows(np.random.default_rng(4), 15)
    batch = SpatialArray.costs(specs, table(*rows))
    for s, spec in enumerate(specs):
        for i, row in enumerate(rows):
            alone = SpatialArray.costs([spec], table(row))
            assert batch.latency_s[s, i] == alone.latency_s[0, 0]
            assert (batch.energy_j[s, i] == alone.energy_j[0, 0]).all()
            assert (batch.n_bytes[s, i] == alone.n_bytes[0, 0]).all()


class TestCycles:
    """Array of 16 rows and 8 columns at 1 GHz."""

    @pytest.mark.parametrize(("flow", "expected"), [("os", 16 + 8 + 5 - 2), ("ws", 32 + 8 + 16 - 2), ("is", 32 + 8 + 8 - 2)])
    def test_a_product_of_one_fold(self, flow, expected):
        """os: 16 x 8 results over k = 5; ws: 5 x 8 weights over m = 16; is: 5 x 8 inputs (m = 8 here) over n = 8."""
        m, n = (16, 8) if flow != "is" else (8, 8)
        assert cycles(gemm(m, 5, n), dataflows=[flow]) == expected

    def test_folds_multiply(self):
        """k = 33 needs three row folds of 16, n = 9 two column folds of 8: six times 2 x 16 + 8 + 10 - 2."""
        assert cycles(gemm(10, 33, 9), dataflows=["ws"]) == 6 * 48

    def test_the_best_dataflow_is_taken(self):
        for row in (gemm(300, 5, 7), gemm(5, 300, 7), gemm(5, 7, 300)):
            assert cycles(row) == min(cycles(row, dataflows=[flow]) for flow in FLOWS)

    def test_a_long_reduction_suits_output_stationary_and_many_rows_weight_stationary(self):
        assert cycles(gemm(16, 4096, 8)) == cycles(gemm(16, 4096, 8), dataflows=["os"])
        assert cycles(gemm(4096, 16, 8)) == cycles(gemm(4096, 16, 8), dataflows=["ws"])

    def test_utilization_of_a_full_array_over_a_long_stream_tends_to_one(self):
        macs = 10**6 * 16 * 8
        assert macs / (cycles(gemm(10**6, 16, 8), dataflows=["ws"]) * 16 * 8) == pytest.approx(1, rel=1e-4)


class TestGroups:
    """Groups share a fold as blocks of a block-diagonal matrix."""

    def test_weight_stationary_packs_min_of_rows_over_k_and_cols_over_n(self):
        """k = 3, n = 2: min(16 // 3, 8 // 2) = 4 groups a fold; 10 groups take 3 folds."""
        assert kernel.packed_groups(16, 8, 3, 2) == 4
        assert cycles(gemm(50, 3, 2, groups=10), dataflows=["ws"]) == 3 * (2 * 16 + 8 + 50 - 2)

    def test_output_stationary_packs_rows_over_m(self):
        """m = 4, n = 1: min(16 // 4, 8 // 1) = 4 groups a fold."""
        assert cycles(gemm(4, 9, 1, groups=8), dataflows=["os"]) == 2 * (16 + 8 + 9 - 2)

    def test_a_group_larger_than_the_array_is_not_packed(self):
        assert kernel.packed_groups(16, 8, 17, 1) == kernel.packed_groups(16, 8, 1, 9) == 1
        assert cycles(gemm(50, 17, 2, groups=3), dataflows=["ws"]) == 3 * cycles(gemm(50, 17, 2), dataflows=["ws"])

    def test_a_depthwise_layer_uses_a_ninth_of_a_column_each(self):
        """One 3 x 3 filter a group: 16 // 9 = 1 group a fold on 16 rows, 7 on 64 rows."""
        assert kernel.packed_groups(16, 8, 9, 1) == 1
        assert kernel.packed_groups(64, 64, 9, 1) == 7

    def test_block_diagonal_products_are_the_products_of_the_groups(self):
        """ws and is: zeros off the diagonal; os: blocks of unlike groups are formed and not read out."""
        rng = np.random.default_rng(0)
        a, b = rng.integers(-9, 9, (3, 5, 4)), rng.integers(-9, 9, (3, 4, 2))
        held = np.zeros((12, 6), dtype=np.int64)
        for i in range(3):
            held[4 * i : 4 * i + 4, 2 * i : 2 * i + 2] = b[i]
        weight_stationary = np.concatenate(list(a), axis=1) @ held
        output_stationary = np.concatenate(list(a), axis=0) @ np.concatenate(list(b), axis=1)
        for i in range(3):
            assert (weight_stationary[:, 2 * i : 2 * i + 2] == a[i] @ b[i]).all()
            assert (output_stationary[5 * i : 5 * i + 5, 2 * i : 2 * i + 2] == a[i] @ b[i]).all()


class TestBits:
    """An array of 8-bit multipliers."""

    @pytest.mark.parametrize(("bits", "passes"), [((8, 8), 1), ((4, 4), 1), ((16, 8), 2), ((16, 16), 4), ((9, 17), 6)])
    def test_wider_operands_take_a_pass_for_each_pair_of_slices(self, bits, passes):
        """TPU v1: half speed with one operand of 16 bits, a quarter with both."""
        assert cycles(gemm(64, 8, 8, bits=bits), dataflows=["os"]) == passes * cycles(gemm(64, 8, 8), dataflows=["os"])
        energy = [cost(gemm(64, 8, 8, bits=b)).energy_j[0, 0, 0] for b in (bits, (8, 8))]
        assert energy[0] == pytest.approx(passes * energy[1])

    def test_the_table_says_at_which_bits_the_array_computes(self):
        costs = SpatialArray.costs([array(), array(precision_scalable=True)], table(gemm(4, 4, 4, bits=(4, 12))))
        assert costs.compute_weight_bits[:, 0].tolist() == [8, 4]
        assert costs.compute_activation_bits[:, 0].tolist() == [16, 16]

    def test_a_scalable_array_saves_energy_on_narrow_operands_and_no_time(self):
        plain, scalable = (cost(gemm(64, 8, 8, bits=(4, 4)), precision_scalable=flag) for flag in (False, True))
        assert scalable.latency_s[0, 0] == plain.latency_s[0, 0]
        expected = mac_energy(4, 4, 32, 22e-9).value / mac_energy(8, 8, 32, 22e-9).value
        assert scalable.energy_j[0, 0, 0] / plain.energy_j[0, 0, 0] == pytest.approx(expected)
        assert scalable.energy_j[0, 0, 1] < plain.energy_j[0, 0, 1]

    def test_mac_energies_are_asked_once_for_equal_bits(self):
        ops = table(gemm(4, 4, 4), gemm(8, 8, 8), gemm(4, 4, 4, bits=(16, 16)))
        energies = mac_energies([array(), array(node="7 nm")], ops)
        assert energies.shape == (2, 3)
        assert energies[0, 0] == energies[0, 1] == energies[0, 2] / 4
        assert energies[1, 0] < energies[0, 0]


class TestTraffic:
    """Bytes at the port. Halves of the buffers: weight 8 KiB, input 4 KiB, output 4 KiB."""

    def port(self, row, **changes):
        return cost(row, **changes).n_bytes[0, 0].tolist()

    def test_operands_that_fit_cross_once(self):
        assert self.port(gemm(64, 32, 16)) == [32 * 16, 64 * 32, 64 * 16]

    def test_inputs_beyond_their_buffer_are_walked_again_for_each_column_fold(self):
        """ws, one row fold: A of 1000 x 16 bytes, 4096 stay; n = 24 needs 3 column folds."""
        assert self.port(gemm(1000, 16, 24), dataflows=["ws"]) == [16 * 24, 16000 + 2 * (16000 - 4096), 1000 * 24]

    def test_weights_beyond_their_buffer_are_walked_again_for_each_fold_of_held_inputs(self):
        """is, one row fold: B of 16 x 1000 bytes, 8192 stay; m = 24 needs 3 column folds."""
        assert self.port(gemm(24, 16, 1000), dataflows=["is"]) == [16000 + 2 * (16000 - 8192), 24 * 16, 24 * 1000]

    def test_output_stationary_keeps_panels_of_one_operand_and_walks_the_other(self):
        """m = n = 64, k = 1000: panels of A 16,000 B (4096 stay of each of 4), of B 8000 B (all stay). B inside: A walked whole 8 times;
        A inside: panels of B stay, A is walked again for all 8 column folds with 4096 B of it staying."""
        a_panels = 64000 + 7 * (64000 - 4 * 4096)
        b_walked = 64000 + 3 * (64000 - 8192)
        a_walked = 64000 + 7 * (64000 - 4096)
        assert self.port(gemm(64, 1000, 64), dataflows=["os"]) == [64000, min(a_walked, a_panels + b_walked - 64000), 64 * 64]

    def test_sums_beyond_the_output_buffer_are_spilled_or_the_stream_is_cut(self):
        """ws, k = 48 (3 row folds), n = 8: sums of 1000 x 8 x 4 B in room for 4096 B. Cut in 8 chunks the weights (384 B, which stay)
        cross once; uncut 2 x 2 x 27,904 B of sums would."""
        row = gemm(1000, 48, 8)
        assert self.port(row, dataflows=["ws"], port_bandwidth="0.001 GB/s") == [48 * 8, 48000, 8000]
        spilled = self.port(row, dataflows=["ws"], port_bandwidth="1000 TB/s")
        assert spilled[2] == 8000 + 2 * 2 * (32000 - 4096)
        assert cycles(row, dataflows=["ws"]) == 3 * (40 - 2 + 1000)

    def test_a_cut_stream_pays_fill_and_drain_for_each_chunk(self):
        slow = cost(gemm(1000, 48, 8), dataflows=["ws"], port_bandwidth="0.001 GB/s")
        assert slow.latency_s[0, 0] * 1e9 == pytest.approx(3 * (8 * (40 - 2) + 1000))

    def test_infinite_buffers_leave_the_compulsory_bytes(self):
        big = {f"{name}_buffer": "1 GiB" for name in ("weight", "input", "output")}
        for flow in FLOWS:
            row = gemm(500, 300, 200, groups=2, bits=(4, 16))
            assert self.port(row, dataflows=[flow], **big) == [2 * 300 * 200 // 2, 2 * 500 * 300 * 2, 2 * 500 * 200 * 2]

    def test_overlapping_windows_cross_once(self):
        """A 3 x 3 convolution reads each input nine times from the buffer and once from the store."""
        costs = cost(gemm(100, 9, 8, inputs=144))
        assert costs.n_bytes[0, 0, 1] == 144

    def test_refetched_bytes_by_walking(self):
        """Count reads one by one: 10 bytes, the first 4 stay, three walks."""
        reads, held = 0, set()
        for _ in range(3):
            for byte in range(10):
                reads += byte not in held
                if len(held) < 4:
                    held.add(byte)
        assert kernel.refetched_bytes(10.0, 3, 4.0) == reads

    def test_ops_without_products_cross_once(self):
        assert self.port(stream(OpKind.POOL, 900, 100, bits=16)) == [0, 200, 200]


class TestArrayAccesses:
    """Reads of the operand buffers by dataflow; bits over eight."""

    @pytest.mark.parametrize(
        ("flow", "weight", "inputs", "sums"),
        [("os", 40 * 24 * 2, 20 * 40 * 3, 20 * 24), ("ws", 40 * 24, 20 * 40 * 3, 20 * 24 * 3), ("is", 40 * 24 * 3, 20 * 40, 20 * 24 * 3)],
    )
    def test_counts(self, flow, weight, inputs, sums):
        """m = 20, k = 40, n = 24 on 16 x 8: os folds 2 x 3, ws 3 x 3, is 3 x 3 (m over 8 columns)."""
        row = np.array(gemm(20, 40, 24))
        folds = {"os": (2, 3), "ws": (3, 3), "is": (3, 3)}[flow]
        bits = kernel.array_bits(row, FLOWS.index(flow), *folds, 1, 1, 1)
        assert (bits[0] / 8, bits[1] / 8, bits[2]) == (weight, inputs, sums)


class TestVector:
    """The vector unit works on results as they leave the array."""

    def test_an_activation_hides_behind_a_long_product(self):
        assert cycles(gemm(1000, 16, 8, vector=8000)) == cycles(gemm(1000, 16, 8))

    def test_a_long_activation_sets_the_latency(self):
        costs = cost(gemm(16, 16, 8, vector=80_000))
        assert costs.limits[costs.limit[0, 0]] == "vector"
        assert costs.latency_s[0, 0] * 1e9 == pytest.approx(10_000)

    def test_special_functions_are_slower_and_moves_cost_a_load_and_a_store(self):
        assert cycles(stream(OpKind.ELEMENTWISE, 8000, 100, special=1)) == pytest.approx(2 * 1000)
        assert cycles(stream(OpKind.MOVE, 0, 4000)) == pytest.approx(2 * 4000 / 8)

    def test_without_special_functions_such_ops_go_elsewhere(self):
        costs = SpatialArray.costs(
            [array(special_functions=False)], table(gemm(4, 4, 4, special=1), gemm(4, 4, 4), stream(OpKind.NORM, 1, 1))
        )
        assert costs.supported.tolist() == [[False, True, False]]
        assert np.isinf(costs.latency_s[0, [0, 2]]).all()

    def test_a_tiny_op_is_launch(self):
        costs = cost(gemm(4, 4, 4), launch="1 us")
        assert costs.limits[costs.limit[0, 0]] == "launch"
        assert costs.fixed_s[0, 0] == 1e-6


class TestEnergy:
    """What each component is made of."""

    @pytest.mark.parametrize(("flow", "bits"), [("os", 8 + 8 + 32), ("ws", 8 + 32), ("is", 8 + 32)])
    def test_registers_move_what_is_not_stationary(self, flow, bits):
        """os: both operands and the sum; ws and is: the moving operand and the sum. 9 fJ/bit near 45 nm."""
        energy_j = cost(gemm(16, 16, 8), dataflows=[flow]).energy_j[0, 0, 1]
        assert energy_j == pytest.approx(16 * 16 * 8 * bits * register_energy(1, 22e-9).value)

    def test_buffer_energy_of_one_fold_by_hand(self):
        """ws, one fold: every operand is written once and read once, sums written and drained once."""
        (w_read, w_write), (i_read, i_write), (o_read, o_write) = (buffer(array(), name)[1:] for name in ("weight", "input", "output"))
        expected = 16 * 8 * (w_read + w_write) + 10 * 16 * (i_read + i_write) + 10 * 8 * 4 * (o_read + o_write)
        assert cost(gemm(10, 16, 8), dataflows=["ws"]).energy_j[0, 0, 2] == pytest.approx(expected)

    def test_a_buffer_of_banks_pays_the_wires_between_them(self):
        bank, read_j, write_j = buffer(array(), "weight")
        assert bank == sram_access(8192, 128, 22e-9, "hp")
        wire_j = bank_wire_j(bank.area_m2, 2, 128, 22e-9)
        assert (read_j, write_j) == pytest.approx(((bank.read_j + wire_j) / 16, (bank.write_j + wire_j) / 16))

    def test_control_is_a_share_of_all_else(self):
        *others, control = cost(gemm(100, 100, 100, vector=1000)).energy_j[0, 0]
        assert control == pytest.approx(0.1 * sum(others))

    def test_components_and_what_they_rest_on(self):
        costs = cost(
            gemm(4, 4, 4), assumed={"control_fraction": "guess", "buffer_banks": "guess"}, ranges={"control_fraction": 2}, title="N"
        )
        parts = {part.name: part for part in costs.components[0]}
        assert list(parts) == ["mac", "register", "buffer", "vector", "control"]
        assert {name for name, part in parts.items() if part.assumed} == {"buffer", "control"}
        assert parts["buffer"].category == "memory"
        assert ("N.control_fraction", 2) in [(spread.name, spread.factor) for spread in parts["control"].spreads]


class TestAreaAndIdle:
    """Counted from units, or published."""

    def test_the_array_is_its_multipliers_and_adders_with_overhead(self):
        parts = area_parts(array())
        assert parts["mac_array"] == pytest.approx(2 * 16 * 8 * mac_area(8, 8, 32, 22e-9).value)
        assert parts["weight_buffer"] == pytest.approx(2 * sram_access(8192, 128, 22e-9, "hp").area_m2)
        device = SpatialArray("npu", array())
        assert device.area_m2 == pytest.approx(sum(parts.values()))
        assert device.area_parts_m2 == parts

    def test_a_published_area_is_split_as_the_parts_are(self):
        counted, published = area_parts(array()), area_parts(array(area="1 mm2"))
        assert sum(published.values()) == pytest.approx(1e-6)
        ratio = published["mac_array"] / counted["mac_array"]
        assert all(published[name] == pytest.approx(ratio * area) for name, area in counted.items())

    def test_idle_power_is_leakage_of_logic_and_buffers(self):
        spec = array()
        parts = area_parts(spec)
        logic_w = (parts["mac_array"] + parts["vector_unit"]) * logic_leakage(22e-9).value
        sram_w = 2 * sum(buffer(spec, name)[0].leakage_w for name in ("weight", "input", "output"))
        device = SpatialArray("npu", spec)
        assert device.idle_w == pytest.approx(logic_w + sram_w)
        assert device.idle_assumed
        assert device.idle_spreads[0].name == "technology.leakage"

    def test_a_published_idle_power_is_taken_as_it_is(self):
        device = SpatialArray("tpu", array(idle="28 W", sources={"idle": "a paper"}))
        assert (device.idle_w, device.idle_assumed, device.idle_spreads) == (28, False, ())


def part(name):
    return SpatialArraySpec.model_validate(
        {k: v for k, v in resolve_part(f"spatial_array/{name}").data.items() if k not in {"kind", "name"}}
    )


def test_tpu_v1_has_the_peak_and_power_of_its_paper():
    """Jouppi et al., ISCA 2017: 92 TOPS, 28 MiB on chip, 28 W idle, at most 331 mm2."""
    spec = part("tpu_v1")
    assert 2 * spec.rows * spec.cols * spec.clock_hz == pytest.approx(92e12, rel=0.01)
    assert spec.input_buffer_bytes + spec.output_buffer_bytes == 28 * 2**20
    device = SpatialArray("tpu", spec)
    assert device.idle_w == 28
    assert device.area_m2 == pytest.approx(331e-6)
    costs = SpatialArray.costs([spec], table(gemm(2048, 4096, 4096)))
    assert costs.energy_j[0, 0].sum() / costs.latency_s[0, 0] + device.idle_w < 75


def test_eyeriss_has_168_units_of_16_bits_that_do_33_6_g_macs():
    """Chen et al., JSSC 2017: 12 x 14 at 200 MHz."""
    spec = part("eyeriss_v1")
    assert spec.rows * spec.cols * spec.clock_hz == pytest.approx(33.6e9)
    costs = SpatialArray.costs([spec], table(gemm(64, 64, 64, bits=(16, 16)), gemm(64, 64, 64), stream(OpKind.POOL, 9, 9)))
    assert costs.compute_weight_bits[0].tolist()[:2] == [16, 16]
    assert costs.supported.tolist() == [[True, True, False]]


def test_the_edge_array_is_of_the_efficiency_of_its_node():
    """22 nm digital arrays are published at 0.1-1 pJ a MAC (DIANA digital: 14 TOPS/W peak = 0.14 pJ/MAC at low supply)."""
    costs = SpatialArray.costs([part("edge_npu_64x64_22nm")], table(gemm(784, 1152, 256)))
    assert 0.14e-12 < costs.energy_j[0, 0].sum() / (784 * 1152 * 256) < 1e-12
    assert device_class("spatial_array") is SpatialArray


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataflows": ["rs"]}, "'os', 'ws' or 'is'"),
        ({"dataflows": []}, "at least 1"),
        ({"dataflows": ["ws", "ws"]}, "names one twice"),
        ({"rows": 0}, "greater than 0"),
        ({"node": "3 nm"}, "5 nm to 180 nm"),
        ({"area_overhead": 0.5}, "greater than or equal to 1"),
    ],
)
def test_a_spec_that_is_not_physical_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        array(**changes)
