"""Tables of a study: from rows of a store and from trials of a search, with intervals, failures and replicates."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cosim.study import tables
from cosim.study.judge import ALL_COLUMNS
from cosim.study.objectives import read_objective
from cosim.study.optimise import Outcome, Trial
from cosim.study.scores import wanted_of
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from cosim.study.store import StoredRow
from cosim.study.table import StudyTable
from cosim.study.tables import search_table, sweep_table

SPACE = Space((Axis("bits", "ordinal", (4, 6, 8)), Axis("mode", "categorical", ("a", None))))


def study_of(*objectives, n_workloads=1, **more):
    nets = tuple(StudyWorkload(f"net{i}", f"net{i}", weight=i + 1.0) for i in range(n_workloads))
    return Study("by hand", "text", SPACE, ("chip",), nets, tuple(map(read_objective, objectives or ("energy",))), **more)


def table_of(study, codes, columns, errors=None):
    errors = [""] * len(codes) if errors is None else errors
    return StudyTable(study, SPACE, wanted_of(study), "event", np.array(codes, dtype=np.int64).reshape(-1, 2), columns, errors)


def column(*values):
    return np.array(values, dtype=np.float64).reshape(len(values), -1)


class TestStudyTable:
    def test_a_point_names_its_active_levels(self):
        table = table_of(study_of(), [[1, 0], [2, 1]], {"energy_j": column(1.0, 2.0)})
        assert table.n == 2
        assert table.point(0) == {"bits": 6, "mode": "a"}
        assert table.point(1) == {"bits": 8}

    def test_scores_are_those_of_what_is_wanted(self):
        table = table_of(study_of("energy", "latency"), [[0, 0], [1, 0]], {"energy_j": column(1.0, np.nan), "latency_s": column(3.0, 1.0)})
        assert table.scores.failed.tolist() == [False, True]
        assert table.scores.best(1) == 0
        assert table.scores is table.scores

    @pytest.mark.parametrize(
        ("metric", "names"),
        [
            ("energy", ("energy_j", "energy_low_j", "energy_high_j")),
            ("latency", ("latency_s", "latency_low_s", "latency_high_s")),
            ("accuracy", ("accuracy_pct", "accuracy_low_pct", "accuracy_high_pct")),
        ],
    )
    def test_an_interval_is_read_from_its_columns(self, metric, names):
        columns = {"energy_j": column(1.0), **{name: column(value) for name, value in zip(names, (2.0, 1.0, 4.0), strict=True)}}
        low, high = table_of(study_of(), [[0, 0]], columns).interval(metric)
        assert (low.tolist(), high.tolist()) == ([1.0], [4.0])

    @pytest.mark.parametrize("metric", ["edp", "area", "snr", "latency"])
    def test_other_metrics_and_missing_columns_have_none(self, metric):
        columns = {"energy_j": column(1.0), "latency_s": column(1.0), "latency_low_s": column(1.0)}
        assert table_of(study_of(), [[0, 0]], columns).interval(metric) is None

    def test_workloads_are_combined_end_by_end(self):
        """Geometric means with weights 1 and 2: (1 · 8²)^(1/3) = 4 and (8 · 8²)^(1/3) = 8."""
        columns = {"energy_j": column((2.0, 8.0)), "energy_low_j": column((1.0, 8.0)), "energy_high_j": column((8.0, 8.0))}
        low, high = table_of(study_of(n_workloads=2), [[0, 0]], columns).interval("energy")
        assert (low[0], high[0]) == (pytest.approx(4.0), pytest.approx(8.0))


# --- from a store ----------------------------------------------------------------------------------------------------


class FakeEvaluator:
    """Keys that say what they are of, and nothing to run."""

    def __init__(self, study, fidelity):
        self.study, self.fidelity = study, fidelity

    def keys(self, codes):
        return [f"{self.fidelity}{row}{w}s{self.study.seed}" for row in codes.tolist() for w in range(len(self.study.workloads))]


class FakeStore:
    def __init__(self, rows):
        self.rows = rows

    def read(self, keys):
        return [self.rows[key] for key in keys if key in self.rows]


def stored(key, *, error="", **given):
    values = tuple(given.get(name) for name in ALL_COLUMNS)
    return key, StoredRow(key, "net", "event", "m", 0, bool(error), error, 1.0, {}, values)


@pytest.fixture
def sweep(monkeypatch):
    monkeypatch.setattr(tables, "Evaluator", FakeEvaluator)

    def made(study, codes, *rows, fidelity=None):
        return sweep_table(study, SPACE, wanted_of(study), FakeStore(dict(rows)), np.array(codes, dtype=np.int64), fidelity)

    return made


class TestSweepTable:
    def test_points_that_are_not_there_for_every_workload_are_left_out(self, sweep):
        table = sweep(
            study_of(n_workloads=2),
            [[0, 0], [1, 0], [2, 0]],
            stored("event[0, 0]0s0", energy_j=1.0),
            stored("event[0, 0]1s0", energy_j=4.0),
            stored("event[1, 0]0s0", energy_j=2.0),
            stored("event[2, 0]0s0", energy_j=3.0),
            stored("event[2, 0]1s0", energy_j=3.0),
        )
        assert table.codes.tolist() == [[0, 0], [2, 0]]
        assert table.columns["energy_j"].tolist() == [[1.0, 4.0], [3.0, 3.0]]
        assert np.isnan(table.columns["latency_s"]).all()
        assert (table.fidelity, table.trace, table.others) == ("event", None, None)

    def test_a_failed_point_keeps_the_first_error_of_its_workloads(self, sweep):
        table = sweep(
            study_of(n_workloads=2),
            [[0, 0], [1, 1]],
            stored("event[0, 0]0s0", energy_j=1.0),
            stored("event[0, 0]1s0", error="too large"),
            stored("event[1, 1]0s0", energy_j=1.0),
            stored("event[1, 1]1s0", energy_j=1.0),
        )
        assert list(table.errors) == ["too large", ""]
        assert table.scores.failed.tolist() == [True, False]

    def test_another_fidelity_has_other_rows(self, sweep):
        rows = (stored("event[0, 0]0s0", energy_j=1.0), stored("bound[0, 0]0s0", energy_j=0.5))
        table = sweep(study_of(), [[0, 0]], *rows, fidelity="bound")
        assert (table.fidelity, table.columns["energy_j"].tolist()) == ("bound", [[0.5]])

    def test_replicates_are_averaged_and_all_of_them_needed(self, sweep):
        table = sweep(
            study_of(replicates=2, seed=7),
            [[0, 0], [1, 0]],
            stored("event[0, 0]0s7", energy_j=1.0),
            stored("event[0, 0]0s8", energy_j=2.0),
            stored("event[1, 0]0s7", energy_j=9.0),
        )
        assert table.codes.tolist() == [[0, 0]]
        assert table.columns["energy_j"].tolist() == [[1.5]]

    def test_one_replicate_that_fails_is_a_point_that_fails(self, sweep):
        rows = (stored("event[0, 0]0s0", energy_j=1.0), stored("event[0, 0]0s1", error="no room"))
        table = sweep(study_of(replicates=2), [[0, 0]], *rows)
        assert list(table.errors) == ["no room"]
        assert table.scores.failed.tolist() == [True]

    def test_a_store_without_the_points_makes_an_empty_table(self, sweep):
        table = sweep(study_of("energy", "latency"), [[0, 0]])
        assert (table.n, table.scores.front.size, table.scores.best(0)) == (0, 0, None)


# --- from a search ---------------------------------------------------------------------------------------------------


def trial(index, row, fidelity, energy, spent, error=""):
    outcome = Outcome(np.array([energy]), np.empty(0), error, (f"{fidelity}:{energy}",))
    return Trial(index, np.array(row), fidelity, 1.0, spent, outcome, False)


def judge_of(study):
    def values(keys):
        found = np.full((1, len(ALL_COLUMNS)), np.nan)
        found[0, ALL_COLUMNS.index("energy_j")] = float(keys[0].partition(":")[2])
        return found

    return SimpleNamespace(study=study, values=values)


class TestSearchTable:
    STUDY = study_of(ladder={"bound": 0.1, "event": 1.0})
    TRIALS = (
        trial(0, [0, 0], "bound", 0.5, 0.1),
        trial(1, [2, 0], "event", 3.0, 1.1),
        trial(2, [0, 0], "event", 1.0, 2.1),
        trial(3, [1, 0], "bound", 0.7, 2.2),
        trial(4, [2, 0], "event", 3.0, 3.2),
        trial(5, [1, 1], "event", np.nan, 4.2, "no room"),
    )

    @pytest.fixture
    def table(self):
        return search_table(self.STUDY, SPACE, wanted_of(self.STUDY), judge_of(self.STUDY), self.TRIALS, ("gp", 3))

    def test_each_point_of_the_top_fidelity_is_a_row_in_the_order_of_its_first_trial(self, table):
        assert table.codes.tolist() == [[2, 0], [0, 0], [1, 1]]
        assert table.columns["energy_j"][:, 0] == pytest.approx([3.0, 1.0, np.nan], nan_ok=True)
        assert list(table.errors) == ["", "", "no room"]
        assert table.fidelity == "event"

    def test_trials_point_at_their_rows_and_lower_ones_at_none(self, table):
        assert table.trace.row.tolist() == [-1, 0, 1, -1, 0, 2]
        assert list(table.trace.fidelity) == ["bound", "event", "event", "bound", "event", "event"]
        assert table.trace.spent.tolist() == [0.1, 1.1, 2.1, 2.2, 3.2, 4.2]
        assert (table.trace.sampler, table.trace.seed) == ("gp", 3)

    def test_lower_fidelities_are_kept_for_points_that_the_top_has_too(self, table):
        assert list(table.others) == ["bound"]
        assert table.others["bound"]["energy_j"][:, 0] == pytest.approx([np.nan, 0.5, np.nan], nan_ok=True)

    def test_without_a_ladder_there_are_no_others(self):
        study = study_of()
        table = search_table(study, SPACE, wanted_of(study), judge_of(study), [trial(0, [0, 0], "event", 1.0, 1.0)], ("sa", 0))
        assert table.others is None
        assert table.trace.row.tolist() == [0]

    def test_a_search_that_stopped_before_the_top_has_no_points(self):
        table = search_table(self.STUDY, SPACE, wanted_of(self.STUDY), judge_of(self.STUDY), self.TRIALS[:1], ("gp", 0))
        assert table.n == 0
        assert table.trace.row.tolist() == [-1]
        assert table.scores.best(0) is None


class TestWarmStart:
    """Points known before: one from a store, with its rows; one measured, without rows; and some that do not count."""

    STUDY = TestSearchTable.STUDY
    STORED = Outcome(np.array([0.4]), np.empty(0), "", ("event:0.4",))
    KNOWN = (
        ({"bits": 6, "mode": "a"}, {"energy": 0.4}, "event"),
        ({"bits": 4, "mode": "a"}, {"energy": 0.1}, "event"),  # the search evaluated it itself
        ({"bits": 8, "mode": None}, {"energy": 0.2}, "event"),
        ({"bits": 4, "mode": None}, {"energy": 0.01}, "bound"),
    )

    def table(self, taken=STORED, known=KNOWN, space=SPACE):
        def taken_of(row, fidelity):
            return taken if (row.tolist(), fidelity) == ([1, 0], "event") else None

        judge = SimpleNamespace(**vars(judge_of(self.STUDY)), taken=taken_of)
        return search_table(self.STUDY, space, wanted_of(self.STUDY), judge, TestSearchTable.TRIALS, ("gp", 3), known)

    def test_they_follow_the_points_of_the_search(self):
        table = self.table()
        assert table.codes.tolist() == [[2, 0], [0, 0], [1, 1], [1, 0], [2, 1]]
        assert table.n_given == 2
        assert [table.source(i) for i in range(table.n)] == ["search"] * 3 + ["warm start"] * 2
        assert table.trace.row.tolist() == [-1, 0, 1, -1, 0, 2]
        assert list(table.errors) == ["", "", "no room", "", ""]

    def test_they_may_be_best(self):
        table = self.table()
        assert table.scores.objectives[:, 0] == pytest.approx([3.0, 1.0, np.nan, 0.4, 0.2], nan_ok=True)
        assert table.scores.best(0) == 4
        assert table.scores.front.tolist() == [4]
        assert table.scores.limited.shape == (5, 0)
        assert table.scores is table.scores

    def test_rows_of_a_store_come_with_their_columns(self):
        assert self.table().columns["energy_j"][:, 0] == pytest.approx([3.0, 1.0, np.nan, 0.4, np.nan], nan_ok=True)

    def test_values_that_are_not_those_of_the_rows_stand_alone(self):
        other = Outcome(np.array([0.5]), np.empty(0), "", ("event:0.5",))
        table = self.table(other)
        assert np.isnan(table.columns["energy_j"][3, 0])
        assert table.scores.objectives[3, 0] == 0.4

    def test_a_stored_failure_keeps_its_reason(self):
        failed = Outcome(np.array([np.nan]), np.empty(0), "no room", ("event:nan",))
        table = self.table(failed, [(*self.KNOWN[0][:1], {"energy": float("nan")}, "event")])
        assert (table.errors[3], table.scores.failed.tolist()) == ("no room", [False, False, True, True])

    def test_those_that_break_a_rule_are_no_points(self):
        rule = SimpleNamespace(text="mode", keeps=lambda codes: codes[:, 1] == 0)
        assert self.table(space=Space(SPACE.axes, (rule,))).codes.tolist() == [[2, 0], [0, 0], [1, 1], [1, 0]]

    def test_columns_of_lower_fidelities_have_as_many_rows(self):
        assert self.table().others["bound"]["energy_j"][:, 0] == pytest.approx([np.nan, 0.5, np.nan, 0.7, np.nan], nan_ok=True)

    def test_without_any_the_table_is_that_of_the_trials(self):
        table = self.table(known=self.KNOWN[1:2])
        assert (table.given, table.n_given, table.n) == (None, 0, 3)
        assert table_of(study_of(), [[0, 0]], {"energy_j": column(1.0)}).source(0) == "sweep"
