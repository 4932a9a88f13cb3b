"""From files to one description: bases below, parts inside, and notes that stay with the numbers they speak of."""

from __future__ import annotations

import pytest

from hw_models.catalog import (
    build_part_device,
    build_part_memory,
    check_part,
    chip_text,
    list_chips,
    list_parts,
    load_chip,
    resolve_chip,
    resolve_part,
    unsourced_numbers,
)
from workloads import plugins
from workloads.errors import SpecError

CHIP = """\
name: tiny
node: 22 nm
devices:
  cpu: {part: cpu/cortex_a55_quad_22nm}
memory:
  backing: {part: dram/lpddr4_3200_x32}
links:
  default: {bandwidth: 12.8 GB/s, latency: 1 us, energy: 0.5 pJ/bit}
assumed: {links: "a test chip", node: "a test chip"}
"""


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def make(text, name="tiny.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return make


class TestLists:
    def test_chips_go_by_the_name_of_their_file(self):
        assert "edge_cim_soc" in list_chips()
        assert all(path.stem == name and path.is_file() for name, path in list_chips().items())
        assert all(load_chip(name).name == name for name in ("a100_sxm", "cortex_m7_mcu"))

    def test_parts_go_by_folder_and_file(self):
        path = list_parts()["dram/ddr4_2400"]
        assert (path.parent.name, path.name) == ("dram", "ddr4_2400.yaml")


class TestBase:
    def test_a_variant_takes_the_name_of_its_file(self, write):
        write(CHIP, "below.yaml")
        assert load_chip(write("base: below.yaml\n", "above.yaml")).name == "above"

    def test_a_base_may_be_a_chip_of_the_catalog(self, write):
        chip = load_chip(write("base: cortex_m7_mcu\nmemory: {backing: {capacity: 512 KiB}}\n"))
        assert chip.backing.capacity_bytes == 512 * 1024
        assert chip.weights.capacity_bytes == load_chip("cortex_m7_mcu").weights.capacity_bytes

    def test_bases_stack(self, write):
        write(CHIP, "one.yaml")
        write("base: one.yaml\nlinks: {default: {latency: 2 us}}\n", "two.yaml")
        chip = load_chip(write("base: two.yaml\nlinks: {default: {energy: 1 pJ/bit}}\n", "three.yaml"))
        link = chip.links["cpu"]
        assert (link.bandwidth_bytes_per_s, link.latency_s, link.energy_j(1)) == pytest.approx((12.8e9, 2e-6, 8e-12))

    def test_what_the_base_says_of_an_overridden_number_is_no_longer_true(self, write):
        write(CHIP.replace("assumed: {", 'sources: {links.default.latency: "a paper"}\nassumed: {'), "below.yaml")
        kept = resolve_chip(write("base: below.yaml\n", "same.yaml")).data
        assert kept["links"]["default"]["sources"]["latency"] == "a paper"
        changed = resolve_chip(write("base: below.yaml\nlinks: {default: {latency: 9 us}}\n", "other.yaml")).data
        assert "latency" not in changed["links"]["default"].get("sources", {})
        # and the note on all links stands for those that are left, not for the new number
        assert unsourced_numbers(changed) == ["links.default.latency"]
        assert changed["links"]["default"]["assumed"] == {"bandwidth": "a test chip", "energy": "a test chip"}

    def test_a_number_that_is_overridden_with_a_note_has_that_note(self, write):
        write(CHIP, "below.yaml")
        text = 'base: below.yaml\nlinks: {default: {latency: 9 us}}\nsources: {links.default.latency: "measured"}\n'
        changed = resolve_chip(write(text, "other.yaml")).data
        assert unsourced_numbers(changed) == []
        assert changed["links"]["default"]["sources"] == {"latency": "measured"}


class TestParts:
    def test_a_part_is_found_in_the_catalog(self, write):
        data = resolve_chip(write(CHIP)).data
        assert data["devices"]["cpu"]["kind"] == "cpu"
        assert "part" not in data["devices"]["cpu"]

    def test_a_part_may_be_a_file_beside_the_chip(self, write):
        write("part: dram/lpddr4_3200_x32\ncapacity: 1 GiB\nassumed: {capacity: small}\n", "my_dram.yaml")
        chip = load_chip(write(CHIP.replace("dram/lpddr4_3200_x32", "my_dram.yaml")))
        assert chip.backing.capacity_bytes == 2**30
        assert chip.backing.peak_bytes_per_s == build_part_memory("dram/lpddr4_3200_x32").peak_bytes_per_s

    def test_parts_inside_parts_are_merged_too(self):
        macro = resolve_part("cim_macro/reram_22nm_256x256").data
        cell = resolve_part("cell/reram_1t1r_22nm").data
        assert macro["cell"]["r_lrs"] == cell["r_lrs"]
        assert macro["adc"]["type"] in {"sar", "flash"}

    def test_a_part_inside_a_part_can_be_swapped_by_the_chip(self):
        own = resolve_part("cim_macro/reram_22nm_256x256").data["adc"]
        swapped = resolve_chip("edge_cim_soc").data["devices"]["cim"]["adc"]
        assert swapped == resolve_part("converter/sar_isaac_32nm").data
        assert own != swapped
        assert "time_per_bit_row" in own  # of which nothing is left in the swapped one

    def test_a_part_that_is_another_with_changes_is_whole(self):
        """The memory of the A100 is five stacks of another part."""
        data = resolve_part("dram/a100_hbm2e").data
        assert data["kind"] == "dram"
        assert data["timings"] == resolve_part("dram/hbm2e_3200").data["timings"]
        assert build_part_memory("dram/a100_hbm2e").peak_bytes_per_s == pytest.approx(2039e9, rel=1e-3)

    def test_a_part_that_comes_back_to_itself_is_refused(self, write):
        write("part: b.yaml\n", "a.yaml")
        write("part: a.yaml\n", "b.yaml")
        with pytest.raises(SpecError, match=r"devices.cpu: part 'a.yaml' refers to itself"):
            load_chip(write(CHIP.replace("cpu/cortex_a55_quad_22nm", "a.yaml")))

    def test_a_part_inside_itself_is_refused(self, write):
        write("kind: cim_macro\ncell: {part: a.yaml}\n", "a.yaml")
        with pytest.raises(SpecError, match=r"devices.cpu.cell: part 'a.yaml' refers to itself"):
            load_chip(write(CHIP.replace("cpu/cortex_a55_quad_22nm", "a.yaml")))

    def test_an_unknown_part_suggests_the_nearest(self):
        with pytest.raises(SpecError, match=r"'dram/ddr4_240O' is neither in the catalog nor a file; did you mean 'dram/ddr4_2400'\?"):
            resolve_part("dram/ddr4_240O")

    def test_a_mistake_in_a_part_is_named_where_the_part_was_written(self, write):
        write("kind: flash\ncapacity: 1 MiB\nbandwidth: 1 parsec\n", "my_flash.yaml")
        with pytest.raises(SpecError, match=r"my_flash.yaml:3: memory.backing.bandwidth: .*parsec"):
            load_chip(write(CHIP.replace("dram/lpddr4_3200_x32", "my_flash.yaml")))

    def test_parts_are_built_under_their_own_name(self):
        assert build_part_device("cpu/cortex_m7_280mhz").name == "cortex_m7_280mhz"
        assert build_part_memory("edram/isaac_64kb").name == "isaac_64kb"

    def test_a_part_is_checked_by_building_it(self, write):
        assert check_part("gpu/a100_sxm") == []
        assert check_part("cell/nand2_28nm") == []
        assert check_part("cell/sram_8t_22nm") == []  # a cell, though memories have a kind sram as well
        with pytest.raises(SpecError, match=r"cell.yaml:1: .*on/off ratio|unit"):
            check_part(str(write("kind: sram\nnode: 22\nmax_bits: 1\n", "cell.yaml")))
        with pytest.raises(SpecError, match="required"):
            check_part(str(write("kind: flash\ncapacity: 1 MiB\nassumed: {capacity: x}\n", "half.yaml")))


class TestNotesOfParts:
    PART = """\
kind: flash
capacity: 1 MiB
bandwidth: 100 MB/s
first_access: 1 us
read: 1 pJ/bit
write: 2 pJ/bit
leakage: 1 mW
area: 1 mm2
sources: {capacity: "data sheet", read: "a paper", write: "a paper"}
assumed: {bandwidth: guess, first_access: guess, leakage: guess, area: guess}
ranges: {read: 1.5, leakage: 4}
"""

    @pytest.fixture
    def backing(self, write):
        """The resolved section of a chip that uses the part above with some more keys."""
        write(self.PART, "store.yaml")

        def make(more, notes=""):
            text = CHIP.replace("backing: {part: dram/lpddr4_3200_x32}", f"backing: {{part: store.yaml{more}}}") + notes
            return resolve_chip(write(text)).data["memory"]["backing"]

        return make

    def test_notes_come_with_the_numbers(self, backing):
        section = backing("")
        assert section["sources"]["read"] == "a paper"
        assert section["ranges"] == {"read": 1.5, "leakage": 4}
        assert unsourced_numbers(section) == []

    def test_an_overridden_number_loses_source_and_range(self, backing):
        section = backing(", read: 5 pJ/bit")
        assert section["read"] == "5 pJ/bit"
        assert "read" not in section["sources"]
        assert section["ranges"] == {"leakage": 4}
        assert unsourced_numbers(section) == ["read"]

    def test_it_takes_the_notes_of_the_chip(self, backing):
        section = backing(", read: 5 pJ/bit", "ranges: {memory.backing.read: 3}\nsources: {memory.backing.read: measured}\n")
        assert section["sources"]["read"] == "measured"
        assert section["ranges"]["read"] == 3
        assert unsourced_numbers(section) == []

    def test_notes_may_stand_in_the_section_itself(self, backing):
        section = backing(", read: 5 pJ/bit, assumed: {read: guess}")
        assert section["assumed"]["read"] == "guess"
        assert section["assumed"]["leakage"] == "guess"

    def test_a_note_on_a_group_is_split_when_one_of_it_changes(self, write):
        """`mac: a manual` of a processor speaks of each number below it; one that the chip replaces is not from that manual."""
        change = "cpu/cortex_m7_280mhz, mac: {int16: {per_cycle: 4}}"
        data = resolve_chip(write(CHIP.replace("cpu/cortex_a55_quad_22nm", change))).data
        sources = data["devices"]["cpu"]["sources"]
        assert resolve_part("cpu/cortex_m7_280mhz").data["sources"]["mac"].startswith("Armv7E-M")
        assert {key for key in sources if key.startswith("mac")} == {"mac.int16.block", "mac.fp32"}
        assert unsourced_numbers(data) == ["devices.cpu.mac.int16.per_cycle"]


class TestNotesOfNestedParts:
    def chip(self, write, notes):
        return load_chip(write(f"base: edge_cim_soc\ndevices: {{cim: {{adc: {{energy_per_bit: 3 pJ}}}}}}\n{notes}"))

    def test_a_number_inside_a_nested_part_needs_a_note(self, write):
        chip = self.chip(write, "")
        assert unsourced_numbers(chip.description) == ["devices.cim.adc.energy_per_bit"]

    def test_a_note_of_the_chip_reaches_it(self, write):
        notes = "assumed: {devices.cim.adc.energy_per_bit: guess}\nranges: {devices.cim.adc.energy_per_bit: 4}\n"
        chip = self.chip(write, notes)
        adc = chip.devices["cim"].spec.adc
        assert unsourced_numbers(chip.description) == []
        assert adc.is_assumed("energy_per_bit")
        assert adc.factor("energy_per_bit") == 4
        assert adc.sources["n_bits"].startswith("Shafiee")  # what was not touched keeps its own

    def test_so_the_energy_of_the_converter_is_as_uncertain_as_the_chip_says(self, write):
        from workloads.optable import OpTable
        from workloads.registry import load_workload

        def factor(chip):
            device = chip.devices["cim"]
            table = type(device).costs([device.spec], OpTable.from_workload(load_workload("lenet5")))
            adc = next(part for part in table.components[0] if part.name == "adc")
            return {spread.name: spread.factor for spread in adc.spreads}["cim.adc"]

        notes = "assumed: {devices.cim.adc.energy_per_bit: guess}\nranges: {devices.cim.adc.energy_per_bit: 4}\n"
        assert factor(load_chip("edge_cim_soc")) == 2
        assert factor(self.chip(write, notes)) == 4

    def test_the_outer_note_is_the_last_word(self, write):
        adc = load_chip(write("base: edge_cim_soc\nassumed: {devices.cim.adc.n_bits: not so sure}\n")).devices["cim"].spec.adc
        assert adc.is_assumed("n_bits")

    def test_an_unknown_key_of_a_nested_part_suggests_its_own_keys(self, write):
        with pytest.raises(SpecError, match=r"devices.cim.adc.energy_per_bits: unknown key; did you mean 'energy_per_bit2?'"):
            load_chip(write("base: edge_cim_soc\ndevices: {cim: {adc: {energy_per_bits: 3 pJ}}}\n"))


class TestNotesOfChips:
    def test_a_dotted_note_moves_into_the_section_it_speaks_of(self, write):
        data = resolve_chip(write(CHIP + "ranges: {links.default.energy: 2, devices.cpu.clock: 1.1, node: 1.2}\n")).data
        assert data["links"]["default"]["ranges"] == {"energy": 2}
        assert data["devices"]["cpu"]["ranges"]["clock"] == 1.1
        assert data["ranges"] == {"node": 1.2}

    def test_a_note_on_a_section_covers_what_has_none(self, write):
        text = CHIP.replace('links: "a test chip"', 'links.default: "a test chip"') + "sources: {links.default.latency: measured}\n"
        link = resolve_chip(write(text)).data["links"]["default"]
        assert link["sources"] == {"latency": "measured"}
        assert set(link["assumed"]) == {"bandwidth", "energy"}


class TestUnsourcedNumbers:
    @pytest.mark.parametrize(
        ("data", "missing"),
        [
            ({"a": 1, "b": "2 W", "c": "text", "d": True}, ["a", "b"]),
            ({"a": 1, "sources": {"a": "x"}}, []),
            ({"a": 1, "assumed": {"a": "x"}}, []),
            ({"a": 1, "ranges": {"a": 2}}, ["a"]),  # a range is no source
            ({"a": {"b": 1, "c": 2}, "sources": {"a": "x"}}, []),
            ({"a": {"b": 1, "c": 2}, "sources": {"a.b": "x"}}, ["a.c"]),
            ({"a": {"b": {"c": 1, "d": 2}}, "sources": {"a.b.c": "x"}}, ["a.b.d"]),
            ({"a": {"b": 1, "sources": {"b": "x"}}}, []),
            ({"a": {"b": 1, "c": 2, "sources": {"b": "x"}}}, ["a.c"]),
            ({"a": [1, 2], "name": "chip 7"}, ["a"]),
        ],
    )
    def test_each_number_needs_a_source_or_the_word_assumed(self, data, missing):
        assert unsourced_numbers(data) == missing


class TestDigest:
    def test_it_is_the_same_for_the_same_numbers_wherever_the_file_is(self, write, tmp_path):
        (tmp_path / "deeper").mkdir()
        assert load_chip(write(CHIP)).digest == load_chip(write(CHIP, "deeper/tiny.yaml")).digest
        assert load_chip(write("# a comment\n" + CHIP)).digest == load_chip(write(CHIP)).digest

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("1 us", "2 us"),
            ("12.8 GB/s", "12.9 GB/s"),
            ("22 nm", "28 nm"),
            ("cpu/cortex_a55_quad_22nm}", "cpu/cortex_a55_quad_22nm, clock: 1 GHz}"),
            ("dram/lpddr4_3200_x32}", "dram/lpddr4_3200_x32, timings: {t_faw: 41 ns}}"),
            ("dram/lpddr4_3200_x32", "dram/lpddr5_6400_x32"),
        ],
    )
    def test_any_number_changes_it(self, write, old, new):
        assert old in CHIP
        assert load_chip(write(CHIP)).digest != load_chip(write(CHIP.replace(old, new))).digest

    def test_a_number_deep_inside_a_part_changes_it(self, write):
        write("part: converter/sar_isaac_32nm\n", "adc.yaml")
        text = "base: edge_cim_soc\nname: one\ndevices: {cim: {adc: {part: adc.yaml}}}\n"
        before = load_chip(write(text)).digest
        write("part: converter/sar_isaac_32nm\nn_bits: 7\n", "adc.yaml")
        assert load_chip(write(text)).digest != before

    def test_chips_of_the_catalog_differ(self):
        digests = {load_chip(name).digest for name in list_chips()}
        assert len(digests) == len(list_chips())


