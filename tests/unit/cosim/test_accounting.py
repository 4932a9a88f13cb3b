"""A whole ledger worked out on paper: a product on one device, its activation on another, one memory, two links."""

from __future__ import annotations

import pytest

from cosim.ledger import energy_by, total_energy_j
from cosim.simulation.accounting import Account
from cosim.simulation.joules import standby
from hw_models.cost import Spread
from workloads.builder import GraphBuilder
from workloads.graph import OpKind

# 4 -> 3 is 12 MACs and 12 weights on the npu in 0.5 + 12 s; the Relu of 3 elements takes the cpu 3 s.
DEVICES = {
    "cpu": {"vector_s": 1.0, "wire_j": 0.5, "idle_w": 1.0, "kinds": (OpKind.ELEMENTWISE,)},
    "npu": {"mac_s": 1.0, "mac_j": 2.0, "launch_s": 0.5, "vector_s": 0.0, "kinds": (OpKind.MATMUL,)},
}


@pytest.fixture
def made(hand):
    dram = hand.store("dram", bandwidth=4, read=1.0, write=2.0, leakage=0.25, assumed={"write": "a guess"}, ranges={"read": 1.5})
    links = {"cpu": hand.link(2, 2, 0.2), "npu": hand.link(8, 1, 0.1, assumed={"energy": "wire"})}
    return hand.chip(DEVICES, dram, links=links)


@pytest.fixture
def net():
    build = GraphBuilder("net")
    y = build.linear(build.input("x", 1, 4), 3, bias=False, name="fc")
    return build.build(build.elementwise("Relu", y, name="relu"))


@pytest.fixture(params=["none", "fair"])
def stages(hand, made, net, request):
    """With and without contention: nothing runs at the same time, so that both give the same."""
    return hand.stages(made, net, mode=request.param)


def rows_of(stages, device, component):
    return [row for row in stages.book.rows if (row.device, row.component) == (device, component)]


def test_times_are_those_of_the_paper(stages):
    # The result crosses in 1 + 2 s of latency and 3 bytes at the 2 bytes/s of the slower link.
    assert stages.playback.start_s.tolist() == pytest.approx([0, 17])
    assert stages.playback.end_s.tolist() == pytest.approx([12.5, 20])
    assert stages.playback.edge_end_s.tolist() == pytest.approx([17])


def test_every_row_is_that_of_the_paper(stages):
    found = [(row.op, row.device, row.component, row.category, row.energy_j, row.n_bytes, row.n_macs) for row in stages.book.rows]
    assert [row[:4] for row in found] == [
        ("fc", "npu", "mac", "compute"),
        ("fc", "dram", "read", "memory"),
        ("fc", "dram", "write", "memory"),
        ("fc", "link npu", "transfer", "link"),
        ("relu", "cpu", "wire", "link"),
        ("relu", "dram", "read", "memory"),
        ("relu", "dram", "write", "memory"),
        ("relu", "link cpu", "transfer", "link"),
        ("relu", "dram", "read", "memory"),
        ("relu", "link cpu", "transfer", "link"),
        ("", "cpu", "idle", "idle"),
        ("", "dram", "leakage", "static"),
    ]
    assert [row[4:] for row in found] == [
        (24.0, 0.0, 12),  # 12 MACs of 2 J
        (16.0, 19.0, 0),  # 12 weights and 4 inputs read at 1 J; all 19 bytes stand here
        (6.0, 0.0, 0),  # 3 results written at 2 J
        (pytest.approx(1.9), 19.0, 0),
        (1.5, 0.0, 0),  # 3 input bytes of half a joule inside the cpu
        (0.0, 3.0, 0),  # 3 bytes, all written
        (6.0, 0.0, 0),
        (pytest.approx(0.6), 3.0, 0),
        (3.0, 3.0, 0),  # the crossing: read once, by its transfer
        (pytest.approx(0.6), 3.0, 0),
        (20.0, 0.0, 0),  # 1 W for 20 s
        (5.0, 0.0, 0),
    ]
    assert total_energy_j(stages.book.rows) == pytest.approx(84.6)


