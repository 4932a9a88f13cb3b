"""What computes it: devices, memories and links built from sourced specs, and their cost kernels."""
