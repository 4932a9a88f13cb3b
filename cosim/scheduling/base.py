"""Policies: who runs what, and in which order. One interface; found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from cosim.scheduling.fixed import plan_from_schedule
from cosim.scheduling.instance import Instance, Plan, plan_from_times
from workloads.errors import ScheduleError, suggest
from workloads.plugins import Classes

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Instance", "Plan", "Policy", "make_policy", "plan_from_schedule", "plan_from_times", "policy", "policy_classes"]


class Policy(ABC):
    """Makes a plan of an instance. `argument` is what follows the colon in "name:argument"."""

    name: ClassVar[str]
    takes_argument: ClassVar[bool] = False

    def __init__(self, argument: str = "") -> None:
        """Keep the argument; raises ScheduleError if the policy takes none."""
        if argument and not self.takes_argument:
            raise ScheduleError(f"policy {self.name!r} takes no argument, but {argument!r} was given; write {self.name!r}")
        self.argument = argument

    @abstractmethod
    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; whatever is drawn comes from `rng`."""


_BUILT_IN = ("classic", "exact", "greedy", "learned", "search", "single")
_POLICIES: Classes[Policy] = Classes("policy", "name", [f"cosim.scheduling.{name}" for name in _BUILT_IN], "cosim.policies", ScheduleError)

# Decorator that registers a policy class under the name that `--policy` takes.
policy = _POLICIES.register


def policy_classes() -> dict[str, type[Policy]]:
    """Return every policy class by name."""
    return _POLICIES.loaded()


def make_policy(text: str) -> Policy:
    """Return the policy called "name" or "name:argument"; raises ScheduleError with the nearest name when there is none.

    "fixed:FILE" is not made here: its file can be read only with a workload and a chip at hand.
    """
    name, _, argument = text.partition(":")
    classes = policy_classes()
    if text == "fixed":
        raise ScheduleError("policy 'fixed' needs the file of a placement: write fixed:FILE")
    if name not in classes:
        raise ScheduleError(f"policy {name!r} is not known; {suggest(name, (*classes, 'fixed'))}")
    return classes[name](argument)
