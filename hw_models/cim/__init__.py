"""Compute in memory: macros, converters and cells."""
