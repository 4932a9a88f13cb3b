"""What every registry of names does: refuse a name that is taken, and load what other packages bring through entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from workloads.errors import CosimError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Base = TypeVar("Base")
Class = TypeVar("Class", bound=type)


class Classes(dict[str, type[Base]]):
    """Classes by name: `what` they are called in messages, `field` of a class that takes its name, where to find more, what to raise.

    `built_in` are the modules that register ours, `group` the entry points that bring others' (none when empty).
    """

    def __init__(self, what: str, field: str, built_in: Sequence[str], group: str, error: type[CosimError]) -> None:
        """Start empty; nothing is imported before a name is looked up."""
        super().__init__()
        self.what, self.field, self.built_in, self.group, self.error = what, field, tuple(built_in), group, error
        self.is_loaded = False

    def register(self, name: str) -> Callable[[Class], Class]:
        """Return a decorator that puts a class under a name; it raises `error` when another class has it.

        The same class, imported again, replaces itself.
        """

        def put(cls: Class) -> Class:
            other = self.get(name, cls)
            if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise self.error(f"{self.what} {name!r} is registered twice, by {other.__module__} and by {cls.__module__}; rename one")
            setattr(cls, self.field, name)
            self[name] = cls
            return cls

        return put

    def loaded(self) -> dict[str, type[Base]]:
        """Return every class by name, in order, after importing what registers them."""
        if not self.is_loaded:
            for module in self.built_in:
                import_module(module)
            if self.group:
                load_entry_points(self.group, self.error)
            self.is_loaded = True
        return dict(sorted(self.items()))

    def find(self, name: str) -> type[Base]:
        """Return the class of a name; raises `error` with the nearest name when there is none."""
        known = self.loaded()
        if name not in known:
            raise self.error(f"{self.what} {name!r} is not known; {suggest(name, known)}")
        return known[name]


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
