"""Levels of an axis as a study file writes them: lists, `4..8`, `64..1024 x2`, `0.6 V..0.9 V step 0.1 V`, `100 MHz..400 MHz count 4`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from cosim.study.space import Kind, Level
from hw_models.units import UNITS
from workloads.errors import SpecError

_MOST = 10_000  # levels of one axis
_RANGE = re.compile(
    r"\s*(?P<low>[^.].*?|\.\d.*?)\s*\.\.\s*(?P<high>.+?)"
    r"(?:\s+(?P<how>step|count|log)\s+(?P<by>.+?)|\s+x\s*(?P<times>\S+))?\s*$"
)
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*)?$")


def read_levels(given: Any) -> tuple[tuple[Level, ...], Kind]:
    """Return the levels that a value stands for, and their kind: numbers and quantities of one unit in order are ordinal.

    A list is taken as it is; `a..b` counts whole numbers; a real range needs `step d`, `count n` or `log n` (equal ratios), `a..b x r`
    multiplies by r. Raises SpecError that says what would do.
    """
    if isinstance(given, Mapping):
        given = _as_text(given)
    if isinstance(given, str) and ".." in given:
        levels = _range(given)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        levels = tuple(given)
    else:
        levels = (given,)
    if not levels:
        raise SpecError("there are no levels; give a list or a range that is not empty")
    for level in levels:
        if not (level is None or isinstance(level, str | int | float | bool)):
            raise SpecError(f"level {level!r} is a {type(level).__name__}; give numbers, words or quantities")
    return levels, kind_of(levels)


def kind_of(levels: Sequence[Level]) -> Kind:
    """Return "ordinal" for three or more numbers or quantities of one unit that go up or down all the way, else "categorical"."""
    given = [level for level in levels if level is not None]
    parsed = [_quantity(level) for level in given]
    numbers = [pair for pair in parsed if pair is not None]
    if len(numbers) < 3 or len(numbers) < len(given) or len(given) < len(levels):
        return "categorical"
    values = [value * _factor(unit) for value, unit in numbers]
    rises = [b > a for a, b in pairwise(values)]
    return "ordinal" if all(rises) or not any(rises) else "categorical"


def _as_text(given: Mapping[str, Any]) -> str:
    """Return the text form of {from, to, step | count | log | times}."""
    known = {"from", "to", "step", "count", "log", "times"}
    for key in given:
        if key not in known:
            raise SpecError(f"range key {key!r} is not known; write from and to with one of step, count, log or times")
    if "from" not in given or "to" not in given or len(given) > 3:
        raise SpecError(f"range {dict(given)} needs from and to, and at most one of step, count, log and times")
    text = f"{given['from']}..{given['to']}"
    for key in ("step", "count", "log"):
        text += f" {key} {given[key]}" if key in given else ""
    return f"{text} x {given['times']}" if "times" in given else text


def _range(text: str) -> tuple[Level, ...]:
    """Expand one range; the unit may stand at one end only."""
    match = _RANGE.match(text)
    parts = [_quantity(match[name]) for name in ("low", "high")] if match else [None]
    if match is None or None in parts:
        raise SpecError(f"range {text!r} cannot be read; write 4..8, 0.6 V..0.9 V step 0.1 V, 100 MHz..400 MHz count 4 or 64..1024 x2")
    (low, low_unit), (high, unit) = parts  # type: ignore[misc]  # none is None
    if low_unit and unit and low_unit != unit:
        raise SpecError(f"range {text!r} has two units; write both ends in {unit}")
    unit = unit or low_unit
    if high < low:
        raise SpecError(f"range {text!r} is empty; write the smaller end first")
    numbers = _numbers(text, Fraction(str(low)), Fraction(str(high)), match, unit)
    return tuple(f"{_plain(one)} {unit}" if unit else _plain(one) for one in numbers)


def _numbers(text: str, low: Fraction, high: Fraction, match: re.Match[str], unit: str) -> list[Fraction | float]:
    how, by = match["how"], _quantity(match["by"] or match["times"] or "1")
    if by is None or (by[1] and by[1] != unit) or by[0] <= 0:
        raise SpecError(f"range {text!r}: {match['by'] or match['times']!r} is no positive number{f' in {unit}' if unit else ''}")
    if match["times"]:
        return _powers(text, low, high, Fraction(str(by[0])))
    if how in {"count", "log"}:
        return _counted(text, low, high, by[0], equal_ratios=how == "log")
    is_whole = low.denominator == high.denominator == 1 and not unit
    if how is None and not is_whole:
        raise SpecError(f"range {text!r} is one of real numbers; add a step or a count, such as {text} count 5")
    step = Fraction(str(by[0]))
    n = int((high - low) / step) + 1
    _not_too_many(text, n)
    return [low + step * i for i in range(n)]


def _powers(text: str, low: Fraction, high: Fraction, ratio: Fraction) -> list[Fraction | float]:
    if ratio <= 1 or low <= 0:
        raise SpecError(f"range {text!r} never gets to its end; multiply a positive number by more than 1")
    found: list[Fraction | float] = []
    value = low
    while value <= high:
        found.append(value)
        value *= ratio
    return found


def _counted(text: str, low: Fraction, high: Fraction, by: float, *, equal_ratios: bool) -> list[Fraction | float]:
    if not float(by).is_integer() or by < 2 or (equal_ratios and low <= 0):
        raise SpecError(f"range {text!r}: count whole numbers of 2 or more{', from above 0' if equal_ratios else ''}")
    n = int(by)
    _not_too_many(text, n)
    if equal_ratios:
        return [float(f"{float(low) * float(high / low) ** (i / (n - 1)):.6g}") for i in range(n)]
    return [low + (high - low) * i / (n - 1) for i in range(n)]


def _not_too_many(text: str, n: int) -> None:
    if n > _MOST:
        raise SpecError(f"range {text!r} has {n:,} levels; choose a larger step, {_MOST:,} levels at most")


def _quantity(level: Any) -> tuple[float, str] | None:
    """Return number and unit (may be empty) of a number or a quantity, None of anything else."""
    if isinstance(level, bool) or level is None:
        return None
    if isinstance(level, int | float):
        return (level, "") if math.isfinite(level) else None
    match = _NUMBER.match(level.strip())
    if match is None or (match[2] and not any(match[2] in table for table in UNITS.values())):
        return None
    return float(match[1]) if not match[1].lstrip("+-").isdigit() else int(match[1]), match[2] or ""


def _factor(unit: str) -> float:
    """Return what one of a unit is in SI; 1 without one."""
    return next((table[unit] for table in UNITS.values() if unit in table), 1.0)


def _plain(number: Fraction | float) -> int | float:
    """Return a whole number as int, any other as the nearest float."""
    return int(number) if float(number).is_integer() else float(number)
