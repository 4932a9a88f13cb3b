"""From level codes to rows: order, keys, errors, policies; that the numbers are those of single runs is a conformance test."""

import json

import numpy as np
import pytest

from cosim.plan import save_schedule
from cosim.simulation.run import schedule_of
from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.rows import FAILED, OK
from cosim.study.single import row_of, simulation_of
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from workloads.errors import SimulationError, SpecError

CIM, CLOCK = "edge_cim_soc", "devices.cpu.clock"


def study_of(axes, chips=(CIM,), networks=("lenet5",), **settings):
    space = Space(tuple(Axis(path, "categorical", tuple(levels), (path,)) for path, levels in axes.items()))
    return Study("s", "", space, tuple(chips), tuple(StudyWorkload(one, one) for one in networks), (), **settings)


def check_twin(study, codes, fidelity=None, columns=slice(None)):
    rows = Evaluator(study, fidelity).evaluate(codes)
    n = len(study.workloads)
    for i, point in enumerate(study.space.decode(codes)):
        for w in range(n):
            expected = row_of(simulation_of(study, point, w, fidelity).run())
            np.testing.assert_allclose(rows.values[i * n + w][columns], expected[columns], rtol=1e-9)
    return rows


def test_rows_are_point_major_then_workload():
    study = study_of({"weight_bits": (8, 4), "devices.cim.n_adcs": (8, 4)}, networks=("lenet5", "mlp_mnist"))
    codes = np.array([[0, 0], [1, 1], [1, 0]])
    rows = check_twin(study, codes)
    assert rows.workload.tolist() == [0, 1] * 3
    assert rows.status.tolist() == [OK] * 6
    assert rows.values.shape == (6, len(COLUMNS))
    assert [json.loads(text) for text in rows.designs[::2]] == study.space.decode(codes)
    assert list(rows.keys) == Evaluator(study).keys(codes)
    assert len(set(rows.keys)) == 6
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in rows.keys)


def test_a_batch_is_what_its_points_are_one_by_one():
    study = study_of({"weight_bits": (8, 4), "memory.shared.capacity": ("3 MiB", "16 KiB"), "devices.cim.n_macros": (1640, 2)})
    together, alone = Evaluator(study).evaluate(study.space.listed), Evaluator(study)
    for i, codes in enumerate(study.space.listed):
        np.testing.assert_array_equal(alone.evaluate(codes[None]).values[0], together.values[i])


def test_a_point_that_fails_says_why_and_the_others_go_on():
    study = study_of({"devices.cim.adc.n_bits": (8, "many"), "weight_bits": (8, 99)})
    rows = Evaluator(study).evaluate(study.space.listed)
    assert rows.status.tolist() == [OK, FAILED, FAILED, FAILED]
    assert "weight bits: 99 is out of range" in rows.error[1]
    assert "devices.cim.adc.n_bits" in rows.error[2]
    assert np.isnan(rows.values[1:]).all()
    assert len(set(rows.keys)) == 4


def test_what_fits_no_memory_and_what_no_device_runs_are_told_as_a_run_tells_them():
    small = study_of({"memory.backing.capacity": ("1 KiB", "1 GiB")}, networks=("lenet5", "mlp_mnist"))
    rows = Evaluator(small).evaluate(small.space.listed)
    assert "lenet5 on edge_cim_soc: weights and activations need" in rows.error[0]
    assert rows.status.tolist() == [FAILED, OK, OK, OK]  # all that the other network stores stays on arrays
    lacking = study_of({"links.default.latency": ("1 us",)}, chips=("eyeriss_isscc_2016",))
    assert "runs on no device of eyeriss_isscc_2016" in Evaluator(lacking).evaluate(lacking.space.listed).error[0]


def test_keys_say_what_is_computed_and_not_which_study_asks():
    plain = study_of({"weight_bits": (8, 4)})
    base = str(simulation_of(plain, {"weight_bits": 8}).chip.description["devices"]["cpu"]["clock"])
    other = study_of({CLOCK: (base, "1 GHz"), "weight_bits": (4, 8), "policy": ("heft", "single")})
    key = Evaluator(plain).keys(np.array([[0], [1]]))
    found = Evaluator(other).keys(np.array([[0, 1, 0], [0, 0, 0], [1, 1, 0], [0, 1, 1]]))
    assert found[:2] == key
    assert len({*key, *found}) == 4
    for changed in (Evaluator(plain, "bound"), Evaluator(study_of({"weight_bits": (8, 4)}, seed=1)), Evaluator(plain, salt="x")):
        assert changed.keys(np.array([[0]]))[0] != key[0]
    assert Evaluator(plain, "simpy").keys(np.array([[0]]))[0] == key[0]


