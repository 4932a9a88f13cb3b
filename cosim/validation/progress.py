"""A bar on stderr for comparisons that take a while."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Item = TypeVar("Item")


def shown(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Go through items, with a bar on stderr if somebody looks at it."""
    from rich.console import Console  # noqa: PLC0415  (slow to import)
    from rich.progress import track  # noqa: PLC0415

    return track(items, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def weighed(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, if somebody looks at it, for work of uneven pieces: inside, call with the share of `total` that was just done."""
    from rich.console import Console  # noqa: PLC0415  (slow to import)
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, advance=done)
