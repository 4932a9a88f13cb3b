"""Digital gates in and around a compute array, counted in two-input NAND gates.

A full adder is 3 NAND2 and 2 XOR2, an XOR2 switches 1.5 and covers 2.4 NAND2 and is 2.4 times slower, a flip-flop
switches 3 and covers 6: unit gates of ZigZag-IMC (KULeuven-MICAS, `hardware/architecture/imc_unit.py`), whose
NAND2 is fitted to fabricated 28 nm digital macros.
"""

from __future__ import annotations

from pydantic import Field

from hw_models.specs import Spec
from hw_models.units import Farads, Meters, Seconds, SquareMeters, Volts

XOR_DELAY = 2.4
ADDER_CAP, ADDER_AREA = 3 + 2 * 1.5, 3 + 2 * 2.4
FLIP_FLOP_CAP, FLIP_FLOP_AREA = 3.0, 6.0


class LogicSpec(Spec):
    """A two-input NAND gate: capacitance that it switches, area and delay, at its node and supply."""

    node_m: Meters
    supply_v: Volts
    gate_cap_f: Farads
    gate_area_m2: SquareMeters
    gate_delay_s: Seconds

    @property
    def gate_j(self) -> float:
        """Energy in J of one NAND2 switching once: C V^2."""
        return self.gate_cap_f * self.supply_v**2


class VectorSpec(Spec):
    """Lanes that add partial sums and do the folded activations, `bits` wide, one operation a cycle each.

    A lane is an adder and a register of `bits` and a multiplier of `bits` x `multiplier_bits` full adders.
    """

    n_lanes: int = Field(ge=1)
    bits: int = Field(default=32, ge=1, le=64)
    multiplier_bits: int = Field(default=8, ge=0, le=32)

    @property
    def op_gates(self) -> float:
        """NAND2 capacitances that one operation switches: an adder and a register."""
        return accumulator_cap(self.bits)

    @property
    def lane_gates(self) -> float:
        """NAND2 areas of a lane."""
        return accumulator_area(self.bits) + self.bits * self.multiplier_bits * ADDER_AREA


def accumulator_cap(bits: int) -> float:
    """NAND2 capacitances of an adder with register."""
    return bits * (ADDER_CAP + FLIP_FLOP_CAP)


def accumulator_area(bits: int) -> float:
    """NAND2 areas of an adder with register."""
    return bits * (ADDER_AREA + FLIP_FLOP_AREA)


def tree_adders(n_inputs: int, bits: int) -> int:
    """Full adders of a tree that sums n inputs of w bits: n (w + 1) - (w + ceil(log2 n) + 1); ripple adders, ZigZag-IMC."""
    return n_inputs * (bits + 1) - (bits + (n_inputs - 1).bit_length() + 1)


def place_value_adders(n_inputs: int, bits: int) -> float:
    """Full adders that join n sums of p bits at n places: p (n - 1) + n (log2 n - 0.5); none for one. ZigZag-IMC."""
    return bits * (n_inputs - 1) + n_inputs * ((n_inputs - 1).bit_length() - 0.5) if n_inputs > 1 else 0.0


def tree_delay_gates(n_inputs: int, bits: int) -> float:
    """NAND2 delays through a tree of n inputs of w bits: (l - 1) 2 T_xor + (T_xor + 2) + (w + l - 2) 2, l = log2 n. ZigZag-IMC."""
    levels = (n_inputs - 1).bit_length()
    if levels == 0:
        return 0.0
    return (levels - 1) * 2 * XOR_DELAY + XOR_DELAY + 2 + (bits + levels - 2) * 2
