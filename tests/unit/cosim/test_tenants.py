"""Networks in one graph: nothing lost, nothing mixed up, equal ones only once."""

from __future__ import annotations

import dataclasses

import pytest

from cosim.simulation.tenants import merge, unique_names
from cosim.testing import check_workload
from workloads.errors import WorkloadError
from workloads.graph import Coverage


def test_one_network_stays_as_it_is(hand):
    net = hand.line(2, 3, 4)
    tenants = merge([net])
    assert tenants.workload is net
    assert tenants.first_op.tolist() == [0, 2]
    assert tenants.network_of == (0,)


def test_the_union_has_the_ops_tensors_and_work_of_all(hand):
    a, b = hand.line(2, 3, 4), dataclasses.replace(hand.line(5, 1), name="other", notes=("guessed",), source="paper")
    tenants = merge([a, b])
    whole = tenants.workload
    assert whole.name == "line + other"
    assert [op.name for op in whole.ops] == ["line/fc0", "line/fc1", "other/fc0"]
    assert whole.n_macs == a.n_macs + b.n_macs
    assert whole.n_params == a.n_params + b.n_params
    assert whole.weight_bytes == a.weight_bytes + b.weight_bytes
    assert len(whole.tensors) == len(a.tensors) + len(b.tensors)
    assert whole.notes == ("other: guessed",)
    assert whole.source == "paper"
    assert tenants.first_op.tolist() == [0, 2, 3]
    check_workload(whole)


def test_no_edge_leads_from_one_network_to_another(hand):
    tenants = merge([hand.line(2, 3, 4), hand.line(3, 4, 5), hand.line(2, 3)])
    owner = [sum(op >= first for first in tenants.first_op[1:-1]) for op in range(len(tenants.workload.ops))]
    assert owner == [0, 0, 1, 1, 2]
    assert [(owner[edge.src], owner[edge.dst]) for edge in tenants.workload.edges] == [(0, 0), (1, 1)]


def test_bits_and_coverage_go_to_all(hand):
    a = dataclasses.replace(hand.line(2, 3), coverage=Coverage({"Gemm": 1}, {"Pad": 2}, {}))
    b = dataclasses.replace(hand.line(3, 3), coverage=Coverage({"Gemm": 3}, {}, {"Cast": 1}))
    whole = merge([a, b]).workload.with_bits(4, 8)
    assert whole.weight_bytes == a.with_bits(4, 8).weight_bytes + b.with_bits(4, 8).weight_bytes
    assert whole.coverage == Coverage({"Gemm": 4}, {"Pad": 2}, {"Cast": 1})


def test_equal_networks_are_merged_and_namesakes_are_not(hand):
    tenants = merge([hand.line(2, 3), hand.line(4, 3), hand.line(2, 3)])
    assert tenants.network_of == (0, 1, 0)
    assert len(tenants.networks) == 2
    assert [op.name for op in tenants.workload.ops] == ["line/fc0", "line#2/fc0"]


def test_a_network_without_ops_is_refused(hand):
    empty = dataclasses.replace(hand.line(2, 3), ops=(), name="nothing")
    with pytest.raises(WorkloadError, match="nothing: no node does anything"):
        merge([hand.line(2, 3), empty])


def test_unique_names():
    assert unique_names(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]
    assert unique_names(["a", "a", "a#2"]) == ["a", "a#2", "a#2#2"]
