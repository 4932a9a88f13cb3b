"""Gaussian processes over level codes: kernels of categorical and ordinal axes, fits, posteriors."""
