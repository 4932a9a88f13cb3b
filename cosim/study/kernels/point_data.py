"""What a batch of design points is computed from: arrays of all variants of each part of a chip, and which of them a point takes.

n ops, m devices, k memories, e edges, t weight tensors of one network; all integers are int64, all numbers float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.simulation.kernels.residency import N_COSTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Columns of a cost row behind those of residency: SNR of the outputs, loss of accuracy, then joules by component.
SNR_DB, LOSS, PARTS = N_COSTS, N_COSTS + 1, N_COSTS + 2

# Integers of a device variant: arrays that hold weights, arrays that are rewritten, spread sets, what is assumed, whether it is analog.
HELD, SCRATCH, LAUNCH_SET, IDLE_SET, PROGRAM_SET, IDLE_ASSUMED, PROGRAM_ASSUMED, IS_ANALOG = range(8)
# Integers of a cost block: spread set of its latency, then (spread set, category, assumed) of each component.
LATENCY_SET, BLOCK_PARTS = 0, 1
# Numbers and integers of a link variant.
LINK_BYTES_PER_S, LINK_LATENCY_S, LINK_J_PER_BYTE = range(3)
LINK_ENERGY_SET, LINK_TIME_SET, LINK_ASSUMED = range(3)
# Numbers of a memory variant, then (J/B read, J/B written) of each component, then watts of each standby component.
MEMORY_BYTES_PER_S, FIRST_ACCESS_S, CAPACITY_BYTES, MEMORY_AREA_M2, READ_J_PER_BYTE, WRITE_J_PER_BYTE, MEMORY_PARTS = range(7)
# Integers of a memory variant: spread set of its bandwidth, components, standby components, then (set, category, assumed) of each.
BANDWIDTH_SET, N_DYNAMIC, N_STANDBY, MEMORY_SETS = range(4)
# Integers of a point: what it takes of top, of work and of layouts, then of devices, links and memories.
TOP, WORK, LAYOUT, PARTS_OF_POINT = range(4)

# Categories of energy, in the order of the columns of a result.
CATEGORIES = ("compute", "convert", "memory", "link", "static", "idle")

# Columns of a result row, as `cosim.study.columns` names them.
N_TOTALS = 7
N_RESULTS = N_TOTALS + len(CATEGORIES) + 4

# What keeps a point from having a result.
FINE, UNSUPPORTED, WEIGHTS_TOO_LARGE, ACTIVATIONS_TOO_LARGE, BOTH_TOO_LARGE, HOMELESS, ENDLESS, MISPLACED = range(8)


class Network(NamedTuple):
    """One graph, and its variants: bits of tensors (work), and where activations lie (layouts).

    op_block [w, n] column of `Chips.block_of` that an op's costs stand in, op_row [columns, n] its row there
    weight_bytes [w, t], weight_total [w];  vectors, has_macs, dynamic [n];  weight_first [n + 1], weight: tensors of each op
    shares [l, n, 3, 2], edge_bytes [l, e], edge_shared [l, e] 1 in the shared memory, room [l, 2] peak bytes in it, spilled bytes
    in_edge [e] edge at each place of `Arrays.pred`
    """

    op_block: Ints
    op_row: Ints
    weight_bytes: Floats
    weight_total: Floats
    vectors: Ints
    has_macs: Bools
    dynamic: Bools
    weight_first: Ints
    weight: Ints
    shares: Floats
    edge_bytes: Floats
    edge_shared: Ints
    room: Floats
    in_edge: Ints


class Chips(NamedTuple):
    """All variants of the parts of a chip; the first axis counts variants, a part of a point names one of them.

    costs [blocks, rows, PARTS + components];  block_of [device variants, columns of op_block];  block_ints [blocks, ...]
    roles [2] which memory keeps weights, which is shared (without one: that of weights, and has_shared is 0)
    spreads of set s: spread_name, spread_log (ln factor) [spread_first[s]:spread_first[s + 1]]
    """

    costs: Floats
    block_of: Ints
    block_ints: Ints
    device_ints: Ints
    device_floats: Floats
    link_ints: Ints
    link_floats: Floats
    memory_ints: Ints
    memory_floats: Floats
    top_floats: Floats
    top_ints: Ints
    roles: Ints
    spread_first: Ints
    spread_name: Ints
    spread_log: Floats


class Scratch(NamedTuple):
    """What one point fills in on its way; made once for all.

    costs [n, m, N_COSTS], launch_s [n * m], out: times of the engine [3n + 3e], reads [n * k] and cost_s, flow_bytes, busiest [n] of
    the placement; parts_j [m, components], spread [6, n_names] sums and largest logs of latency and energy
    """

    costs: Floats
    launch_s: Floats
    held: Ints
    rewritten: Ints
    first_access_s: Floats
    array_device: Ints
    copies: Ints
    pinned: Bools
    on_arrays: Bools
    saved_j: Floats
    lost: Ints
    assignment: Ints
    priority: Floats
    free: Ints
    out: Floats
    reads: Floats
    cost_s: Floats
    flow_bytes: Floats
    busiest: Ints
    steps: Ints
    steps_s: Floats
    parts_j: Floats
    moved: Floats
    spread: Floats
    edge_src: Ints
    ints: Ints
    floats: Floats
