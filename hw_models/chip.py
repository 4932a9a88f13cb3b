"""A chip: devices, the memories that serve them, and the links between; built from one description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator

from hw_models.links import Link, LinkSpec
from hw_models.memory.base import Memory
from hw_models.memory.registry import memory_class
from hw_models.registry import Device, device_class
from hw_models.specs import Spec
from hw_models.technology import check_node, node_note
from hw_models.units import Meters, SquareMeters, yaml_key
from hw_models.yaml_file import Document
from workloads.errors import SpecError, suggest

Section = dict[str, Any]


class MemorySection(Spec):
    """Which memory does what.

    `backing` holds activations that find no room on the chip, and weights unless `weights` names a store
    of its own (embedded flash). `shared` is an on-chip memory that every device reaches; unless `pin_weights` is
    false, what activations leave free of it keeps weights between inferences.
    """

    backing: Section
    weights: Section | None = None
    shared: Section | None = None
    pin_weights: bool = True


class ChipSpec(Spec):
    """The top of a chip file. `area` lists blocks that belong to no device: interconnect, IO, padding.

    `node` tells a reader where the chip is made; each part is priced at the node that it gives itself.
    """

    name: str
    node_m: Meters
    devices: dict[str, Section] = Field(min_length=1)
    memory: MemorySection
    links: dict[str, Section] = Field(default_factory=dict)
    area_m2: dict[str, SquareMeters] = Field(default_factory=dict)

    @field_validator("node_m")
    @classmethod
    def _known_node(cls, node_m: float) -> float:
        try:
            check_node(node_m)
        except SpecError as error:
            raise ValueError(str(error)) from None
        return node_m


@dataclass(frozen=True)
class Chip:
    """A built chip. `description` is the resolved file, `digest` its hash."""

    name: str
    title: str
    spec: ChipSpec
    devices: dict[str, Device]
    links: dict[str, Link]
    backing: Memory
    weights: Memory
    shared: Memory | None
    description: Section
    digest: str

    @property
    def memories(self) -> dict[str, Memory]:
        """Every memory once, by name."""
        found = [self.backing, self.weights, *([self.shared] if self.shared else [])]
        return {memory.name: memory for memory in found}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any result on this chip has to know: extrapolated nodes by device, and what devices say themselves."""
        told = [text for device in self.devices.values() for text in device.notes]
        nodes = {name: getattr(device.spec, "node_m", None) for name, device in self.devices.items()}
        told += [f"{name}: {text}" for name, node_m in nodes.items() if node_m is not None and (text := node_note(node_m))]
        return tuple(told)

    @property
    def area_parts_m2(self) -> dict[str, float]:
        """Area by block: devices, memories and other blocks; sums to area_m2."""
        parts = {name: device.area_m2 for name, device in self.devices.items()}
        parts |= {name: memory.area_m2 for name, memory in self.memories.items() if memory.area_m2 > 0}
        return parts | dict(self.spec.area_m2)

    @property
    def area_m2(self) -> float:
        """Silicon area of the chip; external DRAM dies are not part of it."""
        return sum(self.area_parts_m2.values())


def build_chip(document: Document, digest: str) -> Chip:
    """Build a chip from a resolved description; raises SpecError with file, line and key."""
    spec = validate_section(ChipSpec, document.data, "", document)
    memories = _build_memories(spec, document)
    devices = {name: build_device(name, document, f"devices.{name}") for name in spec.devices}
    _check_names(spec, memories, document)
    links = {name: build_link(name, document) for name in devices}
    backing = memories["backing"]
    return Chip(
        name=spec.name,
        title=spec.title,
        spec=spec,
        devices=devices,
        links=links,
        backing=backing,
        weights=memories.get("weights", backing),
        shared=memories.get("shared"),
        description=document.data,
        digest=digest,
    )


def _build_memories(spec: ChipSpec, document: Document) -> dict[str, Memory]:
    """Build the memories by role; off-chip ones go by their kind, the on-chip one is called shared."""
    built = {"backing": build_memory("", document, "memory.backing")}
    if spec.memory.weights is not None:
        same_kind = spec.memory.weights.get("kind") == built["backing"].kind
        built["weights"] = build_memory("weights" if same_kind else "", document, "memory.weights")
    if spec.memory.shared is not None:
        built["shared"] = build_memory("shared", document, "memory.shared")
    return built


