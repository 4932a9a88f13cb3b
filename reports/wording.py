"""How numbers are worded: units, shares, ratios, intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

from hw_models.units import show

TOPS_RULE = "1 MAC = 2 operations, whole chip"
INTERVAL = "90 % interval"


def quantity(value: float, unit: str) -> str:
    """Format an SI value with three digits: quantity(0.00123, "s") is "1.23 ms"; no unit at all for unit ""."""
    return show(value, unit).strip()


def span(low: float, high: float, unit: str) -> str:
    """Format an interval: "3.61 ms – 4.92 ms", or "3.61 – 4.92 ms" where both ends have the same prefix."""
    if low == high:
        return "no spread modeled"
    first, last = quantity(low, unit), quantity(high, unit)
    number, _, first_unit = first.partition(" ")
    if low == 0:
        return f"0 – {last}"
    return f"{number} – {last}" if first_unit == last.partition(" ")[2] else f"{first} – {last}"


def digits(value: float) -> str:
    """Format a plain number with three significant digits: 0.130, 1.00, 12.3, 1,234."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:#.3g}".rstrip(".") if 1e-4 <= abs(value) < 999.5 else f"{value:,.0f}" if abs(value) > 1 else f"{value:.3g}"


def area(area_m2: float) -> str:
    """Format an area in mm²: area(1.234e-5) is "12.3 mm²"."""
    return f"{digits(area_m2 * 1e6)} mm²"


def percent(share: float) -> str:
    """Format a fraction: "37.2 %", "< 0.1 %" for what is there but small, "0 %" for what is not."""
    if share == 0:
        return "0 %"
    if abs(share) < 0.0005:
        return "< 0.1 %"
    return f"{share * 100:.1f} %" if abs(share) < 0.9995 else f"{share * 100:.0f} %"


def times(factor: float) -> str:
    """Format a ratio with the digits that it deserves: 0.66, 1.04, 2.3, 23, 2,300; what is not 1 does not read as 1."""
    if not math.isfinite(factor):
        return "∞"
    if factor > 1.995:
        return f"{factor:.1f}" if factor < 9.95 else f"{factor:,.0f}"
    text = f"{factor:.2f}" if factor >= 0.1 else f"{factor:.2g}"
    if text != "1.00" or factor == 1:
        return text
    return next((finer for n in range(3, 7) if float(finer := f"{factor:.{n}f}") != 1), text)


def decibels(snr_db: float | None) -> str:
    """Format a signal over an error: "31.4 dB", "lossless" for none, "—" where nothing is analog."""
    if snr_db is None:
        return "—"
    return "lossless" if snr_db == math.inf else f"{snr_db:.1f} dB"


def count(number: float) -> str:
    """Format a count: 4.09 G, 25.6 M, 612."""
    return f"{number:,.0f}" if abs(number) < 10_000 else quantity(number, "")


def plural(number: int, noun: str) -> str:
    """Return "1 op", "2 ops"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shorten(name: str, width: int = 34) -> str:
    """Cut a long name in its middle, keeping more of its end, which tells ops apart."""
    if len(name) <= width:
        return name
    head = (width - 1) // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def labels(names: Sequence[str], width: int = 30) -> list[str]:
    """Cut the names of one list to a width; where that makes some alike, what long ones share at both ends goes first."""
    plain = [shorten(name, width) for name in names]
    long = [name for name in names if len(name) > width]
    if len(set(plain)) == len(set(names)):
        return plain
    head = _n_shared(long)
    tail = min(_n_shared([name[::-1] for name in long]), min(map(len, long)) - head)
    cores = [f"{'…' if head else ''}{name[head : len(name) - tail]}{'…' if tail else ''}" if len(name) > width else name for name in names]
    return [shorten(core, width) for core in cores]


def _n_shared(names: Sequence[str]) -> int:
    """Count the letters that all names start with."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))
