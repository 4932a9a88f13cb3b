"""Quantities written with a unit ("13.32 ns", "64 KiB") become plain SI floats; bare numbers are refused."""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

# Unit of a quantity → {symbol: factor to SI}. KiB is 1024 B, kB is 1000 B; a bare "K" is nobody's unit.
_PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18}
_SMALL = {"", "m", "u", "µ", "n", "p", "f", "a"}
_BINARY = {"Ki": 1024.0, "Mi": 1024.0**2, "Gi": 1024.0**3, "Ti": 1024.0**4}
_LARGE = {p: _PREFIX[p] for p in ("", "k", "M", "G", "T")}
_BYTES = {f"{p}B": f for p, f in (_LARGE | _BINARY).items()}
_BITS = {f"{p}bit": f / 8 for p, f in (_LARGE | _BINARY).items()} | {f"{p}b": f / 8 for p, f in _BINARY.items()}


def _si(symbol: str, prefixes: set[str] | None = None) -> dict[str, float]:
    return {f"{p}{symbol}": f for p, f in _PREFIX.items() if prefixes is None or p in prefixes}


_ENERGY = _si("J", _SMALL | {"k"})
UNITS: dict[str, dict[str, float]] = {
    "s": _si("s", _SMALL) | {"min": 60.0, "h": 3600.0, "day": 86400.0, "year": 365.25 * 86400.0},
    "J": _ENERGY | {"eV": 1.602176634e-19},
    "W": _si("W"),
    "Hz": _si("Hz"),
    "V": _si("V"),
    "A": _si("A"),
    "F": _si("F", _SMALL),
    "ohm": _si("ohm"),
    "S": _si("S", _SMALL),
    "m": _si("m", _SMALL) | {"cm": 1e-2},
    "m2": {"m2": 1.0, "cm2": 1e-4, "mm2": 1e-6, "um2": 1e-12, "µm2": 1e-12, "nm2": 1e-18},
    "K": {"K": 1.0},
    "B": _BYTES | _BITS,
    "B/s": {f"{u}/s": f for u, f in (_BYTES | _BITS).items()} | {f"{p}bps": f / 8 for p, f in _LARGE.items()},
    "J/B": {f"{u}/B": f for u, f in _ENERGY.items()} | {f"{u}/bit": 8 * f for u, f in _ENERGY.items()},
    "J/op": {f"{u}/{n}": f for u, f in _ENERGY.items() for n in ("op", "MAC", "conversion", "access")},
    "W/m2": {"W/m2": 1.0, "W/mm2": 1e6, "mW/mm2": 1e3, "uW/mm2": 1.0},
    "op/s": {f"{p}{n}/s": f for p, f in _LARGE.items() for n in ("op", "OP", "MAC", "FLOP")} | {f"{p}OPS": f for p, f in _LARGE.items()},
    "F/m": {"F/m": 1.0, "fF/um": 1e-9, "aF/um": 1e-12, "fF/mm": 1e-12, "pF/mm": 1e-9},
}

_EXAMPLE = {
    "s": "13.5 ns", "J": "0.9 pJ", "W": "2 mW", "Hz": "1.6 GHz", "V": "0.8 V", "A": "57 mA", "F": "2 fF", "ohm": "10 kohm",
    "S": "25 uS", "m": "22 nm", "m2": "1.5 mm2", "K": "340 K", "B": "64 KiB", "B/s": "25.6 GB/s", "J/B": "7 pJ/bit",
    "J/op": "0.2 pJ/MAC", "W/m2": "10 mW/mm2", "op/s": "4 TOPS", "F/m": "0.2 fF/um",
}  # fmt: skip

_ENDLESS = (math.inf, -math.inf)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*$")


def parse_quantity(text: object, unit: str) -> float:
    """Return the SI value of a text such as "13.32 ns"; `unit` is a key of UNITS.

    Raises ValueError when the text is a bare number, has a unit of another quantity, or no number at all.
    """
    if isinstance(text, str):
        return _parsed(text, unit)
    example = f"write a quantity in {unit}, such as {_EXAMPLE[unit]!r}"
    if isinstance(text, bool) or not isinstance(text, (int, float)):
        raise ValueError(f"{example}; got {text!r}")  # noqa: TRY004  (pydantic turns ValueError into a located error)
    raise ValueError(f"{example}; got {text!r}{'' if text in _ENDLESS or text != text else ' without a unit'}")  # noqa: PLR0124  (nan)


