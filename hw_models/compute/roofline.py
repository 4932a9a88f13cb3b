"""What Cpu, Gpu and Dsp share: from a family's own words to the columns of the roofline kernel, and its answers to a cost table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Literal, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from hw_models.compute.batch import (
    ALL_KINDS,
    KindName,
    Node,
    allowed,
    components_of_each,
    instruction_energy,
    logic_leakage,
    mac_energy,
    op_energy,
    op_matrix,
    scale_logic_energy,
)
from hw_models.cost import Category, Component, CostTable, Spread, empty_costs
from hw_models.kernels.roofline import LAUNCH_S, N_COLUMNS, roofline_costs
from hw_models.memory.sram import Cell, SramAccess, sram_access
from hw_models.registry import Device
from hw_models.specs import Spec
from hw_models.technology import Scaled
from hw_models.units import Hertz, Seconds, SquareMeters, Watts
from workloads.optable import OpTable

FormatName = Literal["int8", "int16", "int32", "fp16", "fp32"]
WIDTHS = (8, 16, 32)
LIMITS = ("compute", "vector", "launch", "cache")
ACCUMULATOR_BITS = 32  # integer and floating dot products alike accumulate in 32 bits on all families here
REGISTER_FILE_28NM_J_PER_BIT = 2e-12 / 64  # register file access: NVIDIA energy budget, 28 nm (parts/technology/energy_per_op.csv)
_OPERANDS = 3  # two sources and a destination
_SCALAR_BITS = 32  # width whose register accesses are part of the energy of a scalar instruction

# In the order of the kernel's energy columns.
_COMPONENTS: dict[str, Category] = {
    "mac": "compute",
    "vector": "compute",
    "instruction": "compute",
    "cache": "memory",
    "control": "compute",
}


class MacFormat(BaseModel):
    """Multiply-accumulates in one number format.

    `per_cycle` is what one unit starts each cycle; `block` the rows, columns and depth (m, n, k) of the product that
    one instruction takes: [1, 4, 4] for a 4-way dot product in 4 lanes, [16, 8, 16] for a matrix instruction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_cycle: PositiveInt
    block: tuple[PositiveInt, PositiveInt, PositiveInt]


class Local(NamedTuple):
    """A level of local memory: bytes, access width, bytes per cycle."""

    capacity_bytes: float
    width_bits: int
    bytes_per_cycle: float


class Machine(NamedTuple):
    """What the words of a family come down to.

    `lanes` and `length` (vector results per cycle and per instruction) stand at 8, 16 and 32 bits;
    `near` is what registers load from, `far` (if any) the cache behind it; what fits `port_capacity_bytes` is read once at the port.
    """

    n_units: int
    lanes: tuple[int, int, int]
    length: tuple[int, int, int]
    register_bits: int
    load_bytes: int
    near: Local
    far: Local | None
    port_capacity_bytes: float


class RooflineSpec(Spec):
    """Fields that Cpu, Gpu and Dsp have in common.

    `mac` gives the multiply-accumulate formats, at most one of each width; bits between widths run at the next wider one.
    `tile` is the block of results (m, n) that one unit works on, `register_tile` the one whose sums stay in registers.
    `efficiency` is the share of the rounded-up peak that a tuned library sustains. `instruction_factor` is the energy of an
    instruction against that of a simple in-order core, `control_factor` an all-in surcharge on arithmetic energy for scheduling,
    operand collection, interconnect and address work of wide machines. Without `idle` the device idles at the leakage of its area.
    """

    node_m: Node
    clock_hz: Hertz
    mac: dict[FormatName, MacFormat] = Field(min_length=1)
    launch_s: Seconds
    efficiency: float = Field(gt=0, le=1)
    tile: tuple[PositiveInt, PositiveInt]
    register_tile: tuple[PositiveInt, PositiveInt]
    special_slowdown: float = Field(default=1.0, ge=1)
    instruction_factor: float = Field(default=1.0, ge=0)
    control_factor: float = Field(default=0.0, ge=0)
    cell: Cell = "hp"
    op_kinds: tuple[KindName, ...] = ALL_KINDS
    area_m2: SquareMeters
    idle_w: Watts | None = None

    @model_validator(mode="after")
    def _one_format_a_width(self) -> Self:
        widths = [_width(name) for name in self.mac]
        if len(set(widths)) < len(widths):
            raise ValueError(f"mac: two formats of one width among {', '.join(self.mac)}; keep one")
        return self

    @abstractmethod
    def machine(self) -> Machine:
        """Say in the kernel's terms what the fields of this family mean."""


