"""Value statistics of a tensor: a histogram, carried through number encoding and bit slicing to what rows and cells of an array see.

A histogram assumes that values are drawn independently of each other; what correlation does to energy is measured in
docs/models/cim_statistics.md. Source of the pipeline: CiMLoop (Andrulis et al., ISPASS 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SpecError, WorkloadError, suggest

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ValueEncoding = Literal["unsigned", "offset", "twos_complement", "differential", "magnitude", "xnor", "zero_gated"]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Probabilities of the integer values of a tensor: values [n] increasing, probabilities [n] that add up to 1."""

    values: Ints
    probabilities: Floats

    def __post_init__(self) -> None:
        given = f"histogram of {self.values.size} values and {self.probabilities.size} probabilities"
        if self.values.ndim != 1 or self.values.shape != self.probabilities.shape or self.values.size == 0:
            raise WorkloadError(f"{given}: give one probability to each value, and at least one value")
        if (np.diff(self.values) <= 0).any():
            raise WorkloadError(f"{given}: values must increase; Histogram.from_counts sorts and joins them")
        if not ((self.probabilities >= 0).all() and abs(self.probabilities.sum() - 1) < 1e-9):
            raise WorkloadError(f"{given}: probabilities must be 0 or more and add up to 1; they add up to {self.probabilities.sum():g}")

    @classmethod
    def from_counts(cls, values: ArrayLike, counts: ArrayLike) -> Histogram:
        """Values with counts or weights of any sum, in any order; equal values are joined."""
        given, weight = np.asarray(values), np.asarray(counts, dtype=np.float64).ravel()
        if given.size and not (np.asarray(given, dtype=np.float64) == np.floor(np.asarray(given, dtype=np.float64))).all():
            raise WorkloadError("histogram: values must be whole numbers; quantize the tensor first")
        unique, place = np.unique(given.astype(np.int64).ravel(), return_inverse=True)
        if given.size != weight.size or not weight.sum() > 0:
            raise WorkloadError(f"histogram of {given.size} values with {weight.size} counts of sum {weight.sum():g}: nothing to count")
        return cls(unique, np.bincount(place, weights=weight, minlength=unique.size) / weight.sum())

    @classmethod
    def from_array(cls, values: ArrayLike) -> Histogram:
        """Histogram of a tensor of integers."""
        given = np.asarray(values)
        return cls.from_counts(given, np.ones(given.size))

    @classmethod
    def uniform(cls, low: int, high: int) -> Histogram:
        """Every whole number from low to high equally often."""
        return cls.from_counts(np.arange(low, high + 1), np.ones(max(0, high + 1 - low)))

    @classmethod
    def gaussian(cls, bits: int, sigma: float) -> Histogram:
        """Signed values of `bits` around 0 with a standard deviation of `sigma` steps, rounded, clipped to +-(2^(bits - 1) - 1)."""
        top = 2 ** (bits - 1) - 1
        return cls._rounded_gaussian(-top, top, sigma)

    @classmethod
    def relu_half_gaussian(cls, bits: int, sigma: float) -> Histogram:
        """Unsigned values of `bits`: a Gaussian around 0 of `sigma` steps whose negative half is 0, clipped to 2^bits - 1."""
        return cls._rounded_gaussian(0, 2**bits - 1, sigma)

    @classmethod
    def _rounded_gaussian(cls, low: int, high: int, sigma: float) -> Histogram:
        if high < low or not sigma > 0:
            raise WorkloadError(f"gaussian histogram from {low} to {high} with sigma {sigma:g}: give sigma above 0 and enough bits")
        edges = [-np.inf, *np.arange(low, high) + 0.5, np.inf]
        return cls.from_counts(np.arange(low, high + 1), np.diff([0.5 * (1 + erf(edge / sigma / sqrt(2))) for edge in edges]))

    def with_zeros(self, share: float) -> Histogram:
        """Histogram with this share of all values replaced by zeros: padding, or rows that a sparse kernel leaves out."""
        if not 0 <= share <= 1:
            raise WorkloadError(f"share of zeros {share:g} is not between 0 and 1")
        return Histogram.from_counts([*self.values, 0], [*((1 - share) * self.probabilities), share])

    @property
    def mean(self) -> float:
        """Mean value."""
        return float(self.values @ self.probabilities)

    @property
    def mean_square(self) -> float:
        """Mean of the squared value."""
        return float(self.values.astype(np.float64) ** 2 @ self.probabilities)


