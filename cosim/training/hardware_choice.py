"""Hardware by the words of a command: a chip of the catalog, a macro by name, a noise model of cells, or a standard deviation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosim.training.hardware import Hardware
from hw_models.catalog import build_part_device, list_chips, list_parts, load_chip, resolve_part
from hw_models.chip import Chip
from hw_models.cim.macro import CimMacro
from hw_models.cim.noise import list_noise, load_noise
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SpecError, suggest

FOLDER = "cim_macro/"


@dataclass(frozen=True)
class Chosen:
    """Hardware, and where it stands: a chip with the name of its arrays (None: it has none, and computes digitally), or a macro alone."""

    hardware: Hardware
    chip: Chip | None = None
    device: str | None = None


def chosen(chip: str, noise: str = "chip", *, t_s: float | None = None, compensation: bool = True) -> Chosen:
    """The hardware of `--chip` and `--noise`.

    noise: `chip` takes cells and converters of the chip's arrays; a number is sigma of W + sigma max|W_row| N(0, 1), a name a model of
    cells; these two leave converters out. Raises SpecError with the nearest name where there is no such chip, macro or model.
    """
    place = _place(chip)
    if noise == "chip":
        hardware = Hardware(chip, macro=_spec(place), t_s=t_s, compensation=compensation)
    elif (sigma := _number(noise)) is not None:
        hardware = Hardware(f"noise {noise}", sigma=sigma, t_s=t_s, compensation=compensation)
    elif noise in list_noise():
        hardware = Hardware(noise, noise=load_noise(noise), t_s=t_s, compensation=compensation)
    else:
        raise SpecError(f"noise {noise!r} is no number, not `chip`, and no model of cells; {suggest(noise, list_noise())}")
    built, name = place if isinstance(place, tuple) else (None, None)
    return Chosen(hardware, built, name)


def _place(source: str) -> tuple[Chip, str | None] | CimMacro:
    """A chip with the name of its arrays, or a macro."""
    parts = [part.removeprefix(FOLDER) for part in list_parts() if part.startswith(FOLDER)]
    if source.removeprefix(FOLDER) in parts and source not in list_chips():
        return _macro(f"{FOLDER}{source.removeprefix(FOLDER)}")
    if Path(source).is_file() and resolve_part(source).data.get("kind") == CimMacro.kind:
        return _macro(source)
    if source not in list_chips() and not Path(source).is_file():
        raise SpecError(f"chip {source!r} is no chip or macro of the catalog and no file; {suggest(source, [*list_chips(), *parts])}")
    chip = load_chip(source)
    arrays = [name for name, device in chip.devices.items() if isinstance(device, CimMacro)]
    return chip, arrays[0] if arrays else None


def _macro(name: str) -> CimMacro:
    device = build_part_device(name)
    if not isinstance(device, CimMacro):
        raise SpecError(f"part {name!r} is no compute-in-memory macro; choose a part of {FOLDER}")
    return device


def _spec(place: tuple[Chip, str | None] | CimMacro) -> CimMacroSpec | None:
    """The spec of the arrays."""
    if isinstance(place, CimMacro):
        return place.spec
    chip, name = place
    device = chip.devices[name] if name else None
    return device.spec if isinstance(device, CimMacro) else None


def _number(text: str) -> float | None:
    """The number that a text is, None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None
