from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.builder import GraphBuilder
from workloads.errors import WorkloadError
from workloads.graph import Gemm, OpKind, TensorKind


@pytest.fixture
def b():
    return GraphBuilder("net")


def image(b, channels=3, height=8, width=8):
    return b.input("image", b.batch, channels, height, width)


def naive_conv_macs(n, c, out_channels, kernel, stride, pad, h, w, groups):
    """Visit every output element and count its taps."""
    macs = 0
    for _ in range(n * out_channels):
        for row in range(-pad, h + pad - kernel + 1, stride):
            for column in range(-pad, w + pad - kernel + 1, stride):
                assert row + kernel <= h + pad
                assert column + kernel <= w + pad
                macs += kernel * kernel * (c // groups)
    return macs


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_conv_counts_equal_those_of_the_naive_loops(data):
    draw = data.draw
    groups, n = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    c, out = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel, stride, pad = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    h, w = draw(st.integers(4, 9)), draw(st.integers(4, 9))
    b = GraphBuilder("net", n)
    y = b.conv2d(image(b, c, h, w), out, kernel, stride, pad, groups=groups, bias=True)
    net = b.build(y)
    assert net.n_macs == naive_conv_macs(n, c, out, kernel, stride, pad, h, w, groups)
    assert net.n_params == out * (c // groups * kernel * kernel + 1)
    assert y.shape[:2] == (n, out)


@pytest.mark.parametrize(("height", "stride", "rows"), [(49, 2, 25), (10, 2, 5), (8, 1, 8), (8, 3, 3)])
def test_same_padding_divides_the_image_by_the_stride_rounding_up(b, height, stride, rows):
    assert b.conv2d(image(b, height=height), 4, 3, stride, "same").shape[2] == rows


def test_batch_norm_behind_a_convolution_is_free_and_trains_two_values_a_channel(b):
    net = b.build(b.conv2d(image(b), 16, 3, norm=True))
    assert net.n_params == 16 * 27 + 32
    assert net.coverage.free == {"BatchNormalization": 1}
    assert net.op_types() == {"Conv": 1}
    assert net.ops[0].n_weight_elements == 16 * 27 + 16  # folding leaves a bias


def test_a_bias_kept_beside_batch_norm_trains_one_value_more_but_stores_none_more(b):
    net = b.build(b.conv2d(image(b), 16, 3, bias=True, norm=True))
    assert net.n_params == 16 * 27 + 16 + 32
    assert net.ops[0].n_weight_elements == 16 * 27 + 16


def test_batch_norm_that_follows_no_convolution_runs(b):
    net = b.build(b.batch_norm(image(b, 4, 2, 2), act="Relu"))
    assert net.n_params == 8
    assert net.ops[0].n_vector_ops == 16 * 2 + 16  # multiply, add, ReLU
    assert net.coverage.costed == {"BatchNormalization": 1, "Relu": 1}
    assert not net.coverage.free


def test_activation_rides_on_the_op_that_feeds_it(b):
    net = b.build(b.linear(b.input("x", 1, 8), 4, act="Sigmoid"))
    (op,) = net.ops
    assert op.fused == ("Sigmoid",)
    assert op.special
    assert op.n_vector_ops == 4 * 5
    assert net.coverage.costed == {"Gemm": 1, "Sigmoid": 1}


def test_linear_acts_on_the_last_axis(b):
    y = b.linear(b.input("x", 2, 5, 8), 4)
    net = b.build(y)
    assert y.shape == (2, 5, 4)
    assert net.ops[0].gemm == Gemm(1, 10, 8, 4)
    assert net.n_params == 36


def test_tied_head_shares_the_table_and_its_parameters(b):
    x = b.embedding(b.input("ids", 1, 3, kind=TensorKind.INDEX), 100, 8, name="words")
    net = b.build(b.linear(x, 100, bias=False, weight="words.weight"))
    assert net.n_params == 800
    assert net.weight_bytes == 800
    assert net.n_macs == 3 * 8 * 100


def test_a_shared_table_of_another_shape_is_refused(b):
    x = b.embedding(b.input("ids", 1, 3, kind=TensorKind.INDEX), 100, 8, name="words")
    with pytest.raises(WorkloadError, match=r"'words.weight' has shape \(100, 8\) and cannot be shared as \(90, 8\)"):
        b.linear(x, 90, bias=False, weight="words.weight")


def test_index_inputs_have_32_bits_and_states_the_precision_of_activations(b):
    b.input("ids", 1, 3, kind=TensorKind.INDEX)
    b.input("cache", 1, 3, kind=TensorKind.STATE)
    assert (b.tensors["ids"].bits, b.tensors["cache"].bits) == (32, 8)


def test_a_view_has_the_same_elements(b):
    x = image(b, 4, 2, 2)
    assert x.view(1, 16).name == x.name
    with pytest.raises(WorkloadError, match=r"image: \(1, 4, 2, 2\) cannot be viewed as \(1, 15\)"):
        x.view(1, 15)


def test_learned_positions_read_only_the_rows_in_use(b):
    net = b.build(b.add_table(b.input("x", 2, 5, 8), 100))
    assert net.n_params == 800
    assert net.ops[0].n_weight_elements == 40
    assert net.ops[0].n_vector_ops == 80


def test_more_positions_than_the_table_has_are_refused(b):
    with pytest.raises(WorkloadError, match="net: 9 positions asked of a table of 8"):
        b.add_table(b.input("x", 1, 9, 4), 8)


def test_only_the_experts_in_use_are_read(b):
    net = b.build(b.expert_linear(b.input("x", 6, 8), Gemm(2, 3, 8, 4), experts=5))
    assert net.n_params == 5 * 8 * 4
    assert net.ops[0].n_weight_elements == 2 * 8 * 4
    assert net.n_macs == 6 * 8 * 4
    with pytest.raises(WorkloadError, match="uses 6 experts of 5"):
        b.expert_linear(b.input("y", 6, 8), Gemm(6, 1, 8, 4), experts=5)


@pytest.mark.parametrize(
    ("size", "ceil", "out"), [(54, False, 26), (54, True, 27), (55, True, 27), (5, True, 2), (4, True, 2), (4, False, 1)]
)
def test_pool_of_3_with_stride_2_rounds_down_or_up(b, size, ceil, out):
    y = b.pool("MaxPool", image(b, 1, size, size), 3, 2, ceil=ceil)
    assert y.shape == (1, 1, out, out)


def test_a_window_that_would_start_in_the_padding_is_dropped(b):
    """2 pixels, kernel 2, stride 3, padding 1: windows start at -1 and 2; the second holds only padding."""
    assert b.pool("MaxPool", image(b, 1, 2, 2), 2, 3, 1, ceil=True).shape == (1, 1, 1, 1)


def naive_adaptive_taps(size, out):
    return sum(1 for i in range(out) for j in range(size) if j * out < (i + 1) * size and (j + 1) * out > i * size)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 10))
