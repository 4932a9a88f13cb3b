"""Training: the gradients against differences, and that a few steps help and can be had again."""

from dataclasses import replace

import numba
import numpy as np
import pytest

from cosim.scheduling.generate import GENERATOR_VERSION, random_instance
from cosim.scheduling.kernels.policy_features import known
from cosim.scheduling.kernels.policy_grad import SPREAD, forward, imitate, reinforce
from cosim.scheduling.kernels.policy_roll import make_record, make_scratch, roll_out
from cosim.scheduling.policy_weights import as_weights, initial, n_weights
from cosim.scheduling.train import Adam, Recipe, train
from cosim.scheduling.train_judge import Panel
from workloads.errors import ScheduleError

SLOW = numba.config.DISABLE_JIT
WIDTH, N_HIDDEN, HEAT = 3, 4, 0.5
STEP = 1e-6
NOBODY = np.zeros(0)


def some_vector(seed):
    rng = np.random.default_rng(seed)
    flat = initial(rng, WIDTH, N_HIDDEN)
    return flat + rng.normal(0.0, 0.2, flat.size)


def slopes_by_difference(value, flat, indices):
    slopes = []
    for index in indices:
        ends = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[index] += sign * STEP
            ends.append(value(as_weights(moved, WIDTH, N_HIDDEN)))
        slopes.append((ends[0] - ends[1]) / (2 * STEP))
    return np.array(slopes)


def some_indices(seed, share=1.0):
    """Some numbers of every array, so that no path of the gradient is left out."""
    rng, first, found = np.random.default_rng(seed), 0, []
    for array in as_weights(np.zeros(n_weights(WIDTH, N_HIDDEN)), WIDTH, N_HIDDEN):
        found += [first + int(i) for i in rng.choice(array.size, min(array.size, max(1, int(12 * share))), replace=False)]
        first += array.size
    return found


@pytest.mark.parametrize("seed", range(1 if SLOW else 4))
def test_the_gradient_of_imitation_equals_differences(seed):
    instance = random_instance(np.random.default_rng(40 + seed), (5, 8), (3, 3))
    a, k = instance.arrays, known(instance.arrays)
    guide = np.array([np.flatnonzero(row)[-1] for row in instance.supported])
    flat = some_vector(seed)
    slope = np.zeros(flat.size)
    imitate(a, k, as_weights(flat, WIDTH, N_HIDDEN), as_weights(slope, WIDTH, N_HIDDEN), HEAT, guide)
    unused = as_weights(np.zeros(flat.size), WIDTH, N_HIDDEN)
    indices = some_indices(seed, 0.2 if SLOW else 1.0)
    expected = slopes_by_difference(lambda w: imitate(a, k, w, unused, HEAT, guide), flat, indices)
    assert np.abs(expected).max() > 1e-3
    assert slope[indices] == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("seed", range(1 if SLOW else 4))
def test_the_policy_gradient_equals_differences_of_log_probabilities_and_entropies(seed):
    instance = random_instance(np.random.default_rng(60 + seed), (5, 8), (3, 3))
    a, k = instance.arrays, known(instance.arrays)
    n, m = instance.cost_s.shape
    draws = np.random.default_rng(seed).random((3, n))
    flat = some_vector(seed)
    slope = np.zeros(flat.size)
    makespan_s = reinforce(a, k, as_weights(flat, WIDTH, N_HIDDEN), as_weights(slope, WIDTH, N_HIDDEN), HEAT, 0.3, draws, NOBODY)
    log_s = np.log(makespan_s)
    share = -(log_s - log_s.mean()) / (log_s.std() + SPREAD) / 3

    def value(w):
        tape, total = forward(a, k, w), 0.0
        for i in range(3):
            record, times = make_record(n, m), (np.zeros(n, np.int64), np.zeros(n), np.zeros(n))
            nobody = np.zeros(0, np.int64)
            roll_out(a, k, w, tape.base, tape.rule, HEAT, draws[i], nobody, make_scratch(n, m, N_HIDDEN), *times, record)
            for step in range(n):
                score = record.score[step, : record.size[step]] / HEAT
                log_p = score - score.max() - np.log(np.exp(score - score.max()).sum())
                total += -share[i] * log_p[record.chosen[step]] + 0.3 / 3 * np.exp(log_p) @ log_p
        return total

    indices = some_indices(seed, 0.2 if SLOW else 1.0)
    expected = slopes_by_difference(value, flat, indices)
    assert slope[indices] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_an_engine_may_judge_the_samples_instead():
    instance = random_instance(np.random.default_rng(2), (5, 8), (3, 3))
    a, k = instance.arrays, known(instance.arrays)
    draws = np.random.default_rng(0).random((3, instance.n_tasks))
    weights = as_weights(some_vector(0), WIDTH, N_HIDDEN)
    slopes = np.zeros((3, n_weights(WIDTH, N_HIDDEN)))
    own_s = reinforce(a, k, weights, as_weights(slopes[0], WIDTH, N_HIDDEN), HEAT, 0.0, draws, NOBODY)
    assert reinforce(a, k, weights, as_weights(slopes[1], WIDTH, N_HIDDEN), HEAT, 0.0, draws, 2 * own_s) == pytest.approx(2 * own_s)
    assert slopes[1] == pytest.approx(slopes[0])  # twice as long for all is no news
    reinforce(a, k, weights, as_weights(slopes[2], WIDTH, N_HIDDEN), HEAT, 0.0, draws, 1 / own_s)
    assert slopes[2] == pytest.approx(-slopes[0])


