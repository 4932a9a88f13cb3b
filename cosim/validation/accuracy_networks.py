"""Networks of the tables: trained on all training rows of their data set from a seed, and read on its test rows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cosim.training.cells import History, pairs_at
from cosim.training.data import fitted, load_data
from cosim.training.deploy import deploy
from cosim.training.engines import Deployed, Digital, NoisyWeights
from cosim.training.hardware import Hardware
from cosim.training.network import Network, Steps
from cosim.training.networks import Trainable, trainable
from cosim.training.quantize import mse_step
from cosim.training.recipe import Phase
from cosim.training.uncertainty import Ensemble
from cosim.validation.accuracy_cases import Net, Reading
from cosim.validation.accuracy_recipes import NETWORKS, Made, changed
from hw_models.catalog import build_part_device
from hw_models.cim.macro import CimMacro
from hw_models.cim.noise import load_noise
from workloads.errors import SpecError

Inputs = NDArray[np.float32]
ARRAYS = "cim_macro/ref_bitserial"
CELLS = "pcm_like"  # pairs of 25 uS with one at 0: the part's own numbers
COVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class Sets:
    """Inputs as a network takes them, and labels."""

    entry: Trainable
    train_inputs: Inputs
    train_labels: NDArray[np.int64]
    test_inputs: Inputs
    test_labels: NDArray[np.int64]


@lru_cache(maxsize=3)
def sets(net: Net) -> Sets:
    """Data of a network: 4,000 / 1,000 images of MNIST, 1,347 / 450 digits. Raises WorkloadError where a package is missing."""
    entry = trainable(NETWORKS[net])
    dataset = fitted(load_data(entry.data), entry.input_shape, entry.name)
    scaled = entry.start(np.random.default_rng(0)).scaled(dataset.inputs)
    test = dataset.is_test
    return Sets(entry, scaled[~test], dataset.labels[~test], scaled[test], dataset.labels[test])


def float_network(net: Net, first: Phase, seed: int) -> Network:
    """A network trained from fresh weights; weights and batches come from the seed alone."""
    return trained(net, sets(net).entry.start(np.random.default_rng(seed)), first, seed)


def prepared(made: Made, start: Network, seed: int) -> Network:
    """What a recipe makes of a float network."""
    if made.round_bits is not None:
        return rounded(start, made.round_bits)
    network = start if made.more is None else trained(made.net, start, made.more, seed, made.momentum)
    if made.adc is None or made.more is None:
        return network
    return aware(made.net, network, replace(made.more, epochs=made.aware_epochs), made.adc, seed)


def aware(net: Net, network: Network, phase: Phase, adc: Reading, seed: int) -> Network:
    """A rounded network after epochs through converters of fixed steps, each taken for the ideal product by gradients."""
    from cosim.training.torch_chip import ChipErrors  # noqa: PLC0415  (torch)
    from cosim.training.torch_fit import Data, fit, one_thread  # noqa: PLC0415  (torch)
    from cosim.training.torch_net import TorchNet  # noqa: PLC0415  (torch)

    mine = sets(net)
    with one_thread():
        module = TorchNet(with_steps(network, adc))
        data = Data.of(mine.train_inputs, mine.train_labels)
        fit(module, data, phase, chance(seed, changed(phase)), errors=ChipErrors(arrays(adc), "exact"))
    return module.trained()


def trained(net: Net, start: Network, phase: Phase, seed: int, momentum: float | None = None) -> Network:
    """A network after the epochs of a phase, batches and noise from the seed and what the phase is."""
    from cosim.training.torch_fit import Data, fit, one_thread, prepare  # noqa: PLC0415  (torch)

    mine = sets(net)
    data = Data.of(mine.train_inputs, mine.train_labels)
    with one_thread():
        module = prepare(start, data, phase)
        fit(module, data, phase, chance(seed, changed(phase)), momentum=momentum)
    return module.trained()


def rounded(network: Network, bits: int) -> Network:
    """Weights on steps of least squared error, one an output channel, nothing trained."""
    steps = {}
    for layer in network.program.layers:
        rows = layer.matrix(network.program.weights[layer.weight])
        steps[layer.name] = Steps(weight=mse_step(rows.reshape(-1, rows.shape[-1]), bits))
    return replace(network, weight_bits=bits, steps=steps)


def chance(seed: int, what: str, draw: int = 0) -> int:
    """A seed for one thing that is drawn, the same wherever and whenever it is."""
    return int(np.random.SeedSequence([seed, zlib.crc32(what.encode()), draw]).generate_state(1)[0])


def readings(net: Net, network: Network, reading: Reading, seed: int) -> dict[str, float]:
    """Percent or points by quantity, mean over draws."""
    mine = sets(net)
    outputs = []
    for draw in range(reading.n_draws * reading.passes):
        deployed = held(network, reading, chance(seed, replace(reading, quantity="acc").label, draw))
        outputs.append(deployed.outputs(mine.test_inputs, np.random.default_rng(chance(seed, "read", draw))))
    if reading.kind != "passes":
        return {"acc": 100 * float(np.mean([(y.argmax(axis=1) == mine.test_labels).mean() for y in outputs]))}
    found = Ensemble.of_logits(np.stack(outputs), mine.test_labels).groups(reading.passes)
    return {
        "acc": 100 * float(np.mean([one.accuracy for one in found])),
        "acc_at_90pct_coverage": 100 * float(np.mean([one.accuracy_at_coverage(COVERAGE) for one in found])),
        "ece": 100 * float(np.mean([one.calibration_error() for one in found])),
    }


def held(network: Network, reading: Reading, chip: int) -> Deployed:
    """A network as a chip holds it for a reading."""
    if reading.kind == "cells":
        t_s = reading.t_s or None
        hardware = Hardware(CELLS, noise=load_noise(CELLS), t_s=t_s, compensation=reading.compensated)
        return NoisyWeights(network, hardware, chip) if reading.mapping == "column" else Digital(by_layer(network, hardware, chip))
    if reading.kind == "adc":
        return deploy(with_steps(network, reading), arrays(reading), chip)
    if reading.kind in {"gaussian", "passes"} and reading.sigma > 0:
        return NoisyWeights(network, Hardware("gaussian", sigma=reading.sigma), chip)
    return Digital(network)


def arrays(adc: Reading) -> Hardware:
    """Arrays of so many rows with converters of so many bits, ON cells spread by cell_std."""
    device = build_part_device(ARRAYS)
    if not isinstance(device, CimMacro) or device.spec.adc is None:
        raise SpecError(f"part {ARRAYS!r} has no converters; this comparison needs the one that ships")
    converter = device.spec.adc.model_copy(update={"n_bits": adc.bits})
    macro = device.spec.model_copy(update={"rows": adc.rows, "adc": converter})
    spread = load_noise("normal_proportional", programming=adc.cell_std) if adc.cell_std else None
    return Hardware(f"{adc.rows} rows, {adc.bits} bits", macro=macro, noise=spread)


def with_steps(network: Network, adc: Reading) -> Network:
    """Steps of converters: one cell, or the full range max(1, rows / (2^bits - 1))."""
    step = max(1.0, adc.rows / (2**adc.bits - 1)) if adc.full else 1.0
    return replace(network, steps={name: replace(steps, adc=step) for name, steps in network.steps.items()})


def by_layer(network: Network, hardware: Hardware, chip: int) -> Network:
    """Real weights that pairs of cells hold where the largest weight of a layer, not of each row, fills a cell."""
    changed = {}
    if hardware.noise is None:
        return network
    for place, layer in enumerate(network.program.layers):
        aimed = network.matrix(layer)
        history = History(hardware.noise, hardware.t_s, hardware.off, chip, (place,))
        found = pairs_at(history, aimed.reshape(1, 1, -1), np.random.default_rng(chance(chip, "layer", place)))
        if hardware.compensation and hardware.t_s is not None:
            found *= np.abs(aimed).mean() / np.abs(found).mean()
        changed[layer.weight] = found.reshape(network.program.weights[layer.weight].shape).astype(np.float32)
    return replace(network.with_program(network.program.with_weights(changed)), weight_bits=None, steps={})
