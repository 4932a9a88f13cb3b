"""One network on one chip: headline with intervals, energy by component, and the ledger as a file."""

from __future__ import annotations

from pathlib import Path

import cosim

OUT = Path("out")


def main() -> None:
    """Run ResNet-18 on the edge chip with in-memory arrays."""
    chip = cosim.load_chip("edge_cim_soc")
    net = cosim.load_workload("resnet18", batch=1)
    result = cosim.Simulation(chip, net).run()

    low, high = result.latency.interval()
    print(f"latency {result.latency_s * 1e6:.0f} us, 90 % within {low * 1e6:.0f} to {high * 1e6:.0f} us")
    low, high = result.energy.interval()
    print(f"energy  {result.energy_j * 1e6:.0f} uJ, 90 % within {low * 1e6:.0f} to {high * 1e6:.0f} uJ")

    energy_j = result.ledger.groupby(["device", "component"])["energy_j"].sum().sort_values(ascending=False)
    for (device, component), joules in energy_j.head(8).items():
        print(f"  {device + '.' + component:<24} {joules * 1e6:8.1f} uJ  {100 * joules / result.energy_j:5.1f} %")

    OUT.mkdir(exist_ok=True)
    result.ledger.to_csv(OUT / "first_run.csv", index=False)
    print(f"written: {OUT / 'first_run.csv'}")


if __name__ == "__main__":
    main()
