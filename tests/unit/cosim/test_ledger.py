"""Rows, their sums and the groups that a comparison shows."""

import pytest

from cosim.ledger import COLUMNS, GROUPS, Row, energy_by, group_of, to_frame, total_energy_j


def row(device="npu", component="mac", category="compute", energy_j=1.0, op="conv1"):
    return Row(0, op, device, component, category, "simpy", 0.0, 1e-3, energy_j, 10.0, 5, False)


OFF_CHIP = {"dram": True, "shared": False}


def test_the_columns_are_those_of_the_design():
    assert COLUMNS == (
        "inference", "op", "device", "component", "category", "fidelity",
        "start_s", "end_s", "energy_j", "n_bytes", "n_macs", "assumed",
    )  # fmt: skip


def test_a_frame_keeps_rows_columns_and_sums():
    rows = [row(), row(component="buffer", category="memory", energy_j=2.5)]
    frame = to_frame(rows)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["energy_j"].sum() == total_energy_j(rows) == 3.5
    assert frame.groupby("component")["energy_j"].sum().to_dict() == {"mac": 1.0, "buffer": 2.5}


def test_an_empty_ledger_still_has_its_columns():
    assert list(to_frame([]).columns) == list(COLUMNS)


def test_groups_are_sorted_by_energy_then_name():
    rows = [row(energy_j=1.0), row(component="b", energy_j=3.0), row(component="a", energy_j=3.0)]
    assert list(energy_by(rows, "device", "component")) == ["npu.a", "npu.b", "npu.mac"]


@pytest.mark.parametrize(
    ("device", "component", "category", "group"),
    [
        ("dram", "read", "memory", "DRAM and weight store"),
        ("shared", "read", "memory", "on-chip memory"),
        ("npu", "buffer", "memory", "on-chip memory"),
        ("cim", "adc", "convert", "conversion"),
        ("cim", "cell", "compute", "compute"),
        ("link cim", "transfer", "link", "links"),
        ("cim", "program", "memory", "programming"),
        ("cpu", "idle", "idle", "leakage and idle"),
        ("dram", "refresh", "static", "memory standby"),
        ("shared", "leakage", "static", "memory standby"),
    ],
)
def test_every_row_falls_into_one_bar(device, component, category, group):
    assert group_of(row(device, component, category), OFF_CHIP) == group
    assert group in GROUPS
