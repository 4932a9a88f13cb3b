"""The chain of ops and transfers that sets the makespan: walk back from the last end."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.engine.problem import Playback, Problem


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the chain: op `op`, or the transfer on edge `edge` into it; seconds it took."""

    op: int
    edge: int | None
    duration_s: float


def critical_path(problem: Problem, playback: Playback) -> list[Step]:
    """Return the steps from last to first; their durations cover the makespan but for idle waits."""
    if problem.cost_s.size == 0:
        return []
    into: dict[int, list[int]] = {}
    for edge, dst in enumerate(problem.edge_dst.tolist()):
        into.setdefault(dst, []).append(edge)
    by_device: dict[int, list[int]] = {}
    for op, device in enumerate(problem.assignment.tolist()):
        by_device.setdefault(device, []).append(op)
    start, end = playback.start_s, playback.end_s
    steps: list[Step] = []
    op = int(end.argmax())
    seen: set[int] = set()
    while op not in seen:
        seen.add(op)
        steps.append(Step(op, None, float(end[op] - start[op])))
        arrival, edge = max(((float(playback.edge_end_s[e]), e) for e in into.get(op, ())), default=(-1.0, -1))
        before = [o for o in by_device[int(problem.assignment[op])] if end[o] <= start[op] and o not in seen]
        freed, previous = max(((float(end[o]), o) for o in before), default=(-1.0, -1))
        if edge < 0 and previous < 0:
            break
        if arrival >= freed:
            src = int(problem.edge_src[edge])
            steps.append(Step(op, edge, arrival - float(end[src])))
            op = src
        else:
            op = previous
    return steps
