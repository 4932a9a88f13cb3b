"""The compute-in-memory kernel against a plain-Python twin that lays out every array and counts every event."""

from math import ceil, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.kernels import cim as k

# One prime or so for each float, so that no two terms can stand in for each other.
FLOATS = {
    "row_j": 2.0, "cell_j": 3.0, "empty_j": 5.0, "column_j": 7.0, "adc_j": 11.0, "readout_j": 13.0, "adder_j": 17.0, "register_j": 19.0,
    "in_write_j": 23.0, "in_read_j": 29.0, "out_write_j": 31.0, "out_read_j": 37.0, "wire_j": 41.0, "root_m": 43.0, "pitch_m": 4.0,
    "vector_j": 53.0, "control": 0.25, "act_s": 61.0, "adc_s": 67.0, "cycle_s": 2.0, "launch_s": 73.0, "write_j": 79.0, "write_s": 83.0,
    "buffer_bytes": 50.0,
}  # fmt: skip
INTS = {
    "macros": 4, "scratch": 0, "rows": 8, "cols": 12, "active": 8, "cell_bits": 1, "sign_bits": 0, "row_devices": 1, "col_devices": 1,
    "slice_reads": 1, "unit": 1, "adcs": 3, "input_bits": 1, "phases": 1, "pipelined": 0, "acc_bits": 8, "link_bits": 16, "in_tree": 0,
    "lanes": 2, "cells_per_write": 12, "macros_per_write": 1, "max_copies": 1,
}  # fmt: skip
OP = {
    "groups": 1, "m": 3, "k": 6, "n": 2, "weight_bits": 2, "activation_bits": 2, "vector_ops": 5, "weight_bytes": 3, "input_bytes": 5,
    "output_bytes": 2,
}  # fmt: skip


def run(n, x, op):
    """One spec and one op through the kernel."""
    one = (1, 1)
    out = {
        "latency_s": np.zeros(one), "fixed_s": np.zeros(one), "serial_s": np.zeros(one),
        "energy_j": np.zeros((1, 1, 8)), "n_bytes": np.zeros((1, 1, 3)),
        "limit": np.zeros(one, np.int8), "n_arrays": np.zeros(one, np.int64), "program_s": np.zeros(one), "program_j": np.zeros(one),
        "compute_bits": np.zeros((1, 1, 2), np.int64),
    }  # fmt: skip
    ints = np.array([[n[name] for name in INTS]], dtype=np.int64)
    floats = np.array([[x[name] for name in FLOATS]])
    ops = np.array([[op[name] for name in OP]], dtype=np.int64)
    k.cim_costs(ints, floats, ops, np.ones(1, dtype=np.bool_), *out.values())
    return {name: value[0, 0] for name, value in out.items()}


def layout(n, op):
    """Arrays as lists of blocks (rows, columns): the groups in each, or one tile of one group."""
    readouts = ceil(max(1, op["weight_bits"] - n["sign_bits"]) / (n["cell_bits"] * n["unit"]))
    rows, cols = op["k"] * n["row_devices"], op["n"] * readouts * n["unit"] * n["col_devices"]
    arrays = []
    if op["groups"] > 1 and rows <= n["rows"] and cols <= n["cols"]:
        for _ in range(op["groups"]):
            last = arrays[-1] if arrays else None
            fits = last and sum(r for r, _ in last) + rows <= n["rows"] and sum(c for _, c in last) + cols <= n["cols"]
            if fits:
                last.append((rows, cols))
            else:
                arrays.append([(rows, cols)])
        return readouts, arrays, 1, 1
    row_tiles = [min(n["rows"], rows - start) for start in range(0, rows, n["rows"])]
    col_tiles = [min(n["cols"], cols - start) for start in range(0, cols, n["cols"])]
    for _ in range(op["groups"]):
        arrays += [[(r, c)] for r in row_tiles for c in col_tiles]
    return readouts, arrays, len(row_tiles), len(col_tiles)


