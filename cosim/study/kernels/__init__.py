"""Compiled kernels of studies: whole design points from cost rows to totals, and the surrogate of the optimizer."""

from pathlib import Path

import cosim.engine.kernels as engine_kernels
import cosim.scheduling.kernels as scheduling_kernels
from hw_models.kernels._jit import register_sources

register_sources(Path(__file__).parent, Path(engine_kernels.__file__).parent, Path(scheduling_kernels.__file__).parent)
