"""What a column pass is predicted from: few facts that papers and specs alike can give, and where one is missing, a stated prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log2
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hw_models.kernels import cim_pass as k

Kind = Literal["sram", "envm", "digital"]
Way = Literal["charge", "bitline", "current", "temporal", "voltage", "tree", "serial"]
Family = Literal["reram", "pcm", "mram", "flash", "none"]
AdcLaw = Literal["any", "flash", "sar", "ramp", "sense_amp"]
Scope = Literal["adc", "macro", "chip"]

KINDS: dict[str, int] = {"sram": k.SRAM, "envm": k.ENVM, "digital": k.DIGITAL}
WAYS: dict[str, int] = {
    "charge": k.CHARGE,
    "bitline": k.BITLINE,
    "current": k.CURRENT,
    "temporal": k.TEMPORAL,
    "voltage": k.VOLTAGE,
    "tree": k.TREE,
    "serial": k.SERIAL,
}
FAMILIES: dict[str, int] = {"reram": k.RERAM, "pcm": k.PCM, "mram": k.MRAM, "flash": k.FLASH_CELL, "none": k.NO_FAMILY}
ADC_LAWS: dict[str, int] = {"any": k.ANY_ADC, "flash": k.FLASH, "sar": k.SAR, "ramp": k.RAMP, "sense_amp": k.SENSE_AMP}
SCOPES: dict[str, int] = {"adc": k.ARRAY_ADC, "macro": k.MACRO, "chip": k.CHIP}

REFERENCE_NODE_M = 28e-9


@dataclass(frozen=True, slots=True)
class PassInput:
    """One column pass: `n` inputs of `input_bits` times weights of `weight_bits` in one column, read by one conversion.

    `turns` conversions one after another serve the columns of an ADC; `latency_s` is the time of a pass, None to predict it;
    `rows` the cells on a line. `priors` names the inputs that were not known and filled in.
    """

    kind: Kind
    node_m: float
    supply_v: float
    n: float
    input_bits: float
    weight_bits: float
    adc_bits: float = 0.0
    adc: AdcLaw = "any"
    way: Way = "charge"
    has_capacitor: bool = False
    family: Family = "none"
    scope: Scope = "macro"
    rows: float = 128.0
    turns: float = 1.0
    latency_s: float | None = None
    priors: tuple[str, ...] = field(default=())

    @property
    def one_bit_products(self) -> float:
        """One-bit multiply-accumulates of the pass: n b_in b_w."""
        return self.n * self.input_bits * self.weight_bits

    @property
    def lossless_bits(self) -> int:
        """ADC bits that tell all sums apart: ceil(log2(n (2^b_in - 1) (2^b_w - 1) + 1)); fractions of a weight bit are dropped."""
        levels = 2.0 ** max(1, floor(self.weight_bits)) - 1
        return max(1, ceil(log2(self.n * (2.0**self.input_bits - 1) * levels + 1)))

    def row(self) -> tuple[float, ...]:
        """Values in the order of the columns of `hw_models.kernels.cim_pass`; an ADC resolves no more than there is to tell apart."""
        return (
            KINDS[self.kind],
            self.node_m / REFERENCE_NODE_M,
            self.supply_v,
            self.n,
            self.input_bits,
            self.weight_bits,
            min(
                self.adc_bits, self.lossless_bits, 10.0
            ),  # assumed: more than 10 bits is the width of an output, not what a column ADC resolves
            ADC_LAWS[self.adc],
            WAYS[self.way],
            float(self.has_capacitor),
            FAMILIES[self.family],
            SCOPES[self.scope],
            self.rows,
            self.turns,
            self.latency_s or 0.0,
        )


def as_array(inputs: Sequence[PassInput]) -> NDArray[np.float64]:
    """Inputs as the kernel takes them, [n, N_INPUTS]."""
    return np.array([one.row() for one in inputs], dtype=np.float64).reshape(-1, k.N_INPUTS)
