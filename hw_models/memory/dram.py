"""DRAM: closed-form bandwidth with its binding limit, IDD energy where currents are public, ACT + pJ/bit elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from hw_models.cost import Spread
from hw_models.kernels import dram as k
from hw_models.memory.base import Memory
from hw_models.memory.registry import memory
from hw_models.specs import Spec
from hw_models.units import Amperes, Bytes, Hertz, Joules, JoulesPerByte, Seconds, SquareMeters, Volts, Watts

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAM_LIMITS = (
    "data bus, less refresh", "column spacing (tCCD_S)", "bank group (tCCD_L)", "activate spacing (tRRD)",
    "four-activate window (tFAW)", "bank cycle (tRC)", "read/write turnaround",
)  # fmt: skip
ALL = 1e9  # more groups or banks than any part has
# 90 % factor between the stream bound and cycle-level simulators: interleaved streams of reads or writes reach 0.90 to 1.00 of
# it in all six standards (tests/golden/test_dram_golden.py).
STREAM_FACTOR = 1.1


class Organization(Spec):
    """How devices, banks and wires are counted; a rank is channel width / device width devices in lock step.

    `row` is the page of one device. A pseudo-channel has a bus of `channel_width_bits` of its own but shares the
    queue of its channel. `n_beats_per_clock` is transfers per command clock: 2 in DDR and HBM2, 8 in LPDDR5 and GDDR6.
    """

    n_channels: PositiveInt
    n_pseudo_channels: PositiveInt = 1
    n_ranks: PositiveInt = 1
    n_bank_groups: PositiveInt
    n_banks_per_group: PositiveInt
    row_bytes: Bytes
    device_width_bits: PositiveInt
    channel_width_bits: PositiveInt
    burst_length: PositiveInt
    n_beats_per_clock: PositiveInt = 2

    @model_validator(mode="after")
    def _whole_devices(self) -> Self:
        if self.channel_width_bits % self.device_width_bits:
            raise ValueError(f"channel_width_bits {self.channel_width_bits} is no multiple of device_width_bits {self.device_width_bits}")
        return self


class Timings(Spec):
    """Delays between commands (names as in JEDEC); the model rounds each up to whole command clocks."""

    t_cl_s: Seconds
    t_cwl_s: Seconds
    t_rcd_s: Seconds
    t_rp_s: Seconds
    t_ras_s: Seconds
    t_rc_s: Seconds | None = None
    t_ccd_s_s: Seconds
    t_ccd_l_s: Seconds
    t_ccd_l_wr_s: Seconds | None = None
    t_rrd_s_s: Seconds
    t_rrd_l_s: Seconds | None = None
    t_faw_s: Seconds
    t_32aw_s: Seconds | None = None
    t_rtp_s: Seconds | None = None
    t_wr_s: Seconds | None = None
    t_wtr_l_s: Seconds
    t_rtrs_s: Seconds
    t_rfc_s: Seconds
    t_rfc_bank_s: Seconds | None = None
    t_refi_s: Seconds


class Controller(Spec):
    """What the memory controller brings: requests it can reorder, writes it drains at once, refresh mode, its own latency."""

    n_window: PositiveInt
    n_drain: PositiveInt
    refresh: Literal["all_bank", "per_bank"] = "all_bank"
    latency_s: Seconds


class Rail(Spec):
    """One supply of one device and its data-sheet currents; a rail that feeds only the drivers has idd4r and idd4w alone."""

    supply_v: Volts
    idd0_a: Amperes = 0.0
    idd2n_a: Amperes = 0.0
    idd2p_a: Amperes | None = None
    idd3n_a: Amperes = 0.0
    idd4r_a: Amperes = 0.0
    idd4w_a: Amperes = 0.0
    idd5b_a: Amperes = 0.0


class Energies(Spec):
    """Where no currents are public: energy of an activation of one rank's row, per byte, and power of the whole memory."""

    activate_j: Joules
    core_j_per_byte: JoulesPerByte
    background_w: Watts
    active_w: Watts
    refresh_w: Watts
    power_down_w: Watts | None = None


