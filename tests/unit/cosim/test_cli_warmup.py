"""`cosim warmup`: steps and their marks, the process beside, and what is compiled; nothing here takes long to compile."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from cosim.cli import warmup
from cosim.cli.warmup import Step, built_in_policies, cold_steps, run_steps, steps
from hw_models.kernels import _jit
from workloads.errors import CosimError

MODELS, ENGINE, POLICIES = "hw_models.kernels", "cosim.engine.kernels", "cosim.scheduling.kernels"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty folder of compiled kernels."""
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def ran():
    """Labels of the steps that were run, in turn."""
    return []


@pytest.fixture
def todo(ran):
    """Make the steps of some policies, whose work is to say that it was done."""
    return lambda *policies: [replace(step, work=partial(ran.append, step.label)) for step in steps(policies)]


class TestMarks:
    def test_they_stand_beside_what_was_compiled(self, cache):
        mark = Step("engine", ENGINE, int).mark
        assert mark.name == "engine.done"
        assert mark.parent.parent == cache / "kernels"

    def test_packages_do_not_share_a_folder_and_their_steps_do(self):
        one, other, model = Step("a", POLICIES, int), Step("b", POLICIES, int), Step("a", MODELS, int)
        assert one.mark.parent == other.mark.parent != model.mark.parent
        assert one.mark != other.mark

    def test_other_sources_have_other_marks(self, monkeypatch):
        before = Step("engine", ENGINE, int)
        before.run()
        monkeypatch.setattr(_jit, "source_hash", lambda _folder: "edited")
        assert before.mark.parent.name == "edited"
        assert not before.mark.exists()

    def test_a_step_is_marked_once_its_work_is_done(self, ran):
        step = Step("engine", ENGINE, lambda: ran.append(step.mark.exists()))
        step.run()
        assert ran == [False]
        assert step.mark.read_bytes() == b""

    def test_work_that_fails_leaves_no_mark(self):
        step = Step("engine", ENGINE, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            step.run()
        assert not step.mark.exists()

    def test_where_nothing_can_be_written_the_step_runs_all_the_same(self, cache, ran):
        (cache / "kernels").write_text("a file where a folder should be")
        step = Step("engine", ENGINE, lambda: ran.append("engine"))
        step.run()
        step.run()
        assert ran == ["engine", "engine"]
        assert not step.mark.exists()


class TestSteps:
    def test_models_come_first_then_the_engine_then_policies_as_given(self):
        found = [(step.label, step.package) for step in steps(["heft", "greedy"])]
        assert found[-3:] == [("engine", ENGINE), ("policy heft", POLICIES), ("policy greedy", POLICIES)]
        assert {package for _, package in found[:-3]} == {MODELS}

    def test_labels_are_those_of_different_marks(self):
        found = steps(built_in_policies())
        assert len({step.mark for step in found}) == len(found)

    def test_cold_are_those_without_a_mark_in_the_same_order(self, todo, ran):
        for step in todo("heft")[::2]:
            step.run()
        assert [step.label for step in cold_steps(["heft"])] == [step.label for step in steps(["heft"]) if step.label not in ran]

    def test_policies_of_other_packages_are_not_compiled(self, monkeypatch):
        mine, theirs = (type("Policy", (), {"__module__": name}) for name in ("cosim.scheduling.mine", "cosimilar.policies"))
        monkeypatch.setattr("cosim.scheduling.base.policy_classes", lambda: {"mine": mine, "theirs": theirs})
        assert built_in_policies() == ["mine"]

    def test_the_policies_that_come_with_the_tool_are_there(self):
        assert {"heft", "greedy", "search"} <= set(built_in_policies())


class TestRun:
    @pytest.fixture
    def beside(self, monkeypatch, ran):
        """A process beside that marks some of its steps when it is waited for; returns what it was given and what it is to mark."""
        state = SimpleNamespace(given=[], does=set())

        def start(others):
            def wait():
                ran.append("waited")
                for step in others:
                    if step.label in state.does:
                        step.mark.parent.mkdir(parents=True, exist_ok=True)
                        step.mark.touch()

            state.given.append([step.label for step in others])
            return SimpleNamespace(wait=wait)

        monkeypatch.setattr(warmup, "_start_beside", start)
        return state

    def test_models_are_compiled_here_while_the_others_are_beside(self, todo, ran, beside):
        beside.does = {"engine", "policy heft"}
        run_steps(todo("heft"), show_progress=False)
        assert beside.given == [["engine", "policy heft"]]
        assert ran == [*(step.label for step in steps([]) if step.package == MODELS), "waited"]

    def test_what_it_has_not_marked_is_done_here_and_marked(self, todo, ran, beside):
        beside.does = {"engine"}
        steps_ = todo("heft", "greedy")
        run_steps(steps_, show_progress=False)
        assert ran[-3:] == ["waited", "policy heft", "policy greedy"]
        assert all(step.mark.exists() for step in steps_)

    @pytest.mark.parametrize("kept", [slice(0, 2), slice(4, 6)])
    def test_models_or_others_alone_need_no_second_process(self, todo, ran, beside, kept):
        steps_ = todo("heft")[kept]
        run_steps(steps_, show_progress=False)
        assert beside.given == []
        assert ran == [step.label for step in steps_]

    def test_nothing_to_do_is_done_at_once(self, ran, beside):
        run_steps([], show_progress=True)
        assert (ran, beside.given) == ([], [])

    def test_models_are_compiled_again_though_marked_and_others_are_not(self, todo, ran, beside):
        steps_ = todo("heft")
        for step in steps_:
            step.run()
        ran.clear()
        run_steps(steps_, show_progress=False)
        assert ran == [*(step.label for step in steps_ if step.package == MODELS), "waited"]
        assert len(beside.given) == 1

    def test_an_error_is_seen_and_what_follows_stays_cold(self, ran, beside):
        def fail():
            raise CosimError("the part is gone")

        with pytest.raises(CosimError, match="the part is gone"):
            run_steps([Step("DRAM", MODELS, fail), Step("processors", MODELS, lambda: ran.append("processors"))], show_progress=False)
        assert (ran, beside.given) == ([], [])


class TestBeside:
    @pytest.fixture
    def started(self, monkeypatch):
        """Command lines of processes that were started."""
        found = []
        monkeypatch.setattr(subprocess, "Popen", lambda args, **streams: found.append((args, streams)) or "process")
        return found

    def test_it_is_this_module_with_the_names_of_engine_and_policies(self, monkeypatch, started):
        monkeypatch.setattr(warmup.os, "cpu_count", lambda: 2)
        assert warmup._start_beside(steps(["heft", "greedy"])[-3:]) == "process"
        args, streams = started[0]
        assert args == [sys.executable, "-m", "cosim.cli.warmup", "engine", "heft", "greedy"]
        assert streams == {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    @pytest.mark.parametrize("n_cores", [1, None])
    def test_on_one_core_or_who_knows_how_many_there_is_none(self, monkeypatch, started, n_cores):
        monkeypatch.setattr(warmup.os, "cpu_count", lambda: n_cores)
        assert warmup._start_beside(steps(["heft"])[-2:]) is None
        assert started == []

    def test_a_process_that_cannot_be_started_is_none(self, monkeypatch):
        monkeypatch.setattr(warmup.os, "cpu_count", lambda: 2)
        monkeypatch.setattr(warmup.sys, "executable", "/nowhere/python")
        assert warmup._start_beside(steps(["heft"])[-2:]) is None

    @pytest.mark.parametrize(
        ("names", "labels"),
        [
            (["engine", "heft"], ["engine", "policy heft"]),
            (["heft", "greedy"], ["policy heft", "policy greedy"]),
            (["engine"], ["engine"]),
            ([], []),
        ],
    )
    def test_it_does_what_it_was_named_and_no_models(self, monkeypatch, todo, ran, names, labels):
        monkeypatch.setattr(warmup, "steps", lambda policies: todo(*policies))
        warmup._compile_beside(names)
        assert ran == labels


class TestWork:
    def test_the_small_instance_shares_one_memory_and_knows_joules_and_loss(self):
        instance = warmup._small_instance()
        assert instance.cost_s.shape == instance.task_loss.shape == (instance.n_tasks, 3)
        assert 8 <= instance.n_tasks < 20
        assert not instance.task_loss.any()
        assert (instance.tables.mode, instance.tables.edges_are_input) == ("fair", True)
        assert instance.task_energy_j.tolist() == np.where(instance.supported, 1.0, 0.0).tolist()
        assert instance.goal.budget_s == warmup._BUDGET_S < 1

    def test_a_policy_is_tried_by_moves_and_by_seconds(self, monkeypatch, ran):
        made = SimpleNamespace(plan=lambda instance, _rng: ran.append(len(instance.device_names)))
        monkeypatch.setattr("cosim.scheduling.base.make_policy", lambda text: ran.append(text) or made)
        warmup._use_policy("search")
        assert ran == ["search:64", 3, "search", 3]

    def test_a_policy_that_lacks_a_package_has_nothing_to_compile_and_a_bug_is_not_hidden(self, monkeypatch):
        def broken(error, _text):
            raise error

        monkeypatch.setattr("cosim.scheduling.base.make_policy", partial(broken, CosimError("pip install it")))
        warmup._use_policy("exact")
        monkeypatch.setattr("cosim.scheduling.base.make_policy", partial(broken, KeyError("bug")))
        with pytest.raises(KeyError):
            warmup._use_policy("exact")

    def test_a_device_costs_a_network_and_a_memory_is_only_built(self, monkeypatch, ran):
        device = type(
            "Device", (), {"spec": "a spec", "costs": classmethod(lambda _cls, specs, ops: ran.append((specs, ops.kind.size > 3)))}
        )
        monkeypatch.setattr("hw_models.catalog.build_part_device", lambda part: ran.append(part) or device())
        monkeypatch.setattr("hw_models.catalog.build_part_memory", ran.append)
        warmup._use_part("memory", "dram/some")
        warmup._use_part("device", "cpu/some")
        assert ran == ["dram/some", "cpu/some", (["a spec"], True)]

    def test_the_command_does_every_step_and_says_where_kernels_are(self, monkeypatch, cache, ran):
        monkeypatch.setattr(warmup, "run_steps", lambda todo, show_progress: ran.extend([step.label for step in todo] + [show_progress]))
        done = CliRunner().invoke(warmup.command, [])
        assert done.stdout.split() == ["kernels", "are", "compiled", "and", "kept", "in", str(cache / "kernels")]
        assert ran == [*(step.label for step in steps(built_in_policies())), "functional arrays", "design points", True]
