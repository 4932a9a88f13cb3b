"""What must hold for every device part of the catalog; devices as chips configure them are checked with their chip."""

from __future__ import annotations

import pytest

from cosim.testing import check_device
from hw_models.catalog import build_part_device, list_parts, resolve_part
from hw_models.memory.registry import memory_kinds
from hw_models.registry import device_kinds

# Folders of parts that are no device or memory by themselves: they go into one.
PIECES = {"cell", "converter", "noise"}
PARTS = [name for name in list_parts() if name.split("/")[0] in device_kinds()]


@pytest.mark.parametrize("name", PARTS)
def test_a_device_part_obeys_the_laws(name):
    device = build_part_device(name)
    assert device.kind == name.split("/")[0]
    check_device(type(device), device.spec)


@pytest.mark.parametrize("kind", device_kinds())
def test_parts_of_one_kind_obey_the_laws_in_one_batch(kind):
    """A sweep mixes specs that differ in everything, not in a clock alone."""
    specs = [build_part_device(name).spec for name in PARTS if name.split("/")[0] == kind]
    assert specs, f"kind {kind} has no part in hw_models/parts/{kind}"
    check_device(device_kinds()[kind], *specs)


def test_every_folder_of_parts_is_checked_by_something():
    folders = {name.split("/")[0] for name in list_parts()}
    assert folders <= set(device_kinds()) | set(memory_kinds()) | PIECES


@pytest.mark.parametrize("name", PARTS)
def test_a_device_part_names_what_it_is(name):
    data = resolve_part(name).data
    assert data["title"]
    assert build_part_device(name).name == name.split("/")[1]
