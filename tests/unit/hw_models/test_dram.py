"""DRAM: what binds, what commands cost, what standing still costs."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hw_models.kernels import dram as k
from hw_models.memory.base import category
from hw_models.memory.dram import (
    COLUMN_LOW,
    DRAM_LIMITS,
    RANDOM,
    SAME_BANK,
    STREAM,
    Dram,
    DramCounts,
    DramSpec,
    Pattern,
    bounds,
    command_energies,
    energy_of_counts,
    timing_row,
)
from hw_models.memory.registry import memory_class, memory_kinds
from hw_models.specs import numbers_without_source
from hw_models.yaml_file import read_yaml
from workloads.errors import SpecError

PARTS = Path(k.__file__).parents[1] / "parts" / "dram"
PART_NAMES = sorted(path.stem for path in PARTS.glob("*.yaml"))


def part(name: str) -> dict:
    """A part as its file gives it, on top of the one it names."""
    data = read_yaml(PARTS / f"{name}.yaml").data
    if "part" in data:
        data = overlay(part(data.pop("part").removeprefix("dram/")), data)
    return data


def overlay(base: dict, over: dict) -> dict:
    result = dict(base)
    for key, value in over.items():
        result[key] = overlay(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return result


def spec(name: str, **changes: dict | str) -> DramSpec:
    data = overlay(part(name), changes)
    assert data.pop("kind") == "dram"
    return DramSpec.model_validate(data)


def naive_bound(timing: dict[int, float], pattern: list[float]) -> tuple[float, int]:
    """The same limits one by one, as plain Python."""
    groups, per_request, per_row, open_banks, column_low, reads = pattern
    t, b = timing, timing[k.BURST]
    acts = per_request + per_row / t[k.N_ROW_REQUESTS]
    n, w = t[k.N_ROW_REQUESTS], t[k.N_WINDOW]
    groups = n / max(n - w, n / 2) if column_low else groups
    limits = {k.DATA_BUS: 1.0, k.COLUMN_SPACING: b / max(b, t[k.CCD_S])}
    limits[k.BANK_GROUP] = groups * b / (reads * t[k.CCD_L] + (1 - reads) * t[k.CCD_L_WR])
    if acts:
        limits[k.ACTIVATE_SPACING] = t[k.N_RANKS] * b / (acts * t[k.RRD])
        limits[k.FOUR_ACTIVATES] = t[k.N_RANKS] * 4 * b / (acts * t[k.FAW])
        if t[k.WINDOW_32]:
            limits[k.FOUR_ACTIVATES] = min(limits[k.FOUR_ACTIVATES], t[k.N_RANKS] * 32 * b / (acts * t[k.WINDOW_32]))
        banks = min(open_banks, t[k.N_BANKS])
        lost = 1 - t[k.RFC_BANK] / t[k.REFI]
        limits[k.BANK_CYCLE] = lost * b * banks * w / ((banks + w - 1) * acts * t[k.RC] * t[k.N_BUSES])
    if 0 < reads < 1:
        busy = t[k.N_DRAIN] / t[k.N_BUSES] / (1 - reads) * b
        limits[k.TURNAROUND] = busy / (busy + t[k.READ_LATENCY] + t[k.RTRS] + t[k.WTR])
    which = min(limits, key=lambda key: (limits[key], key))
    return limits[which] * (1 - t[k.RFC] / t[k.REFI]), which


positive = st.floats(1.0, 60.0)
timing_rows = st.lists(positive, min_size=k.N_TIMINGS, max_size=k.N_TIMINGS)
pattern_rows = st.tuples(
    st.sampled_from([1.0, 2.0, 1e9]), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0]), st.sampled_from([1.0, 4.0, 1e9]),
    st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.3, 2 / 3, 1.0]),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(timing_rows, min_size=1, max_size=3), patterns=st.lists(pattern_rows, min_size=1, max_size=3))
def test_kernel_equals_the_formulas_written_out(rows, patterns):
    timing = np.array(rows)
    timing[:, k.REFI] += timing[:, k.RFC] + timing[:, k.RFC_BANK]
    utilization, limit = k.dram_bounds(timing, np.array(patterns))
    for s, row in enumerate(timing):
        for p, pattern in enumerate(patterns):
            value, which = naive_bound(dict(enumerate(row)), list(pattern))
            assert utilization[s, p] == pytest.approx(value, rel=1e-12)
            assert limit[s, p] == which


def test_ddr4_loses_only_refresh_in_a_stream_and_is_held_by_the_four_activate_window_at_random():
    """tRFC 576 and tREFI 12480 clocks; 4 activates of one 4-clock burst each in 34 clocks."""
    utilization, limit = bounds([spec("ddr4_3200_x64")], [STREAM, RANDOM, SAME_BANK])
    f = 1 - 576 / 12480
    assert utilization[0] == pytest.approx([f, 16 / 34 * f, 4 / 74 * f])
    assert [DRAM_LIMITS[i] for i in limit[0]] == ["data bus, less refresh", "four-activate window (tFAW)", "bank cycle (tRC)"]


def test_a_column_low_map_halves_a_ddr4_stream_until_the_window_reaches_over_the_row():
    """128 requests a row at tCCD_L = 2 b; 32 in sight: 128 / 96 / 2 = 2/3 of the bus."""
    utilization, limit = bounds([spec("ddr4_3200_x64")], [COLUMN_LOW])
    assert utilization[0, 0] == pytest.approx(2 / 3 * (1 - 576 / 12480))
    assert DRAM_LIMITS[limit[0, 0]] == "bank group (tCCD_L)"
    blind, _ = bounds([spec("ddr4_3200_x64", controller={"n_window": 1})], [COLUMN_LOW])
    assert blind[0, 0] == pytest.approx(128 / 127 / 2 * (1 - 576 / 12480))


def test_a_second_rank_doubles_the_activates_but_not_the_bus():
    one, two = spec("ddr4_3200_x64"), spec("ddr4_3200_x64", organization={"n_ranks": 2})
    u, _ = bounds([one, two], [RANDOM, STREAM])
    assert u[1, 0] > 1.3 * u[0, 0]
    assert u[1, 1] == u[0, 1]


def test_turnaround_costs_read_latency_plus_write_to_read_once_in_a_drain():
    """DDR4 2:1 mix: 57 bursts of 4 clocks between switches, 22 + 2 + 12 idle."""
    u, limit = bounds([spec("ddr4_3200_x64")], [Pattern("mix", acts_per_row=1.0, read_fraction=2 / 3)])
    assert u[0, 0] == pytest.approx(57 * 4 / (57 * 4 + 36) * (1 - 576 / 12480))
    assert DRAM_LIMITS[limit[0, 0]] == "read/write turnaround"


def test_per_bank_refresh_leaves_the_stream_whole():
    u, _ = bounds([spec("lpddr5_6400_x32", controller={"refresh": "per_bank"})], [STREAM, SAME_BANK])
    assert u[0, 0] == 1.0
    assert u[0, 1] == pytest.approx(2 / 49 * (1 - 112 / 3125))


def test_ddr5_writes_in_one_group_wait_for_their_own_longer_spacing():
    """tCCD_L of writes is 48 clocks against 12 of reads (Ramulator 2.1)."""
    write = Pattern("one group", n_groups=1.0, read_fraction=0.0)
    read = Pattern("one group", n_groups=1.0)
    u, _ = bounds([spec("ddr5_4800")], [read, write])
    assert u[0, 0] / u[0, 1] == pytest.approx(4)


def test_times_round_up_to_clocks_with_the_forgiveness_of_jesd79():
    ddr4 = spec("ddr4_3200_x64")
    assert ddr4.t_ck_s == pytest.approx(0.625e-9)
    assert [ddr4.clocks(t * 1e-9) for t in (13.75, 13.76, 13.8, 0.0)] == [22, 22, 23, 0]
    assert timing_row(ddr4)[k.RC] == 74


@pytest.mark.parametrize(
    ("name", "peak"),
    [("ddr4_3200_x64", 25.6e9), ("ddr5_4800", 38.4e9), ("lpddr4_3200_x32", 12.8e9), ("lpddr5_6400_x32", 25.6e9), ("hbm2_2000", 256e9),
     ("hbm3_6400", 819.2e9), ("gddr6_14000", 56e9), ("a100_hbm2e", 2039e9), ("ddr3_2133", 34.1e9)],
)  # fmt: skip
def test_peak_bandwidth_is_the_one_on_the_box(name, peak):
    memory = Dram("dram", spec(name))
    assert memory.peak_bytes_per_s == pytest.approx(peak, rel=1e-3)
    assert 0.87 * peak < memory.bandwidth_bytes_per_s < 0.98 * peak
    assert memory.bandwidth_limit == "data bus, less refresh"


def streaming_pj_per_bit(memory: Dram) -> float:
    """Energy of reading 1 GB at full rate, standby included."""
    dynamic_j = sum(memory.energy_parts_j(1e9, 0.0).values())
    standby_j = sum(memory.standby_parts_w.values()) * 1e9 / memory.bandwidth_bytes_per_s
    return (dynamic_j + standby_j) / 8e9 * 1e12


@pytest.mark.parametrize(("name", "published", "tolerance"), [
    ("lpddr5_6400_x32", 7.0, 0.01),  # calibrated to it
    ("gddr6_14000", 7.5, 0.01),  # calibrated to it
    ("hbm2_2000", 3.92, 0.02),  # O'Connor et al., MICRO 2017, at 256 B a row; standby not in theirs
    ("ddr3_2133", 28.7, 0.01),  # calibrated to the middle of Horowitz's range
    ("lpddr4_3200_x32", 8.0, 0.25),  # constant of Accelergy, second hand; ours from data-sheet currents
])  # fmt: skip
def test_streaming_energy_is_the_published_one(name, published, tolerance):
    assert streaming_pj_per_bit(Dram("dram", spec(name))) == pytest.approx(published, rel=tolerance)


def test_streaming_ddr4_costs_what_dramsim3_says_without_io():
    """8.50 pJ/bit for a stream at closed:0 with the same currents (ds3_ddr4_3200_bgint.csv)."""
    memory = Dram("dram", spec("ddr4_3200_x64", io="0 pJ/bit"))
    assert streaming_pj_per_bit(memory) == pytest.approx(8.50, rel=0.01)


def test_an_activation_costs_idd0_less_the_standby_currents():
    """Eight devices, 1.2 V: (57 x 74 - 52 x 52 - 37 x 22) mA clocks of 0.625 ns."""
    energy = command_energies(spec("ddr4_3200_x64"))
    assert energy.activate_j == pytest.approx(8 * 1.2 * (57 * 74 - 52 * 52 - 37 * 22) * 1e-3 * 0.625e-9)
    assert energy.read_j == pytest.approx(8 * 1.2 * (168 - 52) * 1e-3 * 4 * 0.625e-9)
    assert energy.refresh_j == pytest.approx(8 * 1.2 * (250 - 52) * 1e-3 * 360e-9)


def test_rails_add_up_and_vddq_is_io():
    """LPDDR4: VDD1 1.8 V, VDD2 1.1 V, VDDQ 1.1 V; a burst of 16 at 3.2 Gb/s takes 5 ns."""
    energy = command_energies(spec("lpddr4_3200_x32"))
    assert energy.read_j == pytest.approx((1.8 * 0 + 1.1 * 245e-3) * 5e-9)
    assert energy.read_io_j == pytest.approx(1.1 * 150e-3 * 5e-9)
    assert energy.write_io_j == pytest.approx(1.1 * 55e-3 * 5e-9)


def test_closed_row_costs_trcd_more_than_a_hit_and_conflict_trp_more_than_closed():
    memory = Dram("dram", spec("ddr4_3200_x64"))
    hit, closed, conflict = (memory.read_latency_s(row) for row in ("hit", "closed", "conflict"))
    assert hit == pytest.approx(26 * 0.625e-9)
    assert closed - hit == pytest.approx(13.75e-9)
    assert conflict - closed == pytest.approx(13.75e-9)
    assert memory.first_access_s == pytest.approx(20e-9 + 13.75e-9 + 13.75e-9)


def test_streaming_raises_standby_from_power_down_to_active_for_as_long_as_it_lasts():
    memory = Dram("dram", spec("ddr4_3200_x64"))
    second = memory.energy_parts_j(memory.bandwidth_bytes_per_s, 0.0)
    assert second["active"] == pytest.approx(8 * 1.2 * (52 - 25) * 1e-3)
    assert memory.standby_parts_w["background"] == pytest.approx(8 * 1.2 * 25e-3)
    assert memory.standby_parts_w["refresh"] == pytest.approx(8 * 1.2 * 198e-3 * 360 / 7800)


def test_a_memory_without_a_power_down_figure_stands_by():
    hbm = Dram("dram", spec("hbm2_2000"))
    assert command_energies(hbm.spec).power_down_w == command_energies(hbm.spec).idle_w


def test_an_idle_lpddr_draws_a_sixth_of_its_standby():
    """5.5 of 33 mW a die, two dies (DRAMSys memspec of a 6 Gb LPDDR4)."""
    memory = Dram("dram", spec("lpddr4_3200_x32"))
    assert memory.standby_parts_w["background"] == pytest.approx(2 * (1.8 * 1.2e-3 + 1.1 * 3e-3))


def test_counts_and_bytes_agree_on_a_stream():
    """One activation for 128 bursts of 64 B."""
    ddr4 = spec("ddr4_3200_x64")
    by_bytes = Dram("dram", ddr4).energy_parts_j(128 * 64.0, 0.0)
    by_counts = energy_of_counts(ddr4, DramCounts(n_act=1, n_read=128))
    for component in ("activate", "read", "write", "io"):
        assert by_bytes[component] == pytest.approx(by_counts[component])


def test_both_back_ends_share_powers_over_ranks():
    hbm = spec("hbm2_2000")
    assert command_energies(hbm).idle_w == pytest.approx(0.384 / 16)
    assert Dram("dram", hbm).standby_parts_w == pytest.approx({"background": 0.384, "refresh": 0.125})


@pytest.mark.parametrize("name", PART_NAMES)
def test_every_part_builds_sources_its_numbers_and_says_what_it_assumes(name):
    data = part(name)
    covered = set(data.get("sources", {})) | set(data.get("assumed", {}))
    assert numbers_without_source(data, covered) == []
    memory = Dram("dram", spec(name))
    parts = memory.energy_parts_j(1.0, 1.0)
    assert set(memory.spreads) == set(parts) | set(memory.standby_parts_w)
    assert memory.assumed <= set(memory.spreads)
    assert all(value >= 0 for value in parts.values())
    assert {category(c) for c in parts} == {"memory"}
    assert {category(c) for c in memory.standby_parts_w} == {"static"}
    assert memory.area_m2 > 0


def test_a_scaled_part_says_so_and_carries_its_range():
    memory = Dram("dram", spec("lpddr5x_8533"))
    assert memory.spec.is_assumed("timings.t_rcd")
    assert "read" in memory.assumed
    assert {s.name: s.factor for s in memory.spreads["read"]} == {"LPDDR5X-8533 x32.energy": 1.6}
    assert [s.name for s in memory.bandwidth_spreads] == ["dram.bandwidth", "dram.timings"]


BAD = [
    ({"timings": {"t_rfc": "9 us"}}, "t_refi has to be longer"),
    ({"io": "1"}, "without a unit"),
    ({"data_rate": "3.2 ns"}, "unit of s"),
    ({"organization": {"device_width_bits": 48}}, "multiple"),
    ({"energy": {"activate": "1 nJ", "core": "1 pJ/bit", "background": "1 W", "active": "1 W", "refresh": "0 W"}}, "either"),
    ({"currents": {"vdd": {"idd0": "1 mA"}}}, "activate_j would be negative"),
    ({"timings": {"t_rdc": "1 ns"}}, "Extra inputs"),
    ({"capacity": "0 GiB"}, "greater than 0"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_is_not_physical_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        spec("ddr4_3200_x64", **copy.deepcopy(change))


def test_kinds_register_by_name_and_suggest_the_nearest():
    assert list(memory_kinds()) == ["dram", "edram", "flash", "sram"]
    assert memory_class("dram") is Dram
    with pytest.raises(SpecError, match="did you mean 'sram'"):
        memory_class("srm")
