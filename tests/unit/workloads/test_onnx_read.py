"""What the reader refuses, and what it hands over."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.errors import WorkloadError
from workloads.onnx_import import load_onnx
from workloads.onnx_read import count_stored, read_onnx

FLOAT = TensorProto.FLOAT


def info(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def weight(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def model(nodes, inputs, outputs, weights=(), opset=17, **extra):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **extra)


def save(tmp_path, *args, **kwargs):
    path = tmp_path / "net.onnx"
    path.write_bytes(model(*args, **kwargs).SerializeToString())
    return path


def relu_chain(*pairs):
    """Relu nodes by (name, input, output)."""
    return [helper.make_node("Relu", [source], [target], name) for name, source, target in pairs]


def dense(tmp_path, location=None):
    """x[1, 4] W[4, 3], the weight kept in another file when a location is given."""
    stored = weight("w", 4, 3)
    if location is not None:
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        stored.external_data.add(key="location", value=location)
    return save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"], "fc")], [info("x", 1, 4)], [info("y", 1, 3)], [stored])


def refused(path, *words):
    with pytest.raises(WorkloadError) as caught:
        load_onnx(path, {})
    text = str(caught.value)
    assert text.startswith(str(path)), "an error starts with the file"
    for word in words:
        assert word in text
    return text


def test_a_missing_file_says_what_would_do(tmp_path):
    refused(tmp_path / "none.onnx", "no such file", "zoo")


def test_a_folder_is_no_model(tmp_path):
    refused(tmp_path, "cannot be read")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, keep):
    path = dense(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    refused(path, "truncated")


@pytest.mark.parametrize("data", [b"", b"hello world, this is no model", b"\x00" * 64, b"PK\x03\x04zip"])
def test_what_is_no_onnx_is_refused(tmp_path, data):
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    refused(path, "ONNX")


def test_a_graph_without_nodes_is_refused(tmp_path):
    refused(save(tmp_path, [], [info("x", 1)], [info("x", 1)]), "no nodes")


def test_a_graph_without_outputs_is_refused(tmp_path):
    refused(save(tmp_path, relu_chain(("a", "x", "y")), [info("x", 1)], []), "no outputs")


def test_a_model_without_operator_set_is_refused(tmp_path):
    broken = model(relu_chain(("a", "x", "y")), [info("x", 1)], [info("y", 1)])
    del broken.opset_import[:]
    path = tmp_path / "net.onnx"
    path.write_bytes(broken.SerializeToString())
    refused(path, "opset_import")


def test_a_dangling_edge_is_named_with_its_node(tmp_path):
    path = save(tmp_path, relu_chain(("first", "x", "a"), ("second", "lost", "y")), [info("x", 1)], [info("y", 1)])
    refused(path, "'second' (Relu)", "'lost'", "dangling")


def test_an_output_that_nothing_makes_is_named(tmp_path):
    refused(save(tmp_path, relu_chain(("a", "x", "y")), [info("x", 1)], [info("z", 1)]), "'z'", "made by no node")


def test_a_cycle_is_named_with_one_of_its_nodes(tmp_path):
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], "forth"),
        helper.make_node("Relu", ["a"], ["b"], "back"),
        helper.make_node("Relu", ["b"], ["y"], "out"),
    ]
    text = refused(save(tmp_path, nodes, [info("x", 1)], [info("y", 1)]), "cycle")
    assert "'forth'" in text or "'back'" in text


def test_a_node_that_reads_itself_is_a_cycle(tmp_path):
    refused(save(tmp_path, relu_chain(("self", "y", "y")), [info("x", 1)], [info("y", 1)]), "'self'", "cycle")


def test_a_tensor_made_twice_names_both_makers(tmp_path):
    path = save(tmp_path, relu_chain(("one", "x", "y"), ("two", "x", "y")), [info("x", 1)], [info("y", 1)])
    refused(path, "'one'", "'two'", "made twice")


def test_a_dangling_edge_inside_a_branch_is_found(tmp_path):
    branch = helper.make_graph(relu_chain(("inner", "nowhere", "r")), "b", [], [info("r", 1)])
    node = helper.make_node("If", ["c"], ["y"], "choice", then_branch=branch, else_branch=branch)
    refused(save(tmp_path, [node], [info("c", dtype=TensorProto.BOOL)], [info("y", 1)]), "'nowhere'")


def test_nodes_out_of_order_are_sorted(tmp_path):
    path = save(tmp_path, relu_chain(("c", "b", "y"), ("a", "x", "a"), ("b", "a", "b")), [info("x", 1)], [info("y", 1)])
    assert [node.name for node in read_onnx(path).graph.node] == ["a", "b", "c"]
    assert [op.name for op in load_onnx(path, {})] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../weights.bin", "a/../../w.bin", "C:\\weights.bin", "..\\w.bin", "\\\\host\\share\\w", ""]
)
def test_external_data_outside_the_folder_are_refused_before_they_are_opened(tmp_path, location):
    refused(dense(tmp_path, location), "'w'", "outside the model's folder", "refused")


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    inside, outside = tmp_path / "model", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "data").symlink_to(outside)
    refused(dense(inside, "data/w.bin"), "outside the model's folder")


def test_external_data_in_a_constant_are_checked_too(tmp_path):
    stored = weight("", 4, 3)
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="../w.bin")
    nodes = [helper.make_node("Constant", [], ["w"], value=stored), helper.make_node("MatMul", ["x", "w"], ["y"])]
    refused(save(tmp_path, nodes, [info("x", 1, 4)], [info("y", 1, 3)]), "outside the model's folder")


def test_weights_in_a_missing_file_beside_the_model_do_not_matter_for_costs(tmp_path):
    workload = load_onnx(dense(tmp_path, "weights/w.bin"), {})
    assert (workload.n_macs, workload.n_params) == (4 * 3, 12)


def test_a_small_shape_in_an_external_file_is_read(tmp_path):
    shape = numpy_helper.from_array(np.array([2, 6], np.int64), "s")
    (tmp_path / "s.bin").write_bytes(shape.raw_data)
    shape.ClearField("raw_data")
    shape.data_location = TensorProto.EXTERNAL
    shape.external_data.add(key="location", value="s.bin")
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Relu", ["r"], ["y"])]
    workload = load_onnx(save(tmp_path, nodes, [info("x", 3, 4)], [info("y", 2, 6)], [shape]), {})
    assert workload.tensors["y"].shape == (2, 6)
    assert not workload.notes


def test_stored_values_are_counted_wherever_a_file_keeps_them():
    then = helper.make_graph([helper.make_node("Constant", [], ["t"], value=weight("", 5))], "t", [], [info("t", 5)])
    other = helper.make_graph([helper.make_node("Identity", ["e0"], ["e"])], "e", [], [info("e", 7)], [weight("e0", 7)])
    shape = numpy_helper.from_array(np.array([2, 3], np.int64), "shape")
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
        helper.make_node("ConstantOfShape", ["shape"], ["z"]),
        helper.make_node("Constant", [], ["n"], value_ints=[1, 2, 3]),
        helper.make_node("Constant", [], ["f"], value_float=0.5),
    ]
    counted = model(nodes, [info("c", dtype=TensorProto.BOOL)], [info("y", 5)], [shape, weight("w", 10)])
    assert count_stored(counted) == 5 + 7 + 2 * 3 + 2 + 10 + 3 + 1


def test_the_source_names_the_file_and_its_hash(tmp_path):
    path = dense(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_onnx(path, {}).source == f"{path} sha256:{digest[:12]}"


def test_functions_of_the_model_are_inlined(tmp_path):
    opset = helper.make_opsetid("", 17)
    body = [helper.make_node("MatMul", ["a", "b"], ["ab"]), helper.make_node("Relu", ["ab"], ["c"])]
    function = helper.make_function("own", "DenseRelu", ["a", "b"], ["c"], body, [opset])
    call = helper.make_node("DenseRelu", ["x", "w"], ["y"], "layer", domain="own")
    graph = helper.make_graph([call], "g", [info("x", 1, 4)], [info("y", 1, 3)], [weight("w", 4, 3)])
    whole = helper.make_model(graph, opset_imports=[opset, helper.make_opsetid("own", 1)], functions=[function])
    path = tmp_path / "net.onnx"
    path.write_bytes(whole.SerializeToString())
    workload = load_onnx(path, {})
    assert workload.n_macs == 12
    assert workload.coverage.costed == {"MatMul": 1, "Relu": 1}
    assert not workload.notes


def test_any_damage_is_an_error_and_not_a_traceback(tmp_path):
    data = bytearray(dense(tmp_path).read_bytes())
    path = tmp_path / "net.onnx"
    outcomes = set()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        path.write_bytes(bytes(damaged))
        try:
            load_onnx(path, {})
            outcomes.add("read")
        except WorkloadError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_the_reader_keeps_weights_as_they_lie_in_the_file(tmp_path):
    source = read_onnx(dense(tmp_path))
    assert isinstance(source.model, onnx.ModelProto)
    assert source.n_stored == 12
    assert source.opset("") == source.opset("ai.onnx") == 17
    assert source.opset("unheard.of") == 1
