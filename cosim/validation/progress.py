"""A bar on stderr for comparisons that take a while."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Item = TypeVar("Item")


def shown(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Go through items, with a bar on stderr if somebody looks at it."""
    from rich.console import Console  # noqa: PLC0415  (slow to import)
    from rich.progress import track  # noqa: PLC0415

    return track(items, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
