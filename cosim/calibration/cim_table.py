"""Published macros as a table: which row is of what kind, what may be read of it, and what it is judged by.

The rules are those of the table's own description: inputs are the columns of `INPUTS` and nothing else; kind and scope follow from
their texts; a missing input is filled by a documented prior, whose name the prediction keeps.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from hw_models.cim.pass_inputs import AdcLaw, Family, Kind, PassInput, Scope, Way
from hw_models.technology import NODE_MAX_M, supply_v
from workloads.errors import SpecError

SHIPPED = Path(__file__).parents[1] / "validation" / "data" / "cim_macros.csv"
INPUTS = (
    "technology_nm", "architecture", "cell_type", "compute_domain", "rows", "cols", "rows_active", "dot_product_length",
    "input_bits_per_pass", "weight_bits_per_column", "passes_per_mvm", "adc_or_output_bits", "adc_type", "n_adc", "n_macros",
    "voltage_V", "pass_latency_ns", "frequency_MHz", "efficiency_input_bits", "efficiency_weight_bits", "op_counting", "scope",
)  # fmt: skip
NEEDED = ("technology_nm", "architecture", "cell_type", "compute_domain", "scope")
# Priors of inputs that a paper does not give. assumed: typical of published macros.
PRIOR_N, PRIOR_TURNS, PRIOR_ADC_BITS, PRIOR_DIGITAL_WEIGHT_BITS, PRIOR_COLS = 128.0, 4.0, 8.0, 4.0, 128.0
MAX_ENVM_WEIGHT_BITS = 4.0  # levels of an analog cell
NODE_MIN_NM = 2.0  # assumed: no planar or gate-all-around node is named smaller


class RefusedError(SpecError):
    """A row that cannot be predicted, with the reason."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operating point of the table as text, with its place."""

    line: int
    cells: Mapping[str, str]

    def text(self, name: str) -> str:
        """Text of a cell, empty when blank or when the column is not there."""
        return (self.cells.get(name) or "").strip()

    def number(self, name: str) -> float | None:
        """Value of a cell; None when blank. Raises RefusedError when it is no finite positive number."""
        given = self.text(name)
        if name == "voltage_V":
            given = given.split("/")[0].strip()
        if not given or given.lower() == "nan":
            return None
        try:
            value = float(given)
        except ValueError:
            raise RefusedError(f"{name}: {given!r} is no number") from None
        if not isfinite(value) or value <= 0:
            raise RefusedError(f"{name}: {given} must be a finite number above 0")
        return value


