"""`cosim warmup`: compile the kernels once, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import click

# One chip section that uses each kernel of the models: (label, kind of section, part).
_MODELS = (
    ("DRAM", "memory", "dram/lpddr5_6400_x32"),
    ("processors", "device", "cpu/cortex_a55_quad_22nm"),
    ("MAC arrays", "device", "spatial_array/edge_npu_64x64_22nm"),
    ("compute in memory", "device", "cim_macro/reram_22nm_256x256"),
)
_CHIP, _NETWORK = "edge_npu_soc", "lenet5"
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
    found = [Step(label, "hw_models.kernels", partial(_use_part, section, part)) for label, section, part in _MODELS]
    return [*found, *(Step(f"policy {name}", "cosim.scheduling.kernels", partial(_use_policy, name)) for name in policies)]


def cold_steps(policies: Iterable[str]) -> list[Step]:
    """Return the steps that this machine has not done for the sources as they are now."""
    return [step for step in steps(policies) if not step.mark.exists()]


def built_in_policies() -> list[str]:
    """Names of the policies that come with the tool; those of other packages compile what they like when they like."""
    from cosim.scheduling.base import policy_classes

    return [name for name, cls in policy_classes().items() if cls.__module__.startswith("cosim.")]


def run_steps(todo: Sequence[Step], *, show_progress: bool) -> None:
    """Run steps one after the other, with a bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not show_progress) as progress:
        task = progress.add_task("compiling", total=len(todo))
        for step in todo:
            progress.update(task, description=f"compiling {step.label}")
            step.run()
            progress.advance(task)


def _use_part(section: str, part: str) -> None:
    from hw_models.catalog import build_part_device, build_part_memory
    from workloads.optable import OpTable
    from workloads.registry import load_workload

    if section == "memory":
        build_part_memory(part)
        return
    device = build_part_device(part)
    type(device).costs([device.spec], OpTable.from_workload(load_workload(_NETWORK)))


def _use_policy(name: str) -> None:
    """Place and play a small network; a policy that needs a package that is not there has nothing to compile."""
    from cosim.scheduling.instance import Goal
    from cosim.simulation.run import Simulation
    from hw_models.catalog import load_chip
    from workloads.errors import CosimError
    from workloads.registry import load_workload

    with suppress(CosimError):
        Simulation(load_chip(_CHIP), load_workload(_NETWORK), name, goal=Goal(budget_s=_BUDGET_S)).run(tight=True)


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


@click.command("warmup")
def command() -> None:
    """Compile the kernels of models, engine and policies, and keep them for later runs."""
    from hw_models.kernels._jit import cache_root

    functional = Step("functional arrays", "hw_models.kernels", compile_functional_kernels)
    run_steps([*steps(built_in_policies()), functional], show_progress=True)
    click.echo(f"kernels are compiled and kept in {cache_root() / 'kernels'}")
