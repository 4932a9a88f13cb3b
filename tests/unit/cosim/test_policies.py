"""The classic policies on graphs small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.plan import PlannedOp, Schedule, load_schedule, save_schedule
from cosim.scheduling import base
from cosim.scheduling.base import Plan, Policy, make_policy, plan_from_schedule, policy, policy_classes
from cosim.scheduling.kernels.ranks import ready_order, upward_rank
from cosim.scheduling.single import append_in_order
from cosim.testing import small_instance as instance
from workloads.errors import ScheduleError

NO = np.inf
RNG = np.random.default_rng(0)


def run(name, given):
    """The plan of a policy."""
    return make_policy(name).plan(given, RNG)


def random_instance(seed, n=25, m=3):
    """A random graph; an op in five cannot run on the last device."""
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1, 9, (n, m))
    cost[rng.random(n) < 0.2, m - 1] = NO
    edges = [(int(u), v, rng.uniform(0, 9)) for v in range(1, n) for u in np.unique(rng.integers(0, v, 2))]
    return instance(cost, edges, bandwidth=2.0, latency=0.3)


def assert_is_valid(given, plan):
    """Inputs arrive before a task starts, devices do one thing at a time, no task runs where it cannot."""
    cost_s = given.cost_s[np.arange(given.n_tasks), plan.assignment]
    assert plan.end_s == pytest.approx(plan.start_s + cost_s)
    for edge, (u, v) in enumerate(zip(given.edge_src, given.edge_dst, strict=True)):
        p, q = plan.assignment[u], plan.assignment[v]
        transfer_s = 0.0 if p == q else given.latency_s[p, q] + given.edge_bytes[edge] / given.bandwidth_bytes_per_s[p, q]
        assert plan.start_s[v] >= plan.end_s[u] + transfer_s - 1e-9
    for device in range(given.n_devices):
        tasks = np.flatnonzero(plan.assignment == device)
        tasks = tasks[np.argsort(plan.start_s[tasks])]
        assert (plan.start_s[tasks][1:] >= plan.end_s[tasks][:-1] - 1e-9).all()
    assert plan.makespan_s == plan.end_s.max()


@pytest.mark.parametrize("name", ["heft", "greedy", "single", "single:npu"])
@pytest.mark.parametrize("seed", range(12))
def test_every_plan_is_valid_and_ordered_by_start(name, seed):
    given = random_instance(seed)
    plan = run(name, given)
    assert_is_valid(given, plan)
    order = np.argsort(-plan.priority)
    assert (np.diff(plan.start_s[order]) >= 0).all()
    assert sorted(plan.priority.tolist()) == list(range(1, given.n_tasks + 1))


def test_means_are_over_supporting_devices_and_ordered_pairs():
    given = instance([[2, 4, NO]], latency_s=np.array([[9, 1, 2], [3, 9, 4], [5, 6, 9.0]]), bandwidth_bytes_per_s=np.full((3, 3), 2.0))
    assert given.mean_cost_s.tolist() == [3.0]
    chain = instance([[1, 1], [1, 1]], [(0, 1, 12)], bandwidth_bytes_per_s=[[0, 2], [4, 0]], latency_s=[[0, 1], [2, 0]])
    assert chain.mean_transfer_s.tolist() == [1.5 + 12 * (0.5 + 0.25) / 2]


def test_upward_rank_is_the_mean_length_of_the_longest_way_out():
    given = instance([[1, 3], [2, 2], [4, 8]], [(0, 1, 5), (0, 2, 1)])
    rank_s = upward_rank(given.arrays)
    assert rank_s.tolist() == [2 + max(5 + 2, 1 + 6), 2.0, 6.0]
    assert ready_order(given.arrays, rank_s).tolist() == [0, 2, 1]


def test_equal_ranks_go_by_topological_order():
    given = instance([[1, 1]] * 4, [(3, 1, 0)])
    assert given.topological_order.tolist() == [0, 2, 3, 1]
    assert ready_order(given.arrays, np.zeros(4)).tolist() == [0, 2, 3, 1]


def test_transfers_cost_nothing_on_one_device_and_everything_but_time_runs_side_by_side():
    given = instance([[1, NO], [NO, 1], [1, NO]], [(0, 1, 6), (0, 2, 99)], bandwidth=3.0, latency=0.5)
    assert given.ready_s(1, np.array([0, 0, 0]), np.array([1.0, 0, 0])).tolist() == [1.0, 1 + 0.5 + 2]
    plan = run("heft", given)
    assert plan.start_s.tolist() == [0.0, 3.5, 1.0]


def test_heft_keeps_a_chain_on_the_device_whose_transfer_would_cost_more_than_it_saves():
    # The second op is 2 s faster on the other device, but its input would take 3 s to get there.
    assert run("heft", instance([[1, 9], [4, 2]], [(0, 1, 3)])).assignment.tolist() == [0, 0]
    assert run("heft", instance([[1, 9], [4, 2]], [(0, 1, 1)])).assignment.tolist() == [0, 1]


def test_heft_inserts_into_a_gap():
    # Ranks 0 > 1 > 2; device 0 waits from 0 to 3 for the input of task 1, and task 2 fits in there.
    given = instance([[NO, 1], [9, NO], [2, NO]], [(0, 1, 2)])
    plan = run("heft", given)
    assert plan.start_s.tolist() == [0.0, 3.0, 0.0]
    assert plan.priority[2] > plan.priority[1]


def test_of_two_devices_that_end_a_task_together_the_first_is_taken():
    for name in ("heft", "greedy", "single"):
        assert run(name, instance([[5, 5, 5]])).assignment.tolist() == [0]


def test_greedy_does_not_look_back():
    # The gap that HEFT fills: greedy goes through tasks as they come and appends.
    given = instance([[NO, 1], [9, NO], [2, NO]], [(0, 1, 2)])
    assert run("greedy", given).start_s.tolist() == [0.0, 3.0, 12.0]


def test_greedy_takes_the_device_where_a_task_ends_first():
    assert run("greedy", instance([[3, 4], [3, 4]])).assignment.tolist() == [0, 1]
    assert run("greedy", instance([[3, NO], [3, NO]])).assignment.tolist() == [0, 0]


def test_tasks_are_not_appended_where_they_cannot_run():
    given = instance([[1, NO], [1, 1]])
    assert append_in_order(given, np.array([-1, 1])).assignment.tolist() == [0, 1]
    with pytest.raises(ScheduleError, match="task 't0' is placed on 'gpu', which cannot run it"):
        append_in_order(given, np.array([1, 1]))


def test_single_takes_the_device_that_does_everything_soonest():
    plan = run("single", instance([[1, 2], [9, 3]], [(0, 1, 7)]))
    assert plan.assignment.tolist() == [1, 1]
    assert plan.makespan_s == 5.0


def test_single_prefers_a_device_that_supports_everything():
    # The array would be faster for the first op, but cannot run the second one.
    assert run("single", instance([[9, 1], [1, NO]])).assignment.tolist() == [0, 0]


def test_what_the_one_device_cannot_run_goes_to_the_fastest_that_can():
    given = instance([[9, 8, 1], [3, 2, NO]], [(0, 1, 1)])
    plan = run("single:npu", given)
    assert plan.assignment.tolist() == [2, 1]
    assert plan.makespan_s == 1 + 1 + 2


def test_single_without_a_complete_device_takes_the_least_makespan():
    given = instance([[4, 5, NO], [4, NO, NO], [NO, 9, 1]])
    assert run("single", given).assignment.tolist() == [0, 0, 2]


def test_one_device_runs_everything_in_topological_order():
    plan = run("heft", instance([[1.0]] * 3, [(2, 0, 5)]))
    assert plan.makespan_s == 3.0
    assert plan.start_s[0] >= plan.end_s[2]


def test_an_empty_graph_has_an_empty_plan():
    empty = instance(np.zeros((0, 2)))
    for name in ("heft", "greedy", "single"):
        assert run(name, empty).makespan_s == 0.0


def test_policies_come_by_name():
    assert {"heft", "greedy", "single"} <= set(policy_classes())
    assert make_policy("single:gpu").argument == "gpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hefd", "policy 'hefd' is not known; did you mean 'heft'"),
        ("", "policy '' is not known; choose one of: .*cpop, .*fixed, greedy, heft, "),
        ("heft:fast", "policy 'heft' takes no argument, but 'fast' was given; write 'heft'"),
    ],
)
def test_a_name_that_is_not_known_is_refused(text, message):
    with pytest.raises(ScheduleError, match=message):
        make_policy(text)


def test_single_refuses_a_device_that_does_not_exist():
    with pytest.raises(ScheduleError, match="no device is called 'gpx'; did you mean 'gpu'"):
        run("single:gpx", instance([[1, 1]]))


def test_a_policy_of_another_package_registers_by_name(monkeypatch):
    policy_classes()
    monkeypatch.setitem(base._POLICIES, "first", None)
    del base._POLICIES["first"]

    @policy("first")
    class First(Policy):
        def plan(self, given, rng):
            zero = np.zeros(given.n_tasks)
            return Plan(np.zeros(given.n_tasks, np.int64), zero, zero, zero, 0.0)

    assert isinstance(make_policy("first"), First)
    assert First.name == "first"


def test_a_saved_plan_is_replayed_as_it_was(tmp_path):
    given = random_instance(3)
    plan = run("greedy", given)  # appends, as the engine does
    named = zip(given.task_names, plan.assignment.tolist(), plan.priority.tolist(), strict=True)
    ops = tuple(PlannedOp(name, given.device_names[device], priority) for name, device, priority in named)
    save_schedule(Schedule("net", "chip", ops, "greedy"), tmp_path / "plan.json")
    again = plan_from_schedule(load_schedule(tmp_path / "plan.json"), given)
    assert again.assignment.tolist() == plan.assignment.tolist()
    assert again.priority.tolist() == plan.priority.tolist()
    assert again.makespan_s <= plan.makespan_s * (1 + 1e-12)
    assert_is_valid(given, again)


def test_a_replay_follows_priorities_and_not_planned_times():
    given = instance([[1.0], [1.0]])
    plan = plan_from_schedule(Schedule.of("net", "chip", [("t0", "cpu", 1), ("t1", "cpu", 2)]), given)
    assert plan.start_s.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("t0", "cpu", 1.0)], "op 't1' of the workload not scheduled"),
        ([("t0", "cpu", 1.0), ("t2", "cpu", 1.0)], r"ops\[1\].name: 't2' is no op"),
        ([("t0", "cpu", 1.0), ("t1", "cpuu", 1.0)], r"ops\[1\].device: 'cpuu' is no device of the chip; did you mean 'cpu'"),
        ([("t0", "gpu", 1.0), ("t1", "cpu", 1.0)], r"ops\[0\].device: 'gpu' cannot run op 't0'; choose cpu"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(entries, message):
    with pytest.raises(ScheduleError, match=message):
        plan_from_schedule(Schedule.of("net", "chip", entries), instance([[1, NO], [1, 1]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost_s": [[1.0, -2.0], [1, 1]]}, "cost of task 't0' on 'gpu' is -2.0"),
        ({"cost_s": [[np.nan, 1.0], [1, 1]]}, "cost of task 't0' on 'cpu' is nan"),
        ({"cost_s": [[1, 1], [NO, NO]]}, "task 't1' is supported by no device"),
        ({"cost_s": [[1, 1]]}, r"cost_s has shape \(1, 2\); with 2 tasks, 2 devices and 1 edges it must be \(2, 2\)"),
        ({"edge_dst": [2]}, r"edge_dst\[0\] = 2 is no task"),
        ({"edge_dst": [0]}, "cycle, so task 't0' could never start"),
        ({"edge_dst": [0.5]}, "edge_dst holds float64"),
        ({"edge_bytes": [-1.0]}, r"edge_bytes\[0\] = -1.0"),
        ({"bandwidth_bytes_per_s": [[0, 0], [1, 0]]}, "bandwidth from 'cpu' to 'gpu' is 0.0; it must be above 0"),
        ({"latency_s": [[0, 0], [-1, 0]]}, "latency from 'gpu' to 'cpu' is -1.0"),
    ],
)
def test_an_instance_that_cannot_be_planned_is_refused(changes, message):
    with pytest.raises(ScheduleError, match=message):
        instance([[1, 1], [1, 1]], [(0, 1, 1)], **changes)


def test_neighbors_are_listed_in_edge_order():
    given = instance([[1]] * 4, [(0, 2, 1), (1, 2, 1), (0, 3, 1), (0, 2, 5)])
    assert given.successors == ((2, 3, 2), (2,), (), ())
    assert given.in_edges[2] == (0, 1, 3)


def test_the_diagonal_of_the_links_is_not_used():
    given = instance([[1, 5]] * 2, [(0, 1, 4)], latency_s=[[np.nan, 1], [1, np.nan]], bandwidth_bytes_per_s=[[0, 2], [2, 0]])
    assert run("heft", given).makespan_s == 2.0
    assert given.mean_transfer_s.tolist() == [3.0]
