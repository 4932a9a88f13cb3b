"""Areas of validation by name: what `cosim validate` can compare with reference data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workloads.errors import WorkloadError, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Name → "module:function" of `function(path: Path | None) -> dict`; imported when asked for.
AREAS: Mapping[str, str] = {
    "accuracy": "cosim.validation.accuracy:validate_accuracy",
    "bo": "cosim.validation.bo:validate_bo",
    "cim": "cosim.validation.cim:validate_cim",
    "cim_curves": "cosim.validation.cim_curves:validate_cim_curves",
    "contention": "cosim.validation.contention:validate_contention",
    "noise": "cosim.validation.noise:validate_noise",
    "placement": "cosim.validation.placement:validate_placement",
    "scheduling": "cosim.validation.scheduling:validate_scheduling",
    "workloads": "cosim.validation.workloads:validate_workloads",
}


# Areas that take minutes, since they train networks or measure what a time budget finds; they run when they are named.
SLOW = ("accuracy", "bo", "placement", "scheduling")


def validate(area: str, path: Path | None = None, **options: Any) -> dict[str, Any]:
    """Run the comparison of an area against the data at `path`, or against what ships when it is None; `options` are those of its function.

    The result has the keys area, n, metrics, rows and passed. Raises WorkloadError for an unknown area or bad data.
    """
    if area not in AREAS:
        raise WorkloadError(f"there is no area {area!r} to validate; {suggest(area, AREAS)}")
    module, function = AREAS[area].split(":")
    result: dict[str, Any] = getattr(import_module(module), function)(path, **options)
    return result