@lru_cache(maxsize=8192)
def _parsed(text: str, unit: str) -> float:
    """As `parse_quantity`, for texts; studies ask for the same ones again and again."""
    example = f"write a quantity in {unit}, such as {_EXAMPLE[unit]!r}"
    match = _NUMBER.match(text)
    if match is None:
        raise ValueError(f"{example}; got {text!r}")
    number, symbol = match.groups()
    if symbol is None:
        raise ValueError(f"{example}; got {text!r} without a unit")
    known = UNITS[unit]
    if symbol not in known:
        owners = [name for name, table in UNITS.items() if symbol in table]
        reason = f"{symbol!r} is a unit of {' or '.join(owners)}" if owners else f"{symbol!r} is not a known unit"
        raise ValueError(f"{example}; got {text!r}: {reason}")
    value = float(number) * known[symbol]
    if not math.isfinite(value):
        raise ValueError(f"{example}; got {text!r}, which is not finite")
    return value


def same_value(given: object, other: object) -> bool:
    """Whether two values of a file say the same: equal, or one quantity in two units ("0.9 V", "900 mV")."""
    if not (isinstance(given, str) and isinstance(other, str)):
        return given == other and isinstance(given, bool) == isinstance(other, bool)
    a, b = _NUMBER.match(given), _NUMBER.match(other)
    if a is None or b is None:
        return given == other
    tables = [table for table in UNITS.values() if a[2] in table and b[2] in table]
    return given == other or any(float(a[1]) * table[a[2]] == float(b[1]) * table[b[2]] for table in tables)


def _field(unit: str) -> tuple[BeforeValidator, WithJsonSchema]:
    schema = {"type": "string", "description": f"a quantity in {unit}", "examples": [_EXAMPLE[unit]]}
    return BeforeValidator(lambda text: parse_quantity(text, unit)), WithJsonSchema(schema)


def _positive(unit: str) -> tuple[BeforeValidator, WithJsonSchema, object]:
    return (*_field(unit), Field(gt=0))


def _not_negative(unit: str) -> tuple[BeforeValidator, WithJsonSchema, object]:
    return (*_field(unit), Field(ge=0))


# Field types of specs. The Python field name carries the unit (`t_rcd_s`), the YAML key does not (`t_rcd`).
Seconds = Annotated[float, *_not_negative("s")]
Joules = Annotated[float, *_not_negative("J")]
Watts = Annotated[float, *_not_negative("W")]
Hertz = Annotated[float, *_positive("Hz")]
Volts = Annotated[float, *_positive("V")]
Amperes = Annotated[float, *_not_negative("A")]
Farads = Annotated[float, *_not_negative("F")]
Ohms = Annotated[float, *_not_negative("ohm")]
Siemens = Annotated[float, *_field("S")]  # of either sign: coefficients of a fit in conductance have one
Meters = Annotated[float, *_positive("m")]
SquareMeters = Annotated[float, *_not_negative("m2")]
Bytes = Annotated[float, *_positive("B")]
BytesPerSecond = Annotated[float, *_positive("B/s")]
JoulesPerByte = Annotated[float, *_not_negative("J/B")]
JoulesPerOp = Annotated[float, *_not_negative("J/op")]

# Suffix of a Python field name → nothing in YAML. Longest first, so that `_bytes_per_s` is not read as `_s`.
SUFFIXES = (
    "_bytes_per_s", "_j_per_byte", "_w_per_m2", "_ops_per_s", "_j_per_op", "_f_per_m", "_siemens", "_bytes", "_ohm",
    "_m2", "_hz", "_s", "_j", "_w", "_v", "_a", "_f", "_m", "_k",
)  # fmt: skip


@cache
def yaml_key(field_name: str) -> str:
    """Return the YAML key of a spec field: the name without its unit suffix."""
    for suffix in SUFFIXES:
        if field_name.endswith(suffix) and len(field_name) > len(suffix):
            return field_name[: -len(suffix)]
    return field_name


_PREFIXES = ("T", "G", "M", "k", "", "m", "µ", "n", "p", "f", "a")
_DISPLAY = tuple((10.0**n, prefix) for n, prefix in zip(range(12, -19, -3), _PREFIXES, strict=True))


def show(value: float, unit: str, digits: int = 3) -> str:
    """Format an SI value with a display prefix: show(1.23e-5, "J") is "12.3 µJ"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    for factor, prefix in _DISPLAY:
        if abs(value) >= factor * (1 - 0.5 * 10.0**-digits):
            return f"{_significant(value / factor, digits)} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def _significant(value: float, digits: int) -> str:
    """Format with a fixed number of significant digits and no exponent."""
    before_point = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - before_point)}f}"
