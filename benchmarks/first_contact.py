"""CPU time of what a user meets first, against the budgets that the project sets itself; medians, children included.

Run: python benchmarks/first_contact.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx

RESNET50 = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
COSIM = [sys.executable, "-m", "cosim"]


def cpu_and_wall_s(args: list[str], cache: str) -> tuple[float, float]:
    """CPU seconds (user + system) and wall seconds of one command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*COSIM, *args], check=True, capture_output=True, env={**os.environ, "COSIM_CACHE_DIR": cache})
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def report(name: str, samples: list[tuple[float, float]], budget: str) -> None:
    """Print one line of medians."""
    cpu, wall = (statistics.median(sample[i] for sample in samples) for i in (0, 1))
    sys.stdout.write(f"{name:<42} {cpu:6.2f} s CPU  {wall:6.2f} s wall   budget {budget}\n")


def main() -> None:
    """Measure each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        cold = [cpu_and_wall_s(["demo"], f"{folder}/cold{i}") for i in range(min(rounds, 3))]
        warm = f"{folder}/cold0"
        help_ = [cpu_and_wall_s(["--help"], warm) for _ in range(rounds)]
        demo = [cpu_and_wall_s(["demo"], warm) for _ in range(rounds)]
        run = [cpu_and_wall_s(["run", str(RESNET50), "--chip", "edge_npu_soc"], warm) for _ in range(rounds)]
        compare = [cpu_and_wall_s(["compare", "resnet50", "--chips", "edge_npu_soc,edge_cim_soc"], warm) for _ in range(rounds)]
    report("cosim --help", help_, "0.15 s CPU")
    report("cosim demo, kernels not yet compiled", cold, "15 s wall")
    report("cosim demo", demo, "5 s wall")
    report("cosim run ResNet-50 (ONNX), report included", run, "3 s CPU")
    report("cosim compare, two chips", compare, "none set")


if __name__ == "__main__":
    main()
