"""Laws of workloads: an order that can run, work that is counted once, and bits that change bytes only."""

from __future__ import annotations

import numpy as np

from cosim.testing.judge import Judge
from workloads.errors import WorkloadError
from workloads.graph import OpKind, TensorKind, Workload
from workloads.optable import OpTable


def check_workload(workload: Workload) -> None:
    """Check the laws of a workload; raises WorkloadError."""
    judge = Judge(f"workload {workload.name!r}", WorkloadError)
    known = set(workload.inputs)
    for op in workload.ops:
        for name in op.inputs:
            judge.law("ops read what is given or made before", name in known, f"op {op.name!r} reads {name!r}")
        known.update(op.outputs)
        is_product = op.kind is OpKind.MATMUL
        judge.law(
            "products, and only they, have a GEMM", is_product == (op.gemm is not None), f"op {op.name!r} is {op.kind.name}: {op.gemm}"
        )
        judge.law("a product has MACs", op.gemm is None or op.n_macs > 0, f"op {op.name!r} has {op.gemm}")
        judge.law("vector operations are 0 or more", op.n_vector_ops >= 0, f"op {op.name!r} has {op.n_vector_ops}")
    for name in workload.outputs:
        judge.law("results are made", name in known, f"{name!r} is made by no op")
    names = [op.name for op in workload.ops]
    judge.law("ops have names of their own", len(set(names)) == len(names), f"{len(names)} ops have {len(set(names))} names")
    judge.law("a batch is 1 or more", workload.batch >= 1, f"it is {workload.batch}")
    _check_coverage(judge, workload)
    _check_table(judge, workload)
    _check_bits(judge, workload)


def _check_coverage(judge: Judge, workload: Workload) -> None:
    """Check that ops come from counted nodes; one node may make several ops, and several nodes one."""
    coverage = workload.coverage
    parts = {"costed": coverage.costed, "data_movement": coverage.data_movement, "free": coverage.free}
    for part, counts in parts.items():
        for op_type, count in counts.items():
            judge.law("coverage counts nodes", count >= 1, f"{part} has {count} of {op_type!r}")
    has_ops, has_products = bool(workload.ops), any(op.gemm for op in workload.ops)
    judge.law("ops come from nodes that coverage counts", bool(coverage.costed or coverage.data_movement) or not has_ops, f"{parts}")
    judge.law("products come from costed nodes", bool(coverage.costed) or not has_products, f"{parts}")


def _check_table(judge: Judge, workload: Workload) -> None:
    """Check that the table of distinct ops holds the work of all ops."""
    table = OpTable.from_workload(workload)
    macs = np.array([op.n_macs for op in workload.ops], dtype=np.int64)
    rows = table.n_macs[table.row_of_op]
    judge.everywhere(
        "a row has the MACs of its ops", rows == macs, lambda i: f"op {workload.ops[i].name!r} has {macs[i]} MACs, its row {rows[i]}"
    )
    total = int((table.n_macs * table.n_repeats).sum())
    judge.law("rows times repeats are the workload", total == workload.n_macs, f"{total} MACs against {workload.n_macs}")
    made = sum(workload.tensors[name].n_elements for op in workload.ops for name in op.outputs)
    written = int((table.output_elements * table.n_repeats).sum())
    judge.law("rows times repeats write what ops write", written == made, f"{written} elements against {made}")


def _check_bits(judge: Judge, workload: Workload) -> None:
    """Check that other bits change the width of tensors and nothing else."""
    narrow = workload.with_bits(4, 6)
    judge.law("bits change no work", (narrow.n_macs, narrow.ops) == (workload.n_macs, workload.ops), f"{narrow.n_macs} MACs at 4/6 bits")
    for name, tensor in workload.tensors.items():
        bits = {TensorKind.WEIGHT: 4, TensorKind.INDEX: tensor.bits}.get(tensor.kind, 6)
        got = narrow.tensors[name]
        judge.law("bits go to tensors by their kind", got.bits == bits, f"{tensor.kind.name} {name!r} has {got.bits} bits, not {bits}")
        judge.law("bits change no shape", got.shape == tensor.shape, f"{name!r} was {tensor.shape} and is {got.shape}")
    back, plain = narrow.with_bits(8, 8), workload.with_bits(8, 8)
    judge.law("bits can be set again", back.tensors == plain.tensors, "8 bits after 4 are not 8 bits at once")
