"""Two or more chips on one workload: ratios with intervals, and where the energy difference comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosim.ledger import GROUPS, group_of
from cosim.simulation.result import Result
from cosim.simulation.uncertainty import ratio_interval
from workloads.errors import SimulationError

METRICS = ("latency_s", "energy_j", "edp", "area_mm2")

# Until a run models what analog noise does to the network, no comparison may be read as one of equal quality.
ACCURACY_NOTE = (
    "accuracy is not modeled, only the signal over error of analog outputs: "
    "compare at equal bits, and read analog savings as an upper bound"
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric of one chip over that of the first, its 90 % interval, and whether that interval excludes 1.

    Areas carry no interval yet: low and high are the value itself.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_one(self) -> bool:
        """Whether the difference is larger than what the numbers rest on."""
        return self.low > 1 or self.high < 1


@dataclass(frozen=True)
class Comparison:
    """Results of one workload at the same bits on several chips; the first is the baseline."""

    results: tuple[Result, ...]

    def __post_init__(self) -> None:
        """Refuse fewer than two results, repeated chips, and results of different questions."""
        first = self.results[0] if self.results else None
        if first is None or len(self.results) < 2:
            raise SimulationError("a comparison needs two chips or more")
        names = [result.chip.name for result in self.results]
        if len(set(names)) < len(names):
            raise SimulationError(f"a comparison needs different chips; got {', '.join(names)}: give each file a `name:` of its own")
        question = [(r.workload.name, r.weight_bits, r.activation_bits, dict(r.workload.dims), r.fidelity) for r in self.results]
        if any(other != question[0] for other in question):
            raise SimulationError("a comparison needs one workload at the same bits, dimensions and fidelity on all chips")

    def ratios(self) -> dict[str, dict[str, Ratio]]:
        """Return metric → chip → ratio to the first chip."""
        first = self.results[0]
        table: dict[str, dict[str, Ratio]] = {metric: {} for metric in METRICS}
        for result in self.results:
            for metric, (new, old) in {
                "latency_s": (result.latency, first.latency),
                "energy_j": (result.energy, first.energy),
                "edp": (result.edp, first.edp),
            }.items():
                low, high = ratio_interval(new, old)
                table[metric][result.chip.name] = Ratio(new.total / old.total if old.total else float("inf"), low, high)
            area = result.chip.area_m2 / first.chip.area_m2 if first.chip.area_m2 else float("inf")
            table["area_mm2"][result.chip.name] = Ratio(area, area, area)
        return table

    def waterfall(self) -> list[dict[str, Any]]:
        """Return the energy difference of each further chip by group; sums to its energy minus the first's."""
        base = energy_by_group(self.results[0])
        steps = []
        for result in self.results[1:]:
            own = energy_by_group(result)
            steps += [{"chip": result.chip.name, "component": group, "delta_j": own[group] - base[group]} for group in GROUPS]
        return steps

    def summary(self) -> dict[str, Any]:
        """Return the contract of `cosim compare --json`."""
        ratios = self.ratios()
        return {
            "rows": [result.summary() for result in self.results],
            "ratios": {metric: {chip: ratio.value for chip, ratio in row.items()} for metric, row in ratios.items()},
            "ratio_intervals": {
                metric: {chip: {"low": r.low, "high": r.high, "excludes_one": r.excludes_one} for chip, r in row.items()}
                for metric, row in ratios.items()
                if metric != "area_mm2"
            },
            "waterfall": self.waterfall(),
            "accuracy": ACCURACY_NOTE,
        }


def energy_by_group(result: Result) -> dict[str, float]:
    """Joules of a result by the bars of a comparison."""
    stores = off_chip(result)
    groups = dict.fromkeys(GROUPS, 0.0)
    for row in result.rows:
        groups[group_of(row, stores)] += row.energy_j
    return groups


def off_chip(result: Result) -> dict[str, bool]:
    """Memory name → whether it is a backing or weight store and not the shared memory."""
    return {memory.name: memory is not result.chip.shared for memory in result.chip.memories.values()}
