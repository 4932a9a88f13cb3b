"""Laws of chips: whole descriptions, names and areas of their own, and a network that runs at every fidelity."""

from __future__ import annotations

from cosim.simulation.result import Result
from cosim.simulation.run import FIDELITIES, Simulation
from cosim.testing.devices import check_device
from cosim.testing.judge import TOLERANCE, Judge, close
from cosim.testing.memories import check_memory
from hw_models.catalog import unsourced_numbers
from hw_models.chip import Chip
from workloads.builder import GraphBuilder
from workloads.errors import MappingError, SimulationError, SpecError
from workloads.graph import Workload


def tiny_network() -> Workload:
    """Convolution, depthwise convolution, sum, pooling and a fully connected layer; fits a microcontroller."""
    build = GraphBuilder("tiny")
    x = build.conv2d(build.input("image", 1, 3, 16, 16), 8, 3, 1, "same", norm=True, act="Relu", name="conv")
    y = build.conv2d(x, 8, 3, 1, "same", groups=8, act="Relu", name="depthwise")
    pooled = build.global_pool(build.add(x, y, name="add"), name="pool")
    return build.build(build.linear(pooled.view(1, 8), 10, name="classify"), source="cosim.testing")


def check_chip(chip: Chip) -> None:
    """Check the laws of a chip, of its devices and memories, and of a run of a tiny network at every fidelity.

    Raises SpecError for its description, and what `check_device`, `check_memory` and `check_run` raise.
    """
    judge = Judge(f"chip {chip.name!r}", SpecError)
    for device in chip.devices.values():
        check_device(type(device), device.spec)
    for memory in chip.memories.values():
        check_memory(memory)
    missing = unsourced_numbers(chip.description)
    judge.law("every number is sourced or assumed", not missing, f"not so: {', '.join(missing)}")
    linked, devices = list(chip.links), list(chip.devices)
    judge.law("every device has a link, in the order of devices", linked == devices, f"links of {linked}, devices {devices}")
    _check_names(judge, chip)
    check_run(chip, tiny_network())


def _check_names(judge: Judge, chip: Chip) -> None:
    """Check that no two blocks share a name, under which the ledger and the area list would mix them up."""
    names = [*chip.devices, *chip.memories, *chip.spec.area_m2]
    n_memories = len({id(memory) for memory in (chip.backing, chip.weights, chip.shared) if memory is not None})
    apart = len(set(names)) == len(names) and n_memories == len(chip.memories)
    judge.law("devices, memories and other blocks have names of their own", apart, f"{names}, {n_memories} memories")
    devices = sum(device.area_m2 for device in chip.devices.values())
    memories = sum(memory.area_m2 for memory in chip.memories.values())
    total = devices + memories + sum(chip.spec.area_m2.values())
    judge.law("area parts sum to the area", close(total, chip.area_m2), f"{total} m2 against {chip.area_m2} m2")


def check_run(chip: Chip, network: Workload) -> None:
    """Run a network on a chip at all fidelities and check the totals; raises SimulationError.

    A chip on which some op has no place is right to say so with a MappingError, if that names the network and the chip.
    """
    judge = Judge(f"{network.name} on chip {chip.name!r}", SimulationError)
    results: dict[str, Result] = {}
    for fidelity in FIDELITIES:
        try:
            results[fidelity] = Simulation(chip, network, fidelity=fidelity).run()
        except MappingError as error:
            clear = network.name in str(error) and chip.name in str(error)
            judge.law("a network without a place is refused by its name and the chip's", clear, f"{error}")
            judge.law("all fidelities agree on what can run", not results, f"{list(results)} ran, {fidelity} says: {error}")
            return
    for fidelity, result in results.items():
        _check_result(judge, fidelity, result, results["bound"])


def _check_result(judge: Judge, fidelity: str, result: Result, bound: Result) -> None:
    """Check that the totals of a run are those of its rows, lie in their intervals and do not beat the bound."""
    macs, whole = sum(row.n_macs for row in result.rows), result.workload.n_macs
    judge.law("rows hold the MACs of the network", macs == whole, f"{fidelity}: {macs} of {whole}")
    last_s = max(row.end_s for row in result.rows)
    judge.law("rows lie within the run", last_s <= result.latency_s * (1 + TOLERANCE), f"{fidelity}: {last_s} s of {result.latency_s} s")
    for what, total, least, (low, high) in (
        ("latency", result.latency_s, bound.latency_s, result.latency.interval()),
        ("energy", result.energy_j, bound.energy_j, result.energy.interval()),
    ):
        judge.law("the bound is not beaten", least <= total * (1 + TOLERANCE), f"{fidelity}: {what} is {total}, the bound {least}")
        held = low <= total * (1 + TOLERANCE) and total <= high * (1 + TOLERANCE)
        judge.law("intervals hold their totals", held, f"{fidelity}: {what} is {total}, its interval {low} to {high}")
