"""A result made by hand: small enough to add up on paper, with awkward names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Sequence
from html.parser import HTMLParser

import pytest

from cosim.ledger import Row
from cosim.simulation.programming import Programming
from cosim.simulation.result import OpRun, Result, busy_by_device, moved_by_memory
from cosim.simulation.uncertainty import Exposure
from hw_models.chip import Chip, ChipSpec, MemorySection
from hw_models.cost import CostTable, Spread
from hw_models.memory.base import Memory
from hw_models.registry import Device
from hw_models.specs import Spec
from workloads.graph import Coverage, Gemm, Op, OpKind, Tensor, Workload
from workloads.optable import OpTable

AWKWARD = '/a<b>&"c"/conv'


class FakeDevice(Device):
    """A device that only knows its peak, idle power and area."""

    kind = "fake"
    spec_class = Spec
    peak = 0.0
    idle = 0.0
    area = 0.0

    @classmethod
    def costs(cls, specs: Sequence[Spec], ops: OpTable) -> CostTable:
        raise NotImplementedError

    @property
    def area_m2(self) -> float:
        return self.area

    @property
    def idle_w(self) -> float:
        return self.idle

    def peak_macs_per_s(self, weight_bits: int, activation_bits: int) -> float:
        return self.peak


class FakeMemory(Memory):
    """A memory of one bandwidth, one energy a byte and some standby power."""

    kind = "fake"
    spec_class = Spec
    bandwidth = 1e9
    area = 0.0
    standby: dict[str, float] = {}  # noqa: RUF012

    capacity_bytes = property(lambda self: 1e9)
    peak_bytes_per_s = property(lambda self: 2 * self.bandwidth)
    bandwidth_bytes_per_s = property(lambda self: self.bandwidth)
    bandwidth_limit = property(lambda self: "pin bandwidth")
    first_access_s = property(lambda self: 1e-7)
    standby_parts_w = property(lambda self: self.standby)
    area_m2 = property(lambda self: self.area)

    def energy_parts_j(self, read_bytes: float, write_bytes: float) -> dict[str, float]:
        return {"read": 1e-11 * read_bytes, "write": 1e-11 * write_bytes}


def device(name: str, peak: float, area: float) -> FakeDevice:
    made = FakeDevice(name, Spec())
    made.peak, made.area = peak, area
    return made


def memory(name: str, bandwidth: float, area: float, standby: dict[str, float] | None = None) -> FakeMemory:
    made = FakeMemory(name, Spec())
    made.bandwidth, made.area, made.standby = bandwidth, area, standby or {}
    return made


def chip(name: str, array: str) -> Chip:
    """A chip of one array, a cpu, a dram with 10 mW of background power, and a shared memory."""
    backing, shared = memory("dram", 1e9, 1e-6, {"background": 0.01}), memory("shared", 1e10, 2e-6)
    description = {
        "name": name,
        "node": "22 nm",
        "sources": {"node": "a process & its <manual>"},
        "devices": {
            array: {
                "kind": "fake",
                "rows": 64,
                "adc": {"energy": "2 pJ"},
                "assumed": {"adc": "mid of three papers"},
                "ranges": {"adc": 2.0},
            },
            "cpu": {"kind": "fake", "clock": "1 GHz", "assumed": {"clock": "a guess"}, "sources": {"kind": "datasheet"}},
        },
    }
    spec = ChipSpec.model_validate(
        {"name": name, "node": "22 nm", "devices": {array: {"kind": "fake"}}, "memory": MemorySection(backing={}), "area": {"io": "1 mm2"}}
    )
    devices: dict[str, Device] = {array: device(array, 1e12, 4e-6), "cpu": device("cpu", 1e10, 2e-6)}
    return Chip(name, f"{name} by hand", spec, devices, {}, backing, backing, shared, description, "0" * 16)


def workload(names: Sequence[str]) -> Workload:
    """A chain of products of 1000 x 1000 by 1000 each: 1e9 MACs an op, the last op without MACs."""
    tensors = {f"t{i}": Tensor(f"t{i}", (1000, 1000)) for i in range(len(names) + 1)}
    ops = tuple(
        Op(name, "Conv", OpKind.MATMUL, (f"t{i}",), (f"t{i + 1}",), gemm=Gemm(1, 1000, 1000, 1000))
        if i < len(names) - 1
        else Op(name, "Softmax", OpKind.SOFTMAX, (f"t{i}",), (f"t{i + 1}",))
        for i, name in enumerate(names)
    )
    coverage = Coverage({"Conv": len(names) - 1, "Softmax": 1}, {"Odd": 1}, {"Reshape": 2})
    return Workload("net<1>", tensors, ops, ("t0",), (f"t{len(names)}",), 1234, coverage=coverage, notes=("seq was <chosen>",))


@pytest.fixture
def make_result() -> Callable[..., Result]:
    return build_result


def build_result(
    name: str = "twin",
    *,
    array: str = "cim",
    n_ops: int = 3,
    energy: float = 1.0,
    factor: float = 1.5,
    names: Sequence[str] = (),
    resident: float = 0.5,
) -> Result:
    """Return a run whose ops each take 1 ms: on the array (mac 2 mJ, adc 1 mJ, dram 3 mJ) but the last, on the cpu (0.5 mJ).

    `energy` scales the array's joules; the adc has a spread of `factor`, and so has the time of the array.
    """
    names = names or [AWKWARD, *(f"op{i}" for i in range(1, n_ops))]
    net, built = workload(names), chip(name, array)
    rows, ops = [], []
    for i, op in enumerate(net.ops):
        span = (i * 1e-3, (i + 1) * 1e-3)
        if op.n_macs:
            rows += [
                Row(0, op.name, array, "mac", "compute", "simpy", *span, 2e-3 * energy, 0.0, op.n_macs, False),
                Row(0, op.name, array, "adc", "convert", "simpy", *span, 1e-3 * energy, 0.0, 0, True),
                Row(0, op.name, "dram", "read", "memory", "simpy", *span, 3e-3, 5e5, 0, False),
            ]
            ops.append(OpRun(op.name, op.op_type, array, *span, "adc" if i else "dram: pin bandwidth", op.n_macs, 5e5, 8, 8, i == 0))
        else:
            rows.append(Row(0, op.name, "cpu", "mac", "compute", "simpy", *span, 5e-4, 0.0, 0, False))
            ops.append(OpRun(op.name, op.op_type, "cpu", *span, "launch", 0, 0.0, 8, 16, False))
    length = len(names) * 1e-3
    rows.append(Row(0, "", "dram", "background", "static", "simpy", 0.0, length, 0.01 * length, 0.0, 0, False))
    return Result(
        workload=net,
        chip=built,
        policy="heft",
        fidelity="simpy",
        seed=0,
        weight_bits=8,
        activation_bits=8,
        rows=tuple(rows),
        ops=tuple(ops),
        latency=Exposure(length, {f"{array}.clock": (factor, length - 1e-3)}),
        spreads={(array, "adc"): (Spread(f"{array}.adc.energy", factor),)} if factor > 1 else {},
        programming=Programming(0.02, 0.4, 14) if resident else Programming(0.0, 0.0, None),
        resident_weight_fraction=resident,
        busy_s=busy_by_device(tuple(built.devices), tuple(ops)),
        memory_bytes=moved_by_memory(built, tuple(rows)),
        provenance={"cosim": "0.1.0", "seed": 0, "model_version": "abc"},
    )


class _Collector(HTMLParser):
    """Collect attributes of every tag, and text outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.silent = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self.silent = False

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


class Page:
    """An HTML page as a test reads it."""

    def __init__(self, html: str) -> None:
        collector = _Collector()
        collector.feed(html)
        self.tags = collector.tags
        self.text = " ".join(" ".join(collector.texts).split())

    def values(self, metric: str, tags: Collection[str] = ()) -> dict[str, float]:
        """Key → exact value of every element that shows a metric; the key is empty where there is only one."""
        return {
            attrs.get("data-key", ""): float(attrs["data-value"])
            for tag, attrs in self.tags
            if attrs.get("data-metric") == metric and attrs.get("data-value") and (not tags or tag in tags)
        }


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    return Page


@pytest.fixture
def read_csv() -> Callable[[str], list[dict[str, str]]]:
    return lambda text: list(csv.DictReader(io.StringIO(text)))