def tree_m(x, n, region, leaves):
    """Wire of an H-tree over n leaves down to a region, over blocks of it, and down each block to its leaf."""
    block_m = x["pitch_m"] * sqrt(region / leaves)
    return x["root_m"] * (1 - sqrt(region / n)) + 1.5 * block_m * (leaves - sqrt(leaves)) + leaves * (block_m - x["pitch_m"])


def moved(n, x, op, rereads, n_row_tiles, n_col_tiles):
    """How often inputs are fetched, and joules of buffers and of wires between them and the macros."""
    outputs = op["m"] * op["groups"] * op["n"]
    streamed = op["m"] * op["groups"] * op["k"] * op["activation_bits"] * rereads
    refetches = rereads if op["input_bytes"] > x["buffer_bytes"] else 1
    latched = op["m"] * op["groups"] * op["k"] * n["row_devices"] * n_col_tiles * op["activation_bits"]
    buffer = op["input_bytes"] * refetches * x["in_write_j"] + streamed / 8 * x["in_read_j"] + latched * x["register_j"]
    buffer += op["output_bytes"] * (x["out_write_j"] + x["out_read_j"])
    cols = min(ceil(n_col_tiles / rereads), n["macros"])
    rows = min(n_row_tiles, n["macros"])
    in_m = tree_m(x, n["macros"], cols, cols)
    out_m = tree_m(x, n["macros"], min(rows * cols, n["macros"]), rows) if n["in_tree"] else n_row_tiles * tree_m(x, n["macros"], 1, 1)
    wires = (streamed * in_m + outputs * n["acc_bits"] * out_m) * x["wire_j"]
    return refetches, buffer, wires


