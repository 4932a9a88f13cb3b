"""Flash: keeps its content, reads at one rate, writes dearly."""

from __future__ import annotations

from pathlib import Path

import pytest

import hw_models
from hw_models.memory.flash import Flash, FlashSpec
from hw_models.specs import numbers_without_source
from hw_models.yaml_file import read_yaml

PARTS = sorted((Path(hw_models.__file__).parent / "parts" / "flash").glob("*.yaml"))


def flash(name: str) -> Flash:
    data = read_yaml(next(path for path in PARTS if path.stem == name)).data
    assert data.pop("kind") == "flash"
    return Flash("flash", FlashSpec.model_validate(data))


def test_embedded_flash_reads_16_bytes_every_25_ns():
    memory = flash("embedded_flash_40nm")
    assert memory.bandwidth_bytes_per_s == memory.peak_bytes_per_s == pytest.approx(16 / 25e-9)
    assert memory.first_access_s == pytest.approx(25e-9)
    assert memory.bandwidth_limit == "read port"


def test_writing_costs_a_thousand_times_more_than_reading():
    memory = flash("embedded_flash_40nm")
    energy = memory.energy_parts_j(1.0, 1.0)
    assert energy["read"] == pytest.approx(8e-12)
    assert energy["write"] > 1000 * energy["read"]
    assert memory.energy_parts_j(0.0, 0.0) == {"read": 0.0, "write": 0.0}


def test_a_serial_chip_takes_only_pads_of_our_die():
    serial, embedded = flash("qspi_nor_133mhz"), flash("embedded_flash_40nm")
    assert serial.area_m2 < embedded.area_m2 / 10
    assert serial.bandwidth_bytes_per_s == pytest.approx(0.5 * 133e6)
    assert serial.capacity_bytes > embedded.capacity_bytes


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.stem)
def test_every_flash_part_sources_or_assumes_its_numbers_and_says_which(path):
    data = read_yaml(path).data
    assert numbers_without_source(data, set(data.get("sources", {})) | set(data.get("assumed", {}))) == []
    memory = flash(path.stem)
    assert memory.assumed == {"read", "write", "leakage"}
    assert all(memory.spreads[component][0].factor >= 1.5 for component in memory.assumed)
    assert set(memory.standby_parts_w) == {"leakage"}


def test_bandwidth_carries_the_range_that_its_file_gives():
    assert [s.factor for s in flash("embedded_flash_40nm").bandwidth_spreads] == [1.5]
    assert flash("qspi_nor_133mhz").bandwidth_spreads == ()
