from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosim.ledger import Row
from cosim.simulation.result import Result
from reports.latency import MAX_MARKS, by_device, by_limit, dots, limit_kind, roofline_chart, timeline_chart, traffic

Make = Callable[..., Result]


def test_devices_come_in_the_order_of_the_chip_with_their_busy_share(make_result: Make) -> None:
    devices = by_device(make_result(n_ops=4))
    assert [device.name for device in devices] == ["cim", "cpu"]
    assert [device.share for device in devices] == pytest.approx([0.75, 0.25])
    assert [device.n_ops for device in devices] == [3, 1]


def test_utilization_is_macs_done_over_macs_possible_while_busy(make_result: Make) -> None:
    """1e9 MACs in 1 ms on an array of 1e12 MACs/s: all of them."""
    cim, cpu = by_device(make_result())
    assert cim.utilization == pytest.approx(1.0)
    assert cpu.utilization == 0


def test_limits_share_the_busy_time(make_result: Make) -> None:
    limits = by_limit(make_result(n_ops=5))
    assert (limits[0].name, limits[0].device, limits[0].n_ops) == ("adc", "cim", 3)
    assert sum(limit.share for limit in limits) == pytest.approx(1)


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        ("dram: pin bandwidth", "memory"),
        ("shared: port", "memory"),
        ("link", "link"),
        ("launch", "launch"),
        ("adc", "compute"),
        ("a: b", "compute"),
    ],
)
def test_a_limit_is_classed_by_what_it_names(make_result: Make, limit: str, kind: str) -> None:
    assert limit_kind(limit, make_result()) == kind


def test_traffic_is_bytes_over_sustained_bandwidth(make_result: Make) -> None:
    """Each of two ops reads 0.5 MB in 1 ms from a memory of 1 GB/s: half of it for two thirds of the run."""
    result = make_result()
    assert traffic(result, result.chip.backing, 3) == pytest.approx([0.5, 0.5, 0.0])
    assert traffic(result, result.chip.backing, 2) == pytest.approx([0.5, 1 / 6])


def test_a_memory_that_moves_nothing_is_not_used(make_result: Make) -> None:
    result = make_result()
    assert result.chip.shared is not None
    assert not traffic(result, result.chip.shared).any()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(st.tuples(st.floats(0, 0.9), st.floats(0.01, 1), st.floats(1, 1e6)), min_size=1, max_size=20))
def test_traffic_keeps_every_byte(make_result: Make, spans: list[tuple[float, float, float]]) -> None:
    result = make_result()
    ends = [min(1.0, start + length) for start, length, _ in spans]
    rows = [
        Row(0, "op1", "dram", "read", "memory", "simpy", start * 3e-3, end * 3e-3, 1e-3, n_bytes, 0, False)
        for (start, _, n_bytes), end in zip(spans, ends, strict=True)
    ]
    used = traffic(replace(result, rows=tuple(rows)), result.chip.backing, 17)
    moved = used.sum() * 3e-3 / 17 * result.chip.backing.bandwidth_bytes_per_s
    assert moved == pytest.approx(sum(n_bytes for _, _, n_bytes in spans), rel=1e-9)
    assert (used >= -1e-9).all()


def test_the_timeline_has_a_lane_a_device_and_a_lane_a_memory_that_moves_bytes(make_result: Make) -> None:
    svg = timeline_chart(make_result()).svg
    assert "cim · 66.7 %" in svg
    assert "cpu · 33.3 %" in svg
    assert "dram · 33.3 %" in svg
    assert "shared ·" not in svg


def test_the_timeline_names_the_busiest_device(make_result: Make) -> None:
    assert timeline_chart(make_result()).title == "cim is busy 66.7 % of 3.00 ms"


def test_the_timeline_explains_only_colors_that_it_uses(make_result: Make) -> None:
    labels = [label for label, _ in timeline_chart(make_result()).legend]
    assert labels == ["limited by compute", "limited by memory", "limited by launch", "memory traffic"]


