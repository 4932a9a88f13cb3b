"""Fresh starts: when they begin and end, whose points they are, and that they find what one model never would."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.samplers.base import make_sampler
from cosim.study.samplers.eras import N_FRESH, Eras, since_gain

TWO = np.full(10, 2)


class TestSinceGain:
    @pytest.mark.parametrize(
        ("values", "idle"),
        [
            ([], 0),
            ([3.0], 0),
            ([3.0, 2.0, 2.0, 5.0], 2),
            ([3.0, 2.95, 2.9], 2),
            ([3.0, 2.95, 2.8], 0),
            ([np.inf, np.inf], 2),
            ([np.inf, 4.0], 0),
        ],
    )
    def test_counts_values_after_the_last_that_was_clearly_lower(self, values, idle):
        assert since_gain(values, np.inf, 0.15) == idle

    def test_what_was_known_before_has_to_be_beaten(self):
        assert since_gain([3.0, 2.0], 1.0, 0.0) == 2
        assert since_gain([3.0, 0.5], 1.0, 0.0) == 0


def play(eras, values, told=()):
    """Ask and tell one point a value, each a point of its own; return the eras that they were asked in."""
    history = list(told)
    asked = []
    for value in values:
        eras.turn(np.array(history))
        row = np.array([len(history), eras.now])
        eras.ask(row)
        asked.append(eras.now)
        eras.tell(row)
        history.append(value)
    return asked


class TestEras:
    def test_a_search_that_gains_stays_with_the_whole(self):
        assert set(play(Eras(TWO), np.linspace(9.0, 1.0, 60))) == {0}

    def test_fifteen_without_gain_begin_a_fresh_start_and_this_ends_after_its_own_patience(self):
        asked = play(Eras(TWO), [5.0] * 80)
        assert asked.index(1) == 16  # the first value is a gain over nothing
        assert asked.count(1) == N_FRESH + 12
        assert asked[asked.index(1) + asked.count(1)] == 2

    def test_the_whole_looks_at_all_again_and_has_to_beat_all(self):
        asked = play(Eras(TWO), [5.0] * 38 + [1.0] + [4.0] * 40)
        assert asked[38] == 2  # gains in its first point
        assert asked.count(2) == 16

    def test_gains_within_a_fresh_start_keep_it_going_though_better_is_known(self):
        values = [1.0] * 16 + list(np.linspace(20.0, 2.0, 30)) + [3.0] * 20
        asked = play(Eras(TWO), values)
        assert asked.count(1) == 30 + 12

    def test_what_was_told_and_never_asked_belongs_to_no_era_and_is_no_idle_time(self):
        eras = Eras(TWO)
        for i in range(100):
            eras.tell(np.array([1000 + i, 0]))
        asked = play(eras, [5.0] * 20, told=[4.0] * 100)
        assert asked[:15] == [0] * 15
        assert asked[15] == 1  # none of them beats what was told
        assert set(eras.of_told[:100]) == {-1}

    def test_points_that_do_not_count_are_no_gain(self):
        assert play(Eras(TWO), [np.inf] * 20)[15] == 1

    def test_patience_grows_with_the_single_changes_of_a_point(self):
        asked = play(Eras(np.full(25, 5)), [5.0] * 70)
        assert asked.index(1) == 61

    def test_members_are_the_points_asked_in_the_era(self):
        eras = Eras(TWO)
        play(eras, [5.0] * 20)
        assert eras.is_fresh
        assert eras.members(np.arange(20)).tolist() == [16, 17, 18, 19]
        assert eras.n_here() == 4
        eras.ask(np.array([99, 99]))
        assert eras.n_here() == 5

    def test_the_first_fresh_point_lies_far_from_the_best_of_every_era(self):
        eras = Eras(TWO)
        for row in ([0] * 10, [1] * 10):
            eras.tell(np.array(row))
        codes = np.array([[0] * 10, [1] * 10])
        drawn = np.array([[1] + [0] * 9, [0, 1] * 5, [1] * 9 + [0]])
        assert eras.far(drawn, codes, np.array([1.0, 2.0])).tolist() == [1] * 9 + [0]  # told ones are one group: its best is the first


def deceptive(x):
    """A broad slope towards all zeros, and far from it the best, at the end of a slope of its own."""
    away = int(sum(x))
    return float(min(1.0 + 0.5 * away, 2.2 * (len(x) - away)))


class TestSearch:
    def test_fresh_starts_find_another_valley(self):
        levels = {f"a{i}": [0, 1] for i in range(10)}
        sampler = make_sampler("gp", levels, ["f"], seed=0)
        rng = np.random.default_rng(0)
        for _ in range(20):
            x = (np.arange(10) < rng.integers(0, 5)).astype(int)[rng.permutation(10)]
            sampler.tell(dict(zip(levels, x.tolist(), strict=True)), deceptive(x))
        found = []
        for _ in range(80):
            point = sampler.ask(1)[0]
            found.append((deceptive(list(point.values())), sampler._eras.now))
            sampler.tell(point, found[-1][0])
        assert min(value for value, era in found if era == 0) > 0.0
        assert min(value for value, _ in found) == 0.0

    def test_the_whole_keeps_its_hyperparameters_and_each_fresh_start_has_its_own(self):
        levels = {f"a{i}": [0, 1] for i in range(10)}
        sampler = make_sampler("gp", levels, ["f"], seed=0)
        for _ in range(75):
            point = sampler.ask(1)[0]
            sampler.tell(point, float(sum(point.values())) + 1.0)
        assert {key[2] for key in sampler._theta} >= {0, 1}
        assert sampler.best() == dict.fromkeys(levels, 0)

    def test_several_objectives_know_no_fresh_starts(self):
        levels = {f"a{i}": [0, 1] for i in range(4)}
        sampler = make_sampler("gp", levels, ["f", "g"], seed=0)
        for _ in range(16):
            point = sampler.ask(1)[0]
            sampler.tell(point, [1.0, 1.0])
        assert sampler._eras.now == 0
