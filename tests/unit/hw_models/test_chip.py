"""Building a chip: links of their own or by default, memories by role, and an area that is the sum of its blocks."""

from __future__ import annotations

import pytest

from hw_models.catalog import build_part_device, build_part_memory, load_chip
from hw_models.memory.base import Memory
from hw_models.registry import Device
from workloads.errors import SpecError

CHIP = """\
name: tiny
title: A test chip
node: 22 nm
devices:
  cpu: {part: cpu/cortex_a55_quad_22nm}
  gpu: {part: gpu/mali_g52_mc2_22nm}
memory:
  backing: {part: dram/lpddr4_3200_x32}
  shared: {kind: sram, capacity: 1 MiB, node: 22 nm, clock: 800 MHz, width_bits: 128}
links:
  default: {bandwidth: 12.8 GB/s, latency: 1 us, energy: 0.5 pJ/bit}
  gpu: {bandwidth: 25.6 GB/s, latency: 2 us, energy: 1 pJ/bit, length: 3 mm}
area: {io: 2 mm2, padding: 0.5 mm2}
"""
WEIGHTS = "memory:\n  weights: {part: flash/embedded_flash_40nm}\n"


@pytest.fixture
def load(tmp_path):
    def make(text=CHIP):
        path = tmp_path / "tiny.yaml"
        path.write_text(text)
        return load_chip(path)

    return make


class TestLinks:
    def test_a_device_has_its_own_link_or_the_default(self, load):
        links = load().links
        assert list(links) == ["cpu", "gpu"]
        assert [link.bandwidth_bytes_per_s for link in links.values()] == [12.8e9, 25.6e9]
        assert [link.name for link in links.values()] == ["cpu", "gpu"]
        assert links["gpu"].spec.length_m == pytest.approx(3e-3)

    def test_a_device_without_either_is_refused(self, load):
        text = CHIP.replace("  default: {bandwidth: 12.8 GB/s, latency: 1 us, energy: 0.5 pJ/bit}\n", "")
        with pytest.raises(SpecError, match=r"tiny.yaml:\d+: links: device 'cpu' has no link; add one for it, or `default`"):
            load(text)

    def test_no_default_is_needed_when_each_has_its_own(self, load):
        assert load(CHIP.replace("  default:", "  cpu:")).links["cpu"].latency_s == 1e-6


class TestMemories:
    def test_without_a_store_of_their_own_weights_live_in_the_backing(self, load):
        chip = load()
        assert chip.weights is chip.backing
        assert list(chip.memories) == ["dram", "shared"]

    def test_roles_give_names(self, load):
        chip = load(CHIP.replace("memory:\n", WEIGHTS))
        assert {name: memory.kind for name, memory in chip.memories.items()} == {"dram": "dram", "flash": "flash", "shared": "sram"}
        assert chip.weights is chip.memories["flash"]
        assert chip.shared is chip.memories["shared"]
        assert chip.backing is chip.memories["dram"]

    def test_two_stores_of_one_kind_keep_apart(self, load):
        text = CHIP.replace("memory:\n", "memory:\n  weights: {part: dram/ddr4_2400}\n")
        assert list(load(text).memories) == ["dram", "weights", "shared"]

    def test_a_shared_memory_is_not_needed(self, load):
        chip = load("\n".join(line for line in CHIP.splitlines() if not line.startswith("  shared:")))
        assert chip.shared is None
        assert list(chip.memories) == ["dram"]

    def test_pinning_is_on_unless_declined(self, load):
        assert load().spec.memory.pin_weights
        assert not load(CHIP.replace("memory:\n", "memory:\n  pin_weights: false\n")).spec.memory.pin_weights


class TestArea:
    def test_blocks_are_devices_memories_and_what_belongs_to_none(self, load):
        chip = load()
        parts = chip.area_parts_m2
        assert set(parts) == {"cpu", "gpu", "dram", "shared", "io", "padding"}
        assert parts["cpu"] == build_part_device("cpu/cortex_a55_quad_22nm").area_m2
        assert parts["dram"] == build_part_memory("dram/lpddr4_3200_x32").area_m2  # its interface; the dies are elsewhere
        assert parts["io"] == pytest.approx(2e-6)
        assert chip.area_m2 == pytest.approx(sum(parts.values()))

    def test_a_memory_off_the_die_is_no_block(self, load):
        text = CHIP.replace("dram/lpddr4_3200_x32}", "dram/lpddr4_3200_x32, phy_area: 0 mm2}")
        assert "dram" not in load(text).area_parts_m2


class TestNames:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("  cpu:", "  dram:", "devices.dram: memory.backing has this name too; choose another"),
            ("  cpu:", "  shared:", "devices.shared: memory.shared has this name too"),
            ("{io: 2 mm2", "{cpu: 2 mm2", "area.cpu: devices.cpu has this name too"),
            ("{io: 2 mm2", "{shared: 2 mm2", "area.shared: memory.shared has this name too"),
        ],
    )
    def test_two_blocks_of_one_name_are_refused(self, load, old, new, message):
        """The ledger and the area list would add them up under that name."""
        with pytest.raises(SpecError, match=rf"tiny.yaml:\d+: {message}"):
            load(CHIP.replace(old, new, 1))

    def test_two_devices_may_be_the_same_part(self, load):
        text = CHIP.replace("  gpu: {part: gpu/mali_g52_mc2_22nm}", "  gpu: {part: cpu/cortex_a55_quad_22nm, n_cores: 2}")
        chip = load(text)
        assert [device.name for device in chip.devices.values()] == ["cpu", "gpu"]
        assert [device.spec.n_cores for device in chip.devices.values()] == [4, 2]


class TestWhole:
    def test_it_is_built_of_devices_and_memories_in_the_order_of_the_file(self, load):
        chip = load()
        assert (chip.name, chip.title) == ("tiny", "A test chip")
        assert all(isinstance(device, Device) for device in chip.devices.values())
        assert all(isinstance(memory, Memory) for memory in chip.memories.values())
        assert list(chip.devices) == ["cpu", "gpu"]
        assert chip.spec.node_m == pytest.approx(22e-9)

    def test_the_description_is_the_whole_chip(self, load):
        described = load().description
        assert described["devices"]["cpu"]["kind"] == "cpu"
        assert described["devices"]["cpu"]["clock"]
        assert described["memory"]["backing"]["timings"]

    def test_a_memory_kind_that_is_not_known_is_named(self, load):
        with pytest.raises(SpecError, match=r"tiny.yaml:9: memory.shared.kind: memory kind 'sramm' is not known; did you mean 'sram'\?"):
            load(CHIP.replace("kind: sram", "kind: sramm"))

    def test_the_first_of_several_mistakes_is_named_and_the_rest_counted(self, load):
        with pytest.raises(SpecError, match=r"links.default.latency: this key is required \(1 more\)"):
            load(CHIP.replace(", latency: 1 us, energy: 0.5 pJ/bit", ""))

    def test_a_wrong_value_is_quoted_as_written(self, load):
        with pytest.raises(SpecError, match=r"tiny.yaml:8: memory.backing.capacity: .*; got '-4 GiB'"):
            load(CHIP.replace("lpddr4_3200_x32}", "lpddr4_3200_x32, capacity: -4 GiB}"))
