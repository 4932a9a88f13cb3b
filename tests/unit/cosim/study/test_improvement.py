"""Improvement of one objective and of fronts, and models made of parts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from cosim.study.acquisition import climb_within
from cosim.study.hypervolume import hypervolume
from cosim.study.improvement import Improvement, best_box, boxes_of, reference_of
from cosim.study.space import Space, axes_of
from cosim.study.surrogate.gp import fit
from cosim.study.surrogate.ladder import LadderGP, fit_ladder

N_LEVELS = np.full(5, 3)
SPACE = Space(axes_of({f"a{i}": [0, 1, 2] for i in range(5)}))
NONE = np.zeros(0)


def fitted(codes, y, theta=None):
    return fit(codes, y, N_LEVELS, np.zeros(5, dtype=bool), theta)


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(0).integers(0, 3, (24, 5))


@pytest.fixture(scope="module")
def models(codes):
    return [fitted(codes, y) for y in (codes.sum(axis=1) ** 1.5, codes[:, 0] - 1.0 * codes[:, 1] * codes[:, 2])]


@pytest.fixture(scope="module")
def ladder(codes):
    low = codes.sum(axis=1) ** 1.5
    known = [(0, codes, low), (1, codes[:9], 2.0 * low[:9] + codes[:9, 0])]
    return fit_ladder(known, lambda _, c, y: fitted(c, y), {})


class TestOneObjective:
    def test_equals_the_closed_form_of_expected_improvement(self, models, codes):
        around = np.random.default_rng(1).integers(0, 3, (7, 5))
        mean, var = models[0].standard(around)
        best = float(models[0].y.min())
        z = (best - mean) / np.sqrt(var)
        expected = np.sqrt(var) * (norm.pdf(z) + z * norm.cdf(z))
        assert np.exp(Improvement(models[:1], *best_box(best), NONE).value(around)) == pytest.approx(expected, rel=1e-6)

    def test_a_bound_multiplies_by_the_chance_that_it_holds(self, models):
        around = np.random.default_rng(1).integers(0, 3, (7, 5))
        free = Improvement(models[:1], *best_box(0.0), NONE).value(around)
        zero = np.array([0.3])
        mean, var = models[1].standard(around)
        bound = Improvement(models, *best_box(0.0), zero).value(around)
        assert bound == pytest.approx(free + norm.logcdf((0.3 - mean) / np.sqrt(var)))


class TestClimb:
    @pytest.mark.parametrize("kind", ["one", "bound", "front", "ladder", "ladder and bound"])
    def test_goes_where_a_plain_one_goes(self, kind, models, ladder, codes):
        front = np.array([[-1.0, 0.0], [0.0, -1.0]])
        made = {
            "one": Improvement(models[:1], *best_box(-1.0), NONE),
            "bound": Improvement(models, *best_box(-1.0), np.array([0.2])),
            "front": Improvement(models, *boxes_of([front, front - 0.3], np.ones(2)), NONE),
            "ladder": Improvement([ladder], *best_box(-1.0), NONE),
            "ladder and bound": Improvement([ladder, models[1]], *best_box(-1.0), np.array([0.2])),
        }[kind]
        starts = np.random.default_rng(3).integers(0, 3, (6, 5))
        for chosen in (starts[:1], starts[3:4], starts):
            values = made.value(chosen)
            quick, plain = made.climb(chosen, values, codes), climb_within(made.value, SPACE, chosen, values, codes)
            assert quick[1] == pytest.approx(plain[1], rel=1e-6)
            assert made.value(quick[0][None])[0] == pytest.approx(quick[1], rel=1e-6)
            assert quick[1] >= values.max()

    def test_never_ends_at_what_is_seen(self, models, codes):
        made = Improvement(models[:1], *best_box(-1.0), NONE)
        start = np.array([[2, 2, 2, 2, 2]])
        row, _ = made.climb(start, made.value(start), codes)
        assert not (codes == row).all(axis=1).any() or (row == start[0]).all()

    def test_of_nothing_better_stays(self, models, codes):
        made = Improvement(models[:1], *best_box(-1.0), NONE)
        start = np.array([[1, 1, 1, 1, 1]])
        row, value = made.climb(start, np.array([1e9]), codes)
        assert (row == start[0]).all()
        assert value == 1e9

    def test_several_starts_reach_what_the_best_of_them_reaches_alone(self, models, codes):
        made = Improvement(models[:1], *best_box(-1.0), NONE)
        starts = np.random.default_rng(5).integers(0, 3, (8, 5))
        alone = [made.climb(start[None], made.value(start[None]), codes)[1] for start in starts]
        assert made.climb(starts, made.value(starts), codes)[1] == pytest.approx(max(alone), rel=1e-9)


class TestFronts:
    def test_the_reference_lies_a_tenth_of_the_width_beyond(self):
        assert reference_of(np.array([[0.0, 3.0], [2.0, 1.0]])) == pytest.approx([2.2, 3.2])

    def test_a_front_without_width_gets_a_reference_one_beyond(self):
        assert reference_of(np.array([[0.5, -1.0]])) == pytest.approx([1.5, 0.0])

    def test_boxes_of_several_fronts_cover_the_sum_of_what_each_leaves_free(self):
        fronts = [np.array([[0.2, 0.5], [0.5, 0.1]]), np.array([[0.4, 0.4]])]
        reference = np.ones(2)
        lower, upper = boxes_of(fronts, reference)
        free = np.prod(upper - np.maximum(lower, 0.0), axis=1).sum()
        assert free == pytest.approx(sum(1.0 - hypervolume(front, reference) for front in fronts))

    def test_of_two_equal_fronts_it_is_twice_that_of_one(self, models):
        front, around = np.array([[-0.5, 0.3], [0.4, -0.8]]), np.random.default_rng(1).integers(0, 3, (7, 5))
        one = Improvement(models, *boxes_of([front], np.ones(2)), NONE).value(around)
        two = Improvement(models, *boxes_of([front, front], np.ones(2)), NONE).value(around)
        assert two == pytest.approx(one + np.log(2.0))


class TestParts:
    def test_a_process_is_its_own_only_part(self, models):
        (part,) = models[0].parts
        assert part is models[0]
        assert models[0].weights.tolist() == [[1.0, 1.0]]
        assert models[0].offset == 0.0

    def test_a_mean_alone_is_the_mean(self, models, ladder, codes):
        for model in (models[0], ladder):
            assert model.standard_mean(codes) == pytest.approx(model.standard(codes)[0])

    def test_weights_and_offset_give_back_a_ladders_posterior(self, ladder, codes):
        found = [part.standard(codes) for part in ladder.parts]
        mean = ladder.offset + sum(w * m for w, (m, _) in zip(ladder.weights[:, 0], found, strict=True))
        var = sum(w * v for w, (_, v) in zip(ladder.weights[:, 1], found, strict=True))
        assert ladder.standard(codes)[0] == pytest.approx(mean)
        assert ladder.standard(codes)[1] == pytest.approx(var)
        assert isinstance(ladder, LadderGP)
