"""Columns of the integer op matrix that device kernels read: those of `workloads.optable.COLUMNS`, in its order."""

from __future__ import annotations

(
    KIND,
    GROUPS,
    M,
    K,
    N,
    DYNAMIC,
    N_VECTOR_OPS,
    SPECIAL,
    WEIGHT_ELEMENTS,
    INPUT_ELEMENTS,
    OUTPUT_ELEMENTS,
    WEIGHT_BITS,
    ACTIVATION_BITS,
) = range(13)

# Values of KIND that kernels tell apart: `workloads.graph.OpKind`.
MATMUL = 0
MOVE = 6

# Scalar operations to move one element: a permuted load and a store, so half of the copy rate.
# assumed: tensors that are moved are walked with a stride on one side.
MOVE_OPS_PER_ELEMENT = 2
