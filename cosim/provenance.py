"""What a result was made from: versions, seed, and hashes of chip, workload and code."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workloads.graph import Workload

_PACKAGES = ("numpy", "numba", "simpy", "onnx")


@cache
def model_version() -> str:
    """Hash of all source and data of the models: equal hashes give equal numbers on one platform."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for package in ("workloads", "hw_models", "cosim"):
        for path in sorted((root / package).rglob("*")):
            within = path.relative_to(root)
            if path.suffix in {".py", ".yaml", ".csv", ".json", ".npz"} and "validation" not in within.parts:
                digest.update(within.as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def workload_digest(workload: Workload) -> str:
    """Hash of a graph: its ops, tensors and bits."""
    digest = hashlib.sha256()
    for op in workload.ops:
        digest.update(repr(op).encode())
    for name, tensor in workload.tensors.items():
        digest.update(f"{name}{tensor.shape}{tensor.bits}{int(tensor.kind)}".encode())
    return digest.hexdigest()[:16]


def provenance(workload: Workload, chip_digest: str, *, seed: int, policy: str, fidelity: str) -> dict[str, Any]:
    """Return versions, seed and hashes as plain JSON values."""
    return {
        "cosim": _version("cosim"),
        "model_version": model_version(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "chip_hash": chip_digest,
        "workload_hash": workload_digest(workload),
        "workload_source": workload.source,
        "seed": seed,
        "policy": policy,
        "fidelity": fidelity,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
