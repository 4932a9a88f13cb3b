"""One parametric family a file, each with its paper; see `workloads.registry.network`."""
