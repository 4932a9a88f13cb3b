"""What all checks share: a law either holds or is refused by name, with numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workloads.errors import CosimError

# Sums in another order may differ by so much; nothing else may.
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Judge:
    """Raises `error`, in the name of `who`, where a law does not hold."""

    who: str
    error: type[CosimError]

    def law(self, law: str, holds: bool | np.bool_, numbers: str) -> None:
        """Refuse one broken law."""
        if not holds:
            raise self.error(f"{self.who}: {law}; {numbers}")

    def everywhere(self, law: str, holds: NDArray[np.bool_], say: Callable[[int], str]) -> None:
        """Refuse a law that some entry breaks, and say the numbers of the first."""
        wrong = np.flatnonzero(~holds)
        if wrong.size:
            more = f" (and {wrong.size - 1} more)" if wrong.size > 1 else ""
            raise self.error(f"{self.who}: {law}; {say(int(wrong[0]))}{more}")


def close(a: float, b: float) -> bool:
    """Whether two sums of the same numbers agree."""
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
