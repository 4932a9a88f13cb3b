"""Layers of a network on arrays of a macro: whole weights in cells, whole inputs through passes and converters (the exact path).

Products of a layer are y = c s_x s_w array(x) + what rounding changed, where rounding is a cause that is off: an array always computes
with its whole numbers, as only they make column sums, and what numbers that are not to be rounded differ by is added digitally. s_x, s_w
are steps of inputs and weights; c compensates drift: mean |y| of calibration vectors as programmed over that at t_s, both read through
the same converters with their noise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from cosim.training.cells import CALIBRATION, DEFECTS, Devices, History, generator
from cosim.training.converters import lsb_ratio, relaxed
from cosim.training.engines import Deployed, Digital, operands_of
from cosim.training.exact_product import learned_range
from cosim.training.execute import Executor, Multiply
from cosim.training.hardware import CAUSES, Cause, Hardware
from cosim.training.network import Network
from cosim.training.operands import Operands
from cosim.training.samples import thinned
from hw_models.cim.functional import ProgrammedArray
from hw_models.cim.functional_adc import AdcRange
from hw_models.cim.functional_cells import has_wires
from hw_models.cim.noise import load_noise
from hw_models.cim.noise_base import NoiseSpec
from hw_models.cim.spec import CimMacroSpec
from workloads.errors import SimulationError
from workloads.program import Layer

Array = NDArray[Any]
Floats = NDArray[np.float64]

N_SUMS = 1 << 21  # column sums that a range is placed by, at most
N_CALIBRATION = 512  # vectors that drift is compensated by, at most


@final
@dataclass(frozen=True)
class OnArrays(Deployed):
    """A network of whole weights and inputs on arrays of `hardware.macro`; `samples` are training inputs that place calibrated ranges.

    Programming, defects and drift come from `seed`. `ranges` of layers, one a group, are filled as they are placed; another chip may
    be given them. Raises SimulationError where a layer has no whole numbers, or where a range must be
    calibrated and there are no samples.
    """

    network: Network
    hardware: Hardware
    seed: int
    samples: Array | None = None
    ranges: dict[str, list[AdcRange | None]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse real numbers."""
        for name, operands in self.operands.items():
            if not operands.is_whole:
                raise SimulationError(f"layer {name}: arrays take whole weights and inputs; give weight_bits and activation_bits")

    @cached_property
    def operands(self) -> Mapping[str, Operands]:
        """Operands of each layer by name."""
        return operands_of(self.network)

    @cached_property
    def spec(self) -> CimMacroSpec:
        """The macro without the causes that are off."""
        if self.hardware.macro is None:
            raise SimulationError(f"{self.hardware.name}: has no arrays")
        return without(self.hardware.macro, self.hardware.off)

    @cached_property
    def model(self) -> NoiseSpec | None:
        """Statistics of the cells, where they have any."""
        return model_of(self.hardware)

    @property
    def is_fresh(self) -> bool:
        """Whether two passes differ."""
        return "read" in array_causes(self.hardware)

    def multiply(self, rng: np.random.Generator) -> Multiply:
        """Products of one pass. Cells whose statistics have read noise are read once a pass; other read noise is drawn with each vector."""
        reads = self.model is not None and self.hardware.t_s is not None and "read" not in self.hardware.off
        seen: dict[str, list[ProgrammedArray]] = {}
        fresh = rng if self.is_fresh else None

        def product(layer: Layer, vectors: Array) -> Array:
            name = layer.name
            if name not in seen:
                seen[name] = self._program(name, self.hardware.t_s, rng) if reads else self._arrays(name)
            return self._product(name, seen[name], vectors, fresh) * self.factors[name] + self._unrounded(name, vectors)

        return product

    def _unrounded(self, name: str, vectors: Array) -> Array | float:
        """What rounding changed, where it is off."""
        if not {"weight_bits", "dac"} & self.hardware.off:
            return 0.0
        operands = self.operands[name]
        return np.asarray(operands.product(vectors, self.hardware.off) - operands.product(vectors), dtype=np.float64)

    def _product(self, name: str, arrays: list[ProgrammedArray], vectors: Array, rng: np.random.Generator | None) -> Floats:
        """Products [g, v, n] in units of the network."""
        operands = self.operands[name]
        whole, bits = operands.whole_inputs(vectors), operands.activation_bits or 1
        parts = [array.multiply(x, bits, rng, signed=operands.signed) for array, x in zip(arrays, whole, strict=True)]
        return np.asarray(np.stack(parts) * operands.scale(), dtype=np.float64)

    def _arrays(self, name: str) -> list[ProgrammedArray]:
        """Arrays of a layer, one a group, at t_s and without a read."""
        if name not in self._programmed:
            self._programmed[name] = self._program(name, self.hardware.t_s, None)
        return self._programmed[name]

    @cached_property
    def _programmed(self) -> dict[str, list[ProgrammedArray]]:
        return {}

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {name: i for i, name in enumerate(self.operands)}

    def _program(self, name: str, t_s: float | None, read_rng: np.random.Generator | None) -> list[ProgrammedArray]:
        """Arrays of a layer at a time after programming, with the ranges that the layer has."""
        arrays = self._cells(name, t_s, read_rng)
        for array, used in zip(arrays, self._ranges_of(name), strict=True):
            if used is None:
                continue
            array.range = relaxed(self.spec, used, self.hardware.off)
            ratio = lsb_ratio(used, array.range)
            array.offset = array.offset * ratio
            if array.spec.adc is not None:
                array.spec = _copy(array.spec, adc={"noise_lsb": array.spec.adc.noise_lsb * ratio})
        return arrays

    def _cells(self, name: str, t_s: float | None, read_rng: np.random.Generator | None) -> list[ProgrammedArray]:
        """Arrays of a layer before anything is done to their ranges."""
        operands, place = self.operands[name], self._places[name]
        whole = operands.whole
        arrays = []
        for group in range(0 if whole is None else whole.shape[0]):
            history = None
            if self.model is not None and self._cells_err(t_s):
                history = History(self.model, t_s, self.hardware.off, self.seed, (place, group))
            arrays.append(
                ProgrammedArray.program(
                    self.spec,
                    np.ascontiguousarray(whole[group].T) if whole is not None else [],
                    operands.weight_bits or 1,
                    generator(self.seed, DEFECTS, place, group),
                    perturb=Devices(history, read_rng) if history else None,
                    ir_drop="none" if "ir_drop" in self.hardware.off else "solved",
                )
            )
        return arrays

    def _cells_err(self, t_s: float | None) -> bool:
        """Whether statistics of the cells move any off its level."""
        return "programming" not in self.hardware.off or (t_s is not None and not {"drift", "read"} <= self.hardware.off)

    def _ranges_of(self, name: str) -> list[AdcRange | None]:
        """Range of each group: the learned one, that of the part, or one placed by samples on the array as programmed."""
        if name not in self.ranges:
            arrays = self._cells(name, None, None)
            learned, adc = self.network.steps_of(self.operands[name].layer).adc, self.spec.adc
            if adc is None:
                self.ranges[name] = [None] * len(arrays)
            elif learned is not None:
                self.ranges[name] = [learned_range(self.spec, learned, array.layout.n_slices) for array in arrays]
            elif adc.range != "calibrated":
                self.ranges[name] = [array.range for array in arrays]
            else:
                self.ranges[name] = [self._calibrated(name, array, group) for group, array in enumerate(arrays)]
        return self.ranges[name]

    def _calibrated(self, name: str, array: ProgrammedArray, group: int) -> AdcRange | None:
        """Range of least squared error on column sums of training inputs."""
        if array.range is not None:
            return array.range
        operands, x = self.operands[name], self._sampled[name][group]
        passes = array.layout.n_groups * array.layout.converter.size * (operands.activation_bits or 1) * 2
        return array.calibrate(thinned(x, N_SUMS // passes), operands.activation_bits or 1, signed=operands.signed)

    @cached_property
    def _sampled(self) -> Mapping[str, Array]:
        """Whole inputs of each layer when training inputs run digitally."""
        if self.samples is None:
            raise SimulationError(f"{self.hardware.name}: a calibrated range or compensation needs training inputs; give samples")
        found = Executor(self.network, Digital(self.network).multiply()).layer_inputs(self.samples)
        return {name: self.operands[name].whole_inputs(vectors) for name, vectors in found.items()}

    @cached_property
    def factors(self) -> Mapping[str, float]:
        """What compensation multiplies the products of each layer by: mean |y| as programmed over mean |y| at t_s."""
        drifts = self.model is not None and self.hardware.t_s is not None and "drift" not in self.hardware.off
        if not drifts or not self.hardware.compensation:
            return dict.fromkeys(self.operands, 1.0)
        return {name: self._factor(name) for name in self.operands}

    def _factor(self, name: str) -> float:
        """Ratio of one layer."""
        rng = generator(self.seed, CALIBRATION, self._places[name])
        operands = self.operands[name]
        x = np.stack([thinned(group, N_CALIBRATION) for group in self._sampled[name]])
        vectors = np.asarray(x * (operands.input_step or 1.0))
        before = np.abs(self._product(name, self._program(name, None, None), vectors, rng)).mean()
        after = np.abs(self._product(name, self._program(name, self.hardware.t_s, rng), vectors, rng)).mean()
        return float(before / after) if after > 0 else 1.0


def model_of(hardware: Hardware) -> NoiseSpec | None:
    """Statistics of the cells of arrays: those given with the hardware, else those that the part names."""
    if hardware.macro is None or hardware.macro.domain == "digital":
        return None
    if hardware.noise is not None:
        return hardware.noise
    name = hardware.macro.cell.noise
    return None if name is None else load_noise(name)


def without(spec: CimMacroSpec, off: Collection[str]) -> CimMacroSpec:
    """The macro without the causes that are off; statistics of its cells are left to `cells.Devices`."""
    cell: dict[str, Any] = {"noise": None}
    adc: dict[str, Any] = {}
    if "cells" in off:
        cell |= {"stuck_on": 0.0, "stuck_off": 0.0}
        adc |= {"gain_sigma": 0.0, "offset_lsb": 0.0}
    if "programming" in off:
        cell |= {"programming_sigma": 0.0}
    if "read" in off:
        cell |= {"read_sigma": 0.0}
        adc |= {"noise_lsb": 0.0}
    return _copy(spec, cell, adc)


def _copy(spec: CimMacroSpec, cell: Mapping[str, Any] | None = None, adc: Mapping[str, Any] | None = None) -> CimMacroSpec:
    """The spec with other numbers of its cell and converter."""
    update: dict[str, Any] = {"cell": spec.cell.model_copy(update=cell)} if cell else {}
    if adc and spec.adc is not None:
        update["adc"] = spec.adc.model_copy(update=adc)
    return spec.model_copy(update=update)


def array_causes(hardware: Hardware) -> tuple[Cause, ...]:
    """Causes that act on arrays of a macro."""
    spec, model = hardware.macro, model_of(hardware)
    if spec is None or spec.domain == "digital":
        return ()
    cell, adc, later = spec.cell, spec.adc, model is not None and hardware.t_s is not None
    loses = adc is not None and not (adc.range != "full" and adc.n_bits >= spec.lossless_adc_bits)
    acts: dict[Cause, bool] = {
        "cells": cell.stuck_on + cell.stuck_off > 0 or (adc is not None and adc.gain_sigma + adc.offset_lsb > 0),
        "programming": model is not None or cell.programming_sigma > 0,
        "read": later or cell.read_sigma > 0 or (adc is not None and adc.noise_lsb > 0),
        "drift": later,
        "adc_resolution": loses,
        "adc_clipping": loses,
        "ir_drop": has_wires(spec),
    }
    return tuple(cause for cause in CAUSES if acts.get(cause, False) and cause not in hardware.off)
