"""What a run returns: a ledger, totals with their intervals, and what they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.ledger import Row, energy_by, to_frame, total_energy_j
from cosim.simulation.joules import Owner, standby
from cosim.simulation.programming import Programming
from cosim.simulation.uncertainty import Exposure
from hw_models.chip import Chip
from hw_models.cost import Spread
from workloads.graph import Workload

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class OpRun:
    """How one op ran: where, when, at which bits, what limited it, and signal over error of its outputs.

    `output_snr_db` is None where the device is not analog, and inf where an analog one loses nothing.
    """

    name: str
    op_type: str
    device: str
    start_s: float
    end_s: float
    limit: str
    n_macs: int
    memory_bytes: float
    weight_bits: int
    activation_bits: int
    resident: bool
    output_snr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A tensor on its way between devices, from the end of the op that made it; `src` and `dst` are positions in `Result.ops`."""

    src: int
    dst: int
    memory: str
    start_s: float
    end_s: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class Floor:
    """What no placement of the workload on the chip can beat in this run's engine: seconds (and by which argument), and joules."""

    makespan_s: float = 0.0
    energy_j: float = 0.0
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """Output SNR in dB over the analog ops of a run: the worst with its op, and the median weighted by MACs; inf where nothing is lost."""

    n_ops: int
    worst_db: float
    worst_op: str
    median_db: float

    def summary(self) -> dict[str, Any]:
        """Return plain JSON values; a level is None where nothing is lost."""
        return {"n_ops": self.n_ops, "worst": finite_db(self.worst_db), "worst_op": self.worst_op, "median": finite_db(self.median_db)}


