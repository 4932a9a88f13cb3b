"""Axes, levels and codes: a point and its codes are the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.study.rules import condition
from cosim.study.space import Axis, Space, axes_of
from workloads.errors import SpecError

THREE = axes_of({"rows": [64, 128, 256], "cell": ["sram", "reram"], "wide": [True, False]})


def test_three_numbers_are_ordinal_and_two_or_words_are_categorical():
    kinds = {axis.name: axis.kind for axis in axes_of({"a": [1, 2, 3], "b": [1, 2], "c": ["x", "y", "z"], "d": [True, False]})}
    assert kinds == {"a": "ordinal", "b": "categorical", "c": "categorical", "d": "categorical"}


def test_a_kind_may_be_given():
    assert axes_of({"a": {"levels": ["low", "mid", "high"], "kind": "ordinal"}})[0].kind == "ordinal"


def test_codes_and_points_are_the_same_thing():
    space = Space(THREE)
    codes = space.at(np.arange(space.size))
    assert (space.encode(space.decode(codes)) == codes).all()
    assert len(np.unique(codes, axis=0)) == 12


def test_the_last_axis_goes_fastest():
    assert Space(THREE).decode(Space(THREE).at(np.array([0, 1, 2])))[1] == {"rows": 64, "cell": "sram", "wide": False}


def test_one_and_true_are_different_levels():
    axis = Axis("a", "categorical", (1, True, "1", None))
    assert [axis.code(level) for level in (1, True, "1", None)] == [0, 1, 2, 3]
    assert axis.code(1.0) == axis.code(np.int64(1)) == 0


@pytest.mark.parametrize(
    ("levels", "says"),
    [((), "has no levels"), ((1, 1.0), "level 1.0 twice|level 1 twice")],
)
def test_an_axis_needs_different_levels(levels, says):
    with pytest.raises(SpecError, match=says):
        Axis("a", "categorical", levels)


def test_points_that_do_not_fit_are_refused_by_name():
    space = Space(THREE)
    with pytest.raises(SpecError, match="did you mean 'rows'"):
        space.encode([{"row": 64, "cell": "sram", "wide": True}])
    with pytest.raises(SpecError, match="no level of axis 'wide'"):
        space.encode([{"rows": 64, "cell": "sram"}])
    with pytest.raises(SpecError, match="no level 65; choose one of: 64, 128, 256"):
        space.encode([{"rows": 65, "cell": "sram", "wide": True}])


def test_a_space_needs_axes_with_different_names():
    with pytest.raises(SpecError, match="no axes"):
        Space(())
    with pytest.raises(SpecError, match="two axes are called 'rows'"):
        Space((THREE[0], THREE[0]))


def test_the_list_holds_exactly_the_feasible_points():
    space = Space(THREE, (condition("rows <= 128 and cell == 'sram'", THREE),))
    points = space.decode(space.listed)
    assert len(points) == 4
    assert all(point["rows"] <= 128 and point["cell"] == "sram" for point in points)


def test_random_points_are_uniform_over_the_feasible_ones():
    space = Space(THREE, (condition("rows <= 128 or cell == 'sram'", THREE),))
    drawn = space.random(np.random.default_rng(0), 4000)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.size == 10
    assert abs(counts - 400).max() < 5 * np.sqrt(400)


def test_a_rare_feasible_point_is_found_in_a_space_that_can_be_listed():
    axes = axes_of({f"a{i}": list(range(10)) for i in range(6)})
    rules = tuple(condition(f"a{i} == 7", axes) for i in range(6))
    assert (Space(axes, rules).random(np.random.default_rng(1), 3) == 7).all()


def test_an_empty_space_says_which_constraints_it_has():
    space = Space(THREE, (condition("rows > 256", THREE),))
    with pytest.raises(SpecError, match=r"rows > 256"):
        space.random(np.random.default_rng(0), 1)


def test_a_grid_too_large_to_list_is_refused_with_its_size():
    with pytest.raises(SpecError, match="1,000,000,000 points"):
        _ = Space(axes_of({f"a{i}": list(range(10)) for i in range(9)})).listed


def test_neighbors_differ_on_one_axis_and_keep_to_the_rules():
    space = Space(THREE, (condition("rows < 256", THREE),))
    row = space.encode([{"rows": 64, "cell": "sram", "wide": True}])[0]
    found = space.neighbors(row)
    assert len(found) == 3
    assert ((found != row).sum(axis=1) == 1).all()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_drawn_codes_are_levels(sizes, seed):
    space = Space(axes_of({f"a{i}": list(range(n)) for i, n in enumerate(sizes)}))
    codes = space.random(np.random.default_rng(seed), 7)
    assert codes.shape == (7, len(sizes))
    assert ((codes >= 0) & (codes < space.n_levels)).all()
