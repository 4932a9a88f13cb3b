"""Links: linear in bytes, and honest about what is guessed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hw_models.links import Link, LinkSpec

AXI = {"bandwidth": "16 GB/s", "latency": "20 ns", "energy": "0.4 pJ/bit", "length": "2 mm"}


def link(**changes: object) -> Link:
    return Link("npu", LinkSpec.model_validate(AXI | changes))


def test_energy_is_bytes_times_energy_per_byte():
    """0.4 pJ/bit is 0.2 pJ/bit/mm over 2 mm: 3.2 pJ a byte."""
    assert link().energy_j(1000.0) == pytest.approx(3.2e-9)
    assert link().energy_j(0.0) == 0.0


def test_rates_come_back_in_si():
    assert (link().bandwidth_bytes_per_s, link().latency_s, link().spec.length_m) == (16e9, 20e-9, 2e-3)
    assert LinkSpec.model_validate({key: AXI[key] for key in ("bandwidth", "latency", "energy")}).length_m is None


def test_an_assumed_energy_says_so_and_carries_a_spread():
    assert not link(sources={"energy": "x"}).assumed
    assert link(sources={"energy": "x"}).spreads == ()
    guess = link(assumed={"energy": "wire of 2 mm"}, ranges={"energy": 2.0})
    assert guess.assumed
    assert [(s.name, s.factor) for s in guess.spreads] == [("link.energy", 2.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bandwidth": "0 GB/s"}, "greater"), ({"latency": "-1 ns"}, "greater"), ({"energy": "1 pJ"}, "unit of J"), ({"width": 3}, "Extra")],
)
def test_links_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        link(**change)
