"""Chips made by hand: numbers round enough to work a whole run out on paper.

A MAC takes a second or so, a byte a joule or so; devices, memories and links are given by keyword, networks by layer widths.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosim.cli import main
from cosim.engine.problem import Playback
from cosim.engine.simpy_engine import play
from cosim.scheduling.base import Instance, Plan, make_policy
from cosim.simulation.accounting import Account, account
from cosim.simulation.costs import OpCosts, cost_ops
from cosim.simulation.placed import Placed, instance_of, place, tables_of
from cosim.simulation.residency import Residency, plan_residency
from cosim.simulation.traffic import Traffic, plan_traffic
from hw_models.chip import Chip, ChipSpec
from hw_models.cost import Component, CostTable, Spread, empty_costs
from hw_models.links import Link, LinkSpec
from hw_models.memory.flash import Flash, FlashSpec
from hw_models.registry import Device
from hw_models.specs import Spec
from workloads.builder import GraphBuilder
from workloads.graph import OpKind, Workload
from workloads.optable import OpTable

MAC_SPREAD = Spread("abacus.mac", 2.0)


class AbacusSpec(Spec):
    """Seconds and joules of one MAC and of one vector operation; `per_array` weights fill an array."""

    mac_s: float = 1.0
    mac_j: float = 1.0
    vector_s: float = 1.0
    wire_j: float = 0.0
    launch_s: float = 0.0
    kinds: tuple[OpKind, ...] = tuple(OpKind)
    n_arrays: int = 0
    n_scratch: int = 0
    per_array: int = 1
    write_s: float = 0.0
    write_j: float = 0.0
    reads: float = 1.0
    idle_w: float = 0.0
    area_m2: float = 0.0


class Abacus(Device):
    """Time = launch + MACs * mac_s + vector operations * vector_s; inputs cross the port `reads` times."""

    kind = "abacus"
    spec_class = AbacusSpec
    holds_weights = True
    spec: AbacusSpec

    @classmethod
    def costs(cls, specs: Sequence[AbacusSpec], ops: OpTable) -> CostTable:
        parts = (Component("mac", "compute", (MAC_SPREAD,)), Component("wire", "link", (), assumed=True))
        table = empty_costs([parts] * len(specs), ("macs", "vector"), [(MAC_SPREAD,)] * len(specs), ops.weight_bits, ops.activation_bits)
        for s, spec in enumerate(specs):
            runs = np.isin(ops.kind, [int(kind) for kind in spec.kinds])
            table.supported[s] = runs
            vector_s = ops.n_vector_ops * spec.vector_s
            table.latency_s[s, runs] = (spec.launch_s + ops.n_macs * spec.mac_s + vector_s)[runs]
            table.fixed_s[s, runs] = spec.launch_s
            table.energy_j[s, runs, 0] = (ops.n_macs * spec.mac_j)[runs]
            table.energy_j[s, runs, 1] = (ops.input_bytes * spec.wire_j)[runs]
            table.n_bytes[s, runs] = np.stack([ops.weight_bytes, ops.input_bytes * spec.reads, ops.output_bytes], axis=1)[runs]
            table.limit[s] = vector_s > ops.n_macs * spec.mac_s
            if spec.n_arrays + spec.n_scratch:
                held = runs & (ops.n_macs > 0) & (ops.dynamic == 0)
                table.n_arrays[s, held] = -(-ops.weight_elements[held] // spec.per_array)
                table.program_s[s], table.program_j[s] = table.n_arrays[s] * spec.write_s, table.n_arrays[s] * spec.write_j
        return table

    area_m2 = property(lambda self: self.spec.area_m2)
    idle_w = property(lambda self: self.spec.idle_w)
    idle_spreads = property(lambda self: (Spread(f"{self.name}.idle", 3.0),))
    n_arrays = property(lambda self: self.spec.n_arrays)
    scratch_arrays = property(lambda self: self.spec.n_scratch)

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        return 1 / self.spec.mac_s


def store(name: str, capacity: float = 1e6, bandwidth: float = 1e9, read: float = 0.0, write: float = 0.0, **more: Any) -> Flash:
    """A memory: bytes, bytes/s, J/byte read and written; `leakage` in W, `area` in m2, notes as in a file."""
    numbers = {
        "capacity": f"{capacity} B", "bandwidth": f"{bandwidth} B/s", "first_access": "0 s", "read": f"{read} J/B", "write": f"{write} J/B",
        "leakage": f"{more.pop('leakage', 0.0)} W", "area": f"{more.pop('area', 0.0)} m2",
    }  # fmt: skip
    return Flash(name, FlashSpec.model_validate(numbers | more))


def link(bandwidth: float = 1e9, latency: float = 0.0, energy: float = 0.0, **notes: Any) -> LinkSpec:
    """A link: bytes/s, s, J/byte."""
    return LinkSpec.model_validate({"bandwidth": f"{bandwidth} B/s", "latency": f"{latency} s", "energy": f"{energy} J/B", **notes})


def chip(
    devices: dict[str, dict[str, Any]],
    backing: Flash | None = None,
    *,
    shared: Flash | None = None,
    weights: Flash | None = None,
    links: dict[str, LinkSpec] | None = None,
    pin_weights: bool = True,
    name: str = "hand",
) -> Chip:
    """A chip of abacuses; what is not given is free and fast."""
    backing = backing or store("dram")
    memory = {"backing": {}, "pin_weights": pin_weights}
    spec = ChipSpec.model_validate({"name": name, "node": "22 nm", "devices": {d: {} for d in devices}, "memory": memory})
    return Chip(
        name=name,
        title="",
        spec=spec,
        devices={d: Abacus(d, AbacusSpec(**numbers)) for d, numbers in devices.items()},
        links={d: Link(d, (links or {}).get(d, link())) for d in devices},
        backing=backing,
        weights=weights or backing,
        shared=shared,
        description={},
        digest="hand",
    )


def line(*widths: int, batch: int = 1) -> Workload:
    """Fully connected layers fc0, fc1... without biases: x → widths[0] → widths[1]..."""
    build = GraphBuilder("line", batch)
    x = build.input("x", batch, widths[0])
    for i, width in enumerate(widths[1:]):
        x = build.linear(x, width, bias=False, name=f"fc{i}")
    return build.build(x)


@dataclass
class Stages:
    """Every intermediate of a run."""

    chip: Chip
    workload: Workload
    costs: OpCosts
    residency: Residency
    traffic: Traffic
    instance: Instance
    plan: Plan
    placed: Placed
    playback: Playback
    book: Account


def stages(made: Chip, workload: Workload, policy: str = "heft", mode: str = "fair") -> Stages:
    """Take a workload through the pipeline step by step."""
    costs = cost_ops(made, workload)
    residency = plan_residency(made, workload, costs)
    traffic = plan_traffic(made, workload, costs, residency)
    instance = instance_of(made, workload, traffic, residency, costs, mode)
    plan = make_policy(policy).plan(instance, np.random.default_rng(0))
    placed = place(costs, traffic, tables_of(made, workload, traffic, residency, mode), plan)
    playback = play(placed.problem)
    book = account(made, costs, traffic, residency, placed, playback, mode)
    return Stages(made, workload, costs, residency, traffic, instance, plan, placed, playback, book)


@pytest.fixture(scope="session")
def hand() -> SimpleNamespace:
    """Makers of chips and networks by hand."""
    return SimpleNamespace(Abacus=Abacus, AbacusSpec=AbacusSpec, chip=chip, store=store, link=link, line=line, stages=stages)


@pytest.fixture(name="cosim")
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run the command in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cosim", *map(str, args)])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = int(done.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