def test_entropy_pulls_a_choice_towards_even_odds():
    instance = random_instance(np.random.default_rng(1), (5, 8), (3, 3))
    a, k = instance.arrays, known(instance.arrays)
    draws = np.tile(np.random.default_rng(0).random((1, instance.n_tasks)), (2, 1))
    flat = some_vector(0)
    slope = np.zeros(flat.size)
    reinforce(a, k, as_weights(flat, WIDTH, N_HIDDEN), as_weights(slope, WIDTH, N_HIDDEN), HEAT, 1.0, draws, NOBODY)
    assert slope @ flat > 0  # smaller weights, smaller differences of scores


def test_samples_that_are_all_alike_teach_nothing():
    instance = random_instance(np.random.default_rng(1), (5, 8), (3, 3))
    flat = some_vector(0)
    slope = np.zeros(flat.size)
    draws = np.tile(np.random.default_rng(0).random((1, instance.n_tasks)), (4, 1))
    weights = as_weights(flat, WIDTH, N_HIDDEN)
    reinforce(instance.arrays, known(instance.arrays), weights, as_weights(slope, WIDTH, N_HIDDEN), HEAT, 0.0, draws, NOBODY)
    assert np.abs(slope).max() < 1e-9


def test_adam_takes_a_first_step_of_the_rate_against_the_gradient():
    flat = np.array([1.0, 1.0, 1.0])
    Adam(3).descend(flat, np.array([0.3, -0.002, 0.0]), 0.01)
    assert flat == pytest.approx([0.99, 1.01, 1.0], abs=1e-6)


def test_adam_finds_the_bottom_of_a_bowl():
    flat, adam = np.array([3.0, -2.0]), Adam(2)
    for _ in range(600):
        adam.descend(flat, flat * np.array([1.0, 10.0]), 0.02)
    assert np.abs(flat).max() < 0.05


SMALL = Recipe(
    width=3, n_hidden=4, n_imitation=1, teacher="anneal:50", n_samples=3, n_instances=2, n_tasks=(4, 8), n_devices=(2, 3), n_curve=2
)


@pytest.fixture
def small_panel(monkeypatch):
    """Judge on few small instances."""

    def few(self):
        self.instances = [random_instance(np.random.default_rng(s), (4, 6), (2, 2)) for s in range(2)]
        self.portfolio_s = np.ones(2)

    monkeypatch.setattr(Panel, "__init__", few)


@pytest.mark.usefixtures("small_panel")
def test_one_seed_and_number_of_steps_gives_one_set_of_weights():
    first, again, other = (train(seed=seed, n_steps=3, recipe=SMALL) for seed in (5, 5, 6))
    for a, b in zip(first.trained.weights, again.trained.weights, strict=True):
        assert np.array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first.trained.weights, other.trained.weights, strict=True))
    assert first.curve == again.curve


@pytest.mark.usefixtures("small_panel")
def test_progress_is_told_from_begin_to_end_and_provenance_says_how_to_do_it_again():
    told = []
    training = train(seed=2, n_steps=4, recipe=SMALL, progress=lambda share, point: told.append((share, point)))
    assert [share for share, _ in told] == [0.0, 0.5, 1.0]
    assert tuple(point for _, point in told) == training.curve
    origin = training.trained.provenance
    assert (origin["seed"], origin["n_steps"], origin["generator_version"]) == (2, 4, GENERATOR_VERSION)
    assert Recipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in origin["recipe"].items()}) == SMALL


@pytest.mark.usefixtures("small_panel")
def test_training_goes_on_from_other_weights_and_keeps_their_story():
    first = train(seed=2, n_steps=2, recipe=SMALL).trained
    still = train(seed=3, n_steps=1, recipe=replace(SMALL, learning_rate=0.0), start=first).trained
    for a, b in zip(first.weights, still.weights, strict=True):
        assert np.array_equal(a, b)
    assert still.provenance["start"] == first.provenance
    assert still.provenance["cpu_minutes"] >= first.provenance["cpu_minutes"]


@pytest.mark.usefixtures("small_panel")
def test_minutes_become_steps():
    training = train(minutes=0.0005 if not SLOW else 1e-6, seed=1, recipe=SMALL)
    assert training.trained.provenance["n_steps"] >= 1


def test_no_steps_are_refused():
    with pytest.raises(ScheduleError, match="choose 1 or more"):
        train(n_steps=0)


@pytest.mark.skipif(SLOW, reason="training is slow without compilation")
def test_sixty_steps_improve_on_the_rule_that_training_starts_from():
    recipe = Recipe(n_imitation=5, teacher="anneal:2000", n_instances=8, n_tasks=(8, 50), n_curve=1)
    curve = train(seed=3, n_steps=60, recipe=recipe).curve
    assert curve[-1].greedy < curve[0].greedy
    assert curve[-1].best_of_8 <= curve[-1].greedy
