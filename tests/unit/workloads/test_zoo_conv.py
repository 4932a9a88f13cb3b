from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import WorkloadError
from workloads.graph import Gemm, OpKind
from workloads.registry import load_workload
from workloads.zoo.mobilenet import make_divisible


def convs(net):
    return [op for op in net if op.op_type == "Conv"]


def test_mlp_counts_follow_its_layer_sizes():
    net = load_workload("mlp", inputs=20, hidden=7, layers=3, outputs=5)
    assert net.n_macs == 20 * 7 + 7 * 7 + 7 * 7 + 7 * 5
    assert net.n_params == net.n_macs + 3 * 7 + 5
    assert [op.fused for op in net] == [("Relu",)] * 3 + [()]


def test_small_perceptrons_by_hand():
    assert load_workload("mlp_digits").n_macs == 64 * 32 + 32 * 10
    assert load_workload("mlp_mnist").n_params == 784 * 64 + 64 + 64 * 10 + 10


def test_autoencoder_is_a_chain_of_ten_layers_with_nine_batch_norms():
    net = load_workload("mlperf_tiny_autoencoder_ad")
    assert [op.gemm.n for op in net] == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert net.coverage.free == {"BatchNormalization": 9}


def test_lenet5_counts_are_those_of_28x28_padded_by_two():
    by_32, by_28 = load_workload("lenet5"), load_workload("lenet5", height=28, width=28)
    assert (by_32.n_macs, by_32.n_params) == (by_28.n_macs, by_28.n_params)
    assert by_32.n_macs == 784 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10


def test_cnn_small_counts_follow_its_layers():
    net = load_workload("cnn_small")
    assert net.n_macs == 784 * 8 * 25 + 196 * 16 * 200 + 784 * 64 + 64 * 10
    assert net.n_params == 208 + 3216 + 50240 + 650 == 54_314
    assert [op.fused for op in net if op.gemm] == [("Relu",)] * 3 + [()]


def test_lenet5_1998_layers_are_those_of_the_paper():
    """Section II.B: C1 156, S2 12, C3 1516, S4 32, C5 48120, F6 10164 trainable values; C3 has 60 map-to-map links."""
    net = load_workload("lenet5_1998")
    assert net.n_params == 156 + 12 + 1516 + 32 + 48120 + 10164 == 60000
    c3 = [op for op in convs(net) if op.name.startswith("C3")]
    assert [op.gemm for op in c3] == [Gemm(6, 100, 75, 1), Gemm(9, 100, 100, 1), Gemm(1, 100, 150, 1)]
    assert sum(op.n_macs for op in c3) == 100 * 60 * 25


def test_first_convolution_of_resnet50():
    stem = load_workload("resnet50").ops[0]
    assert stem.gemm == Gemm(1, 112 * 112, 147, 64)
    assert stem.n_macs == 118_013_952


def test_stride_of_a_v15_bottleneck_sits_in_its_3x3_convolution():
    """Second stage, first block: 1x1 on 56x56 pixels, 3x3 to 28x28, 1x1, shortcut."""
    layers = convs(load_workload("resnet50"))[11:15]
    assert [op.gemm for op in layers] == [
        Gemm(1, 56 * 56, 256, 128),
        Gemm(1, 28 * 28, 9 * 128, 128),
        Gemm(1, 28 * 28, 128, 512),
        Gemm(1, 28 * 28, 256, 512),
    ]


@pytest.mark.parametrize(("depth", "n_shortcuts"), [(18, 3), (34, 3), (50, 4), (101, 4), (152, 4)])
def test_depth_of_a_resnet_counts_layers_beside_its_shortcuts(depth, n_shortcuts):
    """A basic first stage keeps its 64 channels; a bottleneck's first stage widens them to 256 and needs a shortcut too."""
    net = load_workload(f"resnet{depth}")
    assert sum(op.kind is OpKind.MATMUL for op in net) == depth + n_shortcuts


def test_resnext_keeps_the_macs_of_a_bottleneck_in_32_groups():
    grouped = [op.gemm for op in convs(load_workload("resnext50_32x4d")) if op.gemm.groups > 1]
    assert len(grouped) == 16
    assert grouped[0] == Gemm(32, 56 * 56, 9 * 4, 4)


def test_wide_resnet_doubles_the_inner_width_only():
    narrow, wide = (convs(load_workload(name))[1:4] for name in ("resnet50", "wide_resnet50_2"))
    assert [op.gemm.n for op in narrow] == [64, 64, 256]
    assert [op.gemm.n for op in wide] == [128, 128, 256]


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_cifar_resnet_has_two_parameter_free_shortcuts(depth):
    net = load_workload(f"resnet{depth}_cifar")
    assert len(convs(net)) == depth - 1
    assert net.coverage.data_movement == {"Slice": 2, "Pad": 2}
    pads = [op for op in net if op.op_type == "Pad"]
    assert [net.tensors[op.outputs[0]].shape for op in pads] == [(1, 32, 16, 16), (1, 64, 8, 8)]
    assert not any(op.weights for op in pads)


def test_resnet8_projects_its_shortcuts_without_batch_norm():
    net = load_workload("mlperf_tiny_resnet8_cifar")
    assert len(convs(net)) == 9
    assert net.coverage.free["BatchNormalization"] == 7


