"""The store of a study: rows by key in one SQLite file, written by one process, safe once they are acknowledged."""

from __future__ import annotations

import json
import math
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cosim.study import store_file
from cosim.study.rows import RowsLike
from cosim.study.store_lock import StoreLock

_AT_ONCE = 10_000  # rows of a commit, keys of a question

# Columns that say what a row is; those with values follow, and what a run took is left out of tables.
HEAD = ("key", "workload", "fidelity", "model_version", "seed", "status", "error", "cost")


def _versions() -> str:
    names = {name: version(name) for name in ("numpy", "numba")}
    return json.dumps({"python": platform.python_version(), **names})


@dataclass(frozen=True)
class Origin:
    """What rows were made by: study and hash of its text, rung of the ladder, code, seed and versions of packages."""

    study: str
    study_hash: str
    fidelity: str
    model_version: str
    seed: int = 0
    versions: str = field(default_factory=_versions)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row read back; `values` in the order of the columns, None where there is none."""

    key: str
    workload: str
    fidelity: str
    model_version: str
    seed: int
    failed: bool
    error: str
    cost: float
    design: Mapping[str, Any]
    values: tuple[float | None, ...]


class Store:
    """A store open to read or, with `write`, to write by this process alone.

    Raises StoreError for a file that is no store, is damaged or has a writer, StoreFullError where rows cannot be written.
    """

    def __init__(self, path: Path | str, columns: Sequence[str], *, write: bool = False) -> None:
        """Open or make a file for these value columns."""
        self.path = Path(path)
        self.columns = tuple(columns)
        self._lock: StoreLock | None = None
        if not write:
            self._database = store_file.open_to_read(self.path)
            return
        with store_file.told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = StoreLock(self.path)
        try:
            self._database = store_file.create_or_open(self.path, self.columns)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file and let another process write."""
        with suppress(sqlite3.Error):  # a full disk: what could not be copied out of the log is copied next time
            self._database.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def statuses(self, keys: Sequence[str]) -> dict[str, int]:
        """Return key → OK or FAILED of those keys that are here."""
        found: dict[str, int] = {}
        with store_file.told(self.path):
            if self._database.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is None:
                return found
            for part in _parts(keys):
                found.update(self._database.execute(f"SELECT key, status FROM rows WHERE key IN ({_marks(part)})", part))
        return found

    def write(self, rows: RowsLike, origin: Origin, workloads: Sequence[str], cost: float = 1.0, cpu_s: float = math.nan) -> int:
        """Store rows, in place of any of the same keys; return how many are safe now: all. `cpu_s` is what one row took."""
        with store_file.told(self.path):
            for start in range(0, len(rows.keys), _AT_ONCE):
                self._commit(rows, slice(start, start + _AT_ONCE), (origin, tuple(workloads)), (cost, cpu_s))
        return len(rows.keys)

    def flush(self) -> int:
        """Return how many rows became safe: none, all were before."""
        return 0

    def _commit(self, rows: RowsLike, part: slice, made_by: tuple[Origin, tuple[str, ...]], costs: tuple[float, float]) -> None:
        head = ("key", "origin", "workload", "status", "error", "design", "cost", "cpu_s")
        names = ", ".join(f'"{name}"' for name in (*head, *self.columns))
        marks = ", ".join("?" * (len(head) + len(self.columns)))
        self._database.execute("BEGIN IMMEDIATE")
        try:
            origin, index = self._interned(*made_by)
            # NaN is stored as NULL, and -0.0 as 0.0, which SQLite would otherwise decide
            values = (rows.values[part] + 0.0).tolist()
            of = [index[i] for i in rows.workload[part].tolist()]
            told = zip(rows.keys[part], of, rows.status[part].tolist(), rows.error[part], rows.designs[part], values, strict=True)
            packed = ((k, origin, w, s, e or None, d, *costs, *v) for k, w, s, e, d, v in told)
            self._database.executemany(f"INSERT OR REPLACE INTO rows ({names}) VALUES ({marks})", packed)
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def _interned(self, origin: Origin, workloads: tuple[str, ...]) -> tuple[int, list[int]]:
        """Numbers that stand for what rows have in common."""
        self._database.execute(
            "INSERT OR IGNORE INTO origins (study, study_hash, fidelity, model_version, seed, versions) VALUES (?, ?, ?, ?, ?, ?)",
            astuple(origin),
        )
        where = "study = ? AND study_hash = ? AND fidelity = ? AND model_version = ? AND seed = ? AND versions = ?"
        number = self._database.execute(f"SELECT id FROM origins WHERE {where}", astuple(origin)).fetchone()[0]
        self._database.executemany("INSERT OR IGNORE INTO workloads (name) VALUES (?)", [(name,) for name in workloads])
        numbers = dict(self._database.execute("SELECT name, id FROM workloads"))
        return number, [numbers[name] for name in workloads]

    def read(self, keys: Iterable[str] | None = None) -> Iterator[StoredRow]:
        """Yield rows in the order of their keys: those of `keys` that are here, or all."""
        with store_file.told(self.path):
            known = {row[1] for row in self._database.execute("PRAGMA table_info(rows)")}
            values = "".join(f', rows."{name}"' if name in known else ", NULL" for name in self.columns)
            select = (
                f"SELECT key, name, fidelity, model_version, seed, status, error, cost, design{values}"
                " FROM rows JOIN origins ON origin = origins.id JOIN workloads ON workload = workloads.id"
            )
            if keys is None:
                yield from map(_stored, self._database.execute(f"{select} ORDER BY key"))
                return
            for part in _parts(sorted(set(keys))):
                yield from map(_stored, self._database.execute(f"{select} WHERE key IN ({_marks(part)}) ORDER BY key", part))

    def n_rows(self) -> int:
        """Count all rows."""
        with store_file.told(self.path):
            return int(self._database.execute("SELECT count(*) FROM rows").fetchone()[0])

    def origins(self) -> list[tuple[Origin, int]]:
        """Return what rows were made by, and how many of them."""
        with store_file.told(self.path):
            found = self._database.execute(
                "SELECT study, study_hash, fidelity, model_version, seed, versions, count(key) FROM origins"
                " LEFT JOIN rows ON origin = origins.id GROUP BY origins.id ORDER BY origins.id"
            )
            return [(Origin(*row[:-1]), row[-1]) for row in found]

    def limit_pages(self, n_pages: int) -> None:
        """Let the file grow to so many pages at most."""
        self._database.execute(f"PRAGMA max_page_count = {int(n_pages)}")


def _stored(row: tuple[Any, ...]) -> StoredRow:
    key, workload, fidelity, code, seed, status, error, cost, design, *values = row
    return StoredRow(key, workload, fidelity, code, seed, bool(status), error or "", cost, json.loads(design), tuple(values))


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _marks(keys: Sequence[str]) -> str:
    return ", ".join("?" * len(keys))
