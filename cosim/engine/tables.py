"""What an engine needs to know of a workload on a chip before it is placed: costs and bytes for every device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosim.engine.problem import BoolArray, FloatArray, IntArray, Mode


@dataclass(frozen=True, eq=False)
class Tables:
    """n tasks, m devices, k memories and e edges; a placement picks from these what a Problem holds.

    fixed_s, body_s       [n, m] time that overlaps with nothing, and time inside the device; infinite: not supported
    read_bytes            [n, m, k] read from each memory with all inputs local; own_bytes the part that no placement avoids
    write_bytes           [n, m, k]
    memory_bytes_per_s    [k] of one task alone
    capacity_bytes_per_s  [k] that all flows share
    link_bytes_per_s      [m] bandwidth of each device's link;  link_is_shared: whether its flows share it
    edge_src, edge_dst    [e] tasks;  edge_bytes [e];  edge_memory [e] the memory an edge goes through
    latency_s             [m, m] of a transfer between devices
    edge_bytes_per_s      [m, m] most that one transfer can take
    edges_are_input       whether the bytes of a crossing edge are taken off what its task reads itself
    mode                  none, fifo or fair
    """

    fixed_s: FloatArray
    body_s: FloatArray
    read_bytes: FloatArray
    own_bytes: FloatArray
    write_bytes: FloatArray
    memory_bytes_per_s: FloatArray
    capacity_bytes_per_s: FloatArray
    link_bytes_per_s: FloatArray
    link_is_shared: bool
    edge_src: IntArray
    edge_dst: IntArray
    edge_bytes: FloatArray
    edge_memory: IntArray
    latency_s: FloatArray
    edge_bytes_per_s: FloatArray
    edges_are_input: bool
    mode: Mode
    task_names: tuple[str, ...] = ()
    supported: BoolArray | None = None
