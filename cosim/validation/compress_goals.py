"""What compression of lenet5 on `edge_cim_soc` comes to, as plain numbers a seed: one run of `cosim compress` and its baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from cosim.training.compress import CompressJob, compress
from cosim.training.compress_summary import summary
from cosim.training.data import load_data
from cosim.training.networks import trainable
from hw_models.catalog import load_chip

MAX_DROP = 0.5  # points


@lru_cache(maxsize=1)
def compressed() -> dict[str, Any]:
    """The summary of `cosim compress lenet5 --max-drop-points 0.5`, seeds 0 to 2."""
    entry = trainable("lenet5")
    return summary(compress(CompressJob(entry, load_data(entry.data), load_chip("edge_cim_soc"), MAX_DROP)))


# goal → (title, target, whether the target is a most, number of a summary)
NUMBERS: Mapping[str, tuple[str, float, bool, Callable[[dict[str, Any]], float]]] = {
    "compress_pruned": ("lenet5 on edge_cim_soc, percent of weights pruned", 95.0, False, lambda s: 100 * s["weights_pruned"]),
    "compress_bits": ("the same, mean bits of what remains", 2.0, True, lambda s: s["mean_bits_remaining"]),
    "compress_drop": ("the same, points below the dense 8-bit control", MAX_DROP, True, lambda s: s["drop"]),
    "compress_energy": ("the same, dense 8-bit joules over its joules", 5.0, False, lambda s: s["ratio"]),
    "compress_baseline": (
        "the same, joules of uniform bits and magnitude pruning over its joules",
        1.0,
        False,
        lambda s: s["baseline"]["ratio_to_ours"],
    ),
    "compress_hypervolume": (
        "the same, hypervolume above the baseline's",
        0.0,
        False,
        lambda s: s["hypervolume"]["ours"]["mean"] - s["hypervolume"]["baseline"]["mean"],
    ),
}
