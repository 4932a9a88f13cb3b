"""Time, energy and traffic of ops on a systolic MAC array with three operand buffers: one call for all specs and ops.

Cycle law (verified against SCALE-Sim 3.0.0): a GEMM C[M, N] = A[M, K] B[K, N] is laid on R x C MACs as
(Sr, Sc, T) = os (M, N, K), ws (K, N, M), is (K, M, N); folds = ceil(Sr / R) ceil(Sc / C);
cycles = folds * (R + C + T - 2) for os, folds * (2R + C + T - 2) for ws and is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels import opcolumns as op_
from hw_models.kernels._jit import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of the spec matrix.
(
    ROWS,
    COLS,
    CLOCK_HZ,
    LAUNCH_S,
    PORT_BYTES_PER_S,
    NATIVE_BITS,
    SCALABLE,  # 1: narrower operands leave multiplier bits idle
    ACCUMULATOR_BITS,
    LANES,  # vector results per cycle
    SPECIAL_SLOWDOWN,
    HAS_OS,
    HAS_WS,
    HAS_IS,
    WEIGHT_HALF_BYTES,  # usable half of each double-buffered memory
    INPUT_HALF_BYTES,
    OUTPUT_HALF_BYTES,
    WEIGHT_READ_J_PER_BYTE,
    WEIGHT_WRITE_J_PER_BYTE,
    INPUT_READ_J_PER_BYTE,
    INPUT_WRITE_J_PER_BYTE,
    OUTPUT_READ_J_PER_BYTE,
    OUTPUT_WRITE_J_PER_BYTE,
    REGISTER_J_PER_BIT,
    ALU_J,
    CONTROL_FRACTION,
) = range(25)
N_COLUMNS = 25

OS, WS, IS = range(3)
LIMIT_COMPUTE, LIMIT_VECTOR, LIMIT_LAUNCH = range(3)
ENERGY_MAC, ENERGY_REGISTER, ENERGY_BUFFER, ENERGY_VECTOR, ENERGY_CONTROL = range(5)


@kernel
def _ceil_div(a: int, b: int) -> int:
    """Quotient of two positive integers, rounded up."""
    return -(-a // b)


@kernel
def _spatial(flow: int, m: int, k: int, n: int) -> tuple[int, int, int]:
    """What a dataflow lays along rows, along columns and along time."""
    if flow == OS:
        return m, n, k
    if flow == WS:
        return k, n, m
    return k, m, n


@kernel
def packed_groups(rows: int, cols: int, along_rows: int, along_cols: int) -> int:
    """Groups of a grouped GEMM that share a fold as blocks of a block-diagonal matrix: min(R // Sr, C // Sc), at least 1.

    Block i takes rows and columns of its own. ws and is hold zeros off the diagonal, so that a column adds
    up its own group only; os forms products of unlike groups there, which are not read out. All groups
    have the same T, so a packed fold takes the cycles of a single one.
    """
    return max(1, min(rows // along_rows, cols // along_cols))


@kernel
def systolic_cycles(rows: int, cols: int, flow: int, groups: int, m: int, k: int, n: int, chunks: int) -> int:
    """Cycles of a grouped GEMM: ceil(groups / packed) * folds * cycles of one fold.

    With T cut into `chunks` each is a GEMM of its own, so fill and drain come once per chunk.
    """
    along_rows, along_cols, along_time = _spatial(flow, m, k, n)
    packed = packed_groups(rows, cols, along_rows, along_cols)
    folds = _ceil_div(groups, packed) * _ceil_div(along_rows, rows) * _ceil_div(along_cols, cols)
    fill = rows if flow == OS else 2 * rows
    return folds * (chunks * (fill + cols - 2) + along_time)


@kernel
def time_chunks(spec: Floats, op: Ints, flow: int, passes: int) -> int:
    """Chunks of T whose sums fit the output buffer until all row folds are added: ceil(T min(Sc, C) bytes / half); 1 if nothing spills."""
    rows, cols = int(spec[ROWS]), int(spec[COLS])
    along_rows, along_cols, along_time = _spatial(flow, op[op_.M], op[op_.K], op[op_.N])
    if flow == OS or _ceil_div(along_rows, rows) * passes == 1:
        return 1
    used_cols = min(cols, along_cols * packed_groups(rows, cols, along_rows, along_cols))
    panel_bytes = float(along_time) * used_cols * spec[ACCUMULATOR_BITS] / 8
    return max(1, min(along_time, int(np.ceil(panel_bytes / spec[OUTPUT_HALF_BYTES]))))


@kernel
def refetched_bytes(n_bytes: float, times: int, resident_bytes: float) -> float:
    """Bytes read when an operand is walked `times` over and `resident_bytes` of it stay: n + (times - 1) max(0, n - resident)."""
    return n_bytes + (times - 1) * max(0.0, n_bytes - resident_bytes)


@kernel
def port_bytes(
    spec: Floats, op: Ints, flow: int, order: int, chunks: int, weight_passes: int, input_passes: int
) -> tuple[float, float, float]:
    """Bytes of weight, input and output between buffers and backing store, for a dataflow and a loop order.

    order 0 keeps the loop over column folds outside, order 1 inside. The operand that is held while the
    inner loop runs is needed in panels (one per outer step); the one that is walked again in each outer step
    is needed whole. os: panels of A (order 1: of B), no partial sums leave. ws: each tile of B is used in one fold;
    A is walked once per column fold; sums live across row folds, in panels of C columns (order 0) or whole
    (order 1), and what exceeds the output buffer is written and read back between folds; order 2 is order 0 with T cut into
    chunks, each of which walks the panel of B again. is: ws with A and B swapped.
    A streaming operand is walked again for each slice of the other one's bits.
    """
    rows, cols, groups = int(spec[ROWS]), int(spec[COLS]), op[op_.GROUPS]
    along_rows, along_cols, _ = _spatial(flow, op[op_.M], op[op_.K], op[op_.N])
    row_folds, col_folds = _ceil_div(along_rows, rows), _ceil_div(along_cols, cols)
    weight = np.ceil(op[op_.WEIGHT_ELEMENTS] * op[op_.WEIGHT_BITS] / 8)
    inputs = np.ceil(op[op_.INPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    output = np.ceil(op[op_.OUTPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    batches = _ceil_div(groups, packed_groups(rows, cols, along_rows, along_cols))
    weight_half, input_half = batches * spec[WEIGHT_HALF_BYTES], batches * spec[INPUT_HALF_BYTES]
    if flow == OS:
        input_panels, weight_panels = (1, col_folds) if order == 0 else (row_folds, 1)
        inputs = refetched_bytes(inputs, col_folds * weight_passes, input_panels * input_half)
        weight = refetched_bytes(weight, row_folds * input_passes, weight_panels * weight_half)
        return weight, inputs, output
    panels = row_folds if order == 1 else 1
    if flow == WS:
        inputs = refetched_bytes(inputs, col_folds * weight_passes, panels * input_half)
        weight = refetched_bytes(weight, chunks, col_folds * weight_half)
    else:
        weight = refetched_bytes(weight, col_folds * input_passes, panels * weight_half)
        inputs = refetched_bytes(inputs, chunks, col_folds * input_half)
    sums = float(groups * op[op_.M]) * op[op_.N] * spec[ACCUMULATOR_BITS] / 8
    sum_panels = 1 if order == 1 else col_folds * chunks
    spilled = 2 * (row_folds * weight_passes * input_passes - 1) * max(0.0, sums - sum_panels * batches * spec[OUTPUT_HALF_BYTES])
    return weight, inputs, output + spilled


@kernel
def array_bits(
    op: Ints, flow: int, row_folds: int, col_folds: int, chunks: int, weight_passes: int, input_passes: int
) -> tuple[float, float, float]:
    """Bits of B and A read from their buffers into the array, and elements written to (as often read from) the output buffer.

    os: A once per column fold, B once per row fold, sums drained once. ws: B once, A once per column fold,
    sums written in each row fold and read back in the next or drained. is: A once, B once per column fold.
    What streams does so once per slice of the other operand's bits; what the array holds is loaded slice by slice, once per chunk of T.
    """
    a = float(op[op_.GROUPS] * op[op_.M]) * op[op_.K] * op[op_.ACTIVATION_BITS]
    b = float(op[op_.GROUPS] * op[op_.K]) * op[op_.N] * op[op_.WEIGHT_BITS]
    sums = float(op[op_.GROUPS] * op[op_.M]) * op[op_.N]
    if flow == OS:
        return b * row_folds * input_passes, a * col_folds * weight_passes, sums
    sums *= row_folds * weight_passes * input_passes
    if flow == WS:
        return b * chunks, a * col_folds * weight_passes, sums
    return b * col_folds * input_passes, a * chunks, sums


@kernel
def _best_mapping(spec: Floats, op: Ints, weight_passes: int, input_passes: int) -> tuple[int, int, int, int]:
    """Dataflow, order, chunks and cycles that minimize max(cycles / clock, bytes / port bandwidth), then bytes, then cycles."""
    best = (0, 0, 1, 0)
    best_s, best_bytes = np.inf, np.inf
    passes = weight_passes * input_passes
    rows, cols, groups = int(spec[ROWS]), int(spec[COLS]), op[op_.GROUPS]
    for flow in range(3):
        if spec[HAS_OS + flow] == 0:
            continue
        needed = time_chunks(spec, op, flow, passes)
        for order in range(3 if needed > 1 else 2):
            chunks = needed if order == 2 else 1
            cycles = passes * systolic_cycles(rows, cols, flow, groups, op[op_.M], op[op_.K], op[op_.N], chunks)
            weight, inputs, output = port_bytes(spec, op, flow, order, chunks, weight_passes, input_passes)
            total = weight + inputs + output
            time_s = max(cycles / spec[CLOCK_HZ], total / spec[PORT_BYTES_PER_S])
            better_tie = total < best_bytes or (total == best_bytes and cycles < best[3])
            if time_s < best_s or (time_s == best_s and better_tie):
                best, best_s, best_bytes = (flow, order, chunks, cycles), time_s, total
    return best


@kernel
def _gemm(spec: Floats, op: Ints, energy_j: Floats, n_bytes: Floats) -> tuple[int, int]:
    """Fill bytes, register and buffer energy of one grouped GEMM; return (cycles, dataflow)."""
    native = int(spec[NATIVE_BITS])
    weight_passes = _ceil_div(op[op_.WEIGHT_BITS], native)
    input_passes = _ceil_div(op[op_.ACTIVATION_BITS], native)
    flow, order, chunks, cycles = _best_mapping(spec, op, weight_passes, input_passes)
    n_bytes[0], n_bytes[1], n_bytes[2] = port_bytes(spec, op, flow, order, chunks, weight_passes, input_passes)
    along_rows, along_cols, _ = _spatial(flow, op[op_.M], op[op_.K], op[op_.N])
    row_folds, col_folds = _ceil_div(along_rows, int(spec[ROWS])), _ceil_div(along_cols, int(spec[COLS]))
    weight_bits, input_bits, sums = array_bits(op, flow, row_folds, col_folds, chunks, weight_passes, input_passes)
    macs = float(op[op_.GROUPS] * op[op_.M]) * op[op_.K] * op[op_.N]
    gated = spec[SCALABLE] > 0
    moved_weight = min(native, op[op_.WEIGHT_BITS]) if gated else native
    moved_input = min(native, op[op_.ACTIVATION_BITS]) if gated else native
    moving = spec[ACCUMULATOR_BITS] + (0 if flow == IS else moved_input) + (0 if flow == WS else moved_weight)
    energy_j[ENERGY_REGISTER] = macs * weight_passes * input_passes * moving * spec[REGISTER_J_PER_BIT]
    spill_bytes = n_bytes[2] - np.ceil(op[op_.OUTPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    sum_bytes = sums * spec[ACCUMULATOR_BITS] / 8 + spill_bytes / 2
    energy_j[ENERGY_BUFFER] = (
        n_bytes[0] * spec[WEIGHT_WRITE_J_PER_BYTE]
        + weight_bits / 8 * spec[WEIGHT_READ_J_PER_BYTE]
        + n_bytes[1] * spec[INPUT_WRITE_J_PER_BYTE]
        + input_bits / 8 * spec[INPUT_READ_J_PER_BYTE]
        + sum_bytes * (spec[OUTPUT_WRITE_J_PER_BYTE] + spec[OUTPUT_READ_J_PER_BYTE])
    )
    return cycles, flow


@kernel
def _stream(spec: Floats, op: Ints, energy_j: Floats, n_bytes: Floats) -> None:
    """Fill bytes and buffer energy of an op without MACs: every operand passes its buffer once."""
    n_bytes[0] = np.ceil(op[op_.WEIGHT_ELEMENTS] * op[op_.WEIGHT_BITS] / 8)
    n_bytes[1] = np.ceil(op[op_.INPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    n_bytes[2] = np.ceil(op[op_.OUTPUT_ELEMENTS] * op[op_.ACTIVATION_BITS] / 8)
    energy_j[ENERGY_BUFFER] = (
        n_bytes[0] * (spec[WEIGHT_WRITE_J_PER_BYTE] + spec[WEIGHT_READ_J_PER_BYTE])
        + n_bytes[1] * (spec[INPUT_WRITE_J_PER_BYTE] + spec[INPUT_READ_J_PER_BYTE])
        + n_bytes[2] * (spec[OUTPUT_WRITE_J_PER_BYTE] + spec[OUTPUT_READ_J_PER_BYTE])
    )


@kernel
def _cost_op(spec: Floats, op: Ints, mac_j: float, energy_j: Floats, n_bytes: Floats) -> tuple[float, int, int]:
    """Fill energy and bytes of one op on one spec; return its latency, what limits it and its dataflow.

    The vector unit works on results as they leave the array: latency = launch + max(array, vector).
    """
    steps = float(op[op_.N_VECTOR_OPS])
    if op[op_.KIND] == op_.MOVE:
        steps = max(steps, float(op_.MOVE_OPS_PER_ELEMENT * op[op_.OUTPUT_ELEMENTS]))
    if op[op_.SPECIAL] > 0:
        steps *= spec[SPECIAL_SLOWDOWN]
    vector_s = np.ceil(steps / spec[LANES]) / spec[CLOCK_HZ]
    macs = float(op[op_.GROUPS] * op[op_.M]) * op[op_.K] * op[op_.N]
    array_s, flow = 0.0, -1
    if macs > 0:
        cycles, flow = _gemm(spec, op, energy_j, n_bytes)
        array_s = cycles / spec[CLOCK_HZ]
    else:
        _stream(spec, op, energy_j, n_bytes)
    energy_j[ENERGY_MAC] = macs * mac_j
    energy_j[ENERGY_VECTOR] = steps * spec[ALU_J]
    spent_j = energy_j[ENERGY_MAC] + energy_j[ENERGY_REGISTER] + energy_j[ENERGY_BUFFER] + energy_j[ENERGY_VECTOR]
    energy_j[ENERGY_CONTROL] = spent_j * spec[CONTROL_FRACTION]
    limit = LIMIT_COMPUTE if array_s >= vector_s else LIMIT_VECTOR
    if spec[LAUNCH_S] > max(array_s, vector_s):
        limit = LIMIT_LAUNCH
    return spec[LAUNCH_S] + max(array_s, vector_s), limit, flow


@kernel
def systolic_costs(
    specs: Floats, ops: Ints, mac_j: Floats, allowed: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats, NDArray[np.int8], NDArray[np.int8]]:
    """Cost `ops[n_ops, 13]` on `specs[n_specs, 25]` where `allowed`: (latency_s, energy_j, n_bytes, limit, flow).

    `mac_j[n_specs, n_ops]` is the energy of one MAC at the op's bits, all passes; latency_s is inf where the op is not
    allowed; energy_j[..., 5] is mac, register, buffer, vector, control; flow is the dataflow taken (-1: none).
    """
    n_specs, n_ops = allowed.shape
    latency_s = np.full((n_specs, n_ops), np.inf)
    energy_j = np.zeros((n_specs, n_ops, 5))
    n_bytes = np.zeros((n_specs, n_ops, 3))
    limit = np.zeros((n_specs, n_ops), dtype=np.int8)
    flow = np.full((n_specs, n_ops), -1, dtype=np.int8)
    for s in range(n_specs):
        for o in range(n_ops):
            if allowed[s, o]:
                costs = _cost_op(specs[s], ops[o], mac_j[s, o], energy_j[s, o], n_bytes[s, o])
                latency_s[s, o], limit[s, o], flow[s, o] = costs
    return latency_s, energy_j, n_bytes, limit, flow
