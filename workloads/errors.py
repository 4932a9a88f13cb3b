"""The family of errors that a user's mistake can raise.

CosimError
├── SpecError         a chip, part or unit that cannot be read or is not physical
├── WorkloadError     a network that cannot be read, or asks for what its graph does not have
├── MappingError      an op that no device, or not this device, can hold
├── ScheduleError     a placement that does not fit the workload or the chip
├── SimulationError   a run that cannot go on
└── StoreError        results that cannot be written or read back

Every message names where (file, line, key), what was given and what would do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LIST_CHARS = 200  # longest list of names in a message: a zoo has hundreds, a workload thousands of ops


class CosimError(Exception):
    """A mistake that the user can mend; shown without a traceback, exit code 2."""


class SpecError(CosimError):
    """A chip, part or quantity that cannot be read."""


class WorkloadError(CosimError):
    """A network that cannot be read or built."""


class MappingError(CosimError):
    """An op that cannot be mapped on the devices there are."""


class ScheduleError(CosimError):
    """A placement that does not fit its workload or chip."""


class SimulationError(CosimError):
    """A run that cannot go on."""


class StoreError(CosimError):
    """Results that cannot be written or read back."""


def suggest(given: str, known: Iterable[str]) -> str:
    """Return `` did you mean 'x'?`` for the nearest known name, else the list of known names, cut short where it is long."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "nothing is known here"
    text = f"choose one of: {', '.join(names)}"
    return text if len(text) <= _LIST_CHARS else f"{text[:_LIST_CHARS]}..."
