"""How the axes of a model's inputs get their extents."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.graph import TensorKind
from workloads.onnx_dims import alternatives, choose_inputs, default_extent, dims_of_shapes, read_ports
from workloads.onnx_import import load_onnx, load_onnx_at
from workloads.onnx_read import read_onnx

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def save(tmp_path, nodes, inputs, outputs, weights=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return path


def relus(tmp_path, *inputs):
    """A model that applies a Relu to each of its inputs."""
    nodes = [helper.make_node("Relu", [value.name], [f"out_{value.name}"]) for value in inputs]
    return save(tmp_path, nodes, list(inputs), [helper.make_empty_tensor_value_info(f"out_{value.name}") for value in inputs])


def shapes(path, dims=None):
    """Input shapes by name, and the workload's batch and notes."""
    workload = load_onnx(path, dims or {})
    return {name: workload.tensors[name].shape for name in workload.inputs}, workload


def flatten_net(tmp_path, *batch, target=(1, 8)):
    """x[batch, 2, 4] reshaped to a fixed shape and multiplied by a stored [8, 3]."""
    weights = [numpy_helper.from_array(np.zeros((8, 3), np.float32), "w"), numpy_helper.from_array(np.array(target, np.int64), "s")]
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"], "fixed"), helper.make_node("MatMul", ["r", "w"], ["y"])]
    return save(tmp_path, nodes, [info("x", *batch, 2, 4)], [helper.make_empty_tensor_value_info("y")], weights)


# -- what is asked for by name --------------------------------------------------------------------


def test_a_symbol_of_the_file_is_set_by_its_name(tmp_path):
    got, workload = shapes(relus(tmp_path, info("x", "batch", "seq"), info("mask", "batch", "seq")), {"batch": 3, "seq": 7})
    assert got == {"x": (3, 7), "mask": (3, 7)}
    assert (workload.batch, workload.dims) == (3, {"batch": 3, "seq": 7})
    assert not workload.notes


@pytest.mark.parametrize("axis", ["N", "DynamicDimension.0", "unk__12", "whatever", None, "?"])
def test_batch_sets_the_leading_axis_whatever_its_name(tmp_path, axis):
    got, workload = shapes(relus(tmp_path, info("x", axis, 3, 8, 8)), {"batch": 5})
    assert got == {"x": (5, 3, 8, 8)}
    assert workload.batch == 5


