"""The one tidy table: who spent how much energy on what and when. All that is shown is a groupby of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Row(NamedTuple):
    """One ledger row.

    inference  which inference (0 here: one run is one inference of the whole batch)
    op         op name; empty for what belongs to no op (leakage, refresh)
    device     device, memory or link that spent the energy
    component  part of it: "mac", "adc", "read", "refresh"...
    category   compute, convert, memory, link, static or idle
    fidelity   rung of the ladder that made the row
    start_s, end_s  when, in seconds from the start of the run
    energy_j   joules; n_bytes  bytes moved through a memory or link; n_macs  multiply-accumulates
    assumed    whether the energy rests on an assumed number
    """

    inference: int
    op: str
    device: str
    component: str
    category: str
    fidelity: str
    start_s: float
    end_s: float
    energy_j: float
    n_bytes: float
    n_macs: int
    assumed: bool


COLUMNS: tuple[str, ...] = Row._fields


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Return the rows as a DataFrame with the columns of `Row`."""
    import pandas as pd  # noqa: PLC0415  (half a second that a run without tables need not pay)

    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def total_energy_j(rows: Iterable[Row]) -> float:
    """Sum of all joules."""
    return sum(row.energy_j for row in rows)


def energy_by(rows: Iterable[Row], *columns: str) -> dict[str, float]:
    """Joules grouped by columns, keys joined by a dot, largest first."""
    groups: dict[str, float] = {}
    for row in rows:
        key = ".".join(str(getattr(row, column)) for column in columns)
        groups[key] = groups.get(key, 0.0) + row.energy_j
    return dict(sorted(groups.items(), key=lambda item: (-item[1], item[0])))


# What a reader of a comparison wants to see side by side: (category, memory role) → name of the bar.
GROUPS: tuple[str, ...] = (
    "DRAM and weight store",
    "on-chip memory",
    "conversion",
    "compute",
    "links",
    "programming",
    "leakage and idle",
    "memory standby",
)


def group_of(row: Row, off_chip: Mapping[str, bool]) -> str:
    """Return the bar of a comparison that a row belongs to; `off_chip` maps memory names to whether they are the backing."""
    if row.category in {"static", "idle"}:
        return "memory standby" if row.device in off_chip else "leakage and idle"
    if row.component == "program":
        return "programming"
    if row.category == "memory":
        return "DRAM and weight store" if off_chip.get(row.device, False) else "on-chip memory"
    return {"convert": "conversion", "link": "links"}.get(row.category, "compute")
