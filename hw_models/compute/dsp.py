"""A signal processor: wide vector contexts that issue instruction packets and load straight from a local memory."""

from __future__ import annotations

from typing import final

from pydantic import PositiveInt

from hw_models.compute.roofline import WIDTHS, Local, Machine, RooflineDevice, RooflineSpec
from hw_models.registry import device
from hw_models.units import Bytes


class DspSpec(RooflineSpec):
    """A vector signal processor of the Hexagon HVX kind.

    `vector_bits` is the width of a register, `alu_per_packet` how many vector instructions besides loads a packet
    holds at best; `local` is the tightly coupled memory (or second-level cache) that all contexts share.
    """

    n_contexts: PositiveInt
    vector_bits: PositiveInt
    alu_per_packet: PositiveInt = 2
    local_bytes: Bytes
    local_width_bits: PositiveInt
    local_bytes_per_cycle: PositiveInt

    def machine(self) -> Machine:
        """Every context loads from the one local memory at its own port."""
        length = tuple(max(1, self.vector_bits // max(width, 16)) for width in WIDTHS)
        return Machine(
            n_units=self.n_contexts,
            lanes=(length[0] * self.alu_per_packet, length[1] * self.alu_per_packet, length[2] * self.alu_per_packet),
            length=(length[0], length[1], length[2]),
            register_bits=self.vector_bits,
            load_bytes=self.vector_bits // 8,
            near=Local(self.local_bytes, self.local_width_bits, self.local_bytes_per_cycle),
            far=None,
            port_capacity_bytes=self.local_bytes,
        )


@final
@device("dsp")
class Dsp(RooflineDevice):
    """A vector signal processor that can run every op."""

    spec_class = DspSpec
    spec: DspSpec
