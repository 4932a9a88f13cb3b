"""Declared constraints: tables over levels, conditional axes, and which constraints contradict each other."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.rules import Active, Measured, checked, condition, contradiction, one_point
from cosim.study.space import Space, axes_of
from workloads.errors import SpecError

AXES = axes_of({"rows": [64, 96, 128], "cols": [64, 128, 256], "cell": ["sram", "reram"], "levels": [None, 1, 2]})


def test_a_condition_is_a_table_over_its_own_axes():
    rule = condition("power_of_two(rows)", AXES)
    assert rule.axes == (0,)
    assert rule.allowed.tolist() == [True, False, True]


def test_a_condition_holds_for_what_is_inactive_unless_told_otherwise():
    assert condition("levels <= 1", AXES).allowed.tolist() == [True, True, False]
    assert condition("levels <= 1", AXES, inactive=False).allowed.tolist() == [False, True, False]


def test_a_condition_over_too_many_levels_is_refused():
    many = axes_of({f"a{i}": list(range(100)) for i in range(4)})
    with pytest.raises(SpecError, match="combinations of levels"):
        condition("a0 + a1 + a2 + a3 > 5", many)


def active(*texts: str) -> Active:
    return Active(3, "levels", AXES[3].levels, tuple(condition(text, AXES, inactive=False) for text in texts))


def test_an_axis_is_active_exactly_where_its_condition_holds():
    space = Space(AXES, (active("cell == 'reram'"),))
    points = space.decode(space.listed)
    assert len(points) == 9 * 1 + 9 * 2
    assert all((point["levels"] is None) == (point["cell"] == "sram") for point in points)


def test_an_axis_with_two_conditions_is_active_where_both_hold():
    space = Space(AXES, (active("cell == 'reram'", "rows == 128"),))
    assert all((p["levels"] is not None) == (p["cell"] == "reram" and p["rows"] == 128) for p in space.decode(space.listed))
    assert space.rules[0].text == "levels only when cell == 'reram' and rows == 128"
    assert set(space.rules[0].axes) == {0, 2, 3}


def test_a_search_finds_a_point_that_no_draw_would():
    axes = axes_of({f"a{i}": list(range(20)) for i in range(12)})
    rules = tuple(condition(f"a{i} + a{i + 1} == 19", axes) for i in range(11))
    row = one_point(Space(axes), rules, np.random.default_rng(0))
    assert row is not None
    assert all(row[i] + row[i + 1] == 19 for i in range(11))


def test_rules_on_whole_points_are_checked_too():
    whole = Measured("area <= 1 mm2", (0, 1), lambda codes: codes[:, 0] + codes[:, 1] == 4)
    assert one_point(Space(AXES), (whole,)).tolist()[:2] == [2, 2]


def test_a_contradiction_is_told_by_its_smallest_set_of_constraints():
    rules = tuple(condition(text, AXES) for text in ("power_of_two(rows)", "rows <= cols", "rows > 96", "cols < 128"))
    assert contradiction(Space(AXES, rules)) == ("rows <= cols", "rows > 96", "cols < 128")
    with pytest.raises(SpecError, match="'rows <= cols' and 'rows > 96' and 'cols < 128' together; loosen one of them"):
        checked(Space(AXES, rules))


def test_a_constraint_that_contradicts_itself_is_told_alone():
    with pytest.raises(SpecError, match="keeps to 'rows > 128'; loosen it"):
        checked(Space(AXES, (condition("rows > 128", AXES), condition("cols >= 64", AXES))))


def test_a_space_with_points_is_returned_as_it_is():
    space = Space(AXES, (condition("rows <= cols", AXES),))
    assert contradiction(space) == ()
    assert checked(space) is space
