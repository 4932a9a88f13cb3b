"""Make one store of the shards that job arrays have written: nothing missing, nothing twice with two values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosim.study.rows import FAILED, OK, Rows
from cosim.study.shards import Mark, complain_of_missing, origins_of_table, read_part, shard_files, values_of_table
from cosim.study.store import Origin, Store
from workloads.errors import StoreError


@dataclass(frozen=True, eq=False)
class _Pooled:
    """Rows of all files: their rows, workload names, origins, costs, and the file of each."""

    rows: Rows
    workloads: list[str]
    origins: list[Origin]
    costs: list[float]
    files: list[Path]


@dataclass(frozen=True)
class Merged:
    """How many files and rows there were, how many rows were new to the store, and what is missing where that was allowed."""

    n_files: int
    n_rows: int
    n_new: int
    missing: tuple[str, ...]


def merge(places: Sequence[Path], store: Store, *, partial: bool = False) -> Merged:
    """Write the rows of shards (files, or folders of them) to a store.

    Of a key that failed in one file and did not in another, the result is kept. Raises StoreError for a torn file, for a missing or
    unfinished shard unless `partial`, and always for two results of one key; then nothing is written.
    """
    files = shard_files(places)
    pooled, rows_of = _read(files, store.columns)
    missing = complain_of_missing(rows_of)
    if missing and not partial:
        told = "; ".join(missing[:5]) + (f"; and {len(missing) - 5} more" if len(missing) > 5 else "")
        n_sweeps = len({mark.sweep for mark in rows_of})
        mixed = f"; the files are of {n_sweeps} sweeps: the study or its models were changed between" if n_sweeps > 1 else ""
        raise StoreError(f"{told}{mixed}; run the rest with cosim sweep --shard i/n --resume, or merge what there is with --partial")
    chosen = _one_each(pooled)
    new = _not_there(pooled, chosen, store)
    for part in _alike(pooled, new):
        first = part[0]
        names = list(dict.fromkeys(pooled.workloads[i] for i in part))
        store.write(_taken(pooled, part, names), pooled.origins[first], names, pooled.costs[first])
    return Merged(len(files), len(chosen), len(new), tuple(missing))


def _read(files: Sequence[Path], columns: Sequence[str]) -> tuple[_Pooled, dict[Mark, set[str]]]:
    rows_of: dict[Mark, set[str]] = {}
    text: dict[str, list[str]] = {name: [] for name in ("key", "error", "design", "workload")}
    status, costs, origins, of_file, values = [], [], [], [], [np.empty((0, len(columns)))]
    for path in files:
        mark, table = read_part(path)
        for name, found in text.items():
            found += [one or "" for one in table[name].to_pylist()]
        rows_of.setdefault(mark, set()).update(table["key"].to_pylist())
        status += table["status"].to_pylist()
        costs += table["cost"].to_pylist()
        origins += origins_of_table(table)
        of_file += [path] * table.num_rows
        values.append(values_of_table(table, columns))
    workload = np.zeros(len(status), dtype=np.int64)
    rows = Rows(text["key"], np.array(status, dtype=np.int8), text["error"], np.concatenate(values), workload, text["design"])
    return _Pooled(rows, text["workload"], origins, costs, of_file), rows_of


def _one_each(pooled: _Pooled) -> list[int]:
    """Return one row of each key, in the order of the keys: a result before a failure, else the least, whatever the order of files."""
    rows = pooled.rows

    def rank(i: int) -> tuple[Any, ...]:
        of = pooled.origins[i]
        said = (rows.error[i], pooled.costs[i], rows.designs[i], pooled.workloads[i])
        return rows.keys[i], int(rows.status[i]), *said, of.study, of.study_hash, of.fidelity, of.model_version, of.seed, of.versions

    order = sorted(range(len(rows.keys)), key=rank)
    chosen: list[int] = []
    for i in order:
        if chosen and rows.keys[chosen[-1]] == rows.keys[i]:
            if rows.status[i] == OK and not np.array_equal(rows.values[chosen[-1]], rows.values[i], equal_nan=True):
                raise StoreError(
                    f"{pooled.files[chosen[-1]]} and {pooled.files[i]} have unequal values for key {rows.keys[i]} ({rows.designs[i]}):"
                    " equal code gives equal values, so one of them comes from another machine or is damaged; compute one of them again"
                )
            continue
        chosen.append(i)
    return chosen


def _not_there(pooled: _Pooled, chosen: list[int], store: Store) -> list[int]:
    """Return rows that the store lacks, or has as failed where they did not fail."""
    rows = pooled.rows
    there = {row.key: row for row in store.read([rows.keys[i] for i in chosen])}
    new = []
    for i in chosen:
        old = there.get(rows.keys[i])
        if old is None or (old.failed and rows.status[i] != FAILED):
            new.append(i)
        elif rows.status[i] == OK:
            values = np.array([np.nan if value is None else value for value in old.values])
            if not np.array_equal(values, rows.values[i], equal_nan=True):
                raise StoreError(f"{store.path} and {pooled.files[i]} have unequal values for key {rows.keys[i]} ({rows.designs[i]})")
    return new


def _alike(pooled: _Pooled, chosen: list[int]) -> list[list[int]]:
    """Cut rows into those of one origin and cost."""
    groups: dict[tuple[Origin, float], list[int]] = {}
    for i in chosen:
        groups.setdefault((pooled.origins[i], pooled.costs[i]), []).append(i)
    return list(groups.values())


def _taken(pooled: _Pooled, index: list[int], names: list[str]) -> Rows:
    """Return some rows, their workloads numbered by names."""
    rows, places = pooled.rows, np.array(index, dtype=np.int64)
    number = {name: i for i, name in enumerate(names)}
    workload: NDArray[np.int64] = np.array([number[pooled.workloads[i]] for i in index], dtype=np.int64)
    texts = ([getattr(rows, name)[i] for i in index] for name in ("keys", "error", "designs"))
    keys, error, designs = texts
    return Rows(keys, rows.status[places], error, rows.values[places], workload, designs)