class DramSpec(Spec):
    """A DRAM as the chip sees it: all its channels. Give `currents` (by rail; `vddq` is IO) or `energy`.

    `data_rate` counts transfers a second (3.2 GHz for DDR4-3200). `io` is energy per bit of drivers and termination
    that the rails do not hold. `phy_area` is interface and controller on our die.
    """

    capacity_bytes: Bytes
    data_rate_hz: Hertz
    organization: Organization
    timings: Timings
    controller: Controller
    currents: dict[str, Rail] | None = Field(default=None, min_length=1)
    energy: Energies | None = None
    io_j_per_byte: JoulesPerByte
    phy_area_m2: SquareMeters

    @model_validator(mode="after")
    def _one_energy(self) -> Self:
        if (self.currents is None) == (self.energy is None):
            raise ValueError("give either `currents` or `energy`, not both and not none")
        if self.timings.t_refi_s <= self.timings.t_rfc_s:
            raise ValueError("timings: t_refi has to be longer than t_rfc, or the memory does nothing but refresh")
        negative = [name for name, value in asdict(command_energies(self)).items() if value < 0]
        if negative:
            raise ValueError(f"currents: {', '.join(negative)} would be negative; IDD0, IDD4 and IDD5B have to exceed the standby currents")
        return self

    @property
    def t_ck_s(self) -> float:
        """Command clock: beats per clock / data rate."""
        return self.organization.n_beats_per_clock / self.data_rate_hz

    @property
    def n_devices(self) -> int:
        """Devices of one rank in lock step."""
        return self.organization.channel_width_bits // self.organization.device_width_bits

    @property
    def n_buses(self) -> int:
        """Data buses: channels x pseudo-channels."""
        return self.organization.n_channels * self.organization.n_pseudo_channels

    @property
    def request_bytes(self) -> float:
        """Bytes of one burst: width x burst length."""
        return self.organization.channel_width_bits / 8 * self.organization.burst_length

    @property
    def rank_row_bytes(self) -> float:
        """Bytes that one activation opens: page x devices."""
        return self.organization.row_bytes * self.n_devices

    @property
    def burst_clocks(self) -> float:
        """Clocks of data bus per burst: burst length / beats per clock."""
        return self.organization.burst_length / self.organization.n_beats_per_clock

    def clocks(self, time_s: float) -> int:
        """Whole command clocks that cover a time; 2.5 % of a clock is forgiven (rounding rule of JESD79-4)."""
        return ceil(time_s / self.t_ck_s - 0.025)


@dataclass(frozen=True, slots=True)
class Pattern:
    """How requests (one burst each) meet banks and rows.

    `n_groups` bank groups in the scheduler's window, activates per request or per row of requests, banks in
    turn, a stream whose column bits are lowest in the address map, and the share of reads.
    """

    name: str
    n_groups: float = ALL
    acts_per_request: float = 0.0
    acts_per_row: float = 0.0
    n_banks: float = ALL
    column_low: bool = False
    read_fraction: float = 1.0

    def row(self) -> list[float]:
        """Columns of the kernel's `patterns`."""
        return [self.n_groups, self.acts_per_request, self.acts_per_row, self.n_banks, float(self.column_low), self.read_fraction]


STREAM = Pattern("stream, groups interleaved", acts_per_row=1.0)
COLUMN_LOW = Pattern("stream, column low", acts_per_row=1.0, column_low=True)
RANDOM = Pattern("random", acts_per_request=1.0)
SAME_BANK = Pattern("same bank, new row each time", acts_per_request=1.0, n_banks=1.0)


def timing_row(spec: DramSpec) -> list[float]:
    """Columns of the kernel's `timing`: clocks, and counts of one channel."""
    t, o, c = spec.timings, spec.organization, spec.controller
    per_bank = c.refresh == "per_bank"
    bank_s = t.t_rfc_bank_s if t.t_rfc_bank_s is not None else t.t_rfc_s
    row = np.zeros(k.N_TIMINGS)
    row[k.BURST] = spec.burst_clocks
    columns = {
        k.CCD_S: t.t_ccd_s_s, k.CCD_L: t.t_ccd_l_s, k.CCD_L_WR: t.t_ccd_l_wr_s or t.t_ccd_l_s, k.RRD: t.t_rrd_s_s, k.FAW: t.t_faw_s,
        k.WINDOW_32: t.t_32aw_s or 0.0, k.RC: t.t_rc_s or t.t_ras_s + t.t_rp_s, k.READ_LATENCY: t.t_cl_s, k.RTRS: t.t_rtrs_s,
        k.WTR: t.t_wtr_l_s, k.RFC: 0.0 if per_bank else t.t_rfc_s, k.REFI: t.t_refi_s, k.RFC_BANK: bank_s if per_bank else 0.0,
    }  # fmt: skip
    for column, time_s in columns.items():
        row[column] = spec.clocks(time_s)
    row[k.N_BANKS] = o.n_pseudo_channels * o.n_ranks * o.n_bank_groups * o.n_banks_per_group
    row[k.N_BUSES], row[k.N_RANKS] = o.n_pseudo_channels, o.n_ranks
    row[k.N_ROW_REQUESTS] = max(spec.rank_row_bytes / spec.request_bytes, 1.0)
    row[k.N_WINDOW], row[k.N_DRAIN] = c.n_window, c.n_drain
    return [float(value) for value in row]


