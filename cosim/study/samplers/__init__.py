"""Samplers: what to try next. One interface, ask and tell; found by name."""
