"""Costs of grouped GEMMs on compute-in-memory macros: (spec, op) -> mapping, time, energy by component, programming.

A spec comes as a row of floats (columns `ROW_J`...) and one of integers (`MACROS`...), an op as integers (`GROUPS`...).
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels._jit import kernel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of a spec, float64: energies at the macro's node, supply and mean values.
(
    ROW_J, CELL_J, EMPTY_J, COLUMN_J, ADC_J, READOUT_J, ADDER_J, REGISTER_J, IN_WRITE_J, IN_READ_J, OUT_WRITE_J, OUT_READ_J,
    WIRE_J, ROOT_M, PITCH_M, VECTOR_J, CONTROL, ACT_S, ADC_S, CYCLE_S, LAUNCH_S, WRITE_J, WRITE_S, BUFFER_BYTES,
) = range(24)  # fmt: skip
N_FLOATS = 24
# Columns of a spec, int64.
(
    MACROS, SCRATCH, ROWS, COLS, ACTIVE, CELL_BITS, SIGN_BITS, ROW_DEVICES, COL_DEVICES, SLICE_READS, UNIT, ADCS, INPUT_BITS,
    PHASES, PIPELINED, ACC_BITS, LINK_BITS, IN_TREE, LANES, CELLS_PER_WRITE, MACROS_PER_WRITE, MAX_COPIES,
) = range(22)  # fmt: skip
N_INTS = 22
# Columns of an op, int64.
GROUPS, M, K, N, WEIGHT_BITS, ACTIVATION_BITS, VECTOR_OPS, WEIGHT_BYTES, INPUT_BYTES, OUTPUT_BYTES = range(10)
# Columns of a mapping, int64.
(
    READOUTS, ROWS_OF_GROUP, COLS_OF_GROUP, PACKED, ROW_TILES, COL_TILES, ARRAYS, POOL, COPIES, ROUNDS, BIT_PASSES,
    ROW_GROUPS, ACTIVATIONS, REREADS,
) = range(14)  # fmt: skip
N_MAPPING = 14
# Components of energy, and what can limit the time.
DRIVER, CELL, ADC, DIGITAL, BUFFER, INTERCONNECT, VECTOR, CONTROL_E = range(8)
N_COMPONENTS = 8
BY_ARRAY, BY_ADC, BY_INTERCONNECT, BY_VECTOR = range(4)


@kernel
def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below a / b."""
    return -(-a // b)


@kernel
def map_op(n: Ints, op: Ints, out: Ints) -> None:
    """Lay one op out on arrays.

    A weight takes READOUTS groups of UNIT columns times its devices; groups of a grouped GEMM that are smaller than
    an array share it along the diagonal, PACKED at a time. ROW_GROUPS counts the activations in which a column takes
    part over all its row tiles, ACTIVATIONS those that the fullest array goes through for one vector and bit pass.
    """
    rows, cols, active = n[ROWS], n[COLS], n[ACTIVE]
    stored_bits = max(1, op[WEIGHT_BITS] - n[SIGN_BITS])
    readouts = ceil_div(stored_bits, n[CELL_BITS] * n[UNIT])
    k_rows = op[K] * n[ROW_DEVICES]
    n_cols = op[N] * readouts * n[UNIT] * n[COL_DEVICES]
    packed = 1
    if op[GROUPS] > 1 and k_rows <= rows and n_cols <= cols:
        packed = min(rows // k_rows, cols // n_cols, op[GROUPS])
    row_tiles = ceil_div(k_rows, rows)
    col_tiles = ceil_div(n_cols, cols)
    arrays = ceil_div(op[GROUPS], packed) * row_tiles * col_tiles
    pool = n[MACROS] - n[SCRATCH]
    if arrays > pool and n[SCRATCH] > 0:
        pool = n[SCRATCH]
    rounds_of_group = ceil_div(row_tiles * col_tiles, pool)
    out[READOUTS], out[ROWS_OF_GROUP], out[COLS_OF_GROUP] = readouts, k_rows, n_cols
    out[PACKED], out[ROW_TILES], out[COL_TILES] = packed, row_tiles, col_tiles
    out[ARRAYS], out[POOL], out[ROUNDS] = arrays, pool, ceil_div(arrays, pool)
    out[COPIES] = max(1, min(n[MAX_COPIES], pool // arrays, op[M]))
    out[BIT_PASSES] = ceil_div(op[ACTIVATION_BITS], n[INPUT_BITS]) * n[PHASES]
    out[ROW_GROUPS] = (row_tiles - 1) * ceil_div(rows, active) + ceil_div(k_rows - (row_tiles - 1) * rows, active)
    out[ACTIVATIONS] = ceil_div(min(rows, k_rows * packed), active)
    out[REREADS] = min(rounds_of_group, col_tiles)


@kernel
def conversion_steps(n: Ints, where: Ints) -> int:
    """Conversions that each ADC of the fullest array does one after another in one activation: ceil(columns / ADCs)."""
    if n[ADCS] == 0:
        return 0
    columns = ceil_div(min(n[COLS], where[COLS_OF_GROUP] * where[PACKED]) * n[SLICE_READS], n[COL_DEVICES] * n[UNIT])
    if where[PACKED] > 1:  # a column is read only while rows of its own group are active
        columns = ceil_div(columns * where[ROW_GROUPS], where[ACTIVATIONS])
    return ceil_div(columns, n[ADCS])


@kernel
def time_op(n: Ints, x: Floats, op: Ints, where: Ints) -> tuple[float, float, float, int]:
    """Latency, its fixed part and what copies of the weights do not shorten (s), and what limits.

    t_pass = t_act + t_conv + t_add, or the longest of them when pipelined; arrays work in parallel, rounds one
    after another, and the interconnect and the vector unit alongside: latency = fixed + max(array, link, vector).
    """
    convert_s = conversion_steps(n, where) * x[ADC_S]
    stages_s = x[ACT_S] + convert_s + x[CYCLE_S]
    pass_s = max(x[ACT_S], convert_s, x[CYCLE_S]) if n[PIPELINED] else stages_s
    n_passes = where[ROUNDS] * ceil_div(op[M], where[COPIES]) * where[BIT_PASSES] * where[ACTIVATIONS]
    outputs = op[M] * op[GROUPS] * op[N]
    arriving = 1 if n[IN_TREE] else where[ROW_TILES]
    bits = op[M] * op[GROUPS] * op[K] * op[ACTIVATION_BITS] * where[REREADS] + outputs * arriving * n[ACC_BITS]
    link_s = bits / n[LINK_BITS] * x[CYCLE_S]
    vector_s = (op[VECTOR_OPS] + outputs * (arriving - 1)) / n[LANES] * x[CYCLE_S]
    busy_s, limit = n_passes * pass_s, BY_ARRAY
    if convert_s > x[ACT_S]:
        limit = BY_ADC
    if link_s > busy_s:
        busy_s, limit = link_s, BY_INTERCONNECT
    if vector_s > busy_s:
        busy_s, limit = vector_s, BY_VECTOR
    fixed_s = x[LAUNCH_S] + stages_s - pass_s + x[CYCLE_S]
    return fixed_s + busy_s, fixed_s, max(link_s, vector_s), limit


@kernel
def sum_over_packs(groups: int, packed: int, k_rows: int, active: int) -> tuple[float, float]:
    """Over arrays that hold g groups each: sum of g times the activations of its rows, and sum of g^2."""
    full, rest = groups // packed, groups % packed
    lines = full * packed * ceil_div(k_rows * packed, active) + rest * ceil_div(k_rows * rest, active)
    return float(lines), float(full * packed * packed + rest * rest)


@kernel
def analog_energy(n: Ints, x: Floats, op: Ints, where: Ints, out: Floats) -> None:
    """Energy of drivers, cells with their lines, converters and the digital logic behind them, in J.

    Rows are driven once for each bit pass and column tile; cells of other groups in a driven row cost what an empty
    cell does; every line in use moves in every activation.
    """
    groups, k_rows, n_cols = op[GROUPS], where[ROWS_OF_GROUP], where[COLS_OF_GROUP]
    events = float(op[M] * where[BIT_PASSES])
    lines, squares = float(groups * where[ROW_GROUPS]), float(groups)
    if where[PACKED] > 1:
        lines, squares = sum_over_packs(groups, where[PACKED], k_rows, n[ACTIVE])
    cells = float(k_rows * n_cols)
    reads = events * groups * op[N] * where[READOUTS] * n[SLICE_READS] * where[ROW_GROUPS]
    out[DRIVER] = events * groups * k_rows * where[COL_TILES] * x[ROW_J]
    out[CELL] = events * (groups * cells * x[CELL_J] + (squares - groups) * cells * x[EMPTY_J] + lines * n_cols * x[COLUMN_J])
    out[ADC] = reads * x[ADC_J]
    out[DIGITAL] = reads * x[READOUT_J]
    if x[ADDER_J] > 0:  # adder trees over the rows: r (w + 1) - (w + ceil(log2 r) + 1) full adders for r rows of w bits
        inputs, levels = min(n[ACTIVE], k_rows, n[ROWS]), 0
        while (1 << levels) < inputs:
            levels += 1
        width = n[UNIT] * n[CELL_BITS] + 1
        adders = k_rows * width - where[ROW_GROUPS] * (width + levels)
        out[DIGITAL] += events * groups * op[N] * where[READOUTS] * adders * x[ADDER_J]


@kernel
def htree_m(root_m: float, pitch_m: float, n: float, region: float, leaves: float) -> float:
    """Wire of an H-tree of n leaves that reaches some leaves, spread evenly over a region of it.

    Down to the region ROOT (1 - sqrt(region / n)); a tree over one block for each leaf, of blocks p = PITCH sqrt(region / leaves)
    wide, 1.5 p (leaves - sqrt(leaves)); from the root of a block to its leaf p - PITCH each.
    """
    block_m = pitch_m * sqrt(region / leaves)
    return root_m * (1 - sqrt(region / n)) + 1.5 * block_m * (leaves - sqrt(leaves)) + leaves * (block_m - pitch_m)


@kernel
def moving_energy(n: Ints, x: Floats, op: Ints, where: Ints, refetches: int, out: Floats) -> None:
    """Energy of buffers and registers, of the H-tree to the macros, of the vector unit and of control, in J.

    Inputs are written once for each fetch and read once for each vector and reload. The column tiles that take the same inputs
    are neighbors; sums of row tiles come back one by one, or are added where branches of the tree meet.
    """
    outputs = float(op[M] * op[GROUPS] * op[N])
    streamed_bits = float(op[M] * op[GROUPS] * op[K] * op[ACTIVATION_BITS] * where[REREADS])
    latched_bits = float(op[M] * op[GROUPS] * where[ROWS_OF_GROUP] * where[COL_TILES] * op[ACTIVATION_BITS])
    out[BUFFER] = (
        op[INPUT_BYTES] * refetches * x[IN_WRITE_J]
        + streamed_bits / 8 * x[IN_READ_J]
        + latched_bits * x[REGISTER_J]
        + op[OUTPUT_BYTES] * (x[OUT_WRITE_J] + x[OUT_READ_J])
    )
    macros = float(n[MACROS])
    cols = min(float(ceil_div(where[COL_TILES], where[REREADS])), macros)
    in_m = htree_m(x[ROOT_M], x[PITCH_M], macros, cols, cols)
    out_m = where[ROW_TILES] * htree_m(x[ROOT_M], x[PITCH_M], macros, 1.0, 1.0)
    if n[IN_TREE]:
        rows = min(float(where[ROW_TILES]), macros)
        out_m = htree_m(x[ROOT_M], x[PITCH_M], macros, min(rows * cols, macros), rows)
    out[INTERCONNECT] = (streamed_bits * in_m + outputs * n[ACC_BITS] * out_m) * x[WIRE_J]
    out[VECTOR] = (op[VECTOR_OPS] + outputs * (where[ROW_TILES] - 1)) * x[VECTOR_J]
    total = 0.0
    for i in range(CONTROL_E):
        total += out[i]
    out[CONTROL_E] = total * x[CONTROL]


@kernel
def program_op(n: Ints, x: Floats, op: Ints, where: Ints) -> tuple[float, float]:
    """Time in s and energy in J of writing the op's weights once: rows one by one, some cells of a row and some macros at once.

    The rectangle that a pack of groups spans is written whole, its zeros included.
    """
    squares = float(op[GROUPS])
    if where[PACKED] > 1:
        _, squares = sum_over_packs(op[GROUPS], where[PACKED], where[ROWS_OF_GROUP], n[ACTIVE])
    cells = squares * where[ROWS_OF_GROUP] * where[COLS_OF_GROUP] * where[COPIES]
    rows = min(n[ROWS], where[ROWS_OF_GROUP] * where[PACKED])
    cols = min(n[COLS], where[COLS_OF_GROUP] * where[PACKED])
    batches = ceil_div(where[ARRAYS] * where[COPIES], n[MACROS_PER_WRITE])
    return float(batches * rows * ceil_div(cols, n[CELLS_PER_WRITE])) * x[WRITE_S], cells * x[WRITE_J]


@kernel
def cim_costs(
    ints: Ints,
    floats: Floats,
    ops: Ints,
    runs: NDArray[np.bool_],
    latency_s: Floats,
    fixed_s: Floats,
    serial_s: Floats,
    energy_j: Floats,
    n_bytes: Floats,
    limit: NDArray[np.int8],
    n_arrays: Ints,
    program_s: Floats,
    program_j: Floats,
    compute_bits: Ints,
) -> None:
    """Fill the columns of a cost table for every spec [s] and every op [o] with runs[o].

    Inputs: ints [s, N_INTS], floats [s, N_FLOATS], ops [o, 10]. Outputs [s, o] (energy_j [s, o, 8], n_bytes
    [s, o, 3], compute_bits [s, o, 2] of weights and activations), left as they are where an op does not run.
    """
    where = np.zeros(N_MAPPING, dtype=np.int64)
    for s in range(ints.shape[0]):
        n, x = ints[s], floats[s]
        for o in range(ops.shape[0]):
            if not runs[o]:
                continue
            op = ops[o]
            map_op(n, op, where)
            latency_s[s, o], fixed_s[s, o], serial_s[s, o], by = time_op(n, x, op, where)
            limit[s, o] = by
            refetches = where[REREADS] if op[INPUT_BYTES] > x[BUFFER_BYTES] else 1
            analog_energy(n, x, op, where, energy_j[s, o])
            moving_energy(n, x, op, where, refetches, energy_j[s, o])
            n_bytes[s, o, 0] = op[WEIGHT_BYTES]
            n_bytes[s, o, 1] = op[INPUT_BYTES] * refetches
            n_bytes[s, o, 2] = op[OUTPUT_BYTES]
            n_arrays[s, o] = where[ARRAYS] * where[COPIES]
            program_s[s, o], program_j[s, o] = program_op(n, x, op, where)
            compute_bits[s, o, 0] = where[READOUTS] * n[UNIT] * n[CELL_BITS] + n[SIGN_BITS]
            compute_bits[s, o, 1] = ceil_div(op[ACTIVATION_BITS], n[INPUT_BITS]) * n[INPUT_BITS]
