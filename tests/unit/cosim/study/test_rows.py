"""Rows of points: joined, renamed to the study's workloads, and made of points that cannot be computed."""

import json
import pickle

import numpy as np
import pytest

from cosim.study.rows import FAILED, OK, Rows, Task, joined


@pytest.fixture
def task(fake):
    return fake.job().task


def codes_of(*points):
    return np.array(points, dtype=np.int64)


class TestRows:
    def test_each_point_has_a_row_a_workload(self, fake, task):
        codes = codes_of((0, 0, 0), (2, 3, 1))
        rows = task.rows(fake.Fake((0, 1)), codes, (0, 1))
        assert rows.workload.tolist() == [0, 1, 0, 1]
        assert rows.keys == fake.Fake((0, 1)).keys(codes)
        assert rows.values[:, 0].tolist() == [0.0, 0.0, 2 + 3 / 3 + 1 / 7, 2 * (2 + 3 / 3 + 1 / 7)]
        assert rows.status.tolist() == [OK] * 4

    def test_a_row_that_failed_says_why(self, fake, task):
        rows = task.rows(fake.Fake((0,)), codes_of((0, 1, 0), (0, 0, 0)), (0,))
        assert rows.status.tolist() == [FAILED, OK]
        assert rows.error == ["op 'conv': cannot be mapped, 5 bits", ""]
        assert np.isnan(rows.values[0]).all()

    def test_an_evaluator_of_some_workloads_gives_rows_of_the_study_s(self, fake, task):
        codes = codes_of((1, 2, 3), (2, 0, 0))
        every, second = task.rows(fake.Fake((0, 1)), codes, (0, 1)), task.rows(fake.Fake((1,)), codes, (1,))
        mine = np.flatnonzero(every.workload == 1)
        assert second.workload.tolist() == [1, 1]
        assert second.keys == [every.keys[i] for i in mine]
        np.testing.assert_array_equal(second.values, every.values[mine])
        assert second.designs == [every.designs[i] for i in mine]

    def test_workloads_out_of_order_keep_their_numbers(self, task, fake):
        rows = task.rows(fake.Fake((2, 0)), codes_of((0, 0, 0)), (2, 0))
        assert rows.workload.tolist() == [2, 0]

    def test_a_point_that_raises_fails_alone(self, fake, task):
        codes = codes_of((0, 0, 0), (1, 2, 1), (2, 0, 0))
        rows = task.rows(fake.Fake((0, 1), deadly="raises"), codes, (0, 1))
        good = fake.Fake((0, 1)).evaluate(codes)
        assert rows.status.tolist() == [OK, OK, FAILED, FAILED, OK, OK]
        assert rows.error == ["", "", "ZeroDivisionError: by zero", "ZeroDivisionError: by zero", "", ""]
        assert rows.keys == good.keys
        assert rows.designs == good.designs
        assert rows.workload.tolist() == [0, 1] * 3
        kept = rows.status == OK
        np.testing.assert_array_equal(rows.values[kept], good.values[kept])
        assert np.isnan(rows.values[~kept]).all()

    def test_a_point_is_tried_alone_once(self, task, fake):
        asked = []

        class Counting(fake.Fake):
            def evaluate(self, codes):
                asked.append(len(codes))
                return super().evaluate(codes)

        task.rows(Counting((0,), deadly="raises"), codes_of((0, 0, 0), (1, 2, 1), (2, 0, 0)), (0,))
        assert asked == [3, 1, 1, 1]

    def test_ctrl_c_is_no_failed_row(self, task, fake):
        class Interrupted(fake.Fake):
            def evaluate(self, codes):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            task.rows(Interrupted((0,)), codes_of((0, 0, 0)), (0,))


class TestFailed:
    def test_rows_without_results(self, task, fake):
        codes = codes_of((0, 1, 2), (2, 0, 3))
        keys = fake.Fake((0, 1)).keys(codes)
        rows = task.failed(keys, codes, (0, 1), "killed")
        assert rows.keys == keys
        assert rows.status.tolist() == [FAILED] * 4
        assert rows.error == ["killed"] * 4
        assert rows.values.shape == (4, len(fake.COLUMNS))
        assert np.isnan(rows.values).all()
        assert rows.workload.tolist() == [0, 1, 0, 1]
        designs = [json.loads(text) for text in rows.designs]
        assert designs[0] == designs[1] == {"node": "22nm", "bits": 5, "rows": 128}
        assert designs[2] == designs[3] == {"node": None, "bits": 4, "rows": 256}

    def test_of_one_workload_of_several(self, task, fake):
        codes = codes_of((0, 1, 2))
        rows = task.failed(fake.Fake((1,)).keys(codes), codes, (1,), "killed")
        assert rows.workload.tolist() == [1]


class TestJoined:
    def test_one_after_another(self, fake):
        first, second = fake.Fake((0, 1)).evaluate(codes_of((0, 0, 0))), fake.Fake((0, 1)).evaluate(codes_of((1, 1, 1), (2, 2, 2)))
        both, whole = joined([first, second]), fake.Fake((0, 1)).evaluate(codes_of((0, 0, 0), (1, 1, 1), (2, 2, 2)))
        assert (both.keys, both.error, both.designs) == (whole.keys, whole.error, whole.designs)
        for name in ("status", "values", "workload"):
            np.testing.assert_array_equal(getattr(both, name), getattr(whole, name))
            assert getattr(both, name).dtype == getattr(whole, name).dtype

    def test_what_it_is_given_may_be_read_once(self, fake):
        parts = (fake.Fake((0,)).evaluate(codes_of((i, 0, 0))) for i in range(3))
        assert joined(parts).values[:, 0].tolist() == [0.0, 1.0, 2.0]

    def test_one_is_itself(self, fake):
        rows = fake.evaluated(3)
        assert joined([rows]).keys == rows.keys


def test_a_task_is_sent_to_processes_once_and_means_the_same(fake):
    task = fake.job().task
    sent = pickle.loads(pickle.dumps(task))
    codes = codes_of((0, 2, 1))
    rows = sent.rows(sent.makes[0]((0, 1)), codes, (0, 1))
    assert isinstance(sent, Task)
    assert isinstance(rows, Rows)
    assert rows.keys == task.makes[0]((0, 1)).keys(codes)
    assert sent.columns == fake.COLUMNS
