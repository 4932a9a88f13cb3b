"""`cosim warmup`: compile the kernels once, with progress."""

from __future__ import annotations

import click

# One chip section that uses each kernel: (label, kind of section, part).
_STEPS = (
    ("DRAM", "memory", "dram/lpddr5_6400_x32"),
    ("processors", "device", "cpu/cortex_a55_quad_22nm"),
    ("MAC arrays", "device", "spatial_array/edge_npu_64x64_22nm"),
    ("compute in memory", "device", "cim_macro/reram_22nm_256x256"),
)


def compile_kernels(*, show_progress: bool) -> None:
    """Run every kernel on a small network, so that numba compiles and caches it."""
    from rich.console import Console
    from rich.progress import Progress

    from hw_models.catalog import build_part_device, build_part_memory
    from workloads.optable import OpTable
    from workloads.registry import load_workload

    table = OpTable.from_workload(load_workload("lenet5"))
    with Progress(console=Console(stderr=True), transient=True, disable=not show_progress) as progress:
        task = progress.add_task("compiling", total=len(_STEPS))
        for label, section, part in _STEPS:
            progress.update(task, description=f"compiling {label}")
            if section == "memory":
                build_part_memory(part)
            else:
                device = build_part_device(part)
                type(device).costs([device.spec], table)
            progress.advance(task)


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
    """Compile the model kernels and keep them for later runs."""
    from hw_models.kernels._jit import cache_dir

    compile_kernels(show_progress=True)
    compile_functional_kernels()
    click.echo(f"kernels are compiled and kept in {cache_dir()}")