def bounds(specs: Sequence[DramSpec], patterns: Sequence[Pattern]) -> tuple[k.Floats, k.Ints]:
    """Share of peak bandwidth and index into DRAM_LIMITS, both [n_specs, n_patterns], in one call of the kernel."""
    return k.dram_bounds(np.array([timing_row(spec) for spec in specs]), np.array([pattern.row() for pattern in patterns]))


@dataclass(frozen=True, slots=True)
class DramCounts:
    """Commands of one channel, and clocks summed over ranks with any (active) or no (idle) bank open."""

    n_act: float = 0.0
    n_read: float = 0.0
    n_write: float = 0.0
    n_refresh: float = 0.0
    active_clocks: float = 0.0
    idle_clocks: float = 0.0


@dataclass(frozen=True, slots=True)
class CommandEnergies:
    """Energies of the commands of one rank in J, background powers of one rank in W."""

    activate_j: float
    read_j: float
    write_j: float
    read_io_j: float
    write_io_j: float
    refresh_j: float
    active_w: float
    idle_w: float
    power_down_w: float


def command_energies(spec: DramSpec) -> CommandEnergies:
    """Energy of each command of a whole rank, D devices in lock step, summed over rails.

    E_ACT = D V (IDD0 tRC - IDD3N tRAS - IDD2N tRP), precharge included; E_RD = D V (IDD4R - IDD3N) b tCK, E_WR alike;
    E_REF = D V (IDD5B - IDD3N) tRFC; background D V IDD3N with a bank open, D V IDD2N without (DRAMsim3 29817593;
    Micron TN-46-03). With `energy` in place of currents: its own numbers, refresh as a power.
    """
    if spec.currents is None:
        return _from_energies(spec)
    t, clock_s = spec.timings, spec.t_ck_s
    ras_s, rp_s, rfc_s = (spec.clocks(x) * clock_s for x in (t.t_ras_s, t.t_rp_s, t.t_rfc_s))
    rc_s = spec.clocks(t.t_rc_s) * clock_s if t.t_rc_s is not None else ras_s + rp_s
    burst_s = spec.burst_clocks * clock_s
    io_j = spec.request_bytes * spec.io_j_per_byte
    total = dict.fromkeys(("activate_j", "read_j", "write_j", "refresh_j", "active_w", "idle_w", "power_down_w"), 0.0)
    read_io_j = write_io_j = io_j
    for name, rail in spec.currents.items():
        power = spec.n_devices * rail.supply_v
        if name == "vddq":
            read_io_j += power * rail.idd4r_a * burst_s
            write_io_j += power * rail.idd4w_a * burst_s
            continue
        total["activate_j"] += power * (rail.idd0_a * rc_s - rail.idd3n_a * ras_s - rail.idd2n_a * rp_s)
        total["read_j"] += power * (rail.idd4r_a - rail.idd3n_a) * burst_s
        total["write_j"] += power * (rail.idd4w_a - rail.idd3n_a) * burst_s
        total["refresh_j"] += power * (rail.idd5b_a - rail.idd3n_a) * rfc_s
        total["active_w"] += power * rail.idd3n_a
        total["idle_w"] += power * rail.idd2n_a
        total["power_down_w"] += power * (rail.idd2n_a if rail.idd2p_a is None else rail.idd2p_a)
    return CommandEnergies(read_io_j=read_io_j, write_io_j=write_io_j, **total)


def _from_energies(spec: DramSpec) -> CommandEnergies:
    """Command energies from ACT + pJ/bit; powers of the whole memory are shared out over its ranks."""
    energy = spec.energy
    if energy is None:
        raise TypeError("a DramSpec holds currents or energies")
    n_ranks = spec.n_buses * spec.organization.n_ranks
    core_j, io_j = spec.request_bytes * energy.core_j_per_byte, spec.request_bytes * spec.io_j_per_byte
    return CommandEnergies(
        activate_j=energy.activate_j,
        read_j=core_j,
        write_j=core_j,
        read_io_j=io_j,
        write_io_j=io_j,
        refresh_j=energy.refresh_w / n_ranks * spec.timings.t_refi_s,
        active_w=energy.active_w / n_ranks,
        idle_w=energy.background_w / n_ranks,
        power_down_w=(energy.background_w if energy.power_down_w is None else energy.power_down_w) / n_ranks,
    )


def energy_of_counts(spec: DramSpec, counts: DramCounts) -> dict[str, float]:
    """Energy by component of given command counts of one channel: linear in every count."""
    e = command_energies(spec)
    return {
        "activate": counts.n_act * e.activate_j,
        "read": counts.n_read * e.read_j,
        "write": counts.n_write * e.write_j,
        "io": counts.n_read * e.read_io_j + counts.n_write * e.write_io_j,
        "refresh": counts.n_refresh * e.refresh_j,
        "background_active": counts.active_clocks * spec.t_ck_s * e.active_w,
        "background_idle": counts.idle_clocks * spec.t_ck_s * e.idle_w,
    }