def naive(n, x, op):
    """Count events array by array."""
    readouts, arrays, n_row_tiles, n_col_tiles = layout(n, op)
    passes = ceil(op["activation_bits"] / n["input_bits"]) * n["phases"]
    events = op["m"] * passes
    outputs = op["m"] * op["groups"] * op["n"]
    pool = n["macros"] - n["scratch"]
    if len(arrays) > pool and n["scratch"]:
        pool = n["scratch"]
    copies = max(1, min(n["max_copies"], pool // len(arrays), op["m"]))
    rereads = min(ceil(n_row_tiles * n_col_tiles / pool), n_col_tiles)
    driver = cell = reads = trees = programmed = 0.0
    activations = steps = used_rows = used_cols = 0
    for blocks in arrays:
        rows, cols = sum(r for r, _ in blocks), sum(c for _, c in blocks)
        acts = ceil(rows / n["active"])
        full = sum(r * c for r, c in blocks)
        driver += events * rows * x["row_j"]
        cell += events * (full * x["cell_j"] + (rows * cols - full) * x["empty_j"] + acts * cols * x["column_j"])
        programmed += rows * cols
        sums = 0
        for r, c in blocks:
            columns = c * n["slice_reads"] / (n["col_devices"] * n["unit"])
            reads += events * columns * ceil(r / n["active"])
            sums += columns * ceil(r / n["active"])
            levels = ceil(np.log2(min(n["active"], op["k"] * n["row_devices"], n["rows"])))
            width = n["unit"] * n["cell_bits"] + 1
            trees += events * columns * (r * width - ceil(r / n["active"]) * (width + levels))
        activations = max(activations, acts)
        if n["adcs"]:
            whole = ceil(cols * n["slice_reads"] / (n["col_devices"] * n["unit"]))
            per_activation = whole if len(blocks) == 1 else ceil(round(sums, 6) / acts)
            steps = max(steps, ceil(per_activation / n["adcs"]))
        used_rows, used_cols = max(used_rows, rows), max(used_cols, cols)
    stages = (x["act_s"], steps * x["adc_s"], x["cycle_s"])
    pass_s = max(stages) if n["pipelined"] else sum(stages)
    array_s = ceil(len(arrays) / pool) * ceil(op["m"] / copies) * passes * activations * pass_s
    streamed = op["m"] * op["groups"] * op["k"] * op["activation_bits"] * rereads
    arriving = 1 if n["in_tree"] else n_row_tiles
    link_s = (streamed + outputs * arriving * n["acc_bits"]) / n["link_bits"] * x["cycle_s"]
    vector_ops = op["vector_ops"] + outputs * (n_row_tiles - 1)
    vector_s = (op["vector_ops"] + outputs * (arriving - 1)) / n["lanes"] * x["cycle_s"]
    fixed_s = x["launch_s"] + sum(stages) - pass_s + x["cycle_s"]
    refetches, buffer, wires = moved(n, x, op, rereads, n_row_tiles, n_col_tiles)
    parts = [driver, cell, reads * x["adc_j"], reads * x["readout_j"] + trees * x["adder_j"], buffer, wires, vector_ops * x["vector_j"]]
    return {
        "latency_s": fixed_s + max(array_s, link_s, vector_s),
        "fixed_s": fixed_s,
        "serial_s": max(link_s, vector_s),
        "energy_j": np.array([*parts, sum(parts) * x["control"]]),
        "n_bytes": np.array([op["weight_bytes"], op["input_bytes"] * refetches, op["output_bytes"]]),
        "n_arrays": len(arrays) * copies,
        "program_s": ceil(len(arrays) * copies / n["macros_per_write"]) * used_rows * ceil(used_cols / n["cells_per_write"]) * x["write_s"],
        "program_j": programmed * copies * x["write_j"],
        "compute_bits": np.array(
            [readouts * n["unit"] * n["cell_bits"] + n["sign_bits"], ceil(op["activation_bits"] / n["input_bits"]) * n["input_bits"]]
        ),
    }


@st.composite
def cases(draw):
    """A small spec and a small op; columns divide into whole readouts, as macros are built."""
    encoding = draw(st.sampled_from([(0, 1, 1, 1), (1, 2, 1, 1), (1, 2, 1, 2), (1, 1, 2, 1)]))
    sign_bits, col_devices, row_devices, slice_reads = encoding
    unit = draw(st.sampled_from([1, 2, 4])) if sign_bits == 0 else 1
    digital = unit > 1
    rows = draw(st.integers(row_devices, 10))
    n = INTS | {
        "macros": draw(st.integers(1, 9)), "rows": rows, "cols": unit * col_devices * draw(st.integers(1, 8)),
        "active": draw(st.integers(1, rows)), "cell_bits": 1 if digital else draw(st.integers(1, 3)), "sign_bits": sign_bits,
        "row_devices": row_devices, "col_devices": col_devices, "slice_reads": slice_reads, "unit": unit,
        "adcs": 0 if digital else draw(st.integers(1, 5)),
        "input_bits": draw(st.integers(1, 4)), "phases": draw(st.integers(1, 2)), "pipelined": draw(st.integers(0, 1)),
        "lanes": draw(st.sampled_from([1, 64])), "link_bits": draw(st.sampled_from([1, 512])), "cells_per_write": draw(st.integers(1, 12)),
        "macros_per_write": draw(st.integers(1, 4)), "max_copies": draw(st.integers(1, 3)), "in_tree": draw(st.integers(0, 1)),
    }  # fmt: skip
    n["scratch"] = draw(st.integers(0, n["macros"] - 1))
    op = OP | {
        "groups": draw(st.integers(1, 7)), "m": draw(st.integers(1, 5)), "k": draw(st.integers(1, 25)), "n": draw(st.integers(1, 9)),
        "weight_bits": draw(st.integers(1, 8)), "activation_bits": draw(st.integers(1, 8)), "vector_ops": draw(st.integers(0, 500)),
        "input_bytes": draw(st.sampled_from([5, 500])),
    }  # fmt: skip
    x = FLOATS | {"adder_j": 17.0 if digital else 0.0, "adc_j": 0.0 if digital else 11.0}
    return n, x, op


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_kernel_counts_what_the_arrays_do(case):
    found, expected = run(*case), naive(*case)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


def test_one_small_op_by_hand():
    """3 vectors of 6 inputs, 2 outputs, 2-bit weights and inputs, arrays of 8 x 12 (used: 6 x 4), 3 ADCs.

    2 bit passes of 3 vectors = 6 events, each drives 6 rows, reads 24 cells, moves 4 lines, converts 4 sums in 2 steps.
    """
    found = run(INTS, FLOATS | {"adder_j": 0.0}, OP)
    driver, cell, adc, digital = 6 * 6 * 2.0, 6 * (24 * 3.0 + 4 * 7.0), 6 * 4 * 11.0, 6 * 4 * 13.0
    assert found["energy_j"][:4] == pytest.approx([driver, cell, adc, digital])
    # buffer: 5 bytes in at 23; 3 vectors * 6 * 2 bits = 4.5 bytes out at 29; 36 bits latched at 19; 2 bytes at 31 + 37
    buffer = 5 * 23 + 4.5 * 29 + 36 * 19 + 2 * (31 + 37)
    # wires to one of four macros and back: half of the root's 43 m; 36 bits in, 6 outputs of 8 bits back
    wires = (36 + 48) * 43 * 0.5 * 41
    vector = 5 * 53.0  # five operations, no partial sums to add
    assert found["energy_j"][4:7] == pytest.approx([buffer, wires, vector])
    assert found["energy_j"][7] == pytest.approx(0.25 * (driver + cell + adc + digital + buffer + wires + vector))
    # a pass: 61 driving and settling, 2 conversions of 67, one cycle of 2; 6 of them, a launch of 73 and a last cycle
    assert found["latency_s"] == pytest.approx(73 + 2 + 6 * (61 + 2 * 67 + 2))
    assert found["fixed_s"] == pytest.approx(75)
    assert found["serial_s"] == pytest.approx(
        (36 + 48) / 16 * 2
    )  # 84 bits over a tree of 16 a cycle of 2; 5 operations on 2 lanes are less
    assert found["limit"] == k.BY_ADC
    assert found["n_arrays"] == 1
    # 6 rows written one after another, 12 cells at once; 24 cells
    assert found["program_s"] == pytest.approx(6 * 83)
    assert found["program_j"] == pytest.approx(24 * 79)
    assert list(found["n_bytes"]) == [3, 5, 2]


def test_a_pipelined_pass_lasts_as_long_as_its_longest_stage():
    found = run(INTS | {"pipelined": 1}, FLOATS, OP)
    assert found["latency_s"] == pytest.approx(73 + 2 + (61 + 134 + 2 - 134) + 6 * 134)  # filled once, then one pass every 134


@pytest.mark.parametrize(
    ("change", "op", "limit"),
    [
        ({"adcs": 12}, {}, k.BY_ADC),  # one conversion of 67 still outlasts 61
        ({"adcs": 12, "input_bits": 2}, {}, k.BY_ADC),
        ({"link_bits": 1, "lanes": 64}, {"m": 100, "k": 8}, k.BY_ADC),
        ({"link_bits": 1, "acc_bits": 64}, {"m": 100, "n": 6, "weight_bits": 1, "activation_bits": 1}, k.BY_INTERCONNECT),
        ({}, {"vector_ops": 10_000}, k.BY_VECTOR),
    ],
)
def test_what_limits_is_named(change, op, limit):
    x = FLOATS | ({"adc_s": 6.0, "act_s": 5.0} if limit == k.BY_INTERCONNECT else {})
    assert run(INTS | change, x, OP | op)["limit"] == limit


def test_a_macro_without_converters_is_limited_by_its_array():
    assert run(INTS | {"adcs": 0}, FLOATS, OP)["limit"] == k.BY_ARRAY


def test_an_op_that_does_not_run_is_left_alone():
    out = [np.full((1, 1), np.inf), np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1, 8)), np.zeros((1, 1, 3)), np.zeros((1, 1), np.int8)]
    out += [np.zeros((1, 1), np.int64), np.zeros((1, 1)), np.zeros((1, 1)), np.full((1, 1, 2), 8, dtype=np.int64)]
    ints = np.array([[INTS[name] for name in INTS]], dtype=np.int64)
    floats = np.array([[FLOATS[name] for name in FLOATS]])
    k.cim_costs(ints, floats, np.zeros((1, 10), np.int64), np.zeros(1, dtype=np.bool_), *out)
    assert np.isinf(out[0]).all()
    assert not out[3].any()
    assert (out[9] == 8).all()


