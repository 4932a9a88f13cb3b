"""From a played problem to ledger rows: every joule once, with the owner that spent it.

Devices report what happens inside them; this module charges links, shared memory, DRAM and standby.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cosim.engine.problem import Playback
from cosim.ledger import Row
from cosim.simulation.costs import OpCosts
from cosim.simulation.joules import Owner, standby
from cosim.simulation.placed import Placed
from cosim.simulation.residency import Residency
from cosim.simulation.traffic import READ, WRITE, Traffic
from hw_models.chip import Chip
from hw_models.cost import Spread
from hw_models.memory.base import Memory, category
from hw_models.registry import Device


@dataclass
class Account:
    """Ledger rows of one run, and by owner the spreads that their energy rests on."""

    fidelity: str
    rows: list[Row] = field(default_factory=list)
    spreads: dict[Owner, tuple[Spread, ...]] = field(default_factory=dict)

    def charge(
        self,
        device: str,
        component: str,
        category: str,
        energy_j: float,
        span: tuple[float, float],
        *,
        op: str = "",
        n_bytes: float = 0.0,
        n_macs: int = 0,
        spreads: tuple[Spread, ...] = (),
        assumed: bool = False,
    ) -> None:
        """Append one row; rows without energy, bytes and MACs say nothing and are left out."""
        if energy_j == 0.0 and n_bytes == 0.0 and n_macs == 0:
            return
        self.spreads[(device, component)] = spreads
        self.rows.append(Row(0, op, device, component, category, self.fidelity, *span, energy_j, n_bytes, n_macs, assumed))


def account(
    chip: Chip, costs: OpCosts, traffic: Traffic, residency: Residency, placed: Placed, playback: Playback, fidelity: str
) -> Account:
    """Charge all energy of a run."""
    book = Account(fidelity)
    devices = list(chip.devices.values())
    for i, op in enumerate(placed.workload.ops):
        d = int(placed.assignment[i])
        span = (float(playback.start_s[i]), float(playback.end_s[i]))
        _charge_device(book, devices[d], costs, residency, i, d, span)
        for m, memory in enumerate(traffic.memories):
            charge_memory(book, memory, float(placed.n_bytes[i, m, READ]), float(placed.n_bytes[i, m, WRITE]), span, op.name)
        _charge_link(book, chip, d, float(placed.n_bytes[i].sum()), span, op.name)
    for e, edge in enumerate(placed.edges):
        if placed.crosses[e]:
            span = (float(playback.edge_start_s[e]), float(playback.edge_end_s[e]))
            name, n_bytes = placed.workload.ops[edge.dst].name, float(placed.problem.edge_bytes[e])
            charge_memory(book, traffic.memories[int(placed.edge_memory[e])], n_bytes, 0.0, span, name)
            _charge_link(book, chip, int(placed.assignment[edge.dst]), n_bytes, span, name)
    charge_standby(book, chip, playback.makespan_s)
    return book


def _charge_device(book: Account, device: Device, costs: OpCosts, residency: Residency, i: int, d: int, span: tuple[float, float]) -> None:
    """Charge what happens inside the device; the op's MACs stand on its first row."""
    op, row = costs.workload.ops[i], costs.row_of_op[i]
    table = costs.tables[d]
    for c, part in enumerate(table.components[0]):
        book.charge(
            device.name,
            part.name,
            part.category,
            float(table.energy_j[0, row, c]),
            span,
            op=op.name,
            n_macs=op.n_macs if c == 0 else 0,
            spreads=part.spreads,
            assumed=part.assumed,
        )
    if device.n_arrays > 0 and residency.array_device[i] != d and costs.program_j[i, d] > 0:
        energy_j = float(costs.program_j[i, d])
        spreads, assumed = device.program_spreads, device.program_assumed
        book.charge(device.name, "program", "memory", energy_j, span, op=op.name, spreads=spreads, assumed=assumed)


def charge_memory(book: Account, memory: Memory, read_bytes: float, write_bytes: float, span: tuple[float, float], op: str) -> None:
    """Charge reads and writes of one memory, split into its components; the bytes stand on the first row."""
    if read_bytes + write_bytes <= 0:
        return
    n_bytes = read_bytes + write_bytes
    for component, energy_j in memory.energy_parts_j(read_bytes, write_bytes).items():
        book.charge(
            memory.name,
            component,
            category(component),
            energy_j,
            span,
            op=op,
            n_bytes=n_bytes,
            spreads=memory.spreads.get(component, ()),
            assumed=component in memory.assumed,
        )
        n_bytes = 0.0


def _charge_link(book: Account, chip: Chip, device: int, n_bytes: float, span: tuple[float, float], op: str) -> None:
    link = list(chip.links.values())[device]
    energy_j = link.energy_j(n_bytes)
    book.charge(f"link {link.name}", "transfer", "link", energy_j, span, op=op, n_bytes=n_bytes, spreads=link.spreads, assumed=link.assumed)


def charge_standby(book: Account, chip: Chip, makespan_s: float) -> None:
    """Charge leakage and idle power of every device, and background and refresh of every memory, over the whole run."""
    for owner, power_w, kind, spreads, assumed in standby(chip):
        book.charge(*owner, kind, power_w * makespan_s, (0.0, makespan_s), spreads=spreads, assumed=assumed)
