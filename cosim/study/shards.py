"""Shards: each task of a job array writes rows to Parquet files of its own, without a database; `merge` makes one store of them."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cosim.study.failures import StoreFullError
from cosim.study.rows import RowsLike
from cosim.study.store import Origin
from cosim.study.sweep import Shard
from workloads.errors import StoreError

SUFFIX = ".parquet"
_MARK = b"cosim.shard"
_ORIGIN = tuple(one.name for one in fields(Origin))
HEAD = ("key", "workload", "status", "error", "design", "cost", "cpu_s", *_ORIGIN)
_MANY, _LONG_S = 50_000, 30.0  # rows, or seconds since the last file, after which rows are written


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module. Raises StoreError where they are not installed."""
    try:
        import pyarrow as pa  # noqa: PLC0415  (an extra, and slow to import)
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise StoreError('Parquet needs pyarrow: pip install "cosim[study]"') from None
    return pa, pq


@dataclass(frozen=True)
class Mark:
    """What a file says of itself: which shard of which sweep (a hash of all its keys), and how many rows that shard has to have."""

    sweep: str
    study: str
    shard: int
    of: int
    n_rows: int


def sweep_hash(keys: Iterable[str]) -> str:
    """Hash of all keys of a sweep."""
    return hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:16]


class ShardWriter:
    """A folder of Parquet files that holds one shard. A file is written beside its place, synced and renamed, so that it is whole.

    Raises StoreError for a folder that cannot be written, StoreFullError on a full disk.
    """

    def __init__(
        self, folder: Path, keys: Sequence[str], study: str, shard: Shard, columns: Sequence[str], say: Callable[[str], None]
    ) -> None:
        """Prepare the shard of a sweep with these keys; `say` is told of files that are put aside."""
        self.folder = folder / f"{shard.index}-of-{shard.n}"
        self.columns, self._say = tuple(columns), say
        self._keys = {key for key in keys if shard.holds(key)}
        self.mark = Mark(sweep_hash(keys), study, shard.index, shard.n, len(self._keys))
        self._waiting: list[dict[str, Any]] = []
        self._n_waiting, self._since_s = 0, time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be made: {error.strerror or error}") from None

    def statuses(self, keys: Sequence[str]) -> dict[str, int]:
        """Return key → status of rows in the folder; torn files are put aside, rows of another sweep of this study taken over."""
        wanted = set(keys)
        found: dict[str, int] = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                mark, table = read_part(path)
            except StoreError as error:
                aside = path.with_name(f"{path.name}.torn")
                path.replace(aside)
                self._say(f"{error}; it is kept as {aside.name}, and its rows are computed again")
                continue
            status = dict(zip(table["key"].to_pylist(), table["status"].to_pylist(), strict=True))
            mine = {key: one for key, one in status.items() if key in wanted}
            if mark.sweep != self.mark.sweep and mine:
                self._write(table.filter(arrow()[0].array([key in wanted for key in table["key"].to_pylist()])))
            found.update({key: min(one, found.get(key, one)) for key, one in mine.items()})
        return found

    def write(self, rows: RowsLike, origin: Origin, workloads: Sequence[str], cost: float = 1.0, cpu_s: float = math.nan) -> int:
        """Take rows, and write a file when they are many or have waited for long; return how many became safe."""
        n = len(rows.keys)
        self._waiting.append(
            {
                **{"key": rows.keys, "workload": [workloads[w] for w in rows.workload.tolist()], "status": rows.status.tolist()},
                **{"error": rows.error, "design": rows.designs, "cost": [cost] * n, "cpu_s": [cpu_s] * n},
                **{name: [value] * n for name, value in asdict(origin).items()},
                **dict(zip(self.columns, (rows.values + 0.0).T, strict=True)),  # -0.0 is 0.0, as in a store
            }
        )
        self._n_waiting += n
        if self._n_waiting >= _MANY or time.monotonic() - self._since_s >= _LONG_S:
            return self.flush()
        return 0

    def flush(self) -> int:
        """Write what waits; return how many rows became safe."""
        n, waiting = self._n_waiting, self._waiting
        self._waiting, self._n_waiting, self._since_s = [], 0, time.monotonic()
        if n:
            pa, _ = arrow()
            self._write(pa.concat_tables([pa.table(part, schema=self._schema()) for part in waiting]))
        return n

    def finish(self) -> None:
        """Leave a file without rows where the shard has none, so that it is not missing."""
        if not self._keys:
            self._write(self._schema().empty_table())

    def _schema(self) -> Any:
        pa, _ = arrow()
        kinds = {"status": pa.int8(), "seed": pa.int64(), "cost": pa.float64(), "cpu_s": pa.float64()}
        head = [(name, kinds.get(name, pa.string())) for name in HEAD]
        return pa.schema([*head, *((name, pa.float64()) for name in self.columns)])

    def _write(self, table: Any) -> None:
        table = table.replace_schema_metadata({_MARK: json.dumps(asdict(self.mark))})
        name = hashlib.sha256("".join([self.mark.sweep, *table["key"].to_pylist()]).encode()).hexdigest()[:16]
        write_parquet(table, self.folder / f"part-{name}{SUFFIX}")


