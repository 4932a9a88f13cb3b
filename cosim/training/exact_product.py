"""Products of whole numbers through the converters of a macro, fast enough to stand in the forward pass of training.

A column sum s of one pass over one group of rows is read as step (code + z), code = min(max(floor(s / step - z + 1/2), 0), 2^n - 1), with
one positive step for all columns of a layer; z = 0 where sums have no sign, -2^(n-1) where they have, -1/2 for one bit that tells the sign.
With W the value of pass and slice, y = sum W step (code + z) - offset sum x, and LSQ's slope to the step is (Esser et al., ICLR 2020,
eq. 3) dy/dstep = sum W (code + z - s / step where z < s / step < z + 2^n - 1, code + z elsewhere).
Results equal those of `hw_models.cim.functional` bit for bit: where bits can be counted in bytes by a kernel of their own, elsewhere by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.functional_adc import AdcRange, largest_sum
from hw_models.cim.functional_map import Layout, check_bits, check_exact, check_range, map_inputs, map_weights, whole_numbers
from hw_models.cim.spec import CimMacroSpec
from hw_models.kernels.counts import count_codes, pack_cells, pack_inputs
from hw_models.kernels.mvm import BLOCK, WORD
from workloads.errors import SimulationError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

BYTE = 255  # largest number in a byte
WORD_BITS = 30  # sums of the kernel are 32-bit
SAMPLE_CHUNK = 16  # vectors whose column sums are held at once


@dataclass(frozen=True, slots=True)
class Product:
    """Outputs [v, n] in units of whole-number products; their LSQ slope to the step, and the share of each that was not clipped.

    The share: sum |W| s over sums inside the range by that over all sums, 1 where there are none. None where not asked for.
    """

    out: Floats
    to_step: Floats | None
    inside: Floats | None = None


@dataclass(frozen=True, slots=True)
class Codes:
    """How sums are read at one step: sums from `low` on in a byte, the smallest that reaches each code, and the part of them inside."""

    low: int
    thresholds: NDArray[np.uint8]
    inside: Ints


def zero_codes(spec: CimMacroSpec) -> float:
    """z: what code 0 stands for, in steps. SimulationError where the macro has no converter."""
    if spec.adc is None:
        raise SimulationError("this macro has adder trees and no adc: nothing of its products can be learned; train it as digital")
    if not spec.has_signed_sums:
        return 0.0
    return -0.5 if spec.adc.n_bits == 1 else -(2.0 ** (spec.adc.n_bits - 1))


def learned_range(spec: CimMacroSpec, step: float, n_slices: int) -> AdcRange:
    """The range of a learned step, one for all slices; SimulationError unless the step is a number above 0."""
    zero = zero_codes(spec) * step
    if not isfinite(step) or step <= 0 or spec.adc is None:
        raise SimulationError(f"adc step {step}: a step is a number above 0, in units of one cell")
    return AdcRange(spec.adc.n_bits, np.full(n_slices, zero), np.full(n_slices, step))


@dataclass(frozen=True)
class ExactProduct:
    """Where a product of unsigned inputs with whole weights lies in a macro's arrays. Make one with `of`; it holds no weights.

    layout, devices [s, q] and bits [s, q] say which bit of which stored number plane q of slice s is; coefficients [q] what one counts.
    """

    spec: CimMacroSpec
    n_inputs: int
    n_outputs: int
    weight_bits: int
    activation_bits: int
    layout: Layout
    devices: Ints
    bits: Ints
    coefficients: Ints

    @classmethod
    def of(cls, spec: CimMacroSpec, shape: tuple[int, ...], weight_bits: int, activation_bits: int) -> ExactProduct:
        """Lay out a product with weights of a shape [k, n]. SimulationError on bits outside 1 ... 32 or a macro without adc."""
        n_inputs, n_outputs = shape
        zero_codes(spec)
        check_bits("activation_bits", activation_bits)
        _, layout = map_weights(spec, np.zeros((n_inputs, n_outputs), dtype=np.int64), weight_bits)
        check_exact(layout, activation_bits, spec.bits_per_cell)
        n_devices = 2 if spec.sign_bits else 1
        slices, planes = np.arange(layout.n_slices), np.arange(spec.bits_per_cell)
        if spec.slice_reads > 1:
            devices = np.repeat(slices[:, None] % n_devices, planes.size, axis=1)
            bits = slices[:, None] // n_devices * spec.bits_per_cell + planes
            coefficients = 1 << planes
        else:
            devices = np.tile(np.repeat(np.arange(n_devices), planes.size), (slices.size, 1))
            bits = slices[:, None] * spec.bits_per_cell + np.tile(planes, n_devices)
            coefficients = np.concatenate([1 << planes, -(1 << planes)][:n_devices])
        return cls(spec, n_inputs, n_outputs, weight_bits, activation_bits, layout, devices, bits, coefficients)

    @cached_property
    def n_bits(self) -> int:
        """Bits of an input, filled up to whole passes."""
        per_pass = self.spec.input_bits_per_pass
        return -(-self.activation_bits // per_pass) * per_pass

    @cached_property
    def top(self) -> int:
        """Largest code."""
        return 2**self.spec.adc.n_bits - 1 if self.spec.adc else 0

    @cached_property
    def pass_weights(self) -> NDArray[np.int32]:
        """What 1 of each pass counts."""
        return np.asarray(2 ** np.arange(0, self.n_bits, self.spec.input_bits_per_pass), dtype=np.int32)

    @cached_property
    def _fits(self) -> bool:
        """Whether numbers stored fit bytes, and sums over groups 16, over passes 32 bits."""
        largest, of_slices = BYTE * self.layout.n_groups, int(np.abs(self.layout.slice_weights).sum())
        return self.n_bits <= 8 and self.weight_bits <= 8 and largest < 2**15 and (largest << self.n_bits) * of_slices < 2**WORD_BITS

    def codes(self, step: float) -> Codes | None:
        """Reading of sums at a step, or None where it does not fit a byte."""
        used, most = learned_range(self.spec, step, 1), largest_sum(self.spec)
        scale = 1 / float(used.step[0])
        sums = np.arange(-most if self.layout.signed else 0, most + 1)
        code = np.floor(np.clip(sums * scale + (0.5 - float(used.zero[0]) * scale), 0.0, used.top))
        first = sums[np.searchsorted(code, np.arange(1, min(self.top, int(code[-1])) + 1))]
        z = zero_codes(self.spec)
        begin, end = int(np.floor(z * step)), int(np.ceil((z + self.top) * step))
        low = max(int(sums[0]) - 1, begin) if self.layout.signed else 0
        if not self._fits or min(end, most + 1) - low > BYTE or (first.size and first[-1] - low > BYTE):
            return None
        inside = np.array([begin, end], dtype=np.int64) - low
        return Codes(low, (first - low).astype(np.uint8), inside)

    def pack(self, inputs: Array) -> Words:
        """Bits of whole inputs [v, k] of `activation_bits`: [v, g, bits, h]. SimulationError outside of them."""
        if inputs.dtype != np.uint8 or self.activation_bits < 8:
            whole = whole_numbers("inputs", inputs)
            check_range("inputs", whole, 0, 2**self.activation_bits - 1, "quantize them to activation_bits first")
            inputs = whole.astype(np.uint8)
        if inputs.ndim != 2 or inputs.shape[1] != self.n_inputs:
            raise SimulationError(f"inputs: shape {inputs.shape} does not meet {self.n_inputs} rows of weights; give as many")
        packed = np.empty((inputs.shape[0], self.layout.n_groups, self.n_bits, self._n_words), dtype=np.uint64)
        pack_inputs(np.ascontiguousarray(inputs), self.layout.starts, packed)
        return packed

    def store(self, weights: Array) -> Words:
        """Bits of whole weights [k, n] in their cells: [b, g, q, h, c]. SimulationError where they do not fit."""
        most = 2 ** max(1, self.weight_bits - 1) - 1
        low, high = (-most, most) if self.spec.sign_bits else (-(2 ** (self.weight_bits - 1)), 2 ** (self.weight_bits - 1) - 1)
        if weights.shape != (self.n_inputs, self.n_outputs) or weights.dtype.kind != "i":
            raise SimulationError(f"weights: {weights.dtype} {weights.shape}; give whole numbers [{self.n_inputs}, {self.n_outputs}]")
        check_range("weights", weights, low, high, "quantize them to weight_bits first")
        small = weights.astype(np.int16)
        both = [np.maximum(small, 0), np.maximum(-small, 0)] if self.spec.sign_bits else [small - low]
        stored = np.stack(both).astype(np.uint8)
        n_blocks = -(-self.layout.converter.size // BLOCK)
        packed = np.zeros((n_blocks, self.layout.n_groups, self.coefficients.size, self._n_words, BLOCK), dtype=np.uint64)
        pack_cells(stored, self.devices, self.bits, self.layout.starts, packed)
        return packed

    def multiply(self, inputs: Array, weights: Array, step: float, *, slope: bool = True, inside: bool = False) -> Product:
        """Whole inputs [v, k] times whole weights [k, n] at a step, with slope and share where they are asked for."""
        read = self.codes(step)
        if read is None:
            array = ProgrammedArray.program(self.spec, weights, self.weight_bits)
            return programmed_product(array, inputs, self.activation_bits, step, slope=slope)
        packed, cells = self.pack(inputs), self.store(weights)
        shape = (packed.shape[0], cells.shape[0], BLOCK)
        codes, sums = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
        with np.errstate(over="ignore"):  # counting bits multiplies modulo 2^64
            count_codes(
                packed,
                cells,
                self.coefficients,
                self.pass_weights,
                read.thresholds,
                read.low,
                read.inside,
                not self.layout.signed,
                codes,
                sums,
            )
        value = self.layout.slice_weights
        count = self.layout.n_groups * float(self.pass_weights.sum()) * float(value.sum())
        joined = np.asarray(self._join(codes, value) + zero_codes(self.spec) * count, dtype=np.float64)
        out = joined * step
        if self.layout.offset:
            out -= self.layout.offset * inputs.sum(axis=1, dtype=np.int64)[:, None]
        to_step = joined - self._join(sums, value) * (1 / step) if slope else None
        return Product(out, to_step, self._inside(inputs, weights, sums) if inside else None)

    def _inside(self, inputs: Array, weights: Array, sums: NDArray[np.int32]) -> Floats:
        """Share of each output's counts that were not clipped. SimulationError where counts have signs or an offset."""
        if self.spec.slice_reads == 1:
            raise SimulationError("share inside: sums of this macro have signs or an offset; only digital subtraction tells it")
        whole = inputs.astype(np.float32) @ np.abs(weights).astype(np.float32)
        passed = self._join(sums, np.abs(self.layout.slice_weights))
        return np.divide(passed, whole, out=np.ones(whole.shape), where=whole > 0)

    @property
    def _n_words(self) -> int:
        return -(-self.layout.n_rows // WORD)

    def _join(self, columns: NDArray[np.int32], slice_weights: Ints) -> NDArray[np.int32]:
        """Sum over slices of their weights times columns: [v, n]."""
        by_slice, n = columns.reshape(columns.shape[0], -1), self.n_outputs
        out, part = np.zeros((columns.shape[0], n), dtype=np.int32), np.empty((columns.shape[0], n), dtype=np.int32)
        for s, weight in enumerate(slice_weights.tolist()):
            out += np.multiply(by_slice[:, s * n : (s + 1) * n], np.int32(weight), out=part)
        return out


def programmed_product(
    array: ProgrammedArray,
    inputs: Array,
    activation_bits: int,
    step: float,
    rng: np.random.Generator | None = None,
    *,
    signed: bool = False,
    slope: bool = True,
) -> Product:
    """The same through cells as they were programmed, errors and all: slower, and for any macro with converters.

    Its range is set to the step. The slope takes column sums without read noise.
    """
    array.range = learned_range(array.spec, step, array.layout.n_slices)
    out = np.asarray(array.multiply(inputs, activation_bits, rng, signed=signed), dtype=np.float64)
    if not slope:
        return Product(out, None)
    weights = map_inputs(array.spec, np.zeros((1, array.layout.n_inputs), dtype=np.int64), activation_bits, signed).weights
    z, top = zero_codes(array.spec), array.range.top
    parts = []
    for v in range(0, inputs.shape[0], SAMPLE_CHUNK):
        sums = array.column_sums(inputs[v : v + SAMPLE_CHUNK], activation_bits, signed=signed)
        ratio = sums / step
        read = array.range.read(sums) / step
        each = np.where((ratio > z) & (ratio < z + top), read - ratio, read)
        parts.append(np.einsum("vgpsn,p,s->vn", each, weights, array.layout.slice_weights, optimize=True))
    return Product(out, np.concatenate(parts))