def test_batch_follows_its_symbol_to_other_places(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", "n", 4), info("state", 2, "n", 8)), {"batch": 3})
    assert got == {"x": (3, 4), "state": (2, 3, 8)}


def test_batch_reaches_the_unnamed_middle_axis_of_a_recurrent_state(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", None, 4), info("state", 2, None, 8), info("lengths", None)), {"batch": 3})
    assert got == {"x": (3, 4), "state": (2, 3, 8), "lengths": (3,)}


def test_a_length_is_not_the_batch_when_another_axis_is(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", "frames", 4), info("state", 2, "batch_size", 8)), {"batch": 3, "frames": 9})
    assert got == {"x": (9, 4), "state": (2, 3, 8)}


def test_a_leading_length_is_the_batch_when_nothing_else_can_be(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", "sequence_length", 4)), {"batch": 3})
    assert got == {"x": (3, 4)}


def test_an_axis_without_a_name_is_set_by_its_place(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", None, None)), {"x.0": 2, "x.1": 512})
    assert got == {"x": (2, 512)}


def test_a_place_also_sets_the_symbol_for_other_inputs(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", "batch", "seq"), info("m", "batch", "seq")), {"batch": 1, "m.1": 9})
    assert got == {"x": (1, 9), "m": (1, 9)}


def test_a_fixed_axis_can_be_overridden_by_its_place(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", 1, 3, 32, 32)), {"x.2": 64})
    assert got == {"x": (1, 3, 64, 32)}


def test_the_value_of_a_whole_number_input_can_be_asked_for(tmp_path):
    thin = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "t", [], [info("t", 1, 4)])
    wide = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["e"])], "e", [], [info("e", 1, 4)])
    rate = numpy_helper.from_array(np.array(16000, np.int64), "rate")
    nodes = [
        helper.make_node("Equal", ["sr", "rate"], ["slow"]),
        helper.make_node("If", ["slow"], ["y"], "which", then_branch=thin, else_branch=wide),
    ]
    weights = [rate, numpy_helper.from_array(np.zeros((4, 4), np.float32), "w")]
    path = save(tmp_path, nodes, [info("x", 1, 4), info("sr", dtype=INT64)], [info("y", 1, 4)], weights)
    assert load_onnx(path, {"sr": 16000}).n_macs == 0
    assert load_onnx(path, {"sr": 8000}).n_macs == 16
    assert any("'which' (If)" in note for note in load_onnx(path, {}).notes)


def test_an_axis_that_is_a_formula_of_others_follows_them(tmp_path):
    path = relus(tmp_path, info("x", "batch", "seq"), info("past", "batch", "past_len"), info("mask", "batch", "past_len + seq"))
    got, _ = shapes(path, {"batch": 1, "seq": 3, "past_len": 10})
    assert got["mask"] == (1, 13)


@pytest.mark.parametrize(("formula", "extent"), [("seq*2", 10), ("seq - 1", 4), ("seq//2", 2), ("2*seq + 1", 11)])
def test_formulas_know_the_four_operations(tmp_path, formula, extent):
    got, _ = shapes(relus(tmp_path, info("x", "batch", "seq"), info("y", "batch", formula)), {"seq": 5})
    assert got["y"] == (1, extent)


def test_a_name_with_a_dash_is_no_formula(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", "batch-size", 4)), {"batch-size": 6})
    assert got == {"x": (6, 4)}


def test_no_past_is_a_legal_past(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", "batch", "past_len")), {"past_len": 0})
    assert got == {"x": (1, 0)}


# -- what is refused ------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    path = relus(tmp_path, info("x", "batch", "sequence"))
    with pytest.raises(WorkloadError, match=r"net\.onnx: dimension 'sequense' is not in the model; did you mean 'sequence'\?"):
        load_onnx(path, {"sequense": 4})


def test_an_unknown_name_lists_what_there_is(tmp_path):
    path = relus(tmp_path, info("x", None, 4))
    with pytest.raises(WorkloadError, match=r"choose one of: batch, x\.0"):
        load_onnx(path, {"height": 4})


@pytest.mark.parametrize("value", [0, -3])
def test_an_extent_below_one_is_refused(tmp_path, value):
    with pytest.raises(WorkloadError, match=f"dimension seq = {value} is out of range; choose 1 or more"):
        load_onnx(relus(tmp_path, info("x", "batch", "seq")), {"seq": value})


def test_batch_needs_an_axis(tmp_path):
    with pytest.raises(WorkloadError, match="batch = 2 cannot be set: its leading dimension is fixed to 7"):
        load_onnx(relus(tmp_path, info("x", 7, 4)), {"batch": 2})
    with pytest.raises(WorkloadError, match="it has no batch axis"):
        load_onnx(relus(tmp_path, info("x")), {"batch": 2})


# -- a batch that the file fixes to one -----------------------------------------------------------


def test_asking_for_the_batch_a_file_has_changes_nothing(tmp_path):
    assert load_onnx(flatten_net(tmp_path, 1), {"batch": 1}).n_macs == 24


def test_a_fixed_batch_of_one_is_replaced_where_the_graph_carries_it(tmp_path):
    workload = load_onnx(flatten_net(tmp_path, 1, target=(-1, 8)), {"batch": 4})
    assert (workload.batch, workload.n_macs, workload.notes) == (4, 4 * 24, ())


def test_a_reshape_to_one_row_is_read_as_a_row_per_image_with_a_note(tmp_path):
    workload = load_onnx(flatten_net(tmp_path, 1), {"batch": 4})
    assert workload.n_macs == 4 * 24
    assert workload.notes == ("node 'fixed' (Reshape): its shape [1, 8] is fixed to a batch of 1; read as [4, 8]",)


def test_a_reshape_that_cannot_hold_the_batch_is_refused(tmp_path):
    with pytest.raises(
        WorkloadError, match=r"batch = 4 cannot be set: the file fixes a batch of 1 and node 'fixed' \(Reshape\) is fixed to"
    ):
        load_onnx(flatten_net(tmp_path, 1, target=(8,)), {"batch": 4})


def test_a_graph_that_keeps_only_the_first_row_is_refused(tmp_path):
    weights = [numpy_helper.from_array(np.zeros((4, 3), np.float32), "w"), numpy_helper.from_array(np.array(0, np.int64), "i")]
    nodes = [helper.make_node("Gather", ["x", "i"], ["row"]), helper.make_node("MatMul", ["row", "w"], ["y"])]
    path = save(tmp_path, nodes, [info("x", 1, 4)], [helper.make_empty_tensor_value_info("y")], weights)
    with pytest.raises(WorkloadError, match="does not carry a larger one"):
        load_onnx(path, {"batch": 2})


def test_a_fixed_recurrent_state_takes_the_batch_in_its_middle(tmp_path):
    got, _ = shapes(relus(tmp_path, info("x", 1, 16), info("state", 2, 1, 8)), {"batch": 3})
    assert got == {"x": (3, 16), "state": (2, 3, 8)}


# -- defaults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        (("batch", "seq_len"), INT64, (1, 64)),
        ((None, None), INT64, (1, 64)),
        (("batch", "samples"), FLOAT, (1, 16000)),
        ((None, None), FLOAT, (1, 16000)),
        (("N", 3, "H", "W"), FLOAT, (1, 3, 224, 224)),
        (("N", "H", "W", 3), FLOAT, (1, 224, 224, 3)),
        ((None, 3, 48, None), FLOAT, (1, 3, 48, 320)),
        ((None, 3, None, 320), FLOAT, (1, 3, 48, 320)),
        ((None, 3, 640, None), FLOAT, (1, 3, 640, 640)),
        ((None, None, None, None), FLOAT, (1, 3, 224, 224)),
        (("batch", 80, "frames"), FLOAT, (1, 80, 100)),
        (("num_nodes", 85), FLOAT, (64, 85)),
        (("tokens",), INT64, (64,)),
    ],
)
def test_an_axis_nobody_names_gets_a_usual_extent_and_a_note(tmp_path, shape, dtype, expected):
    value = info("x", *shape, dtype=dtype)
    node = helper.make_node("Identity" if dtype == INT64 else "Relu", ["x"], ["y"])
    path = save(tmp_path, [node], [value], [helper.make_empty_tensor_value_info("y")])
    got, workload = shapes(path)
    assert got == {"x": expected}
    assert len(workload.notes) == len({axis or i for i, axis in enumerate(shape) if not isinstance(axis, int)})


def test_a_note_names_the_axis_and_the_extent(tmp_path):
    _, workload = shapes(relus(tmp_path, info("x", "batch", "seq")))
    assert workload.notes == ("dimension 'batch' was not given: batch taken as 1", "dimension 'seq' was not given: taken as 64")


def test_another_extent_is_tried_when_the_usual_one_does_not_fit(tmp_path):
    """A kernel of 256 samples does not fit 64 tokens; 16000 samples hold it."""
    weights = [numpy_helper.from_array(np.zeros((4, 1, 256), np.float32), "w")]
    path = save(
        tmp_path,
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        [info("x", 1, 1, "seq")],
        [helper.make_empty_tensor_value_info("y")],
        weights,
    )
    got, workload = shapes(path)
    assert got == {"x": (1, 1, 16000)}
    assert "dimension 'seq' was not given: taken as 16000" in workload.notes


def test_the_channels_of_a_gray_image_are_found(tmp_path):
    """Three channels are usual; the first layer has one."""
    weights = [numpy_helper.from_array(np.zeros((4, 1, 3, 3), np.float32), "w")]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    got, _ = shapes(save(tmp_path, nodes, [info("x", 1, None, 28, 28)], [helper.make_empty_tensor_value_info("y")], weights))
    assert got == {"x": (1, 1, 28, 28)}


def test_no_extent_fits_is_an_error_that_names_the_axis(tmp_path):
    weights = [numpy_helper.from_array(np.zeros((4, 2), np.float32), "w"), numpy_helper.from_array(np.zeros((9, 2), np.float32), "v")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["x", "v"], ["b"], "second")]
    outputs = [helper.make_empty_tensor_value_info(name) for name in "ab"]
    path = save(tmp_path, nodes, [info("x", 1, "seq")], outputs, weights)
    with pytest.raises(WorkloadError, match=r"cannot take inputs of shape .*set seq \(--dim NAME=INT\)"):
        load_onnx(path, {})


def test_an_extent_that_was_asked_for_is_never_replaced(tmp_path):
    weights = [numpy_helper.from_array(np.zeros((4, 1, 256), np.float32), "w")]
    path = save(
        tmp_path,
        [helper.make_node("Conv", ["x", "w"], ["y"], "stft")],
        [info("x", 1, 1, "seq")],
        [helper.make_empty_tensor_value_info("y")],
        weights,
    )
    with pytest.raises(
        WorkloadError, match=r"'stft' \(Conv\) has no result .* too small; inputs are x \(1, 1, 64\); give other values for seq"
    ):
        load_onnx(path, {"seq": 64})


# -- what inputs are for --------------------------------------------------------------------------


def test_integers_are_indices_and_caches_are_state(tmp_path):
    nodes = [
        helper.make_node("Identity", ["ids"], ["a"]),
        helper.make_node("Relu", ["past_key"], ["b"]),
        helper.make_node("Relu", ["x"], ["c"]),
    ]
    inputs = [info("ids", 1, 4, dtype=INT64), info("past_key", 1, 2, 3, 4), info("x", 1, 4)]
    workload = load_onnx(save(tmp_path, nodes, inputs, [helper.make_empty_tensor_value_info(name) for name in "abc"]), {})
    assert [workload.tensors[name].kind for name in workload.inputs] == [TensorKind.INDEX, TensorKind.STATE, TensorKind.INPUT]
    assert [workload.tensors[name].bits for name in workload.inputs] == [32, 8, 8]


def test_initializers_listed_as_inputs_are_weights(tmp_path):
    weights = [numpy_helper.from_array(np.zeros((4, 3), np.float32), "w")]
    inputs = [info("x", 1, 4), info("w", 4, 3)]
    workload = load_onnx(save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], inputs, [info("y", 1, 3)], weights), {})
    assert workload.inputs == ("x",)
    assert workload.tensors["w"].kind is TensorKind.WEIGHT