def test_rows_stand_when_they_happen(stages):
    spans = {(row.op, row.device, row.n_bytes): (row.start_s, row.end_s) for row in stages.book.rows}
    assert spans["fc", "npu", 0.0] == pytest.approx((0, 12.5))
    assert [(row.start_s, row.end_s) for row in rows_of(stages, "link cpu", "transfer")] == [
        pytest.approx((17, 20)),
        pytest.approx((12.5, 17)),
    ]
    assert spans["", "cpu", 0.0] == pytest.approx((0, 20))


def test_rows_know_what_they_rest_on(stages):
    assert {row.component for row in stages.book.rows if row.device == "dram" and row.assumed} == {"write"}
    assert all(row.assumed for row in rows_of(stages, "link npu", "transfer"))
    assert not any(row.assumed for row in rows_of(stages, "link cpu", "transfer"))
    spreads = stages.book.spreads
    assert spreads["npu", "mac"] == (Spread("abacus.mac", 2.0),)
    assert [(s.name, s.factor) for s in spreads["dram", "read"]] == [("flash.read", 1.5)]
    assert [(s.name, s.factor) for s in spreads["cpu", "idle"]] == [("cpu.idle", 3.0)]
    assert [(s.name, s.factor) for s in spreads["link npu", "transfer"]] == [("link.energy", 1.5)]


def test_standing_power_is_listed_by_owner(made):
    assert [(owner, watts, category) for owner, watts, category, *_ in standby(made)] == [
        (("cpu", "idle"), 1.0, "idle"),
        (("npu", "idle"), 0.0, "idle"),
        (("dram", "leakage"), 0.25, "static"),
    ]


def test_nothing_is_written_of_what_spends_moves_and_computes_nothing():
    book = Account("mapped")
    book.charge("cpu", "idle", "idle", 0.0, (0.0, 1.0))
    assert book.rows == []
    assert book.spreads == {}
    book.charge("cpu", "mac", "compute", 0.0, (0.0, 1.0), op="fc", n_macs=5)
    assert [(row.n_macs, row.fidelity) for row in book.rows] == [(5, "mapped")]


def test_macs_that_take_no_energy_are_counted(hand, net):
    free = hand.chip({"cpu": {"mac_j": 0.0}})
    book = hand.stages(free, net).book
    assert sum(row.n_macs for row in book.rows) == 12


def test_two_memories_are_charged_for_their_own_bytes(hand):
    shared = hand.store("shared", 3, read=0.125, write=0.25)
    made = hand.chip({"cpu": {}}, hand.store("dram", read=1.0, write=2.0), shared=shared)
    by_owner = energy_by(hand.stages(made, hand.line(4, 3, 2)).book.rows, "device", "component")
    # dram: 12 + 4 + 6 bytes read, 2 written; shared: 3 written and read
    assert by_owner["dram.read"] == 22
    assert by_owner["dram.write"] == 4
    assert by_owner["shared.write"] == 0.75
    assert by_owner["shared.read"] == 0.375


def test_weights_that_stay_in_arrays_cost_no_fetch_and_no_writing(hand):
    cim = {"mac_j": 1.0, "n_arrays": 9, "per_array": 4, "write_j": 50.0}
    by_owner = energy_by(
        hand.stages(hand.chip({"cim": cim}, hand.store("dram", read=1.0)), hand.line(4, 3, 2)).book.rows, "device", "component"
    )
    assert by_owner["dram.read"] == 4 + 3
    assert "cim.program" not in by_owner


def test_weights_that_are_rewritten_cost_fetch_and_writing(hand):
    """A cpu that works for nothing but slowly: keeping weights in arrays saves nothing, so each inference writes them."""
    cim = {"mac_s": 0.001, "mac_j": 1.0, "n_arrays": 9, "n_scratch": 3, "per_array": 4, "write_j": 50.0}
    made = hand.chip({"cpu": {"mac_j": 0.0, "mac_s": 9.0}, "cim": cim}, hand.store("dram", read=1.0))
    stages = hand.stages(made, hand.line(4, 3, 2))
    assert stages.plan.assignment.tolist() == [1, 1]
    assert [(row.op, row.energy_j, row.category) for row in rows_of(stages, "cim", "program")] == [
        ("fc0", 150.0, "memory"),
        ("fc1", 100.0, "memory"),
    ]
    assert energy_by(stages.book.rows, "device", "component")["dram.read"] == 16 + 9
