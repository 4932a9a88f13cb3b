"""Laws that every memory obeys: linear, never negative, sums of parts, no faster than its wires."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hw_models
from hw_models.memory.base import Memory, category
from hw_models.memory.dram import RANDOM, STREAM, DramSpec, Pattern, bounds
from hw_models.memory.registry import memory_class
from hw_models.yaml_file import read_yaml

PARTS = Path(hw_models.__file__).parent / "parts"


def part(name: str, **changes: object) -> Memory:
    data = read_yaml(PARTS / f"{name}.yaml").data | changes
    cls = memory_class(data.pop("kind"))
    return cls("memory", cls.spec_class.model_validate(data))


def sram() -> Memory:
    cls = memory_class("sram")
    spec = {"capacity": "2 MiB", "n_banks": 8, "width_bits": 128, "node": "16 nm", "clock": "1 GHz"}
    return cls("memory", cls.spec_class.model_validate(spec))


MEMORIES = [
    part("dram/ddr4_3200_x64"), part("dram/lpddr4_3200_x32"), part("dram/lpddr5_6400_x32"), part("dram/hbm3_6400"),
    part("dram/gddr6_14000"),
    part("flash/embedded_flash_40nm"), part("edram/isaac_64kb"), sram(),
]  # fmt: skip
every_memory = pytest.mark.parametrize("memory", MEMORIES, ids=lambda memory: f"{memory.kind}")
n_bytes = st.floats(0.0, 1e9)
acts_per_request = st.integers(0, 64).map(lambda n: n / 64)


@every_memory
@settings(max_examples=30)
@given(a=n_bytes, b=n_bytes, c=n_bytes, d=n_bytes)
def test_energy_is_linear_in_bytes(memory, a, b, c, d):
    first, second, both = memory.energy_parts_j(a, b), memory.energy_parts_j(c, d), memory.energy_parts_j(a + c, b + d)
    for component, energy_j in both.items():
        assert energy_j == pytest.approx(first[component] + second[component], rel=1e-9, abs=1e-18)


@every_memory
@settings(max_examples=30)
@given(read=n_bytes, write=n_bytes)
def test_no_bytes_no_dynamic_energy_and_never_less_than_none(memory, read, write):
    assert set(memory.energy_parts_j(0.0, 0.0).values()) == {0.0}
    assert min(memory.energy_parts_j(read, write).values()) >= 0


@every_memory
def test_a_memory_is_never_faster_than_its_wires_and_says_why(memory):
    assert 0 < memory.bandwidth_bytes_per_s <= memory.peak_bytes_per_s
    assert memory.bandwidth_limit
    assert 0 < memory.first_access_s < 1e-6
    assert memory.capacity_bytes > 0
    assert memory.area_m2 > 0


@every_memory
def test_dynamic_and_standing_components_are_different_ones_and_each_may_be_uncertain(memory):
    dynamic, standing = memory.energy_parts_j(1.0, 1.0), memory.standby_parts_w
    assert {category(component) for component in dynamic} == {"memory"}
    assert {category(component) for component in standing} == {"static"}
    assert min(standing.values()) >= 0
    assert set(memory.spreads) == set(dynamic) | set(standing)
    assert memory.assumed <= set(memory.spreads)
    assert all(spread.factor > 1 for spreads in memory.spreads.values() for spread in spreads)


def lpddr5(**timings: str) -> DramSpec:
    data = read_yaml(PARTS / "dram/lpddr5_6400_x32.yaml").data
    del data["kind"]
    data["timings"] |= timings
    return DramSpec.model_validate(data)


def utilization(spec: DramSpec, pattern: Pattern) -> float:
    return float(bounds([spec], [pattern])[0][0, 0])


TIMINGS = ["t_rcd", "t_rp", "t_ras", "t_ccd_s", "t_ccd_l", "t_rrd_s", "t_faw", "t_rfc", "t_wtr_l", "t_cl", "t_rtrs"]


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(TIMINGS),
    times=st.tuples(st.floats(1, 300), st.floats(1, 300)),
    acts=acts_per_request,
    reads=st.sampled_from([0.3, 1.0]),
)
def test_a_longer_delay_never_makes_a_dram_faster(name, times, acts, reads):
    pattern = Pattern("any", acts_per_request=acts, read_fraction=reads)
    short, long = (utilization(lpddr5(**{name: f"{t} ns"}), pattern) for t in sorted(times))
    assert long <= short
    assert 0 < long <= 1


@settings(max_examples=50, deadline=None)
@given(acts=st.tuples(acts_per_request, acts_per_request))
def test_more_activates_a_request_never_make_a_dram_faster(acts):
    few, many = (utilization(lpddr5(), Pattern("any", acts_per_request=a)) for a in sorted(acts))
    assert many <= few


def test_a_batch_gives_what_single_calls_give():
    specs = [lpddr5(), lpddr5(t_faw="40 ns"), lpddr5(t_rfc="1 us")]
    together, limits = bounds(specs, [STREAM, RANDOM])
    assert together.shape == limits.shape == (3, 2)
    for i, spec in enumerate(specs):
        assert together[i].tolist() == [utilization(spec, STREAM), utilization(spec, RANDOM)]