def padding_share(size: int, kernel: int, stride: int, padding: int) -> float:
    """Share of a square convolution's inputs that are padding: 1 - (taps inside / taps)^2, over size x size pixels."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    if outputs < 1:
        raise WorkloadError(f"a kernel of {kernel} does not fit {size} pixels padded by {padding}")
    taps = np.arange(outputs)[:, None] * stride + np.arange(kernel) - padding
    return float(1 - ((taps >= 0) & (taps < size)).mean() ** 2)


# --- encoding ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """Codes of `n_bits` that devices, or phases, hold for one value: one histogram for each of them."""

    parts: tuple[Histogram, ...]
    n_bits: int


def encode_values(values: ArrayLike, encoding: ValueEncoding, bits: int) -> tuple[Ints, int]:
    """Codes [n_parts, ...] of whole values and the bits of a code; raises WorkloadError on values that `bits` cannot hold.

    unsigned: x. offset: x + 2^(b-1). twos_complement: x mod 2^b. differential: max(x, 0) and max(-x, 0), b - 1 bits.
    magnitude: |x|, b - 1 bits, the sign being kept elsewhere. xnor: ones and zeros as +1 and -1, in a device and its
    complement: code 2 (x + 2^(b-1)) of b + 1 bits, whose last bit has the weight of the one before it, so that the sum of
    +-1 is 2 x, zero included (Jia et al., JSSC 2020). zero_gated: as xnor, both devices off where x = 0.
    """
    x = np.asarray(values, dtype=np.int64)
    half = 1 << (bits - 1)
    low, high = {"unsigned": (0, 2 * half - 1), "differential": (1 - half, half - 1), "magnitude": (1 - half, half - 1)}.get(
        encoding, (-half, half - 1)
    )
    if encoding not in get_args(ValueEncoding):
        raise WorkloadError(f"encoding {encoding!r} is not known; {suggest(encoding, get_args(ValueEncoding))}")
    if x.size and (x.min() < low or x.max() > high):
        raise WorkloadError(
            f"values from {x.min()} to {x.max()} do not fit {encoding} codes of {bits} bits: {low} to {high}; clip or requantize"
        )
    if encoding == "unsigned":
        return x[None], bits
    if encoding == "offset":
        return x[None] + half, bits
    if encoding == "twos_complement":
        return x[None] & (2 * half - 1), bits
    if encoding == "magnitude":
        return np.abs(x)[None], max(1, bits - 1)
    if encoding == "differential":
        return np.stack([np.maximum(x, 0), np.maximum(-x, 0)]), max(1, bits - 1)
    code = 2 * (x + half)
    both = np.stack([code, 4 * half - 1 - code])
    return (both * (x != 0) if encoding == "zero_gated" else both), bits + 1


def encode(histogram: Histogram, encoding: ValueEncoding, bits: int) -> Encoded:
    """Histograms of the codes of `encode_values`."""
    codes, n_bits = encode_values(histogram.values, encoding, bits)
    return Encoded(tuple(Histogram.from_counts(part, histogram.probabilities) for part in codes), n_bits)


# --- slicing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A slice of a code: probabilities [2^b] of its levels, of which 2^b - 1 is full scale."""

    probabilities: Floats

    @property
    def levels(self) -> Floats:
        """Levels over full scale; a slice that fills its cell in part uses part of the range."""
        return np.arange(self.probabilities.size) / (self.probabilities.size - 1)

    @property
    def mean_level(self) -> float:
        """Mean level over full scale."""
        return float(self.levels @ self.probabilities)

    @property
    def mean_square(self) -> float:
        """Mean of the squared level, over full scale squared."""
        return float(self.levels**2 @ self.probabilities)

    @property
    def p_nonzero(self) -> float:
        """Probability that a level is not 0."""
        return float(1 - self.probabilities[0])

    @property
    def p_toggle(self) -> float:
        """Probability that the slices of two independent values differ: 1 - sum p^2."""
        return float(1 - self.probabilities @ self.probabilities)


def slice_codes(codes: ArrayLike, n_bits: int, bits_per_slice: int) -> Ints:
    """Levels [n_slices, ...] of codes, least significant slice first; the last slice may hold fewer bits."""
    if bits_per_slice < 1:
        raise SpecError(f"bits_per_slice {bits_per_slice} must be 1 or more")
    code = np.asarray(codes, dtype=np.int64)
    return np.stack([(code >> start) & (2**bits_per_slice - 1) for start in range(0, n_bits, bits_per_slice)])


def slices(histogram: Histogram, n_bits: int, bits_per_slice: int) -> tuple[Slice, ...]:
    """Slices of the codes of a histogram, least significant first."""
    if histogram.values[0] < 0 or histogram.values[-1] >= 2**n_bits:
        raise WorkloadError(
            f"codes from {histogram.values[0]} to {histogram.values[-1]} are no numbers of {n_bits} bits; encode them first"
        )
    levels = slice_codes(histogram.values, n_bits, bits_per_slice)
    bins = [np.bincount(row, weights=histogram.probabilities, minlength=2**bits_per_slice) for row in levels]
    return tuple(Slice(np.asarray(each, dtype=np.float64)) for each in bins)


