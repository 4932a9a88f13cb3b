"""A study as a sweep: its parts, what evaluates them, and that some workloads alone give the rows that all together give."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from cosim.provenance import model_version
from cosim.study.accuracy import AccuracyEvaluator
from cosim.study.chunks import Inline
from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.judge import ALL_COLUMNS
from cosim.study.objectives import read_objective
from cosim.study.rows import FAILED, OK
from cosim.study.space import Axis, Space
from cosim.study.spec import AccuracySettings, Design, Study, StudyWorkload
from cosim.study.store import Store
from cosim.study.study_job import ACCURACY, designs_of, study_hash, study_job, study_points
from cosim.study.sweep import Options, sweep
from workloads.errors import SpecError

AXES = {"weight_bits": (8, 4), "devices.npu.rows": (32, 64), "devices.npu.clock": ("600 MHz", "1 GHz")}


def study_of(axes=AXES, networks=("lenet5", "mlp_mnist"), objectives=("energy",), chips=("edge_npu_soc",), **settings):
    space = Space(tuple(Axis(path, "categorical", tuple(levels), (path,)) for path, levels in axes.items()))
    workloads = tuple(StudyWorkload(one, one) for one in networks)
    return Study("s", "text", space, chips, workloads, tuple(map(read_objective, objectives)), **settings)


def rows_by_key(rows):
    return dict(zip(rows.keys, zip(rows.status.tolist(), rows.error, rows.values.tolist(), rows.designs, strict=True), strict=True))


class TestParts:
    def test_one_part_of_all_points_in_the_order_of_the_grid(self):
        study = study_of()
        job = study_job(study)
        (part,) = job.parts
        np.testing.assert_array_equal(part.codes, study.space.listed)
        assert job.workloads == ("lenet5", "mlp_mnist")
        assert job.keys == [Evaluator(study).keys(study.space.listed)]
        assert len(job.distinct()) == 8 * 2

    def test_rows_come_from_the_study_its_text_rung_models_and_seed(self):
        (part,) = study_job(study_of(seed=5, fidelity="mapped")).parts
        origin = part.origin
        assert (origin.study, origin.fidelity, origin.model_version, origin.seed) == ("s", "mapped", model_version(), 5)
        assert origin.study_hash == hashlib.sha256(b"text").hexdigest()[:16] == study_hash(study_of())
        assert part.cost == 1.0

    def test_a_row_costs_what_the_studys_ladder_says(self):
        ladder = {"bound": 0.05, "event": 3.0}
        assert study_job(study_of(ladder=ladder)).parts[0].cost == 3.0
        assert study_job(study_of(ladder=ladder, fidelity="bound")).parts[0].cost == 0.05

    def test_each_replicate_is_a_part_with_a_seed_of_its_own(self):
        study = study_of({"weight_bits": (8, 4)}, networks=("lenet5",), policy="anneal:50", replicates=3, seed=10)
        job = study_job(study)
        assert [part.origin.seed for part in job.parts] == [10, 11, 12]
        assert len({key for keys in job.keys for key in keys}) == 6
        for seed, keys in zip((10, 11, 12), job.keys, strict=True):
            assert keys == Evaluator(replace(study, seed=seed)).keys(study.space.listed)

    def test_the_points_may_be_given(self):
        codes = np.array([[1, 1, 1], [0, 0, 1]])
        np.testing.assert_array_equal(study_job(study_of(), codes).parts[0].codes, codes)

    def test_the_design_chooses_points(self):
        study = study_of(design=Design("random", 3), designs=({"weight_bits": 4, "devices.npu.rows": 64, "devices.npu.clock": "1 GHz"},))
        codes = study_points(study)
        assert codes.shape == (4, 3)
        assert codes[0].tolist() == [1, 1, 1]
        assert len(np.unique(codes, axis=0)) == 4

    def test_points_that_find_no_room_are_left_out_where_the_study_says_so(self):
        study = study_of({"memory.backing.capacity": ("1 GiB", "1 KiB")}, networks=("lenet5",))
        assert len(study_points(study)) == 2
        assert study_points(replace(study, fits=True)).tolist() == [[0]]

    def test_no_points_are_a_mistake(self):
        study = study_of({"memory.backing.capacity": ("1 KiB",)}, networks=("lenet5",), fits=True)
        with pytest.raises(SpecError, match="'s': no point keeps to all its constraints"):
            study_job(study)

    def test_what_the_rung_does_not_give_is_a_mistake(self):
        with pytest.raises(SpecError, match="bound"):
            study_job(study_of(objectives=("loss",), fidelity="bound"))

    def test_accuracy_without_data_is_a_mistake(self):
        with pytest.raises(SpecError, match="wants accuracy and names no data"):
            study_job(study_of(objectives=("energy", "accuracy")))


class TestSomeWorkloads:
    @pytest.mark.parametrize("workloads", [(0,), (1,), (0, 1), (1, 0)])
    def test_rows_are_those_of_all_workloads_together(self, workloads):
        study = study_of()
        job = study_job(study)
        alone = job.task.makes[0](workloads)
        codes = study.space.listed[[0, 3, 6]]
        found, whole = rows_by_key(alone.evaluate(codes)), rows_by_key(Evaluator(study).evaluate(codes))
        assert list(found) == alone.keys(codes)
        keys = np.array(Evaluator(study).keys(codes)).reshape(-1, 2)
        assert list(found) == keys[:, list(workloads)].ravel().tolist()
        for key, (status, error, values, design) in found.items():
            assert (status, error, design) == (whole[key][0], whole[key][1], whole[key][3])
            np.testing.assert_array_equal(values[: len(COLUMNS)], whole[key][2])
            assert np.isnan(values[len(COLUMNS) :]).all()

    def test_a_network_that_an_axis_names_is_run_with_the_others_and_its_rows_alone_are_kept(self):
        study = study_of({"network": ("lenet5", "mlp_mnist"), "weight_bits": (8, 4)}, networks=("lenet5", "dscnn_kws"))
        task, codes = study_job(study).task, study.space.listed
        whole = task.makes[0]((0, 1))
        keys = np.array(whole.keys(codes)).reshape(-1, 2)
        for w in (0, 1):
            alone = task.makes[0]((w,))
            assert alone.keys(codes) == keys[:, w].tolist()
            rows = alone.evaluate(codes)
            assert list(rows.keys) == keys[:, w].tolist()
            assert rows.workload.tolist() == [0] * 4  # of those it was made of
            np.testing.assert_array_equal(rows.values, whole.evaluate(codes).values.reshape(4, 2, -1)[:, w])

    def test_rows_have_the_columns_of_accuracy_too(self):
        study = study_of(networks=("lenet5",))
        rows = study_job(study).task.makes[0]((0,)).evaluate(study.space.listed[:1])
        assert rows.values.shape == (1, len(ALL_COLUMNS))

    def test_a_sweep_of_one_workload_then_both_has_the_rows_of_both_at_once(self, tmp_path):
        one, both = study_job(study_of(networks=("lenet5",))), study_job(study_of())
        tables = []
        for name, jobs in (("steps", (one, both)), ("at once", (both,))):
            with Store(tmp_path / f"{name}.db", ALL_COLUMNS, write=True) as store:
                counts = [sweep(job, store, lambda job=job: Inline(job.task), Options(resume=True)).acknowledged for job in jobs]
                tables.append([(row.key, row.workload, row.failed, row.values) for row in store.read()])
                assert counts == ([8, 8] if len(jobs) == 2 else [16])
        assert tables[0] == tables[1]


class TestAccuracy:
    @pytest.fixture
    def study(self):
        axes = {"weight_bits": (8, 4), "devices.npu.rows": (32, 64)}
        settings = AccuracySettings("mnist5k", n_inputs=20)
        return study_of(axes, networks=("cnn_small",), objectives=("energy", "accuracy"), accuracy=settings, seed=3)

    def test_accuracies_are_a_part_of_their_own_with_each_measured_once(self, study):
        job = study_job(study)
        simulated, measured = job.parts
        assert (measured.origin.fidelity, measured.origin.seed, measured.cost) == (ACCURACY, 3, 1.0)
        np.testing.assert_array_equal(measured.codes, AccuracyEvaluator(study).distinct(simulated.codes))
        assert len(measured.codes) == 2  # bits, whatever the array: it computes digitally
        assert job.keys[1] == AccuracyEvaluator(study).keys(measured.codes)
        assert len(job.distinct()) == 4 + 2

    def test_without_a_wish_for_it_none_is_measured(self, study):
        assert len(study_job(replace(study, objectives=(read_objective("energy"),))).parts) == 1

    def test_a_row_of_an_accuracy_has_no_levels_and_the_others_have_their_own(self, study):
        job = study_job(study)
        designs = designs_of(job)
        assert set(designs) == set(job.distinct())
        assert [designs[key] for key in job.keys[0]] == study.space.decode(study.space.listed)
        assert [designs[key] for key in job.keys[1]] == [{}, {}]


class TestDesigns:
    def test_points_that_share_a_row_show_the_first(self):
        study = study_of({"devices.npu.clock": ("800 MHz", "0.8 GHz"), "weight_bits": (8, 4)}, networks=("lenet5",))
        job = study_job(study)
        assert len(job.distinct()) == 2
        assert [one["devices.npu.clock"] for one in designs_of(job).values()] == ["800 MHz", "800 MHz"]

    def test_each_workload_of_a_point_has_its_levels(self):
        job = study_job(study_of())
        found = [designs_of(job)[key] for key in job.keys[0]]
        assert found[::2] == found[1::2] == study_of().space.decode(study_points(study_of()))


def test_a_point_that_cannot_be_run_has_a_row_that_says_why():
    study = study_of({"weight_bits": (8, 99)}, networks=("lenet5",))
    job = study_job(study)
    rows = job.task.rows(job.task.makes[0]((0,)), study.space.listed, (0,))
    assert rows.status.tolist() == [OK, FAILED]
    assert "99 is out of range" in rows.error[1]
