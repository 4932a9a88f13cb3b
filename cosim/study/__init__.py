"""Studies: a space of chips, networks and policies, swept or optimized; stored, resumable, shardable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosim.study.samplers.base import make_sampler
    from cosim.study.samplers.optuna_sampler import OptunaSampler
    from cosim.study.space import Axis, Space
    from cosim.study.study_file import load_study

__all__ = ["Axis", "OptunaSampler", "Space", "load_study", "make_sampler"]

_HOME = {
    "Axis": "cosim.study.space",
    "OptunaSampler": "cosim.study.samplers.optuna_sampler",
    "Space": "cosim.study.space",
    "load_study": "cosim.study.study_file",
    "make_sampler": "cosim.study.samplers.base",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'cosim.study' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
