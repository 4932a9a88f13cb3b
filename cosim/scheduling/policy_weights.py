"""Weights of the learned policy: their shapes, where they start, and the file that ships with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.scheduling.kernels.policy_features import N_PAIR_FEATURES, N_TASK_FEATURES
from cosim.scheduling.kernels.policy_net import N_STEP_FEATURES, Weights
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray

FORMAT = "policy-weights-1"
SHIPPED = Path(__file__).parent / "weights" / "policy_v1.json"


@dataclass(frozen=True, eq=False)
class Trained:
    """Weights with the heat they are sampled at, and where they come from (seed, steps, CPU minutes, generator version)."""

    weights: Weights
    heat: float
    provenance: dict[str, Any] = field(default_factory=dict)


def shapes(width: int, n_hidden: int, n_rounds: int = 2) -> dict[str, tuple[int, ...]]:
    """Shape of each array of `Weights`, in order, for embeddings of a width and so many hidden units of a pair."""
    return {
        "task_in": (N_TASK_FEATURES, width),
        "task_bias": (width,),
        "message": (n_rounds, 5, width, width),
        "message_bias": (n_rounds, width),
        "pair_embedding": (width, n_hidden),
        "pair_known": (N_PAIR_FEATURES, n_hidden),
        "pair_step": (N_STEP_FEATURES, n_hidden),
        "pair_bias": (n_hidden,),
        "pair_out": (n_hidden,),
        "rule_task": (N_TASK_FEATURES,),
        "rule_pair": (N_PAIR_FEATURES,),
        "rule_step": (N_STEP_FEATURES,),
    }


def n_weights(width: int, n_hidden: int) -> int:
    """How many numbers `Weights` of this size hold."""
    return sum(int(np.prod(shape)) for shape in shapes(width, n_hidden).values())


def as_weights(flat: FloatArray, width: int, n_hidden: int) -> Weights:
    """Return views into one vector, so that what is written to it changes the weights."""
    arrays, first = {}, 0
    for name, shape in shapes(width, n_hidden).items():
        last = first + int(np.prod(shape))
        arrays[name] = flat[first:last].reshape(shape)
        first = last
    return Weights(**arrays)


def initial(rng: np.random.Generator, width: int, n_hidden: int) -> FloatArray:
    """Return the vector that training starts from: a HEFT + PEFT + look-ahead rule, and a network whose output is zero.

    The rule takes tasks by upward rank, and devices by end / 2 + (end + rest) / 2 + projected end, each above its least.
    """
    flat = np.zeros(n_weights(width, n_hidden))
    w = as_weights(flat, width, n_hidden)
    n_into_pair = width + N_PAIR_FEATURES + N_STEP_FEATURES
    for array, n_into in (
        (w.task_in, N_TASK_FEATURES),
        (w.message, 3 * width),
        (w.pair_embedding, n_into_pair),
        (w.pair_known, n_into_pair),
        (w.pair_step, n_into_pair),
    ):
        array[:] = rng.normal(0.0, n_into**-0.5, array.shape)
    w.rule_task[0] = 1.0
    w.rule_step[0] = w.rule_step[2] = -0.5
    w.rule_step[3] = -1.0
    return flat


def save(trained: Trained, path: Path) -> None:
    """Write weights as JSON text, six digits each, beside their provenance."""
    arrays = {name: np.vectorize(lambda x: float(f"{x:.6g}"))(array).tolist() for name, array in trained.weights._asdict().items()}
    data = {"format": FORMAT, "provenance": trained.provenance, "heat": trained.heat, "weights": arrays}
    path.write_text(json.dumps(data).replace(', "', ',\n"') + "\n", encoding="utf-8")


def load(path: Path) -> Trained:
    """Read weights; raises ScheduleError, with file and array, for another format or other features than this version computes."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScheduleError(f"{path}: cannot be read as weights of a policy: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ScheduleError(f"{path}: is no file of format {FORMAT!r}; make one with `cosim place train`")
    arrays = {name: np.array(data["weights"].get(name, []), np.float64) for name in Weights._fields}
    wanted = shapes(arrays["task_bias"].size, arrays["pair_bias"].size, len(arrays["message"]))
    for name, shape in wanted.items():
        given = arrays[name].shape
        if given != shape or not arrays[name].size:
            raise ScheduleError(f"{path}: {name} has shape {given}, but this version reads {shape}; train again with `cosim place train`")
    return Trained(Weights(**arrays), float(data["heat"]), data["provenance"])


@cache
def shipped() -> Trained:
    """Return the weights that come with the package, read once."""
    return load(SHIPPED)
