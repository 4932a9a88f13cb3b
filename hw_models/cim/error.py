"""What a matrix product loses on the way through a macro, in closed form: mean square errors of an output by cause, and its SNR.

The converter error of a pass p, slice s and group of rows is split by its regression on the column sum, e = m + a (s - mean) + rest. With
units W = 2^(p b_in) 2^(s b_cell), means add as they are, (sum W m)^2; what follows the sums keeps their covariance between passes (same
weights) and slices (same inputs); rests are taken as independent, sum W^2 var. Errors of a cell are the same in all passes,
read and converter noise are fresh in each. Sums are normal with the mean and variance of independent inputs and weights.
SNR = 10 log10(variance of the exact output / mean square error), in dB. Sources: Bussgang's decomposition for the regression; Rekhi et
al., DAC 2019, for adding reads; equations and measured agreement with `hw_models.cim.functional` in docs/models/cim_error.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models.cim.error_adc import Response, Sums, range_of, respond
from hw_models.cim.error_data import MAX_BITS, Digits, input_digits, input_histogram, weight_digits, weight_histogram
from hw_models.cim.functional_adc import AdcRange
from hw_models.cim.noise import load_noise
from hw_models.cim.parasitics import Wires, estimated_conductance
from hw_models.cim.spec import CimMacroSpec
from hw_models.cim.statistics import Histogram
from workloads.errors import SpecError

Floats = NDArray[np.float64]
CAUSES = ("quantization", "clipping", "programming", "stuck", "read", "converter", "ir_drop")


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Mean squares [n] of an output's error by cause, and the variance of the exact output, in units of whole-number products.

    quantization and clipping of the ADC; programming and stuck cells; read noise; converter noise, offset and gain; IR drop.
    """

    signal: Floats
    quantization: Floats
    clipping: Floats
    programming: Floats
    stuck: Floats
    read: Floats
    converter: Floats
    ir_drop: Floats

    @property
    def total(self) -> Floats:
        """Mean square error of all causes."""
        return np.asarray(sum(getattr(self, cause) for cause in CAUSES), dtype=np.float64)

    @property
    def output_snr_db(self) -> Floats:
        """Signal over error in dB; inf without any error."""
        total = self.total
        ratio = np.divide(self.signal, total, out=np.full_like(total, np.inf), where=total > 0)
        with np.errstate(divide="ignore"):
            return np.asarray(10 * np.log10(ratio), dtype=np.float64)


def output_error(
    spec: CimMacroSpec,
    k: ArrayLike,
    weight_bits: ArrayLike,
    activation_bits: ArrayLike,
    *,
    inputs: Histogram | None = None,
    weights: Histogram | None = None,
    n_columns: int | None = None,
) -> ErrorBudget:
    """Errors of products of `k` inputs by `k` weights at these bits, broadcast against each other; distinct ones are worked out once.

    `inputs` (unsigned) and `weights` are histograms of whole numbers, by default those of `error_data`. `n_columns` says
    how many columns of an array are in use (default: all), which matters to IR drop alone.
    Raises SpecError on bits outside 1 ... 32, k below 1 or values that the bits do not hold.
    """
    rows = np.stack([np.ravel(a) for a in np.broadcast_arrays(*(np.asarray(x, dtype=np.int64) for x in (k, weight_bits, activation_bits)))])
    if rows.size and (rows[0].min() < 1 or rows[1:].min() < 1 or rows[1:].max() > MAX_BITS):
        raise SpecError(f"output error: k must be 1 or more and bits 1 to {MAX_BITS}; got {rows.min()} to {rows[1:].max()}")
    distinct, place = np.unique(rows, axis=1, return_inverse=True)
    paths = {bits: SignalPath(_facts(spec, bits), spec) for bits in set(distinct[1].tolist())}
    data = None if inputs is None and weights is None else _Data(inputs, weights)
    found = [_budget(paths[triple[1]], *triple, n_columns, data) for triple in distinct.T.tolist()]
    values = np.array(found, dtype=np.float64).reshape(-1, len(fields(ErrorBudget)))[place.ravel()]
    return ErrorBudget(*np.ascontiguousarray(values.T))


