"""Numbers of compression that goals are judged by."""

from __future__ import annotations

from cosim.validation.accuracy_goals import GOALS
from cosim.validation.compress_goals import NUMBERS

SUMMARY = {
    "weights_pruned": 0.952,
    "mean_bits_remaining": 2.0,
    "drop": 0.4,
    "ratio": 5.1,
    "baseline": {"ratio_to_ours": 1.6},
    "hypervolume": {"ours": {"mean": 0.8}, "baseline": {"mean": 0.7}},
}


def test_each_number_is_that_of_the_summary():
    found = {name: number(SUMMARY) for name, (_, _, _, number) in NUMBERS.items()}
    assert round(found["compress_pruned"], 9) == 95.2
    assert found["compress_drop"] == 0.4
    assert found["compress_energy"] == 5.1
    assert found["compress_baseline"] == 1.6
    assert abs(found["compress_hypervolume"] - 0.1) < 1e-12


def test_a_drop_and_bits_have_a_most_the_rest_a_least():
    assert {name for name in NUMBERS if GOALS[name].at_most} == {"compress_bits", "compress_drop"}
