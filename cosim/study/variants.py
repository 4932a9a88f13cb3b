"""A chip of a study as variants of its sections: each device, memory and link, and the rest, built once for each choice of its levels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from cosim.study.kernels.point_data import CATEGORIES
from cosim.study.paths import is_run_field
from cosim.study.sections import Section
from cosim.study.space import Axis
from cosim.study.stacks import Spreads, Stack
from hw_models.catalog import read_chip, resolve_fields
from hw_models.chip import ChipSpec, build_device, build_link, build_memory, validate_section
from hw_models.links import Link
from hw_models.memory.base import Memory, category
from hw_models.registry import Device
from hw_models.units import yaml_key
from hw_models.yaml_file import Document
from workloads.errors import CosimError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST_NESTED = 1024
_ROLES = ("backing", "weights", "shared")


@dataclass(eq=False)
class Numbers:
    """Variants of one kind of section as rows of numbers for kernels."""

    ints: Stack = field(default_factory=lambda: Stack(np.int64))
    floats: Stack = field(default_factory=lambda: Stack(np.float64))

    def add(self, ints: Sequence[int], floats: Sequence[float]) -> int:
        """Append a variant; returns its row."""
        self.floats.add(floats)
        return self.ints.add(ints)


class Part:
    """A section of a chip together with the rows that its variants have in `Numbers`: -1 of an absent one, -2 of one that fails."""

    def __init__(self, section: Section[Any], add: Callable[[Any], int]) -> None:
        """Start without variants."""
        self.section, self.add = section, add
        self.row_of: dict[int, int] = {}
        self.number_of: dict[int, int] = {}

    def rows(self, codes: Ints) -> tuple[Ints, Ints]:
        """Return [n] rows, and [n] the variants they stand for."""
        number = self.section.variants(codes)
        distinct, place = np.unique(number, return_inverse=True)
        return np.array([self._row(one) for one in distinct.tolist()], dtype=np.int64)[place], number

    def digests(self, codes: Ints) -> NDArray[np.uint8]:
        """Return [n, 16] bytes."""
        distinct, place = np.unique(self.section.variants(codes), return_inverse=True)
        joined = b"".join(self.section.digest(one) for one in distinct.tolist())
        return np.frombuffer(joined, np.uint8).reshape(-1, 16)[place]

    def error(self, number: int) -> str:
        """Why a variant fails."""
        return str(self.section.get(number))

    def _row(self, number: int) -> int:
        if number not in self.row_of:
            made = self.section.get(number)
            self.row_of[number] = row = -2 if isinstance(made, CosimError) else -1 if made is None else self.add(made)
            self.number_of[row] = number
        return self.row_of[number]


class Nested:
    """Specs inside the specs of one device that have been validated already: variants share what their levels do not touch."""

    def __init__(self) -> None:
        """Start without any."""
        self._by_id: dict[tuple[str, int], tuple[Any, BaseModel]] = {}

    def known(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return a section with the very mappings that have been seen before replaced by what they were validated to."""
        seen = self._by_id
        return {key: seen.get((key, id(value)), (None, value))[1] if isinstance(value, dict) else value for key, value in section.items()}

    def learn(self, section: Mapping[str, Any], spec: BaseModel) -> None:
        """Remember what a section's mappings were validated to; each is kept, so that its identity stays its own."""
        if len(self._by_id) > _MOST_NESTED:
            self._by_id.clear()
        names = _fields_by_key(type(spec))
        for key, given in section.items():
            if isinstance(given, dict) and key in names and (key, id(given)) not in self._by_id:
                value = getattr(spec, names[key])
                if isinstance(value, BaseModel):
                    self._by_id[(key, id(given))] = (given, value)


@cache
def _fields_by_key(spec_class: type[BaseModel]) -> Mapping[str, str]:
    """Return the fields of a spec by the key that a file has for them."""
    return {yaml_key(name): name for name in spec_class.model_fields}


