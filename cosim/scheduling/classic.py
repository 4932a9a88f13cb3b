"""The classic list schedulers, compiled, and the best of them.

Ties: earlier in topological order; on devices: lowest index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.scheduling.base import Policy, make_policy, policy
from cosim.scheduling.instance import Plan, plan_from_times
from cosim.scheduling.kernels import classic as kernels
from cosim.scheduling.kernels.ranks import ready_order, upward_rank
from cosim.scheduling.objective import keeps_loss, values_of, within_loss

if TYPE_CHECKING:
    from cosim.engine.problem import IntArray
    from cosim.scheduling.instance import Instance

# What `portfolio` takes the best of; ties: the first.
MEMBERS = ("heft", "peft", "lookahead", "cpop", "minmin", "maxmin", "sufferage", "met", "single", "greedy")


@policy("heft")
class Heft(Policy):
    """Tasks by descending upward rank, each on the device where it ends first, gaps included.

    Source: Topcuoglu, Hariri, Wu, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing", IEEE TPDS 13(3), 2002.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.heft(instance.arrays))


@policy("cpop")
class Cpop(Policy):
    """Ready queue by upward + downward rank; the critical path on one device where one supports it, all else where it ends first.

    Source: Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.cpop(instance.arrays))


@policy("peft")
class Peft(Policy):
    """Ready queue by what remains at best after a task, each on the device of least end + rest, gaps included.

    Source: Arabnejad, Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost
    table", IEEE TPDS 25(3), 2014.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.peft(instance.arrays))


@policy("lookahead")
class Lookahead(Policy):
    """HEFT that tries each device with the successors placed after the task, and takes the one where the last of them ends first.

    Source: Bittencourt, Sakellariou, Madeira, "DAG scheduling using a lookahead variant of the
    heterogeneous earliest finish time algorithm", Euromicro PDP 2010.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.lookahead(instance.arrays))


@policy("minmin")
class MinMin(Policy):
    """Of all ready tasks, each where it ends first, the one that ends first goes next, after all that its device has.

    Source: Ibarra, Kim, "Heuristic algorithms for scheduling independent tasks on nonidentical
    processors", J. ACM 24(2), 1977.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.batch(instance.arrays, 0))


@policy("maxmin")
class MaxMin(Policy):
    """Of all ready tasks, each where it ends first, the one that ends last goes next, after all that its device has.

    Source: Ibarra, Kim, J. ACM 24(2), 1977.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.batch(instance.arrays, 1))


@policy("sufferage")
class Sufferage(Policy):
    """Of all ready tasks, the one whose end on its second-best device is farthest from its best goes next, to the best.

    Source: Maheswaran et al., "Dynamic matching and scheduling of a class of independent tasks onto
    heterogeneous computing systems", HCW 1999.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.batch(instance.arrays, 2))


@policy("met")
class Met(Policy):
    """Minimum execution time: tasks by descending upward rank, each on its fastest device, gaps included.

    Source: Braun et al., "A comparison of eleven static heuristics", J. Parallel Distrib. Comput. 61(6), 2001.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing."""
        return plan_from_times(instance, *kernels.fastest(instance.arrays))


@policy("portfolio")
class Portfolio(Policy):
    """The best of all classic policies, single and greedy: by makespan as the engine plays it, by energy, within a loss of accuracy.

    A member that loses more accuracy than the goal allows is repaired: some tasks move to where they lose
    least, and all are placed anew by descending upward rank.
    """

    def plan(self, instance: Instance, rng: np.random.Generator) -> Plan:
        """Place and order all tasks; draws nothing. Raises ScheduleError when no placement keeps to the goal's loss."""
        plans = [make_policy(name).plan(instance, rng) for name in MEMBERS]
        kept = [plan if keeps_loss(instance, plan.assignment) else _repaired(instance, plan.assignment) for plan in plans]
        return kept[int(np.argmin(values_of(instance, kept)))]


def _repaired(instance: Instance, assignment: IntArray) -> Plan:
    a = instance.arrays
    order, nothing = ready_order(a, upward_rank(a)), np.zeros(a.cost_s.shape)
    return plan_from_times(instance, *kernels.place_in_order(a, order, within_loss(instance, assignment), nothing, gaps=True))
