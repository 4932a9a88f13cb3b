"""Read an ONNX file as a workload: shapes inferred, shape arithmetic folded, norms and activations merged, ops priced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from workloads.errors import WorkloadError
from workloads.graph import Coverage, Workload
from workloads.onnx_dims import Inputs, Port, alternatives, choose_inputs, dims_of_shapes, read_ports
from workloads.onnx_facts import Fact, ShapeError
from workloads.onnx_flow import Flow
from workloads.onnx_fuse import merge_layers
from workloads.onnx_lower import Lowering
from workloads.onnx_patterns import merge_patterns
from workloads.onnx_read import Source, damage_reported, parse_onnx, read_onnx
from workloads.onnx_walk import Walk


def load_onnx(path: Path, dims: Mapping[str, int]) -> Workload:
    """Read a network from a file.

    `dims` gives extents by name: a dynamic axis of the file by its symbol, `batch` for the leading axis
    whatever its name, `input.axis` for an axis without a name, or the value of an input that is one whole
    number. Axes not named get usual extents, each with a note. Weights are never loaded: only shapes and
    small values are looked at, so external data may be missing.

    `n_params` counts all values that the file stores (initializers, Constant nodes, and tensors generated
    from a stored shape), running statistics of batch norms among them, since a file does not say what was
    trained: the columns `params` and `weights_total` of `cosim/validation/data/onnx_models.csv`.

    Raises WorkloadError, naming file and node, when the file is missing, broken or unsafe, when a name is
    not in the model, or when the graph cannot run at the extents asked for.
    """
    return _load(read_onnx(Path(path)), dims)


def load_onnx_bytes(name: str, data: bytes, dims: Mapping[str, int]) -> Workload:
    """Read a network from the bytes of a model under a name; else as `load_onnx`."""
    return _load(parse_onnx(Path(f"{name}.onnx"), data), dims)


def load_onnx_at(path: Path, shapes: Mapping[str, Sequence[int]]) -> Workload:
    """Read a network from a file, with whole input shapes by input name; inputs not named get usual extents.

    Raises WorkloadError as `load_onnx` does, and when an input is not in the model or has another rank.
    """
    source = read_onnx(Path(path))
    with damage_reported(source.path):
        dims = dims_of_shapes(str(path), read_ports(source), shapes)
    return _load(source, dims)


def _load(source: Source, dims: Mapping[str, int]) -> Workload:
    """Walk, merge and price a model that was read."""
    with damage_reported(source.path):
        ports = read_ports(source)
        inputs, workload = _fit(source, ports, dims)
        if inputs.batch_factor > 1:
            _check_batch(source, ports, dims, workload)
        return workload


def _fit(source: Source, ports: list[Port], dims: Mapping[str, int]) -> tuple[Inputs, Workload]:
    """Build the workload; where nobody chose an extent and the usual one does not fit, try others."""
    inputs = choose_inputs(source, ports, dims, {})
    choices = alternatives({port.name: port for port in ports}, list(inputs.defaulted))
    error: WorkloadError | None = None
    while True:
        try:
            return inputs, _build(source, inputs)
        except ShapeError as clash:
            error = error or _explain(source, inputs, dims, clash)
        choice = next(choices, None) if inputs.defaulted else None
        if choice is None:
            raise error
        inputs = choose_inputs(source, ports, dims, choice)


def _check_batch(source: Source, ports: list[Port], dims: Mapping[str, int], workload: Workload) -> None:
    """Refuse a batch that the file does not foresee unless the work grows with it: some graphs keep only the first row."""
    _, one = _fit(source, ports, {**dims, "batch": 1})
    if abs(workload.n_macs - workload.batch * one.n_macs) > 0.005 * workload.n_macs:
        raise WorkloadError(
            f"{source.path}: batch = {workload.batch} cannot be set: the file fixes a batch of 1, and its graph does not carry a larger "
            f"one through ({workload.n_macs} MACs instead of {workload.batch} x {one.n_macs}); use batch 1 or export a dynamic batch"
        )


def _explain(source: Source, inputs: Inputs, dims: Mapping[str, int], clash: ShapeError) -> WorkloadError:
    """Say which extents do not fit, and what would."""
    if inputs.batch_factor > 1:
        return WorkloadError(
            f"{source.path}: batch = {inputs.batch_factor} cannot be set: the file fixes a batch of 1 and {clash}; "
            "use batch 1 or export the model with a dynamic batch axis"
        )
    shapes = ", ".join(f"{fact.name} {fact.shape}" for fact in inputs.facts)
    asked = "other values for " + ", ".join(dims) if dims else "the right extents"
    names = ", ".join(sorted({axis.symbol or axis.key for axis in inputs.defaulted}))
    way_out = f"set {names} (--dim NAME=INT)" if names else f"give {asked} or export the model again"
    return WorkloadError(f"{source.path}: {clash}; inputs are {shapes}; {way_out}")


def _build(source: Source, inputs: Inputs) -> Workload:
    """Walk the graph with these inputs, merge and price its steps. Raises ShapeError when shapes do not fit together."""
    walk = Walk(source, inputs.batch_factor, inputs.dims)
    outputs = walk.run(inputs.facts)
    flow = Flow(walk.steps, outputs)
    merge_patterns(flow)
    merge_layers(flow, walk.free)
    given = list(_parts(inputs.facts))
    lowering = Lowering(given)
    for step in flow:
        lowering.lower(step, flow.is_used)
    names = tuple(dict.fromkeys(lowering.declare(fact) for fact in _parts(outputs)))
    return Workload(
        name=source.path.stem,
        tensors=lowering.tensors,
        ops=tuple(lowering.ops),
        inputs=tuple(fact.name for fact in given),
        outputs=names,
        n_params=source.n_stored,
        batch=inputs.batch,
        coverage=Coverage(dict(lowering.costed), dict(lowering.moved), dict(walk.free)),
        dims=inputs.dims,
        notes=(*inputs.notes, *walk.notes, *lowering.notes),
        source=f"{source.path} sha256:{source.sha256[:12]}",
    )


def _parts(facts: Iterable[Fact]) -> Iterator[Fact]:
    """The facts, a sequence as its parts."""
    for fact in facts:
        yield from fact.items if fact.items is not None else (fact,)
