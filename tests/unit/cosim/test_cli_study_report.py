"""`cosim study report`: what it writes and prints from the rows of a store, and what a mistake looks like."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from cosim.study import feasible, tables
from cosim.study.judge import ALL_COLUMNS
from cosim.study.rows import Rows
from cosim.study.store import Origin, Store

STUDY = """
name: small
chip: edge_npu_soc
workload: lenet5
axes:
  npu.rows: [32, 64, 96]
  weight_bits: [4, 8]
objectives: [energy]
"""


class FakeEvaluator:
    """Keys that say what they are of; nothing is simulated."""

    def __init__(self, study, fidelity="event"):
        self.study, self.fidelity = study, fidelity

    def keys(self, codes):
        return [f"{self.fidelity}-{a}-{b}" for a, b in codes.tolist()]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.setattr(tables, "Evaluator", FakeEvaluator)
    monkeypatch.setattr(feasible, "Evaluator", FakeEvaluator)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    return tmp_path


@pytest.fixture
def store(folder):
    """Five of the six points: energy 1 to 4 mJ within 10 %, twice that for 8 bits of 32 rows, one failure."""
    codes = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]]
    values = np.full((5, len(ALL_COLUMNS)), np.nan)
    for name, factor in (("energy_j", 1.0), ("energy_low_j", 0.9), ("energy_high_j", 1.1), ("latency_s", 0.5)):
        values[:, ALL_COLUMNS.index(name)] = factor * np.array([1e-3, 2e-3, 3e-3, 4e-3, np.nan])
    status = np.array([0, 0, 0, 0, 1], dtype=np.int8)
    rows = Rows(
        FakeEvaluator(None).keys(np.array(codes)),
        status,
        ["", "", "", "", "op 'conv': no room"],
        values,
        np.zeros(5, dtype=np.int64),
        ["{}"] * 5,
    )
    path = folder / "out" / "small.db"
    with Store(path, ALL_COLUMNS, write=True) as opened:
        opened.write(rows, Origin("small", "0" * 16, "event", "m"), ["lenet5"])
    return path


def test_json_is_one_object_and_its_files_are_whole(cosim, store):
    code, out, err = cosim("study", "report", "small.yaml", "--json")
    assert code == 0, err
    found = json.loads(out)
    files = [str(Path("out") / name) for name in ("small.html", "small_points.csv")]
    assert found == {"study": "small", "fidelity": "event", "n_points": 5, "files": files}
    rows = list(csv.DictReader(io.StringIO(Path("out/small_points.csv").read_text(encoding="utf-8"))))
    assert [row["energy_j"] for row in rows] == ["0.001", "0.002", "0.003", "0.004", ""]
    assert rows[4]["error"] == "op 'conv': no room"
    assert Path("out/small.html").read_text(encoding="utf-8").strip().endswith("</html>")


def test_it_prints_the_best_and_why_points_are_out(cosim, store):
    code, out, err = cosim("study", "report", "small.yaml")
    assert code == 0, err
    assert out.startswith("small: best energy 1.000 mJ of 5 points")
    assert "npu.rows 32, weight_bits 4" in out
    assert "op 'conv': no room" in out
    assert out.rstrip().endswith("Written: out/small.html, out/small_points.csv")


def test_another_objective_takes_the_place_of_the_studys(cosim, store):
    code, out, err = cosim("study", "report", "small.yaml", "--objective", "edp", "--objective", "latency")
    assert code == 0, err
    assert "edp      500.0 nJ·s" in out
    assert "latency    500.0 µs" in out
    assert "energy  " not in out


def test_the_store_and_the_folder_can_be_named(cosim, store, folder):
    moved = store.rename(folder / "moved.db")
    code, _, err = cosim("study", "report", "small.yaml", "--store", moved, "--out", "pages")
    assert code == 0, err
    assert sorted(path.name for path in Path("pages").iterdir()) == ["small.html", "small_points.csv"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nothing",), "study 'nothing' is neither shipped nor a YAML file"),
        (("small.yaml", "--store", "none.db"), "none.db"),
        (("small.yaml", "--objective", "enrgy"), "'enrgy' is nothing that a run measures"),
        (("small.yaml", "--objective", "accuracy"), "wants accuracy and names no data"),
        (("small.yaml", "--out", "small.yaml"), "is a file; name a folder"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(cosim, store, args, message):
    code, out, err = cosim("study", "report", *args)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not list(Path().rglob("*.html"))


def test_a_store_without_the_studys_points_says_what_to_do(cosim, folder):
    with Store(folder / "other.db", ALL_COLUMNS, write=True):
        pass
    code, out, err = cosim("study", "report", "small.yaml", "--store", "other.db")
    assert (code, out) == (2, "")
    assert "other.db holds no point of study 'small'" in err
    assert "cosim sweep small.yaml --store other.db" in err
