"""Energy from histograms against the bit trace on every layer of ResNet-18, with images propagated through it in 8 bits.

Weights are random, as no trained ones ship: each layer has its own shape (Gaussian to Laplace), each output channel its
own scale, and channels that are larger in activation have smaller weights, as training with weight decay makes them.
Images are correlated in space (1/f), batch norm has random scale and shift, so that channels differ in density.
"""

from functools import cache

import numpy as np
import pytest

from hw_models.catalog import resolve_part
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram, padding_share
from hw_models.cim.value_energy import density_energy_j, energy_per_mvm_j, trace_energy_j
from workloads.registry import load_workload

DAC_4B = {"input_bits_per_pass": 4, "dac": {"part": "converter/row_dac_28nm"}}
MACROS = {
    "sram charge": ("sram_charge_22nm_256x256", {}),
    "reram resistive": ("reram_22nm_256x256", {}),
    "digital": ("digital_22nm_256x256", {}),
    "reram pulses, row pairs": ("neurram_130nm", {}),
    "reram 4-bit voltages": ("reram_22nm_256x256", DAC_4B),
}


def macro(name):
    part, change = MACROS[name]
    data = resolve_part(f"cim_macro/{part}").data | {k: v for k, v in change.items() if k != "dac"}
    if "dac" in change:
        data["dac"] = resolve_part(change["dac"]["part"]).data
    data.pop("kind")
    return CimMacroSpec.model_validate(data)


def im2col(x, kernel, stride, padding):
    """[batch, channels, size, size] -> [batch, outputs, outputs, channels * kernel^2], rows in the order of a weight matrix."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(x.shape[0], windows.shape[2], windows.shape[3], -1)


def images(rng, n, size):
    """Noise of a 1/f amplitude spectrum in three correlated colors, 0 to 255."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    gray, color = (np.fft.irfft2(np.fft.rfft2(rng.normal(size=(n, c, size, size))) / (f + 0.5 / size), s=(size, size)) for c in (1, 3))
    mixed = gray + 0.3 * color
    return np.clip(128 + 55 * mixed / mixed.std(), 0, 255).round().astype(np.int64)


def weights_8b(rng, k, n, channel_scale):
    """Weights [k, n] in 8 bits, scaled so that the largest of a channel is 127."""
    laplace = rng.uniform()
    w = (1 - laplace) * rng.normal(size=(k, n)) + laplace * rng.laplace(size=(k, n))
    w *= np.repeat(channel_scale, k // channel_scale.size)[:, None] * rng.lognormal(0, 0.3, n)
    scale = np.abs(w).max(axis=0) / 127
    return np.rint(w / scale).astype(np.int64), scale


class Net:
    """Runs convolutions in 8 bits and keeps what each of them multiplies."""

    def __init__(self, seed):
        self.rng, self.layers = np.random.default_rng(seed), []

    def conv(self, x, n, kernel, stride):
        """8-bit convolution and batch norm with random scale and shift; float outputs."""
        padding = kernel // 2
        strength = x.mean(axis=(0, 2, 3)) + 0.1 * x.mean() + 1e-9
        codes, scale = weights_8b(self.rng, x.shape[1] * kernel**2, n, (strength / strength.mean()) ** -0.25)
        columns = im2col(x, kernel, stride, padding)
        self.layers.append((x, columns.reshape(-1, columns.shape[-1]), codes, (x.shape[2], kernel, stride, padding)))
        y = (columns.astype(np.float32) @ codes.astype(np.float32)).transpose(0, 3, 1, 2) * scale[:, None, None].astype(np.float32)
        spread = y.std(axis=(0, 2, 3), keepdims=True) + 1e-9
        gamma, beta = self.rng.lognormal(0, 0.4, (n, 1, 1)), self.rng.normal(-0.2, 0.5, (n, 1, 1))
        return (y - y.mean(axis=(0, 2, 3), keepdims=True)) / spread * gamma + beta

    def quantized(self, y):
        """ReLU and 8 bits, clipped at the 99.9th percentile."""
        y = np.maximum(y, 0)
        return np.minimum(np.rint(y / np.quantile(y, 0.999) * 255), 255).astype(np.int64)


@cache
def resnet18_layers():
    """What the convolutions of ResNet-18 multiply: (activations, im2col rows, weights, geometry), in the order of the zoo."""
    net = Net(0)
    x = net.quantized(net.conv(images(net.rng, 1, 224), 64, 7, 2))
    x = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(
        axis=(4, 5)
    )
    for stage in range(4):
        n = 64 << stage
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = net.conv(net.quantized(net.conv(x, n, 3, stride)), n, 3, 1)
            x = net.quantized(y + (x / 64 if stride == 1 else net.conv(x, n, 1, stride)))
    return net.layers


def test_the_layers_are_those_of_the_zoo():
    shapes = sorted((op.gemm.m, op.gemm.k, op.gemm.n) for op in load_workload("resnet18").ops if op.op_type == "Conv")
    assert sorted((rows.shape[0], *weights.shape) for _, rows, weights, _ in resnet18_layers()) == shapes


def test_activations_are_correlated_and_channels_differ():
    activations = [x for x, _, _, _ in resnet18_layers()[1:]]
    for x in activations:
        assert 0.15 < (x == 0).mean() < 0.85
        shares = (x > 0).mean(axis=(0, 2, 3))
        assert shares.max() - shares.min() > 0.4
    first = activations[0][0].astype(float)
    left, right = first[:, :, :-1].ravel(), first[:, :, 1:].ravel()
    assert np.corrcoef(left, right)[0, 1] > 0.5


@cache
def errors(name):
    """Relative errors [layers] of the energy that depends on values: by histogram, at the part's densities, at 0.5 and 0.5."""
    spec, found = macro(name), []
    for x, rows, weights, geometry in resnet18_layers():
        step = max(1, rows.shape[0] // 784) | 1  # odd, so that samples do not line up with the columns of an image
        sample, columns = rows[::step], weights[:, ::8]
        trace = trace_energy_j(spec, sample, columns)
        histogram = Histogram.from_array(x).with_zeros(padding_share(*geometry))
        ours = energy_per_mvm_j(spec, histogram, Histogram.from_array(columns), *columns.shape)
        fixed = [density_energy_j(spec, *columns.shape, 8, 8, *densities) for densities in ((), (0.5, 0.5))]
        found.append([energy.value_j / trace.value_j - 1 for energy in (ours, *fixed)])
    return np.array(found)


@pytest.mark.parametrize("name", MACROS)
def test_energy_from_histograms_is_within_3_percent_in_the_mean_and_7_at_most_of_the_bit_trace(name):
    ours = np.abs(errors(name)[:, 0])
    assert ours.mean() < 0.03
    assert ours.max() < 0.07


@pytest.mark.parametrize("name", MACROS)
def test_fixed_densities_are_several_times_as_far_off(name):
    ours, default, half = np.abs(errors(name)).mean(axis=0)
    assert default > 4 * ours
    assert half > 10 * ours