def test_inputs_are_fetched_again_only_when_columns_go_in_rounds_and_the_buffer_is_small():
    """30 columns on arrays of 12: three column tiles; on one macro, three rounds over the same inputs."""
    op = OP | {"n": 15, "input_bytes": 60}
    assert run(INTS | {"macros": 3}, FLOATS, op)["n_bytes"][1] == 60
    assert run(INTS | {"macros": 1}, FLOATS, op)["n_bytes"][1] == 3 * 60
    assert run(INTS | {"macros": 1}, FLOATS | {"buffer_bytes": 64.0}, op)["n_bytes"][1] == 60
    # row tiles need different inputs: two tiles of rows in two rounds fetch each input once
    assert run(INTS | {"macros": 1}, FLOATS, OP | {"k": 16, "input_bytes": 60})["n_bytes"][1] == 60


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_wire_of_a_full_h_tree_is_that_of_its_hs(levels):
    """A square of side s holds an H of 1.5 s; each of its quarters holds one of half the size, and so on down to leaves of 1."""
    leaves, side = 4**levels, 2.0**levels
    wire_m = sum(4**level * 1.5 * side / 2**level / 1 for level in range(levels))
    assert k.htree_m(side, 1.0, float(leaves), float(leaves), float(leaves)) == pytest.approx(wire_m)
    # one leaf: down every level half a side, to the center of a quarter: s / 2 + s / 4 + ... = s - 1
    assert k.htree_m(side, 1.0, float(leaves), 1.0, 1.0) == pytest.approx(side - 1)
    # one leaf somewhere in the tree is as far whatever region it is looked for in
    assert k.htree_m(side, 1.0, float(leaves), float(leaves), 1.0) == pytest.approx(side - 1)


