"""The same macro computes: products of whole numbers through the cells, passes and converters of a `CimMacroSpec`.

The column sum of one pass over one group of rows, s = sum_j x_j l_jc + read noise, becomes the code min(max(floor(t), 0), 2^n - 1) with
t = a (s - zero) / step + o + 0.5 + converter noise, a and o gain and offset of the column's own converter. Codes are shifted by the
bits of their pass and slice and added as integers; zero, step and the offsets of encoding and inputs are put right at the end.
Without chance (no generator) and with an ADC that is granular and lossless the result is the integer product, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models.cim import functional_map as fmap
from hw_models.cim.functional_adc import AdcRange, fit_range, fixed_range
from hw_models.cim.functional_cells import IrDrop, Perturb, program_cells
from hw_models.cim.functional_map import Floats, Ints, Layout, Passes, Words
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec
from hw_models.kernels.mvm import BLOCK, WORD, bit_mvm, pack_bits, table_mvm
from workloads.errors import SimulationError

__all__ = ["Perturb", "ProgrammedArray"]

Result = NDArray[np.int64] | NDArray[np.float64]

CHUNK = 128  # vectors that go through the kernels together: their sums stay in the second cache
N_NOISE = 1 << 21  # draws held at once
SAMPLE_CHUNK = 16  # vectors whose column sums are held at once


@final
@dataclass(eq=False)
class ProgrammedArray:
    """A weight matrix in the cells of a macro, with the errors it was programmed with. Make one with `program`.

    levels [k, slices, n] is what cells contribute to a sum for each unit of drive, minus devices subtracted, on a grid so fine that sums
    are exact (`functional_map.on_grid`); `range` the codes of the
    converters, None without ADC, or until `calibrate` has set it. Gain and offset [row tiles, slices, n] are those of the converters.
    """

    spec: CimMacroSpec
    weights: Ints
    layout: Layout
    levels: Floats
    cells: Words | None  # bits of whole levels [b, g, q, h, c]
    coefficients: Ints
    tables: Floats | None  # other levels [b, g, row, c]
    gain: Floats
    offset: Floats
    range: AdcRange | None

    @classmethod
    def program(
        cls,
        spec: CimMacroSpec,
        weights: ArrayLike,
        weight_bits: int,
        rng: np.random.Generator | None = None,
        *,
        perturb: Perturb | None = None,
        t_s: float | None = None,
        ir_drop: IrDrop = "solved",
    ) -> ProgrammedArray:
        """Map whole weights [k, n] of `weight_bits`, two's complement range, on cells and program them.

        With `rng` the cells take programming errors (normal, programming_sigma of the full level) or those of `perturb`, then some are
        stuck, and converters draw gain and offset; without, all are as designed. `perturb` takes conductances g / g_max and returns
        those that came out; without it, cells with a `cell.noise` follow that model, read `t_s` after programming (default: as
        programmed). Where the cell has an on/off ratio, level 0 sits at g_off and the nominal g_off is subtracted (dummy column).
        Cells with `wire_ohm` are seen through their wires, `solved` node by node, `estimated` or not at all (`none`).
        Raises SimulationError on weights that are not whole or out of range.
        """
        if ir_drop not in get_args(IrDrop):
            raise SimulationError(f"program: ir_drop {ir_drop!r} is not known; choose {', '.join(get_args(IrDrop))}")
        whole = fmap.whole_numbers("weights", weights)
        devices, layout = fmap.map_weights(spec, whole, weight_bits)
        if perturb is None and rng is not None and spec.cell.noise is not None and spec.domain != "digital":
            perturb = load_noise(spec.cell.noise).perturb(t_s)
        elif t_s is not None and rng is not None:
            raise SimulationError(f"program: t_s {t_s:g} s needs cells that change with time; name a model in cell.noise")
        cells = program_cells(spec, devices, rng, perturb, ir_drop)
        net = np.asarray(cells[0] - cells[1] if len(cells) > 1 else cells[0], dtype=np.float64)
        is_whole = all(levels.dtype.kind == "i" for levels in cells)
        net = net if is_whole else fmap.on_grid(layout, net)
        columns = [np.asarray(levels.reshape(levels.shape[0], -1), dtype=np.int64) for levels in cells] if is_whole else []
        bits, coefficients = fmap.packed_cells(layout, columns, spec.bits_per_cell) if is_whole else (None, np.zeros(0, dtype=np.int64))
        gain, offset = _converter_errors(spec, layout, rng)
        return cls(
            spec=spec,
            weights=whole,
            layout=layout,
            levels=net,
            cells=bits,
            coefficients=coefficients,
            tables=None if is_whole else fmap.table_levels(layout, net.reshape(net.shape[0], -1)),
            gain=gain,
            offset=offset,
            range=_range_of(spec, layout.n_slices),
        )

    @property
    def effective_weights(self) -> Floats:
        """What the cells stand for, sum_s W_s l_s - offset; [k, n], equal to the weights where nothing went wrong."""
        return np.asarray(np.tensordot(self.levels, self.layout.slice_weights, axes=(1, 0)) - self.layout.offset, dtype=np.float64)

    def multiply(
        self,
        inputs: ArrayLike,
        activation_bits: int,
        rng: np.random.Generator | None = None,
        *,
        signed: bool = False,
        lossless: bool = False,
    ) -> Result:
        """Inputs [v, k] times the weights: [v, n], int64 where all codes stand for integers, else float64.

        `signed` inputs are two's complement; `lossless` leaves the converter out. With `rng`, cells draw read noise (read_sigma of the
        full level, each cell and pass anew) and converters noise_lsb. Raises SimulationError on inputs that are not whole, out of range
        or of another length than the weights, and where a calibrated range has not been calibrated.
        """
        passes = self._passes(inputs, activation_bits, signed)
        converts = self.spec.adc is not None and not lossless
        if converts and self.range is None:
            raise SimulationError("multiply: the adc has range calibrated and no range yet; call calibrate(sample_inputs, ...) first")
        noise = _Noise.of(self.spec, rng, converts)
        n_vectors = passes.phases[0][1].shape[0]
        blocks = -(-self.layout.converter.size // BLOCK)
        size = CHUNK
        if noise is not None:
            size = max(1, min(CHUNK, N_NOISE // (self.layout.n_groups * passes.weights.size * blocks * BLOCK)))
        electrical = self._electrical(converts)
        used = self.range if converts else None
        is_whole = used.is_whole if used else noise is None and self.cells is not None
        shape = (n_vectors, self.weights.shape[1])
        result: Result = np.empty(shape, dtype=np.int64) if is_whole else np.empty(shape, dtype=np.float64)
        for v in range(0, n_vectors, size):
            part = passes.part(v, v + size)
            self._digital(self._codes(part, electrical, noise), part, used, result[v : v + size])
        return result

    def calibrate(
        self, sample_inputs: ArrayLike, activation_bits: int, *, signed: bool = False, per: Literal["slice", "layer"] = "slice"
    ) -> AdcRange:
        """Set the range that reads the column sums of these inputs [v, k] with the least squared error; for each slice, or one for all.

        Searched are begin and end of the range; on the samples no worse than the full or the granular range.
        """
        if self.spec.adc is None:
            raise SimulationError("calibrate: this macro has no adc and loses nothing; call multiply")
        if per not in {"slice", "layer"}:
            raise SimulationError(f"calibrate: per {per!r} is not known; choose slice or layer")
        sums = self.column_sums(sample_inputs, activation_bits, signed=signed)
        n_slices, n_bits = self.layout.n_slices, self.spec.adc.n_bits
        if per == "slice":
            self.range = fit_range(self.spec, n_bits, [sums[..., s, :].ravel() for s in range(n_slices)])
        else:
            one = fit_range(self.spec, n_bits, [sums.ravel()])
            self.range = AdcRange(n_bits, np.repeat(one.zero, n_slices), np.repeat(one.step, n_slices))
        return self.range

    def column_sums(self, inputs: ArrayLike, activation_bits: int, *, signed: bool = False) -> Floats:
        """What reaches the converters, without read noise, in units of input step times level step: [v, groups, passes, slices, n]."""
        passes = self._passes(inputs, activation_bits, signed)
        n_inputs, n_slices, n_outputs = self.levels.shape
        columns = self.levels.reshape(n_inputs, -1)
        drive = passes.values().astype(np.float64)
        groups = zip(self.layout.starts[:-1], self.layout.starts[1:], strict=True)
        sums = np.stack([drive[:, :, first:last] @ columns[first:last] for first, last in groups], axis=1)
        return sums.reshape(*sums.shape[:3], n_slices, n_outputs)

    def _passes(self, inputs: ArrayLike, activation_bits: int, signed: bool) -> Passes:
        """Inputs checked and cut in passes."""
        whole = fmap.whole_numbers("inputs", inputs)
        if whole.shape[1] != self.layout.n_inputs:
            raise SimulationError(f"inputs: {whole.shape[1]} values a vector meet weights of {self.layout.n_inputs} rows; give as many")
        passes = fmap.map_inputs(self.spec, whole, activation_bits, signed)
        fmap.check_exact(self.layout, passes.n_bits, self.spec.bits_per_cell)
        return passes

    def _electrical(self, converts: bool) -> _Electrical:
        """Converters as the kernels take them: t = a s + o."""
        shape = (self.layout.n_groups, self.layout.converter.size)
        if not converts or self.range is None or self.spec.adc is None:
            zeros = np.asarray(fmap.blocked(np.zeros(shape)), dtype=np.float64)
            return _Electrical(np.ones_like(zeros), zeros, zeros, -1.0)
        scale = 1 / self.range.step[:, None]
        gain = self.gain * scale
        offset = self.offset + (0.5 - self.range.zero[:, None] * gain)
        tile = self.layout.tile
        arrays = (gain[tile], offset[tile], self.spec.adc.noise_lsb / np.abs(gain[tile]))
        a, o, std = (np.asarray(fmap.blocked(x.reshape(shape)), dtype=np.float64) for x in arrays)
        return _Electrical(a, o, std, self.range.top)

    def _codes(self, passes: Passes, electrical: _Electrical, noise: _Noise | None) -> Floats:
        """Codes added over passes and groups of rows: [v, columns]."""
        layout, weights = self.layout, passes.weights
        n_vectors = passes.phases[0][1].shape[0]
        packed = self._packed(passes)
        n_blocks = electrical.gain.shape[0]
        out = np.zeros((n_vectors, n_blocks, BLOCK))
        draws, read_std = np.zeros((0, 0, 0, 0, 0), dtype=np.float32), np.zeros((n_vectors, layout.n_groups, weights.size))
        if noise is not None:
            draws = noise.draw((n_vectors, layout.n_groups, weights.size, n_blocks, BLOCK))
            read_std = noise.read_std(passes, layout)
        tail = (weights, electrical.gain, electrical.offset, draws, electrical.noise_std, read_std, electrical.top, out)
        with np.errstate(over="ignore"):  # counting bits multiplies modulo 2^64
            if self.cells is not None:
                bit_mvm(packed, self.cells, self.coefficients, *tail)
            elif self.tables is not None:
                table_mvm(packed, self.tables, *tail)
        return out.reshape(n_vectors, -1)[:, : layout.converter.size]

    def _packed(self, passes: Passes) -> Words:
        """Input bits of all phases, packed: [v, g, bits, h]."""
        layout = self.layout
        n_words = -(-layout.n_rows // WORD)
        parts = []
        for _, values in passes.phases:
            packed = np.zeros((values.shape[0], layout.n_groups, passes.n_bits, n_words), dtype=np.uint64)
            pack_bits(np.ascontiguousarray(values), layout.starts, packed)
            parts.append(packed)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _digital(self, codes: Floats, passes: Passes, used: AdcRange | None, result: Result) -> None:
        """Slices joined and offsets put right: sum_s W_s (step_s C_s + zero_s sum of pass weights) - offset sum x - shift sum w."""
        layout = self.layout
        sums = codes.reshape(-1, layout.n_slices, layout.converter.shape[1])
        count = layout.n_groups * passes.weights.sum()
        result[:] = -layout.offset * passes.sums()[:, None] - passes.shift * self.weights.sum(axis=0)
        for s, weight in enumerate(layout.slice_weights):
            part = sums[:, s]
            if used:
                part = part * used.step[s] + used.zero[s] * count
            result += part.astype(result.dtype) * weight


@dataclass(frozen=True, slots=True)
class _Electrical:
    """Converters of all columns: codes a unit of sum and code of sum 0 [b, g, c], noise in units of sum, largest code (-1: none)."""

    gain: Floats
    offset: Floats
    noise_std: Floats
    top: float


@dataclass(frozen=True, slots=True)
class _Noise:
    """What is drawn anew in each pass."""

    rng: np.random.Generator
    cell_std: float  # of the read of one driven device pair, at a drive of 1

    @staticmethod
    def of(spec: CimMacroSpec, rng: np.random.Generator | None, converts: bool) -> _Noise | None:
        """None where there is nothing to draw."""
        if rng is None or spec.domain == "digital":
            return None
        cell_std = spec.cell.read_sigma * (2**spec.bits_per_cell - 1) * (spec.row_devices * spec.read_columns) ** 0.5
        converter_lsb = spec.adc.noise_lsb if spec.adc and converts else 0.0
        return _Noise(rng, cell_std) if cell_std > 0 or converter_lsb > 0 else None

    def draw(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Normal numbers in 65536 steps of equal probability."""
        n = int(np.prod(shape))
        steps = self.rng.integers(0, 2**64, -(-n // 4), dtype=np.uint64).view(np.uint16)[:n]
        return np.asarray(normal_steps()[steps].reshape(shape), dtype=np.float32)

    def read_std(self, passes: Passes, layout: Layout) -> Floats:
        """Standard deviation of a sum of independent cells, cell_std sqrt(sum_j x_j^2); [v, g, p]."""
        if self.cell_std == 0:
            return np.zeros((passes.phases[0][1].shape[0], layout.n_groups, passes.weights.size))
        squares = np.add.reduceat(passes.values() ** 2, layout.starts[:-1], axis=2)
        return np.ascontiguousarray(np.moveaxis(self.cell_std * np.sqrt(squares), 2, 1))


@lru_cache(maxsize=1)
def normal_steps() -> NDArray[np.float32]:
    """Quantiles of N(0, 1) in the middle of 65536 steps of equal probability, scaled to a variance of exactly 1."""
    upper = np.array([NormalDist().inv_cdf(0.5 + (i + 0.5) / 65536) for i in range(32768)])
    both = np.concatenate([-upper[::-1], upper]) / np.sqrt(np.mean(upper**2))
    return np.asarray(both, dtype=np.float32)


def _range_of(spec: CimMacroSpec, n_slices: int) -> AdcRange | None:
    """The range that needs no samples; a calibrated one of lossless bits is granular."""
    if spec.adc is None:
        return None
    if spec.adc.range != "calibrated":
        return fixed_range(spec, spec.adc.n_bits, spec.adc.range, n_slices)
    return fixed_range(spec, spec.adc.n_bits, "granular", n_slices) if spec.adc.n_bits >= spec.lossless_adc_bits else None


def _converter_errors(spec: CimMacroSpec, layout: Layout, rng: np.random.Generator | None) -> tuple[Floats, Floats]:
    """Gain and offset in codes of the converter behind each column: [row tiles, slices, n]."""
    n_tiles, n_converters = int(layout.tile[-1]) + 1, int(layout.converter.max()) + 1
    gain, offset = np.ones((n_tiles, n_converters)), np.zeros((n_tiles, n_converters))
    if rng is not None and spec.adc is not None:
        gain += spec.adc.gain_sigma * rng.standard_normal(gain.shape)
        offset += spec.adc.offset_lsb * rng.standard_normal(offset.shape)
    return gain[:, layout.converter], offset[:, layout.converter]