def test_an_op_of_the_timeline_tells_its_energy_and_limit(make_result: Make) -> None:
    titles = [title.text or "" for title in ET.fromstring(timeline_chart(make_result()).svg).iter("{http://www.w3.org/2000/svg}title")]
    assert '/a<b>&"c"/conv (Conv) on cim: 1.00 ms, limited by dram: pin bandwidth, 6.00 mJ' in titles


def test_a_timeline_of_400_ops_is_a_few_paths_and_below_300_kb(make_result: Make) -> None:
    svg = timeline_chart(make_result(n_ops=400)).svg
    assert len(svg) < 300_000
    assert svg.count("<path") < 60
    assert svg.count("<title>") == 400


def test_the_shortest_of_very_many_ops_go_without_a_pointer(make_result: Make) -> None:
    assert timeline_chart(make_result(n_ops=MAX_MARKS + 100)).svg.count("<title>") == MAX_MARKS


def test_a_dot_is_operations_per_byte_and_operations_a_second(make_result: Make) -> None:
    """1e9 MACs with 0.5 MB in 1 ms: 4000 operations a byte, 2e12 a second."""
    found = dots(make_result())
    assert [(dot.intensity_ops_per_byte, dot.rate_ops_per_s) for dot in found] == [pytest.approx((4000, 2e12))] * 2


def test_an_op_without_traffic_has_no_finite_intensity(make_result: Make) -> None:
    result = make_result()
    local = replace(result, ops=tuple(replace(op, memory_bytes=0.0) for op in result.ops))
    assert all(math.isinf(dot.intensity_ops_per_byte) for dot in dots(local))
    chart = roofline_chart(local)
    assert chart is not None
    assert "with no memory traffic" in chart.svg


def test_the_roofline_draws_every_ceiling(make_result: Make) -> None:
    chart = roofline_chart(make_result())
    assert chart is not None
    assert "cim 2.00 Top/s" in chart.svg
    assert "dram 1.00 GB/s" in chart.svg
    ET.fromstring(chart.svg)


def test_no_dot_lies_above_the_ceiling_of_its_device(make_result: Make) -> None:
    result = make_result()
    peaks = {device.name: 2 * device.peak_macs_per_s for device in by_device(result)}
    assert all(dot.rate_ops_per_s <= peaks[dot.op.device] * (1 + 1e-9) for dot in dots(result))


def test_the_roofline_says_how_near_the_peak_it_comes(make_result: Make) -> None:
    chart = roofline_chart(make_result())
    assert chart is not None
    assert chart.title == "cim reaches 2.00 Top/s on 2 MAC ops, 100 % of its peak"


def test_names_of_near_ceilings_do_not_lie_on_each_other(make_result: Make) -> None:
    result = make_result()
    result.chip.devices["cpu"].peak = 0.99e12  # type: ignore[attr-defined]
    chart = roofline_chart(result)
    assert chart is not None
    spots = {
        text.text: [float(value) for value in (text.get("x") or "0", text.get("y") or "0")]
        for text in ET.fromstring(chart.svg).iter("{http://www.w3.org/2000/svg}text")
        if text.text and "op/s" in text.text and text.text.startswith(("cim ", "cpu "))
    }
    assert len(spots) == 2
    (x0, y0), (x1, y1) = spots.values()
    assert abs(x0 - x1) > 60 or abs(y0 - y1) > 12


def test_a_network_without_products_has_no_roofline(make_result: Make) -> None:
    result = make_result()
    assert roofline_chart(replace(result, ops=tuple(replace(op, n_macs=0) for op in result.ops))) is None


def test_a_run_of_no_length_can_be_drawn(make_result: Make) -> None:
    result = make_result()
    instant = replace(result, latency=type(result.latency)(0.0), busy_s=dict.fromkeys(result.busy_s, 0.0))
    ET.fromstring(timeline_chart(instant).svg)
    assert np.array_equal(traffic(instant, result.chip.backing, 4), np.zeros(4))
