"""The default sampler finds what a space hides, with bounds, noise, failures and points under way."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.acquisition import candidates, changed, climb_within, maximize, swapped
from cosim.study.improvement import Improvement, best_box
from cosim.study.kernels import acquisition as kernels
from cosim.study.rules import condition
from cosim.study.samplers.base import make_sampler
from cosim.study.space import Space, axes_of
from cosim.study.surrogate.gp import fit

LEVELS = {f"a{i}": [0, 1, 2] for i in range(5)} | {"b": ["x", "y", "z"]}
TARGET = [2, 0, 1, 2, 0]


def bowl(point):
    return sum((point[f"a{i}"] - t) ** 2 for i, t in enumerate(TARGET)) + {"x": 1.0, "y": 0.0, "z": 2.0}[point["b"]]


def search(sampler, function, n):
    for _ in range(n):
        point = sampler.ask(1)[0]
        sampler.tell(point, function(point))
    return sampler


def test_it_finds_the_bottom_of_a_bowl_with_few_of_729_points():
    found = [bowl(search(make_sampler("gp", LEVELS, ["f"], seed=seed), bowl, 32).best()) for seed in range(3)]
    assert max(found) == 0.0


def test_it_asks_no_point_twice_until_all_are_known():
    sampler, asked = make_sampler("gp", {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4, 5]}, ["f"]), set()
    for i in range(30):
        point = sampler.ask(1)[0]
        asked.add(tuple(point.values()))
        sampler.tell(point, (point["a"] - 1) ** 2 + point["b"])
        assert len(asked) == i + 1
    sampler.tell(sampler.ask(1)[0], 3.0)


def test_points_told_before_take_the_place_of_a_start():
    sampler, rng = make_sampler("gp", LEVELS, ["f"]), np.random.default_rng(0)
    for row in rng.integers(0, 3, (25, 6)):
        point = {name: levels[c] for (name, levels), c in zip(LEVELS.items(), row, strict=True)}
        sampler.tell(point, bowl(point))
    assert bowl(search(sampler, bowl, 12).best()) == 0.0


def test_the_same_seed_and_tells_give_the_same_points():
    rows = []
    for _ in range(2):
        sampler = make_sampler("gp", LEVELS, ["f"], seed=4)
        asked = []
        for _ in range(26):
            point = sampler.ask(1)[0]
            asked.append(tuple(point.values()))
            sampler.tell(point, bowl(point))
        rows.append(asked)
    assert rows[0] == rows[1]


def test_points_under_way_are_not_asked_again():
    sampler = search(make_sampler("gp", LEVELS, ["f"]), bowl, 22)
    batch = sampler.ask(4)
    assert len({tuple(point.values()) for point in batch}) == 4
    for point in reversed(batch):
        sampler.tell(point, bowl(point))
    assert len(sampler.pending) == 0


def test_bounds_that_are_only_known_afterwards_are_kept_to():
    sampler = make_sampler("gp", LEVELS, ["f"], constraints=[("g", "<=", 3.0)])
    for _ in range(40):
        point = sampler.ask(1)[0]
        sampler.tell(point, {"f": bowl(point), "g": 2.0 * point["a0"] + point["a3"]})
    best = sampler.best()
    assert 2 * best["a0"] + best["a3"] <= 3
    assert bowl(best) <= 2.0  # (1, 1) or (0, 2) on two axes instead of (2, 2): 1 + 1


def test_declared_rules_are_kept_to_by_every_point():
    sampler = make_sampler("gp", LEVELS, ["f"], constraints=[lambda point: point["a0"] != 2])
    search(sampler, bowl, 34)
    assert (sampler.codes[:, 0] != 2).all()
    assert bowl(sampler.best()) == 1.0


def test_failed_points_teach_it_to_stay_away():
    def fails(point):
        return float("nan") if point["b"] == "y" else bowl(point)

    sampler = search(make_sampler("gp", LEVELS, ["f"]), fails, 45)
    assert bowl(sampler.best()) == 1.0


def test_noise_is_seen_through():
    rng = np.random.default_rng(0)
    sampler = search(make_sampler("gp", LEVELS, ["f"], seed=1), lambda point: bowl(point) + 0.3 * rng.normal(), 60)
    assert bowl(sampler.best()) <= 1.0


def test_what_is_maximized_is_made_large():
    sampler = make_sampler("gp", LEVELS, {"f": "maximize"})
    assert bowl(search(sampler, lambda point: -bowl(point), 32).best()) == 0.0


@pytest.mark.parametrize("z", [-60.0, -26.0, -24.0, -8.0, -1.0, 0.0, 2.0])
def test_logs_of_improvement_and_probability_hold_far_out(z):
    from scipy.integrate import quad
    from scipy.stats import norm

    if z > -20:
        improvement = quad(lambda t: t * norm.pdf(t - z), 0, 10 / max(1.0, -z) + max(z, 0.0) + 2)[0]
        assert kernels.log_h(z) == pytest.approx(np.log(improvement), rel=1e-6)
    assert kernels.log_cdf(z) == pytest.approx(norm.logcdf(z), rel=1e-6)
    assert kernels.log_h(z - 1e-4) < kernels.log_h(z) < kernels.log_h(z + 1e-4)


@pytest.fixture
def improvement():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (24, 5))
    models = [fit(codes, y, np.full(5, 3), np.zeros(5, dtype=bool)) for y in (codes.sum(axis=1) ** 1.5, codes[:, 0] - 1.0 * codes[:, 1])]
    zero = np.array([-models[1].center / models[1].spread])
    return Improvement(models, *best_box(models[0].y.min()), zero), codes


def test_the_compiled_climb_goes_where_a_plain_one_goes(improvement):
    found, codes = improvement
    space = Space(axes_of({f"a{i}": [0, 1, 2] for i in range(5)}))
    starts = np.random.default_rng(3).integers(0, 3, (6, 5))
    for chosen in (starts[:1], starts[1:2], starts[2:3], starts):
        value = found.value(chosen)
        quick, plain = found.climb(chosen, value, codes), climb_within(found.value, space, chosen, value, codes)
        assert quick[1] == pytest.approx(plain[1])
        assert (quick[0] == plain[0]).all()


def test_neighbors_have_the_posterior_of_whole_predictions(improvement):
    model = improvement[0].models[0]
    row = np.array([0, 1, 2, 1, 0])
    around = kernels.neighbors(row, np.full(5, 3))
    t = model.tables
    mean, var = kernels.neighbor_posterior(
        row, model.codes, np.full(5, 3), t.factor, t.centered, t.shares, model.upper, model.alpha, model.moments
    )
    assert mean == pytest.approx(model.standard(around)[0])
    assert var == pytest.approx(model.standard(around)[1], rel=1e-6)


def test_a_maximum_is_no_known_point_and_at_least_as_good_as_its_pool(improvement):
    found, codes = improvement
    space = Space(axes_of({f"a{i}": [0, 1, 2] for i in range(5)}))
    pool = candidates(np.random.default_rng(0), space, codes[:5], codes)
    row, value = maximize(found, space, pool, codes)
    assert value >= found.value(pool).max()
    assert not (codes == row).all(axis=1).any()


def test_candidates_keep_to_the_rules_and_are_not_known():
    axes = axes_of({f"a{i}": [0, 1, 2] for i in range(5)})
    space = Space(axes, (condition("a0 <= a1", axes),))
    known = space.listed[:40]
    pool = candidates(np.random.default_rng(0), space, known[:3], known)
    assert (pool[:, 0] <= pool[:, 1]).all()
    assert not {tuple(row) for row in pool.tolist()} & {tuple(row) for row in known.tolist()}


def test_changed_rows_differ_on_one_to_eight_axes_and_swaps_keep_the_levels():
    n_levels = np.array([2, 3, 1, 4, 3])
    rows = np.zeros((200, 5), dtype=np.int64)
    out = changed(np.random.default_rng(0), rows, n_levels)
    differing = (out != rows).sum(axis=1)
    assert differing.min() >= 1
    assert (out[:, 2] == 0).all()
    assert ((out >= 0) & (out < n_levels)).all()
    assert swapped(np.array([0, 2, 0, 1, 1]), np.array([3, 3, 2, 3, 3])).tolist() == [
        [2, 0, 0, 1, 1],
        [1, 2, 0, 0, 1],
        [0, 1, 0, 2, 1],
        [1, 2, 0, 1, 0],
        [0, 1, 0, 1, 2],
    ]
