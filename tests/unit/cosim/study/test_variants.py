"""Sections of a chip and their variants: built once, equal to `load_chip` with the fields set, and hashed by what they are."""

import numpy as np
import pytest

from cosim.study.chip_points import ChipPoints
from cosim.study.sections import Section
from cosim.study.space import Axis, Space
from cosim.study.variants import ChipVariants
from hw_models.catalog import load_chip, read_chip, resolve_chip
from workloads.errors import SpecError

ADC, MACROS, DRAM = "devices.cim.adc.n_bits", "devices.cim.n_macros", "memory.backing.part"
LEVELS = {ADC: (6, 8), MACROS: (100, 1640), DRAM: ("dram/lpddr5_6400_x32", "dram/ddr4_3200_x64"), "links.default.latency": ("1 us", "2 us")}


def space_of(levels):
    return Space(tuple(Axis(path, "categorical", given, (path,)) for path, given in levels.items()))


def chip_of(levels, source="edge_cim_soc"):
    return ChipVariants(source, space_of(levels).axes)


def test_a_variant_is_the_chip_with_its_fields_set():
    space, chip = space_of(LEVELS), chip_of(LEVELS)
    for codes in space.listed:
        point = space.decode(codes)[0]
        built = load_chip("edge_cim_soc", point)
        parts = [*chip.memory_parts, *chip.device_parts, *chip.link_parts]
        found = [part.section.get(int(part.section.variants(codes[None])[0])) for part in parts]
        memories = [built.backing, None, built.shared]
        expected = [*memories, *built.devices.values(), *built.links.values()]
        assert [one and one.spec for one in found] == [one and one.spec for one in expected]


def test_each_distinct_variant_is_built_once():
    chip = chip_of(LEVELS)
    made = []
    part = chip.device_parts[chip.device_names.index("cim")]
    build = part.section.build
    part.section.build = lambda document: made.append(1) or build(document)
    codes = space_of(LEVELS).listed
    rows, _ = part.rows(codes)
    part.rows(codes)
    assert len(made) == 4
    assert len(set(rows.tolist())) == 4


def test_area_is_that_of_the_chip():
    space = space_of({MACROS: (100, 1640), "area.interconnect_and_io": ("6 mm2", "1 mm2")})
    found = ChipPoints(ChipVariants("edge_cim_soc", space.axes)).area_m2(space.listed)
    expected = [load_chip("edge_cim_soc", point).area_m2 for point in space.decode(space.listed)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_variant_that_cannot_be_built_says_what_the_loader_says():
    levels = {ADC: (8, "many"), MACROS: (100, 1640)}
    space, chip = space_of(levels), chip_of(levels)
    with pytest.raises(SpecError) as told:
        load_chip("edge_cim_soc", {ADC: "many"})
    rows, failed = ChipPoints(chip).rows(space.listed)
    assert failed == {2: str(told.value), 3: str(told.value)}
    assert (rows[:2] >= -1).all()
    assert np.isnan(ChipPoints(chip).area_m2(space.listed)[2:]).all()


def test_digests_say_what_a_chip_is_and_not_how_it_came_to_be():
    """Setting a field to the value that the file or its part has already changes nothing; 8 bits in a part are 8 bits on an axis."""
    plain = ChipPoints(chip_of({MACROS: (1640, 100)})).digests(np.array([[0], [1]]))
    same = ChipPoints(chip_of({MACROS: (1640,), ADC: (8, 6), "devices.cim.supply": ("900 mV",)})).digests(np.array([[0, 0, 0], [0, 1, 0]]))
    assert (plain[0] == same[0]).all()
    assert (plain[0] != plain[1]).any()
    assert (same[0] != same[1]).any()


def test_forgetting_changes_nothing_but_memory():
    chip = chip_of(LEVELS)
    codes = space_of(LEVELS).listed
    before = ChipPoints(chip).digests(codes)
    ChipPoints(chip).rows(codes)
    chip.forget()
    assert not chip.devices
    ChipPoints(chip).rows(codes)
    assert (ChipPoints(chip).digests(codes) == before).all()


def test_a_section_sets_only_what_is_its_own_and_leaves_none_alone():
    axes = (
        Axis("a", "categorical", (None, 3), ("devices.cpu.n_cores", "links.default.latency")),
        Axis("b", "categorical", (1, 2), ("x.y",)),
    )
    section = Section(read_chip("edge_cim_soc"), ("devices.cpu",), axes, lambda document: document.data["devices"]["cpu"], repr)
    assert list(section.variants(np.array([[0, 1], [1, 0]]))) == [0, 1]
    assert section.fields(0) == {}
    assert section.fields(1) == {"devices.cpu.n_cores": 3}
    assert section.get(0) == resolve_chip("edge_cim_soc").data["devices"]["cpu"]
    assert section.get(1) == {**section.get(0), "n_cores": 3, "sources": section.get(1)["sources"]}
