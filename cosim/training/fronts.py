"""Points of two costs, both to be small: which none beats, and how much of a box they dominate."""

from __future__ import annotations

from collections.abc import Sequence


def front_of_two(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of points that no other beats or equals in both costs, by the first cost; of equal points the first stays."""
    order = sorted(range(len(points)), key=lambda i: (points[i], i))
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] < points[kept[-1]][1]:
            kept.append(i)
    return kept


def hypervolume_of_two(points: Sequence[tuple[float, float]], worst: tuple[float, float]) -> float:
    """Area between the points and `worst` that some point dominates; points beyond it add nothing.

    Sum over the front of (x_next - x) (y_worst - y). Source: Zitzler, Thiele, IEEE Trans. Evol. Comput. 3 (1999) 257.
    """
    inside = [point for point in points if point[0] < worst[0] and point[1] < worst[1]]
    front = [inside[i] for i in front_of_two(inside)]
    ends = [x for x, _ in front[1:]] + [worst[0]] * bool(front)
    return sum((end - x) * (worst[1] - y) for (x, y), end in zip(front, ends, strict=True))
