from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.graph import Gemm, OpKind
from workloads.ops import FOLDABLE, SPECIAL, VECTOR_OPS_PER_ELEMENT, conv_gemm, conv_out, is_known, kind_of, vector_ops


def naive_positions(size, kernel, stride, pad, dilation):
    """Slide the kernel over the padded row and count where it fits."""
    reach = dilation * (kernel - 1)
    return len([start for start in range(0, size + pad, stride) if start + reach <= size + pad - 1])


def naive_conv_macs(batch, in_channels, out_channels, kernel, out_size, groups):
    """The seven loops of a grouped convolution, innermost counted."""
    macs = 0
    for _ in range(batch):
        for _ in range(out_channels):
            for _ in range(out_size * out_size):
                for _ in range(in_channels // groups):
                    macs += kernel * kernel
    return macs


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 6), st.integers(1, 3))
def test_conv_extent_is_the_number_of_places_where_the_kernel_fits(size, kernel, stride, pad, dilation):
    expected = naive_positions(size, kernel, stride, pad, dilation)
    assert max(conv_out(size, kernel, stride, pad, dilation), 0) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_conv_macs_equal_those_of_the_naive_loops(batch, in_per_group, out_per_group, groups, kernel, out_size):
    gemm = conv_gemm(batch, in_per_group * groups, out_per_group * groups, kernel * kernel, out_size * out_size, groups)
    assert gemm.n_macs == naive_conv_macs(batch, in_per_group * groups, out_per_group * groups, kernel, out_size, groups)


def test_first_convolution_of_resnet_is_112_by_112_by_64_by_147_macs():
    assert conv_out(224, 7, 2, 6) == 112
    gemm = conv_gemm(1, 3, 64, 49, 112 * 112)
    assert gemm == Gemm(1, 12544, 147, 64)
    assert gemm.n_macs == 112 * 112 * 64 * 147 == 118_013_952


def test_depthwise_convolution_is_one_narrow_product_a_channel():
    assert conv_gemm(2, 32, 32, 9, 100, groups=32) == Gemm(32, 200, 9, 1)


@pytest.mark.parametrize(
    ("op_type", "kind"),
    [
        ("Conv", OpKind.MATMUL),
        ("MaxPool", OpKind.POOL),
        ("Add", OpKind.ELEMENTWISE),
        ("RotaryEmbedding", OpKind.ELEMENTWISE),
        ("Softmax", OpKind.SOFTMAX),
        ("RMSNormalization", OpKind.NORM),
        ("TopK", OpKind.REDUCE),
        ("Concat", OpKind.MOVE),
    ],
)
def test_kind_of_an_op_type(op_type, kind):
    assert is_known(op_type)
    assert kind_of(op_type) is kind


def test_unknown_op_type_is_data_movement():
    assert not is_known("FrobnicateV2")
    assert kind_of("FrobnicateV2") is OpKind.MOVE


def test_relu_costs_one_operation_an_element_and_sigmoid_an_exponential_and_a_division():
    assert vector_ops("Relu", 10) == 10
    assert vector_ops("Sigmoid", 10) >= (VECTOR_OPS_PER_ELEMENT["Exp"] + 1) * 10
    assert "Sigmoid" in SPECIAL
    assert "Relu" not in SPECIAL


def test_every_foldable_activation_is_an_element_wise_op():
    assert {kind_of(name) for name in FOLDABLE} == {OpKind.ELEMENTWISE}


def test_every_priced_or_special_op_type_has_a_kind():
    assert all(is_known(name) for name in (*VECTOR_OPS_PER_ELEMENT, *SPECIAL))
