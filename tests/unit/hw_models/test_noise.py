"""Noise of analog cells: moments worked out by hand, laws in time, what no part file may say, and closed forms against draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.catalog import resolve_part, unsourced_numbers
from hw_models.cim.noise import DriftNoise, GenericNoise, list_noise, load_noise
from hw_models.cim.noise_base import Law, clipped_moments, folded_decay
from workloads.errors import SimulationError, SpecError

U = 1e-6
N = 100_000
DAY, YEAR = 86400.0, 365 * 86400.0
DRIFTING = ("pcm_like", "hermes_pcm_1", "hermes_pcm_2", "state_independent")


def rng(seed=0):
    return np.random.default_rng(seed)


def cells(g_us, n=N):
    return np.full(n, g_us * U)


def std_error(samples):
    return samples.std() / math.sqrt(samples.size)


# --- programming ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "g_us", "sigma_us"),
    [
        ("pcm_like", 25, 0.26348 + 1.9650 - 1.1731),
        ("pcm_like", 12.5, 0.26348 + 1.9650 / 2 - 1.1731 / 4),
        ("hermes_pcm_2", 20.7, 0.16603222 + 4.71806468 - 8.48101252 + 4.68961419),
        ("hermes_pcm_1", 10.35, 0.15781817 + 2.32443916 - 2.16310839 + 0.68841818),
        ("state_independent", 10, 0.2),
        ("reram_cmo", 50, 0.00081107 + 0.00106879 * 50),
        ("reram_wan2022", 20, 0.0),
    ],
)
def test_the_programming_error_is_the_published_polynomial(name, g_us, sigma_us):
    spec = load_noise(name)
    assert spec.programming_sigma(np.array([g_us * U]))[0] == pytest.approx(sigma_us * U, rel=1e-9)
    drawn = spec.program(cells(g_us), rng())
    assert drawn.mean() == pytest.approx(g_us * U, abs=4 * sigma_us * U / math.sqrt(N) + 1e-18)
    assert drawn.std() == pytest.approx(sigma_us * U, rel=0.01)


def test_an_empty_cell_ends_above_zero_by_the_mean_of_a_half_normal():
    """max(0, s N) has mean s / sqrt(2 pi) = 0.10511 uS and deviation s sqrt(1/2 - 1/(2 pi)) = 0.15382 uS."""
    drawn = load_noise("pcm_like").program(cells(0), rng()) / U
    assert drawn.min() == 0
    assert drawn.mean() == pytest.approx(0.26348 / math.sqrt(2 * math.pi), rel=0.02)
    assert drawn.std() == pytest.approx(0.26348 * math.sqrt(0.5 - 0.5 / math.pi), rel=0.02)


def test_noise_grows_with_g_max_where_levels_are_what_is_programmed_and_stays_where_it_does_not_depend_on_them():
    for name, ratio in (("pcm_like", 2.0), ("hermes_pcm_2", 2.0), ("reram_wan2022", 2.0), ("state_independent", 1.0)):
        one, two = load_noise(name), load_noise(name)
        two = load_noise(name, g_max=f"{2 * one.g_max_siemens / U} uS")
        full = [np.array([spec.g_max_siemens]) for spec in (one, two)]
        if name == "reram_wan2022":
            assert two.sigma_at(full[1], 1.0) == pytest.approx(ratio * one.sigma_at(full[0], 1.0))
        else:
            assert two.programming_sigma(full[1]) == pytest.approx(ratio * one.programming_sigma(full[0]))
            found = two.read_sigma(full[1], 1.0) * full[1] / (one.read_sigma(full[0], 1.0) * full[0])
            assert found == pytest.approx(ratio)


def test_scales_turn_noise_off():
    spec = load_noise("pcm_like", programming_scale=0, read_scale=0, drift_scale=0)
    programmed = spec.program(cells(10, 5), rng())
    assert programmed == pytest.approx(10 * U)
    assert spec.at_time(programmed, cells(10, 5), YEAR, rng()) == pytest.approx(10 * U)
    assert spec.drift_exponent(cells(10, 5), rng()) == pytest.approx(0)


# --- drift ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "g_us", "mean", "sigma"),
    [
        ("pcm_like", 25, 0.049, 0.008),  # both at their lower limit: ln 1 = 0
        ("pcm_like", 2.5, 0.0155 * math.log(10) + 0.0244, 0.0125 * math.log(10) - 0.0059),
        ("hermes_pcm_2", 20.7, 0.0736 - 0.0126 - 0.0436, 0.0073 + 0.0093 - 0.0118),
        ("hermes_pcm_2", 1.0, 0.0387 * math.log(20.7) - 0.0182, 0.0117 * math.log(20.7) - 0.0057),
        ("hermes_pcm_1", 10.35, 0.0736 - 0.0126 - 0.0436, 0.0104 + 0.0116 - 0.0165),
        ("hermes_pcm_1", 1.0, 0.072, 0.0120 * math.log(10.35) - 0.0023),
    ],
)
def test_the_drift_exponent_follows_the_level(name, g_us, mean, sigma):
    nu = load_noise(name).drift_exponent(cells(g_us), rng())
    assert nu.mean() == pytest.approx(mean, abs=5 * std_error(nu))
    assert nu.std() == pytest.approx(sigma, rel=0.02)
    assert nu.min() >= 0


def test_the_exponent_of_a_state_independent_cell_is_folded_at_zero():
    """|N(m, s)| with m = 2 s: mean s (2 erf(sqrt 2) + sqrt(2 / pi) exp(-2)) = 0.10085."""
    nu = load_noise("state_independent").drift_exponent(cells(2.5), rng())
    expected = 0.05 * (2 * math.erf(math.sqrt(2)) + math.sqrt(2 / math.pi) * math.exp(-2))
    assert nu.mean() == pytest.approx(expected, abs=5 * std_error(nu))
    assert expected == pytest.approx(0.10085, abs=1e-5)


def test_the_clock_starts_at_the_end_of_programming():
    """After 1 s a PCM cell of age 20 s has lost the factor (21 / 20)^-nu, at 0 s nothing."""
    spec = load_noise("pcm_like")
    nu = np.array([0.05, 0.1])
    assert spec.drift_factor(nu, 1.0) == pytest.approx([(21 / 20) ** -0.05, (21 / 20) ** -0.1])
    assert spec.drift_factor(nu, 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize("name", DRIFTING)
def test_the_same_exponents_follow_the_same_cells(name):
    spec = load_noise(name)
    target = cells(5, 100)
    programmed, nu = spec.program(target, rng()), spec.drift_exponent(target, rng(1))
    hour, day = (spec.drifted(programmed, target, t_s, rng(2), nu) for t_s in (3600.0, DAY))
    assert (day <= hour).all()
    scale = math.log1p(3600 / spec.t0_s) / math.log1p(DAY / spec.t0_s)
    kept = programmed > 0
    assert np.log(hour[kept] / programmed[kept]) == pytest.approx(scale * np.log(day[kept] / programmed[kept]))


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(DRIFTING), level=st.floats(0.05, 1), early=st.floats(0, 1e7), later=st.floats(1e-3, 1e8))
def test_the_mean_falls_with_time(name, level, early, later):
    spec = load_noise(name)
    assert spec.moments(level, early + later)[0] < spec.moments(level, early)[0]


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(list_noise())), level=st.floats(0, 1), seed=st.integers(0, 9))
def test_a_seed_fixes_every_draw_and_conductance_is_never_negative(name, level, seed):
    spec = load_noise(name)
    target = np.full(7, spec.levels(level))

    def drawn():
        one = np.random.default_rng(seed)
        return spec.read(spec.at_time(spec.program(target, one), target, DAY, one), DAY, one)

    found = drawn()
    assert (found == drawn()).all()
    assert (found >= spec.g_min_siemens).all()


# --- reads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "g_us", "t_s", "sigma"),
    [
        ("pcm_like", 25, 0.0, 0.0088 * math.sqrt(math.log((20 + 250e-9) / 500e-9))),
        ("pcm_like", 2.5, DAY, 0.0088 / 0.1**0.65 * math.sqrt(math.log((DAY + 20) / 500e-9))),
        ("pcm_like", 0.025, 1.0, 0.2 * math.sqrt(math.log(21 / 500e-9))),  # 0.0088 / 0.001^0.65 = 0.78 is above the limit
        ("hermes_pcm_1", 10.35, 1.0, (0.0664 - 0.1352 + 0.0768 + 0.0088) * math.sqrt(math.log(201 / 1024e-9))),
        ("hermes_pcm_2", 1.0, 1.0, (0.0117 * math.log(20.7) - 0.0069) * math.sqrt(math.log(301 / 1024e-9))),
        ("state_independent", 10, 1.0, 0.04 * math.sqrt(math.log(21 / 500e-9))),
    ],
)
def test_accumulated_flicker_noise_grows_with_the_root_of_the_logarithm_of_time(name, g_us, t_s, sigma):
    spec = load_noise(name)
    assert spec.read_sigma(np.array([g_us * U]), t_s)[0] == pytest.approx(sigma, rel=1e-6)


def test_a_read_of_a_small_cell_is_clipped_at_zero():
    """g max(0, 1 + a N), a = 0.1756 sqrt(ln(20 / 500 ns)) = 0.735: mean F(1/a) + a f(1/a) = 1.029."""
    spec = load_noise("pcm_like")
    a = 0.0088 / 0.01**0.65 * math.sqrt(math.log((20 + 250e-9) / 500e-9))
    mean = 0.5 * (1 + math.erf(1 / a / math.sqrt(2))) + a * math.exp(-0.5 / a**2) / math.sqrt(2 * math.pi)
    seen = spec.read(cells(0.25), 0.0, rng())
    assert seen.min() == 0
    assert seen.mean() / (0.25 * U) == pytest.approx(mean, abs=5 * std_error(seen) / (0.25 * U))
    assert mean == pytest.approx(1.029, abs=1e-3)


def test_reads_are_fresh_and_take_the_amplitude_of_what_was_programmed():
    spec = load_noise("pcm_like")
    programmed = cells(10)
    drifted = programmed / 2
    one, two = spec.read(drifted, DAY, rng(0), programmed), spec.read(drifted, DAY, rng(1), programmed)
    assert (one != two).any()
    assert one.std() / drifted[0] == pytest.approx(spec.read_sigma(programmed[:1], DAY)[0], rel=0.02)
    assert spec.read(drifted, DAY, rng(0)).std() > one.std()  # a smaller cell is noisier


# --- ReRAM, SONOS, generic --------------------------------------------------------------------------------------


def test_wan_at_full_level_has_the_sum_of_the_coefficients():
    spec = load_noise("reram_wan2022")
    full = np.array([40 * U])
    assert spec.sigma_at(full, 1.0)[0] / U == pytest.approx(0.348 + 16.030 - 43.853 + 45.393 - 16.815)
    assert spec.sigma_at(full, DAY)[0] / U == pytest.approx(0.701 + 22.086 - 50.773 + 47.095 - 16.458)
    assert spec.sigma_at(full, 2 * DAY)[0] / U == pytest.approx(0.782 + 20.274 - 43.507 + 37.062 - 11.934)


def test_between_measured_times_the_spread_is_linear_in_the_logarithm():
    spec = load_noise("reram_wan2022")
    g = np.array([20 * U])
    middle = spec.sigma_at(g, math.sqrt(DAY))
    assert middle == pytest.approx((spec.sigma_at(g, 1.0) + spec.sigma_at(g, DAY)) / 2)


def test_further_reads_of_wan_add_one_percent_of_the_full_level():
    assert load_noise("reram_wan2022").read(cells(20), 1.0, rng()).std() == pytest.approx(0.4 * U, rel=0.02)


def test_cmo_slides_down_and_spreads_with_the_logarithm_of_time():
    """At 50 uS after an hour, ln t = 8.189: mean 50 - 0.0890 * 8.189, variances of programming, spread and read add."""
    spec = load_noise("reram_cmo")
    seen = spec.at_time(spec.program(cells(50), rng()), cells(50), 3600.0, rng(1)) / U
    ln_t = math.log(3600)
    read = 0.0277316483 * math.log10(50 - 0.08900206 * ln_t) * math.sqrt(math.log(3600 / 2e-6))
    sigma = math.sqrt((0.00081107 + 0.00106879 * 50) ** 2 + (0.04201137 * ln_t + 0.41183342) ** 2 + read**2)
    assert seen.mean() == pytest.approx(50 - 0.08900206 * ln_t, abs=5 * std_error(seen))
    assert seen.std() == pytest.approx(sigma, rel=0.01)


def test_cmo_stays_in_its_range_and_a_wider_acceptance_spreads_it():
    loose = load_noise("reram_cmo", acceptance=0.02)
    assert loose.programming_sigma(np.array([20 * U]))[0] / U == pytest.approx(0.0112185 + 0.0112903 * 20)
    for g_us in (9, 88.2):
        seen = loose.at_time(loose.program(cells(g_us), rng()), cells(g_us), DAY, rng(1))
        assert seen.min() >= 9 * U - 1e-18
        assert seen.max() <= 88.2 * U + 1e-18


def test_sonos_spread_saturates_and_grows_day_by_day():
    spec = load_noise("sonos_40nm")
    current = 500e-9
    g = np.array([current / 3200e-9 * spec.g_max_siemens])
    unit = spec.g_max_siemens / 3200e-9
    assert spec.sigma_at(g, 0.0)[0] / unit == pytest.approx(19.9e-9 * (1 - math.exp(-500 / 176)))
    assert spec.sigma_at(g, 5 * DAY)[0] / unit == pytest.approx(34.6e-9 * (1 - math.exp(-500 / 207)))
    assert spec.sigma_at(g, DAY / 2) == pytest.approx((spec.sigma_at(g, 0.0) + spec.sigma_at(g, DAY)) / 2)


def test_a_sonos_cell_keeps_its_programming_error():
    """Its error on day 5 is that of day 0 plus what the variance has grown: correlation sigma(0) / sigma(5)."""
    spec = load_noise("sonos_40nm")
    target = np.full(N, 0.5 * spec.g_max_siemens)
    programmed = spec.program(target, rng())
    later = spec.at_time(programmed, target, 5 * DAY, rng(1))
    expected = spec.programming_sigma(target[:1])[0] / spec.sigma_at(target[:1], 5 * DAY)[0]
    assert np.corrcoef(programmed, later)[0, 1] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize(("law", "sigma"), [("independent", 0.05), ("proportional", 0.02), ("inverse", 0.125)])
def test_generic_families_differ_in_shape_and_in_how_the_error_follows_the_level(distribution, law, sigma):
    """At level 0.4 and a = 0.05: 0.05, 0.05 * 0.4 and 0.05 / 0.4."""
    spec = load_noise(f"{distribution}_{law}", programming=0.05)
    drawn = spec.program(np.full(N, 0.4), rng())
    assert drawn.std() == pytest.approx(sigma, rel=0.01)
    assert drawn.mean() == pytest.approx(0.4, abs=5 * std_error(drawn))
    if distribution == "uniform":
        assert np.abs(drawn - 0.4).max() == pytest.approx(math.sqrt(3) * sigma, rel=1e-3)


def test_the_inverse_law_stops_at_the_lowest_level():
    spec = load_noise("normal_inverse")
    assert spec.programming_sigma(np.array([0.0, 0.01, 0.02])) == pytest.approx([0.2, 0.2, 0.1])


def test_mismatch_of_sram_cells_is_a_share_of_their_current_and_does_not_change():
    spec = load_noise("sram_current_mismatch")
    programmed = spec.program(np.full(N, 0.5), rng())
    assert programmed.std() == pytest.approx(0.08 * 0.5, rel=0.01)
    assert (spec.at_time(programmed, np.full(N, 0.5), YEAR, rng()) == programmed).all()
    assert spec.relative_sigma(0.0) == 0  # a cell without current has none to err


def test_generic_reads_draw_anew():
    spec = load_noise("normal_proportional", programming=0, read_noise=0.03)
    seen = spec.at_time(np.full(N, 0.5), np.full(N, 0.5), 1.0, rng())
    assert seen.std() == pytest.approx(0.015, rel=0.01)
    assert float(spec.moments(0.5, 1.0)[1]) == pytest.approx(0.015)


# --- closed forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_noise())
@pytest.mark.parametrize("t_s", [None, 1.0, DAY])
def test_closed_forms_agree_with_draws(name, t_s):
    spec = load_noise(name)
    for level in (0.0, 0.05, 0.5, 1.0):
        target = np.full(N, spec.levels(level))
        drawn = spec.program(target, rng())
        if t_s is not None:
            drawn = spec.at_time(drawn, target, t_s, rng(1))
        drawn = (drawn - spec.g_min_siemens) / (spec.g_max_siemens - spec.g_min_siemens)
        mean, sigma = spec.moments(level, t_s)
        assert drawn.mean() == pytest.approx(float(mean), abs=5 * std_error(drawn) + 1e-12)
        assert drawn.std() == pytest.approx(float(sigma), rel=0.015, abs=1e-12)


def test_moments_of_a_clipped_normal_number():
    """Far from the limits nothing changes; at the lower limit half a normal remains; between far limits on one side, that limit."""
    mean, sigma = clipped_moments(np.array([5.0, 0.0, -9.0]), np.array([0.1, 1.0, 0.1]))
    assert mean == pytest.approx([5.0, 1 / math.sqrt(2 * math.pi), 0.0], abs=1e-12)
    assert sigma == pytest.approx([0.1, math.sqrt(0.5 - 0.5 / math.pi), 0.0], abs=1e-6)
    both = clipped_moments(np.array([0.5]), np.array([1e4]), 0.0, 1.0)  # a very wide one is a coin with two faces
    assert both[0] == pytest.approx([0.5])
    assert both[1] == pytest.approx([0.5], rel=1e-4)


def test_decay_of_a_folded_exponent():
    """Sharp: exp(-rate m); without mean: exp(h^2 / 2) 2 F(-h)."""
    assert folded_decay(3.0, np.array([0.1]), np.array([0.0])) == pytest.approx([math.exp(-0.3)])
    h = 3.0 * 0.2
    half = math.exp(h * h / 2) * math.erfc(h / math.sqrt(2))
    assert folded_decay(3.0, np.array([0.0]), np.array([0.2])) == pytest.approx([half])


@pytest.mark.parametrize(("t_s", "factor"), [(3600.0, 1.308), (DAY, 1.526)])
def test_one_factor_makes_up_for_the_drift_of_a_matrix(t_s, factor):
    """Clipped normal weights, 512 x 512: 1.308 after an hour and 1.526 after a day (drawn with IBM aihwkit 1.1.0)."""
    weights = np.clip(rng().standard_normal((512, 512)), -2.5, 2.5) / 2.5
    spec = load_noise("pcm_like")
    held = spec.weights_at(weights, t_s, rng(1))
    assert np.abs(weights).mean() / np.abs(held).mean() == pytest.approx(factor, abs=0.002)
    error, closed = spec.compensated_sigma(np.abs(weights[:16]), t_s)
    assert closed == pytest.approx(factor, abs=0.003)
    assert (held * closed - weights).std() == pytest.approx(error, rel=0.01)


def test_weights_keep_their_scale_and_sign():
    spec = load_noise("pcm_like", programming_scale=0)
    weights = np.array([[-3.0, 0.0], [1.5, 3.0]])
    assert spec.weights_at(weights, None, rng()) == pytest.approx(weights)


def test_perturb_programs_levels_of_the_full_conductance():
    spec = load_noise("pcm_like")
    level = np.full(N, 0.4)
    fresh, old = spec.perturb()(level, rng()), spec.perturb(DAY)(level, rng())
    assert fresh.std() == pytest.approx(float(spec.relative_sigma(0.4)), rel=0.01)
    assert old.mean() == pytest.approx(float(spec.moments(0.4, DAY)[0]), rel=0.01)
    assert load_noise("reram_cmo").perturb()(np.zeros(3), rng()) * 88.2 == pytest.approx(9, abs=0.1)  # the cell's lowest


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_noise("pcm_like").program(cells(26, 2), rng()), r"g_target 26 uS: the cell holds 0 to 25 uS"),
        (lambda: load_noise("pcm_like").program(np.nan, rng()), "g_target nan uS"),
        (lambda: load_noise("reram_cmo").program(cells(1, 2), rng()), r"holds 9 to 88\.2 uS"),
        (lambda: load_noise("pcm_like").moments(0.5, -1.0), "t_s -1: the statistics hold for 0 s or more"),
        (lambda: load_noise("pcm_like").moments(0.5, math.nan), "t_s nan"),
        (lambda: load_noise("pcm_like").moments(0.5, math.inf), "t_s inf"),
        (lambda: load_noise("reram_cmo").moments(0.5, 0.5), "hold for 1 s or more"),
        (lambda: load_noise("reram_wan2022").moments(0.5, 3 * DAY), "hold for 1 to 172800 s"),
        (lambda: load_noise("sonos_40nm").moments(0.5, 6 * DAY), "hold for 0 to 432000 s"),
        (lambda: load_noise("pcm_like").weights_at(np.zeros(3), 1.0, rng()), "all weights are 0"),
        (lambda: load_noise("pcm_like").compensated_sigma([0.0], 1.0), "all levels are 0"),
    ],
)
def test_what_was_not_measured_is_refused(call, message):
    with pytest.raises(SimulationError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("pcm_liek", {}, "did you mean 'pcm_like'"),
        ("pcm_like", {"g_max": "25"}, "g_max: .*without a unit"),
        ("pcm_like", {"g_max": "0 uS"}, "g_max: .*greater than 0"),
        ("pcm_like", {"g_min": "25 uS"}, "g_min 2.5e-05 S must be below g_max"),
        ("pcm_like", {"nu_mean": {"log": [1, 1]}}, "limits belong to log or power"),
        ("pcm_like", {"read_scale": -1}, "read_scale: .*greater than or equal to 0"),
        ("pcm_like", {"amplitude": "1 nA"}, "amplitude: Extra inputs"),
        ("reram_cmo", {"acceptance": 0.03}, r"acceptance 0\.03 was not measured; choose 0\.002, 0\.02"),
        ("reram_cmo", {"acceptances": [0.002]}, "one number for each of the acceptances"),
        ("reram_wan2022", {"times": ["1 day", "1 s", "2 day"]}, "times must rise"),
        ("reram_wan2022", {"spread": [["1 uS"]]}, "one polynomial for each of the times"),
        ("sonos_40nm", {"corner": ["0 nA"] * 6}, "corners are above 0"),
        ("normal_inverse", {"min_level": 0}, "min_level: .*greater than 0"),
    ],
)
def test_a_part_that_makes_no_sense_is_refused(name, changes, message):
    with pytest.raises(SpecError, match=message):
        load_noise(name, **changes)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ({"log": [1, 1], "power": [1, 1], "limits": [0, 1]}, "exclude each other"),
        ({"log": [1, 1], "limits": [1, 0]}, "in this order"),
        ({}, "none is given"),
        ({"polynomial": [1], "split": 0.5}, "split is where"),
        ({"log": [1, 1], "limits": [0, 1], "polynomial": [1]}, "split is where"),
    ],
)
def test_a_law_is_whole(law, message):
    with pytest.raises(ValueError, match=message):
        Law.model_validate(law)


def test_a_law_has_a_curve_below_its_split_and_a_polynomial_from_there_on():
    law = Law.model_validate({"log": [-1, 0], "limits": [0, 2], "split": 0.5, "polynomial": [1, 2]})
    assert law(np.array([0.0, 0.01, 0.3, 0.5, 1.0])) == pytest.approx([2, 2, -math.log(0.3), 2, 3])


def test_an_error_in_a_file_names_file_line_and_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("kind: generic\nlaw: quadratic\n")
    with pytest.raises(SpecError, match=r"mine\.yaml:2: law: .*'quadratic'"):
        load_noise(path)
    path.write_text("kind: gneric\n")
    with pytest.raises(SpecError, match=r"mine\.yaml:1: kind: 'gneric' is no family.*did you mean 'generic'"):
        load_noise(path)


def test_a_file_of_ones_own_is_loaded(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("kind: generic\nprogramming: 0.1\nlaw: independent\n")
    spec = load_noise(path)
    assert isinstance(spec, GenericNoise)
    assert float(spec.relative_sigma(0.5)) == pytest.approx(0.1, rel=1e-4)
    assert isinstance(load_noise("noise/pcm_like"), DriftNoise)


@pytest.mark.parametrize("name", list_noise())
def test_every_coefficient_has_a_source_or_is_assumed(name):
    assert unsourced_numbers(resolve_part(f"noise/{name}").data) == []
    assert load_noise(name).title
