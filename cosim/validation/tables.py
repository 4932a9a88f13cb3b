"""Reading reference tables: CSV files with known columns."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from workloads.errors import WorkloadError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Row = dict[str, str]


def read_table(path: Path, required: Iterable[str] = ()) -> tuple[list[str], list[Row]]:
    """Return the columns of a CSV file and its rows, column → text; short rows are filled with empty text.

    Raises WorkloadError when the file is absent, not text, or lacks one of the `required` columns.
    """
    if not path.is_file():
        raise WorkloadError(f"{path}: there is no such file; give a CSV file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise WorkloadError(f"{path}: is not a CSV file in UTF-8: {error}") from error
    for name in required:
        if name not in columns:
            raise WorkloadError(f"{path}: column {name!r} is missing; the file has {', '.join(columns) or 'none'}")
    return columns, rows


def count_in(row: Row, column: str, where: str, least: int = 1) -> int | None:
    """Return the whole number of `least` or more in a cell, or None when the cell is empty or there is no such column.

    Raises WorkloadError, naming `where` and the column, when it holds anything else.
    """
    text = row.get(column, "").strip()
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise WorkloadError(f"{where}: column {column!r}: {text!r} is not a whole number of {least} or more")
    return value


def rel_error(value: int, expected: int | None) -> float | None:
    """|value - expected| / expected, None without an expectation; where 0 is expected, 0 if there is nothing, else 1."""
    if expected is None:
        return None
    return abs(value - expected) / expected if expected else float(value != 0)
