"""Some of many training inputs."""

from __future__ import annotations

from typing import Any, TypeVar, cast

N_FIRST = 500  # training inputs that first steps are chosen on

Rows = TypeVar("Rows", bound=Any)  # an array or a tensor


def thinned(rows: Rows, n: int) -> Rows:
    """Not more than n of the rows, evenly spaced, as those of a data set may lie in the order of their classes."""
    return cast("Rows", rows[:: max(1, -(-len(rows) // max(1, n)))])
