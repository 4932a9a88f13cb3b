"""Several networks on a digital chip and its in-memory twin: which ratios do the numbers decide?"""

from __future__ import annotations

import cosim
from cosim.simulation.compare import Comparison

CHIPS = ("edge_npu_soc", "edge_cim_soc")
NETWORKS = ("vgg8", "resnet18", "mobilenet_v2", "bert_base")


def main() -> None:
    """Print energy and latency of the second chip over those of the first, with 90 % intervals."""
    chips = [cosim.load_chip(name) for name in CHIPS]
    print(f"{CHIPS[1]} over {CHIPS[0]}; * where the 90 % interval excludes 1")
    for name in NETWORKS:
        net = cosim.load_workload(name)
        comparison = Comparison(tuple(cosim.Simulation(chip, net).run() for chip in chips))
        cells = []
        for metric in ("energy_j", "latency_s"):
            ratio = comparison.ratios()[metric][CHIPS[1]]
            mark = "*" if ratio.excludes_one else " "
            cells.append(f"{metric} {ratio.value:5.2f} ({ratio.low:5.2f} to {ratio.high:5.2f}){mark}")
        print(f"  {name:<14} {'   '.join(cells)}")
    print("accuracy is not modeled: analog savings are an upper bound at equal bits")


if __name__ == "__main__":
    main()
