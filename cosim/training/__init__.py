"""Networks made ready for noisy, low-bit hardware, and the accuracy that they reach on it."""
