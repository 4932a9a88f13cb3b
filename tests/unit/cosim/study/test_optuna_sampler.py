"""Our samplers as those of Optuna: the same suggestions, whoever keeps the trials."""

from __future__ import annotations

import math
import pickle
import sys
import warnings

import numpy as np
import pytest

import cosim.study
from cosim.study import OptunaSampler, make_sampler
from cosim.study.samplers.base import N_STARTUP, SAMPLERS
from cosim.study.space import Space, axes_of
from workloads.errors import SpecError

optuna = pytest.importorskip("optuna")
Categories, Floats, Whole = (
    optuna.distributions.CategoricalDistribution,
    optuna.distributions.FloatDistribution,
    optuna.distributions.IntDistribution,
)

LEVELS = {"a": list(range(6)), "b": list(range(6)), "c": ["x", "y"]}


@pytest.fixture(autouse=True)
def quiet():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    optuna.logging.set_verbosity(level)


def cost(point):
    return (point["a"] - 4) ** 2 + (point["b"] - 2) ** 2 + (point["c"] == "x")


def study_of(sampler, direction="minimize", **more):
    many = {"directions": direction} if isinstance(direction, list) else {"direction": direction}
    return optuna.create_study(sampler=sampler, **many, **more)


def run(study, n=30, value=cost):
    study.optimize(lambda trial: value(study.sampler.point(trial)), n_trials=n)
    return [trial.params for trial in study.trials]


class TestSuggestions:
    @pytest.mark.parametrize("name", SAMPLERS)
    def test_are_those_of_ask_and_tell(self, name):
        sampler = make_sampler(name, LEVELS, ["f"], seed=3)
        n = N_STARTUP + (2 if name == "gp" else 6)
        expected = []
        for _ in range(n):
            (point,) = sampler.ask(1)
            sampler.tell(point, cost(point))
            expected.append(point)
        assert run(study_of(OptunaSampler(LEVELS, name, seed=3)), n) == expected

    def test_find_the_best(self):
        study = study_of(OptunaSampler(LEVELS, "ga"))
        run(study, 60)
        assert study.best_params == {"a": 4, "b": 2, "c": "y"} == study.sampler.best(study)

    def test_another_seed_goes_another_way(self):
        assert run(study_of(OptunaSampler(LEVELS, "random", seed=0)), 5) != run(study_of(OptunaSampler(LEVELS, "random", seed=1)), 5)

    def test_maximize_as_the_study_says(self):
        study = study_of(OptunaSampler(LEVELS, "ga"), "maximize")
        run(study, 60, value=lambda point: -cost(point))
        assert study.best_value == 0

    def test_several_objectives(self):
        study = study_of(OptunaSampler(LEVELS, "nsga2"), ["minimize", "maximize"])
        run(study, 80, value=lambda point: (float(point["a"] + (point["c"] == "x")), float(point["a"] + point["b"])))
        front = {tuple(trial.values) for trial in study.best_trials}
        assert {(0.0, 5.0), (5.0, 10.0)} <= front
        assert study.sampler.best(study)["c"] == "y"

    def test_two_equal_studies_of_one_sampler_go_the_same_way(self):
        sampler = OptunaSampler(LEVELS, "sa")
        one = run(study_of(sampler, study_name="one"), 25)
        assert run(study_of(sampler, study_name="two"), 25) == one

    def test_parameters_are_asked_for_one_by_one_in_any_order(self):
        study = study_of(OptunaSampler(LEVELS, "random"))
        trial = study.ask()
        c = trial.suggest_categorical("c", ["x", "y"])
        b = trial.suggest_categorical("b", range(6))
        (expected,) = make_sampler("random", LEVELS, ["f"]).ask(1)
        assert (b, c) == (expected["b"], expected["c"])


