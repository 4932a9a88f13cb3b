"""The five tables of trained small networks: each number as a network that is trained and a way in which it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosim.validation.tables import Row, count_in, read_table
from workloads.errors import WorkloadError, suggest

DATA = Path(__file__).parent / "data" / "training"
Net = Literal["cnn", "mlp", "adc"]
NETS: tuple[Net, ...] = ("cnn", "mlp", "adc")
BOTH = ("before", "after")
QUANTITIES = ("acc", "acc_at_90pct_coverage", "ece")


@dataclass(frozen=True, order=True)
class Reading:
    """How one number is read off a trained network: percent of test inputs, unless `quantity` says otherwise.

    kind: digital; cells (pairs of PCM-like cells, `mapping` by column or layer, read at t_s, None as programmed, `compensated` or not);
    gaussian (W + sigma max|W_row| N); passes (softmax of so many, weights drawn anew for each); adc (bit-serial arrays of `rows`, codes
    of `bits`, steps of one cell or `full` range, ON cells spread by cell_std). n_draws: how often it is drawn anew.
    """

    kind: Literal["digital", "cells", "gaussian", "passes", "adc"]
    n_draws: int = 1
    mapping: str = ""
    compensated: bool = False
    t_s: float = 0.0
    sigma: float = 0.0
    passes: int = 1
    quantity: str = "acc"
    rows: int = 0
    bits: int = 0
    full: bool = False
    cell_std: float = 0.0

    @property
    def label(self) -> str:
        """The same in words, without the draws."""
        if self.kind == "cells":
            when = "as programmed" if self.t_s == 0 else f"{self.t_s:g} s"
            return f"{self.mapping}, {when}{', compensated' if self.compensated else ''}"
        if self.kind == "gaussian":
            return f"noise {self.sigma:g}"
        if self.kind == "passes":
            return f"noise {self.sigma:g}, {self.passes} passes: {self.quantity}"
        if self.kind == "adc":
            spread = f", cells {self.cell_std:g}" if self.cell_std else ""
            return f"{self.rows} rows, {self.bits} bits, {'full range' if self.full else 'unit step'}{spread}"
        return "digital"


@dataclass(frozen=True, order=True)
class Case:
    """One number of a table: `expected` in percent or points of a network trained by `recipe` from `seed`."""

    file: str
    net: Net
    recipe: str
    seed: int
    reading: Reading
    expected: float

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Everything but the seed: file, net, recipe, reading."""
        return self.file, self.net, self.recipe, self.reading.label


def read_cases(folder: Path | None = None) -> tuple[list[Case], list[str]]:
    """Numbers of all tables in a folder (default: those that ship), and names of tables that are not there.

    Raises WorkloadError where the folder is none or holds no table, and on a cell that is not understood, with file and line.
    """
    where = DATA if folder is None else folder
    if not where.is_dir():
        raise WorkloadError(f"{where}: is no folder; give one with {', '.join(TABLES)}")
    cases: list[Case] = []
    absent = [name for name in TABLES if not (where / name).exists()]
    if len(absent) == len(TABLES):
        raise WorkloadError(f"{where}: holds none of {', '.join(TABLES)}")
    for name, (columns, parse) in TABLES.items():
        if name not in absent:
            _, table = read_table(where / name, columns)
            for line, row in enumerate(table, start=2):
                cases += parse(row, f"{where / name}: line {line}")
    return list(dict.fromkeys(cases)), absent  # a network's own accuracy stands beside each row of converters


def _baselines(row: Row, where: str) -> Iterator[Case]:
    """Networks of two sizes as weights without and on cells. An empty gdc of cells counts as not compensated."""
    recipe = row["recipe"] if row["wbits"] == "float" else f"{row['recipe']}, {row['wbits']} bits"
    n_draws = count_in(row, "reps", where) or 1
    if row["mapping"] == "digital":
        reading = Reading("digital")
    elif row["time"].startswith("gaussian weight noise "):
        reading = Reading("gaussian", n_draws, sigma=_number({"noise": row["time"].rpartition(" ")[2]}, "noise", where))
    elif row["mapping"] in {"column", "layer"}:
        gdc = _number(row, "gdc", where)
        reading = Reading("cells", n_draws, mapping=row["mapping"], compensated=gdc == 1, t_s=_number(row, "t_s", where))
    else:
        raise WorkloadError(f"{where}: mapping: {row['mapping']!r} is not known; {suggest(row['mapping'], ('digital', 'column', 'layer'))}")
    yield Case("training_baselines", _net(row, where), recipe, _seed(row, where), reading, _number(row, "acc", where))