def output_snr_db(spec: CimMacroSpec, k: ArrayLike, weight_bits: ArrayLike, activation_bits: ArrayLike) -> Floats:
    """SNR [n] in dB of the outputs of products, of data of the default families; specs with equal paths are worked out once."""
    rows = [np.asarray(x, dtype=np.int64) for x in (k, weight_bits, activation_bits)]
    if any(row.shape != rows[0].shape for row in rows):
        rows = list(np.broadcast_arrays(*rows))
    return _snr_db(SignalPath(_facts(spec, MAX_BITS), spec), b"".join(row.tobytes() for row in rows)).copy()


@lru_cache(maxsize=2048)
def _snr_db(path: SignalPath, rows: bytes) -> Floats:
    k, weight_bits, activation_bits = np.frombuffer(rows, dtype=np.int64).reshape(3, -1)
    return output_error(path.spec, k, weight_bits, activation_bits).output_snr_db


@dataclass(frozen=True, slots=True)
class SignalPath:
    """A spec, equal to another when all is equal that outputs depend on."""

    facts: tuple[object, ...]
    spec: CimMacroSpec = field(compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Histograms in place of the default families."""

    inputs: Histogram | None
    weights: Histogram | None


_OF_SPEC = ("rows", "rows_active", "domain", "bits_per_cell", "encoding", "subtraction")
_OF_DATA = ("input_bits_per_pass", "input_density")
_OF_CELL = ("r_lrs_ohm", "r_hrs_ohm", "wire_ohm", "noise", "programming_sigma", "read_sigma", "stuck_on", "stuck_off")
_OF_ADC = ("n_bits", "range", "noise_lsb", "offset_lsb", "gain_sigma")


def _facts(spec: CimMacroSpec, weight_bits: int) -> tuple[object, ...]:
    """All that outputs of weights at some bits depend on.

    ADCs beyond one a slice of a weight change nothing, and none do without offset and gain; columns matter to wires alone.
    """
    n_slices = -(-weight_bits // spec.bits_per_cell) * (2 if spec.sign_bits and spec.slice_reads > 1 else 1)
    adc = spec.adc
    n_adcs = min(spec.n_adcs, n_slices) if adc and (adc.offset_lsb or adc.gain_sigma) else 0
    cols = spec.cols if spec.cell.wire_ohm > 0 else 0
    own = [getattr(spec, name) for name in _OF_SPEC + _OF_DATA] + [getattr(spec.cell, name) for name in _OF_CELL]
    return (n_adcs, cols, *own, *((getattr(adc, name) for name in _OF_ADC) if adc else ()))


@lru_cache(maxsize=4096)
def _budget(
    path: SignalPath, k: int, weight_bits: int, activation_bits: int, n_columns: int | None, data: _Data | None
) -> tuple[float, ...]:
    """The fields of an `ErrorBudget` for one product."""
    spec = path.spec
    inputs, x = _inputs(SignalPath((spec.input_bits_per_pass, spec.input_density), spec), activation_bits, data.inputs if data else None)
    cells = (spec.sign_bits, spec.slice_reads, spec.row_devices, spec.col_devices, spec.bits_per_cell)
    weights, w = _weights(SignalPath(cells, spec), weight_bits, data.weights if data else None)
    signal = k * (inputs.mean_square * weights.mean_square - (inputs.mean * weights.mean) ** 2)
    rows = _Rows.of(spec, k)
    stuck = _stuck(spec, k, x, w)
    if spec.adc is None:
        return (signal, 0.0, 0.0, 0.0, stuck, 0.0, 0.0, 0.0)
    at = _Reading.of(spec, rows, x, w, n_columns)
    read = float((at.groups * at.units**2 * at.passed * at.noises.read).sum())
    return (signal, *_conversion(at), _programming(spec, at), stuck, read, _converter(spec, at), _ir_drop(at))


@lru_cache(maxsize=256)
def _inputs(path: SignalPath, activation_bits: int, given: Histogram | None) -> tuple[Histogram, Digits]:
    """Inputs as given or of the default family, and their digits; the facts of `path` are those that these depend on."""
    inputs = given or input_histogram(path.spec, activation_bits)
    return inputs, input_digits(path.spec, inputs, activation_bits)


@lru_cache(maxsize=256)
def _weights(path: SignalPath, weight_bits: int, given: Histogram | None) -> tuple[Histogram, Digits]:
    """Weights as given or of the default family, and their digits; the facts of `path` are those that these depend on."""
    weights = given or weight_histogram(path.spec, weight_bits)
    return weights, weight_digits(path.spec, weights, weight_bits)


# --- rows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """Groups of rows that work at once: distinct `sizes` [g], how many of each `counts` [g], and their share in each kind of row tile.

    `tiles` holds (tiles of a kind, inputs of one, groups of each size in one).
    """

    sizes: Floats
    counts: Floats
    tiles: tuple[tuple[int, int, Floats], ...]

    @staticmethod
    def of(spec: CimMacroSpec, k: int) -> _Rows:
        """As `functional_map` lays inputs on rows."""
        per_tile = max(1, spec.rows // spec.row_devices)
        active = max(1, spec.n_rows_active // spec.row_devices)
        kinds = [(n, size) for n, size in ((k // per_tile, per_tile), (1, k % per_tile)) if n and size]
        held = [{size: n for size, n in ((active, t // active), (t % active, 1)) if size and n} for _, t in kinds]
        sizes = sorted({size for groups in held for size in groups})
        tiles = tuple((n, size, np.array([float(groups.get(s, 0)) for s in sizes])) for (n, size), groups in zip(kinds, held, strict=True))
        counts = np.sum([n * groups for n, _, groups in tiles], axis=0)
        return _Rows(np.array(sizes, dtype=np.float64), counts, tiles)


def _sums(rows: _Rows, x: Digits, w: Digits) -> Sums:
    """Column sums [groups, passes, slices] of independent inputs and weights: cumulants of a product, times the rows of a group."""
    r = rows.sizes[:, None, None]
    m1, m2, m3, m4 = (np.multiply.outer(a, b) for a, b in zip(x.powers, w.powers, strict=True))
    variance = np.maximum(m2 - m1**2, 1e-18)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 - 3 * m2**2 + 12 * m1**2 * m2 - 6 * m1**4
    high = r * x.top * w.top * np.ones_like(m1)
    low = -high if w.is_signed else np.zeros_like(high)
    return Sums(r * m1, np.sqrt(r * variance), third / variance**1.5 / np.sqrt(r), fourth / variance**2 / r, low, high)


def _spread_of_sum(rates: Floats, x: Digits, w: Digits) -> float:
    """Variance for each row of sum over passes and slices of rates [p, s] times products x_p l_s, which share inputs and weights."""
    return float(np.sum((x.product @ rates) * (rates @ w.product)) - (x.mean @ rates @ w.mean) ** 2)


# --- causes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Noises:
    """Variances [groups, passes, slices] of what is added to a column sum before the code, by cause."""

    programming: Floats
    read: Floats
    fresh: Floats
    offset: Floats
    gain: Floats
    ir_drop: Floats

    @staticmethod
    def of(spec: CimMacroSpec, rows: _Rows, x: Digits, w: Digits, sums: Sums, used: AdcRange, lost: tuple[float, float]) -> _Noises:
        drive = w.n_devices * rows.sizes[:, None, None] * x.square[:, None] * np.ones_like(w.units)
        programming, read = (sigma**2 * w.top**2 for sigma in cell_sigmas(spec, w))
        noise, offset, gain = (spec.adc.noise_lsb, spec.adc.offset_lsb, spec.adc.gain_sigma) if spec.adc else (0.0, 0.0, 0.0)
        step = used.step**2 * np.ones_like(drive)
        return _Noises(
            programming=programming * drive,
            read=read * drive,
            fresh=noise**2 * step,
            offset=offset**2 * step,
            gain=gain**2 * ((sums.mean - used.zero) ** 2 + sums.std**2),
            ir_drop=(lost[0] * sums.mean) ** 2 + lost[1] * sums.std**2,
        )

    @property
    def total(self) -> Floats:
        return self.programming + self.read + self.fresh + self.offset + self.gain + self.ir_drop


def cell_sigmas(spec: CimMacroSpec, w: Digits) -> tuple[Floats, Floats]:
    """Root mean square errors over full level of programming and of one read, [slices].

    A part named by `cell.noise` gives mean and standard deviation at each level, as programmed and before any drift.
    """
    read = np.full_like(w.units, spec.cell.read_sigma)
    if spec.cell.noise is None:
        return np.full_like(w.units, spec.cell.programming_sigma), read
    level = np.arange(w.top + 1) / w.top
    mean, std = load_noise(spec.cell.noise).moments(level)
    return np.asarray(np.sqrt(w.device_shares @ ((mean - level) ** 2 + std**2)), dtype=np.float64), read


@dataclass(frozen=True, slots=True)
class _Reading:
    """One product at the converters: data, range, their errors, what is added to sums, and the share of it found behind the code."""

    rows: _Rows
    x: Digits
    w: Digits
    sums: Sums
    used: AdcRange
    answer: Response
    noises: _Noises
    passed: Floats
    gain: Floats
    lost: tuple[float, float]

    @staticmethod
    def of(spec: CimMacroSpec, rows: _Rows, x: Digits, w: Digits, n_columns: int | None) -> _Reading:
        """Little noise passes where steps swallow it, or where all is clipped."""
        sums, lost = _sums(rows, x, w), _lost(spec, rows, w, n_columns)
        used = range_of(spec, sums, rows.counts)
        noises = _Noises.of(spec, rows, x, w, sums, used, lost)
        total = noises.total
        answer = respond(sums, used, np.sqrt(total))
        left = np.maximum(answer.noisy_rest - answer.square, 0.0)
        passed = np.divide(left, total, out=np.zeros_like(total), where=total > 0)
        gain = np.minimum(answer.gain, np.sqrt(passed))
        return _Reading(rows, x, w, sums, used, answer, noises, passed, gain, lost)

    @property
    def units(self) -> Floats:
        """What 1 of a code counts, [passes, slices]."""
        return np.multiply.outer(self.x.units, self.w.units)

    @property
    def groups(self) -> Floats:
        """Groups of each size, for arrays [groups, passes, slices]."""
        return self.rows.counts[:, None, None]

    @property
    def rates(self) -> Floats:
        """What 1 before a converter counts on average, [groups, passes, slices]."""
        return self.units * self.gain

    def loose(self, noise: Floats) -> float:
        """Mean square error of noise that is not followed: what single codes jump by."""
        return float((self.groups * self.units**2 * np.maximum(self.passed - self.gain**2, 0.0) * noise).sum())

    def followed(self, rates: Floats, counts: Floats) -> float:
        """Variance of the sum over groups, passes and slices of rates [groups, passes, slices] times column sums."""
        each = zip(counts, self.rows.sizes, rates, strict=True)
        return float(sum(c * r * max(0.0, _spread_of_sum(rate, self.x, self.w)) for c, r, rate in each))


def _conversion(at: _Reading) -> tuple[float, float]:
    """Mean square errors of quantization and of clipping."""
    answer, weights = at.answer, at.groups * at.units**2
    bias = float((at.groups * at.units * answer.mean).sum()) ** 2
    rest = float((weights * np.minimum(answer.noisy_rest, answer.square)).sum())
    total = bias + at.followed(at.units * answer.slope, at.rows.counts) + rest
    whole = float((weights * answer.square).sum())
    cut = float((weights * answer.clipped).sum()) / whole if whole > 0 else 0.0
    return total * (1 - cut), total * cut


def _programming(spec: CimMacroSpec, at: _Reading) -> float:
    """Mean square error of cells that err alike in all passes: rows n_devices sum_s W_s^2 sigma^2 E[(sum_p W_p x_p)^2]."""
    squares = at.w.n_devices * (cell_sigmas(spec, at.w)[0] * at.w.top * at.w.units) ** 2
    rates = at.x.units[:, None] * at.gain
    drives = np.einsum("gps,pq,gqs->gs", rates, at.x.product, rates)
    return float((at.rows.counts * at.rows.sizes) @ drives @ squares) + at.loose(at.noises.programming)


def _converter(spec: CimMacroSpec, at: _Reading) -> float:
    """Mean square error of converter noise, anew in each pass, and of offset and gain, the same in all that a converter reads."""
    fresh = float((at.groups * at.units**2 * at.passed * at.noises.fresh).sum())
    if spec.adc is None or spec.adc.offset_lsb == spec.adc.gain_sigma == 0:
        return fresh
    rates, n_adcs, slices = at.rates, max(1, spec.n_adcs), np.arange(at.w.units.size)
    fixed = at.loose(at.noises.offset + at.noises.gain)
    for shared in range(min(n_adcs, slices.size)):
        mine = rates * (slices % n_adcs == shared)
        for n, _, groups in at.rows.tiles:
            each = groups[:, None, None] * mine
            offset = spec.adc.offset_lsb * float((each * at.used.step).sum())
            gain = float((each * (at.sums.mean - at.used.zero)).sum()) ** 2 + at.followed(mine, groups)
            fixed += n * (offset**2 + spec.adc.gain_sigma**2 * gain)
    return fresh + fixed


def _ir_drop(at: _Reading) -> float:
    """Mean square error of losing a share of each product, the same in all passes."""
    rates, (mean, square) = at.rates, at.lost
    followed = (mean * float((at.groups * rates * at.sums.mean).sum())) ** 2 + square * at.followed(rates, at.rows.counts)
    return followed + at.loose(at.noises.ir_drop)


def _stuck(spec: CimMacroSpec, k: int, x: Digits, w: Digits) -> float:
    """Mean square error of stuck cells: each level moves by full - l with probability `stuck_on`, by -l with `stuck_off`."""
    on, off = spec.cell.stuck_on, spec.cell.stuck_off
    if on + off == 0:
        return 0.0
    both, top, count = on + off, float(w.top), float(w.units.sum())
    shift = 0.0 if w.is_signed else on * top * count - both * w.total
    moved = both**2 * w.total_square + (0.0 if w.is_signed else (on * top * count) ** 2 - 2 * both * on * top * count * w.total)
    own = on * (top**2 - 2 * top * w.device_mean + w.device_square) + off * w.device_square
    expected = (on * top) ** 2 - 2 * on * both * top * w.device_mean + both**2 * w.device_square
    moved += w.n_devices * float((w.units**2 * (own - expected)).sum())
    x_mean, x_square = float(x.units @ x.mean), float(x.units @ x.product @ x.units)
    return float((k * x_mean * shift) ** 2 + k * (x_square * moved - (x_mean * shift) ** 2))


def _lost(spec: CimMacroSpec, rows: _Rows, w: Digits, n_columns: int | None) -> tuple[float, float]:
    """Share of a product that wires take, in arrays of equal cells of the mean conductance.

    Root mean square over columns of a column's mean, and mean square over all cells.
    """
    low, high = spec.cell.r_lrs_ohm, spec.cell.r_hrs_ohm
    if spec.domain != "resistive" or not low or not high or high <= low or spec.cell.wire_ohm <= 0:
        return 0.0, 0.0
    mean_g = 1 / high + (1 / low - 1 / high) * float(w.device_mean.mean()) / w.top
    columns = min(spec.cols, n_columns or spec.cols)
    parts = [(n * size, _kept_moments(size * spec.row_devices, columns, mean_g, spec.cell.wire_ohm)) for n, size, _ in rows.tiles]
    k = sum(inputs for inputs, _ in parts)
    mean, square = (sum(inputs * moments[i] for inputs, moments in parts) / k for i in (0, 1))
    return mean, square


@lru_cache(maxsize=128)
def _kept_moments(n_rows: int, n_columns: int, conductance: float, wire_ohm: float) -> tuple[float, float]:
    """Root mean square over columns of the mean share lost by equal cells, and its mean square over all cells."""
    cells = np.full((n_rows, n_columns), conductance)
    lost = 1 - estimated_conductance(cells, Wires(row_ohm=wire_ohm, col_ohm=wire_ohm)) / conductance
    return float(np.sqrt(np.mean(lost.mean(axis=0) ** 2))), float(np.mean(lost**2))