def read_rows(path: Path | None = None) -> list[Row]:
    """Rows of a CSV with the columns of the shipped table. Raises SpecError when it cannot be read or lacks a needed column."""
    source = path or SHIPPED
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise SpecError(f"{source}:1: column {missing[0]} is missing; give a CSV with the columns of cim_macros.csv")
            return [
                Row(reader.line_num, {name: value for name, value in cells.items() if name and isinstance(value, str)}) for cells in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{source}: cannot be read as CSV: {error}; give a CSV with the columns of cim_macros.csv") from None


def scope_of(row: Row) -> Scope:
    """`adc` = array + ADC, `chip`, or else `macro`."""
    text = row.text("scope")
    if "ADC" in text:
        return "adc"
    return "chip" if any(word in text for word in ("chip", "processor", "system", "accelerator")) else "macro"


def kind_of(row: Row) -> str:
    """`digital`, `envm`, `edram` or `sram`, by compute domain, cell and architecture."""
    cell = row.text("cell_type")
    if "digital" in row.text("compute_domain") or "+D" in cell or "standard-cell" in cell:
        return "digital"
    architecture = row.text("architecture")
    if architecture in {"eNVM", "eFlash"}:
        return "envm"
    return "edram" if architecture == "eDRAM" else "sram"


def way_of(row: Row, kind: str) -> Way:
    """How a column sums: tree or serial when digital; else by the words of the compute domain, lines of current when it says nothing."""
    text = row.text("compute_domain")
    low = text.lower()
    if kind == "digital":
        return "serial" if "serial" in low else "tree"
    if "voltage-mode" in low:
        return "voltage"
    if any(word in low for word in ("pulse", "qs then qr", "time-domain", "pwm")):
        return "temporal"
    if "(is)" in low or low.startswith("current summing"):
        return "current"
    charge = "QR" in text or ("charge" in low and "current" not in low)
    return "charge" if charge else "bitline"


def family_of(row: Row) -> Family:
    """Cell family of a non-volatile macro; ReRAM when the text names none."""
    text = (row.text("cell_type") + " " + row.text("architecture")).lower()
    if "pcm" in text:
        return "pcm"
    if "mram" in text or "mtj" in text:
        return "mram"
    return "flash" if any(word in text for word in ("fg", "flash", "sonos")) else "reram"


def adc_of(row: Row) -> AdcLaw:
    """ADC law by the words of its type; `any`, the mixture, when not given."""
    text = row.text("adc_type").lower()
    if "sar" in text:
        return "sar"
    if "flash" in text:
        return "flash"
    if any(word in text for word in ("ramp", "oscillator", "slope", "cco", "charge to duration")):
        return "ramp"
    return "sense_amp" if "sense" in text else "any"


def pass_input(row: Row, *, timed: bool = True) -> PassInput:
    """Inputs of a row's column pass, blanks filled by priors; `timed` False also hides its latency and frequency.

    Raises RefusedError when the node is missing or outside what can be told, or when a number is no number.
    """
    kind = kind_of(row)
    node = row.number("technology_nm")
    if node is None:
        raise RefusedError("technology_nm: is blank; no energy without a node")
    if not NODE_MIN_NM <= node <= NODE_MAX_M * 1e9 * 1.01:
        raise RefusedError(f"technology_nm: {node:g} is outside {NODE_MIN_NM:g} to {NODE_MAX_M * 1e9:g}")
    priors: list[str] = []

    def known(name: str, *others: float | None, prior: float) -> float:
        for value in (row.number(name), *others):
            if value is not None:
                return value
        priors.append(name)
        return prior

    n = known("dot_product_length", row.number("rows_active"), row.number("rows"), prior=PRIOR_N)
    bits_in = row.number("efficiency_input_bits")
    bits_w = row.number("efficiency_weight_bits")
    way = way_of(row, kind)
    given_in = row.number("input_bits_per_pass")
    if given_in is None and kind != "digital":
        priors.append("input_bits_per_pass")
        given_in = bits_in
    width = row.number("weight_bits_per_column")
    if width is None:
        priors.append("weight_bits_per_column")
        width = _prior_width(kind, bits_w)
    adc_bits = row.number("adc_or_output_bits")
    if kind != "digital":
        if adc_bits is not None and adc_bits < 1:
            raise RefusedError(f"adc_or_output_bits: {adc_bits:g} is less than 1 bit")
        adc_bits = known("adc_or_output_bits", prior=PRIOR_ADC_BITS)
        if adc_of(row) == "any":
            priors.append("adc_type")
    latency_s, node_m = _latency_s(row) if timed else None, node * 1e-9
    return PassInput(
        kind="sram" if kind == "edram" else _kind(kind),
        node_m=node_m,
        supply_v=known("voltage_V", prior=supply_v(max(node_m, 5e-9))),
        n=n,
        input_bits=given_in or 1.0,
        weight_bits=width,
        adc_bits=adc_bits or 0.0,
        adc=adc_of(row),
        way=way,
        has_capacitor=_has_capacitor(row),
        family=family_of(row) if kind == "envm" else "none",
        scope=scope_of(row),
        rows=row.number("rows") or n,
        turns=_turns(row, width),
        latency_s=latency_s,
        priors=tuple(priors),
    )


def _kind(text: str) -> Kind:
    return "digital" if text == "digital" else ("envm" if text == "envm" else "sram")


def _prior_width(kind: str, bits_w: float | None) -> float:
    """Weight bits of a column: all of them in a digital macro, up to 4 in one analog cell, 1 in an SRAM column."""
    if kind == "digital":
        return bits_w or PRIOR_DIGITAL_WEIGHT_BITS
    return min(bits_w or 1.0, MAX_ENVM_WEIGHT_BITS) if kind == "envm" else 1.0


def _has_capacitor(row: Row) -> bool:
    """Whether a cell has a capacitor of its own, as 8T1C, 10T1C."""
    cell = row.text("cell_type").lower()
    return cell.endswith("1c")


def _turns(row: Row, width: float) -> float:
    """Conversions one after another for each ADC: columns / (ADCs * columns of a weight)."""
    adcs, cols = row.number("n_adc"), row.number("cols")
    return max(1.0, (cols or PRIOR_COLS) / (adcs * width)) if adcs else PRIOR_TURNS


def _latency_s(row: Row) -> float | None:
    """Published time of a pass in s; None when there is none."""
    given = row.number("pass_latency_ns")
    return given * 1e-9 if given else None


def target(row: Row) -> float | None:
    """One-bit TOPS/W: as given, else TOPS/W times input and weight bits; None when it cannot be told."""
    direct = row.number("efficiency_1b_TOPS_per_W")
    if direct is not None:
        return direct
    parts = [row.number(name) for name in ("efficiency_TOPS_per_W", "efficiency_input_bits", "efficiency_weight_bits")]
    if any(part is None for part in parts):
        return None
    product = 1.0
    for part in parts:
        product *= part or 1.0
    return product


def why_not_judged(row: Row) -> str:
    """Reason why a row is not judged; empty when it is."""
    if not row.text("status").startswith("silicon"):
        return f"status {row.text('status') or 'blank'!r} is not silicon"
    return "confidence is low" if row.text("confidence") == "low" else ""
