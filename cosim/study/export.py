"""The table of a store as a file: sorted by key, floats as they are, nothing that two runs would not share."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cosim.study.shards import arrow, write_parquet
from cosim.study.store import StoredRow
from workloads.errors import StoreError

FORMATS = ("csv", "json", "parquet")
HEAD = ("key", "workload", "fidelity", "model_version", "seed", "status", "error", "cost")
_SPECIAL = re.compile(r"[,\"\r\n]")

Designs = Mapping[str, Mapping[str, Any]]


class Export:
    """Rows with a column for each axis. With `designs` (key → levels) the axes are those of one study, and each row has its levels;
    without, each has those that its study had.
    """

    def __init__(self, rows: Iterable[StoredRow], columns: Sequence[str], designs: Designs | None = None) -> None:
        """Read the rows."""
        self.rows, self.columns, self._designs = list(rows), tuple(columns), designs
        levels = [self._levels(row) for row in self.rows] if designs is None else designs.values()
        names = dict.fromkeys(name for one in levels for name in one)
        self.axes = tuple(names if designs is not None else sorted(names))

    def _levels(self, row: StoredRow) -> Mapping[str, Any]:
        return row.design if self._designs is None else self._designs.get(row.key, {})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns; an axis that is called like another column has `axis.` in front."""
        taken = {*HEAD, *self.columns}
        return (*HEAD, *(f"axis.{name}" if name in taken else name for name in self.axes), *self.columns)

    def lines(self) -> Iterator[tuple[Any, ...]]:
        """Yield the values of each row."""
        for row in self.rows:
            head = (row.key, row.workload, row.fidelity, row.model_version, row.seed)
            levels = self._levels(row)
            of_axes = (levels.get(name) for name in self.axes)
            yield (*head, "failed" if row.failed else "ok", row.error, row.cost, *of_axes, *row.values)

    def csv(self) -> Iterator[str]:
        """Yield lines of CSV: floats so that they read back the same, nothing where there is none."""
        for values in (self.names, *self.lines()):
            yield ",".join(_quoted(_cell(value)) for value in values) + "\n"

    def json(self) -> Iterator[str]:
        """Yield lines of one JSON array of objects; infinity, which JSON cannot say, is null."""
        names = self.names
        for i, values in enumerate(self.lines()):
            said = (None if isinstance(value, float) and not math.isfinite(value) else value for value in values)
            yield f"{',' if i else '['}\n{json.dumps(dict(zip(names, said, strict=True)), allow_nan=False)}"
        yield "\n]\n" if self.rows else "[]\n"

    def table(self) -> Any:
        """Return the rows as an Arrow table; levels of an axis that are not all numbers are texts."""
        pa, _ = arrow()
        columns = zip(*self.lines(), strict=True) if self.rows else [()] * len(self.names)
        made = {}
        for i, (name, values) in enumerate(zip(self.names, columns, strict=True)):
            is_axis = len(HEAD) <= i < len(HEAD) + len(self.axes)
            kind = pa.int64() if name == "seed" else pa.float64() if name == "cost" or i >= len(HEAD) + len(self.axes) else pa.string()
            made[name] = _axis_array(pa, values) if is_axis else pa.array(values, kind)
        return pa.table(made)


def _axis_array(pa: Any, values: Sequence[Any]) -> Any:
    """Levels as whole numbers, floats, truth values or texts: whatever holds them all."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([None if value is None else _cell(value) for value in values], pa.string())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    """Quote what RFC 4180 asks for; the csv module of some Pythons leaves a lone carriage return, which ends a row for its reader."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def write_export(export: Export, form: str, path: Path | None) -> None:
    """Write a table to a file, whole or not at all, or to stdout. Raises StoreError where that cannot be."""
    if form == "parquet":
        if path is None:
            raise StoreError("Parquet is no text; name a file with --output")
        write_parquet(export.table(), path)
        return
    text = export.csv() if form == "csv" else export.json()
    if path is None:
        for line in text:
            sys.stdout.write(line)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(text)
        part.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
