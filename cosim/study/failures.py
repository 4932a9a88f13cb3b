"""What stops a sweep though nobody made a mistake: exit code 1, and `--resume` goes on."""

from __future__ import annotations

from workloads.errors import SimulationError, StoreError


class EngineError(SimulationError):
    """What computes points is gone: a scheduler that does not answer, processes that do not live."""


class StoreFullError(StoreError):
    """Rows cannot be written any more; those acknowledged are safe."""
