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

_HERE = Path(__file__).parent

# Folder of kernels → other folders whose functions they call.
_USES: dict[Path, tuple[Path, ...]] = {}


def register_sources(folder: Path, *uses: Path) -> None:
    """Let the kernels of a folder be keyed by the sources of other folders too; call it before they are imported."""
    _USES[folder] = uses
    source_hash.cache_clear()


def _sources(folder: Path) -> list[Path]:
    """Return the folder, all that its kernels use, and the one that every kernel may use."""
    found: list[Path] = []
    open_ = [_HERE, folder]
    while open_:
        one = open_.pop()
        if one not in found:
            found.append(one)
            open_ += _USES.get(one, ())
    return sorted(found)


@cache
def source_hash(folder: Path = _HERE) -> str:
    """Hash of the sources that the kernels of a folder rest on, the numba version and the CPU name and features."""
    digest = hashlib.sha256()
    for source in _sources(folder):
        for path in sorted(source.glob("*.py")):
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


def cache_dir(folder: Path = _HERE) -> Path:
    """Where the kernels of a folder are kept, compiled from the sources as they are now."""
    return cache_root() / "kernels" / source_hash(folder)


def inlined(function: Function) -> Function:
    """As `kernel`, for a part of kernels: compiled into each that calls it."""
    return _compiled(function, forceinline=True)


def part(function: Function) -> Function:
    """As `inlined`, for one that allocates no array: without counting references to those it is handed, so that many cost nothing."""
    return _compiled(function, forceinline=True, _nrt=False)


def kernel(function: Function) -> Function:
    """Compile with numba: cached on disk, no fastmath, Python's error model."""
    return _compiled(function)


def _compiled(function: Function, **options: bool) -> Function:
    folder = Path(function.__code__.co_filename).parent
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_dir(folder))
    try:  # numba looks at its setting here and never again; other packages' functions keep their own folder
        return cast("Function", numba.njit(cache=True, fastmath=False, **options)(function))
    finally:
        config.CACHE_DIR = before


def is_compiled(folder: Path = _HERE) -> bool:
    """Whether this machine already holds compiled kernels of a folder for the sources as they are now."""
    return any(cache_dir(folder).glob("**/*.nbi")) if cache_dir(folder).exists() else False
