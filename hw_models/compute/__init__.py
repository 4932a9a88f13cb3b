"""Processors and digital MAC arrays."""
