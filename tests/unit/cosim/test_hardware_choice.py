"""Hardware by the words of a command: names, files, numbers, and words that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training.hardware_choice import chosen
from hw_models.catalog import PARTS_DIR, chip_text, list_chips
from hw_models.cim.macro import CimMacro
from hw_models.cim.noise import list_noise, load_noise
from workloads.errors import SimulationError, SpecError

ARRAYS = "ref_bitserial"


def test_a_chip_brings_its_first_arrays_with_their_name():
    found = chosen("edge_cim_soc")
    device = found.chip.devices[found.device]
    assert isinstance(device, CimMacro)
    assert found.hardware.macro is device.spec
    assert (found.hardware.name, found.hardware.t_s, found.hardware.compensation) == ("edge_cim_soc", None, True)


def test_a_chip_without_arrays_computes_digitally():
    found = chosen("edge_npu_soc")
    assert found.chip is not None
    assert found.device is None
    assert found.hardware.is_ideal


def test_a_macro_alone_is_found_with_and_without_its_folder():
    short, long = chosen(ARRAYS), chosen(f"cim_macro/{ARRAYS}")
    assert (short.chip, short.device) == (None, None)
    assert short.hardware.macro == long.hardware.macro
    assert short.hardware.macro.n_rows_active == 128


def test_a_macro_in_a_file_is_the_macro_of_the_catalog(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((PARTS_DIR / "cim_macro" / f"{ARRAYS}.yaml").read_text())
    found = chosen(str(path))
    assert found.chip is None
    assert found.hardware.macro == chosen(ARRAYS).hardware.macro
    assert found.hardware.name == str(path)


def test_a_chip_in_a_file_stands_for_itself_and_for_what_it_is_based_on(tmp_path):
    whole, based = tmp_path / "whole.yaml", tmp_path / "based.yaml"
    whole.write_text(chip_text("edge_cim_soc", whole))
    based.write_text("name: based\nbase: edge_cim_soc\n")
    for path in (whole, based):
        found = chosen(str(path))
        assert found.chip.name == path.stem
        assert found.device == "cim"
        assert found.hardware.macro == chosen("edge_cim_soc").hardware.macro


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 10))
def test_a_number_is_the_deviation_of_weights_and_leaves_converters_out(sigma):
    found = chosen(ARRAYS, repr(sigma))
    assert (found.hardware.sigma, found.hardware.macro, found.hardware.noise) == (sigma, None, None)
    assert found.hardware.name == f"noise {sigma!r}"
    assert found.hardware.is_ideal == (sigma == 0)


@pytest.mark.parametrize("noise", ["-1", "nan", "inf"])
def test_numbers_that_are_no_deviation_are_refused(noise):
    with pytest.raises(SimulationError, match=f"noise {float(noise)}: a standard deviation is 0 or more"):
        chosen("edge_cim_soc", noise)


@pytest.mark.parametrize("name", sorted(list_noise()))
def test_every_model_of_cells_can_be_named(name):
    found = chosen("edge_npu_soc", name, t_s=3600.0, compensation=False).hardware
    assert found.noise == load_noise(name)
    assert (found.name, found.macro, found.t_s, found.compensation) == (name, None, 3600.0, False)


def test_time_and_compensation_reach_hardware_of_every_kind():
    for noise in ("chip", "0.1", "pcm_like"):
        found = chosen(ARRAYS, noise, t_s=5.0, compensation=False).hardware
        assert (found.t_s, found.compensation) == (5.0, False)
    with pytest.raises(SimulationError, match=r"time -5\.0: seconds since programming are 0 or more"):
        chosen(ARRAYS, t_s=-5.0)


@pytest.mark.parametrize(
    ("chip", "noise", "said"),
    [
        ("edge_cim_so", "chip", r"chip 'edge_cim_so' is no chip or macro of the catalog and no file; did you mean 'edge_cim_soc'\?"),
        ("ref_bitserail", "chip", r"did you mean 'ref_bitserial'\?"),
        ("", "chip", r"chip '' is no chip or macro .* choose one of: "),
        ("edge_cim_soc", "pcm_lik", r"noise 'pcm_lik' is no number, not `chip`, and no model of cells; did you mean 'pcm_like'\?"),
        ("edge_cim_soc", "", r"noise '' is no number"),
        ("edge_cim_soc", "Chip", r"noise 'Chip' is no number"),
    ],
)
def test_words_that_mean_nothing_get_the_nearest_that_do(chip, noise, said):
    with pytest.raises(SpecError, match=said):
        chosen(chip, noise)


def test_a_part_of_another_kind_is_no_chip(tmp_path):
    other = tmp_path / "cpu.yaml"
    other.write_text((PARTS_DIR / "cpu" / "cortex_a55_quad_22nm.yaml").read_text())
    with pytest.raises(SpecError, match=r"cpu\.yaml"):
        chosen(str(other))


def test_every_chip_of_the_catalog_is_hardware():
    """Each either has arrays, under the name that is told, or computes as the rounded network would."""
    found = {name: chosen(name) for name in ("edge_cim_soc", "edge_npu_soc", "isaac_isca_2016", "tpu_v1_isca_2017")}
    assert set(found) <= set(list_chips())
    assert {name: one.device is not None for name, one in found.items()} == {
        "edge_cim_soc": True,
        "edge_npu_soc": False,
        "isaac_isca_2016": True,
        "tpu_v1_isca_2017": False,
    }
    for one in found.values():
        assert one.hardware.is_ideal == (one.device is None)
