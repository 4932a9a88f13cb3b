"""Rows of the table of real networks on the catalog's chips: what policies make of each pair, and what no placement beats."""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

from cosim.validation.tables import count_in, read_table
from workloads.errors import WorkloadError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cosim.validation.tables import Row as Cells

# Where HEFT is so much above the best schedule known, a learned policy has something to gain.
HEADROOM = 1.1


@dataclass(frozen=True, slots=True)
class Row:
    """One network on one chip: makespans in s as the engine plays them, flows sharing memories and links max-min.

    network, chip     names; n_ops, n_devices: sizes
    heft_s            of HEFT
    portfolio_s       of the best classic policy
    learned_search_s  of learned + search, mean over seeds
    best_s            least that was found: by a search of search_s CPU seconds, or any of the others
    lower_bound_s     that no placement beats
    cpu_s             CPU time of learned + search, mean over seeds
    search_s          CPU seconds that the long search was given
    instance          hash of all numbers that the policies and the engine see
    model_version     hash of all sources and data
    """

    network: str
    chip: str
    n_ops: int
    n_devices: int
    heft_s: float
    portfolio_s: float
    learned_search_s: float
    best_s: float
    lower_bound_s: float
    cpu_s: float
    search_s: float
    instance: str
    model_version: str

    @property
    def pair(self) -> tuple[str, str]:
        """Network and chip: what a row is found by."""
        return self.network, self.chip

    @property
    def vs_portfolio(self) -> float:
        """Makespan of learned + search over that of the portfolio."""
        return self.learned_search_s / self.portfolio_s

    @property
    def has_headroom(self) -> bool:
        """Whether HEFT is 10 % or more above the best schedule known."""
        return self.heft_s >= HEADROOM * self.best_s

    @property
    def gap_closed(self) -> float:
        """(heft - learned) / (heft - best): 1 where learned + search is the best known; 0 where HEFT is."""
        return (self.heft_s - self.learned_search_s) / (self.heft_s - self.best_s) if self.heft_s > self.best_s else 0.0


COLUMNS = tuple(field.name for field in fields(Row))
_COUNTS = ("n_ops", "n_devices")
_TEXTS = ("network", "chip", "instance", "model_version")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table; raises WorkloadError, with file, line and column, when it cannot be read."""
    _, table = read_table(path, COLUMNS)
    return [_row(cells, f"{path}: line {line}") for line, cells in enumerate(table, start=2)]


def _row(cells: Cells, where: str) -> Row:
    texts = {name: cells[name].strip() for name in _TEXTS}
    for name, text in texts.items():
        if not text:
            raise WorkloadError(f"{where}: column {name!r} is empty; make the table again")
    counts = {name: count_in(cells, name, where) or 0 for name in _COUNTS}
    times = {name: seconds_in(cells, name, where) for name in COLUMNS if name not in {*_TEXTS, *_COUNTS}}
    return Row(**texts, **counts, **times)  # type: ignore[arg-type]  # three kinds of columns, each of one type


def seconds_in(cells: Cells, column: str, where: str) -> float:
    """Return the seconds in a cell; raises WorkloadError, naming `where` and the column, if they are not above 0 and finite."""
    try:
        value = float(cells[column])
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise WorkloadError(f"{where}: column {column!r}: {cells[column]!r} is no time in s; write a number above 0")
    return value


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a table, whole or not at all, by network and chip; raises WorkloadError when the file cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: row.pair))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text.getvalue(), encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise WorkloadError(f"{path}: the table cannot be written: {error.strerror}; choose another file") from error