def test_sums_that_meet_in_the_tree_spare_wire_and_lanes():
    """Two row tiles on four macros: two sums of 8 bits go back one by one, or one sum from where they meet."""
    op = OP | {"k": 16, "vector_ops": 0}
    x = FLOATS | {"root_m": 8.0}  # four macros of 4 m
    apart, joined = run(INTS, x, op), run(INTS | {"in_tree": 1}, x, op)
    in_m = 4.0  # half of the root for the one column tile
    joined_m = k.htree_m(8.0, 4.0, 4.0, 2.0, 2.0)
    assert joined_m < 2 * 4.0
    assert apart["energy_j"][k.INTERCONNECT] == pytest.approx((96 * in_m + 6 * 8 * 2 * 4.0) * 41)
    assert joined["energy_j"][k.INTERCONNECT] == pytest.approx((96 * in_m + 6 * 8 * joined_m) * 41)
    assert joined["energy_j"][k.VECTOR] == apart["energy_j"][k.VECTOR] == 6 * 53.0  # an addition costs the same in either place


def test_groups_packed_beyond_the_active_rows_convert_only_their_own_columns():
    """Two groups of 4 rows x 6 columns share an array of 8 x 12; with 4 rows active each half converts 6 columns."""
    op = OP | {"groups": 2, "k": 4, "n": 3, "weight_bits": 2}
    whole, halves = run(INTS, FLOATS, op), run(INTS | {"active": 4}, FLOATS, op)
    assert whole["n_arrays"] == halves["n_arrays"] == 1
    assert whole["energy_j"][k.ADC] == halves["energy_j"][k.ADC]
    assert whole["latency_s"] - whole["fixed_s"] == pytest.approx(6 * (61 + 4 * 67 + 2))  # 12 columns on 3 ADCs
    assert halves["latency_s"] - halves["fixed_s"] == pytest.approx(6 * 2 * (61 + 2 * 67 + 2))  # twice 6 columns