class TestTrials:
    def test_that_run_are_pending(self):
        study = study_of(OptunaSampler(LEVELS, "gp"))
        asked = [study.sampler.point(study.ask()) for _ in range(4)]
        sampler = make_sampler("gp", LEVELS, ["f"])
        assert asked == sampler.ask(4)
        assert study.sampler._sampler.pending.tolist() == study.sampler.space.encode(asked).tolist()

    def test_of_which_parameters_were_not_asked_for_yet_are_pending_too(self):
        sampler = OptunaSampler(LEVELS, "random")
        study = study_of(sampler)
        first = study.ask()
        first.suggest_categorical("c", ["x", "y"])
        study.sampler.point(study.ask())
        assert len(sampler._sampler.pending) == 2

    def test_that_ended_are_pending_no_more(self):
        sampler = OptunaSampler(LEVELS, "random")
        study = study_of(sampler)
        trials = [study.ask() for _ in range(3)]
        points = [sampler.point(trial) for trial in trials]
        study.tell(trials[1], 1.0)
        sampler.best(study)
        assert sampler._sampler.pending.tolist() == sampler.space.encode([points[0], points[2]]).tolist()
        assert sampler._sampler.codes.tolist() == sampler.space.encode([points[1]]).tolist()

    @pytest.mark.parametrize("name", ["sa", "ga", "random"])
    def test_of_a_study_that_was_stopped_are_gone_on_from(self, name):
        storage = optuna.storages.InMemoryStorage()
        whole = run(study_of(OptunaSampler(LEVELS, name, seed=5)), 30)
        run(study_of(OptunaSampler(LEVELS, name, seed=5), storage=storage, study_name="s"), 24)
        again = optuna.load_study(study_name="s", storage=storage, sampler=OptunaSampler(LEVELS, name, seed=5))
        assert run(again, 6) == whole

    def test_of_others_are_learnt_from(self):
        study = study_of(OptunaSampler(LEVELS, "sa"))
        categories = {name: Categories(levels) for name, levels in LEVELS.items()}
        rng = np.random.default_rng(0)
        points = [{"a": 4, "b": 2, "c": "y"}, *({"a": int(rng.integers(6)), "b": 5, "c": "x"} for _ in range(N_STARTUP))]
        study.add_trials([optuna.trial.create_trial(params=point, distributions=categories, value=cost(point)) for point in points])
        point = study.sampler.point(study.ask())
        assert sum(point[name] != points[0][name] for name in LEVELS) == 1  # a step from the best

    def test_with_other_parameters_or_levels_tell_nothing(self):
        sampler = OptunaSampler(LEVELS, "random")
        study = study_of(sampler)
        others = [{"a": 9, "b": 0, "c": "x"}, {"a": 0, "b": 0}, {"z": 1}]
        for point in others:
            distributions = {name: Categories([level]) for name, level in point.items()}
            study.add_trial(optuna.trial.create_trial(params=point, distributions=distributions, value=0.0))
        with pytest.raises(SpecError, match="nothing has been told yet"):
            sampler.best(study)

    def test_that_fail_or_are_pruned_are_failed_points(self):
        def objective(trial):
            point = sampler.point(trial)
            if point["c"] == "x":
                if point["a"] % 2:
                    raise optuna.TrialPruned
                raise ZeroDivisionError
            return cost(point)

        sampler = OptunaSampler(LEVELS, "ga")
        study = study_of(sampler)
        study.optimize(objective, n_trials=40, catch=ZeroDivisionError)
        assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED", "FAIL"}
        assert sampler.best(study)["c"] == "y"
        failed = [trial.state.name != "COMPLETE" for trial in study.trials]
        assert np.isnan(sampler._sampler.y[:, 0]).tolist() == failed
        assert len(sampler._sampler.pending) == 0

    def test_that_were_queued_are_taken_as_they_are(self):
        sampler = OptunaSampler(LEVELS, "random")
        study = study_of(sampler)
        study.enqueue_trial({"a": 1, "b": 1, "c": "y"})
        study.enqueue_trial({"a": 5})
        found = run(study, 3)
        assert found[0] == {"a": 1, "b": 1, "c": "y"}
        assert found[1]["a"] == 5
        sampler.best(study)
        assert sampler._sampler.codes.tolist() == sampler.space.encode(found).tolist()

    def test_in_threads_are_each_taken_once(self):
        sampler = OptunaSampler(LEVELS, "random")
        study = study_of(sampler)
        study.optimize(lambda trial: cost(sampler.point(trial)), n_trials=30, n_jobs=3)
        sampler.best(study)
        assert len(sampler._sampler.codes) == 30
        assert len({tuple(trial.params.values()) for trial in study.trials}) == 30


