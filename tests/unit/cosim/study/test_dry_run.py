"""A dry run: it counts what a sweep then computes, and its time is what its parts add up to."""

import numpy as np
import pytest

from cosim.study import dry_run as module
from cosim.study.designs import points_of
from cosim.study.dry_run import DryRun, Size, Times, count_cost_rows, dry_run
from cosim.study.evaluate import Evaluator
from cosim.study.networks import NetworkVariants
from cosim.study.objectives import read_objective
from cosim.study.space import Axis, Space
from cosim.study.spec import AccuracySettings, Design, Study, StudyWorkload
from workloads.errors import SpecError
from workloads.registry import load_workload

ROWS, CLOCK = "devices.npu.rows", "devices.npu.clock"


def study_of(axes, networks=("lenet5",), chips=("edge_npu_soc",), objectives=("energy",), **settings):
    space = Space(tuple(Axis(path, "categorical", tuple(levels), (path,)) for path, levels in axes.items()))
    workloads = tuple(StudyWorkload(one, one) for one in networks)
    return Study("s", "", space, tuple(chips), workloads, tuple(map(read_objective, objectives)), **settings)


def costed(study):
    """Rows of costs that an evaluator makes for all points."""
    evaluator = Evaluator(study)
    evaluator.evaluate(study.space.listed)
    n = 0
    for (_, source), blocks in evaluator.runner._blocks.items():
        network = evaluator.runner.network(source)
        n += sum(len(network.tables[column]) for column in np.nonzero(blocks.block_of >= 0)[1])
    return n


class TestCostRows:
    @pytest.mark.parametrize(
        ("axes", "more"),
        [
            ({ROWS: (32, 64, 96)}, {}),
            ({ROWS: (32, 64), "memory.backing.part": ("dram/lpddr5_6400_x32", "dram/ddr4_3200_x64")}, {}),
            ({ROWS: (32, 64), "weight_bits": (4, 8)}, {"networks": ("lenet5", "mlp_mnist")}),
            ({"chip": ("edge_npu_soc", "edge_cim_soc"), "weight_bits": (4, 8)}, {"chips": ("edge_npu_soc", "edge_cim_soc")}),
            ({"network": ("lenet5", "mlp_mnist"), CLOCK: ("600 MHz", "1 GHz")}, {}),
            ({"layers.fc1.weight_bits": (4, 8), ROWS: (32, 64)}, {"networks": ("mlp_mnist",)}),
        ],
    )
    def test_they_are_those_that_an_evaluator_makes(self, axes, more):
        study = study_of(axes, **more)
        assert count_cost_rows(study, study.space.listed) == costed(study) > 0

    def test_by_hand(self):
        n_ops = len(NetworkVariants(load_workload("lenet5")).workload.ops)
        one = study_of({CLOCK: ("600 MHz",)})
        n = count_cost_rows(one, one.space.listed)
        n_devices = len(Evaluator(one).chips[0].device_names)
        assert n % n_devices == 0
        assert n // n_devices <= n_ops  # ops of one signature are costed once
        two = study_of({CLOCK: ("600 MHz", "1 GHz")})
        assert count_cost_rows(two, two.space.listed) == n + n // n_devices  # the npu alone is another

    def test_what_devices_do_not_see_costs_nothing(self):
        one = study_of({"memory.backing.part": ("dram/lpddr5_6400_x32",)})
        three = study_of({"memory.backing.part": ("dram/lpddr5_6400_x32", "dram/ddr4_3200_x64", "dram/lpddr4x_4266")})
        assert count_cost_rows(three, three.space.listed) == count_cost_rows(one, one.space.listed)

    def test_points_that_cannot_be_built_or_read_cost_nothing(self):
        bad = study_of({ROWS: (32, "many"), "weight_bits": (8, 99), "network": ("lenet5", "no_such_net")})
        good = study_of({ROWS: (32,), "weight_bits": (8,), "network": ("lenet5",)})
        only_bits = study_of({ROWS: (32,), "weight_bits": (8, 99), "network": ("lenet5", "no_such_net")})
        n = count_cost_rows(good, good.space.listed)
        assert count_cost_rows(only_bits, only_bits.space.listed) == count_cost_rows(bad, bad.space.listed) == n

    def test_no_points_no_costs(self):
        study = study_of({ROWS: (32, 64)})
        assert count_cost_rows(study, study.space.listed[:0]) == 0


