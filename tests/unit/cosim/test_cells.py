"""One chip through time: the same programming at all times, its own generator for each thing."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.training.cells import Devices, History, generator, pairs_at
from hw_models.cim.noise import load_noise

PCM = load_noise("pcm_like")
YEAR_S = 365.25 * 86400
W = np.random.default_rng(0).standard_normal((2, 3, 50))


def history(t_s=None, off=(), seed=1, place=(0,), model=PCM):
    return History(model, t_s, frozenset(off), seed, place)


def test_without_any_cause_pairs_hold_their_weights():
    np.testing.assert_allclose(pairs_at(history(YEAR_S, ("programming", "drift", "read")), W, generator(0, 4)), W, atol=1e-12)


def test_each_row_fills_its_own_cells():
    """A row a hundred times smaller errs a hundred times less: its largest weight fills a cell as well."""
    scaled = pairs_at(history(), W * np.array([1.0, 0.01, 1.0])[:, None], None)
    np.testing.assert_allclose(scaled[:, 1], 0.01 * pairs_at(history(), W, None)[:, 1], rtol=1e-9)


def test_a_row_of_zeros_stays_near_zero():
    held = pairs_at(history(off=("programming",)), np.zeros((1, 1, 4)), None)
    np.testing.assert_array_equal(held, np.zeros((1, 1, 4)))


def test_row_by_row_it_is_what_the_noise_model_says_of_one_row():
    """`NoiseSpec.weights_at` of a single row, with the generator of the chip."""
    row = W[:1, :1]
    np.testing.assert_allclose(pairs_at(history(place=(3,)), row, None), PCM.weights_at(row, None, generator(1, 0, 3)), rtol=1e-12)


def test_programming_is_the_same_at_all_times_and_of_another_seed_another():
    early, late = (history(t_s, off=("drift",)) for t_s in (1.0, YEAR_S))
    np.testing.assert_array_equal(pairs_at(early, W, None), pairs_at(late, W, None))
    assert not np.array_equal(pairs_at(history(), W, None), pairs_at(history(seed=2), W, None))
    assert not np.array_equal(pairs_at(history(), W, None), pairs_at(history(place=(1,)), W, None))


def test_reads_differ_and_their_chip_does_not():
    one, two = (pairs_at(history(YEAR_S), W, generator(5, 4, k)) for k in (0, 1))
    quiet = pairs_at(history(YEAR_S), W, None)
    assert not np.array_equal(one, two)
    assert np.corrcoef((one - quiet).ravel(), (two - quiet).ravel())[0, 1] == pytest.approx(0, abs=0.25)


def test_drift_takes_what_the_power_law_takes():
    """Cells at the full level lose (t / t0)^-nu with nu = 0.049, the least there is: a factor 2.0 in a year from 20 s on."""
    full = np.ones((1, 1, 4000))
    held = pairs_at(history(YEAR_S, ("programming", "read")), full, None).mean()
    assert held == pytest.approx(((YEAR_S + 20) / 20) ** -0.049, rel=0.02)


def test_devices_of_an_array_are_drawn_apart_and_outside_levels_are_the_ends():
    devices = Devices(history(off=("drift",)), None)
    level = np.full(200, 0.5)
    first, second = devices(level, generator(0, 2)), devices(level, generator(0, 2))
    assert not np.array_equal(first, second)
    assert first.mean() == pytest.approx(0.5, abs=0.02)
    ideal = Devices(history(off=("programming",)), None)
    np.testing.assert_array_equal(ideal(np.array([-0.5, 0.25, 1.5]), generator(0, 2)), [0, 0.25, 1])
