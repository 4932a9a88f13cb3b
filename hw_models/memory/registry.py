"""Memory kinds by name, as chip and part files give them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from hw_models.memory.base import Memory
from workloads.errors import SpecError, suggest
from workloads.plugins import register_class

if TYPE_CHECKING:
    from collections.abc import Callable

MemoryClass = TypeVar("MemoryClass", bound=type[Memory])
_MEMORIES: dict[str, type[Memory]] = {}
_BUILT_IN = ("dram", "sram", "flash", "edram")


def memory(kind: str) -> Callable[[MemoryClass], MemoryClass]:
    """Register a memory class under the `kind` that files name it by; raises SpecError when another class has it."""

    def register(cls: MemoryClass) -> MemoryClass:
        register_class(_MEMORIES, "memory kind", kind, cls, SpecError)
        cls.kind = kind
        return cls

    return register


@cache
def _load_all() -> None:
    for module in _BUILT_IN:
        import_module(f"hw_models.memory.{module}")


def memory_kinds() -> dict[str, type[Memory]]:
    """Return every memory class by kind."""
    _load_all()
    return dict(sorted(_MEMORIES.items()))


def memory_class(kind: str) -> type[Memory]:
    """Return the class of a memory kind; raises SpecError with the nearest name when there is none."""
    kinds = memory_kinds()
    if kind not in kinds:
        raise SpecError(f"memory kind {kind!r} is not known; {suggest(kind, kinds)}")
    return kinds[kind]
