"""Parts of AdaRound by hand: the schedule of its penalty, Adam, rounding that stays in its interval, and the loss of a layer."""

from __future__ import annotations

from math import cos, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.adaround import Adam, Rounding, Settings, Task, _meets_relu
from workloads.errors import SimulationError
from workloads.program_builder import ProgramBuilder


def rounding(seed=0, bits=3, step=0.4):
    weights = np.random.default_rng(seed).uniform(-1, 1, (1, 3, 4))
    return weights, Rounding.start(weights, np.full((1, 3, 1), step), bits)


class TestSettings:
    def test_there_is_no_penalty_at_first_and_beta_then_falls_by_a_cosine(self):
        settings = Settings(n_steps=100, free=0.2, beta=(20.0, 2.0))
        assert [settings.beta_at(step) for step in (0, 19)] == [None, None]
        assert settings.beta_at(20) == pytest.approx(20)
        assert settings.beta_at(60) == pytest.approx(11)  # half way
        assert settings.beta_at(40) == pytest.approx(2 + 18 * (1 + cos(pi / 4)) / 2)
        assert settings.beta_at(100) == pytest.approx(2)

    @given(st.integers(1, 500), st.floats(0, 0.95))
    def test_beta_never_rises_and_stays_between_its_ends(self, n_steps, free):
        settings = Settings(n_steps=n_steps, free=free)
        betas = [beta for step in range(n_steps) if (beta := settings.beta_at(step)) is not None]
        assert betas == sorted(betas, reverse=True)
        assert all(2 <= beta <= 20 for beta in betas)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"batch": 0}, "2000 steps, batch 0: choose 1 or more"),
            ({"learning_rate": float("nan")}, "choose a learning rate above 0"),
            ({"step_rate": -1e-3}, "step rate and penalty of 0 or more"),
            ({"penalty": -1.0}, "step rate and penalty of 0 or more"),
            ({"free": 1.0}, "a free share below 1"),
        ],
    )
    def test_what_no_search_has_is_refused(self, change, message):
        with pytest.raises(SimulationError, match=f"AdaRound: .*{message}"):
            Settings(**change)


class TestAdam:
    def test_the_first_change_is_the_rate_whatever_the_gradient(self):
        change = Adam().change(np.array([3.0, -1e-3, 0.0]), 0.1)
        np.testing.assert_allclose(change, [0.1, -0.1, 0.0], rtol=1e-4)

    def test_two_steps_by_hand(self):
        """Means 0.1 and 0.09 - 0.1 over 1 - 0.81; squares 0.001 and 0.001999 over 1 - 0.998001."""
        adam = Adam()
        adam.change(np.array([1.0]), 1.0)
        assert adam.change(np.array([-1.0]), 1.0)[0] == pytest.approx((0.09 - 0.1) / 0.19 / (0.001999 / 0.001999) ** 0.5, rel=1e-4)

    @given(st.lists(st.floats(-5, 5), min_size=1, max_size=10), st.floats(0.01, 100))
    def test_the_scale_of_gradients_does_not_matter(self, gradients, factor):
        one, other = Adam(), Adam()
        for gradient in gradients:
            first = one.change(np.array([gradient]), 0.1)
            second = other.change(np.array([gradient * factor]), 0.1)
        if min(abs(g) for g in gradients) * min(1, factor) > 1e-3:  # beside the small number below
            np.testing.assert_allclose(first, second, atol=1e-4)


