from __future__ import annotations

import pytest

from workloads import plugins
from workloads.errors import ScheduleError, SpecError
from workloads.plugins import load_entry_points, register_class


def kind(name: str, module: str = "here") -> type:
    return type(name, (), {"__module__": module, "__qualname__": name})


class Point:
    name, value = "fast", "acme:Fast"

    def __init__(self, given: object) -> None:
        self.given = given

    def load(self) -> object:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def test_a_name_belongs_to_one_class():
    registry: dict[str, type] = {}
    register_class(registry, "device kind", "npu", kind("Npu"), SpecError)
    with pytest.raises(SpecError, match="device kind 'npu' is registered twice, by here and by there; rename one"):
        register_class(registry, "device kind", "npu", kind("Npu", "there"), SpecError)
    with pytest.raises(ScheduleError):
        register_class(registry, "policy", "npu", kind("Other"), ScheduleError)


def test_a_class_imported_again_replaces_itself():
    registry: dict[str, type] = {}
    for cls in (kind("Npu"), kind("Npu")):
        register_class(registry, "device kind", "npu", cls, SpecError)
        assert registry["npu"] is cls


def test_entry_points_come_with_what_messages_call_them(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [Point(7)])
    assert load_entry_points("cosim.devices", SpecError) == [("entry point 'fast' of group cosim.devices (acme:Fast)", 7)]


@pytest.mark.parametrize("cause", [ImportError("no module acme"), AttributeError("no Fast")])
def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch, cause):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [Point(cause)])
    with pytest.raises(SpecError, match=rf"entry point 'fast' of group cosim.devices \(acme:Fast\) cannot be loaded: {cause}"):
        load_entry_points("cosim.devices", SpecError)
