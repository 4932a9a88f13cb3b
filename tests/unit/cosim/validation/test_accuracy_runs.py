"""Trainings in turn and in processes: what is shared, kept and gone on from."""

from __future__ import annotations

import json
import os

import pytest

from cosim.study import processes
from cosim.training.recipe import Phase
from cosim.validation import accuracy_runs as runs
from cosim.validation.accuracy_cases import Case, Reading
from cosim.validation.accuracy_recipes import Made

DIGITAL, NOISY = Reading("digital"), Reading("gaussian", 2, sigma=0.1)
FIRST = Phase(1, 5e-3)
WORKS = [runs.Work(Made("mlp", FIRST), 0, (DIGITAL, NOISY)), runs.Work(Made("mlp", FIRST, round_bits=2), 0, (DIGITAL,))]


def case(recipe="float", seed=0, reading=DIGITAL):
    return Case("training_stress", "mlp", recipe, seed, reading, 90.0)


def test_one_network_is_trained_for_all_that_is_read_off_it():
    works = runs.works_of([case(), case(reading=NOISY), case(seed=1), case("noise-aware 0.12")])
    assert [(work.seed, work.readings) for work in works] == [(0, (DIGITAL, NOISY)), (1, (DIGITAL,)), (0, (DIGITAL,))]
    assert len({runs.start_of(work) for work in works}) == 2  # one float network a seed


def test_given_seeds_are_trained_for_every_group():
    assert [work.seed for work in runs.works_of([case(), case(seed=1)], (5, 6, 7))] == [5, 6, 7]


def test_quantities_of_a_reading_are_read_together():
    ece = Reading("passes", 4, sigma=0.2, passes=4, quantity="ece")
    (work,) = runs.works_of([case(reading=ece), case(reading=runs.plain(ece))])
    assert work.readings == (runs.plain(ece),)


class TestMeasured:
    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch")

    def test_all_that_is_done_is_told_and_kept(self, tmp_path, monkeypatch):
        told = []
        found = runs.measure_all(WORKS, tmp_path, 0, told.append)
        assert sum(told) == pytest.approx(runs.cost_s(WORKS))
        assert [len(found[work]) for work in WORKS] == [2, 1]
        assert 0 < found[WORKS[1]][0]["acc"] <= 100
        monkeypatch.setattr(runs, "do", pytest.fail)  # nothing is done again
        told.clear()
        assert runs.measure_all(WORKS, tmp_path, 0, told.append) == found
        assert sum(told) == pytest.approx(runs.cost_s(WORKS))

    def test_a_run_that_was_stopped_goes_on_from_the_float_network(self, tmp_path, monkeypatch):
        found = runs.measure_all(WORKS, tmp_path, 0)
        (tmp_path / WORKS[1].key).unlink()
        done = []
        do = runs.do
        monkeypatch.setattr(runs, "do", lambda task, folder: done.append(task) or do(task, folder))
        assert runs.measure_all(WORKS, tmp_path, 0) == found
        assert done == [WORKS[1]]

    def test_what_another_run_has_done_meanwhile_is_left(self, tmp_path):
        runs.measure_all(WORKS[1:], tmp_path, 0)
        made = (tmp_path / WORKS[1].key).stat().st_mtime_ns
        assert runs.do(WORKS[1], tmp_path) == WORKS[1]
        assert (tmp_path / WORKS[1].key).stat().st_mtime_ns == made

    def test_a_process_of_its_own_finds_the_same(self, tmp_path):
        before = dict(os.environ)
        assert runs.measure_all(WORKS[1:], tmp_path / "pool", 1) == runs.measure_all(WORKS[1:], tmp_path / "here", 0)
        assert dict(os.environ) == before


def test_what_was_done_otherwise_or_is_damaged_is_not_taken(tmp_path):
    work = WORKS[0]
    assert runs.stored(work, tmp_path) is None
    file = tmp_path / work.key
    file.write_text("{")
    assert runs.stored(work, tmp_path) is None
    file.write_text(json.dumps({"config": {**work.config, "seed": 9}, "values": [1]}))
    assert runs.stored(work, tmp_path) is None
    file.write_text(json.dumps({"config": work.config, "values": [{"acc": 1.0}, {"acc": 2.0}]}))
    assert runs.stored(work, tmp_path) == [{"acc": 1.0}, {"acc": 2.0}]


def test_threads_are_what_they_were_after_a_failure(monkeypatch):
    monkeypatch.setenv(processes.THREADS[0], "7")
    monkeypatch.delenv(processes.THREADS[1], raising=False)

    def fail():
        with processes.one_thread_each():
            assert {os.environ[name] for name in processes.THREADS} == {"1"}
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert os.environ[processes.THREADS[0]] == "7"
    assert processes.THREADS[1] not in os.environ