class TestCounts:
    def test_grid_feasible_points_and_rows(self):
        study = study_of({"memory.backing.capacity": ("1 GiB", "1 KiB"), ROWS: (32, 64, 96)}, networks=("lenet5", "mlp_mnist"), fits=True)
        found = dry_run(study)
        assert (found.n_grid, found.n_feasible, found.feasible_share) == (6, 3, 0.5)
        assert (found.size.n_points, found.size.n_rows) == (3, 6)
        assert found.size.n_cost_rows == count_cost_rows(study, study.space.listed[:3])

    def test_a_design_takes_some_of_the_grid(self):
        found = dry_run(study_of({ROWS: (16, 32, 64, 96), "weight_bits": (4, 6, 8)}, design=Design("lhs", 5)))
        assert (found.n_grid, found.n_feasible, found.size.n_points) == (12, 12, 5)

    def test_equal_points_are_one_row(self):
        assert dry_run(study_of({CLOCK: ("800 MHz", "0.8 GHz")})).size.n_rows == 1

    def test_a_grid_too_large_to_list_is_for_a_search_or_a_sample(self, monkeypatch):
        monkeypatch.setattr("cosim.study.space._LISTED", 10)
        axes = {"memory.backing.capacity": ("1 GiB", "1 KiB"), ROWS: (16, 32, 64, 96), "weight_bits": (4, 8)}
        found = dry_run(study_of(axes, fits=True))
        assert (found.n_grid, found.n_feasible, found.size) == (16, None, None)
        assert found.feasible_share == pytest.approx(0.5, abs=0.05)  # 4096 draws: 6 standard deviations
        sampled = dry_run(study_of(axes, fits=True, design=Design("random", 3)))
        assert (sampled.n_feasible, sampled.size.n_points) == (None, 3)

    def test_a_study_without_points_is_refused(self):
        with pytest.raises(SpecError, match="no point keeps"):
            dry_run(study_of({"memory.backing.capacity": ("1 KiB",)}, fits=True))


class TestTimes:
    SIZE = Size(1000, 2000, 500, Times(start_s=2.0, point_s=0.01, cost_row_s=0.002, accuracy_s=3.0, n_accuracies=4))

    def test_seconds_add_up(self):
        assert self.SIZE.cpu_s() == pytest.approx(1000 * 0.01 + 500 * 0.002 + 4 * 3.0)
        assert self.SIZE.wall_s(1) == pytest.approx(2.0 + 23.0)

    def test_workers_share_points_and_accuracies_but_not_costs(self):
        assert self.SIZE.wall_s(4) == pytest.approx(2.0 + 1.0 + (10.0 + 12.0) / 4)

    def test_they_are_of_a_few_points(self, monkeypatch):
        seen = []
        real = Evaluator.evaluate
        monkeypatch.setattr(Evaluator, "evaluate", lambda self, codes: seen.append(len(codes)) or real(self, codes))
        study = study_of({ROWS: tuple(range(8, 128, 2)), CLOCK: tuple(f"{f} MHz" for f in range(400, 1000, 20))})
        monkeypatch.setattr(module, "_ENOUGH_S", 0.0)
        times = dry_run(study).size.times
        assert seen == [1, 8, 8]
        assert times.point_s >= 0
        assert times.cost_row_s >= 0
        assert times.start_s > module._PROCESS_S
        assert (times.accuracy_s, times.n_accuracies) == (0.0, 0)

    def test_more_are_timed_where_they_are_fast_up_to_all_of_them(self, monkeypatch):
        seen = []
        real = Evaluator.evaluate
        monkeypatch.setattr(Evaluator, "evaluate", lambda self, codes: seen.append(len(codes)) or real(self, codes))
        monkeypatch.setattr(module, "_ENOUGH_S", 1e9)
        dry_run(study_of({ROWS: tuple(range(8, 48, 2)), "weight_bits": (8,)}))
        assert seen == [1, 8, 8, 1, 20, 20]

    def test_replicates_take_their_times_over(self, monkeypatch):
        monkeypatch.setattr(module, "_seconds", lambda job, sample: (1.0, 3.0 * len(sample), 1.0 * len(sample)))
        axes = {ROWS: (32, 64), "weight_bits": (4, 8)}
        one, three = dry_run(study_of(axes)).size, dry_run(study_of(axes, replicates=3)).size
        assert one.times.point_s == pytest.approx(1.0)
        assert one.times.cost_row_s == pytest.approx(2.0 * 4 / one.n_cost_rows)
        assert three.times.point_s == pytest.approx(3.0)
        assert three.times.cost_row_s == pytest.approx(3 * one.times.cost_row_s)

    def test_accuracies_are_timed_apart(self):
        settings = AccuracySettings("mnist5k", n_inputs=20)
        study = study_of({"weight_bits": (8, 4), ROWS: (32, 64)}, networks=("cnn_small",), objectives=("accuracy",), accuracy=settings)
        size = dry_run(study).size
        assert size.times.n_accuracies == 2
        assert size.times.accuracy_s > 0
        assert size.n_rows == 4 + 2


def test_what_is_counted_is_what_is_swept():
    study = study_of({ROWS: (32, 64), "weight_bits": (4, 8)}, fits=True)
    found = dry_run(study)
    assert isinstance(found, DryRun)
    assert found.size.n_points == len(points_of(study, study.space))
