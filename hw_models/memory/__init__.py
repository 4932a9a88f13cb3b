"""Off-chip and on-chip memories."""
