"""Compiled rules of a run: where weights stay, and what each op then costs and moves on each device."""

from pathlib import Path

import cosim.engine.kernels as engine_kernels
from hw_models.kernels._jit import register_sources

register_sources(Path(__file__).parent, Path(engine_kernels.__file__).parent)
