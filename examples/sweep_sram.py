"""A plain loop over shared SRAM sizes: what a larger one saves in DRAM traffic, and what it costs in area."""

from __future__ import annotations

import csv
from pathlib import Path

import cosim

OUT = Path("out")
SIZES_MIB = (2, 4, 8, 16, 32, 64)
VARIANT = """\
base: edge_npu_soc
memory:
  shared: {{capacity: {size} MiB, n_banks: {size}, area: {area} mm2}}
sources:
  memory.shared.capacity: "swept"
  memory.shared.n_banks: "banks of 1 MiB"
assumed:
  memory.shared.area: "1.2 mm2 a MiB, as its base"
"""


def main() -> None:
    """Print and write one row a size."""
    OUT.mkdir(exist_ok=True)
    net = cosim.load_workload("resnet50")
    rows = []
    for size in SIZES_MIB:
        path = OUT / f"sram_{size}_mib.yaml"
        path.write_text(VARIANT.format(size=size, area=round(1.2 * size, 1)), encoding="utf-8")
        result = cosim.Simulation(cosim.load_chip(path), net).run()
        rows.append(
            {
                "sram_mib": size,
                "area_mm2": result.chip.area_m2 * 1e6,
                "dram_mb": result.memory_bytes["dram"] / 1e6,
                "resident_weight_fraction": result.resident_weight_fraction,
                "latency_ms": result.latency_s * 1e3,
                "energy_mj": result.energy_j * 1e3,
            }
        )
    print("  ".join(f"{name:>12}" for name in ("SRAM, MiB", "area, mm2", "DRAM, MB", "resident", "latency, ms", "energy, mJ")))
    for row in rows:
        print("  ".join(f"{value:12.4g}" for value in row.values()))
    with (OUT / "sweep_sram.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"written: {OUT / 'sweep_sram.csv'}")


if __name__ == "__main__":
    main()
