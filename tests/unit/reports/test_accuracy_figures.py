"""Figures of accuracy: what stands in them, what their titles say, and that any numbers can be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.uncertainty import Ensemble, fallback
from reports.accuracy_figures import (
    MAX_MARKS,
    Line,
    bits_chart,
    coverage_chart,
    fallback_chart,
    front_of_energy_chart,
    loss_chart,
    noise_chart,
    reliability_chart,
    time_chart,
    undominated,
)

SVG = "{http://www.w3.org/2000/svg}"
AWARE = Line("noise-aware", [0, 0.2, 0.3], [0.98, 0.97, 0.96], [0.001, 0.002, 0.003])
CONTROL = Line("control", [0, 0.2, 0.3], [0.98, 0.95, 0.90], [0.001, 0.002, 0.02], control=True)


def values(chart, metric):
    """Key → exact value of the marks of a metric."""
    rects = ET.fromstring(chart.svg).iter(f"{SVG}rect")
    return {rect.get("data-key"): float(rect.get("data-value")) for rect in rects if rect.get("data-metric") == metric}


def texts(chart):
    return [title.text for title in ET.fromstring(chart.svg).iter(f"{SVG}title")]


@pytest.fixture(scope="module")
def ensemble():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    return Ensemble.of_logits(2 * np.eye(4)[labels] + rng.normal(size=(4, 300, 4)), labels)


def test_accuracy_against_noise_has_each_point_and_compares_with_the_control():
    chart = noise_chart([AWARE, CONTROL])
    assert values(chart, "accuracy")["noise-aware|0.3"] == pytest.approx(0.96)
    assert len(values(chart, "accuracy")) == 6
    assert chart.title == "noise-aware: 96.0 % at noise 0.3, control: 90.0 %"
    assert "control, noise 0.3: 90.00 ± 2.00 %" in texts(chart)
    assert "one standard deviation" in chart.caption
    assert "control" in chart.caption
    assert [name for name, _ in chart.legend] == ["noise-aware", "control"]


def test_a_control_that_ends_elsewhere_is_not_compared():
    assert "control" not in noise_chart([AWARE, Line("control", [0, 0.2], [0.98, 0.95], control=True)]).title


def test_accuracy_against_bits_names_the_best_at_the_fewest():
    lines = [Line("calibrated", [1, 2, 3], [0.3, 0.8, 0.9]), Line("ADC-aware", [1, 2, 3], [0.77, 0.9, 0.92])]
    chart = bits_chart([*lines, Line("digital", [1, 3], [0.93, 0.93], control=True)])
    assert chart.title == "At 1 bit: ADC-aware 77.0 %; calibrated 30.0 %"
    assert values(chart, "accuracy")["ADC-aware|2"] == pytest.approx(0.9)
    assert "At 2 bits" in bits_chart([Line("a", [2], [0.5])]).title


def test_accuracy_against_time_words_its_ends():
    chart = time_chart([Line("compensated", [25, 86400, 86400 * 365], [0.97, 0.965, 0.96]), Line("not", [25, 86400 * 365], [0.97, 0.8])])
    assert chart.title == "From 25 s to 1 year: compensated 97.0 to 96.0 %, not 97.0 to 80.0 %"
    for tick in ("1 min", "1 day", "1 month"):
        assert tick in chart.svg
    assert chart.caption == ""


def test_coverage_ends_at_the_accuracy_of_all(ensemble):
    curve = ensemble.risk_coverage
    chart = coverage_chart([Line("4 passes", curve.coverage, 1 - curve.risk)])
    assert values(chart, "accuracy")["4 passes|100"] == pytest.approx(ensemble.accuracy)
    assert f"4 passes {100 * ensemble.accuracy_at_coverage(0.9):.1f} %" in chart.title
    assert len(texts(chart)) == MAX_MARKS


def test_reliability_shows_each_bin_that_holds_samples(ensemble):
    chart = reliability_chart(ensemble.bins(), ensemble.calibration_error())
    filled = [one for one in ensemble.bins() if one.n]
    assert list(values(chart, "bin_accuracy").values()) == [one.accuracy for one in filled]
    assert f"{100 * ensemble.calibration_error():.2f} points" in chart.title


@pytest.mark.parametrize(("accuracy", "words"), [(0.5, "too sure"), (1.0, "not sure enough")])
def test_reliability_says_on_which_side_it_errs(accuracy, words):
    assert words in reliability_chart([(0.7, 0.8, 10, 0.75, accuracy)], 0.25).title


def test_fallback_says_what_the_chosen_threshold_gives(ensemble):
    table = fallback(ensemble, ensemble.labels, 1e-9, 50e-9)
    chosen = ensemble.threshold_for(0.8)
    chart = fallback_chart(table.threshold, table.share_sent, table.accuracy, table.energy_per_sample_j, chosen)
    (at,) = np.flatnonzero(table.threshold == chosen)
    assert f"{100 * table.share_sent[at]:.1f} % sent" in chart.title
    assert "nJ a sample" in chart.title
    assert "Analog alone" in chart.caption
    assert "accuracy (%)" in chart.svg
    free = fallback_chart(table.threshold, table.share_sent, table.accuracy, table.energy_per_sample_j)
    assert free.title.startswith("100 % right")
    assert "chosen" not in free.caption


def test_losses_add_up_to_the_drop():
    losses = {"ADC clipping": 0.03, "programming": 0.02, "drift": -0.01}
    chart = loss_chart(0.98, losses, 0.94)
    assert values(chart, "loss") == losses
    assert values(chart, "accuracy") == {"digital": 0.98, "chip": 0.94}
    assert chart.title == "The chip loses 4.00 points; ADC clipping takes 3.00 points"
    assert "drift: 1.00 points gained" in texts(chart)


def test_what_no_cause_explains_is_named():
    assert values(loss_chart(0.98, {"drift": 0.01}, 0.94), "loss")["not attributed"] == pytest.approx(0.03)
    assert loss_chart(0.9, {}, 0.9).title == "The chip is as accurate as the digital network"
    assert "gains 1.00 points; drift gives 1.00 points" in loss_chart(0.9, {"drift": -0.01}, 0.91).title


def test_fronts_are_compared_at_the_bound():
    ours, baseline = [(1e-6, 0.95), (2e-6, 0.985), (4e-6, 0.98)], [(3e-6, 0.97), (6e-6, 0.99)]
    chart = front_of_energy_chart(ours, baseline, ("ours", "uniform"), bound=0.98)
    assert chart.title == "At 98.0 % or more, ours takes 2.00 µJ, uniform 3 times that"
    assert "ours: 4.00 µJ, 98.00 %" in texts(chart)
    assert "bound" in chart.svg
    assert "or more" not in front_of_energy_chart(ours, baseline, bound=0.999).title
    assert "or more" not in front_of_energy_chart(ours, baseline).title
    ET.fromstring(front_of_energy_chart(ours, []).svg)


def test_a_wide_front_is_logarithmic():
    ET.fromstring(front_of_energy_chart([(1e-9, 0.5), (1e-6, 0.9)], [(1e-7, 0.6)]).svg)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_a_front_is_what_nothing_beats(points):
    front = undominated(points)
    assert front == sorted(set(front))
    for energy_j, accuracy in points:
        assert any(e <= energy_j and a >= accuracy for e, a in front)
    for one in front:
        assert not any(other != one and other[0] <= one[0] and other[1] >= one[1] for other in points)


@pytest.mark.parametrize("accuracies", [[0.0], [1.0, 1.0], [0.1, 0.9, 0.2]])
def test_any_accuracy_can_be_drawn(accuracies):
    line = Line("a <b> & c", np.arange(1, len(accuracies) + 1), accuracies, [0.05] * len(accuracies))
    for chart in (noise_chart([line]), bits_chart([line]), time_chart([line]), coverage_chart([line])):
        ET.fromstring(chart.svg)
    first, *rest = accuracies
    ET.fromstring(loss_chart(first, {f"cause {i}": loss for i, loss in enumerate(rest)}, first / 2).svg)
