"""A trained network in one .npz file: arrays, and one JSON text that says what they are. Nothing in it can run code."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from cosim import __version__
from cosim.files import write_file
from cosim.training.network import Network, Steps
from cosim.training.networks import TRAINABLE, Scaling
from cosim.training.quantize import MAX_BITS
from workloads.errors import StoreError, WorkloadError, suggest
from workloads.program import Array, Node, Program

FORMAT = "cosim-network"
VERSION = 1
META = "meta"
WEIGHTS = Path(__file__).parent / "weights"
_BROKEN = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Saved:
    """A network as it was read, and what it was made with: version of cosim, recipe, data, seed."""

    network: Network
    provenance: Mapping[str, Any] = field(default_factory=dict)


def save_network(network: Network, path: Path, provenance: Mapping[str, Any] | None = None, *, half: bool = False) -> None:
    """Write a network so that what is read back equals it bit for bit; the file is whole or not there.

    `half` keeps real weights as float16 (11 bits of mantissa), which are read back as float32. `provenance` takes plain JSON values.
    Raises StoreError where the file cannot be written or the network holds what is not finite.
    """
    program = network.program
    arrays = {f"weight.{i}": _stored(array, half=half) for i, array in enumerate(program.weights.values())}
    steps: dict[str, dict[str, Any]] = {}
    for name, step in network.steps.items():
        if step.weight is not None:
            arrays[f"step.{len(steps)}"] = np.asarray(step.weight, dtype=np.float64)
        steps[name] = {"weight": step.weight is not None, "input": step.input, "signed": step.signed, "adc": step.adc}
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "cosim": __version__,
        "name": program.name,
        "input": program.input,
        "input_shape": program.input_shape,
        "output": program.output,
        "opset": program.opset,
        "nodes": [_node_out(node, arrays) for node in program.nodes],
        "weights": {name: list(array.shape) for name, array in program.weights.items()},
        "scaling": network.scaling,
        "weight_bits": network.weight_bits,
        "activation_bits": network.activation_bits,
        "layer_bits": dict(network.layer_bits),
        "layer_activation_bits": dict(network.layer_activation_bits),
        "steps": steps,
        "provenance": dict(provenance or {}),
    }
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StoreError(f"{path}: {name} of {program.name} is not finite; train again at a lower rate")
    text = json.dumps(meta, allow_nan=False, default=_plain).encode()
    buffer = io.BytesIO()
    contents: dict[str, Any] = {META: np.frombuffer(text, dtype=np.uint8), **arrays}
    np.savez_compressed(buffer, **contents)
    write_file(path, buffer.getvalue())


def load_network(path: Path) -> Network:
    """Read the network of a file; raises StoreError as `load_saved` does."""
    return load_saved(path).network


def load_saved(path: Path) -> Saved:
    """Read a network with its provenance.

    Raises StoreError, naming file and what is wrong, where the file is missing, damaged, no network, of another version, or holds
    arrays of other shapes, numbers that are not finite, or steps and bits that do not fit its layers.
    """
    arrays = _read(path)
    if META not in arrays:
        raise StoreError(f"{path}: is no network file of cosim (it has no {META!r}); make one with `cosim train`")
    meta = _meta(path, arrays.pop(META))
    try:
        saved = _saved(meta, arrays)
        _check(saved.network, meta)
    except (*_BROKEN, AttributeError, WorkloadError, StoreError) as error:
        detail = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"{path}: damaged network file: {detail}; make it again with `cosim train`") from None
    return saved


def load_any(source: str, scaling: Scaling | None = None) -> Network:
    """A network by the name of one that ships, from a network file, from a plain .npz, or from an ONNX file.

    A plain .npz holds arrays with the names and shapes of a network of `cosim.training.networks`. `scaling` (full, mean, std) replaces
    that of the file; an ONNX file states none, so that raw inputs go in as they are. Raises CosimError where there is no such network.
    """
    network = _load_any(source)
    return network if scaling is None else replace(network, scaling=scaling)


def _load_any(source: str) -> Network:
    """The network with the scaling that comes with it."""
    path = Path(source)
    if path.suffix == ".onnx":
        from workloads.program_onnx import from_onnx  # noqa: PLC0415  (onnx costs 0.2 s to import)

        return Network(from_onnx(path))
    if path.suffix == ".npz":
        arrays = _read(path)
        return load_network(path) if META in arrays else _from_arrays(path, arrays)
    shipped = {file.stem: file for file in WEIGHTS.glob("*.npz")}
    if source in shipped:
        return load_network(shipped[source])
    if source in TRAINABLE:
        raise WorkloadError(
            f"network {source!r}: no trained weights ship with cosim; make them with `cosim train {source}`, then give the file"
        )
    raise WorkloadError(
        f"network {source!r} is neither a .npz nor an .onnx file, nor one that ships; {suggest(source, {*shipped, *TRAINABLE})}"
    )


def _from_arrays(path: Path, arrays: Mapping[str, Array]) -> Network:
    """The one network of the registry whose weights have these names and shapes."""
    for entry in TRAINABLE.values():
        start = entry.start(np.random.default_rng(0))
        wanted = {name: array.shape for name, array in start.program.weights.items() if array.dtype.kind == "f"}
        if wanted == {name: array.shape for name, array in arrays.items()}:
            real = {name: array.astype(np.float32) for name, array in arrays.items()}
            if not all(np.isfinite(array).all() for array in real.values()):
                raise StoreError(f"{path}: weights of {entry.name} are not finite; export them again")
            return start.with_program(start.program.with_weights(real))
    raise StoreError(
        f"{path}: is no network file of cosim, and no network has arrays {', '.join(sorted(arrays)) or '(none)'} of these shapes; "
        "name them as PyTorch would (conv1.weight), or give an .onnx file"
    )


def _read(path: Path) -> dict[str, Array]:
    """All arrays of a file; none may hold objects."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file; give a network file (.npz) that `cosim train` wrote")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:  # numpy leaves a damaged file open
            return {name: np.asarray(file[name]) for name in file.files}
    except (*_BROKEN, AttributeError) as error:
        raise StoreError(
            f"{path}: cannot be read as a network ({str(error) or type(error).__name__}); it is truncated or no .npz file"
        ) from None


