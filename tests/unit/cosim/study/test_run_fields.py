"""Run fields of points: chip, networks, bits, layers and policy from the levels of some axes."""

import numpy as np

from cosim.study.run_fields import RunAxes
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload

ONE = (StudyWorkload("net", "lenet5", batch=2, dims={"seq": 3}),)


def study_of(*axes, chips=("a",), workloads=ONE, **settings):
    space = Space(tuple(Axis(name, "categorical", tuple(levels), paths) for name, levels, paths in axes))
    return Study("s", "", space, tuple(chips), tuple(workloads), (), **settings)


def fields_of(study, *codes):
    runs = RunAxes(study)
    return runs.fields(int(runs.numbers(np.array([codes]))[0]))


def test_what_no_axis_sets_is_what_the_study_says():
    found = fields_of(study_of(("x", (1, 2), ("devices.cpu.n_cores",)), weight_bits=6, activation_bits=5, policy="single"), 1)
    assert (found.weight_bits, found.activation_bits, found.policy, found.chip) == (6, 5, "single", 0)
    assert found.sources == (("lenet5", 2, (("seq", 3),)),)
    assert found.weights == found.activations == ()


def test_axes_set_bits_policy_batch_and_chip():
    study = study_of(
        ("chip", ("a", "b"), ("chip",)),
        ("w", (2, 4), ("weight_bits", "activation_bits")),
        ("policy", ("heft", "met"), ()),
        ("batch", (None, 7), ("batch",)),
        chips=("a", "b"),
    )
    found = fields_of(study, 1, 1, 1, 1)
    assert (found.chip, found.weight_bits, found.activation_bits, found.policy, found.sources[0][1]) == (1, 4, 4, "met", 7)
    assert fields_of(study, 0, 0, 0, 0).sources[0][1] == 2


def test_layers_are_named_whatever_dots_their_names_have():
    study = study_of(
        ("a", (2, None), ("layers.layer1.0.conv.weight_bits", "layers.fc.weight_bits")), ("b", (3,), ("layers.fc.activation_bits",))
    )
    assert fields_of(study, 0, 0).weights == (("fc", 2), ("layer1.0.conv", 2))
    assert fields_of(study, 0, 0).activations == (("fc", 3),)
    assert fields_of(study, 1, 0).weights == ()


def test_only_axes_of_run_fields_count_for_a_number():
    study = study_of(("x", (1, 2, 3), ("devices.cpu.n_cores",)), ("weight_bits", (2, 4), ()))
    runs = RunAxes(study)
    assert runs.numbers(np.array([[0, 1], [2, 1], [1, 0]])).tolist() == [1, 1, 0]
    assert runs.fields(1) is runs.fields(1)


def test_another_network_replaces_the_workload_called_so_or_the_one_among_its_levels():
    two = (StudyWorkload("first", "lenet5"), StudyWorkload("network", "mlp"))
    axis = ("network", ("mlp_mnist", "alexnet"), ("network",))
    assert [source for source, *_ in fields_of(study_of(axis, workloads=two), 1).sources] == ["lenet5", "alexnet"]
    two = (StudyWorkload("first", "lenet5"), StudyWorkload("second", "mlp"))
    axis = ("depth", ("mlp", "alexnet"), ("network",))
    assert [source for source, *_ in fields_of(study_of(axis, workloads=two), 1).sources] == ["lenet5", "alexnet"]
