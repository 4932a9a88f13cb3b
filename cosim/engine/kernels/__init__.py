"""Compiled loops of the engine; they follow the rules in `cosim.engine.semantics`."""

from pathlib import Path

from hw_models.kernels._jit import register_sources

register_sources(Path(__file__).parent, Path(__file__).parents[1])