def test_adaptive_pool_reads_every_pixel_that_a_window_touches(size, out):
    b = GraphBuilder("net")
    y = b.adaptive_pool(image(b, 2, size, 4), out, 4)
    assert y.shape == (1, 2, out, 4)
    if size == out:
        assert not b.ops
    else:
        assert b.ops[0].n_vector_ops == 2 * 4 * naive_adaptive_taps(size, out)


def test_global_pool_leaves_one_value_a_channel(b):
    y = b.global_pool(image(b, 4, 3, 5))
    assert y.shape == (1, 4)
    assert b.ops[0].n_vector_ops == 60
    assert b.ops[0].kind is OpKind.POOL


def test_rms_norm_has_a_scale_and_no_shift(b):
    assert b.build(b.norm(b.input("x", 2, 8), "RMSNormalization", bias=False)).n_params == 8


def test_local_response_norm_has_no_parameters(b):
    net = b.build(b.norm(image(b), "LRN", scale=False))
    assert net.n_params == 0
    assert net.ops[0].special
    assert net.ops[0].kind is OpKind.NORM


def test_trained_subsampling_has_two_values_a_map(b):
    net = b.build(b.affine(image(b, 6, 2, 2), act="Tanh"))
    assert net.n_params == 12


def test_distance_to_fixed_codes_trains_nothing_and_counts_no_macs(b):
    net = b.build(b.squared_distance(b.input("x", 2, 84), 10))
    assert (net.n_params, net.n_macs) == (0, 0)
    assert net.weight_bytes == 840
    assert net.ops[0].n_vector_ops == 3 * 2 * 840


def test_movement_is_covered_as_movement_and_counts_stored_parts(b):
    token = b.weight("token", 1, 8)
    net = b.build(b.move("Concat", (b.input("x", 1, 4, 8),), (1, 5, 8), weights=[token]))
    assert net.coverage.data_movement == {"Concat": 1}
    assert net.ops[0].n_weight_elements == 8
    assert net.n_params == 8


def test_build_notes_dimensions_and_source(b):
    x = b.input("x", 1, 4)
    b.free("Dropout", 2)
    net = b.build(b.reduce("ArgMax", x, (1,)), dims={"seq": 4}, source="paper", notes=("n",))
    assert net.dims == {"batch": 1, "seq": 4}
    assert (net.source, net.notes, net.coverage.free) == ("paper", ("n",), {"Dropout": 2})
    assert net.ops[0].kind is OpKind.REDUCE


@pytest.mark.parametrize(
    "wrong",
    [
        lambda b: b.input("x", 1, 0),
        lambda b: b.input("x", -1, 3),
        lambda b: b.input("x", 1.5, 3),
        lambda b: b.weight("w", 0),
        lambda b: b.conv2d(image(b), 0, 3),
        lambda b: b.conv2d(image(b), 8, 0),
        lambda b: b.conv2d(image(b), 8, 3, 0),
        lambda b: b.conv2d(image(b), 8, 3, groups=0),
        lambda b: b.linear(b.input("x", 1, 8), 0),
        lambda b: b.pool("MaxPool", image(b), 0, 1),
        lambda b: b.pool("MaxPool", image(b), 2, 0),
        lambda b: b.embedding(b.input("ids", 1, 2, kind=TensorKind.INDEX), 0, 8),
    ],
)
def test_sizes_below_one_are_refused(b, wrong):
    with pytest.raises(WorkloadError, match="is out of range; choose a whole number of 1 or more"):
        wrong(b)


@pytest.mark.parametrize("batch", [0, -1, 1.0])
def test_batch_below_one_is_refused(batch):
    with pytest.raises(WorkloadError, match=r"net: batch .* is out of range"):
        GraphBuilder("net", batch)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda b: b.conv2d(image(b), 8, 9),
        lambda b: b.conv2d(image(b), 8, 3, groups=2),
        lambda b: b.conv2d(image(b, 4), 7, 3, groups=2),
        lambda b: b.pool("MaxPool", image(b), 9, 1),
    ],
)
def test_a_layer_without_a_result_is_refused(b, wrong):
    with pytest.raises(WorkloadError, match="has no result; choose a larger image"):
        wrong(b)


def test_names_are_unique(b):
    x = b.input("x", 1, 8)
    b.linear(x, 8, name="fc")
    with pytest.raises(WorkloadError, match="two layers are named 'fc'"):
        b.linear(x, 8, name="fc")
    with pytest.raises(WorkloadError, match="two tensors are named 'x'"):
        b.input("x", 1, 8)