class TestSpace:
    @pytest.mark.parametrize(
        ("given", "levels", "kind"),
        [
            (Whole(4, 8), (4, 5, 6, 7, 8), "ordinal"),
            (Whole(32, 128, step=32), (32, 64, 96, 128), "ordinal"),
            (Whole(1, 3, log=True), (1, 2, 3), "ordinal"),
            (Floats(0.5, 1.0, step=0.25), (0.5, 0.75, 1.0), "ordinal"),
            (Categories(["b", "a", None]), ("b", "a", None), "categorical"),
            ([4, 6, 8], (4, 6, 8), "ordinal"),
            ({"levels": [4, 6, 8], "kind": "categorical"}, (4, 6, 8), "categorical"),
            ([True, False], (True, False), "categorical"),
        ],
    )
    def test_of_ranges_and_levels(self, given, levels, kind):
        (axis,) = OptunaSampler({"p": given}, "random").space.axes
        assert (axis.name, axis.levels, axis.kind) == ("p", levels, kind)
        study = study_of(OptunaSampler({"p": given}, "random"))
        found = run(study, 12, value=lambda point: 0.0)
        assert {point["p"] for point in found} == set(levels)

    def test_a_step_that_is_no_sum_of_halves_comes_back_as_the_level_that_was_asked(self):
        space = {"p": Floats(0.1, 2.0, step=0.1)}
        sampler = OptunaSampler(space, "random")
        study = study_of(sampler)
        run(study, 20, value=lambda point: point["p"])
        sampler.best(study)
        assert sorted(sampler._sampler.codes[:, 0].tolist()) == list(range(20))

    def test_objectives_may_name_the_same_range_themselves(self):
        study = study_of(OptunaSampler({"n": Whole(4, 8), "v": Floats(0.5, 1.0, step=0.25)}, "random"))
        study.optimize(lambda trial: trial.suggest_int("n", 4, 8) * trial.suggest_float("v", 0.5, 1.0, step=0.25), n_trials=15)
        assert {tuple(trial.params) for trial in study.trials} == {("n", "v")}

    def test_a_space_with_rules(self):
        from cosim.study.rules import condition

        axes = axes_of(LEVELS)
        study = study_of(OptunaSampler(Space(axes, (condition("a + b >= 6", axes),)), "ga"))
        assert all(point["a"] + point["b"] >= 6 for point in run(study, 30))

    def test_a_parameter_of_one_level(self):
        study = study_of(OptunaSampler({"a": [1], "b": [1, 2, 3]}, "random"))
        assert {point["a"] for point in run(study, 4, value=lambda point: point["b"])} == {1}
        assert study.sampler.best(study) == {"a": 1, "b": 1}

    @pytest.mark.parametrize(
        ("space", "message"),
        [
            ({"v": Floats(0.0, 1.0)}, "parameter 'v' is continuous; give it a step, or levels"),
            ({"n": Whole(0, 20_000)}, "parameter 'n' has 20,001 levels, more than 10,000; give it a larger step"),
            ({"n": []}, "axis 'n' has no levels"),
            ({}, "the space has no axes"),
        ],
    )
    def test_that_is_none(self, space, message):
        with pytest.raises(SpecError) as caught:
            OptunaSampler(space)
        assert message in str(caught.value)

    def test_a_sampler_of_another_name(self):
        with pytest.raises(SpecError, match="sampler 'tpe' is not known"):
            OptunaSampler(LEVELS, "tpe")

    def test_a_parameter_that_it_lacks(self):
        study = study_of(OptunaSampler(LEVELS, "random"))
        with pytest.raises(SpecError, match="parameter 'aa' is not in the space of the sampler"):
            study.ask().suggest_int("aa", 0, 3)

    def test_a_parameter_with_other_levels(self):
        study = study_of(OptunaSampler({"n": Whole(4, 8)}, "random"))
        with pytest.raises(SpecError, match="parameter 'n' has other levels than in the space of the sampler"):
            study.ask().suggest_int("n", 10, 12)
        with pytest.raises(ValueError, match="distribution"):  # Optuna's own
            study.ask().suggest_categorical("n", [4, 5])


class TestConstraints:
    def test_declared_ones_are_kept(self):
        study = study_of(OptunaSampler(LEVELS, "sa", constraints=[lambda point: point["a"] != point["b"]]))
        assert all(point["a"] != point["b"] for point in run(study, 40))

    def test_told_ones_decide_what_is_best(self):
        def objective(trial):
            point = sampler.point(trial)
            trial.set_constraint("far", float(point["a"] - 2))
            return cost(point)

        sampler = OptunaSampler(LEVELS, "ga", constraints=["far"])
        study = study_of(sampler)
        study.optimize(objective, n_trials=60)
        assert sampler.best(study) == {"a": 2, "b": 2, "c": "y"} == study.best_params

    def test_that_are_not_told(self):
        study = study_of(OptunaSampler(LEVELS, "random", constraints=["far"]))
        with pytest.raises(SpecError, match=r"trial 0 says nothing of constraint 'far'; call trial.set_constraint\('far', value\)"):
            run(study, 2)

    def test_of_a_failed_trial_are_not_asked_for(self):
        study = study_of(OptunaSampler(LEVELS, "random", constraints=["far"]))
        trial = study.ask()
        study.sampler.point(trial)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        study.sampler.point(study.ask())
        assert math.isnan(study.sampler._sampler.violation[0, 0])


class TestCopies:
    def test_pickled_one_goes_on(self):
        sampler = OptunaSampler(LEVELS, "sa", seed=2)
        whole = run(study_of(OptunaSampler(LEVELS, "sa", seed=2)), 26)
        study = study_of(sampler)
        run(study, 22)
        study.sampler = pickle.loads(pickle.dumps(sampler))
        assert run(study, 4) == whole

    def test_without_optuna_the_way_out_is_said(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "optuna", None)
        monkeypatch.delitem(sys.modules, "cosim.study.samplers.optuna_sampler")
        with pytest.raises(SpecError, match=r'pip install "cosim\[study\]"'):
            _ = cosim.study.OptunaSampler

    def test_optuna_is_imported_by_nothing_else(self):
        import subprocess

        text = "import sys, cosim.study; cosim.study.make_sampler('random', {'a': [1, 2]}, ['f']); sys.exit('optuna' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0
