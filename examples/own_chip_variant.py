"""A variant of a shipped chip as a file: only what differs from its base, and where the new numbers come from."""

from __future__ import annotations

from pathlib import Path

import cosim
from cosim.simulation.compare import Comparison

VARIANT = """\
base: edge_npu_soc
title: edge_npu_soc with a 128 x 128 array at half the clock
devices:
  npu: {rows: 128, cols: 128, clock: 400 MHz}
sources:
  devices.npu.rows: "design choice: twice the base"
  devices.npu.cols: "design choice: twice the base"
  devices.npu.clock: "design choice: half the base"
ranges:
  devices.npu.clock: 1.15
"""


def main() -> None:
    """Write the variant, load it, and compare it with its base."""
    path = Path("out") / "wide_array.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(VARIANT, encoding="utf-8")

    chips = [cosim.load_chip("edge_npu_soc"), cosim.load_chip(path)]
    net = cosim.load_workload("resnet18")
    comparison = Comparison(tuple(cosim.Simulation(chip, net).run() for chip in chips))
    for result in comparison.results:
        area_mm2 = result.chip.area_m2 * 1e6
        print(f"{result.chip.name:<14} {result.latency_s * 1e6:7.1f} us  {result.energy_j * 1e6:7.1f} uJ  {area_mm2:6.2f} mm2")
    for metric, row in comparison.ratios().items():
        ratio = row["wide_array"]
        print(f"  {metric:<10} x {ratio.value:.2f}, 90 % within {ratio.low:.2f} to {ratio.high:.2f}")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
