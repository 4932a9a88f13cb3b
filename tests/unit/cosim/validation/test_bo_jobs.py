"""Jobs of the benchmarks: what is run, kept, gone on from, and that processes change nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cosim.validation import bo_jobs
from cosim.validation.bo_jobs import cost_of, jobs_of, measure_all
from cosim.validation.bo_run import Job
from cosim.validation.bo_table import Run

RUN = Run("contamination25", 1e-4, 1149, 0, 7000, 30)
JOBS = [Job(RUN, "sa"), Job(replace(RUN, run_seed=1), "random")]


def plain(found):
    return {job: [{**row, "cpu_s": 0} for row in rows] for job, rows in found.items()}


class TestJobsOf:
    def test_annealing_runs_beside_one_objective_of_one_fidelity(self):
        assert [(job.sampler, job.multi) for job in jobs_of([RUN])] == [("gp", False), ("sa", False)]

    def test_a_single_fidelity_runs_beside_several(self):
        assert [(job.sampler, job.multi) for job in jobs_of([replace(RUN, problem="mf_ising")])] == [("gp", True), ("gp", False)]

    def test_two_objectives_run_alone(self):
        assert len(jobs_of([replace(RUN, problem="ising_biobj")])) == 1


class TestMeasureAll:
    def test_all_is_told_and_kept_and_not_done_again(self, tmp_path, monkeypatch):
        told = []
        found = measure_all(JOBS, tmp_path, 0, told.append)
        assert sum(told) == pytest.approx(sum(map(cost_of, JOBS)))
        assert len(list(tmp_path.glob("*.json"))) == 2
        monkeypatch.setattr(bo_jobs, "drive", pytest.fail)
        assert measure_all(JOBS, tmp_path, 0) == found

    def test_what_was_done_before_a_failure_is_gone_on_from(self, tmp_path, monkeypatch):
        drive, done = bo_jobs.drive, []

        def fails_on_the_second(job):
            if done:
                raise KeyError
            done.append(job)
            return drive(job)

        monkeypatch.setattr(bo_jobs, "drive", fails_on_the_second)
        with pytest.raises(KeyError):
            measure_all(JOBS, tmp_path, 0)
        monkeypatch.setattr(bo_jobs, "drive", lambda job: done.append(job) or drive(job))
        found = measure_all(JOBS, tmp_path, 0)
        assert sorted(job.run.run_seed for job in done) == [0, 1]
        assert plain(found) == plain(measure_all(JOBS, None, 0))

    @pytest.mark.parametrize("broken", ["{", "[]", '{"config": {}}'])
    def test_a_torn_or_foreign_file_is_done_again(self, tmp_path, broken):
        found = measure_all(JOBS[:1], tmp_path, 0)
        (file,) = tmp_path.glob("*.json")
        file.write_text(broken)
        assert plain(measure_all(JOBS[:1], tmp_path, 0)) == plain(found)
        assert json.loads(file.read_text())["rows"][0]["n"] == 20

    def test_rows_of_other_code_are_done_again(self, tmp_path, monkeypatch):
        measure_all(JOBS[:1], tmp_path, 0)
        monkeypatch.setattr(bo_jobs, "model_version", lambda: "another")
        done, drive = [], bo_jobs.drive
        monkeypatch.setattr(bo_jobs, "drive", lambda job: done.append(job) or drive(job))
        measure_all(JOBS[:1], tmp_path, 0)
        assert done == JOBS[:1]

    def test_processes_find_the_same(self, tmp_path):
        assert plain(measure_all(JOBS, tmp_path, 2)) == plain(measure_all(JOBS, None, 0))
