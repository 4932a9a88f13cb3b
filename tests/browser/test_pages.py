"""The pages of real runs, opened in Chromium: they load, they are quiet, they agree with their CSV, they can be read."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.simulation.arrivals import Stream
from cosim.simulation.compare import Comparison
from cosim.simulation.load import Load
from cosim.simulation.placement import place_workload
from reports.html import compare_files, place_page, run_files
from reports.load import load_page
from reports.wording import quantity

CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", shutil.which("chromium"), shutil.which("google-chrome")) if path and Path(path).exists()), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

# Pairs of labels of one figure whose boxes meet by more than two pixels either way; rotated ones are compared by eye.
OVERLAPS = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('svg.chart')) {
    const texts = [...chart.querySelectorAll('text')].filter(t => !/rotate\\((?!-?0\\b)/.test(t.getAttribute('transform') || ''));
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
      const x = Math.min(p.right, q.right) - Math.max(p.left, q.left), y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (x > 2 && y > 2) found.push(chart.getAttribute('aria-label') + ': ' + a + ' | ' + b);
    }));
  }
  return found;
}"""
# Labels that stick out of their figure, and would be cut.
CUT = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('text')].filter(t => {
    const box = t.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  }).map(t => chart.getAttribute('aria-label') + ': ' + t.textContent);
})"""


class Opened:
    """A page in the browser, with what it said and asked for while it was loaded."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.messages, self.requests = page, [], []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())

    def number(self, metric: str, key: str = "") -> tuple[float, str]:
        """Exact value and text of a number outside of figures."""
        place = f"[data-key='{key}']" if key else ""
        element = self.page.locator(f":not(rect)[data-metric='{metric}']{place}").first
        return float(element.get_attribute("data-value")), element.inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield started
        started.close()


