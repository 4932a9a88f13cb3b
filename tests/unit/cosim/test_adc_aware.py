"""Training through the converters: what calibration finds, what the split holds, that one seed is one result, and that it helps."""

from __future__ import annotations

import os

import numpy as np
import pytest

from cosim.training.adc_aware import (
    AdcAwareConfig,
    WholeLayer,
    WholeNet,
    best_step,
    compare,
    full_step,
    train_adc_aware,
    train_start,
)
from hw_models.catalog import build_part_device
from workloads.errors import SimulationError

PART = build_part_device("cim_macro/ref_bitserial").spec
JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
CONFIG = AdcAwareConfig(hidden=(6,), batch=20, float_epochs=4, round_epochs=1, epochs=3, n_calibration=20)


def macro(rows, n_bits):
    return PART.model_copy(update={"rows": rows, "adc": PART.adc.model_copy(update={"n_bits": n_bits})})


def blobs(n=120, seed=0):
    """Three classes, each bright in its own third of 24 pixels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(0, 60, (n, 24))
    for row, label in enumerate(labels):
        images[row, 8 * label : 8 * label + 8] += rng.integers(0, 190, 8)
    return images.astype(np.uint8), labels


def test_the_best_step_reads_its_sums_exactly_where_it_can():
    """Sums 0, 3, 6, 9 have a step of 3 with 2 bits; what lies beyond the largest code is worth a wider step."""
    sums = np.array([0.0, 3.0, 6.0, 9.0])
    assert best_step(macro(16, 2), [sums]) == pytest.approx(3, rel=0.02)
    assert best_step(macro(16, 2), [sums, np.full(9, 12.0)]) > 3.5


def test_full_steps_by_hand():
    assert full_step(macro(128, 3)) == 128 / 7
    assert full_step(macro(64, 8)) == 1


def test_a_network_by_hand():
    """Levels (2, 1) by weights 1, -1 make 1 at steps 0.5 and 2, plus 3: 4, level 8 of step 0.5; by 2 of step 1: 16 times 0.5."""
    first = WholeLayer(np.array([[1], [-1]]), np.array([2.0]), 0.5, np.array([3.0]))
    second = WholeLayer(np.array([[2, -2]]), np.array([1.0, 1.0]), 0.5, np.zeros(2))
    net = WholeNet((first, second), 4, 8)
    x = np.array([[2, 1]])
    assert net.logits(x, None).tolist() == [[8, -8]]
    assert net.logits(x, macro(128, 8)).tolist() == [[8, -8]]
    assert net.with_steps([1.0, 2.0]).logits(x, macro(128, 8)).tolist() == [[16, -16]]  # halves of a step are read upward
    assert net.accuracy(x, np.array([0]), None) == 100


@pytest.mark.skipif(JIT_OFF, reason="a minute without the compiler")
def test_one_seed_is_one_result_and_the_trace_tells_the_steps():
    pytest.importorskip("torch")
    images, labels = blobs()
    start = train_start(images, labels, CONFIG, 1)
    spec = macro(16, 2)
    runs = [train_adc_aware(images, labels, spec, CONFIG, 1, begin) for begin in (start, None)]
    for one, other in zip(runs[0].net.layers, runs[1].net.layers, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        assert one.adc_step == other.adc_step
    assert runs[0].trace == runs[1].trace
    assert [entry["epoch"] for entry in runs[0].trace] == [0, 1, 2]
    assert runs[0].trace[-1]["adc_steps"] == pytest.approx([layer.adc_step for layer in runs[0].net.layers])
    assert train_adc_aware(images, labels, None, CONFIG, 1, start).trace[0]["adc_steps"] == []


@pytest.mark.parametrize("slope", ["one", "column", "inside"])
@pytest.mark.skipif(JIT_OFF, reason="minutes without the compiler; the kernel alone is tested without it")
def test_training_through_one_bit_beats_reading_through_it(slope):
    pytest.importorskip("torch")
    train, held = blobs(), blobs(90, 1)
    config = AdcAwareConfig(
        hidden=(6,), batch=20, float_epochs=8, round_epochs=1, epochs=12, n_calibration=20, slope=slope, distill=0.3, rate=1e-2
    )
    found = compare(train, held, {"one bit": macro(16, 1)}, config, 0)["one bit"]
    assert set(found) == {"unit", "calibrated", "aware", "control"}
    assert found["aware"] >= found["unit"]
    assert found["aware"] > 70


@pytest.mark.parametrize(("call", "message"), [
    (lambda x, y: train_start(x / 2, y, CONFIG, 0), "give whole numbers 0 ... 255"),
    (lambda x, y: train_start(x, y[:-1], CONFIG, 0), "for each of 120 images"),
    (lambda x, y: train_start(x[:5], y[:5], CONFIG, 0), "batch 20 is more than the 5"),
    (lambda x, y: AdcAwareConfig(distill=2), "a share lies in 0 ... 1"),
    (lambda x, y: AdcAwareConfig(batch=0), "1 or more"),
])  # fmt: skip
def test_what_it_refuses(call, message):
    with pytest.raises(SimulationError, match=message):
        call(*blobs())


def test_a_loss_that_is_no_number_stops():
    pytest.importorskip("torch")
    images, labels = blobs()
    config = AdcAwareConfig(hidden=(6,), batch=20, float_epochs=2, float_rate=1e30)
    with pytest.raises(SimulationError, match="loss is no number"):
        train_start(images, labels, config, 0)