@memory("dram")
class Dram(Memory):
    """All channels of a DRAM, streams interleaved over them.

    Background rule: while the chip is on every rank draws precharge power-down (IDD2P; precharge standby, IDD2N, where the file
    gives no other), component "background"; while bytes move, the step up to active standby (IDD3N) of all ranks is charged
    to them, component "active". A controller that powers down as soon as nothing moves, at no delay; no self-refresh.
    """

    spec_class = DramSpec
    spec: DramSpec

    def __init__(self, name: str, spec: DramSpec) -> None:
        """Evaluate the stream bound and the command energies once."""
        super().__init__(name, spec)
        utilization, limit = bounds([spec], [STREAM])
        self._utilization, self._limit = float(utilization[0, 0]), DRAM_LIMITS[int(limit[0, 0])]
        self._energies = command_energies(spec)

    @property
    def capacity_bytes(self) -> float:
        """Bytes it holds."""
        return self.spec.capacity_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Buses x width x data rate."""
        return self.spec.n_buses * self.spec.organization.channel_width_bits / 8 * self.spec.data_rate_hz

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Peak x bound of a sequential read stream interleaved over bank groups."""
        return self.peak_bytes_per_s * self._utilization

    @property
    def bandwidth_limit(self) -> str:
        """Timing that binds a sequential read stream."""
        return self._limit

    @property
    def bandwidth_spreads(self) -> tuple[Spread, ...]:
        """Return how far cycle-level simulators stay below the bound."""
        return (Spread("dram.bandwidth", STREAM_FACTOR), *self.spec.spread("dram", "timings"))

    def read_latency_s(self, row: Literal["hit", "closed", "conflict"]) -> float:
        """Unloaded read from command to last beat: CL + b, plus tRCD with the row closed, plus tRP in a conflict."""
        t, clocks = self.spec.timings, self.spec.clocks
        total = clocks(t.t_cl_s) + self.spec.burst_clocks
        total += clocks(t.t_rcd_s) if row in {"closed", "conflict"} else 0
        total += clocks(t.t_rp_s) if row == "conflict" else 0
        return total * self.spec.t_ck_s

    @property
    def first_access_s(self) -> float:
        """Controller latency + tRCD + CL: row closed, no load."""
        return self.spec.controller.latency_s + self.read_latency_s("closed") - self.spec.burst_clocks * self.spec.t_ck_s

    def energy_parts_j(self, read_bytes: float, write_bytes: float) -> dict[str, float]:
        """Sequential streams: one activation a row, one burst a request, active standby for the time at full bandwidth."""
        e, spec = self._energies, self.spec
        reads, writes = read_bytes / spec.request_bytes, write_bytes / spec.request_bytes
        n_ranks = spec.n_buses * spec.organization.n_ranks
        active_s = (read_bytes + write_bytes) / self.bandwidth_bytes_per_s
        return {
            "activate": (read_bytes + write_bytes) / spec.rank_row_bytes * e.activate_j,
            "read": reads * e.read_j,
            "write": writes * e.write_j,
            "io": reads * e.read_io_j + writes * e.write_io_j,
            "active": active_s * n_ranks * max(0.0, e.active_w - e.power_down_w),
        }

    @property
    def standby_parts_w(self) -> dict[str, float]:
        """Power-down and refresh of all ranks: P_REF = E_REF / tREFI."""
        n_ranks = self.spec.n_buses * self.spec.organization.n_ranks
        refresh_w = n_ranks * self._energies.refresh_j / self.spec.timings.t_refi_s
        return {"background": n_ranks * self._energies.power_down_w, "refresh": refresh_w}

    @property
    def area_m2(self) -> float:
        """Interface and controller on our die; the DRAM dies are not ours."""
        return self.spec.phy_area_m2

    @property
    def _keys(self) -> dict[str, str]:
        """Component → key of the spec that it rests on."""
        if self.spec.currents is not None:
            shared = ("activate", "read", "write", "active", "background", "refresh")
            return dict.fromkeys(shared, "currents") | {"io": "io"}
        return {
            "activate": "energy.activate", "read": "energy.core", "write": "energy.core", "io": "io",
            "active": "energy.active", "background": "energy.background", "refresh": "energy.refresh",
        } | ({"background": "energy.power_down"} if self.spec.energy and self.spec.energy.power_down_w is not None else {})  # fmt: skip

    @property
    def spreads(self) -> dict[str, tuple[Spread, ...]]:
        """Return what the file says of the number behind each component; one unknown a part and number, wherever the part is used."""
        owner = self.spec.title or "dram"
        return {component: self.spec.spread(owner, key) for component, key in self._keys.items()}

    @property
    def assumed(self) -> frozenset[str]:
        """Components whose number is declared assumed."""
        return frozenset(component for component, key in self._keys.items() if self.spec.is_assumed(key))