@cache
def _width(name: FormatName) -> int:
    """Width in bits of a format: int8 → 8, fp16 → 16."""
    return int(name.lstrip("intfp"))


def spec_row(spec: RooflineSpec, machine: Machine) -> list[float]:
    """Columns of the kernel's spec matrix, in the order that `kernels/roofline.py` names them."""
    near, far = machine.near, machine.far
    near_access = _access(near, spec)
    near_read_j, near_write_j = (8 / near.width_bits * energy for energy in (near_access.read_j, near_access.write_j))
    far_j, fill_j, far_bytes_per_cycle = 0.0, near_write_j, np.inf
    if far is not None:
        access = _access(far, spec)
        far_j, fill_j = 8 / far.width_bits * access.read_j + near_write_j, 8 / far.width_bits * access.write_j
        far_bytes_per_cycle = far.bytes_per_cycle
    return [
        machine.n_units,
        spec.clock_hz,
        spec.launch_s,
        spec.efficiency,
        spec.special_slowdown,
        *spec.tile,
        *spec.register_tile,
        machine.load_bytes,
        near.bytes_per_cycle,
        far_bytes_per_cycle,
        machine.port_capacity_bytes,
        instruction_j(spec, machine.register_bits),
        near_read_j,
        far_j,
        fill_j,
        spec.control_factor,
        *_width_columns(spec, machine),
    ]


def _width_columns(spec: RooflineSpec, machine: Machine) -> list[float]:
    """Columns that stand three times: MACs per cycle, block, energy of a MAC, vector lanes and length, energy of a vector step."""
    names = {_width(name): name for name in spec.mac}
    formats = [names.get(width) for width in WIDTHS]
    given = [spec.mac[name] if name else None for name in formats]
    blocks = [mac.block if mac else (1, 1, 1) for mac in given]
    return [
        *(mac.per_cycle if mac else 0 for mac in given),
        *(block[axis] for axis in (0, 1, 2) for block in blocks),
        *(mac_energy_of(name, spec.node_m).value if name else 0.0 for name in formats),
        *machine.lanes,
        *machine.length,
        *(_alu_j(name, width, spec.node_m) for name, width in zip(formats, WIDTHS, strict=True)),
    ]


@cache
def mac_energy_of(name: FormatName, node_m: float) -> Scaled:
    """Energy of one multiply-accumulate in a format, in J."""
    width = _width(name)
    return mac_energy(width, width, ACCUMULATOR_BITS, node_m, floating=name[0] == "f")


@cache
def _alu_j(name: FormatName | None, width: int, node_m: float) -> float:
    """Energy of one vector step in J: an addition in the device's format of that width, integers at 16 bits or more."""
    if name is not None and name[0] == "f":
        return op_energy("fp add", width, node_m).value
    return op_energy("int add", max(width, 16), node_m).value


def instruction_j(spec: RooflineSpec, register_bits: int) -> float:
    """Energy of one instruction in J: that of a scalar one, and three register accesses for each bit beyond the 32 it includes."""
    wider_bits = max(0, register_bits - _SCALAR_BITS)
    register_j = REGISTER_FILE_28NM_J_PER_BIT * scale_logic_energy(28e-9, spec.node_m).value
    return instruction_energy(spec.node_m).value * spec.instruction_factor + _OPERANDS * wider_bits * register_j


def _access(level: Local, spec: RooflineSpec) -> SramAccess:
    return sram_access(level.capacity_bytes, level.width_bits, spec.node_m, spec.cell)


