"""A processor: cores with vector registers, a first-level cache each and a shared last level."""

from __future__ import annotations

from typing import final

from pydantic import PositiveInt

from hw_models.compute.roofline import WIDTHS, Local, Machine, RooflineDevice, RooflineSpec
from hw_models.registry import device
from hw_models.units import Bytes


class CpuSpec(RooflineSpec):
    """A multi-core processor, or a microcontroller when there is no last-level cache.

    `simd_bits` is the width of a vector register and `vector_pipes` how many vector instructions start per cycle.
    Element-wise work on 8-bit data runs in 16-bit lanes: sums and rescaling need the headroom.
    """

    n_cores: PositiveInt
    simd_bits: PositiveInt
    vector_pipes: PositiveInt = 1
    l1_bytes: Bytes
    l1_width_bits: PositiveInt
    l1_bytes_per_cycle: PositiveInt
    llc_bytes: Bytes | None = None
    llc_width_bits: PositiveInt = 256
    llc_bytes_per_cycle: PositiveInt = 32

    def machine(self) -> Machine:
        """Lanes from the register width; the last-level cache serves all cores."""
        length = tuple(max(1, self.simd_bits // max(width, 16)) for width in WIDTHS)
        far = None if self.llc_bytes is None else Local(self.llc_bytes, self.llc_width_bits, self.llc_bytes_per_cycle)
        return Machine(
            n_units=self.n_cores,
            lanes=(length[0] * self.vector_pipes, length[1] * self.vector_pipes, length[2] * self.vector_pipes),
            length=(length[0], length[1], length[2]),
            register_bits=self.simd_bits,
            load_bytes=max(4, self.simd_bits // 8),
            near=Local(self.l1_bytes, self.l1_width_bits, self.l1_bytes_per_cycle),
            far=far,
            port_capacity_bytes=self.l1_bytes * self.n_cores if self.llc_bytes is None else self.llc_bytes,
        )


@final
@device("cpu")
class Cpu(RooflineDevice):
    """A processor that can run every op."""

    spec_class = CpuSpec
    spec: CpuSpec
