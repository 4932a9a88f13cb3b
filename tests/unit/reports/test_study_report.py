"""The page, text and table of studies made by hand: every number stands where it should, whatever is missing."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cosim.study.analysis import bias
from cosim.study.objectives import METRICS, read_bound, read_objective
from cosim.study.rules import Measured, condition
from cosim.study.scores import wanted_of
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from cosim.study.table import SearchTrace, StudyTable
from reports.study import column_of, level_word_of, points_csv, study_files, study_page, study_text
from reports.study_axes import effects_chart, pairs_chart, parallel_chart
from reports.study_figures import front_chart, importance_chart, ranking_chart, thinned
from reports.study_reasons import kept_out, reasons, where
from reports.study_search import bias_chart, progress_chart
from reports.study_text import alike_words, bias_words, findings, headline, importance_words
from reports.study_view import (
    View,
    assumed_shares,
    axis_words,
    ends_worded,
    level_word,
    point_words,
    shown_in,
    trial_objectives,
    views_of,
    worded,
)

AXES = (
    Axis("npu.rows", "ordinal", (16, 32, 64, 128)),
    Axis("npu.clock", "ordinal", ("400 MHz", "600 MHz", "800 MHz")),
    Axis("dram.part", "categorical", ("dram/a<b>", "dram/c")),
    Axis("adc", "categorical", (None, True)),
)
GRID = np.stack(np.unravel_index(np.arange(48), (4, 3, 2, 2)), axis=1).astype(np.int64)
# Energy falls with rows and clock, latency with the clock alone; the second DRAM costs energy and saves time.
ENERGY_J = 1e-3 * 0.8 ** GRID[:, 0] * 0.9 ** GRID[:, 1] * 1.5 ** GRID[:, 2]
LATENCY_S = 2e-3 / (4 + 2 * GRID[:, 1]) / 1.25 ** GRID[:, 2] * 1.01 ** GRID[:, 3]


def study_of(*objectives, bounds=(), space=None, name="by_hand"):
    return Study(
        name,
        "text",
        space or Space(AXES),
        ("chip",),
        (StudyWorkload("net", "net"),),
        tuple(map(read_objective, objectives)),
        tuple(map(read_bound, bounds)),
    )


def table_of(*objectives, codes=GRID, bounds=(), errors=None, width=1.2, space=None, trace=None, others=None, **more):
    """A table of the whole grid, energies and latencies within a factor `width`."""
    rows = [int(np.flatnonzero((row == GRID).all(axis=1))[0]) for row in codes]
    study = study_of(*(objectives or ("energy", "latency")), bounds=bounds, space=space)
    errors = [""] * len(rows) if errors is None else errors
    good = np.where([bool(error) for error in errors], np.nan, 1.0)
    energy, latency = ENERGY_J[rows] * good, LATENCY_S[rows] * good
    columns = {"energy_j": energy, "energy_low_j": energy / width, "energy_high_j": energy * width, "latency_s": latency}
    columns |= {"latency_low_s": latency, "latency_high_s": latency, "area_m2": 1e-6 * (1 + codes[:, 0]), "assumed_share": 0.25 * good}
    columns = {name: column[:, None] for name, column in (columns | more).items()}
    return StudyTable(study, study.space, wanted_of(study), "event", codes, columns, errors, trace, others)


def search_of(*objectives, order=None, fidelity=None, **more):
    order = np.arange(47, -1, -1) if order is None else np.array(order)
    fidelity = ["event"] * len(order) if fidelity is None else fidelity
    return table_of(*objectives, trace=SearchTrace("gp", 5, order, fidelity, np.cumsum(np.ones(len(order)))), **more)


@pytest.fixture
def table():
    return table_of()


@pytest.fixture(scope="module")
def sweep_page():
    return study_page(table_of())


class TestWords:
    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("energy", 1.23456e-3, "1.235 mJ"),
            ("latency", 2.5e-6, "2.500 µs"),
            ("edp", 3.2e-9, "3.200 nJ·s"),
            ("area", 1.234e-5, "12.3 mm²"),
            ("accuracy", 91.234, "91.23 %"),
            ("snr", 31.44, "31.4 dB"),
            ("resident", 0.5, "0.500"),
            ("energy", math.nan, "–"),
        ],
    )
    def test_a_value_has_its_unit(self, name, value, text):
        assert worded(METRICS[name], value) == text

    def test_an_interval_has_its_unit_and_may_be_missing(self):
        assert ends_worded(METRICS["energy"], 1e-3, 2e-3) == "1.00 mJ – 2.00 mJ"
        assert ends_worded(METRICS["accuracy"], 90.0, 91.0) == "90.00 % – 91.00 %"
        assert ends_worded(METRICS["energy"], math.nan, 1.0) == ""

    def test_units_of_figures(self):
        assert shown_in(METRICS["energy"], 2e-3) == (pytest.approx(1e3), "mJ")
        assert shown_in(METRICS["area"], 2e-5) == (1e6, "mm²")
        assert shown_in(METRICS["edp"], 2e-9) == (pytest.approx(1e9), "nJ·s")
        assert shown_in(METRICS["accuracy"], 95.0) == (1.0, "%")

    def test_a_unit_that_all_levels_share_goes_with_the_axis_and_a_shared_folder_goes_away(self):
        assert axis_words(AXES[1]) == ("npu.clock (MHz)", ["400", "600", "800"])
        assert axis_words(AXES[2]) == ("dram.part", ["a<b>", "c"])
        assert axis_words(AXES[3]) == ("adc", ["–", "true"])
        assert axis_words(Axis("size", "ordinal", ("512 KiB", "1 MiB")))[1] == ["512 KiB", "1 MiB"]
        assert axis_words(Axis("part", "categorical", ("a/x", "b/x")))[1] == ["a/x", "b/x"]

    def test_levels(self):
        assert [level_word(level) for level in (None, False, 0.5, 8, "ws")] == ["–", "false", "0.5", "8", "ws"]
        assert [level_word_of(level) for level in (None, True, 0.1, 8)] == ["", "true", "0.1", "8"]

    def test_a_point_leaves_its_inactive_axes_out(self, table):
        assert point_words(table, 0) == "npu.rows 16, npu.clock 400 MHz, dram.part a<b>"
        assert point_words(table, 1, [3, 0]) == "adc true, npu.rows 16"

    def test_columns_name_their_unit(self):
        assert [column_of(METRICS[name]) for name in ("energy", "edp", "area", "accuracy", "loss")] == [
            "energy_j", "edp_js", "area_m2", "accuracy_pct", "loss",
        ]  # fmt: skip
        assert column_of(METRICS["latency"], "_low") == "latency_low_s"


class TestView:
    def test_points_are_ranked_the_best_first(self, table):
        energy, latency = views_of(table)
        assert energy.best == int(np.argmin(ENERGY_J))
        assert (np.diff(ENERGY_J[energy.ranked]) >= 0).all()
        assert latency.best == int(np.argmin(LATENCY_S))
        assert energy.logarithmic

    def test_what_is_maximized_is_ranked_from_above(self):
        view = View(table_of("snr", min_snr_db=GRID[:, 0].astype(np.float64)), 0)
        assert GRID[view.best, 0] == 3
        assert not view.logarithmic
        assert view.ends is None

    def test_axes_come_by_their_importance_and_those_that_do_not_vary_are_left_out(self):
        view = View(table_of(codes=GRID[GRID[:, 3] == 1]), 0)
        assert [AXES[axis].name for axis in view.axes] == ["npu.rows", "dram.part", "npu.clock"]

    def test_points_are_alike_up_to_the_square_of_the_width(self, table):
        """Low ends E / 1.2 meet the high end 1.2 E_best where E ≤ 1.44 E_best."""
        view = View(table, 0)
        assert view.alike.tolist() == (1.44 * ENERGY_J.min() * (1 + 1e-12) >= ENERGY_J).tolist()
        assert view.settled[2] == 0
        assert view.settled[3] is None

    def test_without_width_there_is_no_interval(self, table):
        view = View(table, 1)
        assert (view.ends, view.alike, view.interval_words(0)) == (None, None, "")
        assert view.settled == [None] * 4

    def test_biases_are_those_of_fidelities_with_points_in_common(self):
        others = {"bound": {"energy_j": 0.5 * ENERGY_J[:, None]}, "mapped": {"energy_j": np.full((48, 1), np.nan)}}
        view = View(table_of("energy", others=others), 0)
        assert list(view.biases) == ["bound"]
        assert view.biases["bound"].mean == pytest.approx(math.log(0.5))

    def test_assumed_shares_are_weighted_and_may_not_be_known(self, table):
        assert assumed_shares(table) == pytest.approx(np.full(48, 0.25))
        columns = {name: column for name, column in table.columns.items() if name != "assumed_share"}
        bare = StudyTable(table.study, table.space, table.wanted, "event", GRID, columns, table.errors)
        assert np.isnan(assumed_shares(bare)).all()

    def test_trials_have_the_values_of_their_rows(self):
        found = trial_objectives(search_of("energy", order=[3, -1, 3], fidelity=["event", "bound", "event"]))
        assert found[:, 0] == pytest.approx([ENERGY_J[3], np.nan, ENERGY_J[3]], nan_ok=True)
        assert trial_objectives(table_of("energy")).shape == (0, 1)


class TestReasons:
    def test_errors_that_differ_in_numbers_are_one_reason_and_bounds_do_not_count_failed_points(self):
        errors = [f"op 'conv': {i} KiB do not fit" if row[0] == 3 else "" for i, row in enumerate(GRID)]
        found = reasons(table_of("energy", bounds=("latency <= 300 us", "latency <= 1 s"), errors=errors))
        assert [(one.kind, one.n) for one in found] == [("failed", 12), ("bound", 18)]
        assert found[0].text == "op 'conv': 36 KiB do not fit"
        assert found[0].where == "npu.rows = 128 (100 %)"
        assert (found[0].of, found[0].share) == (48, 0.25)
        # at 400 MHz 500 or 400 µs, at 600 MHz 333 and 267 µs: of the first 12 points of 16, the others have failed
        assert found[1].where == "npu.clock (MHz) = 400 (75.0 %)"

    def test_a_missing_value_without_an_error_is_a_reason_too(self):
        found = reasons(table_of("snr", min_snr_db=np.where(GRID[:, 1] == 0, np.nan, 20.0)))
        assert [(one.text, one.n, one.where) for one in found] == [
            ("no value of an objective or bound", 16, "npu.clock (MHz) = 400 (100 %)"),
        ]  # fmt: skip

    def test_nothing_out_has_no_reasons(self, table):
        assert reasons(table) == []
        assert where(table.space, GRID, np.zeros(48, dtype=bool)) == ""

    def test_constraints_are_counted_on_the_whole_grid_of_a_small_space(self):
        fits = Measured("fits", (0, 1), lambda codes: codes[:, 0] < 3)
        space = Space(AXES, (condition("npu.rows <= 96", AXES), fits, condition("npu.rows >= 16", AXES)))
        found = kept_out(space)
        assert [(one.text, one.n, one.of) for one in found] == [("npu.rows <= 96", 12, 48), ("fits", 12, 48), ("npu.rows >= 16", 0, 48)]
        assert found[1].where == "npu.rows = 128 (100 %)"
        assert kept_out(Space(AXES)) == []

    def test_of_a_large_grid_some_points_are_drawn(self):
        axes = tuple(Axis(f"a{i}", "ordinal", tuple(range(10))) for i in range(30))
        found = kept_out(Space(axes, (condition("a0 < 5", axes),)), n=400)
        assert found[0].of == 400
        assert found[0].share == pytest.approx(0.5, abs=0.1)


class TestText:
    def test_it_tells_the_best_the_front_and_what_matters(self, table):
        text = study_text(table)
        best = int(np.argmin(ENERGY_J))
        assert f"energy   {worded(METRICS['energy'], ENERGY_J[best])}" in text
        assert f"{len(table.scores.front)} points" in text
        assert "nearest to all the best" in text
        assert "Of the differences in energy, npu.rows" in text
        assert "25.0 % of the energy of the point of best energy rests on an assumed number" in text
        assert "Not feasible" not in text

    def test_one_objective_has_no_front(self):
        text = study_text(table_of("energy"))
        assert text.startswith(f"by_hand: best energy {worded(METRICS['energy'], ENERGY_J.min())} of 48 points")
        assert "Not beaten" not in text

    def test_a_long_front_is_told_in_part_with_the_middle(self):
        energy = np.arange(48.0) + 1
        table = table_of(energy_j=energy, latency_s=energy[::-1] ** 2)
        lines = study_text(table).splitlines()
        assert "Not beaten in all: 48 points, 1" in "\n".join(lines)
        assert sum("nearest to all the best" in line for line in lines) == 1

    def test_it_says_why_points_are_out(self):
        errors = [f"reason {'abcdefg'[i % 7]}" if i < 14 else "" for i in range(48)]
        text = study_text(table_of("energy", errors=errors))
        assert "Not feasible: 14 points of 48" in text
        assert "for 2 other reasons" in text

    def test_nothing_feasible_and_nothing_evaluated(self):
        none = table_of("energy", bounds=("latency <= 1 ns",))
        assert headline(none) == "none of 48 points is feasible"
        assert "48  100 %  latency <= 1.000 ns" in study_text(none)
        empty = table_of("energy", codes=GRID[:0])
        assert study_text(empty).startswith("by_hand: no point was evaluated at fidelity event")

    def test_the_sampler_is_named(self):
        assert "sampler gp, seed 5" in study_text(search_of("energy"))

    def test_a_best_that_is_apart_and_choices_that_hold(self):
        assert alike_words(View(table_of("energy", width=1.0001, codes=GRID[GRID[:, 3] == 0]), 0)) == (
            "The best energy is apart from all other points at 90 %."
        )
        told = alike_words(View(table_of("energy"), 0))
        assert "all of them have" in told
        assert "dram.part a<b>" in told
        wide = alike_words(View(table_of("energy", width=9.0), 0))
        assert wide == "The 90 % intervals of 48 of 48 feasible points meet that of the best energy; no choice is the same in all of them."
        assert alike_words(View(table_of("latency"), 0)) == "latency has no interval."

    def test_what_two_axes_make_together_is_told(self):
        xor = 1e-3 * (1 + (GRID[:, 2] ^ GRID[:, 3]))
        told = importance_words(View(table_of("energy", energy_j=xor), 0))
        assert "only two axes together" in told
        assert "npu.rows" not in told

    def test_bias_as_a_ratio_and_as_a_difference(self):
        view = View(table_of("energy"), 0)
        assert bias_words(view, "bound", bias(0.5 * ENERGY_J, ENERGY_J, logarithmic=True)).startswith(
            "bound gives 0.50 times the energy of event"
        )
        snr = View(table_of("snr", min_snr_db=np.full(48, 30.0)), 0)
        assert (
            bias_words(snr, "mapped", bias(np.full(48, 29.0), snr.values, logarithmic=False))
            == "mapped gives -1 dB (± 0) to snr, 48 points"
        )

    def test_findings_tell_the_bias(self):
        table = table_of("energy", others={"bound": {"energy_j": 0.5 * ENERGY_J[:, None]}})
        assert any(line.startswith("bound gives") for line in findings(table, views_of(table)))


class TestFigures:
    def test_every_point_of_the_front_can_be_pointed_at(self, table, read_page):
        first, second = views_of(table)
        page = read_page(front_chart(first, second).svg)
        assert page.values("front_energy") == {str(i): ENERGY_J[i] for i in table.scores.front.tolist()}

    def test_ranks_are_the_best_points(self, table, read_page):
        view = View(table, 0)
        chart = ranking_chart(view)
        assert read_page(chart.svg).values("rank_energy") == {str(i): ENERGY_J[i] for i in view.ranked[:20].tolist()}
        assert f"{int(view.alike.sum())} points" in chart.title

    def test_bars_are_the_shares(self, table, read_page):
        view = View(table, 0)
        found = read_page(importance_chart(view).svg).values("importance_energy")
        assert found == {AXES[axis].name: view.importance.total[axis] for axis in view.axes}

    def test_dots_are_the_means(self, table, read_page):
        found = read_page(effects_chart(View(table, 0)).svg).values("effect_energy")
        assert found["npu.rows|16"] == pytest.approx(np.exp(np.log(ENERGY_J[GRID[:, 0] == 0]).mean()))
        assert len(found) == 4 + 3 + 2 + 2
        assert "Mean energy by npu.rows" in effects_chart(View(table, 0)).title

    def test_cells_are_the_means_of_pairs(self, read_page):
        product = 1e-3 * (1 + GRID[:, 0] * GRID[:, 1])
        chart = pairs_chart(View(table_of("energy", energy_j=product), 0))
        found = read_page(chart.svg).values("pair_energy")
        assert found["npu.rows|128|npu.clock|800"] == pytest.approx(7e-3)
        assert chart.title.startswith("npu.rows and npu.clock together")

    def test_without_interactions_there_are_no_cells(self):
        flat = table_of("energy", energy_j=np.full(48, 1e-3))
        assert pairs_chart(View(flat, 0)) is None

    def test_the_best_line_is_the_best_point(self, table, read_page):
        chart = parallel_chart(table, views_of(table))
        best = int(np.argmin(ENERGY_J))
        assert read_page(chart.svg).values("parallel_best") == {str(best): ENERGY_J[best]}
        ET.fromstring(chart.svg)

    def test_nothing_feasible_draws_no_lines(self):
        none = table_of("energy", bounds=("latency <= 1 ns",))
        assert parallel_chart(none, views_of(none)) is None

    def test_best_so_far_falls_at_each_gain(self, read_page):
        table = search_of("energy", order=[5, 0, 40, 2])
        chart = progress_chart(table, View(table, 0))
        assert read_page(chart.svg).values("best_so_far") == {"1": ENERGY_J[5], "3": ENERGY_J[40]} | (
            {"2": ENERGY_J[0]} if ENERGY_J[0] < ENERGY_J[5] else {}
        )
        assert chart.title == f"{worded(METRICS['energy'], ENERGY_J[40])}, first seen at evaluation 3 of 4"

    def test_hypervolume_ends_at_that_of_the_front(self, read_page):
        from cosim.study.hypervolume import hypervolume

        table = search_of()
        found = read_page(progress_chart(table, View(table, 0)).svg).values("hypervolume")
        y = table.scores.minimized
        scaled = (y - y.min(axis=0)) / (y.max(axis=0) - y.min(axis=0))
        assert max(found.values()) == pytest.approx(hypervolume(scaled, np.ones(2)))

    def test_with_several_fidelities_progress_is_by_cost(self):
        table = search_of("energy", order=[-1, 3], fidelity=["bound", "event"])
        assert "at cost 2 of 2" in progress_chart(table, View(table, 0)).title

    def test_a_sweep_and_a_search_without_a_feasible_point_have_no_progress(self, table):
        assert progress_chart(table, View(table, 0)) is None
        lower = search_of("energy", order=[-1], fidelity=["bound"])
        assert progress_chart(lower, View(lower, 0)) is None

    @pytest.mark.parametrize("logarithmic", [True, False])
    def test_bias_is_drawn_in_percent_or_in_its_unit(self, read_page, logarithmic):
        view = View(table_of("energy"), 0)
        chart = bias_chart(view, "bound", bias(0.5 * ENERGY_J, ENERGY_J, logarithmic=logarithmic))
        found = read_page(chart.svg).values("bias_energy")
        assert found["0"] == pytest.approx(-50.0 if logarithmic else -0.5e-3)

    def test_thinning_keeps_both_ends(self):
        rows = thinned(np.arange(1000), 10)
        assert (rows.size, rows[0], rows[-1]) == (10, 0, 999)
        assert thinned(np.arange(3), 10).tolist() == [0, 1, 2]

    def test_values_far_apart_get_a_logarithmic_axis(self):
        chart = front_chart(*views_of(table_of(energy_j=10.0 ** np.linspace(-6, 0, 48), latency_s=10.0 ** -np.linspace(-6, 0, 48))))
        ET.fromstring(chart.svg)


class TestPage:
    def test_it_shows_the_exact_numbers(self, table, sweep_page, read_page):
        page = read_page(sweep_page)
        assert page.values("best") == {"energy": ENERGY_J.min(), "latency": LATENCY_S.min()}
        assert page.values("n_points")[""] == 48
        assert page.values("front_energy", {"td"}) == {str(i): ENERGY_J[i] for i in table.scores.front.tolist()}
        assert "a<b>" in page.text

    @pytest.mark.parametrize(
        "heading",
        [
            "Front", "What makes energy", "What makes latency", "Points over all axes",
            "Which assumption would change the ranking by energy", "Why points are out", "Provenance",
        ],
    )  # fmt: skip
    def test_it_has_all_that_a_sweep_has(self, sweep_page, read_page, heading):
        assert heading in read_page(sweep_page).text

    def test_a_sweep_has_no_progress_and_a_search_has(self, sweep_page, read_page):
        assert "How the search went on" not in read_page(sweep_page).text
        assert "How the search went on" in read_page(study_page(search_of())).text

    def test_lower_fidelities_are_shown_where_there_are_some(self, read_page):
        page = read_page(study_page(search_of("energy", others={"bound": {"energy_j": 0.5 * ENERGY_J[:, None]}})))
        assert "Lower fidelities" in page.text

    def test_reasons_and_constraints_are_counted(self, read_page):
        space = Space(AXES, (condition("npu.rows <= 96", AXES),))
        errors = ["no room" if row[1] == 0 else "" for row in GRID]
        page = read_page(study_page(table_of("energy", errors=errors, space=space)))
        assert page.values("reasons") == {"no room": 16}
        assert page.values("constraints") == {"npu.rows <= 96": 12}

    @pytest.mark.parametrize(
        "made",
        [
            lambda: table_of("energy", codes=GRID[:0]),
            lambda: table_of(codes=GRID[:1]),
            lambda: table_of(bounds=("latency <= 1 ns",)),
            lambda: table_of(errors=["no room"] * 48),
            lambda: table_of("energy", energy_j=np.full(48, 1e-3)),
            lambda: table_of("energy", "latency", "area"),
            lambda: table_of("edp"),
            lambda: search_of("energy", order=[-1], fidelity=["bound"], codes=GRID[:0]),
            lambda: search_of("maximize snr", min_snr_db=-GRID[:, 0].astype(np.float64)),
        ],
        ids=["empty", "one point", "infeasible", "failed", "all alike", "three", "no interval", "lower only", "maximized"],
    )  # fmt: skip
    def test_any_study_has_a_page_a_text_and_a_table(self, made, read_page, read_csv):
        table = made()
        files = study_files(table)
        assert set(files) == {"by_hand.html", "by_hand_points.csv"}
        assert "nan" not in read_page(files["by_hand.html"]).text.lower().split()
        assert len(read_csv(files["by_hand_points.csv"])) == table.n
        assert study_text(table)


class TestPointsAsCsv:
    def test_every_point_has_its_levels_values_and_fate(self, read_csv):
        errors = ["no room" if i == 3 else "" for i in range(48)]
        rows = read_csv(points_csv(table_of(bounds=("latency <= 300 us",), errors=errors)))
        assert rows[0]["npu.clock"] == "400 MHz"
        assert (rows[0]["adc"], rows[1]["adc"]) == ("", "true")
        assert [rows[i]["status"] for i in (0, 3, 47)] == ["infeasible", "failed", "feasible"]
        assert float(rows[47]["energy_j"]) == ENERGY_J[47]
        assert float(rows[47]["energy_high_j"]) == ENERGY_J[47] * 1.2
        assert "latency_low_s" not in rows[0]
        assert float(rows[0]["limited: latency <= 300.0 µs"]) == LATENCY_S[0]
        assert (rows[3]["energy_j"], rows[3]["error"], rows[3]["assumed_share"]) == ("", "no room", "")

    def test_the_front_is_marked(self, table, read_csv):
        rows = read_csv(points_csv(table))
        assert [i for i, row in enumerate(rows) if row["on_front"] == "1"] == sorted(table.scores.front.tolist())

    def test_a_search_tells_the_first_trial_of_each_point(self, read_csv):
        rows = read_csv(points_csv(search_of("energy", order=[1, 0, 1], codes=GRID[:2])))
        assert [row["trial"] for row in rows] == ["2", "1"]
