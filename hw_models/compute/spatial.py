"""A systolic MAC array with three double-buffered operand memories and a vector unit: an NPU, a TPU core."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import ClassVar, Literal, Self, cast, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from hw_models.compute.batch import (
    KindName,
    Node,
    allowed,
    components_of_each,
    logic_leakage,
    mac_area,
    mac_energy,
    op_area,
    op_energy,
    op_matrix,
    register_energy,
)
from hw_models.cost import Component, CostTable, Spread, empty_costs
from hw_models.kernels.systolic import LAUNCH_S, N_COLUMNS, systolic_costs
from hw_models.memory.sram import Cell, SramAccess, bank_wire_j, sram_access
from hw_models.registry import Device, device
from hw_models.specs import Spec
from hw_models.units import Bytes, BytesPerSecond, Hertz, Seconds, SquareMeters, Watts
from workloads.optable import OpTable

Dataflow = Literal["os", "ws", "is"]
BufferName = Literal["weight", "input", "output"]
LIMITS = ("compute", "vector", "launch")
_BUFFERS: tuple[BufferName, ...] = ("weight", "input", "output")


class SpatialArraySpec(Spec):
    """An array of `rows` x `cols` multiply-accumulate units of `native_bits`, its buffers and its vector unit.

    Buffers are double-buffered: half holds operands, half receives the next. Operands wider than `native_bits` take
    ceil(b / native)^2 passes; narrower ones cost as much as native ones unless `precision_scalable`, which
    leaves multiplier and register bits idle (energy falls, cycles stay). `port_bandwidth` only serves to choose among
    dataflows. `area_overhead` is silicon of the array and vector unit over that of their bare multipliers and adders
    (registers, wiring, control), `control_fraction` energy of sequencing and clocking over that of all else.
    Without `area` and `idle` both follow from the parts.
    """

    node_m: Node
    clock_hz: Hertz
    rows: PositiveInt
    cols: PositiveInt
    dataflows: tuple[Dataflow, ...] = Field(min_length=1)
    native_bits: PositiveInt = 8
    precision_scalable: bool = False
    accumulator_bits: PositiveInt = 32
    weight_buffer_bytes: Bytes
    input_buffer_bytes: Bytes
    output_buffer_bytes: Bytes
    buffer_width_bits: PositiveInt
    buffer_banks: PositiveInt = 1
    cell: Cell = "hp"
    vector_lanes: PositiveInt
    special_functions: bool = False
    special_slowdown: float = Field(default=1.0, ge=1)
    op_kinds: tuple[KindName, ...] = ("matmul",)
    port_bandwidth_bytes_per_s: BytesPerSecond
    launch_s: Seconds
    control_fraction: float = Field(ge=0)
    area_overhead: float = Field(ge=1)
    area_m2: SquareMeters | None = None
    idle_w: Watts | None = None

    @model_validator(mode="after")
    def _each_dataflow_once(self) -> Self:
        if len(set(self.dataflows)) < len(self.dataflows):
            raise ValueError(f"dataflows: {', '.join(self.dataflows)} names one twice")
        return self

    def buffer_bytes(self, name: BufferName) -> float:
        """Capacity of one of the three buffers."""
        return {"weight": self.weight_buffer_bytes, "input": self.input_buffer_bytes, "output": self.output_buffer_bytes}[name]


@cache
def _bank(capacity_bytes: float, n_banks: int, width_bits: int, node_m: float, cell: Cell) -> tuple[SramAccess, float, float]:
    """One bank of a buffer, and J per byte of reading and writing the buffer with the wires between its banks."""
    bank = sram_access(capacity_bytes / n_banks, width_bits, node_m, cell)
    wire_j = bank_wire_j(bank.area_m2, n_banks, width_bits, node_m)
    per_byte = 8 / width_bits
    return bank, (bank.read_j + wire_j) * per_byte, (bank.write_j + wire_j) * per_byte


def buffer(spec: SpatialArraySpec, name: BufferName) -> tuple[SramAccess, float, float]:
    """One bank of a buffer, J per byte read and J per byte written."""
    return _bank(spec.buffer_bytes(name), spec.buffer_banks, spec.buffer_width_bits, spec.node_m, spec.cell)


def spec_row(spec: SpatialArraySpec) -> list[float]:
    """Columns of the kernel's spec matrix, in the order that `kernels/systolic.py` names them."""
    energies = [joules for name in _BUFFERS for joules in buffer(spec, name)[1:]]
    return [
        spec.rows,
        spec.cols,
        spec.clock_hz,
        spec.launch_s,
        spec.port_bandwidth_bytes_per_s,
        spec.native_bits,
        spec.precision_scalable,
        spec.accumulator_bits,
        spec.vector_lanes,
        spec.special_slowdown,
        "os" in spec.dataflows,
        "ws" in spec.dataflows,
        "is" in spec.dataflows,
        spec.weight_buffer_bytes / 2,
        spec.input_buffer_bytes / 2,
        spec.output_buffer_bytes / 2,
        *energies,
        register_energy(1, spec.node_m).value,
        op_energy("int add", spec.accumulator_bits, spec.node_m).value,
        spec.control_fraction,
    ]


