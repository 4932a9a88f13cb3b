"""Networks of linear layers that learn to live with the converters they will be read by: float, then rounded, then through the macro.

The third phase multiplies bit by bit as the macro does, forward, and straight through it backward, with one learned step of the codes a
layer. Everything that is chosen is chosen on a validation part of the training images.
"""

from __future__ import annotations

from cosim.training.adc_net import AdcAware, AdcAwareConfig, Array, Start, WholeLayer, WholeNet, best_step, full_step
from cosim.training.quantize import input_range
from cosim.training.samples import thinned
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError

__all__ = [
    "AdcAware",
    "AdcAwareConfig",
    "Start",
    "WholeLayer",
    "WholeNet",
    "best_step",
    "compare",
    "full_step",
    "train_adc_aware",
    "train_start",
]


def train_start(images: Array, labels: Array, config: AdcAwareConfig, seed: int) -> Start:
    """Float and rounded phases on whole images [v, k] of `activation_bits`; one seed gives one result. Needs the extra `train`."""
    from cosim.training import torch_adc  # noqa: PLC0415  torch is an extra

    _check(images, labels, config)
    return torch_adc.train_start(images, labels, config, seed)


def train_adc_aware(
    images: Array, labels: Array, spec: CimMacroSpec | None, config: AdcAwareConfig, seed: int, start: Start | None = None
) -> AdcAware:
    """All phases, or the last one from a `start` of the same images, config and seed; without `spec` the digital control of equal epochs.

    Raises SimulationError on images that are not whole or not of `activation_bits`, and where the loss is no number.
    """
    from cosim.training import torch_adc  # noqa: PLC0415  torch is an extra

    _check(images, labels, config)
    begin = start if start is not None else torch_adc.train_start(images, labels, config, seed)
    return torch_adc.train_through(images, labels, spec, config, seed, begin)


def compare(
    train: tuple[Array, Array], held: tuple[Array, Array], specs: dict[str, CimMacroSpec], config: AdcAwareConfig, seed: int
) -> dict[str, dict[str, float]]:
    """Accuracy on held-out images in percent: unit step, calibrated only, ADC-aware, digital control of equal epochs, by name of spec."""
    start = train_start(*train, config, seed)
    control = train_adc_aware(*train, None, config, seed, start).net.accuracy(*held, None)
    found = {}
    for name, spec in specs.items():
        aware = train_adc_aware(*train, spec, config, seed, start).net
        found[name] = {
            "unit": start.net.with_steps([1.0] * len(start.net.layers)).accuracy(*held, spec),
            "calibrated": start.net.calibrated(thinned(train[0], config.n_calibration), spec).accuracy(*held, spec),
            "aware": aware.accuracy(*held, spec),
            "control": control,
        }
    return found


def _check(images: Array, labels: Array, config: AdcAwareConfig) -> None:
    low, high = input_range(config.activation_bits, signed=False)
    if images.ndim != 2 or images.dtype.kind not in "iu" or images.size == 0 or images.min() < low or images.max() > high:
        raise SimulationError(f"images: {images.dtype} {images.shape}; give whole numbers {low} ... {high} [images, pixels]")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise SimulationError(f"labels: {labels.dtype} {labels.shape}; give a whole number from 0 on for each of {images.shape[0]} images")
    if images.shape[0] < config.batch:
        raise SimulationError(f"batch {config.batch} is more than the {images.shape[0]} images there are")
