"""Compiled kernels of studies: whole design points from cost rows to totals, and the surrogate of the optimizer."""

from pathlib import Path

import cosim.engine.kernels as engine_kernels
import cosim.scheduling.kernels as scheduling_kernels
import cosim.simulation.kernels as simulation_kernels
from hw_models.kernels._jit import register_sources

_USED = (engine_kernels, scheduling_kernels, simulation_kernels)
register_sources(Path(__file__).parent, *(Path(str(one.__file__)).parent for one in _USED))