def write_parquet(table: Any, path: Path) -> None:
    """Write a file that is whole or not there, whatever happens: temporary name, fsync, rename."""
    _, pq = arrow()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        full = error.errno in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
        way = "what was acknowledged is safe: make room, then go on with --resume" if full else "name another place"
        raise (StoreFullError if full else StoreError)(f"{path}: cannot be written: {error.strerror or error}; {way}") from None


def read_part(path: Path) -> tuple[Mark, Any]:
    """Return what a file of a shard says of itself, and its table. Raises StoreError for one that is torn, or of something else."""
    pa, pq = arrow()
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: is not a whole Parquet file ({str(error).splitlines()[0]})") from None
    said = (table.schema.metadata or {}).get(_MARK)
    if said is None:
        raise StoreError(f"{path}: is Parquet, but no shard of a study")
    missing = [name for name in HEAD if name not in table.column_names]
    if missing:
        raise StoreError(f"{path}: lacks column {missing[0]!r} of a shard")
    try:
        return Mark(**json.loads(said)), table
    except (ValueError, TypeError):
        raise StoreError(f"{path}: is a shard of another version of cosim; compute it again with this one") from None


def values_of_table(table: Any, columns: Sequence[str]) -> Any:
    """[n, n_columns] values of a file in the order of columns; NaN where it has none of that name."""
    found = np.full((table.num_rows, len(columns)), np.nan)
    for i, name in enumerate(columns):
        if name in table.column_names:
            found[:, i] = table[name].to_numpy(zero_copy_only=False)
    return found


def origins_of_table(table: Any) -> list[Origin]:
    """Return what made each row."""
    listed = [table[name].to_pylist() for name in _ORIGIN]
    return [Origin(*one) for one in zip(*listed, strict=True)]


def shard_files(places: Sequence[Path]) -> list[Path]:
    """Return all files of shards in folders, or the files themselves. Raises StoreError where there are none."""
    found: list[Path] = []
    for place in places:
        inside = sorted(place.rglob(f"*{SUFFIX}")) if place.is_dir() else [place]
        found += [path for path in inside if not path.name.startswith(".")]
    if not found:
        raise StoreError(f"{', '.join(map(str, places))}: no shards there; run cosim sweep with --shard i/n first")
    return found


def complain_of_missing(rows_of: Mapping[Mark, set[str]]) -> list[str]:
    """Say which shards are missing or have too few rows, and of which sweep where there are several; `rows_of`: keys of each mark."""
    said = []
    several = len({mark.sweep for mark in rows_of}) > 1
    for sweep, of in sorted({(mark.sweep, mark.of) for mark in rows_of}):
        name = f" of sweep {sweep[:8]}" if several else ""
        marks = {mark.shard: mark for mark in rows_of if (mark.sweep, mark.of) == (sweep, of)}
        for shard in range(1, of + 1):
            if shard not in marks:
                said.append(f"shard {shard}/{of}{name} is missing")
            elif len(rows_of[marks[shard]]) < marks[shard].n_rows:
                said.append(f"shard {shard}/{of}{name} has {len(rows_of[marks[shard]]):,} of {marks[shard].n_rows:,} rows")
    return said
