"""What a study calls a field, and where that stands in a chip's file."""

from __future__ import annotations

import pytest

from cosim.study.paths import ChipFields, folder_of, is_run_field, part_names
from workloads.errors import SpecError

CIM = ChipFields("edge_cim_soc")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cim.rows", "devices.cim.rows"),
        ("devices.cim.rows", "devices.cim.rows"),
        ("cim.adc.n_bits", "devices.cim.adc.n_bits"),
        ("cim.adc.bits", "devices.cim.adc.n_bits"),
        ("cim.scratch_macros", "devices.cim.scratch_macros"),  # the file leaves it at its default
        ("cim.part", "devices.cim.part"),
        ("dram.part", "memory.backing.part"),
        ("backing.part", "memory.backing.part"),
        ("shared.capacity", "memory.shared.capacity"),
        ("sram.capacity", "memory.shared.capacity"),
        ("memory.pin_weights", "memory.pin_weights"),
        ("links.cim.bandwidth", "links.cim.bandwidth"),
        ("area.interconnect_and_io", "area.interconnect_and_io"),
        ("node", "node"),
    ],
)
def test_names_of_fields(name, path):
    assert CIM.found(name) == (path,)


def test_a_star_is_every_device():
    assert CIM.found("devices.*.node") == tuple(f"devices.{name}.node" for name in ("cpu", "gpu", "dsp", "cim"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cim.row", r"did you mean 'cim\.rows'"),
        ("cim.adc.bit", r"did you mean 'cim\.adc\.n_bits'"),
        ("cmi.rows", r"did you mean 'cim\.rows'"),
        ("links.cmi.bandwidth", r"links\.cim"),
        ("cim.rows.more", "no field is called"),
        ("cim.sources", "no field is called"),
    ],
)
def test_an_unknown_field_suggests_the_nearest(name, says):
    with pytest.raises(SpecError, match=says):
        CIM.found(name)


@pytest.mark.parametrize(
    ("path", "runs"),
    [
        ("weight_bits", True),
        ("policy", True),
        ("layers.conv1.weight_bits", True),
        ("layers./block.1/conv.weight_bits", True),
        ("layers.conv1.rows", False),
        ("devices.cim.rows", False),
    ],
)
def test_fields_of_the_run(path, runs):
    assert is_run_field(path) is runs


def test_parts_go_by_their_short_names():
    folder = folder_of(CIM, "memory.backing.part")
    assert folder == "dram"
    assert part_names(("ddr4_3200", "lpddr5_6400", None), folder) == ("dram/ddr4_3200_x64", "dram/lpddr5_6400_x32", None)
    assert part_names(("dram/hbm2_2000",), folder) == ("dram/hbm2_2000",)


def test_a_short_name_of_several_parts_or_none_is_refused():
    with pytest.raises(SpecError, match="may be any of dram/ddr3_2133, dram/ddr4_2400"):
        part_names(("ddr",), "dram")
    with pytest.raises(SpecError, match="did you mean 'dram/hbm3_6400'"):
        part_names(("dram/hbm3_640",), "dram")
