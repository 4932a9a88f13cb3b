"""Files that are whole or not there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from workloads.errors import StoreError


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one, whole. StoreError where that cannot be."""
    part = write_part(path, data)
    try:
        move_part(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_part(path: Path, data: bytes) -> Path:
    """Write to a temporary file beside the target and return its path. StoreError where that cannot be."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
            temporary = Path(handle.name)
            handle.write(data)
        temporary.chmod(0o644)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
    return temporary


def move_part(part: Path, path: Path) -> None:
    """Rename a whole file over its target. StoreError where that cannot be."""
    try:
        part.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
