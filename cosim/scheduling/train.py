"""Training of the learned policy: imitation of annealed schedules first, then policy gradients, on random graphs and chips."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.scheduling.base import make_policy
from cosim.scheduling.generate import GENERATOR_VERSION, random_instances
from cosim.scheduling.kernels.policy_features import known
from cosim.scheduling.kernels.policy_grad import imitate, reinforce
from cosim.scheduling.policy_weights import Trained, as_weights, initial
from cosim.scheduling.train_judge import Judgement, Panel
from workloads.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.engine.problem import FloatArray
    from cosim.scheduling.instance import Instance

__all__ = ["Recipe", "Training", "train"]

# Seeds of training instances start here; those of the panel that judges are below.
_FIRST_SEED = 10_000_000


@dataclass(frozen=True)
class Recipe:
    """How the policy is trained.

    width, n_hidden   of embeddings and of a pair's hidden layer
    heat              of the softmax that draws pairs, here and in use
    n_imitation       steps of imitation before those of the policy gradient
    teacher           policy that is imitated: which device it chooses for the task that the pupil takes next
    entropy           weight of the entropy of every choice
    n_samples         roll-outs of an instance, each other's baseline
    n_instances       in one step
    learning_rate     of Adam, rising over 20 steps and falling linearly to a fiftieth
    memory            steps over which the weights are averaged (exponentially), which is what is judged and kept
    n_tasks, n_devices  (least, most) of the instances
    n_curve           points of the learning curve
    """

    width: int = 8
    n_hidden: int = 16
    heat: float = 0.15
    n_imitation: int = 20
    teacher: str = "anneal:10000"
    entropy: float = 0.01
    n_samples: int = 8
    n_instances: int = 16
    learning_rate: float = 0.006
    memory: float = 200.0
    n_tasks: tuple[int, int] = (8, 120)
    n_devices: tuple[int, int] = (2, 6)
    n_curve: int = 20


@dataclass(frozen=True)
class Training:
    """Trained weights and the learning curve, first and last step included."""

    trained: Trained
    curve: tuple[Judgement, ...]


class Adam:
    """Adam with gradients clipped to length 1 (Kingma and Ba, ICLR 2015; b1 0.9, b2 0.99)."""

    def __init__(self, size: int) -> None:
        self._mean, self._square, self._step = np.zeros(size), np.zeros(size), 0

    def descend(self, flat: FloatArray, gradient: FloatArray, rate: float) -> None:
        """Move `flat` against the gradient, in place."""
        gradient = gradient / max(1.0, float(np.sqrt((gradient**2).sum())))
        self._step += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.01 * (gradient**2 - self._square)
        mean, square = self._mean / (1 - 0.9**self._step), self._square / (1 - 0.99**self._step)
        flat -= rate * mean / (np.sqrt(square) + 1e-8)


class _Pupil:
    """Weights in the making: everything that one step of training touches. `weights` are their running mean."""

    def __init__(self, recipe: Recipe, seed: int, start: Trained | None = None) -> None:
        self.recipe, self.rng = recipe, np.random.default_rng(seed)
        self.first_seed = _FIRST_SEED * (seed + 1)
        self._flat = initial(self.rng, recipe.width, recipe.n_hidden)
        if start is not None:
            self._flat = np.concatenate([array.ravel() for array in start.weights])
        self._weights = as_weights(self._flat, recipe.width, recipe.n_hidden)
        self._mean = self._flat.copy()
        self.weights = as_weights(self._mean, recipe.width, recipe.n_hidden)
        self._slope = np.zeros(self._flat.size)
        self._slopes = as_weights(self._slope, recipe.width, recipe.n_hidden)
        self._adam = Adam(self._flat.size)
        self._teacher = make_policy(recipe.teacher)

    def instances(self, step: int) -> list[Instance]:
        """Return the instances of a step, new ones every time."""
        recipe = self.recipe
        return [i for i in random_instances(self.first_seed + step, recipe.n_instances, recipe.n_tasks, recipe.n_devices) if i.n_tasks > 1]

    def step(self, step: int, n_steps: int) -> None:
        """Learn from every instance of a step, and descend."""
        self._slope[:] = 0.0
        instances = self.instances(step)
        learn = self._imitate if step < self.recipe.n_imitation else self._explore
        for instance in instances:
            learn(instance)
        rate = self.recipe.learning_rate * min(1.0, (step + 1) / 20) * (1.0 - 0.98 * step / n_steps)
        self._adam.descend(self._flat, self._slope / max(1, len(instances)), rate)
        self._mean += (self._flat - self._mean) / min(self.recipe.memory, 1.0 + step)

    def _imitate(self, instance: Instance) -> None:
        device = self._teacher.plan(instance, self.rng).assignment
        imitate(instance.arrays, known(instance.arrays), self._weights, self._slopes, self.recipe.heat, device)

    def _explore(self, instance: Instance) -> None:
        draws = self.rng.random((self.recipe.n_samples, instance.n_tasks))
        a, recipe = instance.arrays, self.recipe
        reinforce(a, known(a), self._weights, self._slopes, recipe.heat, recipe.entropy, draws, np.zeros(0))


def train(
    minutes: float = 8.0,
    seed: int = 0,
    progress: Callable[[float, Judgement], None] | None = None,
    n_steps: int | None = None,
    recipe: Recipe | None = None,
    start: Trained | None = None,
) -> Training:
    """Train a policy for so many CPU minutes of one core, or for exactly `n_steps`, which one seed always gives the same weights.

    `progress` is called with the share done and the judgement of the weights so far. The number of steps that the minutes
    came to stands in the provenance. `start` are weights of the recipe's size to go on from, such as to train at less
    heat; they are taken as they come from here or from their file, which rounds to six digits. Raises ScheduleError for
    no steps.
    """
    recipe = recipe or Recipe()
    if n_steps is not None and n_steps < 1:
        raise ScheduleError(f"{n_steps} steps of training: choose 1 or more")
    pupil, panel = _Pupil(recipe, seed, start), Panel()
    began_s = time.process_time()
    if n_steps is None:
        n_steps = max(1, int(60.0 * minutes / _step_s(recipe, seed)))
    curve = []
    for step in range(n_steps + 1):
        if step * recipe.n_curve // n_steps != (step - 1) * recipe.n_curve // n_steps:
            curve.append(panel.judge(step, pupil.weights, recipe.heat))
            if progress is not None:
                progress(step / n_steps, curve[-1])
        if step < n_steps:
            pupil.step(step, n_steps)
    provenance: dict[str, Any] = {
        "seed": seed,
        "n_steps": n_steps,
        "cpu_minutes": round((time.process_time() - began_s) / 60.0, 2),
        "generator_version": GENERATOR_VERSION,
        "recipe": asdict(recipe),
        "curve": [asdict(point) for point in curve],
    }
    if start is not None:
        provenance |= {"start": start.provenance, "cpu_minutes": round(provenance["cpu_minutes"] + start.provenance["cpu_minutes"], 2)}
    return Training(Trained(pupil.weights, recipe.heat, provenance), tuple(curve))


def _step_s(recipe: Recipe, seed: int, n_steps: int = 20) -> float:
    """CPU seconds of a step of training, measured on weights that are thrown away."""
    pupil = _Pupil(recipe, seed)
    pupil.step(recipe.n_imitation, 10**6)  # compiles
    began_s = time.process_time()
    for step in range(n_steps):
        pupil.step(recipe.n_imitation + 1 + step, 10**6)
    return (time.process_time() - began_s) / n_steps
