"""Every number of every shipped chip and part is sourced or declared assumed."""

import pytest

from hw_models.catalog import list_chips, list_parts, resolve_chip, resolve_part, unsourced_numbers


@pytest.mark.parametrize("name", list_chips())
def test_every_number_of_a_chip_is_sourced_or_assumed(name):
    assert unsourced_numbers(resolve_chip(name).data) == []


@pytest.mark.parametrize("name", list_parts())
def test_every_number_of_a_part_is_sourced_or_assumed(name):
    assert unsourced_numbers(resolve_part(name).data) == []


def test_a_bare_number_is_found():
    data = {"node": "22 nm", "n_cores": 4, "cell": {"area": "1 um2", "sources": {}}, "sources": {"node": "a paper"}}
    assert unsourced_numbers(data) == ["n_cores", "cell.area"]
