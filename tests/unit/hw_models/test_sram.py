"""SRAM and embedded DRAM: tables come back between their own disagreement, banks and wires add up."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import hw_models
from hw_models.memory.edram import Edram, EdramSpec
from hw_models.memory.sram import Sram, SramSpec, bank_wire_j, sram_access
from hw_models.specs import numbers_without_source
from hw_models.yaml_file import read_yaml
from workloads.errors import SpecError

KIB, MIB, NM = 1024.0, 2.0**20, 1e-9
EDRAM_PARTS = sorted((Path(hw_models.__file__).parent / "parts" / "edram").glob("*.yaml"))


def sram(**changes: object) -> Sram:
    spec = {"capacity": "1 MiB", "n_banks": 4, "width_bits": 64, "node": "22 nm", "clock": "500 MHz"} | changes
    return Sram("shared", SramSpec.model_validate({key: value for key, value in spec.items() if value is not None}))


@pytest.mark.parametrize(("capacity", "cacti_pj", "horowitz_pj"), [(8 * KIB, 5.2883, 10), (32 * KIB, 14.9248, 20), (MIB, 67.6875, 100)])
def test_45_nm_energy_is_the_geometric_mean_of_cacti_and_horowitz(capacity, cacti_pj, horowitz_pj):
    bank = sram_access(capacity, 64, 45 * NM)
    assert bank.read_j == pytest.approx(sqrt(cacti_pj * horowitz_pj) * 1e-12, rel=1e-6)
    assert bank.read_j / bank.factor <= cacti_pj * 1e-12 * 1.001
    assert bank.read_j * bank.factor >= horowitz_pj * 1e-12 * 0.999


@pytest.mark.parametrize(("capacity", "jouppi_pj"), [(8 * KIB, 7.5), (32 * KIB, 8.5), (MIB, 14)])
def test_7_nm_interval_holds_what_jouppi_prints(capacity, jouppi_pj):
    bank = sram_access(capacity, 64, 7 * NM)
    assert bank.read_j < jouppi_pj * 1e-12 <= bank.read_j * bank.factor * 1.001
    assert bank.extrapolated


@pytest.mark.parametrize("node_nm", [22, 32, 45, 65])
def test_leakage_area_and_time_are_cactis_own_at_its_nodes(node_nm):
    """32 KiB, 64 bit, HP: rows of sram_energy.csv."""
    leakage_mw, area_mm2, access_ns = {
        22: (3.39357, 0.02672, 0.239025), 32: (7.03948, 0.048009, 0.313047),
        45: (28.9913, 0.094915, 0.407996), 65: (32.0998, 0.198064, 0.65925),
    }[node_nm]  # fmt: skip
    bank = sram_access(32 * KIB, 64, node_nm * NM)
    assert bank.leakage_w == pytest.approx(leakage_mw * 1e-3)
    assert bank.area_m2 == pytest.approx(area_mm2 * 1e-6)
    assert bank.access_s == pytest.approx(access_ns * 1e-9)
    assert not bank.extrapolated


def test_lstp_cells_leak_a_thousandth_and_answer_later():
    hp, lstp = (sram_access(32 * KIB, 64, 45 * NM, cell) for cell in ("hp", "lstp"))
    assert lstp.leakage_w < hp.leakage_w / 1000
    assert lstp.access_s > 2 * hp.access_s
    assert sram_access(32 * KIB, 256, 45 * NM, "lstp").read_j > lstp.read_j


def test_a_256_bit_port_costs_far_less_than_four_of_64():
    narrow, wide = sram_access(64 * KIB, 64, 45 * NM), sram_access(64 * KIB, 256, 45 * NM)
    assert wide.read_j / narrow.read_j == pytest.approx(41.7095 / 28.9844)


def test_a_1024_bit_port_is_four_banks_of_a_quarter_side_by_side():
    whole, quarter = sram_access(64 * KIB, 1024, 28 * NM), sram_access(16 * KIB, 256, 28 * NM)
    assert whole.read_j == pytest.approx(4 * quarter.read_j)
    assert whole.area_m2 == pytest.approx(4 * quarter.area_m2)
    assert whole.access_s == quarter.access_s


def test_tiny_buffers_go_with_the_square_root_down_to_64_bytes():
    kib, small, tiny, one = (sram_access(size, 64, 28 * NM) for size in (1024, 256, 64, 16))
    assert small.read_j == pytest.approx(kib.read_j / 2)
    assert tiny.read_j == one.read_j == pytest.approx(kib.read_j / 4)
    assert one.area_m2 == pytest.approx(kib.area_m2 / 64)
    assert small.extrapolated
    assert not kib.extrapolated


def test_above_4_mib_are_banks_of_4_mib_and_the_wires_between():
    bank, big = sram_access(4 * MIB, 64, 22 * NM), sram_access(16 * MIB, 64, 22 * NM)
    edge_m = sqrt(bank.area_m2)
    assert big.area_m2 == pytest.approx(4 * bank.area_m2)
    assert big.leakage_w == pytest.approx(4 * bank.leakage_w)
    assert big.read_j - bank.read_j == pytest.approx(bank_wire_j(bank.area_m2, 4, 64, 22 * NM))
    assert bank_wire_j(bank.area_m2, 4, 1, 28 * NM) == pytest.approx(0.5 * edge_m * 0.2e-9)  # 0.2 pJ/bit/mm over half an edge


sizes = st.floats(64.0, 32 * MIB)
some_nodes = st.sampled_from([5, 7, 16, 22, 28, 40, 65, 90, 180])


@settings(max_examples=60, deadline=None)
@given(a=sizes, b=sizes, node_nm=some_nodes, width=st.sampled_from([8, 32, 64, 128, 256, 512]), cell=st.sampled_from(["hp", "lstp"]))
def test_a_larger_sram_never_costs_less(a, b, node_nm, width, cell):
    small, large = (sram_access(size, width, node_nm * NM, cell) for size in sorted((a, b)))
    assert small.read_j <= large.read_j * (1 + 1e-9)
    assert small.area_m2 <= large.area_m2 * (1 + 1e-9)
    assert small.leakage_w <= large.leakage_w * 1.06  # CACTI's own leakage dips by some percent between organizations
    assert small.factor >= 1.38


@settings(max_examples=50, deadline=None)
@given(size=sizes, a=st.floats(8, 1024), b=st.floats(8, 1024), node_nm=some_nodes)
def test_a_wider_access_never_costs_less(size, a, b, node_nm):
    narrow, wide = (sram_access(max(size, 4 * KIB), width, node_nm * NM) for width in sorted((a, b)))
    assert narrow.read_j <= wide.read_j * (1 + 1e-9)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((1024, 64, 3 * NM), "5 nm"),
        ((1024, 64, 28 * NM, "lop"), "cell 'lop'"),
        ((0, 64, 28 * NM), "positive"),
        ((64, 0, 28 * NM), "positive"),
    ],
)
def test_impossible_srams_are_refused(args, message):
    with pytest.raises(SpecError, match=message):
        sram_access(*args)


def test_bandwidth_is_banks_times_width_times_clock():
    memory = sram()
    assert memory.bandwidth_bytes_per_s == memory.peak_bytes_per_s == 4 * 8 * 500e6
    assert memory.bandwidth_limit == "port width x clock"
    assert memory.first_access_s == pytest.approx(2e-9)  # 0.58 ns in whole clocks of 2 ns


def test_a_clock_faster_than_the_array_is_held_by_its_cycle_time():
    memory = sram(clock="9 GHz")
    assert memory.bandwidth_limit == "bank cycle time"
    assert memory.bandwidth_bytes_per_s == pytest.approx(4 * 8 / 0.393025e-9)
    assert memory.bandwidth_bytes_per_s < memory.peak_bytes_per_s


def test_a_stated_bandwidth_is_no_more_than_the_banks_can_cycle():
    memory = sram(clock=None, bandwidth="1 TB/s")
    assert memory.bandwidth_limit == "bank cycle time"
    assert memory.bandwidth_bytes_per_s == pytest.approx(4 * 8 / 0.393025e-9)


def test_a_stated_bandwidth_is_taken_as_it_is():
    memory = sram(clock=None, bandwidth="10 GB/s")
    assert memory.bandwidth_bytes_per_s == 10e9
    assert memory.bandwidth_limit == "stated bandwidth"
    assert memory.first_access_s == memory.bank.access_s


def test_energy_is_accesses_of_one_bank_and_leakage_that_of_all():
    memory, bank = sram(), sram_access(256 * KIB, 64, 22 * NM)
    wire_j = bank_wire_j(bank.area_m2, 4, 64, 22 * NM)
    assert memory.energy_parts_j(800.0, 80.0) == pytest.approx(
        {"read": 100 * (bank.read_j + wire_j), "write": 10 * (bank.write_j + wire_j)}
    )
    assert memory.standby_parts_w == pytest.approx({"leakage": 4 * bank.leakage_w})
    assert memory.area_m2 == pytest.approx(4 * bank.area_m2)
    assert memory.capacity_bytes == MIB


def test_spreads_come_from_the_tables_until_the_file_gives_its_own_number():
    table = sram()
    assert {c: [s.name for s in spreads] for c, spreads in table.spreads.items()} == {
        "read": ["technology.sram"], "write": ["technology.sram"], "leakage": ["technology.sram_leakage"],
    }  # fmt: skip
    assert table.assumed == frozenset()
    own = sram(leakage="2 mW", read="9 pJ", write="10 pJ", area="1 mm2", assumed={"leakage": "guess"}, sources={"read": "x"})
    assert own.standby_parts_w == {"leakage": 2e-3}
    assert own.energy_parts_j(8.0, 8.0) == pytest.approx({"read": 9e-12, "write": 10e-12})
    assert own.spreads["read"] == ()
    assert own.spreads["leakage"][0].factor == 1.5
    assert own.assumed == {"leakage"}
    assert own.area_m2 == pytest.approx(1e-6)
    assert sram(assumed={"cell": "not published"}).assumed == {"leakage"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock": None}, "either"),
        ({"bandwidth": "1 GB/s"}, "either"),
        ({"node": "2 nm"}, "5 nm"),
        ({"n_banks": 0}, "greater"),
        ({"cell": "x"}, "hp"),
    ],
)
def test_specs_that_say_too_much_or_too_little_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        sram(**change)


def edram(path: Path) -> Edram:
    data = read_yaml(path).data
    assert data.pop("kind") == "edram"
    return Edram("shared", EdramSpec.model_validate(data))


def test_isaac_tile_buffer_costs_20_pj_a_word_and_takes_a_twelfth_of_a_square_millimeter():
    memory = edram(next(path for path in EDRAM_PARTS if path.stem == "isaac_64kb"))
    assert memory.energy_parts_j(32.0, 64.0) == pytest.approx({"read": 20.45e-12, "write": 2 * 20.45e-12})
    assert memory.area_m2 == pytest.approx(0.083e-6)
    assert memory.peak_bytes_per_s == memory.bandwidth_bytes_per_s == pytest.approx(32 * 1.2e9)
    assert memory.standby_parts_w["refresh"] == pytest.approx(2048 * 2 * 20.45e-12 / 120e-6, rel=0.01)
    assert memory.assumed == {"refresh"}
    assert memory.spreads["refresh"][0].factor == 3.0
    assert memory.first_access_s == pytest.approx(1.6e-9)
    assert memory.bandwidth_limit == "port width x clock"


@pytest.mark.parametrize("path", EDRAM_PARTS, ids=lambda path: path.stem)
def test_every_edram_part_sources_its_numbers(path):
    data = read_yaml(path).data
    assert numbers_without_source(data, set(data.get("sources", {})) | set(data.get("assumed", {}))) == []
    assert edram(path).capacity_bytes > 0
