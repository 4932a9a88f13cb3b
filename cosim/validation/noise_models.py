"""Statistics of cells from the text of a table: `pcm_like(g_max=25)`, `hermes(num_devices=2,t_0=100)`, `reram_cmo(9..88.2,acc=0.2)`.

Conductances in microsiemens, times in seconds, lists in brackets. A name is that of a model below or of a part of `parts/noise/`.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from hw_models.cim.noise import FAMILIES, list_noise, load_noise
from hw_models.cim.noise_base import NoiseSpec
from hw_models.units import yaml_key
from hw_models.yaml_file import read_yaml
from workloads.errors import SpecError, suggest

# Models by the names of tables whose part is called otherwise; hermes takes its number of devices.
DEVICES = {"1": "hermes_pcm_1", "2": "hermes_pcm_2"}
# Names of constants in tables → keys of the part.
ALIASES = {
    "prog_noise_scale": "programming_scale",
    "read_noise_scale": "read_scale",
    "t_0": "t0",
    "prog_coeff": "programming",
}
PERCENT = {"acc": "acceptance", "acceptance_range": "acceptance"}  # tables give an acceptance range in percent
_MODEL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*$", re.DOTALL)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})$")


def parse_model(text: str) -> NoiseSpec:
    """Statistics that a text names; raises SpecError on an unknown model or constant, or a value that is no number."""
    match = _MODEL.match(text)
    if match is None:
        raise SpecError(f"{text!r} is no model; write name or name(constant=value, ...), such as pcm_like(g_max=25)")
    name, given = match[1], _constants(match[2] or "", text)
    if name == "hermes":
        devices = str(given.pop("num_devices", "2"))
        if devices not in DEVICES:
            raise SpecError(f"{text!r}: num_devices: {devices} was not measured; choose 1 or 2")
        name = DEVICES[devices]
    parts = list_noise()
    if name not in parts:
        raise SpecError(f"model {name!r} is not known; {suggest(name, ['hermes', *parts])}")
    kind = FAMILIES[str(read_yaml(parts[name]).data["kind"])]
    changes = dict(_change(kind, key, value, text) for key, value in given.items())
    try:
        return load_noise(name, **changes)
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None


def _constants(arguments: str, text: str) -> dict[str, str]:
    """Constants of the text, key → value as written; `low..high` stands for g_min and g_max, `default` for nothing."""
    found: dict[str, str] = {}
    for part in (piece.strip() for piece in re.split(r",(?![^\[]*\])", arguments)):
        extent = _RANGE.match(part)
        key, sign, value = (word.strip() for word in part.partition("="))
        if extent:
            pairs = {"g_min": extent[1], "g_max": extent[2]}
        elif sign and key and value:
            pairs = {key: value}
        elif part in {"", "default"}:
            continue
        else:
            raise SpecError(f"{text!r}: {part!r} is not understood; write constant=value or g_min..g_max")
        for twice in pairs.keys() & found.keys():
            raise SpecError(f"{text!r}: {twice} is given twice")
        found |= pairs
    return found


def _change(kind: type[NoiseSpec], given: str, value: str, text: str) -> tuple[str, Any]:
    """Key of the part and what would be written there."""
    key = PERCENT.get(given) or ALIASES.get(given, given)
    fields = {yaml_key(name): name for name in kind.model_fields if name not in {"title", "kind", "sources", "assumed", "ranges"}}
    if key not in fields:
        raise SpecError(f"{text!r}: constant {given!r} is not known; {suggest(given, fields)}")
    if value.startswith("["):
        return key, [_written(fields[key], part, text, given) for part in value.strip("[]").split(",")]
    if given in PERCENT:
        return key, _number(value, text, given) / 100
    return key, _written(fields[key], value, text, given)


def _written(field: str, value: str, text: str, given: str) -> Any:
    """A value as a part file has it, with its unit; words (a law, a distribution, true) as they are."""
    if field.endswith("_siemens"):
        return f"{_number(value, text, given)!r} uS"
    if field.endswith("_s"):
        return f"{_number(value, text, given)!r} s"
    if re.fullmatch(r"[A-Za-z_]+", value) and value not in {"nan", "inf"}:
        return value
    return _number(value, text, given)


def _number(value: str, text: str, given: str) -> float:
    """A finite number."""
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise SpecError(f"{text!r}: {given}: {value.strip()!r} is not a finite number")
    return number
