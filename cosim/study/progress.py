"""How a sweep tells how far it is: a bar for people, a line of JSON a commit for programs."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO


@dataclass
class Count:
    """Rows of a run: `total` the study has, `stored` were there before or are by now, `acknowledged` are safe by this run."""

    total: int
    stored: int
    acknowledged: int = 0
    failed: int = 0
    start_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Wall time since the start."""
        return time.monotonic() - self.start_s

    def add(self, n_rows: int, n_failed: int) -> None:
        """Count rows that are safe now."""
        self.stored += n_rows
        self.acknowledged += n_rows
        self.failed += n_failed

    @property
    def remaining_s(self) -> float | None:
        """Wall time that the rest takes at the pace until now; None before there is one."""
        return (self.total - self.stored) * self.elapsed_s / self.acknowledged if self.acknowledged else None


class Progress(Protocol):
    """Told of rows once they are safe."""

    def committed(self, count: Count, n_rows: int) -> None:
        """Take note that n_rows more are safe."""

    def close(self) -> None:
        """Say nothing more."""


class Silent:
    """Says nothing."""

    def committed(self, count: Count, n_rows: int) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class JsonLines:
    """One line a commit, written at once after it: what it counts is acknowledged."""

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        self._stream = stream

    def committed(self, count: Count, n_rows: int) -> None:
        """Write a line; nobody may listen any more, and the sweep goes on."""
        left = count.remaining_s
        line = {
            "acknowledged": count.acknowledged,
            "rows": n_rows,
            "failed": count.failed,
            "stored": count.stored,
            "total": count.total,
            "elapsed_s": round(count.elapsed_s, 3),
            "remaining_s": None if left is None or not math.isfinite(left) else round(left, 3),
        }
        with suppress(OSError, ValueError):
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Say nothing more."""


class Bar:
    """A bar with rows, failures and remaining time on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        """Show nothing before the first rows."""
        self._stream = stream
        self._progress: Any = None

    def _started(self, count: Count) -> Any:
        from rich.console import Console  # noqa: PLC0415  (a sweep without a terminal does not pay for it)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=Console(file=self._stream), transient=True)
        progress.add_task("rows", total=count.total, completed=count.stored - count.acknowledged)
        progress.start()
        return progress

    def committed(self, count: Count, n_rows: int) -> None:
        """Move the bar."""
        del n_rows
        if self._progress is None:
            self._progress = self._started(count)
        task = self._progress.task_ids[0]
        self._progress.update(task, completed=count.stored, description=f"rows ({count.failed} failed)" if count.failed else "rows")

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