def test_a_sequence_input_is_read_as_one_tensor(tmp_path):
    element = helper.make_tensor_type_proto(FLOAT, [2, 3])
    value = helper.make_value_info("xs", helper.make_sequence_type_proto(element))
    node = helper.make_node("ConcatFromSequence", ["xs"], ["y"], axis=0)
    got, workload = shapes(save(tmp_path, [node], [value], [helper.make_empty_tensor_value_info("y")]))
    assert got == {"xs": (2, 3)}
    assert "sequence" in workload.notes[0]


def test_an_optional_input_is_read_as_present(tmp_path):
    value = helper.make_value_info("x", helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, [2, 3])))
    nodes = [helper.make_node("OptionalGetElement", ["x"], ["e"]), helper.make_node("Relu", ["e"], ["y"])]
    got, workload = shapes(save(tmp_path, nodes, [value], [helper.make_empty_tensor_value_info("y")]))
    assert got == {"x": (2, 3)}
    assert workload.coverage.free == {"OptionalGetElement": 1}


# -- whole shapes ---------------------------------------------------------------------------------


def test_a_model_can_be_loaded_at_whole_input_shapes(tmp_path):
    path = relus(tmp_path, info("x", "batch", None, 8), info("state", 2, "batch", 4))
    workload = load_onnx_at(path, {"x": (3, 5, 8), "state": (2, 3, 4)})
    assert [workload.tensors[name].shape for name in workload.inputs] == [(3, 5, 8), (2, 3, 4)]
    assert not workload.notes


