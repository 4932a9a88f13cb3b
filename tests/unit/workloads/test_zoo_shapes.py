"""Layer by layer, as the tables of the papers have it."""

from __future__ import annotations

import pytest

from workloads.registry import load_workload


def shapes(net, op_type):
    """Result shapes of all ops of a type, without the batch."""
    return [net.tensors[op.outputs[0]].shape[1:] for op in net if op.op_type == op_type]


def distinct(values):
    """Values in order, runs of equal ones once."""
    return [value for i, value in enumerate(values) if not i or value != values[i - 1]]


@pytest.mark.parametrize(("name", "widths"), [("resnet34", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))])
def test_resnet_stages(name, widths):
    """arXiv:1512.03385, table 1: outputs of 56, 28, 14, 7 pixels; the sums have the width of their stage."""
    net = load_workload(name)
    assert distinct(shapes(net, "Add")) == [(w, s, s) for w, s in zip(widths, (56, 28, 14, 7), strict=True)]
    assert shapes(net, "Conv")[0] == (64, 112, 112)
    assert shapes(net, "MaxPool") == [(64, 56, 56)]
    assert shapes(net, "GlobalAveragePool") == [(widths[-1],)]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("resnet18", (2, 2, 2, 2)), ("resnet34", (3, 4, 6, 3)), ("resnet101", (3, 4, 23, 3)), ("resnet152", (3, 8, 36, 3))],
)
def test_resnet_blocks_in_each_stage(name, blocks):
    """arXiv:1512.03385, table 1."""
    sizes = [shape[1] for shape in shapes(load_workload(name), "Add")]
    assert tuple(sizes.count(size) for size in (56, 28, 14, 7)) == blocks


def test_cifar_resnet_maps():
    """arXiv:1512.03385, section 4.2: 1+2n layers at 32x32x16, 2n at 16x16x32, 2n at 8x8x64; n = 9 for 56."""
    made = shapes(load_workload("resnet56_cifar"), "Conv")
    assert [made.count(shape) for shape in ((16, 32, 32), (32, 16, 16), (64, 8, 8))] == [19, 18, 18]


def test_vgg16_configuration_d():
    """arXiv:1409.1556, table 1, column D."""
    made = shapes(load_workload("vgg16"), "Conv")
    table = [(64, 224)] * 2 + [(128, 112)] * 2 + [(256, 56)] * 3 + [(512, 28)] * 3 + [(512, 14)] * 3
    assert made == [(channels, size, size) for channels, size in table]


def test_alexnet_layers():
    """arXiv:1404.5997 as in torchvision: 55, 27, 13 pixels."""
    assert shapes(load_workload("alexnet"), "Conv") == [(64, 55, 55), (192, 27, 27), (384, 13, 13), (256, 13, 13), (256, 13, 13)]
    assert shapes(load_workload("alexnet_caffe_grouped"), "MaxPool") == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]


def test_mobilenet_v1_table_1():
    """arXiv:1704.04861, table 1: pointwise results."""
    made = shapes(load_workload("mobilenetv1_100"), "Conv")[2::2]
    table = [(64, 112), (128, 56), (128, 56), (256, 28), (256, 28), *[(512, 14)] * 6, (1024, 7), (1024, 7)]
    assert made == [(channels, size, size) for channels, size in table]


def test_mobilenet_v2_table_2():
    """arXiv:1801.04381, table 2: inputs of its rows are results of the rows before."""
    net = load_workload("mobilenet_v2")
    linear = [net.tensors[op.outputs[0]].shape[1:] for op in net if op.op_type == "Conv" and not op.fused]
    table = [(16, 112, 1), (24, 56, 2), (32, 28, 3), (64, 14, 4), (96, 14, 3), (160, 7, 3), (320, 7, 1)]
    assert linear == [(channels, size, size) for channels, size, repeats in table for _ in range(repeats)]
    assert shapes(net, "Conv")[-1] == (1280, 7, 7)


