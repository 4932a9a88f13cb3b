"""Chip + workload + policy + fidelity + seed → ledger and totals."""
