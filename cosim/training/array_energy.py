"""Joules of the products of a workload on the arrays of a chip, weights resident, as the simulation charges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cosim.simulation.costs import OpCosts, cost_ops
from cosim.simulation.joules import energy_of_ops_j
from cosim.simulation.residency import plan_residency
from cosim.simulation.traffic import READ, WRITE, Traffic, plan_traffic
from hw_models.chip import Chip
from workloads.errors import SimulationError
from workloads.graph import OpKind, Workload

KIND = "cim_macro"


@dataclass(frozen=True)
class ProductEnergy:
    """Energy of one product: inside the arrays by component, and inputs and outputs on their way from and to memories, links included."""

    name: str
    m: int
    k: int
    n: int
    weight_bits: int
    activation_bits: int
    n_arrays: int
    components_j: Mapping[str, float]
    input_j: float
    output_j: float

    @property
    def traffic_j(self) -> float:
        """Both operands on their way."""
        return self.input_j + self.output_j

    @property
    def energy_j(self) -> float:
        """All of it."""
        return sum(self.components_j.values()) + self.traffic_j


@dataclass(frozen=True)
class WorkloadEnergy:
    """Dynamic energy of all products, and of the pooling and element-wise ops beside them on the same device."""

    products: tuple[ProductEnergy, ...]
    other_j: float

    @property
    def products_j(self) -> float:
        """Joules of all products."""
        return sum(product.energy_j for product in self.products)

    @property
    def total_j(self) -> float:
        """Joules of all ops, standby left out."""
        return self.products_j + self.other_j


def cim_index(chip: Chip) -> int:
    """Index of the device of a chip that keeps weights in arrays; SimulationError where there is none."""
    found = [i for i, device in enumerate(chip.devices.values()) if device.kind == KIND]
    if not found:
        names = ", ".join(f"{name} ({device.kind})" for name, device in chip.devices.items())
        raise SimulationError(f"{chip.name}: has no device of kind {KIND}, but {names}; choose a chip with compute-in-memory arrays")
    return found[0]


def energy_on_arrays(chip: Chip, workload: Workload) -> WorkloadEnergy:
    """Dynamic joules with every product on the arrays and its weights there already: components of the macro, then operand bytes times
    the joules a byte of the memory that holds them and of the link. Ops that the arrays' lanes do not take run where they cost least.

    Raises SimulationError where the arrays do not take a product, or cannot hold all weights at once.
    """
    device, costs = cim_index(chip), cost_ops(chip, workload)
    _check(chip, workload, costs, device)
    plan = plan_residency(chip, workload, costs)
    held = tuple(device if n > 0 else -1 for n in costs.n_arrays[:, device])
    traffic = plan_traffic(chip, workload, costs, replace(plan, array_device=held, copies=(1,) * len(held)))
    spent_j = energy_of_ops_j(chip, costs, traffic, traffic.n_bytes)
    products: list[ProductEnergy] = []
    other_j = 0.0
    for i, op in enumerate(workload.ops):
        if op.kind is not OpKind.MATMUL or op.gemm is None:
            other_j += float(spent_j[i, device] if np.isfinite(spent_j[i, device]) else spent_j[i].min())
            continue
        table, row = costs.tables[device], costs.row_of_op[i]
        parts = {part.name: float(table.energy_j[0, row, c]) for c, part in enumerate(table.components[0])}
        bits = costs.compute_bits(i, device)
        n_arrays = int(costs.n_arrays[i, device])
        products.append(
            ProductEnergy(op.name, op.gemm.m, op.gemm.k, op.gemm.n, *bits, n_arrays, parts, *_operands_j(chip, traffic, i, device))
        )
    return WorkloadEnergy(tuple(products), other_j)


def _operands_j(chip: Chip, traffic: Traffic, op: int, device: int) -> tuple[float, float]:
    """Joules of what an op reads and of what it writes: memories, and the link of the device."""
    n_bytes, link = traffic.n_bytes[op, device], list(chip.links.values())[device]
    read = [sum(memory.energy_parts_j(float(b), 0.0).values()) for memory, b in zip(traffic.memories, n_bytes[:, READ], strict=True)]
    written = [sum(memory.energy_parts_j(0.0, float(b)).values()) for memory, b in zip(traffic.memories, n_bytes[:, WRITE], strict=True)]
    return sum(read) + link.energy_j(float(n_bytes[:, READ].sum())), sum(written) + link.energy_j(float(n_bytes[:, WRITE].sum()))


def _check(chip: Chip, workload: Workload, costs: OpCosts, device: int) -> None:
    """Refuse products that the arrays cannot run, or not hold together."""
    name, arrays = costs.device_names[device], list(chip.devices.values())[device].n_arrays
    for i, op in enumerate(workload.ops):
        if op.kind is OpKind.MATMUL and not costs.supported[i, device]:
            raise SimulationError(
                f"{workload.name}: {name} of {chip.name} cannot run product {op.name!r}; its operands are not both stored"
            )
    needed = int(costs.n_arrays[:, device].sum())
    if needed > arrays:
        raise SimulationError(
            f"{workload.name}: its weights need {needed} arrays, {name} of {chip.name} has {arrays}; choose a larger chip"
        )
