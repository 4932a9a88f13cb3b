"""From trials of a search, or rows of a store, to the table that reports read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosim.study.accuracy import AccuracyEvaluator
from cosim.study.evaluate import Evaluator
from cosim.study.judge import ALL_COLUMNS, StudyJudge
from cosim.study.optimise import Outcome, Told, Trial, known_at
from cosim.study.scores import Wanted
from cosim.study.space import Codes, Space
from cosim.study.spec import Study
from cosim.study.store import Store, StoredRow
from cosim.study.table import Given, SearchTrace, StudyTable

Floats = NDArray[np.float64]


def search_table(
    study: Study,
    space: Space,
    wanted: Wanted,
    judge: StudyJudge,
    trials: Sequence[Trial],
    named: tuple[str, int],
    known: Iterable[Told] = (),
) -> StudyTable:
    """Table of a search's trials at its top fidelity, with what lower ones said of the same points; `named`: sampler and seed.

    What was known before at the top fidelity, of feasible points that the search did not take itself, follows.
    """
    ladder = list(study.ladder) or [study.fidelity]
    top = ladder[-1]
    found: dict[str, dict[tuple[int, ...], Outcome]] = {fidelity: {} for fidelity in ladder}
    for trial in trials:
        found[trial.fidelity][tuple(trial.row.tolist())] = trial.outcome
    own = list(found[top])
    given = [(row, one) for row, one in known_at(known, top, space, wanted) if tuple(row.tolist()) not in found[top]]
    found[top] |= {tuple(row.tolist()): _with_rows(judge, row, top, one) for row, one in given}
    points = list(found[top])
    codes = np.array(points, dtype=np.int64).reshape(-1, len(space.axes))
    columns = {fidelity: _columns_of(judge, points, outcomes) for fidelity, outcomes in found.items()}
    place = {point: i for i, point in enumerate(own)}
    rows = [place[tuple(trial.row.tolist())] if trial.fidelity == top else -1 for trial in trials]
    spent = np.array([trial.spent for trial in trials])
    trace = SearchTrace(*named, np.array(rows, dtype=np.int64), [trial.fidelity for trial in trials], spent)
    errors = [found[top][point].error for point in points]
    others = {fidelity: columns[fidelity] for fidelity in ladder[:-1]}
    told = Given(np.array([one.objectives for _, one in given]), np.array([one.limited for _, one in given])) if given else None
    return StudyTable(study, space, wanted, top, codes, columns[top], errors, trace, others or None, told)


def _with_rows(judge: StudyJudge, row: Codes, fidelity: str, told: Outcome) -> Outcome:
    """Return what was told of a point, with the rows of the store that it came from if it did."""
    taken = judge.taken(row, fidelity)
    if taken is None:
        return told
    same = np.array_equal(taken.objectives, told.objectives, equal_nan=True) and np.array_equal(taken.limited, told.limited, equal_nan=True)
    return taken if same else told


def _columns_of(judge: StudyJudge, points: Sequence[tuple[int, ...]], outcomes: Mapping[tuple[int, ...], Outcome]) -> dict[str, Floats]:
    """Columns [n_points, n_workloads] at one fidelity, NaN for points without rows there."""
    values = np.full((len(points), len(judge.study.workloads), len(ALL_COLUMNS)), np.nan)
    for i, point in enumerate(points):
        if point in outcomes and outcomes[point].keys:
            values[i] = judge.values(outcomes[point].keys)
    return {name: values[:, :, i] for i, name in enumerate(ALL_COLUMNS)}


def sweep_table(study: Study, space: Space, wanted: Wanted, store: Store, codes: Codes, fidelity: str | None = None) -> StudyTable:
    """Table of those points [n, d] that the store holds for every workload; replicates are averaged."""
    fidelity = fidelity or study.fidelity
    shape = (len(codes), len(study.workloads))
    seeds = range(study.seed, study.seed + study.replicates)
    keys = np.array([Evaluator(replace(study, seed=seed), fidelity).keys(codes) for seed in seeds]).reshape(-1, *shape)
    rows = {row.key: row for row in store.read(dict.fromkeys(keys.ravel().tolist()))}
    kept = np.array([all(key in rows for key in keys[:, i].ravel().tolist()) for i in range(len(codes))], dtype=np.bool_)
    codes, keys = codes[kept], keys[:, kept]
    found = np.array([_values(rows[key]) for key in keys.ravel().tolist()]).reshape(*keys.shape, len(ALL_COLUMNS))
    values = found.mean(axis=0)
    errors = [next((rows[key].error for key in keys[:, i].ravel().tolist() if rows[key].failed), "") for i in range(len(codes))]
    if wanted.needs_accuracy and len(codes):
        _add_accuracy(study, store, codes, values)
    columns = {name: values[:, :, i] for i, name in enumerate(ALL_COLUMNS)}
    return StudyTable(study, space, wanted, fidelity, codes, columns, errors)


def _add_accuracy(study: Study, store: Store, codes: Codes, values: Floats) -> None:
    """Fill in the accuracies that the store holds."""
    keys = AccuracyEvaluator(study).keys(codes)
    rows = {row.key: row for row in store.read(dict.fromkeys(keys))}
    n = len(study.workloads)
    first = next(i for i, name in enumerate(ALL_COLUMNS) if name.startswith("accuracy"))
    for i, key in enumerate(keys):
        if key in rows:
            values[i // n, i % n, first:] = _values(rows[key])[first:]


def _values(row: StoredRow) -> Floats:
    return np.array([np.nan if value is None else value for value in row.values])
