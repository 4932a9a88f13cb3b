"""The pages of a sweep and of a search over made-up values, opened in Chromium: quiet, legible, the numbers of the CSV."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.study.objectives import read_bound, read_objective
from cosim.study.scores import wanted_of
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from cosim.study.table import SearchTrace, StudyTable
from reports.study import study_files

CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", shutil.which("chromium"), shutil.which("google-chrome")) if path and Path(path).exists()), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

# Labels of one figure that meet or stick out of it; rotated ones are compared by eye.
ILLEGIBLE = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('svg.chart')) {
    const frame = chart.getBoundingClientRect(), name = chart.getAttribute('aria-label');
    const texts = [...chart.querySelectorAll('text')];
    for (const text of texts) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        found.push(name + ' cuts ' + text.textContent);
    }
    const boxes = texts.filter(t => !/rotate\\((?!-?0\\b)/.test(t.getAttribute('transform') || ''))
      .map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
      const x = Math.min(p.right, q.right) - Math.max(p.left, q.left), y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (x > 2 && y > 2) found.push(name + ': ' + a + ' | ' + b);
    }));
  }
  return found;
}"""
AXES = (
    Axis("devices.npu.rows", "ordinal", (16, 24, 32, 48, 64, 96, 128)),
    Axis("devices.npu.weight_buffer", "ordinal", ("64 KiB", "128 KiB", "256 KiB", "512 KiB")),
    Axis("dram.part", "categorical", ("dram/lpddr4x_4266", "dram/lpddr5_6400_x32", "dram/lpddr5x_8533")),
    Axis("policy", "categorical", ("heft", "peft_with_a_long_name", None)),
    Axis("devices.cim.adc.n_bits", "ordinal", tuple(range(2, 26))),
)
NAMES = ("sweep", "search", "three")
N = 120  # points


def table_of(name: str) -> StudyTable:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, [len(axis.levels) for axis in AXES], size=(N, len(AXES)))
    objectives = {"sweep": ("energy",), "search": ("energy", "latency"), "three": ("energy", "latency", "maximize snr")}[name]
    study = Study(
        name,
        "text",
        Space(AXES),
        ("chip",),
        (StudyWorkload("net", "net"),),
        tuple(map(read_objective, objectives)),
        (read_bound("latency <= 5 ms"),),
    )
    energy = 3e-4 * 1.3 ** (codes[:, 4] / 4 - codes[:, 0]) * (1 + codes[:, 2] * (codes[:, 1] == 0)) * rng.uniform(1, 1.1, N)
    latency = 8e-3 / (1 + codes[:, 0]) / (1 + 0.3 * codes[:, 1]) * rng.uniform(1, 1.1, N)
    failed = codes[:, 3] == 1
    energy[failed] = np.nan
    columns = {"energy_j": energy, "energy_low_j": energy / 1.1, "energy_high_j": energy * 1.2, "latency_s": latency}
    columns |= {
        "latency_low_s": latency * 0.95,
        "latency_high_s": latency * 1.1,
        "min_snr_db": 6.0 * codes[:, 4],
        "assumed_share": energy * 0 + 0.3,
    }
    columns = {key: column[:, None] for key, column in columns.items()}
    errors = ["op 'conv1': 300 KiB of weights do not fit on device 'cim'" if bad else "" for bad in failed]
    trace = SearchTrace("gp", 0, np.arange(N), ["event"] * N, np.arange(1.0, N + 1.0)) if name != "sweep" else None
    others = {"bound": {key: column * 0.7 for key, column in columns.items()}} if name == "search" else None
    return StudyTable(study, study.space, wanted_of(study), "event", codes, columns, errors, trace, others)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studies")
    for name in NAMES:
        for file, content in study_files(table_of(name)).items():
            (root / file).write_text(content, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def pages(folder: Path) -> Iterator[dict[str, Any]]:
    """Each page with what it said and asked for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        found = {}
        for name in NAMES:
            page, heard = context.new_page(), []
            page.on("console", lambda message, heard=heard: heard.append(message.text))
            page.on("pageerror", lambda error, heard=heard: heard.append(str(error)))
            page.on("request", lambda request, heard=heard: heard.append(request.url))
            page.goto((folder / f"{name}.html").as_uri())
            found[name] = (page, heard)
        yield found
        browser.close()


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / f"{name}_points.csv").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_silent_and_asks_for_nothing_but_itself(pages: Any, folder: Path, name: str) -> None:
    assert pages[name][1] == [(folder / f"{name}.html").as_uri()]


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_figures_neither_overlap_nor_stick_out(pages: Any, name: str) -> None:
    assert pages[name][0].evaluate(ILLEGIBLE) == []


@pytest.mark.parametrize("width", [820, 1280, 1920])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_not_wider_than_its_window(pages: Any, name: str, width: int) -> None:
    page = pages[name][0]
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", NAMES)
def test_the_best_is_that_of_the_csv(pages: Any, folder: Path, name: str) -> None:
    best = min(float(row["energy_j"]) for row in rows(folder, name) if row["status"] == "feasible")
    assert float(pages[name][0].locator(".big[data-key='energy']").get_attribute("data-value")) == best


def test_the_front_is_that_of_the_csv(pages: Any, folder: Path) -> None:
    marked = {str(i) for i, row in enumerate(rows(folder, "search")) if row["on_front"] == "1"}
    hits = pages["search"][0].locator("#chart-front-energy-latency rect[data-metric='front_energy']")
    assert {hit.get_attribute("data-key") for hit in hits.all()} == marked


def test_figures_of_all_kinds_are_there(pages: Any) -> None:
    for chart in (
        "front-energy-latency", "progress", "importance-energy", "importance-latency", "effects-energy", "pairs-energy", "parallel",
        "ranking-energy", "ranking-latency", "bias-energy-bound",
    ):  # fmt: skip
        assert pages["search"][0].locator(f"#chart-{chart} svg.chart").is_visible(), chart


def test_failures_are_counted_by_reason_with_the_level_they_stand_at(pages: Any, folder: Path) -> None:
    row = pages["sweep"][0].locator("#reasons tbody tr").first
    n = sum(one["status"] == "failed" for one in rows(folder, "sweep"))
    assert int(row.get_attribute("data-value")) == n
    assert "policy = peft_with_a_long_name (100 %)" in row.inner_text()


def test_a_click_sorts_the_points(pages: Any) -> None:
    page = pages["sweep"][0]
    head = page.locator("#best-energy thead th").nth(1)
    head.click()
    values = [float(cell.get_attribute("data-value")) for cell in page.locator("#best-energy tbody td:nth-child(2)").all()]
    assert values == sorted(values, reverse=True)


def test_pointing_at_a_rank_tells_the_point(pages: Any) -> None:
    hit = pages["search"][0].locator("#chart-ranking-energy rect[data-metric='rank_energy']").first
    assert "devices.npu.rows" in hit.locator("title").text_content()
