"""What must hold for every memory: parts of the catalog, and memories as the chips configure them."""

from __future__ import annotations

import pytest

from cosim.testing import check_memory
from hw_models.catalog import build_part_memory, list_chips, list_parts, load_chip
from hw_models.memory.registry import memory_kinds

PARTS = [name for name in list_parts() if name.split("/")[0] in memory_kinds()]
ON_CHIPS = {f"{chip}:{name}": memory for chip in list_chips() for name, memory in load_chip(chip).memories.items()}


@pytest.mark.parametrize("name", PARTS)
def test_a_memory_part_obeys_the_laws(name):
    memory = build_part_memory(name)
    assert memory.kind == name.split("/")[0]
    check_memory(memory)


@pytest.mark.parametrize("memory", ON_CHIPS.values(), ids=ON_CHIPS)
def test_a_memory_of_a_chip_obeys_the_laws(memory):
    check_memory(memory)


def test_every_memory_kind_is_checked():
    checked = {build_part_memory(name).kind for name in PARTS} | {memory.kind for memory in ON_CHIPS.values()}
    assert checked == set(memory_kinds())
