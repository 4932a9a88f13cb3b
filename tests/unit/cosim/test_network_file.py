from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training import network_file
from cosim.training.network import Network, Steps
from cosim.training.network_file import load_any, load_network, load_saved, save_network
from cosim.training.networks import TRAINABLE, trainable
from workloads.errors import CosimError, StoreError, WorkloadError
from workloads.program import Node, Program
from workloads.program_onnx import to_onnx


def started(name="mlp_digits", seed=0):
    return trainable(name).start(np.random.default_rng(seed))


def equal(a: Network, b: Network) -> bool:
    """Whether two networks are the same bit for bit."""
    arrays = [(a.program.weights[name], b.program.weights[name]) for name in a.program.weights]
    arrays += [(a.steps[name].weight, b.steps[name].weight) for name in a.steps if a.steps[name].weight is not None]
    return (
        list(a.program.weights) == list(b.program.weights)
        and all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in arrays)
        and [(n.name, n.op_type, n.inputs, n.outputs) for n in a.program.nodes]
        == [(n.name, n.op_type, n.inputs, n.outputs) for n in b.program.nodes]
        and [repr(n.attributes) for n in a.program.nodes] == [repr(n.attributes) for n in b.program.nodes]
        and facts(a) == facts(b)
    )


def facts(network):
    p = network.program
    steps = {name: (s.weight is None, s.input, s.signed, s.adc) for name, s in network.steps.items()}
    bits = (network.weight_bits, network.activation_bits, dict(network.layer_bits))
    return (p.name, p.input, p.input_shape, p.output, p.opset, network.scaling, bits, steps)


positive = st.floats(1e-6, 1e6)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.one_of(st.none(), st.integers(2, 8)),
    step=st.one_of(st.none(), positive),
    adc=st.one_of(st.none(), positive),
    signed=st.booleans(),
    one=st.dictionaries(st.sampled_from(["fc1", "fc2"]), st.integers(2, 8)),
    scaling=st.tuples(positive, st.floats(-1e3, 1e3), positive),
)
def test_what_is_read_back_is_what_was_written(tmp_path_factory, seed, bits, step, adc, signed, one, scaling):
    path = tmp_path_factory.mktemp("n") / "net.npz"
    rng = np.random.default_rng(seed)
    steps = {"fc1": Steps(rng.uniform(0.1, 1, 32), step, signed, adc), "fc2": Steps(None, step, signed, adc)}
    network = Network(started(seed=seed).program, scaling, bits, bits, steps, one)
    save_network(network, path)
    assert equal(load_network(path), network)


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_network_can_be_kept(name, tmp_path):
    network = started(name)
    save_network(network, tmp_path / "net.npz")
    assert equal(load_network(tmp_path / "net.npz"), network)


def test_attributes_that_are_arrays_or_text_come_back(tmp_path):
    nodes = (Node("n", "Any", ("x", "w"), ("y",), {"value": np.arange(3.0), "mode": "nearest", "alpha": 0.1, "pads": (1, 2)}),)
    network = Network(Program("net", "x", (3,), "y", nodes, {"w": np.ones((2, 3), dtype=np.float32)}, 13))
    save_network(network, tmp_path / "net.npz")
    assert equal(load_network(tmp_path / "net.npz"), network)


def test_provenance_stays_with_the_network(tmp_path):
    save_network(started(), tmp_path / "net.npz", {"data": "digits8x8", "seed": np.int64(3), "recipe": {"lr": np.float32(0.5)}})
    provenance = load_saved(tmp_path / "net.npz").provenance
    assert {**provenance, "cosim": ""} == {"cosim": "", "data": "digits8x8", "seed": 3, "recipe": {"lr": 0.5}}
    assert provenance["cosim"]


def test_one_network_gives_one_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        save_network(started(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_half_keeps_11_bits_and_half_the_bytes(tmp_path):
    network = started("mlp_mnist")
    save_network(network, tmp_path / "full.npz")
    save_network(network, tmp_path / "half.npz", half=True)
    read, real = load_network(tmp_path / "half.npz").program.weights["fc1.weight"], network.program.weights["fc1.weight"]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, real, rtol=2**-11, atol=2**-25)
    assert (tmp_path / "half.npz").stat().st_size < 0.6 * (tmp_path / "full.npz").stat().st_size


def test_what_is_not_finite_is_not_written(tmp_path):
    network = started()
    bad = network.program.with_weights({"fc2.bias": np.full(10, np.nan, dtype=np.float32)})
    with pytest.raises(StoreError, match=r"net\.npz: weight\.3 of mlp_digits is not finite"):
        save_network(network.with_program(bad), tmp_path / "net.npz")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="set cannot be kept"):
        save_network(network, tmp_path / "net.npz", {"what": {1}})


def rewrite(path, change=None, arrays=None, drop=()):
    """Change the text or the arrays of a file."""
    with np.load(path) as file:
        contents = {name: file[name] for name in file.files if name not in drop}
    meta = json.loads(contents["meta"].tobytes())
    if change:
        change(meta)
    contents.update(arrays or {})
    np.savez(path, **{**contents, "meta": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)})


def setter(*keys, value):
    def change(meta):
        *most, last = keys
        for key in most:
            meta = meta[key]
        meta[last] = value

    return change


