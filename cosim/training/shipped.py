"""Networks that ship trained: which, how, and the command that makes them, `python -m cosim.training.shipped [FOLDER]`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosim.training.data import fitted, load_data, split
from cosim.training.hardware import Hardware
from cosim.training.network_file import WEIGHTS, save_network
from cosim.training.networks import trainable
from cosim.training.train import Job, networks_of, recipe_for

NAMES = ("cnn_small", "lenet5", "mlp_digits", "mlp_mnist")
SIGMA, SEED = 0.1, 0  # a little noise in training: no worse digitally, and of use on most chips


def make(name: str, folder: Path = WEIGHTS) -> Path:
    """Train one network on all images that are not test images, with the recipe for weight noise 0.1, and write its weights.

    Stored as float16, whose rounding of 1/2048 is far below what any recipe's noise does.
    """
    entry = trainable(name)
    hardware = Hardware(f"noise {SIGMA:g}", sigma=SIGMA)
    job = Job(entry, load_data(entry.data), hardware, recipe_for(name, hardware, None, None), seeds=(SEED,), control=False)
    dataset = fitted(job.dataset, entry.input_shape, name)
    rows = split(dataset, SEED)
    both = np.sort(np.concatenate([rows.train, rows.validation]))
    network = networks_of(job, dataset, both, SEED, "final", lambda _, __: None)["aware"]
    path = folder / f"{name}.npz"
    about = {"recipe": job.recipe.as_dict(), "data": job.dataset.name, "seed": SEED, "hardware": hardware.name}
    save_network(replace(network, steps={}), path, about, half=True)
    return path


if __name__ == "__main__":
    for each in NAMES:
        sys.stdout.write(f"{make(each, Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS)}\n")
