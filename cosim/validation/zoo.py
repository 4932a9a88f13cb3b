"""The zoo against published parameter and MAC counts (networks.csv)."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

from cosim.validation.tables import Row, count_in, read_table, rel_error
from workloads.errors import WorkloadError
from workloads.registry import Network, list_networks, load_workload

if TYPE_CHECKING:
    from pathlib import Path

    from workloads.graph import Workload

COLUMNS = ("name", "variant", "input_shape", "params", "macs")

_SIZES = re.compile(r"\d+(x\d+)*")
_TOKENS = re.compile(r"(\d+) tokens?(?:, past (\d+))?")
_CLASSES = re.compile(r"(\d+) (?:classes|labels)\b")


def compare_zoo(csv_path: Path) -> list[dict[str, Any]]:
    """Build every network of the file that the zoo has, at the file's input shape, and compare its counts.

    One dict a row: name, variant, input_shape, status (ok, failed, skipped), reason, and macs and params with
    `_expected` and `_rel_error` (None where the file's cell is empty or nothing was built). A network is built at
    the row's `batch` (1 when that column is absent), and for as many classes as its variant names.
    Raises WorkloadError when the file lacks a column or a count is not a number.
    """
    _, rows = read_table(csv_path, COLUMNS)
    return [_compare(row, f"{csv_path}: line {line}") for line, row in enumerate(rows, start=2)]


def _compare(row: Row, where: str) -> dict[str, Any]:
    """Compare one row."""
    expected = {key: count_in(row, key, where) for key in ("macs", "params")}
    result: dict[str, Any] = {key: row[key] for key in ("name", "variant", "input_shape")}
    result |= {"status": "skipped", "reason": ""}
    for key, value in expected.items():
        result |= {key: None, f"{key}_expected": value, f"{key}_rel_error": None}
    network = list_networks().get(row["name"])
    if network is None:
        return result | {"reason": "not in the zoo"}
    if expected["macs"] is None and expected["params"] is None:
        return result | {"reason": "the file has no counts for it"}
    batch = count_in(row, "batch", where) if "batch" in row else None
    try:
        workload = _build(network, row, batch or 1)
    except WorkloadError as error:
        return result | {"status": "failed", "reason": str(error)}
    result["status"] = "ok"
    for key, value in (("macs", workload.n_macs), ("params", workload.n_params)):
        result |= {key: value, f"{key}_rel_error": rel_error(value, expected[key])}
    return result


def _build(network: Network, row: Row, batch: int) -> Workload:
    """Build a network at a row's input shape."""
    text = row["input_shape"].strip()
    tokens = _TOKENS.fullmatch(text)
    if tokens:
        return load_workload(network.name, batch, **_token_dims(network, tokens))
    if not _SIZES.fullmatch(text):
        raise WorkloadError(f"{network.name}: input shape {text!r} is not understood; write 3x224x224, 640, or 512 tokens, past 0")
    shape = tuple(int(size) for size in text.split("x"))
    workload = load_workload(network.name, batch, **_image_dims(network, shape, row["variant"]))
    built = workload.tensors[workload.inputs[0]].shape[1:]
    if built != shape and (len(built) > 1 or prod(built) != prod(shape)):
        raise WorkloadError(f"{network.name}: takes an input of {'x'.join(map(str, built))}, not {text}")
    return workload


def _token_dims(network: Network, tokens: re.Match[str]) -> dict[str, int]:
    """`seq`, and `past` for networks with a cache; a text without a past means none."""
    past = int(tokens[2] or 0)
    if "past" in network.dims:
        return {"seq": int(tokens[1]), "past": past}
    if past:
        raise WorkloadError(f"{network.name}: has no key and value cache, so no past {past}")
    return {"seq": int(tokens[1])}


def _image_dims(network: Network, shape: tuple[int, ...], variant: str) -> dict[str, int]:
    """Height and width of channels x height x width, the features of a flat input, and the classes the variant names."""
    dims: dict[str, int] = {}
    if "height" in network.dims and len(shape) == 3:
        dims |= {"height": shape[1], "width": shape[2]}
    elif "inputs" in network.dims:
        dims["inputs"] = prod(shape)
    classes = _CLASSES.search(variant)
    if classes and "classes" in network.dims:
        dims["classes"] = int(classes[1])
    return dims