def _stress(row: Row, where: str) -> Iterator[Case]:
    """Weight noise, 8 draws; none is one draw."""
    sigma = _number(row, "noise_std", where)
    reading = Reading("gaussian", 8 if sigma else 1, sigma=sigma)
    yield Case("training_stress", _net(row, where), row["recipe"], _seed(row, where), reading, _number(row, "acc", where))


def _sweep(row: Row, where: str) -> Iterator[Case]:
    """Converters of many kinds, and the network without them."""
    seed, digital = _seed(row, where), Reading("digital")
    reading = _adc(row, where, _number(row, "cell_std", where))
    yield Case("adc_sweep", "adc", "4-bit", seed, reading, _number(row, "acc", where))
    yield Case("adc_sweep", "adc", "float", seed, digital, _number(row, "float_acc", where))
    yield Case("adc_sweep", "adc", "4-bit", seed, digital, _number(row, "qat_digital_acc", where))


def _aware(row: Row, where: str) -> Iterator[Case]:
    """Converters before and after training with them."""
    reading, seed = _adc(row, where, 0.0), _seed(row, where)
    aware = f"{count_in(row, 'epochs', where) or 0} epochs with this ADC"
    for recipe, column in zip(("4-bit", aware), BOTH, strict=True):
        yield Case("adc_aware", "adc", recipe, seed, reading, _number(row, column, where))


def _uncertainty(row: Row, where: str) -> Iterator[Case]:
    """Averages over passes: accuracy, accuracy where it is surest, and calibration error, all in points."""
    passes, seed = count_in(row, "passes", where) or 1, _seed(row, where)
    for quantity in QUANTITIES:
        reading = Reading("passes", max(1, N_PASSES // passes), sigma=ANCHOR_SIGMA, passes=passes, quantity=quantity)
        value = _number(row, quantity, where) * (100.0 if quantity == "ece" else 1.0)
        yield Case("uncertainty_anchor", "mlp", row["recipe"], seed, reading, value)


ANCHOR_SIGMA = 0.2  # of uncertainty_anchor.csv, as its README says
N_PASSES = 16  # drawn for each network there: accuracies of one pass are multiples of 1/16 of one image

_Parse = Callable[[Row, str], Iterator[Case]]
TABLES: dict[str, tuple[tuple[str, ...], _Parse]] = {
    "training_baselines.csv": (("net", "recipe", "wbits", "seed", "mapping", "gdc", "time", "t_s", "acc", "reps"), _baselines),
    "training_stress.csv": (("net", "recipe", "seed", "noise_std", "acc"), _stress),
    "adc_sweep.csv": (("seed", "rows", "adc_bits", "adc_range", "cell_std", "acc", "float_acc", "qat_digital_acc"), _sweep),
    "adc_aware.csv": (("seed", "rows", "adc_bits", "adc_range", *BOTH, "epochs"), _aware),
    "uncertainty_anchor.csv": (("recipe", "seed", "passes", *QUANTITIES), _uncertainty),
}
_RANGES = {"unit-step,clip": False, "full-range": True}


def _adc(row: Row, where: str, cell_std: float) -> Reading:
    """Converters of a row."""
    if row["adc_range"] not in _RANGES:
        raise WorkloadError(f"{where}: adc_range: {row['adc_range']!r} is not known; choose {' or '.join(_RANGES)}")
    rows, bits = (count_in(row, name, where) or 1 for name in ("rows", "adc_bits"))
    return Reading("adc", rows=rows, bits=bits, full=_RANGES[row["adc_range"]], cell_std=cell_std)


def _net(row: Row, where: str) -> Net:
    """Network of a row."""
    for net in NETS:
        if row["net"] == net:
            return net
    raise WorkloadError(f"{where}: net: {row['net']!r} is not known; {suggest(row['net'], NETS)}")


def _seed(row: Row, where: str) -> int:
    """Seed of a row."""
    seed = count_in(row, "seed", where, least=0)
    if seed is None:
        raise WorkloadError(f"{where}: seed: is empty; give a whole number of 0 or more")
    return seed


def _number(row: Row, column: str, where: str) -> float:
    """A number of 0 or more."""
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise WorkloadError(f"{where}: {column}: {row[column]!r} is not a number of 0 or more")
    return value
