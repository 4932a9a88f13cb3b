"""`cosim warmup`: compile the kernels once, with progress."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cosim.scheduling.instance import Instance

# One chip section that uses each kernel of the models: (label, kind of section, part).
_MODELS = (
    ("DRAM", "memory", "dram/lpddr5_6400_x32"),
    ("processors", "device", "cpu/cortex_a55_quad_22nm"),
    ("MAC arrays", "device", "spatial_array/edge_npu_64x64_22nm"),
    ("compute in memory", "device", "cim_macro/reram_22nm_256x256"),
)
_NETWORK = "lenet5"
_MODEL_KERNELS, _POLICY, _POINTS = "hw_models.kernels", "policy ", "design points"
_BUDGET_S = 0.05  # of a search that only has to be compiled


@dataclass(frozen=True, slots=True)
class Step:
    """Something that makes numba compile kernels of a package and cache them; a mark beside the cache says that it has been done."""

    label: str
    package: str
    work: Callable[[], None]

    @property
    def mark(self) -> Path:
        """Empty file in the folder of what was compiled, whose name changes with the sources."""
        from hw_models.kernels._jit import cache_dir

        return cache_dir(Path(str(import_module(self.package).__file__)).parent) / f"{self.label}.done"

    def run(self) -> None:
        """Compile and leave the mark; where the cache cannot be written, the next run compiles again."""
        self.work()
        with suppress(OSError):
            self.mark.parent.mkdir(parents=True, exist_ok=True)
            self.mark.touch()


def steps(policies: Iterable[str]) -> list[Step]:
    """Return what compiles all kernels that runs with some policies use."""
    found = [Step(label, _MODEL_KERNELS, partial(_use_part, section, part)) for label, section, part in _MODELS]
    found.append(Step("engine", "cosim.engine.kernels", _use_engine))
    return [*found, *(Step(f"{_POLICY}{name}", "cosim.scheduling.kernels", partial(_use_policy, name)) for name in policies)]


def cold_steps(policies: Iterable[str]) -> list[Step]:
    """Return the steps that this machine has not done for the sources as they are now."""
    return [step for step in steps(policies) if not step.mark.exists()]


def built_in_policies() -> list[str]:
    """Names of the policies that come with the tool; those of other packages compile what they like when they like."""
    from cosim.scheduling.base import policy_classes

    return [name for name, cls in policy_classes().items() if cls.__module__.startswith("cosim.")]


def run_steps(todo: Sequence[Step], *, show_progress: bool) -> None:
    """Run steps with a bar on stderr, those of models here and the others in a process beside it."""
    from rich.console import Console
    from rich.progress import Progress

    models = [step for step in todo if step.package == _MODEL_KERNELS]
    others = [step for step in todo if step.package != _MODEL_KERNELS]
    beside = _start_beside(others) if models and others else None
    with Progress(console=Console(stderr=True), transient=True, disable=not show_progress) as progress:
        task = progress.add_task("compiling", total=len(todo))
        for step in models:
            progress.update(task, description=f"compiling {step.label}")
            step.run()
            progress.advance(task)
        if beside is not None:
            progress.update(task, description=f"compiling {', '.join(step.label for step in others)}")
            beside.wait()
        for step in others:  # whatever the process beside has not done, or failed at, is done here, where an error can be seen
            progress.update(task, description=f"compiling {step.label}")
            if not step.mark.exists():
                step.run()
            progress.advance(task)


def _start_beside(others: Sequence[Step]) -> subprocess.Popen[bytes] | None:
    """Start a second process that compiles; None on one core, or where none can be started."""
    if (os.cpu_count() or 1) < 2:
        return None
    names = [step.label.removeprefix(_POLICY) for step in others]
    try:
        return subprocess.Popen([sys.executable, "-m", "cosim.cli.warmup", *names], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return None


def _compile_beside(names: Sequence[str]) -> None:
    """What the second process does: the steps of engine, policies and studies that it was given."""
    for step in [*steps(name for name in names if name not in {"engine", _POINTS}), study_step()]:
        if step.label.removeprefix(_POLICY) in names and step.package != _MODEL_KERNELS:
            step.run()


def _use_part(section: str, part: str) -> None:
    from hw_models.catalog import build_part_device, build_part_memory
    from workloads.optable import OpTable
    from workloads.registry import load_workload

    if section == "memory":
        build_part_memory(part)
        return
    device = build_part_device(part)
    type(device).costs([device.spec], OpTable.from_workload(load_workload(_NETWORK)))


def _small_instance() -> Instance:
    """Return a few tasks on a few devices that share one memory, so that no model has to be compiled for them."""
    from dataclasses import replace

    import numpy as np

    from cosim.scheduling.fixed import instance_tables
    from cosim.scheduling.generate import random_instances
    from cosim.scheduling.instance import Goal

    instance = random_instances(0, 1, (8, 8), (3, 3))[0]
    tables = replace(instance_tables(instance, "fair", np.ones(instance.n_tasks), 1.0), edges_are_input=True)
    joules, loss = np.where(instance.supported, 1.0, 0.0), np.zeros(instance.cost_s.shape)
    return replace(instance, tables=tables, task_energy_j=joules, task_loss=loss, goal=Goal(budget_s=_BUDGET_S))


def _use_engine() -> None:
    """Play a small placement, and bound it."""
    import numpy as np

    from cosim.engine.compiled import play
    from cosim.scheduling.bounds import chain_bound_s

    instance = _small_instance()
    if instance.tables is not None:
        assignment = instance.cost_s.argmin(axis=1).astype(np.int64)
        play(instance.tables.placed(assignment, np.zeros(instance.n_tasks)))
        instance.tables.placed_reads(assignment)
    chain_bound_s(instance)


def _use_policy(name: str) -> None:
    """Place a small network; a policy that needs a package that is not there has nothing to compile.

    A search that counts moves goes through all its phases; one that counts seconds would have spent them on compiling the first.
    """
    import numpy as np

    from cosim.scheduling.base import make_policy
    from workloads.errors import CosimError

    for text in (f"{name}:64", name):
        with suppress(CosimError):
            make_policy(text).plan(_small_instance(), np.random.default_rng(0))


def compile_functional_kernels() -> None:
    """Multiply once with cells of whole levels and once with cells that err; only training and accuracy need these kernels."""
    import numpy as np

    from hw_models.catalog import build_part_device
    from hw_models.cim.functional import ProgrammedArray
    from hw_models.cim.spec import CimMacroSpec

    spec = build_part_device("cim_macro/reram_22nm_256x256").spec
    if isinstance(spec, CimMacroSpec):
        for perturb in (None, lambda conductances, _rng: conductances):
            array = ProgrammedArray.program(spec, np.ones((4, 4)), 8, np.random.default_rng(0), perturb=perturb)
            array.multiply(np.ones((1, 4)), 8, lossless=True)


def study_step() -> Step:
    """Return what compiles the kernels that evaluate and search points of studies; only studies need it."""
    return Step(_POINTS, "cosim.study.kernels", _use_study)


def _use_study() -> None:
    _use_points()
    _use_search()


def _use_points() -> None:
    """Evaluate two points of a small study: one kernel serves all policies and fidelities."""
    from cosim.study.evaluate import Evaluator
    from cosim.study.space import Axis, Space
    from cosim.study.spec import Study, StudyWorkload

    space = Space((Axis("bits", "categorical", (4, 8), ("weight_bits",)),))
    study = Study("warmup", "", space, ("edge_cim_soc",), (StudyWorkload(_NETWORK, _NETWORK),), ())
    Evaluator(study).evaluate(space.listed)


def _use_search() -> None:
    """Let the default sampler make its first suggestion by a model."""
    from cosim.study.samplers.base import N_STARTUP, make_sampler

    sampler = make_sampler("gp", {"a": range(8), "b": range(8)}, ["sum"])
    for _ in range(N_STARTUP):
        point = sampler.ask(1)[0]
        sampler.tell(point, float(point["a"] + point["b"]))
    sampler.ask(1)


@click.command("warmup")
def command() -> None:
    """Compile the kernels of models, engine, policies and studies, and keep them for later runs."""
    from hw_models.kernels._jit import cache_root

    functional = Step("functional arrays", _MODEL_KERNELS, compile_functional_kernels)
    run_steps([*steps(built_in_policies()), functional, study_step()], show_progress=True)
    click.echo(f"kernels are compiled and kept in {cache_root() / 'kernels'}")


if __name__ == "__main__":
    _compile_beside(sys.argv[1:])