def loads_of(network: Any, chip: Any) -> Any:
    """A network of many ops in a saturated load of its own, and one of few beside a second stream of itself."""
    if network.name != "lenet5":
        return Load(chip, [Stream(network)], policy="heft", n_inferences=30, saturated=True).run()
    streams = [Stream(network, rate_per_s=20_000.0, deadline_s=1e-4), Stream(network, period_s=1e-3)]
    return Load(chip, streams, policy="heft", n_inferences=300).run()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of a network of a few ops and of one of many, on one chip and on three."""
    root = tmp_path_factory.mktemp("reports")
    chips = [cosim.load_chip(name) for name in ("edge_npu_soc", "edge_cim_soc", "cortex_m7_mcu")]
    for name in ("lenet5", "gpt2"):
        network = cosim.load_workload(name)
        results = [cosim.Simulation(chip, network).run() for chip in (chips if name == "lenet5" else chips[:2])]
        pages = {
            f"{name}_run": run_files(results[1]),
            f"{name}_pair": compare_files(Comparison(tuple(results[:2]))),
            f"{name}_all": compare_files(Comparison(tuple(results))),
            f"{name}_place": {"placement.html": place_page(place_workload(cosim.Simulation(chips[1], network, "heft")))},
            f"{name}_load": {"load.html": load_page(loads_of(network, chips[0]))},
        }
        for place, files in pages.items():
            (root / place).mkdir()
            for file, content in files.items():
                (root / place / file).write_text(content, encoding="utf-8")
    return root


@pytest.fixture
def open_page(browser: Any, folder: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    yield lambda place: Opened(context.new_page(), next((folder / place).glob("*.html")))
    context.close()


def rows(folder: Path, place: str, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / place / name).read_text(encoding="utf-8"))))


PLACES = [
    "lenet5_run", "lenet5_pair", "lenet5_all", "lenet5_place", "lenet5_load", "gpt2_run", "gpt2_pair", "gpt2_place", "gpt2_load",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_page_opens_in_silence_and_asks_for_nothing(open_page: Any, place: str) -> None:
    opened = open_page(place)
    assert opened.messages == []
    assert len(opened.requests) == 1
    assert opened.requests[0].startswith("file://")


@pytest.mark.parametrize("place", PLACES)
def test_labels_of_figures_neither_overlap_nor_stick_out(open_page: Any, place: str) -> None:
    opened = open_page(place)
    assert opened.page.evaluate(OVERLAPS) == []
    assert opened.page.evaluate(CUT) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("width", [1280, 820, 1920])
def test_a_page_is_not_wider_than_its_window(open_page: Any, place: str, width: int) -> None:
    opened = open_page(place)
    opened.page.set_viewport_size({"width": width, "height": 900})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("place", ["lenet5_run", "gpt2_run"])
def test_headline_numbers_are_those_of_the_csv(open_page: Any, folder: Path, place: str) -> None:
    opened = open_page(place)
    (row,) = rows(folder, place, "summary.csv")
    for metric, unit in (("latency_s", "s"), ("energy_j", "J"), ("edp_js", "J·s")):
        value, text = opened.number(metric)
        assert value == float(row[metric])
        assert text.split() == quantity(value, unit).split()
    energy = sum(float(line["energy_j"]) for line in rows(folder, place, "ledger.csv"))
    assert opened.number("energy_j")[0] == pytest.approx(energy)


def test_numbers_side_by_side_are_those_of_the_csv(open_page: Any, folder: Path) -> None:
    opened = open_page("lenet5_all")
    for row in rows(folder, "lenet5_all", "compare_summary.csv"):
        value, text = opened.number("energy_j", row["chip"])
        assert value == float(row["energy_j"])
        assert text == quantity(value, "J")


def test_a_bar_is_as_long_as_its_number(open_page: Any) -> None:
    """Bars start at 0 and their values stand in their data: lengths of any two are in the ratio of the values."""
    hits = open_page("gpt2_pair").page.locator("svg.chart[aria-label^='energy of each chip'] rect[data-value]")
    boxes = [(float(hit.get_attribute("data-value")), float(hit.get_attribute("height"))) for hit in hits.all()]
    tall = [(value, height) for value, height in boxes if height > 20]
    assert len(tall) > 1
    scales = [height / value for value, height in tall]
    assert scales == pytest.approx([scales[0]] * len(scales), rel=0.02)


def test_a_click_sorts_a_table_and_a_second_click_turns_it_round(open_page: Any) -> None:
    page = open_page("gpt2_run").page

    def column() -> list[float]:
        return [float(cell.get_attribute("data-value")) for cell in page.locator("#components tbody tr td:nth-child(2)").all()]

    head = page.locator("#components thead th").nth(1)
    before = column()
    head.click()
    assert column() == sorted(before, reverse=True)
    head.click()
    assert column() == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"


def test_a_click_on_a_column_of_names_sorts_by_name(open_page: Any) -> None:
    page = open_page("gpt2_run").page
    page.locator("#components thead th").first.click()
    names = page.locator("#components tbody tr td:first-child").all_inner_texts()
    assert names == sorted(names, key=str.lower, reverse=True)


def test_pointing_at_a_bar_tells_what_it_is(open_page: Any) -> None:
    page = open_page("lenet5_run").page
    hit = page.locator("#chart-components rect[data-metric]").first
    hit.hover()
    assert " mJ" in hit.locator("title").text_content() or "J, " in hit.locator("title").text_content()


def test_the_list_of_all_ops_opens(open_page: Any, folder: Path) -> None:
    page = open_page("gpt2_run").page
    assert not page.locator("#all-ops").is_visible()
    page.locator("summary", has_text="All ").click()
    assert page.locator("#all-ops").is_visible()
    assert page.locator("#all-ops tbody tr").count() == len(rows(folder, "gpt2_run", "ops.csv"))


@pytest.mark.parametrize("name", ["lenet5", "gpt2"])
def test_the_page_of_a_placement_shows_its_gantt_chart(open_page: Any, name: str) -> None:
    """A lane a device, in the order of the chip; boxes that tell their op; the end within the chart."""
    opened = open_page(f"{name}_place")
    chart = opened.page.locator("#chart-gantt svg.chart")
    assert chart.is_visible()
    assert chart.bounding_box()["width"] > 800
    labels = chart.locator("text").all_text_contents()
    lanes = [text.split(" · ")[0] for text in labels if " · " in text and not text.startswith("no placement")]
    assert lanes[:4] == list(cosim.load_chip("edge_cim_soc").devices)
    assert any("end " in text for text in labels)
    hits = chart.locator(".hits rect")
    assert hits.count() >= len(cosim.load_workload(name).ops) // 2
    hits.first.hover()
    assert " on " in hits.first.locator("title").text_content()
    makespan_s, text = opened.number("makespan_s")
    assert text.split() == quantity(makespan_s, "s").split()
    assert opened.number("lower_bound_s")[0] <= makespan_s


def test_a_page_prints(open_page: Any) -> None:
    pdf = open_page("lenet5_pair").page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF")