def _meta(path: Path, text: Array) -> dict[str, Any]:
    """What the JSON text says, if it is of this format and version."""
    try:
        meta = json.loads(text.astype(np.uint8, casting="no").tobytes().decode())
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path}: damaged network file: {META} is no JSON text ({error})") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise StoreError(f"{path}: is no network file of cosim; make one with `cosim train`")
    if meta.get("version") != VERSION:
        raise StoreError(
            f"{path}: has version {meta.get('version')!r} of the format, this cosim reads {VERSION}; use the cosim that wrote it"
        )
    return meta


def _saved(meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> Saved:
    """Build the network that a text and arrays describe."""
    weights = {name: _restored(arrays[f"weight.{i}"]) for i, name in enumerate(meta["weights"])}
    program = Program(
        meta["name"],
        meta["input"],
        tuple(meta["input_shape"]),
        meta["output"],
        tuple(_node_in(node, arrays) for node in meta["nodes"]),
        weights,
        meta["opset"],
    )
    steps = {
        name: Steps(arrays[f"step.{i}"] if step["weight"] else None, step["input"], step["signed"], step["adc"])
        for i, (name, step) in enumerate(meta["steps"].items())
    }
    full, mean, std = meta["scaling"]
    bits = meta["weight_bits"], meta["activation_bits"]
    by_layer = meta["layer_bits"], meta.get("layer_activation_bits", {})
    network = Network(program, (full, mean, std), *bits, steps, *by_layer)
    return Saved(network, {"cosim": meta["cosim"], **meta["provenance"]})


def _check(network: Network, meta: Mapping[str, Any]) -> None:
    """Refuse what no network is; ValueError says what."""
    program = network.program
    known = {program.input, *program.weights}
    for node in program.nodes:
        unknown = [name for name in node.inputs if name and name not in known]
        if unknown:
            raise ValueError(f"node {node.name!r} reads {unknown[0]!r}, which nothing makes")
        known.update(node.outputs)
    if program.output not in known:
        raise ValueError(f"output {program.output!r} is made by no node")
    for name, array in program.weights.items():
        if list(array.shape) != meta["weights"][name]:
            raise ValueError(f"weights {name!r} have shape {array.shape}, not {tuple(meta['weights'][name])}")
        if not np.isfinite(array).all():
            raise ValueError(f"weights {name!r} are not finite")
    full, mean, std = network.scaling
    if not (isfinite(full) and isfinite(mean) and isfinite(std) and full > 0 and std > 0):
        raise ValueError(f"scaling {network.scaling}: full and std are above 0")
    for bits in (network.weight_bits, network.activation_bits, *network.layer_bits.values(), *network.layer_activation_bits.values()):
        if bits is not None and not (isinstance(bits, int) and 1 <= bits <= MAX_BITS):
            raise ValueError(f"bits {bits!r}: choose 1 to {MAX_BITS}")
    _check_steps(network)


def _check_steps(network: Network) -> None:
    """Refuse steps and biases that do not fit the layers."""
    layers = {layer.name: layer for layer in network.program.layers}
    for name in (*network.steps, *network.layer_bits, *network.layer_activation_bits):
        if name not in layers:
            raise ValueError(f"steps or bits are given for {name!r}, which is no layer")
    for name, layer in layers.items():
        n, steps = network.program.weights[layer.weight].shape[0], network.steps_of(layer)
        if layer.bias is not None and network.program.weights[layer.bias].shape != (n,):
            raise ValueError(f"bias of layer {name!r} has shape {network.program.weights[layer.bias].shape}, not ({n},)")
        if steps.weight is not None and (steps.weight.shape != (n,) or not (np.isfinite(steps.weight) & (steps.weight > 0)).all()):
            raise ValueError(f"steps of layer {name!r}: {n} numbers above 0 are needed")
        for step in (steps.input, steps.adc):
            if step is not None and not (isfinite(step) and step > 0):
                raise ValueError(f"a step of layer {name!r} is {step}; it is above 0")


def _stored(array: Array, *, half: bool) -> Array:
    """An array as the file keeps it."""
    return array.astype(np.float16) if half and array.dtype == np.float32 else array


def _restored(array: Array) -> Array:
    """An array as programs keep it."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"an array holds {array.dtype}, no numbers")
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _node_out(node: Node, arrays: dict[str, Array]) -> dict[str, Any]:
    """A node as JSON values; attributes that are arrays go to the arrays."""
    attributes = dict(node.attributes)
    for key, value in attributes.items():
        if isinstance(value, np.ndarray):
            place = f"attribute.{len(arrays)}"
            arrays[place] = value
            attributes[key] = {"array": place}
    return {"name": node.name, "op_type": node.op_type, "inputs": node.inputs, "outputs": node.outputs, "attributes": attributes}


def _node_in(node: Mapping[str, Any], arrays: Mapping[str, Array]) -> Node:
    """A node from JSON values."""

    def value(given: Any) -> Any:
        if isinstance(given, dict):
            return arrays[given["array"]]
        return tuple(given) if isinstance(given, list) else given

    attributes = {key: value(given) for key, given in node["attributes"].items()}
    return Node(node["name"], node["op_type"], tuple(node["inputs"]), tuple(node["outputs"]), attributes)


def _plain(value: Any) -> Any:
    """A number of numpy as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept in a network file")
