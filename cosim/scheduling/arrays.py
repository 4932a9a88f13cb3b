"""An instance as compiled policies read it: edges in compressed rows, transfer times looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from cosim.engine.problem import FloatArray, IntArray
    from cosim.scheduling.instance import Instance


class Arrays(NamedTuple):
    """Contiguous float64 and int64 arrays of one instance of n tasks, m devices and e edges.

    cost_s           [n, m] infinite where not supported
    order            [n] topological order, smallest id first
    pred_first       [n + 1] the in-edges of task t stand at pred_first[t]:pred_first[t + 1], in edge order
    pred             [e] source task of each in-edge
    succ_first       [n + 1] the out-edges of task t stand at succ_first[t]:succ_first[t + 1], in edge order
    succ             [e] destination task of each out-edge
    succ_place       [e] where that edge stands among the in-edges
    transfer_s       [e, m, m] time from device p to device q of each in-edge, 0 on the diagonal
    mean_cost_s      [n] over the devices that support the task
    mean_transfer_s  [e] of each in-edge, over ordered pairs of distinct devices
    """

    cost_s: FloatArray
    order: IntArray
    pred_first: IntArray
    pred: IntArray
    succ_first: IntArray
    succ: IntArray
    succ_place: IntArray
    transfer_s: FloatArray
    mean_cost_s: FloatArray
    mean_transfer_s: FloatArray


def arrays_of(instance: Instance) -> Arrays:
    """Lay an instance out for the compiled policies."""
    n, m = instance.n_tasks, instance.n_devices
    by_dst = np.argsort(instance.edge_dst, kind="stable")
    by_src = np.argsort(instance.edge_src, kind="stable")
    place = np.empty(instance.n_edges, np.int64)
    place[by_dst] = np.arange(instance.n_edges)
    apart = ~np.eye(m, dtype=bool)
    bandwidth = np.where(apart, instance.bandwidth_bytes_per_s, np.inf)
    latency_s = np.where(apart, instance.latency_s, 0.0)
    return Arrays(
        cost_s=instance.cost_s,
        order=instance.topological_order,
        pred_first=np.searchsorted(instance.edge_dst[by_dst], np.arange(n + 1)).astype(np.int64),
        pred=instance.edge_src[by_dst],
        succ_first=np.searchsorted(instance.edge_src[by_src], np.arange(n + 1)).astype(np.int64),
        succ=instance.edge_dst[by_src],
        succ_place=place[by_src],
        transfer_s=np.ascontiguousarray(latency_s + instance.edge_bytes[by_dst, None, None] / bandwidth),
        mean_cost_s=instance.mean_cost_s,
        mean_transfer_s=instance.mean_transfer_s[by_dst],
    )
