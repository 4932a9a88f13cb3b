"""Memory kinds by name, as chip and part files give them."""

from __future__ import annotations

from hw_models.memory.base import Memory
from workloads.errors import SpecError
from workloads.plugins import Classes

_BUILT_IN = ("dram", "sram", "flash", "edram")
_MEMORIES: Classes[Memory] = Classes("memory kind", "kind", [f"hw_models.memory.{name}" for name in _BUILT_IN], "", SpecError)

# Decorator that registers a memory class under the `kind` that files name it by.
memory = _MEMORIES.register


def memory_kinds() -> dict[str, type[Memory]]:
    """Return every memory class by kind."""
    return _MEMORIES.loaded()


def memory_class(kind: str) -> type[Memory]:
    """Return the class of a memory kind; raises SpecError with the nearest name when there is none."""
    return _MEMORIES.find(kind)