# --- what a macro sees ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MacroStatistics:
    """Means over all passes of an input and all slices of a weight, as fractions of full scale.

    `n_passes` bit passes with phases; `n_slices` columns of devices a weight. `input_level` and `input_square` are those of
    a row's drive, `input_nonzero` the share of rows that are driven; `stored_level` is that of a device,
    `weight_level` that of a slice: the sum over its devices. `cell_slices` are the slices of every device.
    """

    n_passes: int
    n_slices: int
    input_level: float
    input_square: float
    input_nonzero: float
    weight_level: float
    stored_level: float
    cell_slices: tuple[Slice, ...]
    silent_passes: tuple[float, ...]

    @property
    def product_level(self) -> float:
        """Mean product of a row's drive and a device's level, of independent inputs and weights: the mean swing of a column."""
        return self.input_level * self.stored_level

    def conversion_share(self, n_rows: int) -> float:
        """Share of passes in which any of n rows is driven, so that there is something to convert: mean of 1 - p0^n."""
        return float(np.mean([1 - p_zero**n_rows for p_zero in self.silent_passes]))


def weight_encoding_of(spec: CimMacroSpec) -> ValueEncoding:
    """How a macro stores weights: two's complement in digital ones, else by its `encoding`."""
    if spec.domain == "digital":
        return "twos_complement"
    return "differential" if spec.row_devices * spec.col_devices == 2 else ("offset" if spec.sign_bits == 0 else "magnitude")


def pass_count(spec: CimMacroSpec, n_bits: int, activation_bits: int) -> int:
    """Bit passes of an input, phases included: ceil(bits / input_bits_per_pass) phases, more where the encoding adds a bit."""
    return -(-max(n_bits, activation_bits) // spec.input_bits_per_pass) * spec.input_phases


def slice_count(spec: CimMacroSpec, n_bits: int) -> int:
    """Slices of a stored weight: whole readouts of `tree_bits` cells; slices beyond its bits hold 0."""
    return -(-n_bits // (spec.bits_per_cell * spec.tree_bits)) * spec.tree_bits


def check_parts(spec: CimMacroSpec, n_input_parts: int, n_weight_parts: int) -> None:
    """Refuse encodings whose parts a macro has no phases or devices for."""
    if n_input_parts > spec.input_phases:
        raise SpecError(f"this encoding of inputs takes {n_input_parts} phases and the macro has input_phases {spec.input_phases}; set it")
    if n_weight_parts != spec.row_devices * spec.col_devices:
        held = f"the macro, of encoding {spec.encoding}, has {spec.row_devices * spec.col_devices}"
        raise SpecError(f"this encoding of weights takes {n_weight_parts} devices a slice and {held}; choose another of the two")


def macro_statistics(
    spec: CimMacroSpec,
    inputs: Histogram,
    weights: Histogram,
    weight_bits: int = 8,
    activation_bits: int = 8,
    input_encoding: ValueEncoding = "unsigned",
    weight_encoding: ValueEncoding | None = None,
) -> MacroStatistics:
    """Carry the histograms of inputs and weights to rows and cells of a macro; phases without a part are silent."""
    given = encode(inputs, input_encoding, activation_bits)
    stored = encode(weights, weight_encoding or weight_encoding_of(spec), weight_bits)
    check_parts(spec, len(given.parts), len(stored.parts))
    n_passes, n_slices = pass_count(spec, given.n_bits, activation_bits), slice_count(spec, stored.n_bits)
    rows = _filled([slices(part, given.n_bits, spec.input_bits_per_pass) for part in given.parts], n_passes)
    cells = _filled([slices(part, stored.n_bits, spec.bits_per_cell) for part in stored.parts], n_slices * len(stored.parts))
    stored_level = float(np.mean([cell.mean_level for cell in cells]))
    return MacroStatistics(
        n_passes=n_passes,
        n_slices=n_slices,
        input_level=float(np.mean([row.mean_level for row in rows])),
        input_square=float(np.mean([row.mean_square for row in rows])),
        input_nonzero=float(np.mean([row.p_nonzero for row in rows])),
        weight_level=stored_level * len(stored.parts),
        stored_level=stored_level,
        cell_slices=cells,
        silent_passes=tuple(float(row.probabilities[0]) for row in rows),
    )


def _filled(parts: list[tuple[Slice, ...]], n: int) -> tuple[Slice, ...]:
    """Slices of all parts, and empty ones up to n."""
    found = [one for part in parts for one in part]
    empty = np.zeros_like(found[0].probabilities)
    empty[0] = 1
    return (*found, *(Slice(empty) for _ in range(n - len(found))))


def with_statistics(spec: CimMacroSpec, statistics: MacroStatistics) -> CimMacroSpec:
    """Return the macro with `input_density` and `weight_density` from histograms in place of its assumptions."""
    return spec.model_copy(update={"input_density": statistics.input_level, "weight_density": statistics.weight_level})
