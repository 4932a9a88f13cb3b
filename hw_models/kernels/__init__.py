"""Pure numeric kernels: arrays and scalars in, numbers out. Imports numpy, numba and math only."""