class TestRounding:
    @given(st.integers(0, 99), st.integers(2, 4), st.floats(0.05, 1.0))
    def test_whole_weights_are_a_neighbor_of_the_real_one_within_the_range(self, seed, bits, step):
        weights, one = rounding(seed, bits, step)
        top = 2 ** (bits - 1) - 1
        whole = one.whole()
        assert (whole == np.rint(whole)).all()
        assert np.abs(whole).max() <= top
        assert (np.abs(whole - np.clip(weights / step, -top, top)) < 1 + 1e-6).all()

    @pytest.mark.parametrize(("v", "up"), [(20.0, 1), (-20.0, 0)])
    def test_far_from_zero_a_weight_is_one_of_its_levels(self, v, up):
        _, one = rounding(bits=4)
        one.v = np.full_like(one.v, v)
        np.testing.assert_allclose(one.weights(), one.step * (one.below + up), rtol=1e-6)
        np.testing.assert_array_equal(one.whole(), one.below + up)
        assert not one.gradient(np.ones_like(one.v), 1.0, 2.0).any()  # beyond the stretch nothing moves it

    def test_a_weight_beyond_the_range_has_no_gradient(self):
        one = Rounding.start(np.array([[[2.4, 0.4]]]), np.full((1, 1, 1), 1.0), 2)  # ternary: 2.4 is held at 1
        gradient = one.gradient(np.ones((1, 1, 2), dtype=np.float32), 0.0, None)
        assert gradient[0, 0, 0] == 0
        assert gradient[0, 0, 1] > 0

    @pytest.mark.parametrize(("share", "sign"), [(0.3, 1), (0.7, -1)])
    def test_the_penalty_alone_pushes_to_the_nearer_level(self, share, sign):
        """Adam takes the gradient off V: below one half V falls, above it rises."""
        one = Rounding.start(np.array([[[share]]]), np.full((1, 1, 1), 1.0), 4)
        assert np.sign(one.gradient(np.zeros((1, 1, 1), dtype=np.float32), 1.0, 2.0)) == sign
        assert one.gradient(np.zeros((1, 1, 1), dtype=np.float32), 1.0, None)[0, 0, 0] == 0

    def test_the_gradient_of_steps_sums_over_the_inputs_of_an_output(self):
        _, one = rounding()
        to_weights = np.random.default_rng(1).normal(size=(1, 3, 4)).astype(np.float32)
        np.testing.assert_allclose(one.step_gradient(to_weights)[0, :, 0], (to_weights * one.weights())[0].sum(axis=1), rtol=1e-5)

    def test_a_step_rate_of_0_leaves_the_steps(self):
        _, one = rounding()
        step, v = one.step.copy(), one.v.copy()
        one.move(np.ones((1, 3, 4), dtype=np.float32), Settings(step_rate=0.0, learning_rate=0.1), 0)
        np.testing.assert_array_equal(one.step, step)
        assert np.abs(one.v - v).max() == pytest.approx(0.1, rel=1e-3)
        one.move(np.ones((1, 3, 4), dtype=np.float32), Settings(step_rate=0.1), 0)
        assert (one.step != step).all()


class TestTask:
    def test_a_loss_by_hand(self):
        """Outputs 3 and -1 beside 1 and 1: (4 + 4) / 2; behind ReLU 3 and 0: (4 + 1) / 2, and the second has no slope."""
        vectors = np.array([[[1.0], [-1.0]]], dtype=np.float32)
        wanted, bias = np.ones((1, 2, 1), dtype=np.float32), np.ones((1, 1, 1), dtype=np.float32)
        weights = np.full((1, 1, 1), 2.0, dtype=np.float32)
        plain = Task(vectors, wanted, bias, relu=False).loss(weights, np.arange(2))
        assert (plain[0], plain[1].tolist()) == (4.0, [[[2 * 1 + -2 * -1]]])
        behind = Task(vectors, wanted, bias, relu=True).loss(weights, np.arange(2))
        assert (behind[0], behind[1].tolist()) == (2.5, [[[2.0]]])

    def test_only_the_rows_that_are_drawn_count(self):
        rng = np.random.default_rng(0)
        vectors, wanted = rng.normal(size=(2, 6, 3)).astype(np.float32), rng.normal(size=(2, 6, 4)).astype(np.float32)
        weights, bias = rng.normal(size=(2, 4, 3)).astype(np.float32), np.zeros((2, 1, 4), dtype=np.float32)
        rows = np.array([1, 4])
        some = Task(vectors, wanted, bias, relu=False).loss(weights, rows)
        cut = Task(vectors[:, rows], wanted[:, rows], bias, relu=False).loss(weights, np.arange(2))
        assert some[0] == pytest.approx(cut[0])
        np.testing.assert_allclose(some[1], cut[1])


def test_a_layer_meets_relu_only_where_nothing_else_reads_it():
    b = ProgramBuilder("net", (3,), np.random.default_rng(0))
    behind = b.linear(b.input, 3, name="behind")
    beside = b.linear(b.relu(behind), 3, name="beside")
    last = b.linear(b.add(b.relu(beside), beside), 3, name="last")
    program = b.build(last)
    assert {layer.name: _meets_relu(program, layer) for layer in program.layers} == {"behind": True, "beside": False, "last": False}