DAMAGED = {
    "another format": ({"change": setter("format", value="x")}, "is no network file of cosim"),
    "another version": ({"change": setter("version", value=2)}, r"has version 2 of the format, this cosim reads 1"),
    "a missing key": ({"change": lambda meta: meta.pop("nodes")}, "damaged network file: 'nodes' is missing"),
    "a missing array": ({"drop": ("weight.2",)}, r"'weight\.2' is missing"),
    "another shape": ({"arrays": {"weight.0": np.zeros((32, 63))}}, r"weights 'fc1.weight' have shape \(32, 63\), not \(32, 64\)"),
    "not a number": ({"arrays": {"weight.1": np.full(32, np.inf)}}, "weights 'fc1.bias' are not finite"),
    "text for numbers": ({"arrays": {"weight.1": np.full(32, "a")}}, "an array holds <U1, no numbers"),
    "a node without source": ({"change": setter("nodes", 0, "inputs", value=["z"])}, "node 'fc1' reads 'z', which nothing makes"),
    "nodes of another kind": ({"change": setter("nodes", 0, value=3)}, "damaged network file"),
    "no output": ({"change": setter("output", value="z")}, "output 'z' is made by no node"),
    "scaling": ({"change": setter("scaling", value=[1, 0, 0])}, "full and std are above 0"),
    "scaling of two": ({"change": setter("scaling", value=[1, 0])}, "damaged network file"),
    "bits": ({"change": setter("weight_bits", value=40)}, "bits 40: choose 1 to 16"),
    "bits of no layer": ({"change": setter("layer_bits", value={"fc9": 2})}, "given for 'fc9', which is no layer"),
    "steps too few": ({"arrays": {"step.0": np.ones(31)}}, "steps of layer 'fc1': 32 numbers above 0 are needed"),
    "a step of 0": ({"change": setter("steps", "fc1", "input", value=0)}, "a step of layer 'fc1' is 0; it is above 0"),
    "a product of no form": ({"change": setter("nodes", 0, "attributes", value={})}, "store weights as"),
    "a bias too short": (
        {"arrays": {"weight.3": np.zeros(9)}, "change": setter("weights", "fc2.bias", value=[9])},
        r"bias of layer 'fc2' has shape \(9,\), not \(10,\)",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_with_its_name_and_the_reason(case, tmp_path):
    how, message = DAMAGED[case]
    path = tmp_path / "net.npz"
    save_network(Network(started().program, steps={"fc1": Steps(np.ones(32), 1.0)}), path)
    rewrite(path, **how)
    with pytest.raises(StoreError, match=message) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code of a file was run",))


def test_files_that_are_no_network_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    with pytest.raises(StoreError, match=r"net\.npz: no such file; give a network file"):
        load_network(path)
    np.savez(path, other=np.ones(3))
    with pytest.raises(StoreError, match="is no network file of cosim"):
        load_network(path)
    np.savez(path, meta=np.array([Trap()], dtype=object))
    with pytest.raises(StoreError, match="cannot be read as a network"):
        load_network(path)
    for content in (b"", b"text", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"it is truncated or no \.npz file"):
            load_network(path)
    np.savez(path, meta=np.frombuffer(b"{", dtype=np.uint8))
    with pytest.raises(StoreError, match="meta is no JSON text"):
        load_network(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(StoreError, match="cannot be read"):
        load_network(path)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255), cut=st.booleans())
def test_no_flipped_byte_or_cut_gives_another_network(tmp_path_factory, place, value, cut):
    path = tmp_path_factory.mktemp("n") / "net.npz"
    network = started()
    save_network(network, path)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at] ^= value
    path.write_bytes(bytes(data[:at]) if cut else bytes(data))
    try:
        read = load_network(path)
    except CosimError:
        return
    assert equal(read, network)


def test_a_network_is_found_by_what_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(network_file, "WEIGHTS", tmp_path / "weights")
    with pytest.raises(WorkloadError, match="'mlp_digits': no trained weights ship with cosim; make them with `cosim train mlp_digits`"):
        load_any("mlp_digits")
    save_network(started(), tmp_path / "weights" / "mlp_digits.npz")
    assert equal(load_any("mlp_digits"), started())
    assert load_any("mlp_digits", (2.0, 0.0, 1.0)).scaling == (2.0, 0.0, 1.0)
    with pytest.raises(WorkloadError, match=r"is neither a .npz nor an .onnx file, nor one that ships; did you mean 'mlp_digits'\?"):
        load_any("mlp_digit")
    save_network(started(seed=4), tmp_path / "mine.npz")
    assert equal(load_any(str(tmp_path / "mine.npz")), started(seed=4))


def test_a_plain_npz_is_taken_for_the_network_whose_arrays_it_has(tmp_path):
    network = started("mlp_mnist", seed=2)
    np.savez(tmp_path / "w.npz", **{name: array.astype(np.float64) for name, array in network.program.weights.items()})
    assert equal(load_any(str(tmp_path / "w.npz")), network)
    np.savez(tmp_path / "w.npz", first=np.ones(3))
    with pytest.raises(StoreError, match="no network has arrays first of these shapes"):
        load_any(str(tmp_path / "w.npz"))
    bad = {name: array + np.inf for name, array in network.program.weights.items()}
    np.savez(tmp_path / "w.npz", **bad)
    with pytest.raises(StoreError, match="weights of mlp_mnist are not finite"):
        load_any(str(tmp_path / "w.npz"))


def test_an_onnx_file_is_a_network_of_real_numbers(tmp_path):
    (tmp_path / "net.onnx").write_bytes(to_onnx(started().program).SerializeToString())
    network = load_any(str(tmp_path / "net.onnx"))
    assert (network.program.n_parameters, network.scaling, network.weight_bits) == (2410, (1.0, 0.0, 1.0), None)


def test_the_file_is_an_ordinary_zip_of_arrays(tmp_path):
    save_network(started(), tmp_path / "net.npz")
    with zipfile.ZipFile(tmp_path / "net.npz") as file:
        assert sorted(file.namelist()) == ["meta.npy", "weight.0.npy", "weight.1.npy", "weight.2.npy", "weight.3.npy"]
        assert np.load(io.BytesIO(file.read("weight.3.npy"))).shape == (10,)
