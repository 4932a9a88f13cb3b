"""Train for chip A, deploy on chip B: a network a chip and a control, each on every chip, mean +- std over seeds."""

from __future__ import annotations

from cosim.training.cross import cross
from cosim.training.data import load_data
from cosim.training.hardware import Hardware
from cosim.training.networks import trainable
from cosim.training.recipe import Phase, Recipe
from hw_models.catalog import resolve_part
from hw_models.cim.noise import load_noise
from hw_models.cim.spec import CimMacroSpec

YEAR_S = 31_536_000.0
SEEDS = (0, 1)
RECIPE = Recipe(
    "quick",
    first=Phase(epochs=10, learning_rate=5e-3),
    then=Phase(epochs=12, learning_rate=5e-3, ramp=0.5, clip_row=1.5, weight_bits=4, activation_bits=4),
)


def arrays(n_adc_bits: int) -> CimMacroSpec:
    """Arrays of the bit-serial reference with coarse converters."""
    data = {key: value for key, value in resolve_part("cim_macro/ref_bitserial").data.items() if key != "kind"}
    return CimMacroSpec.model_validate({**data, "adc": {**data["adc"], "n_bits": n_adc_bits}})


def main() -> None:
    """Print the matrix and which networks win where."""
    chips = (
        Hardware("noise 0.3", sigma=0.3),
        Hardware("PCM, 1 year", noise=load_noise("pcm_like"), t_s=YEAR_S, compensation=False),
        Hardware("3-bit ADCs", macro=arrays(3)),
    )
    found = cross(trainable("mlp_digits"), load_data("digits8x8"), chips, RECIPE, seeds=SEEDS, n_draws=4, path="exact")
    print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
