"""90 % intervals of totals and of ratios, from the spreads that each number rests on.

First order: each spread name is one independent unknown with 90 % factor f. Its whole exposure (the
joules or seconds that scale with it) goes up to f and down to 1/f together; deviations of different
names add in squares (Gaussian error propagation, JCGM 100:2008 equation 10).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp, hypot, log, sqrt

from hw_models.cost import Spread


@dataclass(slots=True)
class Exposure:
    """A total and, by spread name, the part of it that scales with that spread.

    One name may come with several factors (a scaling law is surer over one node than over three). The largest is kept,
    and a part p of a smaller factor f counts as p ln f / ln f_max: to first order it moves the total as much.
    A product (`in_logs`) moves by f^(p / total): what doubles both of its factors makes it four times as large.
    """

    total: float = 0.0
    by_name: dict[str, tuple[float, float]] = field(default_factory=dict)  # name → (factor, exposed part)
    in_logs: bool = False

    def add(self, amount: float, spreads: Iterable[Spread]) -> None:
        """Add an amount that scales with each of the spreads."""
        self.total += amount
        self.expose(amount, spreads)

    def expose(self, amount: float, spreads: Iterable[Spread]) -> None:
        """Let an amount already in the total scale with further spreads."""
        for spread in spreads:
            factor, part = self.by_name.get(spread.name, (spread.factor, 0.0))
            largest = max(factor, spread.factor)
            moved = part * _as_moved(factor, largest) + amount * _as_moved(spread.factor, largest)
            self.by_name[spread.name] = (largest, moved)

    def interval(self) -> tuple[float, float]:
        """Return (low, high): total -/+ root of the summed squares of the deviations, in logs for a product."""
        if self.in_logs:
            width = exp(hypot(*(_log_gain(self, name) for name in self.by_name))) if self.total > 0 else 1.0
            return self.total / width, self.total * width
        up = hypot(*(part * (factor - 1) for factor, part in self.by_name.values()))
        down = hypot(*(part * (1 - 1 / factor) for factor, part in self.by_name.values()))
        return max(0.0, self.total - down), self.total + up

    def ranked(self) -> list[tuple[str, float, float]]:
        """Return (name, factor, share of the total that rests on it), largest deviation first."""
        scale = self.total or 1.0
        rows = [(name, factor, part / scale) for name, (factor, part) in self.by_name.items()]
        return sorted(rows, key=lambda row: (-(row[1] - 1) * row[2], row[0]))


def ratio_interval(new: Exposure, old: Exposure) -> tuple[float, float]:
    """90 % interval of new.total / old.total; a spread that both rest on moves both and partly cancels."""
    if old.total <= 0 or new.total <= 0:
        return 0.0, float("inf")
    square = 0.0
    for name in new.by_name.keys() | old.by_name.keys():
        square += (_log_gain(new, name) - _log_gain(old, name)) ** 2
    ratio, width = new.total / old.total, exp(sqrt(square))
    return ratio / width, ratio * width


def _log_gain(exposure: Exposure, name: str) -> float:
    """Logarithm of the factor by which the total grows when the named spread goes to its upper end, by its own factor here."""
    factor, part = exposure.by_name.get(name, (1.0, 0.0))
    if exposure.in_logs:
        return part / exposure.total * log(factor)
    return log(1 + part * (factor - 1) / exposure.total)


def _as_moved(factor: float, largest: float) -> float:
    """Share of a part under the largest factor that moves as much as all of it under a smaller one: ln f / ln f_max."""
    return log(factor) / log(largest) if factor < largest else 1.0