def test_densenet121_table_1():
    """arXiv:1608.06993, table 1: blocks end with 256, 512, 1024, 1024 maps, transitions halve them."""
    net = load_workload("densenet121")
    assert shapes(net, "AveragePool") == [(128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert shapes(net, "Concat")[-1] == (1024, 7, 7)


def test_squeezenet_table_1():
    """arXiv:1602.07360, table 1: fire modules give 128 128 256 256 384 384 512 512 maps; the classifier 1000."""
    net = load_workload("squeezenet1_0")
    assert [shape[0] for shape in shapes(net, "Concat")] == [128, 128, 256, 256, 384, 384, 512, 512]
    assert shapes(net, "Conv")[-1] == (1000, 13, 13)


def test_lenet_maps():
    """LeCun 1998, figure 2: C1 6@28x28, S2 6@14x14, C3 16@10x10, S4 16@5x5, C5 120, F6 84, output 10."""
    net = load_workload("lenet5_1998")
    by_name = {op.name: net.tensors[op.outputs[0]].shape[1:] for op in net}
    assert [by_name[name] for name in ("C1", "S2", "C3", "S4", "C5", "F6", "RBF")] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
        (84,),
        (10,),
    ]


def test_keyword_spotter_maps():
    """49 frames and 10 coefficients halved once, rounding up."""
    assert set(shapes(load_workload("mlperf_tiny_dscnn_kws"), "Conv")) == {(64, 25, 5)}


def test_cifar_vgg8_maps():
    made = shapes(load_workload("vgg8"), "Conv")
    assert made == [(128, 32, 32)] * 2 + [(256, 16, 16)] * 2 + [(512, 8, 8)] * 2
    assert shapes(load_workload("vgg8"), "MaxPool")[-1] == (512, 4, 4)


@pytest.mark.parametrize(
    ("name", "layers", "width", "heads"),
    [("vit_b_16", 12, 768, 12), ("vit_l_16", 24, 1024, 16), ("vit_h_14", 32, 1280, 16), ("deit_tiny_patch16_224", 12, 192, 3)],
)
def test_vision_transformer_sizes(name, layers, width, heads):
    """arXiv:2010.11929, table 1 and arXiv:2012.12877, table 1."""
    net = load_workload(name)
    assert len(shapes(net, "Softmax")) == layers
    assert shapes(net, "Softmax")[0][0] == heads
    assert shapes(net, "LayerNormalization")[0][-1] == width


@pytest.mark.parametrize(
    ("name", "layers", "width", "heads"),
    [("gpt2_small", 12, 768, 12), ("gpt2_medium", 24, 1024, 16), ("gpt2_large", 36, 1280, 20), ("gpt2_xl", 48, 1600, 25)],
)
def test_gpt2_sizes(name, layers, width, heads):
    """Radford 2019, table 2; heads are of 64."""
    net = load_workload(name)
    assert shapes(net, "Softmax") == [(heads, 1, 513)] * layers
    assert shapes(net, "LayerNormalization") == [(1, width)] * (2 * layers + 1)


def test_one_layer_of_a_llama():
    """arXiv:2307.09288: norm, attention with rotary positions, norm, gated MLP, two residual sums."""
    net = load_workload("llama2_7b")
    layer = [op.op_type for op in net.ops[1 : 1 + (len(net.ops) - 3) // 32]]
    assert " ".join(layer) == (
        "RMSNormalization Gemm Gemm Gemm RotaryEmbedding RotaryEmbedding MatMul Softmax MatMul Gemm Add "
        "RMSNormalization Gemm Gemm Mul Gemm Add"
    )
    assert (len(net.ops) - 3) % 32 == 0


def test_gemma_has_four_norms_a_layer():
    """arXiv:2408.00118, section 2: RMS norms before and after each sub-layer."""
    assert load_workload("gemma2_2b").op_types()["RMSNormalization"] == 4 * 26 + 1


def test_qwen_has_biases_on_queries_keys_and_values_only():
    net = load_workload("qwen2.5_0.5b")
    biased = {op.name.split(".")[-1] for op in net if len(op.weights) == 2}
    assert biased == {"query", "key", "value"}


def test_bert_embeds_words_positions_and_segments():
    """arXiv:1810.04805, figure 2."""
    net = load_workload("bert_base")
    assert [op.name for op in net.ops[:3]] == ["words", "positions", "segments"]
    assert [net.tensors[op.weights[0]].shape for op in net.ops[:3]] == [(30522, 768), (512, 768), (2, 768)]
