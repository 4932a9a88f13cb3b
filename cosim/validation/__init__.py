"""Models against reference data: what ships in `data/`, or any other in the same format."""
