"""Accuracy beside energy: what is kept of an answer, how it is printed, and what is refused before anything runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cosim.cli import accuracy_beside
from cosim.cli.accuracy_beside import accuracy_lines, brief, judge_of
from workloads.errors import CosimError, WorkloadError

SUMMARY = {
    "data": "few",
    "split": {"n_test": 40},
    "accuracy": {"mean": 91.234, "std": 0.567, "per_seed": [91.0]},
    "control": {"mean": 95.5},
    "float": {"mean": 100.0},
    "drop_points": 4.266,
    "weight_bits": 8,
    "activation_bits": 6,
    "path": "exact",
    "loss_by_cause": {"read": 1.0},
    "warnings": [{"parameter": "adc.n_bits", "loss_points": 3.25, "advice": "more bits"}],
    "notes": ["no energy"],
    "provenance": {"cosim": "0"},
    "ece": 0.1,
}


def test_what_stands_beside_a_run_is_the_score_and_what_it_is_compared_with():
    found = brief(SimpleNamespace(summary=lambda: SUMMARY))
    assert (found["mean"], found["std"], found["per_seed"]) == (91.234, 0.567, [91.0])
    assert {key: found[key] for key in ("control", "float", "weight_bits", "loss_by_cause")} == {
        key: SUMMARY[key] for key in ("control", "float", "weight_bits", "loss_by_cause")
    }
    assert not {"provenance", "ece", "accuracy"} & set(found)


def test_a_line_a_chip_with_its_warnings_and_notes_below_it():
    one = brief(SimpleNamespace(summary=lambda: SUMMARY))
    text = accuracy_lines({"chip_a": one, "chip_b": {**one, "mean": 7.0, "warnings": [], "notes": []}})
    assert text == [
        "Accuracy on few (40 test inputs)",
        "                                 on the chip   digital     float",
        "  chip_a                      91.23 ± 0.57 %   95.50 %  100.00 %",
        "  warning: adc.n_bits costs 3.2 points: more bits",
        "  note: no energy",
        "  chip_b                       7.00 ± 0.57 %   95.50 %  100.00 %",
    ]
    assert len({len(text[i]) for i in (1, 2, 5)}) == 1  # columns stand below their heads


def test_nothing_is_judged_where_nothing_was_asked():
    assert judge_of("no such network", None, 8, 8, 0) is None


def test_a_workload_without_weights_is_refused_with_the_option_in_front():
    with pytest.raises(CosimError, match=r"^--accuracy digits8x8: network 'nothing' is neither"):
        judge_of("nothing", "digits8x8", 8, 8, 0)


def test_data_are_read_and_fitted_before_anything_is_simulated():
    with pytest.raises(WorkloadError, match="data 'digits8x9'"):
        judge_of("mlp_digits", "digits8x9", 8, 8, 0)
    with pytest.raises(WorkloadError, match=r"mlp_mnist takes inputs of shape \[784\]; digits8x8 has"):
        judge_of("mlp_mnist", "digits8x8", 8, 8, 0)


def test_a_judge_asks_for_three_chips_from_the_seed_with_the_bits_of_the_run(monkeypatch):
    questions = []
    monkeypatch.setattr(accuracy_beside, "asked", lambda question: questions.append(question) or SimpleNamespace(summary=lambda: SUMMARY))
    judge = judge_of("mlp_digits", "digits8x8", 4, 6, 5)
    assert judge("edge_npu_soc")["mean"] == 91.234
    (question,) = questions
    assert (question.seeds, question.weight_bits, question.activation_bits) == ((5, 6, 7), 4, 6)
    assert (question.source, question.chip, question.data.name) == ("mlp_digits", "edge_npu_soc", "digits8x8")
    assert question.hardware.is_ideal