def components(spec: RooflineSpec, owner: str) -> tuple[Component, ...]:
    """Describe each consumer of energy and what its number rests on."""
    logic = max(mac_energy_of(name, spec.node_m).factor for name in spec.mac)
    machine = spec.machine()
    sram = max(_access(level, spec).factor for level in (machine.near, machine.far) if level is not None)
    spreads = {
        "mac": (Spread("technology.logic", logic),),
        "vector": (Spread("technology.logic", op_energy("int add", 16, spec.node_m).factor),),
        "instruction": (Spread("technology.logic", instruction_energy(spec.node_m).factor), *spec.spread(owner, "instruction_factor")),
        "cache": (Spread("technology.sram", sram), *spec.spread(owner, "register_tile")),
        "control": (Spread("technology.logic", logic), *spec.spread(owner, "control_factor")),
    }
    rests_on = {"instruction": "instruction_factor", "cache": "register_tile", "control": "control_factor"}
    return tuple(
        Component(name, category, spreads[name], name in rests_on and spec.is_assumed(rests_on[name]))
        for name, category in _COMPONENTS.items()
    )


def _key(spec: RooflineSpec) -> Hashable:
    """Return the fields that components depend on."""
    machine = spec.machine()
    return spec.title, spec.node_m, spec.cell, tuple(spec.mac), machine.near, machine.far


class RooflineDevice(Device):
    """Costs, area and idle power of the roofline family; a kind adds its spec class."""

    spec: RooflineSpec

    @classmethod
    def costs(cls, specs: Sequence[Spec], ops: OpTable) -> CostTable:
        """Cost every op on every spec with one kernel call."""
        mine = cast("Sequence[RooflineSpec]", specs)
        rows = np.array([spec_row(spec, spec.machine()) for spec in mine], dtype=np.float64).reshape(len(mine), N_COLUMNS)
        may_run = allowed([spec.op_kinds for spec in mine], [True] * len(mine), ops)
        latency_s, energy_j, n_bytes, limit, width = roofline_costs(rows, op_matrix(ops), may_run)
        table = empty_costs(
            components_of_each(mine, _key, lambda spec: components(spec, spec.title or cls.kind)),
            LIMITS,
            [spec.spread(spec.title or cls.kind, "efficiency") for spec in mine],
            ops.weight_bits,
            ops.activation_bits,
        )
        supported = np.isfinite(latency_s)
        table.supported[:] = supported
        table.latency_s[:] = latency_s
        table.fixed_s[:] = np.where(supported, rows[:, [LAUNCH_S]], 0.0)
        table.energy_j[:] = energy_j
        table.n_bytes[:] = n_bytes
        table.limit[:] = limit
        _set_bits(table.compute_weight_bits, width)
        _set_bits(table.compute_activation_bits, width)
        return table

    @property
    def area_m2(self) -> float:
        """Silicon area, as published or assumed."""
        return self.spec.area_m2

    @property
    def idle_w(self) -> float:
        """Idle power as given, else area times the leakage density of the node."""
        if self.spec.idle_w is not None:
            return self.spec.idle_w
        return self.spec.area_m2 * logic_leakage(self.spec.node_m).value

    @property
    def idle_spreads(self) -> tuple[Spread, ...]:
        """What makes idle_w uncertain: its own range, or those of area and leakage density."""
        owner = self.spec.title or self.kind
        if self.spec.idle_w is not None:
            return self.spec.spread(owner, "idle")
        return (Spread("technology.leakage", logic_leakage(self.spec.node_m).factor), *self.spec.spread(owner, "area"))

    @property
    def idle_assumed(self) -> bool:
        """Whether the idle power was assumed; a leakage density always is."""
        return self.spec.is_assumed("idle") if self.spec.idle_w is not None else True

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        """Units x MACs a cycle x clock in the narrowest format that holds the bits; 0 when there is none."""
        by_width = {_width(name): given.per_cycle for name, given in self.spec.mac.items()}
        wide_enough = [width for width in by_width if width >= max(weight_bits, activation_bits)]
        if not wide_enough:
            return 0.0
        return self.spec.machine().n_units * by_width[min(wide_enough)] * self.spec.clock_hz


def _set_bits(bits: NDArray[np.int64], width: NDArray[np.int64]) -> None:
    """Write the width computed at where an op is supported."""
    bits[width > 0] = width[width > 0]
