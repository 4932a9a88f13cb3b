"""Mistakes in chip files: each is named with file, line, key, what was given and what would do."""

import pytest

from hw_models.catalog import load_chip
from workloads.errors import SpecError

GOOD = """\
name: tiny
node: 22 nm
devices:
  cpu:
    part: cpu/cortex_a55_quad_22nm
memory:
  backing:
    part: dram/lpddr4_3200_x32
links:
  default:
    bandwidth: 12.8 GB/s
    latency: 1 us
    energy: 0.5 pJ/bit
assumed: {links: "a test chip", node: "a test chip"}
"""


def load(tmp_path, text):
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    return load_chip(path)


def refused(tmp_path, text):
    with pytest.raises(SpecError) as error:
        load(tmp_path, text)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_the_good_chip_loads(tmp_path):
    chip = load(tmp_path, GOOD)
    assert list(chip.devices) == ["cpu"]
    assert chip.area_m2 > 0


CASES = {
    "a bare number": (
        "bandwidth: 12.8 GB/s",
        "bandwidth: 12.8",
        11,
        "write a quantity in B/s, such as '25.6 GB/s'; got 12.8 without a unit",
    ),
    "a unit of another quantity": ("latency: 1 us", "latency: 1 pJ", 12, "'pJ' is a unit of J"),
    "a unit nobody knows": ("latency: 1 us", "latency: 1 parsec", 12, "'parsec' is not a known unit"),
    "an unknown key": ("latency: 1 us", "latencyy: 1 us", 12, "unknown key; did you mean 'latency'?"),
    "a negative time": ("latency: 1 us", "latency: -1 us", 12, "greater than or equal to 0"),
    "a zero bandwidth": ("bandwidth: 12.8 GB/s", "bandwidth: 0 GB/s", 11, "greater than 0"),
    "an unknown part": ("cpu/cortex_a55_quad_22nm", "cpu/cortex_a55_quad_22m", 5, "did you mean 'cpu/cortex_a55_quad_22nm'?"),
    "an unknown section": ("memory:", "memories:", 6, "unknown key; did you mean 'memory'?"),
    "a node without unit": ("node: 22 nm", "node: 22", 2, "without a unit"),
}


@pytest.mark.parametrize(("old", "new", "line", "reason"), CASES.values(), ids=CASES)
def test_a_wrong_line_is_named(tmp_path, old, new, line, reason):
    message = refused(tmp_path, GOOD.replace(old, new, 1))
    assert reason in message
    assert f"tiny.yaml:{line}:" in message


def test_a_missing_key_is_named(tmp_path):
    message = refused(tmp_path, GOOD.replace("    latency: 1 us\n", ""))
    assert "links.default.latency: this key is required" in message


def test_a_chip_without_a_backing_store_is_refused(tmp_path):
    text = GOOD.replace("  backing:\n    part: dram/lpddr4_3200_x32\n", "  shared: {kind: sram, capacity: 1 MiB}\n")
    message = refused(tmp_path, text)
    assert "memory.backing" in message
    assert "required" in message


def test_a_chip_without_devices_is_refused(tmp_path):
    message = refused(tmp_path, GOOD.replace("devices:\n  cpu:\n    part: cpu/cortex_a55_quad_22nm\n", "devices: {}\n"))
    assert "devices" in message


def test_an_unknown_device_kind_is_named(tmp_path):
    message = refused(tmp_path, GOOD.replace("part: cpu/cortex_a55_quad_22nm", "kind: cpuu"))
    assert "device kind 'cpuu' is not known; did you mean 'cpu'?" in message


def test_a_section_without_kind_or_part_is_named(tmp_path):
    message = refused(tmp_path, GOOD.replace("    part: cpu/cortex_a55_quad_22nm", "    n_cores: 4"))
    assert "`kind` is missing" in message


def test_a_link_of_no_device_is_named(tmp_path):
    message = refused(tmp_path, GOOD.replace("  default:", "  cpuu:"))
    assert "cpuu" in message


def test_a_base_that_does_not_exist_is_named(tmp_path):
    message = refused(tmp_path, "base: edge_npu_sok\n")
    assert "did you mean 'edge_npu_soc'?" in message


def test_a_base_that_comes_back_is_refused(tmp_path):
    (tmp_path / "other.yaml").write_text("base: tiny.yaml\n")
    assert "comes back" in refused(tmp_path, "base: other.yaml\n")


def test_a_variant_overrides_one_number_and_keeps_the_rest(tmp_path):
    (tmp_path / "base.yaml").write_text(GOOD)
    chip = load(tmp_path, 'base: base.yaml\nlinks: {default: {latency: 2 us}}\nassumed: {links: "faster", node: "same"}\n')
    assert chip.name == "tiny"
    assert chip.links["cpu"].latency_s == pytest.approx(2e-6)
    assert chip.links["cpu"].bandwidth_bytes_per_s == pytest.approx(12.8e9)


def test_a_part_overridden_on_the_chip_loses_its_source(tmp_path):
    chip = load(tmp_path, GOOD.replace("    part: cpu/cortex_a55_quad_22nm", "    part: cpu/cortex_a55_quad_22nm\n    clock: 3 GHz"))
    spec = chip.devices["cpu"].spec
    assert "clock" not in spec.sources
    assert "clock" not in spec.assumed


def test_a_note_on_a_whole_section_holds_for_each_of_its_parts(tmp_path):
    link = load(tmp_path, GOOD).links["cpu"]
    assert link.assumed
    assert [spread.name for spread in link.spreads] == ["link.energy"]


def test_a_note_on_one_part_of_a_section_covers_its_keys(tmp_path):
    text = GOOD.replace('links: "a test chip"', 'links.default: "a test chip"').replace(
        "assumed: {", "ranges: {links.default: 3}\nassumed: {"
    )
    link = load(tmp_path, text).links["cpu"]
    assert link.assumed
    assert {spread.factor for spread in (*link.spreads, *link.time_spreads)} == {3.0}


def test_a_range_that_is_none_is_reported_where_the_chip_wrote_it(tmp_path):
    message = refused(tmp_path, f"{GOOD}ranges:\n  devices.cpu.clock: 0.5\n")
    assert f"tiny.yaml:{len(GOOD.splitlines()) + 2}: " in message
    assert "devices.cpu.ranges" in message


@pytest.mark.parametrize("node", ["3 nm", "22 um"])
def test_a_node_that_no_law_covers_is_refused(tmp_path, node):
    message = refused(tmp_path, GOOD.replace("node: 22 nm", f"node: {node}", 1))
    assert "tiny.yaml:2: node" in message


def test_a_range_of_no_key_is_refused_with_the_nearest(tmp_path):
    message = refused(tmp_path, f"{GOOD}ranges: {{devices.cpu.clokc: 2}}\n")
    assert "ranges: clokc: there is no such key; did you mean 'clock'?" in message
