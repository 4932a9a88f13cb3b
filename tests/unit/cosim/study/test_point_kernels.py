"""Phases of the kernel of design points against the Python that a single run goes through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.engine.compiled import play
from cosim.engine.kernels.simulate import simulate, unpack
from cosim.scheduling.base import make_policy
from cosim.simulation.bound import bound_plan
from cosim.simulation.critical_path import critical_path
from cosim.simulation.uncertainty import Exposure
from cosim.study.batch import Batch
from cosim.study.chip_points import ChipPoints
from cosim.study.cost_blocks import CostBlocks
from cosim.study.evaluate import Evaluator
from cosim.study.kernels.point_data import N_RESULTS
from cosim.study.kernels.point_energy import interval
from cosim.study.kernels.point_path import expose_latency, walk
from cosim.study.kernels.point_tables import first_look, second_look
from cosim.study.kernels.points import NONE_YET, plan_by_heft, play_bound
from cosim.study.single import simulation_of
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from hw_models.cost import Spread

AXES = {"devices.cim.n_macros": (1640, 30), "links.cim.latency": ("1 us", "40 us"), "weight_bits": (8, 4)}
NETWORK = "mlperf_tiny_resnet8_cifar"


class Bed:
    """One point of a study with its tables filled in, and the simulation that it stands for."""

    def __init__(self, codes, fidelity="event", network=NETWORK, axes=AXES):
        space = Space(tuple(Axis(path, "categorical", levels, (path,)) for path, levels in axes.items()))
        study = Study("s", "", space, ("edge_cim_soc",), (StudyWorkload(network, network),), (), fidelity=fidelity)
        rows = np.array([codes])
        self.evaluator = Evaluator(study)
        self.evaluator.evaluate(rows)
        self.batch = next(iter(self.evaluator.runner._batches.values()))
        variants, _ = ChipPoints(self.evaluator.chips[0]).rows(rows)
        run = self.evaluator.runs.fields(int(self.evaluator.runs.numbers(rows)[0]))
        self.network = self.batch.blocks.network
        work = self.network.work(run.weight_bits, run.activation_bits, run.weights, run.activations)
        self.point = self.evaluator.runner._points(self.batch, self.network, variants, [run], [work])[0]
        self.simulation = simulation_of(study, space.decode(rows)[0])
        self.s, self.a, self.chips, self.detail = self.batch._scratch(), self.batch.arrays, self.batch._chips(), np.zeros(2)
        self.tables = unpack(self.s.ints, self.s.floats)
        self.look(own_only=fidelity == "bound")

    def look(self, *, own_only=False):
        assert not first_look(self.network.arrays(), self.chips, self.point, self.s, self.tables, self.a, own_only, self.detail)


@pytest.fixture(params=[(0, 0, 0), (1, 0, 1), (1, 1, 0)], ids=str)
def bed(request):
    return Bed(request.param)


def test_a_policy_sees_what_it_sees_in_a_single_run(bed):
    expected = bed.simulation.instance()
    for name, array in bed.a._asdict().items():
        np.testing.assert_array_equal(array, getattr(expected.arrays, name), err_msg=name)
    found = bed.batch.seen(bed.point)
    for name in ("cost_s", "edge_src", "edge_dst", "edge_bytes", "latency_s", "task_loss"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    off_diagonal = ~np.eye(found.n_devices, dtype=bool)
    np.testing.assert_array_equal(found.bandwidth_bytes_per_s[off_diagonal], expected.bandwidth_bytes_per_s[off_diagonal])
    np.testing.assert_allclose(found.task_energy_j, expected.task_energy_j, rtol=1e-12)
    assert found.power_w == pytest.approx(expected.power_w, rel=1e-12)
    assert (found.task_names, found.device_names) == (expected.task_names, expected.device_names)


def test_the_engine_reads_the_tables_of_a_single_run(bed):
    expected = bed.simulation.instance().tables
    ints, floats, _ = expected.packed
    np.testing.assert_array_equal(bed.s.ints, ints)
    np.testing.assert_array_equal(bed.s.floats, floats)


def test_heft_plans_what_the_policy_plans(bed):
    expected = make_policy("heft").plan(bed.simulation.instance(), np.random.default_rng(0))
    plan_by_heft(bed.network.arrays(), bed.s, bed.a)
    np.testing.assert_array_equal(bed.s.assignment, expected.assignment)
    np.testing.assert_array_equal(bed.s.priority, expected.priority)


def test_arrays_that_a_plan_leaves_empty_serve_the_ops_that_are_on_them(bed):
    """All on the CPU: nothing is resident any more; as HEFT has it: what `Simulation.run` says is resident."""
    plan_by_heft(bed.network.arrays(), bed.s, bed.a)
    second_look(bed.network.arrays(), bed.chips, bed.point, bed.s, bed.tables, False, bed.detail)
    result = bed.simulation.run()
    assert [bool(bed.s.array_device[i] == d) for i, d in enumerate(bed.s.assignment)] == [op.resident for op in result.ops]
    bed.s.assignment[:] = 0
    second_look(bed.network.arrays(), bed.chips, bed.point, bed.s, bed.tables, False, bed.detail)
    assert (bed.s.array_device == -1).all()


def test_the_critical_path_is_that_of_a_single_run(bed):
    plan_by_heft(bed.network.arrays(), bed.s, bed.a)
    simulate(bed.s.ints, bed.s.floats, bed.s.assignment, bed.s.priority, bed.s.out)
    problem = bed.batch.seen(bed.point).tables.placed(bed.s.assignment, bed.s.priority)
    expected = critical_path(problem, play(problem))
    n = walk(bed.network.arrays(), bed.s, bed.a)
    assert [(op, None if edge < 0 else edge) for op, edge in bed.s.steps[:n].tolist()] == [(step.op, step.edge) for step in expected]
    np.testing.assert_array_equal(bed.s.steps_s[:n], [step.duration_s for step in expected])


def test_seconds_are_exposed_to_what_a_single_run_exposes_them_to(bed):
    result = bed.simulation.run()
    bed.batch.run(bed.point[None])
    expose_latency(bed.network.arrays(), bed.chips, bed.point, bed.s, bed.tables, bed.a)
    names = list(bed.batch.blocks.chip.spreads.name_of)
    found = {name: bed.s.spread[0, i] / bed.s.spread[1, i] for i, name in enumerate(names) if bed.s.spread[0, i] > 0}
    expected = {name: part for name, (_, part) in result.latency.by_name.items() if part > 0}
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("codes", [(0, 0, 0), (1, 1, 1)])
def test_the_bound_is_that_of_a_single_run(codes):
    bed = Bed(codes, "bound")
    expected = bound_plan(bed.simulation.instance())
    makespan_s = play_bound(bed.network.arrays(), bed.s, bed.tables, bed.a)
    n = bed.s.assignment.size
    np.testing.assert_array_equal(bed.s.assignment, expected.assignment)
    np.testing.assert_array_equal(bed.s.out[:n], expected.start_s)
    assert makespan_s == pytest.approx(expected.makespan_s, rel=1e-15)


def test_tables_can_be_filled_in_without_a_plan():
    bed = Bed((0, 0, 0))
    found = bed.batch.run(bed.point[None], NONE_YET)
    assert found.values.shape == (1, N_RESULTS)
    assert np.isnan(found.values).all()
    assert not found.wrong.any()


def test_a_chip_without_a_shared_memory_and_one_with_a_weight_store_of_its_own_have_batches_of_their_own():
    bed = Bed((0, 0, 0))
    blocks = CostBlocks(bed.evaluator.chips[0], bed.network)
    for has_weights, has_shared, roles, k in (
        (False, False, [0, 0], 1),
        (True, False, [1, 1], 2),
        (False, True, [0, 1], 2),
        (True, True, [1, 2], 3),
    ):
        batch = Batch(blocks, has_weights, has_shared, "fair", bound=False)
        assert batch.roles.tolist() == roles
        assert batch.tables.n_memories == k


spreads = st.lists(
    st.tuples(st.integers(0, 1000), st.lists(st.tuples(st.sampled_from("abcd"), st.floats(1.01, 20.0)), max_size=4)), min_size=1, max_size=6
)


@settings(max_examples=100, deadline=None)
@given(charges=spreads)
def test_intervals_are_those_of_an_exposure(charges):
    """Amounts under several factors of one name, in any order: sums of a ln f say all that the exposure keeps."""
    exposure, sums, logs = Exposure(), np.zeros(4), np.zeros(4)
    for amount, pairs in charges:
        exposure.add(amount, [Spread(*pair) for pair in pairs])
        for name, factor in pairs:
            i = "abcd".index(name)
            sums[i] += amount * np.log(factor)
            logs[i] = max(logs[i], np.log(factor))
    out = np.zeros(3)
    interval(sums, logs, exposure.total, out)
    np.testing.assert_allclose(out, [exposure.total, *exposure.interval()], rtol=1e-9, atol=1e-9 * max(exposure.total, 1e-300))
