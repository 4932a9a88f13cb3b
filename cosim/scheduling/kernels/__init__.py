"""Compiled policies: list schedulers, search and the learned policy, on the arrays of one instance."""

from pathlib import Path

import cosim.engine.kernels as engine_kernels
from hw_models.kernels._jit import register_sources

register_sources(Path(__file__).parent, Path(engine_kernels.__file__).parent)
