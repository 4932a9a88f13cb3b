"""What every registry of names does: refuse a name that is taken, and load what other packages bring through entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from workloads.errors import CosimError

Base = TypeVar("Base")


def register_class(registry: MutableMapping[str, type[Base]], what: str, name: str, cls: type[Base], error: type[CosimError]) -> None:
    """Put a class under a name; raises `error` when another class has it (the same one, imported again, replaces itself)."""
    other = registry.get(name, cls)
    if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise error(f"{what} {name!r} is registered twice, by {other.__module__} and by {cls.__module__}; rename one")
    registry[name] = cls


def load_entry_points(group: str, error: type[CosimError]) -> list[tuple[str, object]]:
    """Import every entry point of a group; return what each is called in messages, and what it loads to.

    Raises `error`, naming group, entry point and target, for one that cannot be loaded.
    """
    loaded = []
    for point in entry_points(group=group):
        where = f"entry point {point.name!r} of group {group} ({point.value})"
        try:
            loaded.append((where, point.load()))
        except (ImportError, AttributeError) as cause:
            raise error(f"{where} cannot be loaded: {cause}") from cause
    return loaded
