"""A graphics processor: multiprocessors with vector lanes, matrix units and shared memory, behind one second-level cache."""

from __future__ import annotations

from typing import final

from pydantic import Field, PositiveInt

from hw_models.compute.roofline import Local, Machine, RooflineDevice, RooflineSpec
from hw_models.registry import device
from hw_models.units import Bytes

_BYTES_PER_THREAD_LOAD = 16  # widest load of one thread: 128 bits (CUDA C++ programming guide, device memory accesses)


class GpuSpec(RooflineSpec):
    """A graphics processor.

    `lanes_32` and `lanes_16` are vector results per cycle of one multiprocessor (8-bit data runs in 16-bit lanes), `warp`
    the threads that one instruction serves. `control_factor` has no default here: a GPU's arithmetic is a small part of its energy.
    """

    n_sms: PositiveInt
    lanes_32: PositiveInt
    lanes_16: PositiveInt
    warp: PositiveInt = 32
    shared_memory_bytes: Bytes
    shared_memory_width_bits: PositiveInt
    shared_memory_bytes_per_cycle: PositiveInt
    l2_bytes: Bytes
    l2_width_bits: PositiveInt
    l2_bytes_per_cycle: PositiveInt
    control_factor: float = Field(ge=0)

    def machine(self) -> Machine:
        """One warp instruction makes `warp` results of 32 bits, or twice as many where 16-bit lanes outnumber 32-bit ones."""
        packed = self.warp * (2 if self.lanes_16 > self.lanes_32 else 1)
        return Machine(
            n_units=self.n_sms,
            lanes=(self.lanes_16, self.lanes_16, self.lanes_32),
            length=(packed, packed, self.warp),
            register_bits=self.warp * 32,
            load_bytes=self.warp * _BYTES_PER_THREAD_LOAD,
            near=Local(self.shared_memory_bytes, self.shared_memory_width_bits, self.shared_memory_bytes_per_cycle),
            far=Local(self.l2_bytes, self.l2_width_bits, self.l2_bytes_per_cycle),
            port_capacity_bytes=self.l2_bytes,
        )


@final
@device("gpu")
class Gpu(RooflineDevice):
    """A graphics processor that can run every op."""

    spec_class = GpuSpec
    spec: GpuSpec
