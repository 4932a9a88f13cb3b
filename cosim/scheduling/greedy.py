"""Greedy: each op, as it comes, where it ends first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import Policy, policy
from cosim.scheduling.instance import Plan
from cosim.scheduling.single import append_in_order

if TYPE_CHECKING:
    from cosim.scheduling.instance import Instance


@policy("greedy")
class Greedy(Policy):
    """Tasks in topological order, each after the last task of the device where it ends first (ties: lowest index)."""

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return append_in_order(instance, np.full(instance.n_tasks, -1))
