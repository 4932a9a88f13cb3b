"""The matrix of train here, run there, for any scores: who wins, by how much, and how it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.accuracy import Score
from cosim.training.cross import NONE, CrossResult

NAMES = ("A", "B", "C")


def matrix(means, spread=0.0):
    """Scores of two seeds, the mean -+ spread."""
    rows = (*NAMES[: len(means) - 1], NONE.name)
    columns = rows[:-1]
    scores = {
        (row, column): Score((means[i][j] - spread, means[i][j] + spread)) for i, row in enumerate(rows) for j, column in enumerate(columns)
    }
    return CrossResult(rows, columns, scores)


def whole(n):
    return st.lists(st.lists(st.integers(0, 100).map(float), min_size=n, max_size=n), min_size=n + 1, max_size=n + 1)


@given(whole(3))
def test_a_gain_is_positive_exactly_where_the_diagonal_wins_alone(means):
    result = matrix(means)
    for j, column in enumerate(result.columns):
        others = max(row[j] for i, row in enumerate(means) if i != j)
        assert result.gain(column) == (means[j][j] - others, 0.0)
        assert result.scores[result.best(column), column].mean == max(row[j] for row in means)


@given(whole(2), st.floats(-20, 20))
def test_points_that_all_have_on_a_chip_move_no_gain(means, shift):
    moved = [[row[0] + shift, row[1]] for row in means]
    assert matrix(moved).gain("A")[0] == pytest.approx(matrix(means).gain("A")[0], abs=1e-9)


@given(whole(2))
def test_every_line_names_a_winner_and_no_negative_lead(means):
    result = matrix(means)
    lines = result.lines()
    assert len(lines) == 1 + 3 + 2
    for column, told in zip(result.columns, lines[-2:], strict=True):
        assert told.startswith(f"on {column}: trained for ")
        assert "-0.00" not in told
        assert " -" not in told.replace("+-", "")


def test_a_tie_is_no_defeat():
    """A and B are equally good on B: what was trained for it is best there, by nothing."""
    result = matrix([[90.0, 80.0], [70.0, 80.0], [60.0, 60.0]])
    assert result.lines()[-1] == "on B: trained for it is best, by 0.00 +- 0.00 points"


def test_the_deviation_is_that_of_paired_differences():
    """Seeds that are better or worse together leave a gain of no spread."""
    together = CrossResult(
        ("A", "B", NONE.name),
        ("A", "B"),
        {(row, column): Score((base, base + 10)) for row, base in (("A", 80.0), ("B", 70.0), (NONE.name, 60.0)) for column in ("A", "B")},
    )
    assert together.gain("A") == (10.0, 0.0)
    assert together.scores["A", "A"].std == pytest.approx(np.std([80, 90], ddof=1))


def test_columns_stand_under_their_names():
    result = matrix([[1.0, 2.0], [3.0, 100.0], [5.0, 6.0]], spread=1.0)
    head, *rows = result.lines()[:4]
    assert len({len(line) for line in (head, *rows)}) == 1
    end = head.index("A") + 1
    assert [row[:end].split()[-3:] for row in rows] == [["1.00", "+-", "1.41"], ["3.00", "+-", "1.41"], ["5.00", "+-", "1.41"]]
