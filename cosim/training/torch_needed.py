"""Whether torch is there, said in words before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec

from workloads.errors import SimulationError


def need_torch(who: str) -> None:
    """Raise SimulationError that names the extra where torch is not installed."""
    if find_spec("torch") is None:
        raise SimulationError(f'{who}: needs torch, which is not installed; pip install "cosim[train]"')
