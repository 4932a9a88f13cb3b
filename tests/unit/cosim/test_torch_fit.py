"""Training: the same seed gives the same weights, stops leave no trace, clipping holds, and runaway numbers are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cosim.training import torch_checkpoint as store
from cosim.training.network import Network
from cosim.training.networks import trainable
from cosim.training.recipe import Phase, Recipe
from cosim.training.torch_fit import Data, fit, one_thread, outputs, prepare
from cosim.training.torch_net import TorchNet
from workloads.errors import SimulationError, StoreError

PHASE = Phase(epochs=3, learning_rate=1e-2, batch=16, sigma=0.2, ramp=0.5, clip_row=1.5)


def start(name="mlp_digits"):
    entry = trainable(name)
    return Network(entry.build(np.random.default_rng(0)), entry.scaling)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    centers = rng.standard_normal((10, 64))
    labels = np.arange(160) % 10
    return Data.of(centers[labels] + 0.3 * rng.standard_normal((160, 64)), labels)


def weights_of(net):
    return {name: array.copy() for name, array in net.trained().program.weights.items()}


def run(data, phase=PHASE, seed=3, **more):
    with one_thread():
        return fit(prepare(start(), data, phase), data, phase, seed, **more)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(data):
    one, two, other = (weights_of(run(data, seed=seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_a_run_that_goes_on_equals_one_that_never_stopped(data, tmp_path):
    whole = weights_of(run(data))
    path, config = tmp_path / "run.pt", {"seed": 3}

    class Killed(Exception):  # noqa: N818  (stands for SIGKILL after the write)
        pass

    def stop(progress, _):
        store.save(path, progress, config)
        if progress.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        run(data, on_epoch=stop)
    resumed = weights_of(run(data, start=store.load(path, config)))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_training_learns_and_noise_costs_less_after_noisy_training(data):
    net = run(data, replace(PHASE, epochs=12))
    right = float((outputs(net, data.inputs).argmax(1) == data.labels).float().mean())
    assert right > 0.9


def test_rows_are_held_within_their_standard_deviations(data):
    net = run(data)
    for module in net.layers():
        w = module.weight.detach().numpy()
        assert np.all(np.abs(w).max(1) <= 1.5 * w.std(1) / 0.8)  # clipping lowers the deviation that it was set by


def test_rounded_layers_hold_no_more_levels_than_their_bits(data):
    phase = replace(PHASE, sigma=0.0, clip_row=None, weight_bits=2, activation_bits=4)
    net = run(data, phase)
    for module in net.layers():
        rows = module.rounded_weight().detach().numpy()
        assert all(len(np.unique(row)) <= 3 for row in rows)
    trained = net.trained()
    layer = trained.program.layers[1]
    assert set(np.unique(trained.whole_matrix(layer))) <= {-1, 0, 1}
    assert trained.steps_of(layer).input > 0
    assert not trained.steps_of(layer).signed  # behind ReLU
    assert trained.steps_of(trained.program.layers[0]).signed


def test_the_module_and_its_network_compute_the_same(data):
    net = run(data)
    again = TorchNet(net.trained())
    assert torch.equal(outputs(net, data.inputs), outputs(again, data.inputs))


def test_loss_that_is_no_number_names_layer_and_step_and_keeps_the_last_epoch(data):
    kept = []
    wild = replace(PHASE, learning_rate=1e30, clip_row=None)
    with pytest.raises(SimulationError, match=r"loss is (nan|inf) in epoch \d, step \d+: (weights|outputs) of layer \w+"):
        run(data, wild, on_epoch=lambda progress, loss: kept.append(progress.epoch))
    poisoned = Data(data.inputs.clone(), data.labels)
    poisoned.inputs[5] = float("nan")
    with pytest.raises(SimulationError, match=r"inputs of layer \w+ are no numbers; .* look for values in the data"):
        run(poisoned)


def test_fewer_samples_than_a_batch_are_refused(data):
    with pytest.raises(SimulationError, match="batch 500: there are 160 training samples"):
        run(data, replace(PHASE, batch=500))


def test_a_foreign_or_broken_checkpoint_is_named(data, tmp_path):
    path = tmp_path / "run.pt"
    assert store.load(path, {}) is None
    run(data, replace(PHASE, epochs=1), on_epoch=lambda progress, _: store.save(path, progress, {"seed": 3, "sigma": 0.2}))
    with pytest.raises(StoreError, match=r"trained with sigma = 0.2, now asked for is 0.3"):
        store.load(path, {"seed": 3, "sigma": 0.3})
    path.write_bytes(b"PK not a checkpoint")
    with pytest.raises(StoreError, match="is no checkpoint of cosim"):
        store.load(path, {"seed": 3, "sigma": 0.2})
    path.with_suffix(".json").unlink()
    with pytest.raises(StoreError, match=r"configuration of run\.pt cannot be read"):
        store.load(path, {"seed": 3, "sigma": 0.2})


def test_a_control_differs_in_noise_alone():
    recipe = Recipe("r", Phase(1, 1e-3), PHASE)
    assert recipe.control.then == replace(PHASE, sigma=0.0)
    assert recipe.control.first == recipe.first


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"learning_rate": 0.0}, {"ramp": 2.0}, {"batch": 0}, {"distill": -0.1}])
def test_phases_that_cannot_be_are_refused(wrong):
    with pytest.raises(SimulationError):
        replace(PHASE, **wrong)


def test_noise_rises_over_the_ramp():
    assert [PHASE.share_at(p) for p in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    assert replace(PHASE, ramp=0.0).share_at(0.0) == 1.0
