"""Constraints that are worked out of chips: area and room, as the evaluator finds them, each combination once."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.feasible import Bounds, feasible_space
from cosim.study.objectives import read_bound
from cosim.study.rows import OK
from cosim.study.rules import condition
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from cosim.study.study_file import load_study
from workloads.errors import SpecError

TEXT = """
name: room
chip: edge_cim_soc
workloads: [{name: lenet5}, {name: mlp_mnist}]
axes:
  weight_bits: [4, 8]
  devices.cim.n_macros: [2, 800, 1640]
  memory.shared.capacity: [16 KiB, 3 MiB]
constraints: [weight_bits == 8 or devices.cim.n_macros > 2]
"""


@pytest.fixture
def study_of(tmp_path):
    def read(*constraints, text=TEXT):
        path = tmp_path / "study.yaml"
        more = "".join(f", {one}" for one in constraints)
        path.write_text(text.replace("macros > 2]", f"macros > 2{more}]"), encoding="utf-8")
        return load_study(path)

    return read


class Counted:
    """Chips whose area is n macros in mm2, and where point (., ., 0) has no room; notes what it is asked."""

    def __init__(self, area=None):
        self.areas, self.fit, self.area = [], [], area or (lambda codes: (codes[:, 1] + 1.0) * 1e-6)

    def area_m2(self, codes):
        self.areas += [tuple(row) for row in codes.tolist()]
        return self.area(codes)

    def fits(self, codes):
        self.fit += [tuple(row) for row in codes.tolist()]
        return codes[:, 2] != 0


def every(space):
    return Space(space.axes).listed


class TestRules:
    def test_without_such_constraints_the_space_is_that_of_the_study_and_no_chip_is_asked(self, study_of):
        study, builds = study_of(), Counted()
        space = feasible_space(study, builds)
        assert space.axes == study.space.axes
        assert [rule.text for rule in space.rules] == [rule.text for rule in study.space.rules]
        space.random(np.random.default_rng(0), 20)
        assert builds.areas == builds.fit == []

    def test_an_area_is_held_within_its_bound(self, study_of):
        study = study_of("area <= 2 mm2")
        space = feasible_space(study, Counted())
        codes = every(space)
        allowed = study.space.feasible(codes) & (codes[:, 1] <= 1)
        assert space.feasible(codes).tolist() == allowed.tolist()
        assert 0 < allowed.sum() < len(codes)

    def test_a_chip_that_cannot_be_built_has_no_area_within_a_bound(self, study_of):
        for bound in ("area <= 2 mm2", "area >= 0.1 mm2"):
            space = feasible_space(study_of(bound), Counted(lambda codes: np.where(codes[:, 1] == 1, np.nan, 1e-6)))
            codes = every(space)
            assert not space.feasible(codes[codes[:, 1] == 1]).any()

    def test_two_bounds_are_both_held(self, study_of):
        space = feasible_space(study_of("area <= 2 mm2", "area >= 2 mm2"), Counted())
        assert set(space.listed[:, 1].tolist()) == {1}

    def test_each_combination_of_levels_that_make_a_chip_is_built_once(self, study_of):
        builds = Counted()
        space = feasible_space(study_of("area <= 2 mm2"), builds)
        for _ in range(3):
            space.feasible(every(space))
        space.random(np.random.default_rng(0), 50)
        chips = [row[1:] for row in builds.areas]  # bits of weights make no other chip
        assert sorted(chips) == sorted(set(chips))
        assert len(chips) == 3 * 2

    def test_room_is_asked_once_for_each_point(self, study_of):
        builds = Counted()
        space = feasible_space(study_of("fits"), builds)
        for _ in range(2):
            assert (space.listed[:, 2] != 0).all()
            space.feasible(every(space))
        assert sorted(builds.fit) == sorted(set(builds.fit))

    def test_room_is_asked_only_of_points_that_keep_to_the_rest(self, study_of):
        builds = Counted()
        study = study_of("fits", "area <= 2 mm2")
        space = feasible_space(study, builds)
        space.feasible(every(space))
        asked = np.array(builds.fit)
        assert (asked[:, 1] <= 1).all()
        assert study.space.feasible(asked).all()

    def test_no_codes_are_no_question(self, study_of):
        builds = Counted()
        space = feasible_space(study_of("fits", "area <= 2 mm2"), builds)
        assert space.feasible(np.zeros((0, 3), dtype=np.int64)).tolist() == []
        assert builds.fit == builds.areas == []

    def test_what_leaves_no_point_is_said_with_all_constraints(self, study_of):
        space = feasible_space(study_of("area <= 0.5 mm2", "fits"), Counted())
        with pytest.raises(SpecError, match=r"no point of the space keeps to its constraints .*area <= 0.5 mm2; fits"):
            space.random(np.random.default_rng(0), 1)

    def test_an_axis_without_paths_sets_the_field_of_its_name(self):
        axes = (Axis("devices.cim.n_macros", "categorical", (2, 1640)), Axis("weight_bits", "categorical", (4, 8)))
        study = Study("s", "", Space(axes), ("edge_cim_soc",), (StudyWorkload("lenet5", "lenet5"),), (), known=(area_below(40),))
        areas = Bounds(study).area_m2(study.space.listed)
        assert areas[0] < areas[-1]
        space = feasible_space(study)
        assert space.feasible(study.space.listed).tolist() == (areas <= 40e-6).tolist() == [True, True, False, False]

    def test_the_choice_of_chip_is_one_that_makes_a_chip(self):
        chips = ("edge_npu_soc", "edge_cim_soc")
        axes = (
            Axis("chip", "categorical", chips, ("chip",)),
            Axis("weight_bits", "ordinal", (4, 6, 8), ("weight_bits",)),
        )
        study = Study("s", "", Space(axes), chips, (StudyWorkload("lenet5", "lenet5"),), (), known=(area_below(2),))
        builds = Counted(lambda codes: (codes[:, 0] + 1.5) * 1e-6)
        space = feasible_space(study, builds)
        assert space.feasible(study.space.listed).tolist() == [True] * 3 + [False] * 3
        assert len(builds.areas) == 2

    def test_other_rules_come_first_and_stay(self):
        axes = (Axis("weight_bits", "ordinal", (4, 6, 8), ("weight_bits",)),)
        space = Space(axes, (condition("weight_bits > 4", axes),))
        study = Study("s", "", space, ("edge_cim_soc",), (StudyWorkload("lenet5", "lenet5"),), (), fits=True, known=(area_below(50),))
        assert [rule.text for rule in feasible_space(study, Counted()).rules] == ["weight_bits > 4", "area <= 50 mm2", "fits"]


def area_below(mm2):
    return read_bound(f"area <= {mm2} mm2")


class TestBounds:
    def test_areas_are_those_of_results(self, study_of):
        study = study_of()
        codes = every(study.space)
        rows = Evaluator(study, "bound").evaluate(codes)
        column = Evaluator(study).evaluate(codes).values.reshape(len(codes), 2, -1)
        found = Bounds(study).area_m2(codes)
        good = rows.status.reshape(len(codes), 2) == OK
        assert found[good[:, 0]] == pytest.approx(column[good[:, 0], 0, COLUMNS.index("area_m2")])

    def test_room_is_found_where_a_run_is_possible(self, study_of):
        text = TEXT.replace("memory.shared.capacity: [16 KiB, 3 MiB]", "memory.backing.capacity: [1 KiB, 1 GiB]")
        study = study_of(text=text)
        codes = every(study.space)
        status = Evaluator(study, "event").evaluate(codes).status.reshape(len(codes), 2)
        found = Bounds(study).fits(codes)
        assert found.tolist() == (status == OK).all(axis=1).tolist()
        assert 0 < found.sum() < len(codes)

    def test_a_feasible_point_never_fails_and_all_that_do_not_are_feasible(self, study_of):
        text = TEXT.replace("memory.shared.capacity: [16 KiB, 3 MiB]", "memory.backing.capacity: [1 KiB, 1 GiB]")
        study = study_of("fits", "area <= 40 mm2", text=text)
        evaluator = Evaluator(study, "event")
        codes = every(study.space)
        runs = (evaluator.evaluate(codes).status.reshape(len(codes), 2) == OK).all(axis=1)
        expected = study.space.feasible(codes) & runs & (evaluator.area_m2(codes) <= 40e-6)
        assert feasible_space(study).feasible(codes).tolist() == expected.tolist()
        assert 0 < expected.sum() < len(codes)

    def test_a_chip_that_cannot_be_built_has_neither(self):
        axes = (Axis("devices.cim.adc.n_bits", "categorical", (8, "many"), ("devices.cim.adc.n_bits",)),)
        study = Study("s", "", Space(axes), ("edge_cim_soc",), (StudyWorkload("lenet5", "lenet5"),), ())
        bounds = Bounds(study)
        codes = study.space.listed
        assert np.isnan(bounds.area_m2(codes)).tolist() == [False, True]
        assert bounds.fits(codes).tolist() == [True, False]