@cache
def _mac_j(weight_bits: int, activation_bits: int, native: int, scalable: bool, accumulator: int, node_m: float) -> float:
    """Energy of one MAC at the bits asked: passes times that of one native (or gated) MAC."""
    passes = -(-weight_bits // native) * -(-activation_bits // native)
    weight, activation = (min(bits, native) if scalable else native for bits in (weight_bits, activation_bits))
    return passes * mac_energy(weight, activation, accumulator, node_m).value


def mac_energies(specs: Sequence[SpatialArraySpec], ops: OpTable) -> NDArray[np.float64]:
    """Energy of one MAC in J, [n_specs, n_ops]; equal bits are asked once per spec."""
    pairs, index = np.unique(np.stack([ops.weight_bits, ops.activation_bits], axis=1), axis=0, return_inverse=True)
    table = [
        [_mac_j(int(w), int(a), s.native_bits, s.precision_scalable, s.accumulator_bits, s.node_m) for w, a in pairs.tolist()]
        for s in specs
    ]
    return np.ascontiguousarray(np.array(table, dtype=np.float64).reshape(len(specs), len(pairs))[:, index.ravel()])


def components(spec: SpatialArraySpec, owner: str) -> tuple[Component, ...]:
    """Describe each consumer of energy and what its number rests on."""
    logic = Spread("technology.logic", mac_energy(spec.native_bits, spec.native_bits, spec.accumulator_bits, spec.node_m).factor)
    sram = Spread("technology.sram", max(buffer(spec, name)[0].factor for name in _BUFFERS))
    register = Spread("technology.logic", register_energy(1, spec.node_m).factor)
    vector = Spread("technology.logic", op_energy("int add", spec.accumulator_bits, spec.node_m).factor)
    buffer_keys = ("buffer_width", "buffer_banks", "cell")
    return (
        Component("mac", "compute", (logic,)),
        Component("register", "compute", (register,)),
        Component("buffer", "memory", (sram,), any(spec.is_assumed(key) for key in buffer_keys)),
        Component("vector", "compute", (vector,)),
        Component("control", "compute", (logic, *spec.spread(owner, "control_fraction")), spec.is_assumed("control_fraction")),
    )


def _key(spec: SpatialArraySpec) -> Hashable:
    """Return the fields that components depend on."""
    sizes = (spec.weight_buffer_bytes, spec.input_buffer_bytes, spec.output_buffer_bytes, spec.buffer_banks, spec.buffer_width_bits)
    return spec.title, spec.node_m, spec.cell, spec.native_bits, spec.accumulator_bits, sizes


def area_parts(spec: SpatialArraySpec) -> dict[str, float]:
    """Area by part in m2: bare units of arithmetic times `area_overhead`, and buffers; scaled to a published `area` if given.

    A vector lane is a 32-bit multiplier and adder.
    """
    mac_m2 = mac_area(spec.native_bits, spec.native_bits, spec.accumulator_bits, spec.node_m).value
    lane_m2 = op_area("int mult", 32, spec.node_m).value + op_area("int add", 32, spec.node_m).value
    parts = {
        "mac_array": spec.rows * spec.cols * mac_m2 * spec.area_overhead,
        **{f"{name}_buffer": buffer(spec, name)[0].area_m2 * spec.buffer_banks for name in _BUFFERS},
        "vector_unit": spec.vector_lanes * lane_m2 * spec.area_overhead,
    }
    scale = 1.0 if spec.area_m2 is None else spec.area_m2 / sum(parts.values())
    return {name: area_m2 * scale for name, area_m2 in parts.items()}


@final
@device("spatial_array")
class SpatialArray(Device):
    """A systolic array; each op takes the fastest of its dataflows."""

    spec_class: ClassVar[type[Spec]] = SpatialArraySpec
    spec: SpatialArraySpec

    @classmethod
    def costs(cls, specs: Sequence[Spec], ops: OpTable) -> CostTable:
        """Cost every op on every spec with one kernel call."""
        mine = cast("Sequence[SpatialArraySpec]", specs)
        rows = np.array([spec_row(spec) for spec in mine], dtype=np.float64).reshape(len(mine), N_COLUMNS)
        may_run = allowed([spec.op_kinds for spec in mine], [spec.special_functions for spec in mine], ops)
        latency_s, energy_j, n_bytes, limit, _ = systolic_costs(rows, op_matrix(ops), mac_energies(mine, ops), may_run)
        table = empty_costs(
            components_of_each(mine, _key, lambda spec: components(spec, spec.title or cls.kind)),
            LIMITS,
            [spec.spread(spec.title or cls.kind, "clock") for spec in mine],
            ops.weight_bits,
            ops.activation_bits,
        )
        table.supported[:] = may_run
        table.latency_s[:] = latency_s
        table.fixed_s[:] = np.where(may_run, rows[:, [LAUNCH_S]], 0.0)
        table.energy_j[:] = energy_j
        table.n_bytes[:] = n_bytes
        table.limit[:] = limit
        table.compute_weight_bits[:] = _bits(mine, ops.weight_bits)
        table.compute_activation_bits[:] = _bits(mine, ops.activation_bits)
        return table

    @property
    def area_m2(self) -> float:
        """Published area, or the sum of the parts."""
        return sum(area_parts(self.spec).values())

    @property
    def area_parts_m2(self) -> dict[str, float]:
        """Area of array, buffers and vector unit."""
        return area_parts(self.spec)

    @property
    def idle_w(self) -> float:
        """Idle power as given, else leakage of the buffers and of the logic's area."""
        if self.spec.idle_w is not None:
            return self.spec.idle_w
        return self._buffer_leakage_w + self._logic_leakage_w

    @property
    def _buffer_leakage_w(self) -> float:
        return sum(buffer(self.spec, name)[0].leakage_w for name in _BUFFERS) * self.spec.buffer_banks

    @property
    def _logic_leakage_w(self) -> float:
        parts = area_parts(self.spec)
        return (parts["mac_array"] + parts["vector_unit"]) * logic_leakage(self.spec.node_m).value

    @property
    def idle_spreads(self) -> tuple[Spread, ...]:
        """What makes idle_w uncertain: its own range, or those of leakage density and area."""
        owner = self.spec.title or self.kind
        if self.spec.idle_w is not None:
            return self.spec.spread(owner, "idle")
        return (Spread("technology.leakage", logic_leakage(self.spec.node_m).factor),)

    @property
    def idle_assumed(self) -> bool:
        """Whether the idle power was assumed; a leakage density always is."""
        return self.spec.is_assumed("idle") if self.spec.idle_w is not None else True

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        """Array size x clock over the passes that wider operands take."""
        spec = self.spec
        passes = -(-weight_bits // spec.native_bits) * -(-activation_bits // spec.native_bits)
        return spec.rows * spec.cols * spec.clock_hz / passes


def _bits(specs: Sequence[SpatialArraySpec], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits computed at, [n_specs, n_ops]."""
    native = np.array([[spec.native_bits] for spec in specs], dtype=np.int64).reshape(-1, 1)
    scalable = np.array([[spec.precision_scalable] for spec in specs], dtype=np.bool_).reshape(-1, 1)
    padded = -(-asked[None, :] // native) * native
    return np.asarray(np.where(scalable & (asked[None, :] <= native), asked[None, :], padded), dtype=np.int64)
