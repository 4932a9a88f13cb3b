from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.ledger import GROUPS
from reports.figures import GROUP_COLORS, LIMIT_COLORS, SERIES_COLORS, Mark, blocks, frame, scale, sheet, ticks, to_svg, value_axis

SVG = "{http://www.w3.org/2000/svg}"


def small(name: str = "small", label: str = "a label") -> str:
    """One box from (0, 0) to (2, 1) on axes that span 4 by 2 in 200 by 100 pixels, at (20, 10) from the lower left."""
    with sheet(240, 120) as figure:
        axes = frame(figure, 20, 10, 20, 10)
        axes.set_xlim(0, 4)
        axes.set_ylim(0, 2)
        blocks(axes, [(0, 0, 2, 1)], "#0072B2")
        return to_svg(figure, name, label, [(axes, [Mark((0, 0, 2, 1), 'a <b> & "c"', "m", 'k"1', 0.1)])])


def test_a_figure_is_well_formed_svg_with_its_size_in_pixels() -> None:
    root = ET.fromstring(small())
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == "0 0 240 120"


def test_a_mark_lies_on_the_box_that_it_explains() -> None:
    rect = ET.fromstring(small()).find(f".//{SVG}g[@class='hits']/{SVG}rect")
    assert rect is not None
    assert [float(rect.get(name, "")) for name in ("x", "y", "width", "height")] == pytest.approx([20, 60, 100, 50])


def test_a_mark_carries_its_text_and_its_exact_value_escaped() -> None:
    rect = ET.fromstring(small()).find(f".//{SVG}g[@class='hits']/{SVG}rect")
    assert rect is not None
    assert (rect.get("data-metric"), rect.get("data-key"), rect.get("data-value")) == ("m", 'k"1', "0.1")
    assert rect.findtext(f"{SVG}title") == 'a <b> & "c"'


def test_a_thin_mark_is_wide_enough_to_be_pointed_at() -> None:
    with sheet(240, 120) as figure:
        axes = frame(figure, 20, 10, 20, 10)
        axes.set_xlim(0, 4)
        svg = to_svg(figure, "thin", "", [(axes, [Mark((1, 0, 1, 1), "thin")])])
    rect = ET.fromstring(svg).find(f".//{SVG}g[@class='hits']/{SVG}rect")
    assert rect is not None
    assert float(rect.get("width", "")) == pytest.approx(3)


def test_a_label_is_escaped() -> None:
    assert 'aria-label="&lt;x&gt; &amp; &quot;y&quot;"' in small(label='<x> & "y"')


def test_ids_of_two_figures_do_not_meet_on_one_page() -> None:
    ids = [re.findall(r'\bid="([^"]+)"', small(name)) for name in ("one", "two")]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])


def test_references_point_at_ids_of_the_same_figure() -> None:
    svg = small()
    ids = set(re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))
    assert used
    assert used <= ids


def test_the_same_figure_is_the_same_text() -> None:
    assert small() == small()


def test_any_number_of_boxes_is_one_path() -> None:
    def n_paths(n: int) -> int:
        with sheet(100, 100) as figure:
            axes = frame(figure, 5, 5, 5, 5)
            axes.set_axis_off()
            blocks(axes, [(i, 0, i + 0.5, 1) for i in range(n)], "#000000")
            return to_svg(figure, "n", "").count("<path")

    assert n_paths(300) == n_paths(1)


def test_no_boxes_draw_nothing() -> None:
    with sheet(100, 100) as figure:
        axes = frame(figure, 5, 5, 5, 5)
        before = len(axes.get_children())
        blocks(axes, [], "#000000")
        assert len(axes.get_children()) == before


def test_text_stays_text_in_a_font_stack_of_the_system() -> None:
    with sheet(200, 100) as figure:
        axes = frame(figure, 40, 40, 10, 10)
        axes.set_xlim(0, 3e-3)
        value_axis(axes, 3e-3, "J", "energy")
        svg = to_svg(figure, "t", "")
    assert "energy (mJ)" in svg
    assert "DejaVu" not in svg
    assert "Arial" in svg


def test_coordinates_are_rounded_and_text_is_not() -> None:
    with sheet(200, 100) as figure:
        axes = frame(figure, 33.333333, 40, 10, 10)
        axes.annotate("0.123456", (0.31234567, 0.5))
        svg = to_svg(figure, "t", "")
    assert "0.123456" in svg
    assert not re.search(r' d="[^"]*\.\d{3}', svg)


@pytest.mark.parametrize(
    ("largest", "unit", "expected"),
    [(0.0021, "J", (1e3, "mJ")), (1.0, "s", (1.0, "s")), (999e-6, "s", (1e6, "µs")), (2e9, "B", (1e-9, "GB")), (0.0, "J", (1.0, "J"))],
)
def test_scale_picks_the_prefix_of_the_largest_value(largest: float, unit: str, expected: tuple[float, str]) -> None:
    factor, label = scale(largest, unit)
    assert factor == pytest.approx(expected[0])
    assert label == expected[1]


def test_square_millimeters_have_no_prefix() -> None:
    assert scale(1e4, "mm²") == (1.0, "mm²")


@settings(max_examples=50)
@given(st.floats(1e-14, 1e13))
def test_a_scaled_value_lies_between_1_and_1000(largest: float) -> None:
    factor, _ = scale(largest, "J")
    assert 1 - 1e-6 <= largest * factor < 1000 + 1e-6


@settings(max_examples=50)
@given(st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_start_at_zero_stay_below_the_largest_and_are_evenly_spaced(largest: float, n: int) -> None:
    places = ticks(largest, n)
    assert places[0] == 0
    assert places[-1] <= largest * (1 + 1e-6)
    assert 1 <= len(places) <= n + 1
    steps = {round((b - a) / places[1], 6) for a, b in pairwise(places)}
    assert steps <= {1.0}


def test_ticks_are_steps_of_one_two_or_five() -> None:
    assert ticks(10) == [0, 2, 4, 6, 8, 10]
    assert ticks(3, 3) == [0, 1, 2, 3]
    assert ticks(0.0) == [0.0]


def test_every_bar_of_a_comparison_has_a_color_of_its_own() -> None:
    assert set(GROUP_COLORS) == set(GROUPS)
    assert len(set(GROUP_COLORS.values())) == len(GROUPS)
    assert len(set(LIMIT_COLORS.values())) == len(LIMIT_COLORS)
    assert len(set(SERIES_COLORS)) == len(SERIES_COLORS)


def test_drawing_leaves_the_users_settings_alone_and_needs_no_pyplot() -> None:
    code = (
        "import matplotlib, sys\n"
        "def settings(): return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != 'backend'}\n"
        "before = settings()\n"
        "from reports.figures import sheet, frame, to_svg\n"
        "with sheet(100, 100) as figure: frame(figure, 1, 1, 1, 1); to_svg(figure, 'x', '')\n"
        "assert settings() == before and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
