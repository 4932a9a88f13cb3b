"""Folder of benchmarks: what is read, what is refused and how the message names it."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.validation.bo_ising import draw_couplings
from cosim.validation.bo_problems import PROBLEMS
from cosim.validation.bo_table import SHIPPED, read_runs, with_seeds
from workloads.errors import WorkloadError

HEAD = "problem,lambda,instance_seed,run_seed,relabel_seed,budget\n"
OPTIMA = "problem,instance_seed,lambda,optimum,x\ncontamination25,1149,0.0001,20.861500,0110110101101110110110100\n"


def folder(path, runs, optima=OPTIMA):
    (path / "runs.csv").write_text(HEAD + runs)
    (path / "optima.csv").write_text(optima)
    return path


class TestShipped:
    def test_every_problem_is_there_and_every_gap_has_an_optimum(self):
        runs = read_runs()
        assert {run.problem for run in runs} == set(PROBLEMS)
        assert all((run.optimum is None) == (run.problem in {"pest25", "mf_pest", "ising_biobj"}) for run in runs)

    def test_written_couplings_are_those_that_their_seeds_draw(self):
        written = {run.instance_seed: run.couplings for run in read_runs(SHIPPED) if "ising" in run.problem}
        for seed, couplings in written.items():
            assert list(couplings) == draw_couplings(seed).tolist()


class TestRead:
    def test_a_run(self, tmp_path):
        (run,) = read_runs(folder(tmp_path, "contamination25,0.0001,1149,3,7000,270\n"))
        assert (run.problem, run.weight, run.instance_seed, run.run_seed, run.relabel_seed) == ("contamination25", 1e-4, 1149, 3, 7000)
        assert (run.budget, run.optimum, run.name) == (270, 20.8615, "contamination25, instance 1149, lambda 0.0001")

    def test_a_problem_without_lambda_and_without_optimum_needs_no_other_file(self, tmp_path):
        (tmp_path / "runs.csv").write_text(HEAD + "pest25,,4,0,1,320\n")
        assert [(run.weight, run.optimum) for run in read_runs(tmp_path)] == [(None, None)]

    def test_an_ising_instance_that_is_not_written_is_drawn(self, tmp_path):
        (run,) = read_runs(folder(tmp_path, "ising_biobj,0,77,0,1,100\n"))
        assert run.couplings is None
        x = np.zeros(24, dtype=np.int64)
        assert run.bench().evaluate(x, 0)[1] <= 1.0

    def test_several_fidelities_share_the_optimum_of_the_truth(self, tmp_path):
        (run,) = read_runs(folder(tmp_path, "mf_contamination,0.0001,1149,0,1,170\n"))
        assert run.optimum == 20.8615


class TestRefused:
    @pytest.mark.parametrize(
        ("runs", "message"),
        [
            ("isng24,0,0,0,1,170\n", "line 2: there is no problem 'isng24'; did you mean 'ising24'?"),
            ("pest25,x,0,0,1,170\n", "line 2: column 'lambda': 'x' is not a number"),
            ("pest25,,,0,1,170\n", "line 2: column 'instance_seed' is empty; give a whole number of 0 or more"),
            ("pest25,,0,0,1,20\n", "line 2: column 'budget': '20' is not a whole number of 21 or more"),
            ("pest25,,0,0,4294967296,320\n", "line 2: column 'relabel_seed': 4294967296 is too large for a seed; give at most 4293967295"),
            ("", "names no run; write one a line"),
            ("contamination25,0.0001,4711,0,1,270\n", "has no optimum of contamination25, instance 4711, lambda 0.0001; add its row"),
            ("contamination25,0,1149,0,1,270\n", "has no optimum of contamination25, instance 1149, lambda 0"),
        ],
    )
    def test_a_row(self, tmp_path, runs, message):
        with pytest.raises(WorkloadError, match=r"(runs|optima)\.csv") as caught:
            read_runs(folder(tmp_path, runs))
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("20.861500", "20.5"), "is written as 20.5, but its x is worth 20.8615; correct the row"),
            (("0110110101101110110110100", "0110"), "has 4 levels; give 25 of 0 or 1"),
            (("0110110101101110110110100", "01x"), "line 2: column 'x': '01x' is not a string of levels"),
            (("20.861500", "nan"), "line 2: column 'optimum': 'nan' is not a number"),
        ],
    )
    def test_an_optimum(self, tmp_path, change, message):
        with pytest.raises(WorkloadError) as caught:
            read_runs(folder(tmp_path, "contamination25,0.0001,1149,0,1,270\n", OPTIMA.replace(*change)))
        assert message in str(caught.value)

    def test_a_folder_that_is_not_there_and_one_without_runs(self, tmp_path):
        with pytest.raises(WorkloadError, match="there is no such folder"):
            read_runs(tmp_path / "none")
        with pytest.raises(WorkloadError, match=r"runs\.csv: there is no such file"):
            read_runs(tmp_path)


class TestWithSeeds:
    def test_every_instance_runs_with_them_and_named_pairs_keep_their_labels(self, tmp_path):
        runs = read_runs(folder(tmp_path, "pest25,,4,0,11,320\npest25,,4,1,12,320\npest25,,5,0,13,320\n"))
        found = with_seeds(runs, (1, 2))
        assert sorted((run.instance_seed, run.run_seed) for run in found) == [(4, 1), (4, 2), (5, 1), (5, 2)]
        labels = {(run.instance_seed, run.run_seed): run.relabel_seed for run in found}
        assert labels[4, 1] == 12
        assert len(set(labels.values())) == 4
        assert with_seeds(runs, (1, 2)) == found

    def test_a_seed_that_the_generator_does_not_take_is_refused(self, tmp_path):
        runs = read_runs(folder(tmp_path, "pest25,,4,0,11,320\n"))
        for seed in (-1, 2**32):
            with pytest.raises(WorkloadError, match=f"--seeds {seed}: is out of range; give 0 to"):
                with_seeds(runs, (0, seed))

    def test_another_lambda_of_an_instance_is_another_instance(self, tmp_path):
        optima = OPTIMA + OPTIMA.splitlines()[1].replace("0.0001", "0").replace("20.861500", "20.86") + "\n"
        runs = read_runs(folder(tmp_path, "contamination25,0.0001,1149,0,1,30\ncontamination25,0,1149,0,2,30\n", optima))
        assert [run.optimum for run in runs] == [20.8615, 20.86]
        assert [(run.weight, run.relabel_seed) for run in with_seeds(runs, (0,))] == [(1e-4, 1), (0.0, 2)]
