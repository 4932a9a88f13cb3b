"""Sweeps that are killed and gone on from: the rounds of `benchmarks/crash.py`, three on a pool and one session on Dask."""

import random
import subprocess
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

PATH = Path(__file__).parents[4] / "benchmarks" / "crash.py"
SMALL = """
name: crash
chip: edge_npu_soc
workload: resnet18
policy: greedy
axes:
  npu.rows: 16..128 step 4
  npu.cols: 16..128 step 4
  weight_bits: [8, 99]
objectives: [energy]
"""


@pytest.fixture(scope="module")
def crash():
    spec = spec_from_file_location("crash", PATH)
    module = module_from_spec(spec)
    sys.modules["crash"] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    yield module
    del sys.modules["crash"]


@pytest.fixture(scope="module")
def rounds(crash, tmp_path_factory):
    return crash.Rounds(tmp_path_factory.mktemp("crash"), "pool", SMALL)


class TestCases:
    @pytest.mark.parametrize(("engine", "victims"), [("pool", {"parent", "worker"}), ("dask", {"parent", "worker", "scheduler"})])
    def test_every_victim_has_its_turn(self, crash, engine, victims):
        found = Counter(case.victim for case in crash.cases(engine, 20, 3))
        assert set(found) == victims
        assert max(found.values()) - min(found.values()) <= 1

    def test_a_seed_says_whom_and_when(self, crash):
        assert crash.cases("dask", 20, 3) == crash.cases("dask", 20, 3)
        assert crash.cases("dask", 20, 3) != crash.cases("dask", 20, 4)

    def test_kills_are_spread_and_come_before_the_last_row(self, crash):
        fractions = [case.fraction for case in crash.cases("pool", 1000, 0)]
        assert min(fractions) < 0.05
        assert 0.85 < max(fractions) < 0.9


class TestLook:
    def test_processes_below_one_are_found_and_seen_to_end(self, crash):
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
            assert crash.wait_until(lambda: len(crash.descendants(parent.pid)) == 1, 20)
            (child,) = crash.descendants(parent.pid)
            assert crash.is_alive(child)
            assert not crash.computes(child)
            parent.stdin.close()
            assert crash.wait_until(lambda: not crash.is_alive(child), 20)

    def test_a_process_that_waits_to_be_noticed_has_ended(self, crash):
        process = subprocess.Popen([sys.executable, "-c", ""])
        assert crash.wait_until(lambda: not crash.is_alive(process.pid), 20)
        assert process.wait() == 0
        assert not crash.is_alive(process.pid)

    def test_it_waits_no_longer_than_it_is_told(self, crash):
        assert crash.wait_until(lambda: True, 0.0)
        assert not crash.wait_until(lambda: False, 0.02)


class TestPool:
    @pytest.mark.parametrize(("victim", "fraction"), [("parent", 0.0), ("parent", 0.6), ("worker", 0.3)])
    def test_a_round_goes_well(self, crash, rounds, victim, fraction):
        wrong, told = rounds.run(crash.Case(victim, fraction), random.Random(0))
        assert wrong == []
        assert told.startswith(f"{victim} at ")

    def test_it_would_tell_of_a_row_that_is_lost(self, crash, rounds):
        n = len(rounds.expected) - 1
        assert rounds._kept(rounds.folder / "whole.db", n) == []
        assert rounds._kept(rounds.folder / "whole.db", n + 1) == [f"{n + 1} rows were acknowledged, {n} are there"]

    def test_it_would_tell_of_a_row_that_is_another(self, crash, rounds, monkeypatch):
        other = [line.replace("1", "2", 1) if i == 5 else line for i, line in enumerate(rounds.expected)]
        monkeypatch.setattr(rounds, "expected", other)
        assert rounds._kept(rounds.folder / "whole.db", 1) == ["the store has rows that are other ones"]

    def test_a_sweep_that_is_over_cannot_be_killed(self, crash, rounds):
        sweep = crash.Sweep(rounds.folder, rounds.folder / "whole.db", "--resume")
        assert sweep.code() == 0
        with pytest.raises(RuntimeError, match="ended before it could be killed"):
            sweep.wait_for(0.5)


class TestDask:
    """Scheduler and workers are processes of their own."""

    @pytest.mark.parametrize("victim", ["worker", "scheduler"])
    def test_a_round_goes_well(self, crash, rounds, victim, monkeypatch):
        monkeypatch.setattr(rounds, "engine", "dask")
        wrong, _ = rounds.run(crash.Case(victim, 0.3), random.Random(0))
        assert wrong == []
