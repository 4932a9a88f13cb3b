"""What stops a sweep though nobody made a mistake (exit code 1, `--resume` goes on), and which failures of points are alike."""

from __future__ import annotations

import re

from workloads.errors import SimulationError, StoreError


class EngineError(SimulationError):
    """What computes points is gone: a scheduler that does not answer, processes that do not live."""


class StoreFullError(StoreError):
    """Rows cannot be written any more; those acknowledged are safe."""


_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")


def kind_of(error: str) -> str:
    """Return what an error has in common with those that differ from it in nothing but numbers."""
    return _NUMBER.sub("#", error)
