"""The page of an accuracy: what stands on it is what was found."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.training.assess import Question, assess
from cosim.training.data import load_data
from cosim.training.hardware_choice import chosen
from cosim.training.network_file import load_any
from reports.accuracy import NAMES, accuracy_page, charts, time_lines


@pytest.fixture(scope="module")
def answer():
    hardware = chosen("edge_cim_soc", "pcm_like", t_s=3600.0)
    return assess(Question("mlp_digits", load_any("mlp_digits"), load_data("digits8x8"), "edge_cim_soc", hardware, seeds=(0,), n_draws=1))


def test_every_loss_and_headline_stands_on_the_page_exactly(answer):
    page = accuracy_page(answer)
    for loss in answer.losses:
        assert f'data-key="{loss.cause}" data-value="{loss.points}"' in page
        assert NAMES[loss.cause] in page
    for key, value in (("accuracy", answer.result.accuracy.mean), ("control", answer.result.control.mean), ("energy_j", answer.energy_j)):
        assert f'data-metric="{key}" data-value="{value}"' in page
    assert "<script src" not in page


def test_charts_are_those_that_have_something_to_show(answer):
    names = [chart.name for chart in charts(answer)]
    assert names == ["loss", "time", "coverage", "reliability", "fallback"]


def test_lines_over_time_are_shares_with_the_uncompensated_one_as_control(answer):
    with_, without = time_lines(answer.times)
    assert np.asarray(with_.x).tolist() == [1.0, 60.0, 3600.0]
    assert np.asarray(with_.y)[-1] == pytest.approx(answer.times[-1]["compensated"]["mean"] / 100)
    assert (with_.control, without.control) == (False, True)