def test_two_extents_for_one_symbol_give_the_greater(tmp_path):
    ports = read_ports(read_onnx(relus(tmp_path, info("x", "n", 4), info("ids", "n"))))
    assert dims_of_shapes("net", ports, {"x": (1, 4), "ids": (64,)}) == {"n": 64}


def test_whole_shapes_are_checked(tmp_path):
    path = relus(tmp_path, info("x", "n", 4))
    with pytest.raises(WorkloadError, match=r"input 'z' is not in the model; choose one of: x"):
        load_onnx_at(path, {"z": (1, 4)})
    with pytest.raises(WorkloadError, match=r"input 'x' has 2 axes; shape \(1,\) has 1"):
        load_onnx_at(path, {"x": (1,)})


# -- the parts ------------------------------------------------------------------------------------


def test_chosen_inputs_remember_which_axes_nobody_asked_for(tmp_path):
    source = read_onnx(relus(tmp_path, info("x", "batch", "seq")))
    ports = read_ports(source)
    assert [axis.symbol for axis in choose_inputs(source, ports, {}, {}).defaulted] == ["seq"]
    assert not choose_inputs(source, ports, {"seq": 3}, {}).defaulted
    assert choose_inputs(source, ports, {}, {"x.1": 77}).dims == {"batch": 1, "seq": 77}


def test_alternatives_try_text_lines_for_images_and_sound_for_the_rest(tmp_path):
    ports = read_ports(read_onnx(relus(tmp_path, info("x", 1, 3, None, None), info("s", 1, None))))
    axes = [ports[0].axes[2], ports[0].axes[3], ports[1].axes[1]]
    choices = list(alternatives({port.name: port for port in ports}, axes))
    assert choices[0] == {"x.2": 48, "x.3": 320}
    assert {"s.1": 16000} in choices
    assert default_extent(ports[1], ports[1].axes[1]) == 16000