def test_several_chips_are_levels_of_an_axis():
    axes = {"chip": ("edge_cim_soc", "edge_npu_soc"), "devices.cim.n_adcs": (None, 8), CLOCK: ("1 GHz", "2 GHz")}
    study = study_of(axes, chips=axes["chip"])
    check_twin(study, np.array([[0, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]]))


@pytest.mark.parametrize("policy", ["single", "peft", "single:cpu", "portfolio"])
def test_other_policies_plan_each_point(policy):
    study = study_of({"weight_bits": (8, 4), "links.cim.latency": ("1 us", "50 us")}, policy=policy)
    check_twin(study, study.space.listed)


def test_a_policy_that_does_not_exist_is_told():
    study = study_of({"policy": ("heft", "heftt")})
    rows = Evaluator(study).evaluate(study.space.listed)
    assert rows.status.tolist() == [OK, FAILED]
    assert "'heftt' is not known" in rows.error[1]
    assert Evaluator(study, "bound").evaluate(study.space.listed).status.tolist() == [OK, FAILED]


def test_a_schedule_from_a_file_is_replayed_at_every_point(tmp_path):
    study = study_of({"weight_bits": (8, 4), "links.cim.latency": ("1 us", "50 us")})
    schedule = schedule_of(simulation_of(study, study.space.decode(study.space.listed)[0]).run())
    save_schedule(schedule, tmp_path / "plan.json")
    fixed = study_of({"weight_bits": (8, 4), "links.cim.latency": ("1 us", "50 us")}, policy=f"fixed:{tmp_path / 'plan.json'}")
    check_twin(fixed, fixed.space.listed)


def test_a_replayed_policy_plans_on_the_chip_as_its_file_gives_it():
    axes = {"weight_bits": (8, 4), "links.cim.latency": ("1 us", "50 us")}
    planned, replayed = study_of(axes), study_of(axes, policy="replay:heft")
    found = Evaluator(replayed).evaluate(replayed.space.listed)
    np.testing.assert_array_equal(found.values[0], Evaluator(planned).evaluate(planned.space.listed).values[0])
    assert found.status.tolist() == [OK] * 4
    lost = study_of(axes, policy="replay:nothing")
    assert "'nothing' is not known" in Evaluator(lost).evaluate(lost.space.listed).error[0]


def test_a_plan_that_a_point_cannot_run_is_told():
    study = study_of({"devices.cim.vector_ops": (True, False)}, policy="replay:single:cim")
    rows = Evaluator(study).evaluate(study.space.listed)
    assert rows.status.tolist() == [OK, FAILED]
    assert "cannot run it at this point" in rows.error[1]


def test_an_unknown_fidelity_and_a_network_that_replaces_none_are_refused():
    with pytest.raises(SimulationError, match="fidelity 'evnt' is not known"):
        Evaluator(study_of({"weight_bits": (8,)}), "evnt")
    lost = study_of({"network": ("mlp", "alexnet")}, networks=("lenet5", "mlp_mnist"))
    with pytest.raises(SpecError, match="may replace any of lenet5, mlp_mnist"):
        Evaluator(lost).evaluate(lost.space.listed)


def test_what_is_let_go_of_between_passes_is_made_again(monkeypatch):
    study = study_of({"weight_bits": (8, 4), "devices.cim.n_adcs": (8, 4, 2)})
    whole = Evaluator(study).evaluate(study.space.listed).values
    monkeypatch.setattr("cosim.study.evaluate._AT_A_TIME", 2)
    monkeypatch.setattr("cosim.study.evaluate._MOST_BYTES", 0)
    evaluator = Evaluator(study)
    np.testing.assert_array_equal(evaluator.evaluate(study.space.listed).values, whole)
    assert not evaluator.chips[0].devices
    np.testing.assert_allclose(evaluator.area_m2(study.space.listed), whole[:, COLUMNS.index("area_m2")], rtol=1e-12)
