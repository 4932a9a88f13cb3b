"""Statistics of a played load: time averages over a window, percentiles with intervals, and signs of a queue that grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosim.engine.problem import Playback
from cosim.simulation.load_result import PERCENTILES, Estimate
from cosim.simulation.replicate import Replica

Floats = NDArray[np.float64]

N_BLOCKS = 20  # consecutive inferences resampled together, so that queues within a block stay as they were
N_RESAMPLES = 200
LEAST_COUNTED = 2 * N_BLOCKS  # below, no interval is given
N_BINS = 20  # of the window, for the slope of the number in the system


def latency_estimates(latency_s: Floats, rng: np.random.Generator) -> dict[str, Estimate]:
    """Mean, percentiles and largest of latencies in the order of arrival, with 90 % intervals by a block bootstrap.

    Blocks of n / 20 consecutive inferences are drawn with replacement (Künsch, Ann. Statist. 17, 1989), since neighbors wait in one queue.
    """
    if not latency_s.size:
        return {}
    names, shares = list(PERCENTILES), list(PERCENTILES.values())
    values = [float(latency_s.mean()), *np.quantile(latency_s, shares).tolist()]
    if latency_s.size < LEAST_COUNTED:
        found = dict(zip(["mean", *names], map(Estimate, values), strict=True))
    else:
        blocks = latency_s[latency_s.size % N_BLOCKS :].reshape(N_BLOCKS, -1)
        drawn = [blocks[rng.integers(N_BLOCKS, size=N_BLOCKS)].ravel() for _ in range(N_RESAMPLES)]
        samples = np.array([[sample.mean(), *np.quantile(sample, shares)] for sample in drawn])
        low, high = np.quantile(samples, [0.05, 0.95], axis=0)
        ends = zip(values, np.minimum(low, values).tolist(), np.maximum(high, values).tolist(), strict=True)
        found = dict(zip(["mean", *names], (Estimate(*three) for three in ends), strict=True))
    return found | {"max": Estimate(float(latency_s.max()))}


def within_s(start_s: Floats, end_s: Floats, window_s: tuple[float, float]) -> Floats:
    """[n] seconds of each span that lie in a window."""
    return np.asarray(np.maximum(np.minimum(end_s, window_s[1]) - np.maximum(start_s, window_s[0]), 0.0))


def mean_number(start_s: Floats, end_s: Floats, window_s: tuple[float, float]) -> float:
    """Time average of how many spans [start, end) are open in a window; 0 for a window without length."""
    length_s = window_s[1] - window_s[0]
    return float(within_s(start_s, end_s, window_s).sum() / length_s) if length_s > 0 else 0.0


def most_open(start_s: Floats, end_s: Floats) -> int:
    """Largest number of spans open at one time; what ends at an instant leaves before what starts then."""
    times = np.concatenate([end_s, start_s])
    change = np.concatenate([np.full(end_s.size, -1), np.full(start_s.size, 1)])[np.argsort(times, kind="stable")]
    return int(np.cumsum(change).max(initial=0))


def number_by_bin(start_s: Floats, end_s: Floats, window_s: tuple[float, float], n_bins: int) -> Floats:
    """[n_bins] time average of open spans in equal parts of a window."""
    edges = np.linspace(*window_s, n_bins + 1)
    width_s = (window_s[1] - window_s[0]) / n_bins
    area = _area_until(edges, start_s) - _area_until(edges, end_s)
    return np.asarray(np.diff(area) / width_s) if width_s > 0 else np.zeros(n_bins)


def _area_until(at_s: Floats, event_s: Floats) -> Floats:
    """Integral up to each time of how many events have happened: sum over events before t of (t - event)."""
    events = np.sort(event_s)
    total_s = np.concatenate([[0.0], np.cumsum(events)])
    n = np.searchsorted(events, at_s)
    return np.asarray(n * at_s - total_s[n], np.float64)


def growth(arrival_s: Floats, end_s: Floats, window_s: tuple[float, float], n_counted: int) -> tuple[float, bool]:
    """Slope of the number in the system (least squares over 20 parts of the window), and whether it stays bounded.

    It is taken for growing when the second half has 1.5 times the first half's mean and, at the end of the window, more than 10
    inferences and 3 % of all that arrived in it are still there.
    """
    number = number_by_bin(arrival_s, end_s, window_s, N_BINS)
    width_s = (window_s[1] - window_s[0]) / N_BINS
    place = np.arange(N_BINS) - (N_BINS - 1) / 2
    slope = float(place @ number / (place @ place)) / width_s if width_s > 0 else 0.0
    left = int((end_s > window_s[1]).sum() - (arrival_s > window_s[1]).sum())
    half = N_BINS // 2
    grows = number[half:].mean() > 1.5 * number[:half].mean() and left > max(10.0, 0.03 * n_counted)
    return slope, not bool(grows)


def busy_by_device(replica: Replica, playback: Playback, window_s: tuple[float, float]) -> Floats:
    """[n_devices] seconds of a window in which each device runs an op."""
    inside_s = within_s(playback.start_s, playback.end_s, window_s)
    return np.asarray(np.bincount(replica.problem.assignment, weights=inside_s, minlength=replica.problem.n_devices), np.float64)


def carried_s(replica: Replica, playback: Playback, n_ops: int, flow_demand_s: Floats, window_s: tuple[float, float]) -> Floats:
    """[n_memories + n_links] seconds at full bandwidth of the bytes moved in a window; those of an op or edge are spread over its time.

    flow_demand_s  [n_ops + n_edges, n_memories + n_links] seconds of each op and edge that is repeated
    """
    m = replica.edge.size
    parts = (
        (replica.task, playback.start_s, playback.end_s),
        (n_ops + replica.edge, playback.edge_start_s[:m], playback.edge_end_s[:m]),
    )
    shares = np.zeros(flow_demand_s.shape[0])
    for flow, start_s, end_s in parts:
        length_s = end_s - start_s
        inside = (start_s >= window_s[0]) & (start_s < window_s[1])
        part = np.divide(within_s(start_s, end_s, window_s), length_s, out=inside.astype(np.float64), where=length_s > 0)
        shares += np.bincount(flow, weights=part, minlength=shares.size)
    return np.asarray(shares @ flow_demand_s)
