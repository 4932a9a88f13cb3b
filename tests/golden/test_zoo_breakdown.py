"""Where the MACs of transformers are: the parts that networks.csv lists in `alt_counts`, found again in the graphs."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import cosim.validation
from workloads.graph import TensorKind
from workloads.registry import list_networks, load_workload

CSV = Path(cosim.validation.__file__).parent / "data" / "networks.csv"


def rows():
    with CSV.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["name"] in list_networks()]


def alt(row, what):
    """The number that follows `what` in a row's alternative counts."""
    found = re.search(rf"{what} (\d+)", row["alt_counts"])
    return int(found[1]) if found else None


def tokens(row):
    new, past = re.fullmatch(r"(\d+) tokens?(?:, past (\d+))?", row["input_shape"]).groups()
    return {"seq": int(new)} if past is None else {"seq": int(new), "past": int(past)}


def key(row):
    return f"{row['name']}-{row['input_shape']}"


DECODERS = [row for row in rows() if "past" in row["input_shape"]]
PREFILLS = [row for row in DECODERS if row["input_shape"].startswith("512")]
ENCODERS = [row for row in rows() if alt(row, "without attention matmuls")]


@pytest.mark.parametrize("row", DECODERS, ids=key)
def test_attention_head_and_layers_share_the_macs_as_published(row):
    net = load_workload(row["name"], **tokens(row))
    attention = sum(op.n_macs for op in net if op.gemm and op.gemm.dynamic)
    (head,) = [op.n_macs for op in net if op.name == "head"]
    assert attention == alt(row, "attention matmuls")
    assert head == alt(row, "LM head")
    assert net.n_macs - attention - head == alt(row, "layers only")


@pytest.mark.parametrize("row", DECODERS, ids=key)
def test_a_token_adds_as_many_bytes_to_the_cache_as_published(row):
    """At 16 bits an element; the new keys and values are the results that the caller keeps."""
    net = load_workload(row["name"], **tokens(row)).with_bits(8, 16)
    new = sum(net.tensors[name].n_bytes for name in net.outputs[1:])
    held = sum(tensor.n_bytes for tensor in net.tensors.values() if tensor.kind is TensorKind.STATE)
    assert new == int(row["kv_bytes_per_token"]) * net.dims["seq"]
    assert held == int(row["kv_bytes_per_token"]) * net.dims["past"]


@pytest.mark.parametrize("row", PREFILLS, ids=key)
def test_decoding_token_by_token_costs_the_exact_causal_triangle(row):
    """MACs of a step are linear in its past, so 512 steps follow from two of them."""
    first, second = (load_workload(row["name"], seq=1, past=past).n_macs for past in (0, 1))
    steps = 512 * first + (second - first) * 512 * 511 // 2
    assert steps == alt(row, "exact causal triangle")


@pytest.mark.parametrize("row", PREFILLS, ids=key)
def test_a_head_on_the_last_position_only_saves_its_other_511_rows(row):
    net = load_workload(row["name"], **tokens(row))
    (head,) = [op.n_macs for op in net if op.name == "head"]
    assert net.n_macs - head + head // 512 == alt(row, "head on last position only")


@pytest.mark.parametrize("row", ENCODERS, ids=key)
def test_macs_beside_attention_are_as_published(row):
    dims = tokens(row) if "tokens" in row["input_shape"] else {}
    net = load_workload(row["name"], **dims)
    assert sum(op.n_macs for op in net if not (op.gemm and op.gemm.dynamic)) == alt(row, "without attention matmuls")


def test_one_token_of_mixtral_reads_its_active_parameters():
    """12.88 G active: all but the experts that are not used. The embedding reads one row of its table of 32000."""
    (row,) = [row for row in DECODERS if row["name"] == "mixtral_8x7b_v0.1" and row["input_shape"].startswith("1 ")]
    net = load_workload(row["name"], **tokens(row))
    assert sum(op.n_weight_elements for op in net) + (32000 - 1) * 4096 == alt(row, "active params")
