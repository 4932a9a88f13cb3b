"""Keys of rows, and plans that are the same for all points."""

import hashlib

import numpy as np
import pytest

from cosim.plan import PlannedOp, Schedule, save_schedule
from cosim.study import keys
from cosim.study.plans import GivenPlan, given_plan, is_given
from workloads.errors import CosimError, ScheduleError
from workloads.registry import load_workload


def test_a_key_is_32_digits_of_a_hash_over_both_parts():
    prefixes = np.arange(32, dtype=np.uint8).reshape(2, 16)
    found = list(keys.row_keys(prefixes, [b"a", b"b"]))
    assert found == [hashlib.sha256(bytes(range(16)) + b"a").hexdigest()[:32], hashlib.sha256(bytes(range(16, 32)) + b"b").hexdigest()[:32]]


@pytest.mark.parametrize("change", [{"policy": "met"}, {"fidelity": "bound"}, {"seed": 1}, {"salt": "accuracy"}, {"network": b"other"}])
def test_a_run_is_hashed_with_all_that_can_change_a_number(change):
    given = {"network": b"net", "policy": "heft", "fidelity": "event", "seed": 0}
    assert keys.run_digest(**given) == keys.run_digest(**given)
    assert keys.run_digest(**given) != keys.run_digest(**{**given, **change})


def test_a_changed_model_changes_every_key(monkeypatch):
    before = keys.run_digest(b"net", "heft", "event", 0)
    monkeypatch.setattr(keys, "model_version", lambda: "another")
    assert keys.run_digest(b"net", "heft", "event", 0) != before


def test_the_learned_policy_stands_for_its_weights():
    assert keys.policy_text("heft") == "heft"
    text = keys.policy_text("learned:8")
    assert text.startswith("learned:8 ")
    assert len(text.split()[1]) == 16


def test_plans_are_equal_when_devices_and_order_are():
    a = GivenPlan(np.array([0, 1]), np.array([2.0, 1.0]))
    assert a.digest == GivenPlan(np.array([0, 1]), np.array([20.0, -1.0])).digest
    others = [GivenPlan(np.array([0, 0]), np.array([2.0, 1.0])), GivenPlan(np.array([0, 1]), np.array([1.0, 2.0]))]
    others.append(GivenPlan(np.array([0, 1]), np.array([1.0, 1.0])))
    assert len({a.digest, *(one.digest for one in others)}) == 4


def test_a_schedule_is_read_by_names(tmp_path):
    network = load_workload("mlp_mnist")
    ops = tuple(PlannedOp(op.name, "cim" if i else "cpu", 10.0 - i) for i, op in enumerate(network.ops))
    save_schedule(Schedule(network.name, "edge_cim_soc", ops), tmp_path / "plan.json")
    found = given_plan(f"fixed:{tmp_path / 'plan.json'}", "edge_cim_soc", network, (8, 8), "event", 0)
    assert found.assignment.tolist() == [0] + [3] * (len(ops) - 1)
    assert found.priority.tolist() == [10.0 - i for i in range(len(ops))]
    with pytest.raises(ScheduleError):
        given_plan(f"fixed:{tmp_path / 'plan.json'}", "edge_npu_soc", network, (8, 8), "event", 0)


def test_only_fixed_and_replayed_policies_give_plans():
    assert [is_given(text) for text in ("fixed:x", "replay:heft", "heft", "single:fixed")] == [True, True, False, False]
    with pytest.raises(CosimError, match="'hft' is not known"):
        given_plan("replay:hft", "edge_cim_soc", load_workload("mlp_mnist"), (8, 8), "event", 0)
