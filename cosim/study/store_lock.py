"""One writer at a time: a lock file beside a store that names the process and the host that write it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workloads.errors import StoreError


class StoreLock:
    """A held lock. The kernel lets go of it when its process ends, however that ends, so that a lock left behind is recovered.

    Raises StoreError with pid and host of the process that holds it. Where a file system does not share locks between hosts, the name in
    a lock of another host is believed: nobody here can tell whether that process lives.
    """

    def __init__(self, store: Path) -> None:
        """Take the lock of a store."""
        self.path = store.with_name(f"{store.name}.lock")
        self._file = self._taken(store)
        os.ftruncate(self._file, 0)
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.pwrite(self._file, json.dumps(me).encode(), 0)

    def _taken(self, store: Path) -> int:
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise StoreError(f"{self.path}: cannot be made: {error.strerror or error}") from None
            owner = _owner(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                raise StoreError(f"{store}: {_told(owner)} writes it; wait for its end, or name another --store") from None
            if owner.get("host", socket.gethostname()) != socket.gethostname():
                os.close(file)
                where = f"if that process is gone, delete {self.path}; else name another --store"
                raise StoreError(f"{store}: {_told(owner)} writes it, or was killed while it did; {where}")
            if _is_at(file, self.path):
                return file
            os.close(file)  # its owner took it away between our opening and locking it

    def release(self) -> None:
        """Take the file away, then let go."""
        with suppress(OSError):
            self.path.unlink()
        os.close(self._file)


def _owner(file: int) -> dict[str, Any]:
    """Return what a lock file says, nothing where it says nothing that can be read."""
    with suppress(ValueError, OSError):
        said = json.loads(os.pread(file, 4096, 0))
        if isinstance(said, dict):
            return said
    return {}


def _told(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    return f"process {owner.get('pid')} on {owner.get('host')} (since {owner.get('since')})"


def _is_at(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (os.fstat(file).st_dev, os.fstat(file).st_ino)
