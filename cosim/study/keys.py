"""What stands for a row: 32 digits of a hash over digests that are made once for each variant of what can change a number."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from cosim.provenance import model_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray


def row_keys(prefixes: NDArray[np.uint8], runs: Iterable[bytes]) -> Iterator[str]:
    """Yield the key of each point: SHA-256 of the digests of its chip's sections [n, width] and of how it is run, 32 digits of it."""
    for prefix, run in zip(prefixes, runs, strict=True):
        yield hashlib.sha256(prefix.tobytes() + run).hexdigest()[:32]


def run_digest(network: bytes, policy: str, fidelity: str, seed: int, salt: str = "") -> bytes:
    """Return 16 bytes for a network at its bits, a policy, a fidelity, the version of all models, and a seed."""
    text = f"{policy}\n{fidelity}\n{model_version()}\n{seed}\n{salt}"
    return hashlib.sha256(network + text.encode()).digest()[:16]


def policy_text(policy: str) -> str:
    """Return a policy's name and argument, with the hash of the weights that it uses."""
    return f"{policy} {_learned_weights()}" if policy.partition(":")[0] == "learned" else policy


@cache
def _learned_weights() -> str:
    from cosim.scheduling.policy_weights import SHIPPED  # noqa: PLC0415  (compiled kernels; only the learned policy needs them)

    return hashlib.sha256(SHIPPED.read_bytes()).hexdigest()[:16]
