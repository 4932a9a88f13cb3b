"""The one `@kernel` decorator: compiled by numba, cached in a folder named by what the code is.

numba's own cache does not notice an edited helper in another file; this one is keyed by the hash of
all kernel sources, the numba version and the CPU, so a cached build always matches the source.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])

# Folders whose .py files make up the key; `register_sources` adds those of other packages.
_SOURCES: list[Path] = [Path(__file__).parent]


def register_sources(folder: Path) -> None:
    """Let the kernels in another package's folder be part of the key; call it before they are imported."""
    _SOURCES.append(folder)
    source_hash.cache_clear()


@cache
def source_hash() -> str:
    """Hash of every kernel source, the numba version and the CPU name and features."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    digest.update(numba.__version__.encode())
    digest.update(_cpu().encode())
    return digest.hexdigest()[:16]


def _cpu() -> str:
    """Name of the processor that compiled code is for."""
    from llvmlite import binding  # noqa: PLC0415  (loaded by numba already)

    return f"{binding.get_host_cpu_name()}{binding.get_host_cpu_features().flatten()}"


def cache_root() -> Path:
    """Folder of compiled kernels: COSIM_CACHE_DIR, else the user's cache folder, else a temporary one."""
    given = os.environ.get("COSIM_CACHE_DIR")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosim"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        base = _private_temporary()
    return base


@cache
def _private_temporary() -> Path:
    """Folder below the system's temporary one that nobody else can write to: compiled code is loaded from it."""
    base = Path(tempfile.gettempdir()) / f"cosim-{getpass.getuser()}"
    with contextlib.suppress(OSError):
        base.mkdir(mode=0o700, exist_ok=True)
        status = base.stat()
        if status.st_uid == getattr(os, "getuid", lambda: status.st_uid)() and not status.st_mode & 0o022:
            return base
    return Path(tempfile.mkdtemp(prefix="cosim-"))


def cache_dir() -> Path:
    """Folder of the kernels compiled from the sources as they are now."""
    return cache_root() / "kernels" / source_hash()


def kernel(function: Function) -> Function:
    """Compile with numba: cached on disk, no fastmath, Python's error model."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_dir())
    try:  # numba looks at its setting here and never again; other packages' functions keep their own folder
        return cast("Function", numba.njit(cache=True, fastmath=False)(function))
    finally:
        config.CACHE_DIR = before


def is_compiled() -> bool:
    """Whether this machine already holds compiled kernels for the sources as they are now."""
    return any(cache_dir().glob("**/*.nbi")) if cache_dir().exists() else False