class TestCopies:
    def test_a_copy_is_the_same_chip_under_its_new_name(self, tmp_path):
        target = tmp_path / "mine.yaml"
        target.write_text(chip_text("edge_cim_soc", target))
        mine, theirs = load_chip(target), load_chip("edge_cim_soc")
        assert mine.name == "mine"
        assert {**mine.description, "name": ""} == {**theirs.description, "name": ""}
        assert "# A 22 nm edge SoC" in target.read_text()


class _Point:
    """An entry point of group cosim.chips."""

    name, value = "acme", "acme:CHIPS"

    def __init__(self, loaded):
        self.loaded = loaded

    def load(self):
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


class TestEntryPoints:
    def chips(self, monkeypatch, loaded):
        monkeypatch.setattr(plugins, "entry_points", lambda group: [_Point(loaded)])
        return list_chips.__wrapped__()

    def test_a_package_brings_a_file_or_a_folder(self, monkeypatch, write, tmp_path):
        path = write(CHIP, "acme_one.yaml")
        assert self.chips(monkeypatch, path)["acme_one"] == path
        assert self.chips(monkeypatch, str(tmp_path))["acme_one"] == path
        assert "edge_cim_soc" in self.chips(monkeypatch, path)

    def test_a_name_that_is_taken_is_refused(self, monkeypatch, write):
        path = write(CHIP, "edge_cim_soc.yaml")
        with pytest.raises(SpecError, match=r"entry point 'acme' .* brings chip 'edge_cim_soc', which is there already"):
            self.chips(monkeypatch, path)

    @pytest.mark.parametrize("broken", [ImportError("no module acme"), AttributeError("no CHIPS")])
    def test_one_that_cannot_be_loaded_is_named(self, monkeypatch, broken):
        with pytest.raises(SpecError, match=r"entry point 'acme' of group cosim.chips \(acme:CHIPS\) cannot be loaded"):
            self.chips(monkeypatch, broken)

    def test_one_that_is_no_path_is_named(self, monkeypatch):
        with pytest.raises(SpecError, match=r"group cosim.chips \(acme:CHIPS\) is a int; let it be the path of a YAML file"):
            self.chips(monkeypatch, 7)