@dataclass(frozen=True)
class Result:
    """One simulated inference of the whole batch, weights already programmed.

    `latency` carries the seconds exposed to each spread along the critical path, `transfers` every tensor that went from one
    device to another, and `accuracy_loss` the estimate of the fraction of accuracy that analog ops lose (None: not known).
    `planned_s` is the makespan that the policy expected without contention, `planned_bound_s` what it has proven that no
    plan can beat in that model (0: nothing).
    """

    workload: Workload
    chip: Chip
    policy: str
    fidelity: str
    seed: int
    weight_bits: int
    activation_bits: int
    rows: tuple[Row, ...]
    ops: tuple[OpRun, ...]
    latency: Exposure
    spreads: dict[Owner, tuple[Spread, ...]]
    programming: Programming
    resident_weight_fraction: float
    busy_s: dict[str, float]
    memory_bytes: dict[str, float]
    provenance: dict[str, Any]
    transfers: tuple[Transfer, ...] = ()
    floor: Floor = Floor()
    accuracy_loss: float | None = None
    planned_s: float = 0.0
    planned_bound_s: float = 0.0

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """The tidy table of all energy, one row an (op, device, component)."""
        return to_frame(self.rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed while reading the network, and what the chip's models say of themselves."""
        return (*self.workload.notes, *self.chip.notes)

    @property
    def latency_s(self) -> float:
        """Seconds from the first op's start to the last op's end."""
        return self.latency.total

    @property
    def gap(self) -> float | None:
        """How far the makespan is above its lower bound, as a fraction; None where the bound is 0."""
        return self.latency_s / self.floor.makespan_s - 1 if self.floor.makespan_s > 0 else None

    @cached_property
    def energy_j(self) -> float:
        """Joules of one inference of the whole batch."""
        return total_energy_j(self.rows)

    @cached_property
    def energy(self) -> Exposure:
        """Energy and what it is exposed to; standby also moves with everything that moves the latency."""
        exposure = Exposure()
        for row in self.rows:
            exposure.add(row.energy_j, self.spreads.get((row.device, row.component), ()))
        standby_w = sum(power_w for _, power_w, *_ in standby(self.chip))
        for name, (factor, seconds) in self.latency.by_name.items():
            exposure.expose(standby_w * seconds, (Spread(name, factor),))
        return exposure

    @cached_property
    def edp(self) -> Exposure:
        """Energy-delay product in J s; its exposure is that of energy and latency together."""
        product = Exposure(self.energy_j * self.latency_s, in_logs=True)
        for source, other in ((self.energy, self.latency_s), (self.latency, self.energy_j)):
            for name, (factor, part) in source.by_name.items():
                product.expose(part * other, (Spread(name, factor),))
        return product

    @property
    def assumed_share(self) -> float:
        """Fraction of the energy in rows that rest on an assumed number."""
        return sum(row.energy_j for row in self.rows if row.assumed) / self.energy_j if self.energy_j else 0.0

    @property
    def tops_per_w(self) -> float:
        """Tera-operations per joule of the whole chip; one MAC counts as two operations."""
        return 2 * self.workload.n_macs / self.energy_j / 1e12 if self.energy_j else 0.0

    @cached_property
    def signal(self) -> Signal | None:
        """What analog ops cost in signal; None where there are none."""
        return signal_of(self.ops)

    def summary(self) -> dict[str, Any]:
        """Return the headline numbers as plain JSON values; the contract of `cosim run --json`."""
        latency_low, latency_high = self.latency.interval()
        energy_low, energy_high = self.energy.interval()
        coverage = self.workload.coverage
        return {
            "workload": self.workload.name,
            "chip": self.chip.name,
            "policy": self.policy,
            "fidelity": self.fidelity,
            "batch": self.workload.batch,
            "dims": dict(self.workload.dims),
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "latency_s": self.latency_s,
            "latency_s_low": latency_low,
            "latency_s_high": latency_high,
            "energy_j": self.energy_j,
            "energy_j_low": energy_low,
            "energy_j_high": energy_high,
            "edp_js": self.edp.total,
            "lower_bound_s": self.floor.makespan_s,
            "gap": self.gap,
            "tops_per_w": self.tops_per_w,
            "programming_energy_j": self.programming.energy_j,
            "programming_latency_s": self.programming.latency_s,
            "break_even_inferences": self.programming.break_even_inferences,
            "resident_weight_fraction": self.resident_weight_fraction,
            "area_mm2": self.chip.area_m2 * 1e6,
            "macs": self.workload.n_macs,
            "params": self.workload.n_params,
            "n_ops": len(self.ops),
            "coverage": {
                "costed": dict(coverage.costed),
                "data_movement": dict(coverage.data_movement),
                "free": dict(coverage.free),
            },
            "energy_by_component_j": energy_by(self.rows, "device", "component"),
            "latency_by_device_s": dict(self.busy_s),
            "memory_bytes": dict(self.memory_bytes),
            "binding": [{"op": op.name, "type": op.op_type, "device": op.device, "limit": op.limit} for op in self.ops],
            "compute_bits": [
                {"op": op.name, "device": op.device, "weight_bits": op.weight_bits, "activation_bits": op.activation_bits}
                for op in self.ops
                if op.n_macs and (op.weight_bits, op.activation_bits) != (self.weight_bits, self.activation_bits)
            ],
            "output_snr_db": self.signal.summary() if self.signal else None,
            "op_output_snr_db": [
                {"op": op.name, "device": op.device, "output_snr_db": finite_db(op.output_snr_db), "lossless": op.output_snr_db == inf}
                for op in self.ops
                if op.output_snr_db is not None
            ],
            "assumed_share": self.assumed_share,
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }


def finite_db(snr_db: float | None) -> float | None:
    """The level, None where it is infinite, which JSON cannot say."""
    return None if snr_db is None or snr_db == inf else snr_db


def signal_of(ops: tuple[OpRun, ...]) -> Signal | None:
    """Worst and median over the ops that have an SNR; half of their MACs are at the median or above."""
    found = sorted((op.output_snr_db, op.n_macs, op.name) for op in ops if op.output_snr_db is not None)
    if not found:
        return None
    reached, half = 0, sum(n_macs for _, n_macs, _ in found) / 2
    median_db = found[-1][0]
    for snr_db, n_macs, _ in found:
        reached += n_macs
        if reached >= half:
            median_db = snr_db
            break
    return Signal(len(found), found[0][0], found[0][2], median_db)


def busy_by_device(names: tuple[str, ...], ops: tuple[OpRun, ...]) -> dict[str, float]:
    """Seconds that each device spends running ops."""
    busy = dict.fromkeys(names, 0.0)
    for op in ops:
        busy[op.device] += op.end_s - op.start_s
    return busy


def moved_by_memory(chip: Chip, rows: tuple[Row, ...]) -> dict[str, float]:
    """Bytes read from and written to each memory."""
    moved = dict.fromkeys(chip.memories, 0.0)
    for row in rows:
        if row.device in moved:
            moved[row.device] += row.n_bytes
    return {name: float(np.round(n_bytes)) for name, n_bytes in moved.items()}
