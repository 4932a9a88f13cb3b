"""Laws of components: run them on a device, memory, policy, workload or chip of your own, as `tests/conformance` runs them on ours.

>>> from cosim.testing import check_device
>>> check_device(MyNpu, MyNpuSpec.model_validate({"clock": "1 GHz"}))

A check returns nothing, or raises the CosimError of its subject, saying which law failed and with which numbers.
"""

from __future__ import annotations

from cosim.testing.chips import check_chip, check_run, tiny_network
from cosim.testing.devices import check_device, sample_ops
from cosim.testing.memories import check_memory
from cosim.testing.networks import check_workload
from cosim.testing.policies import check_policy, small_instance

__all__ = [
    "check_chip",
    "check_device",
    "check_memory",
    "check_policy",
    "check_run",
    "check_workload",
    "sample_ops",
    "small_instance",
    "tiny_network",
]