def build_memory(name: str, document: Document, path: str = "") -> Memory:
    """Build the memory that a document describes at a dotted path; raises SpecError with file, line and key."""
    section = _section(document, path)
    cls = _at(document, f"{path}.kind", memory_class, _kind(section, path, document))
    return cast("Memory", cls(name or cls.kind, validate_section(cls.spec_class, _body(section), path, document)))


def build_device(name: str, document: Document, path: str = "") -> Device:
    """Build the device that a document describes at a dotted path; raises SpecError with file, line and key."""
    section = _section(document, path)
    cls = _at(document, f"{path}.kind", device_class, _kind(section, path, document))
    return cast("Device", cls(name, validate_section(cls.spec_class, _body(section), path, document)))


def _section(document: Document, path: str) -> Section:
    node: Any = document.data
    for part in filter(None, path.split(".")):
        node = node[part]
    return cast("Section", node)


def build_link(name: str, document: Document) -> Link:
    """Build the link of a device: its own section, or the one called `default`."""
    sections = document.data.get("links", {})
    key = name if name in sections else "default"
    if key not in sections:
        raise SpecError(
            f"{document.place('links') or document.place('')}: links: device {name!r} has no link; add one for it, or `default`"
        )
    return Link(name, validate_section(LinkSpec, _body(sections[key]), f"links.{key}", document))


def _check_names(spec: ChipSpec, memories: dict[str, Memory], document: Document) -> None:
    """Refuse links of devices that are not there, and devices or blocks of area that share a name with another block."""
    for name in spec.links:
        if name != "default" and name not in spec.devices:
            raise SpecError(f"{document.place(f'links.{name}')}: links.{name}: no such device; {suggest(name, spec.devices)}")
    taken = {memory.name: f"memory.{role}" for role, memory in memories.items()}
    for section, names in (("devices", spec.devices), ("area", spec.area_m2)):
        for name in names:
            if name in taken:
                raise SpecError(f"{document.place(f'{section}.{name}')}: {section}.{name}: {taken[name]} has this name too; choose another")
            taken[name] = f"{section}.{name}"


def _kind(section: Section, path: str, document: Document) -> str:
    if "kind" not in section:
        raise SpecError(f"{document.place(path)}: {path}: `kind` is missing; name a part (`part: ...`) or a kind")
    return str(section["kind"])


def _body(section: Section) -> Section:
    return {key: value for key, value in section.items() if key not in {"kind", "name"}}


def _at(document: Document, path: str, call: Any, *args: Any) -> Any:
    """Call and put file, line and key in front of a SpecError."""
    try:
        return call(*args)
    except SpecError as error:
        raise SpecError(f"{document.place(path)}: {path}: {error}") from None


def validate_section(model: type[Any], data: Section, path: str, document: Document) -> Any:
    """Validate one section; the first error becomes a SpecError with file, line, key and what would do."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(_explain(error, model, path, document)) from None


def _explain(error: ValidationError, model: type[BaseModel], path: str, document: Document) -> str:
    # An unknown key first: it is often why another one is missing.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"] if part not in {"[key]"})
    full = f"{path}.{key}" if path and key else path or key
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    if first["type"] == "extra_forbidden":
        known = [yaml_key(name) for name in fields_at(model, first["loc"][:-1])]
        message = f"unknown key; {suggest(str(first['loc'][-1]), known)}"
    elif first["type"] == "missing":
        message = "this key is required"
    elif isinstance(given, (str, int, float)) and repr(given) not in message and str(given) not in message:
        message = f"{message}; got {_as_written(given, full, document)!r}"
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{document.place(full)}: {full}: {message}{more}"


def _as_written(given: object, path: str, document: Document) -> object:
    """Return what the file says at a dotted path, where it still can be found."""
    node: Any = document.data
    for part in path.split("."):
        if not isinstance(node, dict) or part not in node:
            return given
        node = node[part]
    return node


def fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Field names of the model that sits at a location inside another."""
    for part in loc:
        fields = {yaml_key(name): field.annotation for name, field in model.model_fields.items()}
        inner = fields.get(str(part))
        for option in get_args(inner) or (inner,):  # an optional section is a union with None
            if isinstance(option, type) and issubclass(option, BaseModel):
                model = option
    return list(model.model_fields)
