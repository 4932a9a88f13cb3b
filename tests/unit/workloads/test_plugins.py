from __future__ import annotations

import pytest

from workloads import plugins
from workloads.errors import ScheduleError, SpecError
from workloads.plugins import Classes, load_entry_points


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


def registry(built_in=(), group="", error=SpecError):
    return Classes("device kind", "kind", built_in, group, error)


def test_a_name_belongs_to_one_class():
    kinds = registry()
    kinds.register("npu")(kind("Npu"))
    with pytest.raises(SpecError, match="device kind 'npu' is registered twice, by here and by there; rename one"):
        kinds.register("npu")(kind("Npu", "there"))
    with pytest.raises(SpecError):
        kinds.register("npu")(kind("Other"))


def test_a_class_imported_again_replaces_itself_and_takes_its_name():
    kinds = registry()
    for cls in (kind("Npu"), kind("Npu")):
        assert kinds.register("npu")(cls) is cls
        assert kinds["npu"] is cls
        assert cls.kind == "npu"


def test_an_unknown_name_is_answered_with_the_nearest():
    kinds = registry(error=ScheduleError)
    kinds.register("npu")(kind("Npu"))
    assert kinds.find("npu") is kinds["npu"]
    with pytest.raises(ScheduleError, match=r"device kind 'npv' is not known; did you mean 'npu'\?"):
        kinds.find("npv")


def test_what_registers_is_imported_once_and_at_the_first_look_up(monkeypatch):
    imported = []
    monkeypatch.setattr(plugins, "import_module", imported.append)
    monkeypatch.setattr(plugins, "load_entry_points", lambda group, error: imported.append(group))
    kinds = registry(["a.b", "a.c"], "cosim.devices")
    assert imported == []
    assert kinds.loaded() == kinds.loaded() == {}
    assert imported == ["a.b", "a.c", "cosim.devices"]


def test_entry_points_come_with_what_messages_call_them(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [Point(7)])
    assert load_entry_points("cosim.devices", SpecError) == [("entry point 'fast' of group cosim.devices (acme:Fast)", 7)]


@pytest.mark.parametrize("cause", [ImportError("no module acme"), AttributeError("no Fast")])
def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch, cause):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [Point(cause)])
    with pytest.raises(SpecError, match=rf"entry point 'fast' of group cosim.devices \(acme:Fast\) cannot be loaded: {cause}"):
        load_entry_points("cosim.devices", SpecError)
