"""Gain, offset and rest of a layer, and that they say what the exact path does."""

from __future__ import annotations

import os

import numpy as np
import pytest

from cosim.training.arrays import OnArrays
from cosim.training.deploy import deploy, quantized
from cosim.training.hardware import Hardware
from cosim.training.network import Network
from cosim.training.networks import trainable
from cosim.training.surrogate import MAX_SAMPLES, Moments, Surrogate, measured
from hw_models.catalog import resolve_part
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
slow_without_jit = pytest.mark.skipif(JIT_OFF, reason="many vectors")
RNG = np.random.default_rng(0)
X = RNG.random((400, 64), dtype=np.float32)
WHOLE = quantized(Network(trainable("mlp_digits").build(np.random.default_rng(1))), 4, 4, X[:200])


def hardware(n_bits, kind="granular", **cell):
    data = {key: value for key, value in resolve_part("cim_macro/ref_bitserial").data.items() if key != "kind"}
    spec = CimMacroSpec.model_validate(data | {"adc": {**data["adc"], "n_bits": n_bits, "range": kind}, "cell": {**data["cell"], **cell}})
    return Hardware("h", spec)


def test_least_squares_by_hand():
    """z = 2 y + 1 + r with r orthogonal to y: gain 2, offset 1, variance of r 0.25; mean square error (y + 1 + r)^2 of y = -1, 0, 0, 1."""
    y = np.array([-1.0, 0.0, 0.0, 1.0])[None, :, None]
    r = np.array([0.5, -0.5, -0.5, 0.5])[None, :, None]
    moments = Moments.of(y, 2 * y + 1 + r)
    gain, offset, rest = moments.fit()
    assert (gain.item(), offset.item(), rest.item()) == pytest.approx((2.0, 1.0, 0.25))
    assert moments.signal == pytest.approx(0.5)
    assert moments.mean_square_error == pytest.approx((0.25 + 0.25 + 0.25 + 6.25) / 4)


def test_an_output_that_never_moves_keeps_gain_one():
    gain, offset, rest = Moments.of(np.full((1, 3, 1), 2.0), np.array([1.0, 2.0, 3.0])[None, :, None]).fit()
    assert (gain.item(), offset.item(), rest.item()) == pytest.approx((1.0, 0.0, 2 / 3))


def test_sums_of_parts_are_those_of_the_whole():
    y, z = RNG.standard_normal((2, 1, 10, 3))
    both = Moments(Moments.of(y[:, :4], z[:, :4]).sums + Moments.of(y[:, 4:], z[:, 4:]).sums)
    np.testing.assert_allclose(both.sums, Moments.of(y, z).sums)


@slow_without_jit
def test_without_errors_the_surrogate_is_the_product():
    chip = OnArrays(WHOLE, hardware(8), 0)
    surrogate = Surrogate.measure(chip, X)
    found = surrogate.outputs(X, np.random.default_rng(0))
    np.testing.assert_allclose(found, chip.outputs(X, np.random.default_rng(0)), rtol=1e-4, atol=1e-5)


@slow_without_jit
@pytest.mark.parametrize(("n_bits", "kind", "cell"), [(3, "granular", {}), (4, "full", {}), (3, "calibrated", {"programming_sigma": 0.1})])
def test_on_other_inputs_rest_and_error_are_within_a_fifth_of_the_exact_ones(n_bits, kind, cell):
    """The judged line, on a network of 64-32-10; benchmarks/surrogate.py has the table."""
    chip = OnArrays(WHOLE, hardware(n_bits, kind, **cell), 3, X[:200])
    surrogate = Surrogate.measure(chip, X[:200])
    there = measured(chip, X[200:], np.random.default_rng(1))
    for layer in WHOLE.program.layers[:1]:
        exact = there[layer.name]
        assert exact.mean_square_error >= 0.005 * exact.signal
        gain, offset, rest = surrogate.table[layer.name]
        y = chip.operands[layer.name].product(layer.vectors(X[200:]))
        error = ((gain[:, None] - 1) * y + offset[:, None]) ** 2 + rest[:, None]
        assert rest.mean() == pytest.approx(exact.fit()[2].mean(), rel=0.2)
        assert error.mean() == pytest.approx(exact.mean_square_error, rel=0.2)


def test_it_is_measured_on_at_most_500_inputs():
    seen = []

    class Watched:
        def __getattr__(self, name):
            return getattr(chip, name)

        def multiply(self, rng):
            return lambda layer, vectors: (seen.append(vectors.shape[1]), chip.operands[layer.name].product(vectors))[1]

    chip = OnArrays(WHOLE, hardware(8), 0)
    Surrogate.measure(Watched(), np.tile(X, (4, 1)))  # type: ignore[arg-type]  # stands in for a chip
    assert sum(seen) == 2 * 400  # every fourth of 1,600, through two layers
    assert MAX_SAMPLES == 500


@slow_without_jit
def test_errors_are_drawn_anew_and_by_seed():
    surrogate = deploy(WHOLE, hardware(2), 0, X, "surrogate")
    assert surrogate.is_fresh
    one, two, same = (surrogate.outputs(X, np.random.default_rng(seed)) for seed in (1, 2, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, two)


def test_without_samples_there_is_no_surrogate():
    with pytest.raises(SimulationError, match="surrogate: it is measured on training inputs; give samples"):
        deploy(WHOLE, hardware(2), 0, None, "surrogate")
