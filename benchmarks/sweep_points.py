"""Points of a sweep a CPU second, commits included, and where the time of a point goes: keys, variants, costs, phases of the kernel.

Every round makes a new evaluator (its chip is read, its variants are built and costed anew) and a new store.
Run: python benchmarks/sweep_points.py [--points 20000] [--network resnet18] [--in-one-device]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from phases import Phases

from cosim.provenance import model_version
from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.rows import OK
from cosim.study.space import Axis, Codes, Space
from cosim.study.spec import Study, StudyWorkload
from cosim.study.store import Origin, Store

CHIP = "edge_cim_soc"
FIELDS = {
    "devices.cim.adc.n_bits": (5, 6, 7, 8),
    "devices.cim.n_macros": (400, 800, 1200, 1640, 2000),
    "devices.cim.n_adcs": (4, 8, 16),
    "memory.backing.part": ("dram/lpddr5_6400_x32", "dram/ddr4_3200_x64"),
    "memory.shared.capacity": ("1 MiB", "2 MiB", "3 MiB", "4 MiB"),
    "devices.cpu.n_cores": (1, 2, 4),
    "devices.dsp.clock": ("600 MHz", "800 MHz"),
    "links.default.bandwidth": ("12.8 GB/s", "25.6 GB/s", "51.2 GB/s"),
    "weight_bits": (4, 6, 8),
}
# Hardest on the variants: all fields in the one device that is dearest to build, so that almost every point has one of its own.
IN_ONE_DEVICE = {
    "devices.cim.adc.n_bits": (4, 5, 6, 7, 8, 9, 10),
    "devices.cim.n_macros": (400, 800, 1000, 1200, 1400, 1640, 1800, 2000),
    "devices.cim.n_adcs": (1, 2, 4, 8, 16, 32),
    "devices.cim.rows": (64, 128, 256, 512),
    "devices.cim.rows_active": (32, 64),
    "devices.cim.cols": (64, 128, 256, 512),
    "devices.cim.input_buffer": ("64 KiB", "128 KiB", "256 KiB"),
}
RUNS = (("event", "heft"), ("event", "replay:heft"), ("mapped", "heft"), ("bound", "heft"))


def study_of(network: str, fields: dict[str, tuple[Any, ...]], policy: str) -> Study:
    """Return a study of the fields at one policy."""
    space = Space(tuple(Axis(path, "categorical", levels, (path,)) for path, levels in fields.items()))
    return Study("sweep_points", "", space, (CHIP,), (StudyWorkload(network, network),), (), policy=policy)


@contextmanager
def timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Add CPU seconds to an entry."""
    start = time.process_time()
    yield
    into[name] = into.get(name, 0.0) + time.process_time() - start


def wrapped(into: dict[str, float], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that is timed."""

    def timed_call(*args: Any, **kwargs: Any) -> Any:
        with timed(into, name):
            return call(*args, **kwargs)

    return timed_call


def one_round(study: Study, fidelity: str, codes: Codes, folder: Path, spent: dict[str, float], *, split: bool) -> int:
    """Evaluate and store all points; adds CPU seconds by part, and returns how many points have a result."""
    with timed(spent, "total"):
        with timed(spent, "reading the chip"):
            evaluator = Evaluator(study, fidelity)
        if split:
            watch(evaluator, spent)
        rows = evaluator.evaluate(codes)
        with timed(spent, "commits"), Store(folder / f"{time.perf_counter_ns()}.sqlite", COLUMNS, write=True) as store:
            store.write(rows, Origin(study.name, study.text, fidelity, model_version(), study.seed), [one.name for one in study.workloads])
    return int((rows.status == OK).sum())


def watch(evaluator: Evaluator, spent: dict[str, float]) -> None:
    """Time the parts of an evaluator."""
    runner = evaluator.runner
    evaluator.keys = wrapped(spent, "keys", evaluator.keys)  # type: ignore[method-assign]
    evaluator.designs = wrapped(spent, "designs", evaluator.designs)  # type: ignore[method-assign]
    runner._cost = wrapped(spent, "costs", runner._cost)  # type: ignore[method-assign]
    runner._play = _eager(spent, "kernel", runner._play)  # type: ignore[method-assign]
    for part in evaluator.chips[0].parts:
        part._row = wrapped(spent, "variants", part._row)  # type: ignore[method-assign]


def _eager(into: dict[str, float], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """As `wrapped`, for a generator."""
    return wrapped(into, name, lambda *args: list(call(*args)))


def main() -> None:
    """Time five rounds of each kind of run, then the phases of the kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-one-device", action="store_true")
    given = parser.parse_args()
    fields = IN_ONE_DEVICE if given.in_one_device else FIELDS
    with tempfile.TemporaryDirectory() as folder:
        for fidelity, policy in RUNS:
            study = study_of(given.network, fields, policy)
            codes = study.space.at(np.random.default_rng(0).choice(study.space.size, given.points, replace=False))
            Evaluator(study, fidelity).evaluate(codes[:8])  # compiled, and what is read once is read
            times = []
            for _ in range(given.rounds):
                spent: dict[str, float] = {}
                n_done = one_round(study, fidelity, codes, Path(folder), spent, split=False)
                times.append(spent["total"])
            seconds = statistics.median(times)
            sys.stdout.write(f"{fidelity} {policy}: {given.points / seconds:,.0f} points/s, {n_done} of {given.points} have a result\n")
            spent = {}
            one_round(study, fidelity, codes, Path(folder), spent, split=True)
            total = spent.pop("total")
            spent["rest"] = total - sum(spent.values())
            split = ", ".join(f"{name} {value / given.points * 1e6:.1f}" for name, value in spent.items())
            sys.stdout.write(f"    us a point, timed part by part: {total / given.points * 1e6:.1f} = {split}\n")
    phases = Phases(study_of(given.network, fields, "heft"))
    for name, value in phases.us().items():
        sys.stdout.write(f"    kernel, {name}: {value:.2f} us\n")
    sys.stdout.write(f"    event with intervals over event without any spread: {phases.interval_ratio():.2f}\n")


if __name__ == "__main__":
    main()