class ChipVariants:
    """All variants of one chip file over the axes of a space."""

    def __init__(self, source: str, axes: Sequence[Axis]) -> None:
        """Read the file; raises SpecError where it cannot be read."""
        self.source, self.axes, self.document = source, axes, read_chip(source)
        self.data = self.document.data
        self.device_names = tuple(self.data["devices"])
        self.spreads = Spreads()
        self.devices: dict[int, Device] = {}
        self.memory_names: list[str] = []
        self.device_numbers, self.link_numbers, self.memory_numbers, self.top_numbers = Numbers(), Numbers(), Numbers(), Numbers()

    @cached_property
    def device_parts(self) -> tuple[Part, ...]:
        """One for each device."""
        return tuple(
            Part(self._section((f"devices.{name}",), self._device_builder(name), _device_content), self._add_device)
            for name in self.device_names
        )

    @cached_property
    def link_parts(self) -> tuple[Part, ...]:
        """One for each device: its own link, or the one called default."""
        made = []
        for name in self.device_names:
            own = any(path.startswith(f"links.{name}.") for path in self._paths) or name in self.data.get("links", {})
            roots = (f"links.{name}",) if own else ("links.default",)
            made.append(Part(self._section(roots, self._link_builder(name), _link_content), self._add_link))
        return tuple(made)

    @cached_property
    def memory_parts(self) -> tuple[Part, ...]:
        """One for each role, present or not."""
        return tuple(
            Part(self._section((f"memory.{role}",), self._memory_builder(role), _memory_content), self._add_memory) for role in _ROLES
        )

    @cached_property
    def top_part(self) -> Part:
        """What belongs to no device, memory or link: blocks of area, and whether weights are pinned."""
        claimed = [root for part in (*self.device_parts, *self.link_parts, *self.memory_parts) for root in part.section.roots]
        rest = tuple(p for p in self._paths if not any(p == root or p.startswith(f"{root}.") for root in claimed))
        section = Section(self.document, rest, self.axes, _build_top, _top_content, whole=True)
        return Part(section, self._add_top)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part, in the order in which `load_chip` would build them."""
        return (self.top_part, *self.memory_parts, *self.device_parts, *self.link_parts)

    @cached_property
    def name(self) -> str:
        """Name of the chip in messages."""
        return str(self.data.get("name", self.source))

    @cached_property
    def digest(self) -> bytes:
        """16 bytes for what is the same for all variants: which devices there are, in which order."""
        return hashlib.sha256(repr(self.device_names).encode()).digest()[:16]

    def device(self, row: int) -> Device:
        """Return the device of a row, built again where it has been released."""
        if row not in self.devices:
            part = next(part for part in self.device_parts if row in part.number_of)
            made = part.section.get(part.number_of[row])
            if isinstance(made, CosimError):
                raise made
            self.devices[row] = made
        return self.devices[row]

    def release(self) -> None:
        """Let go of what has been built; its numbers and digests stay, and it is built again where it is asked for."""
        for part in self.parts:
            part.section.forget()
        self.devices.clear()

    def forget(self) -> None:
        """Let go of all variants and their numbers, so that long studies stay small; digests stay."""
        self.release()
        for part in self.parts:
            part.row_of.clear()
            part.number_of.clear()
        self.memory_names.clear()
        self.device_numbers, self.link_numbers, self.memory_numbers, self.top_numbers = Numbers(), Numbers(), Numbers(), Numbers()

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        return tuple(path for axis in self.axes for path in axis.paths or (axis.name,) if not is_run_field(path))

    def _section(self, roots: tuple[str, ...], build: Callable[[Document], Any], content: Callable[[Any], str]) -> Section[Any]:
        return Section(self.document, roots, self.axes, build, content)

    def _device_builder(self, name: str) -> Callable[[Document], Device]:
        nested = Nested()

        def build(document: Document) -> Device:
            section = document.data["devices"][name]
            known = Document({"devices": {name: nested.known(section)}}, document.places)
            device = build_device(name, known, f"devices.{name}")
            nested.learn(section, device.spec)
            return device

        return build

    def _link_builder(self, name: str) -> Callable[[Document], Link]:
        return lambda document: build_link(name, document)

    def _memory_builder(self, role: str) -> Callable[[Document], Memory | None]:
        def build(document: Document) -> Memory | None:
            section = document.data.get("memory", {}).get(role)
            if section is None and role != "backing":
                return None
            return build_memory(self._memory_name(role, section), document, f"memory.{role}")

        return build

    def _memory_name(self, role: str, section: Any) -> str:
        """Return the name as `build_chip` gives it: backing and a weight store of another kind go by their kind."""
        if role == "weights" and section.get("kind") != self._backing_kind:
            return ""
        return "" if role == "backing" else role

    @cached_property
    def _backing_kind(self) -> str:
        return str(resolve_fields(self.document, {}).data["memory"]["backing"].get("kind"))

    def _add_device(self, device: Device) -> int:
        number, spec = self.spreads.number, device.spec
        ints = [
            device.n_arrays,
            device.scratch_arrays,
            number(spec.spread(spec.title or device.kind, "launch")),
            number(device.idle_spreads),
            number(device.program_spreads),
            device.idle_assumed,
            device.program_assumed,
            0,
        ]
        row = self.device_numbers.add(ints, [device.area_m2, device.idle_w])
        self.devices[row] = device
        return row

    def _add_link(self, link: Link) -> int:
        number = self.spreads.number
        floats = [link.bandwidth_bytes_per_s, link.latency_s, link.energy_j(1.0)]
        return self.link_numbers.add([number(link.spreads), number(link.time_spreads), link.assumed], floats)

    def _add_memory(self, memory: Memory) -> int:
        read, write, standby = memory.energy_parts_j(1.0, 0.0), memory.energy_parts_j(0.0, 1.0), memory.standby_parts_w
        ints = [self.spreads.number(memory.bandwidth_spreads), len(read), len(standby)]
        for name in (*read, *standby):
            ints += [self.spreads.number(memory.spreads.get(name, ())), CATEGORIES.index(category(name)), name in memory.assumed]
        floats = [
            memory.bandwidth_bytes_per_s,
            memory.first_access_s,
            memory.capacity_bytes,
            memory.area_m2,
            sum(read.values()),
            sum(write.values()),
            *(part for name in read for part in (read[name], write[name])),
            *standby.values(),
        ]
        self.memory_names.append(memory.name)
        return self.memory_numbers.add(ints, floats)

    def _add_top(self, spec: ChipSpec) -> int:
        return self.top_numbers.add([spec.memory.pin_weights], [sum(spec.area_m2.values())])


def _build_top(document: Document) -> ChipSpec:
    return cast("ChipSpec", validate_section(ChipSpec, document.data, "", document))


def _top_content(spec: ChipSpec) -> str:
    return repr((sorted(spec.area_m2.items()), spec.memory.pin_weights))


def _device_content(device: Device) -> str:
    return f"{device.name} {device.kind} {device.spec.model_dump_json()}"


def _link_content(link: Link) -> str:
    return f"{link.spec.model_dump_json()}"


def _memory_content(memory: Memory | None) -> str:
    return "" if memory is None else f"{memory.name} {memory.kind} {memory.spec.model_dump_json()}"
