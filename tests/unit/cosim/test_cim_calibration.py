"""The fit on made-up macros whose truth is known, the regression it is held against, and the scores."""

from __future__ import annotations

from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cosim.calibration.cim import KINDS, PREFIXES, Sample, energy_sample, fit, latency_sample, leave_one_out, ln_energy, ln_pass_j, space
from cosim.calibration.cim_baseline import features, fit_baseline, leave_one_out_baseline
from cosim.calibration.cim_table import read_rows
from cosim.cli import cli
from cosim.validation.cim_area import AreaRow, area_rows, fit_area, ln_cell
from cosim.validation.cim_score import bootstrap, factors, score
from hw_models.cim.calibrated import FITTED, read_priors
from hw_models.cim.pass_inputs import PassInput, as_array

PRIORS = np.array([prior.value for prior in read_priors()])
NAMES = [prior.name for prior in read_priors()]


def made_up(n_papers: int, constants: np.ndarray, offset: dict[int, float] | None = None) -> Sample:
    """Digital macros of all sizes with the energies that given constants say, some papers off by an offset in ln."""
    inputs = [
        PassInput(
            kind="digital",
            node_m=28e-9,
            supply_v=0.6 + 0.05 * (i % 8),
            n=2.0 ** (3 + i % 6),
            input_bits=1 + i % 4,
            weight_bits=4,
            way="tree",
        )
        for i in range(n_papers)
    ]
    array = as_array(inputs)
    moved = np.array([(offset or {}).get(i, 0.0) for i in range(n_papers)])
    return Sample(
        array, ln_energy(array, constants) + moved, tuple(f"p{i}" for i in range(n_papers)), tuple(range(n_papers)), (0,) * n_papers
    )


def test_energy_of_a_pass_follows_from_its_efficiency() -> None:
    """100 one-bit TOPS/W on 64 products: 128 operations cost 1.28 pJ."""
    one = PassInput(kind="sram", node_m=28e-9, supply_v=1, n=64, input_bits=1, weight_bits=1)
    assert exp(ln_pass_j(one, 100)) == pytest.approx(1.28e-12)


def test_without_rows_the_priors_stay() -> None:
    where = space("digital", PRIORS)
    assert where.constants(np.zeros(len(where.index))) == pytest.approx(PRIORS)


def test_a_constant_moves_by_its_own_law() -> None:
    where = space("digital", PRIORS)
    moved = where.constants(np.ones(len(where.index)))
    for place in where.index:
        prior = read_priors()[place]
        expected = prior.value * exp(prior.sd) if prior.law == "log" else prior.value + prior.sd
        assert moved[place] == pytest.approx(expected)


def test_every_constant_belongs_to_one_fit_or_is_kept() -> None:
    owners = [sum(name.startswith(PREFIXES[kind]) for kind in PREFIXES) for name in NAMES]
    assert [name for name, count in zip(NAMES, owners, strict=True) if count != 1] == ["adc_unit_cap", "fixed_bits"]


def test_the_fit_finds_the_constants_that_made_the_data() -> None:
    truth = PRIORS.copy()
    truth[NAMES.index("d_adder")] *= 3
    where = space("digital", PRIORS)
    sample = made_up(48, truth)
    found = where.constants(fit(sample, where, ln_energy))
    assert np.abs(ln_energy(sample.inputs, found) - sample.ln_target).max() < 0.1


def test_one_paper_far_from_all_others_hardly_moves_the_fit() -> None:
    where = space("digital", PRIORS)
    clean, dirty = made_up(24, PRIORS), made_up(24, PRIORS, {3: 4.0})
    a, b = (where.constants(fit(sample, where, ln_energy)) for sample in (clean, dirty))
    assert np.abs(ln_energy(clean.inputs, a) - ln_energy(clean.inputs, b)).max() < 0.05


def test_leaving_a_paper_out_shows_its_whole_offset() -> None:
    where = space("digital", PRIORS)
    sample = made_up(24, PRIORS, {3: 1.0})
    errors = leave_one_out(sample, where, ln_energy, np.zeros(len(where.index)))
    assert errors[3] == pytest.approx(-1.0, abs=0.05)
    assert np.abs(np.delete(errors, 3)).max() < 0.1


def test_samples_hold_judged_rows_only_and_hide_their_target() -> None:
    rows = read_rows()
    for kind in KINDS:
        sample = energy_sample(rows, kind)
        assert len(sample.paper) == len(sample.row) == len(sample.inputs) > 0
        assert all(rows[i].text("status").startswith("silicon") for i in sample.row)
        assert sample.weights.sum() == pytest.approx(len(set(sample.paper)))
    times = latency_sample(rows)
    assert (times.inputs[:, -1] == 0).all()


def test_the_regression_finds_a_power_law() -> None:
    sample = made_up(40, PRIORS)
    x = features(sample.inputs)
    ln_y = 2.0 + 1.5 * x[:, 1] - 0.5 * x[:, 2]
    predicted = fit_baseline(sample, ln_y)(sample.inputs)
    assert np.abs(predicted - ln_y).max() < 0.1
    assert np.abs(leave_one_out_baseline(sample, ln_y)).max() < 0.15


def test_scores_of_errors_by_hand() -> None:
    found = factors(np.array([0.0, log(2), log(4)]))
    assert found["median_factor"] == pytest.approx(2)
    assert found["geomean_factor"] == pytest.approx(2)
    assert found["p90_factor"] == pytest.approx(exp(np.quantile([0, log(2), log(4)], 0.9)))
    assert score(np.array([]), np.array([]), []) == {"n_papers": 0, "n_predicted": 0}


def test_bootstrap_intervals_hold_the_estimate_and_repeat() -> None:
    scores = np.linspace(0, 1, 20)
    covered = np.array([0.0, 1.0] * 10)
    found = bootstrap(scores, covered)
    assert found["median_factor"][0] < exp(0.5) < found["median_factor"][1]
    assert found == bootstrap(scores, covered)
    assert 0 <= found["coverage_90"][0] <= 0.5 <= found["coverage_90"][1] <= 1


def test_area_of_cells_is_fitted_by_kind_and_node() -> None:
    rows = [
        AreaRow(i, f"p{i}", kind, ln_node, False, log(2.0) + 1.6 * ln_node)
        for i, (kind, ln_node) in enumerate([("sram", 0.0), ("sram", 0.8)] * 20)
    ]
    fitted = fit_area(rows)
    assert exp(ln_cell(rows[0], fitted)) == pytest.approx(2.0, rel=0.05)
    assert fitted[3] == pytest.approx(1.6, abs=0.05)
    assert {row.kind for row in area_rows(read_rows(), "density_1b_TOPS_per_mm2")} == set(KINDS)


def test_the_command_writes_the_shipped_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "cim.csv"
    found = CliRunner().invoke(cli, ["calibrate", "cim", "--output", str(target)])
    assert found.exit_code == 0, found.output
    assert target.read_bytes() == FITTED.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["cim.csv"]