def test_vgg8_ends_in_8192_features():
    net = load_workload("vgg8")
    assert [op.gemm.k for op in net if op.op_type == "Gemm"] == [8192, 1024]
    assert len(convs(net)) == 6


@pytest.mark.parametrize(("name", "n_convs"), [("vgg11", 8), ("vgg13", 10), ("vgg16", 13), ("vgg19", 16)])
def test_vgg_depth_and_free_batch_norms(name, n_convs):
    plain, normed = load_workload(name), load_workload(f"{name}_bn")
    assert len(convs(plain)) == n_convs
    assert normed.coverage.free["BatchNormalization"] == n_convs
    assert normed.n_macs == plain.n_macs
    widths = sum(op.gemm.n for op in convs(plain))
    assert normed.n_params == plain.n_params + 2 * widths


def test_vgg_classifier_sees_7x7_features_at_any_image_size():
    full, small = load_workload("vgg16"), load_workload("vgg16", height=192, width=192)
    assert full.n_params == small.n_params
    assert full.op_types()["AveragePool"] == 0
    assert small.op_types()["AveragePool"] == 1  # 6x6 to 7x7


def test_two_tower_alexnet_halves_three_convolutions():
    assert [op.gemm.groups for op in convs(load_workload("alexnet_caffe_grouped"))] == [1, 2, 1, 2, 2]
    assert load_workload("alexnet_caffe_grouped").op_types()["LRN"] == 2


@pytest.mark.parametrize(
    ("size", "rounded"), [(32, 32), (16 * 0.75, 16), (24 * 0.75, 24), (33.6, 32), (44.8, 48), (8 * 0.5, 8), (11.2, 16)]
)
def test_make_divisible_rounds_to_eight_but_loses_at_most_a_tenth(size, rounded):
    """Nearest multiple of 8; the next one when that lost more than 10 %."""
    assert make_divisible(size) == rounded


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 2000))
def test_make_divisible_never_loses_more_than_a_tenth(size):
    width = make_divisible(size)
    assert width % 8 == 0
    assert width >= 0.9 * size
    assert width <= size + 8


def test_mobilenet_v1_alternates_depthwise_and_pointwise():
    layers = [op.gemm for op in convs(load_workload("mobilenetv1_100"))][1:]
    assert [gemm.groups == 1 for gemm in layers] == [False, True] * 13
    assert layers[0] == Gemm(32, 112 * 112, 9, 1)


def test_mobilenet_v2_adds_where_shapes_agree():
    """Table 2: repeats 1 2 3 4 3 3 1; the first of each stage changes the shape, so 10 residual sums."""
    net = load_workload("mobilenet_v2")
    assert net.op_types()["Add"] == 10
    assert len(convs(net)) == 52


@pytest.mark.parametrize(("name", "last"), [("mobilenet_v2_x0_5", 1280), ("mobilenet_v2_x0_75", 1280), ("mobilenet_v2_x1_4", 1792)])
def test_last_convolution_of_mobilenet_v2_grows_but_does_not_shrink(name, last):
    assert convs(load_workload(name))[-1].gemm.n == last


def test_dscnn_by_hand():
    """64 filters of 10x4 on 25x5 pixels, then 4 x (64 x 9 depthwise, 64 x 64 pointwise), 64 x 12."""
    assert load_workload("mlperf_tiny_dscnn_kws").n_macs == 125 * (64 * 40 + 4 * (64 * 9 + 64 * 64)) + 64 * 12


def test_densenet_runs_the_norms_that_read_concatenations():
    net = load_workload("densenet121")
    layers = 6 + 12 + 24 + 16
    assert net.coverage.costed["BatchNormalization"] == layers + 3 + 1  # each layer, each transition, the end
    assert net.coverage.free["BatchNormalization"] == layers + 1  # between the convolutions of a layer, and the stem
    assert net.tensors[next(op for op in net if op.op_type == "GlobalAveragePool").inputs[0]].shape == (1, 1024, 7, 7)


def test_squeezenet_pools_round_up():
    net = load_workload("squeezenet1_0")
    assert [net.tensors[op.outputs[0]].shape[2] for op in net if op.op_type == "MaxPool"] == [54, 27, 13]


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121", "resnet20_cifar", "squeezenet1_1", "mobilenetv1_050"])
def test_parameters_do_not_depend_on_the_image(name):
    big, small = load_workload(name), load_workload(name, height=192, width=160)
    assert big.n_params == small.n_params
    assert small.tensors[small.inputs[0]].shape[2:] == (192, 160)


def test_four_times_the_pixels_are_four_times_the_convolution_macs():
    small, big = (load_workload("resnet18", height=size, width=size) for size in (224, 448))
    head = 512 * 1000
    assert big.n_macs - head == 4 * (small.n_macs - head)


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "alexnet", "mobilenet_v2", "lenet5"])
def test_class_count_changes_the_last_layer_only(name):
    one, two = load_workload(name, classes=7), load_workload(name, classes=8)
    last = one.ops[-1].gemm.k
    assert two.n_params - one.n_params == last + 1
    assert two.n_macs - one.n_macs == last


@pytest.mark.parametrize(("name", "size"), [("alexnet", 20), ("lenet5", 8), ("squeezenet1_0", 5), ("vgg16", 16), ("vgg8", 4)])
def test_an_image_too_small_is_refused(name, size):
    with pytest.raises(WorkloadError, match="has no result; choose a larger image"):
        load_workload(name, height=size, width=size)
