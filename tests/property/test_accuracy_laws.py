"""Laws of accuracy on hardware, for networks, noise and converters drawn at random."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.accuracy import Trial, measure
from cosim.training.accuracy_causes import loss_by_cause
from cosim.training.deploy import deploy, quantized
from cosim.training.engines import Digital
from cosim.training.hardware import CAUSES, Hardware
from cosim.training.network import Network
from hw_models.catalog import resolve_part
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from workloads.program_builder import ProgramBuilder

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
law = settings(max_examples=3 if JIT_OFF else 10, deadline=None)
PART = {key: value for key, value in resolve_part("cim_macro/ref_bitserial").data.items() if key != "kind"}
CELLS = ("pcm_like", "reram_cmo", "normal_proportional", "state_independent")


def network_of(seed, whole=False):
    rng = np.random.default_rng(seed)
    b = ProgramBuilder("p", (5,), rng)
    network = Network(b.build(b.linear(b.relu(b.linear(b.input, 4)), 3)))
    x = rng.random((6, 5)).astype(np.float32)
    return (quantized(network, int(rng.integers(2, 5)), int(rng.integers(1, 4)), x) if whole else network), x


def macro(n_bits, kind, **cell):
    adc = {**PART["adc"], "n_bits": n_bits, "range": kind}
    return CimMacroSpec.model_validate(PART | {"adc": adc, "cell": {**PART["cell"], **cell}})


hardware = st.one_of(
    st.builds(lambda sigma: Hardware("g", sigma=sigma), st.floats(0.05, 2.0)),
    st.builds(lambda name: Hardware(name, noise=load_noise(name), t_s=3600.0), st.sampled_from(CELLS)),
    st.builds(
        lambda n, kind, sigma: Hardware("m", macro(n, kind, programming_sigma=sigma, read_sigma=sigma / 2)),
        st.integers(1, 8), st.sampled_from(["full", "granular", "calibrated"]), st.sampled_from([0.0, 0.2]),
    ),
)  # fmt: skip


@law
@given(st.integers(0, 10**6), hardware)
def test_all_off_is_the_float_network_and_all_but_rounding_the_digital_one(seed, given_hardware):
    network, x = network_of(seed, whole=True)
    rng = np.random.default_rng(0)
    off = deploy(network, given_hardware.without(CAUSES), seed).outputs(x, rng)
    np.testing.assert_array_equal(off, Digital(network, frozenset(("weight_bits", "dac"))).outputs(x, rng))
    rounded = deploy(network, given_hardware.without(set(CAUSES) - {"weight_bits", "dac"}), seed).outputs(x, rng)
    np.testing.assert_array_equal(rounded, Digital(network).outputs(x, rng))


@law
@given(st.integers(0, 10**6), hardware)
def test_losses_sum_to_the_drop_and_the_same_seed_gives_the_same(seed, given_hardware):
    network, x = network_of(seed, whole=True)
    labels = np.arange(len(x)) % 3
    trial = Trial(network, x, labels, given_hardware, x, seeds=(seed, seed + 1), n_draws=1)
    result = measure(trial)
    parts = sum(loss.points for loss in loss_by_cause(result))
    assert parts == pytest.approx(result.float_score.mean - result.accuracy.mean, abs=1e-9)
    np.testing.assert_array_equal(measure(replace(trial)).probabilities, result.probabilities)


@law
@given(st.integers(0, 10**6), st.sampled_from(["granular", "calibrated"]))
def test_a_lossless_converter_is_the_integer_network_bit_for_bit(seed, kind):
    network, x = network_of(seed, whole=True)
    rng = np.random.default_rng(0)
    found = deploy(network, Hardware("m", macro(8, kind)), seed, x).outputs(x, rng)
    np.testing.assert_array_equal(found, Digital(network).outputs(x, rng))


@law
@given(st.integers(0, 10**6))
def test_outputs_err_more_the_more_noise_there_is(seed):
    """The same chip with twice the sigma is twice as far off in each weight: outputs of one layer move in proportion."""
    network, x = network_of(seed)
    one = Network(replace(network.program, nodes=network.program.nodes[:1], output=network.program.nodes[0].outputs[0]))
    rng = np.random.default_rng(0)
    ideal = Digital(one).outputs(x, rng)
    small, large = (deploy(one, Hardware("g", sigma=sigma), seed).outputs(x, rng) - ideal for sigma in (0.1, 0.2))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-2, atol=1e-5)
