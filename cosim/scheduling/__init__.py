"""Policies: who runs what, and in which order."""
