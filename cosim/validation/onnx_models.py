"""ONNX files inside installed packages against reference counts (onnx_models.csv)."""

from __future__ import annotations

import hashlib
import sys
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosim.validation.tables import Row, count_in, read_table, rel_error
from workloads.errors import WorkloadError
from workloads.onnx_import import load_onnx, load_onnx_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workloads.graph import Workload

COLUMNS = ("package", "file")


def compare_onnx(rows_csv: Path, search: Sequence[str | Path] | None = None) -> list[dict[str, Any]]:
    """Load every model of the file from the package that ships it, at the file's `run_shapes`, and compare its counts.

    One dict a row: package, file, status (ok, failed, skipped), reason, and macs and params with `_expected` and
    `_rel_error`. Packages are looked for, without importing them, in the folders of `search` (`sys.path` when None);
    a package that is not there is skipped. An empty cell expects nothing and has no error; params is compared with
    `weights_total`, which counts Constant nodes too, or with `params` where there is no such column. A file
    whose `sha256_12` differs is compared all the same, and the reason says so. A row without `macs` could not be run
    at its shapes: where they do not fit together, the model is loaded with usual ones.

    Raises WorkloadError when the file lacks a column or a count is not a whole number.
    """
    _, rows = read_table(rows_csv, COLUMNS)
    folders = [str(folder) for folder in (sys.path if search is None else search)]
    return [_compare(row, f"{rows_csv}: line {line}", folders) for line, row in enumerate(rows, start=2)]


def _compare(row: Row, where: str, folders: list[str]) -> dict[str, Any]:
    """Compare one row."""
    expected = {
        "macs": count_in(row, "macs", where, 0),
        "params": count_in(row, "weights_total", where, 0) or count_in(row, "params", where, 0),
    }
    result: dict[str, Any] = {"package": row["package"], "file": row["file"], "status": "skipped", "reason": ""}
    for key, value in expected.items():
        result |= {key: None, f"{key}_expected": value, f"{key}_rel_error": None}
    path = _locate(row["package"], row["file"], folders)
    if path is None:
        return result | {"reason": f"not installed: pip install {row['package']}=={row.get('version') or '(any)'}"}
    notes = [_differs(path, row.get("sha256_12", "").strip())]
    try:
        workload = _load(path, row, expected["macs"], notes)
    except WorkloadError as error:
        return result | {"status": "failed", "reason": "; ".join(filter(None, (str(error), *notes)))}
    result |= {"status": "ok", "reason": "; ".join(filter(None, notes))}
    for key, value in (("macs", workload.n_macs), ("params", workload.n_params)):
        result |= {key: value, f"{key}_rel_error": rel_error(value, expected[key])}
    return result


def _load(path: Path, row: Row, macs: int | None, notes: list[str]) -> Workload:
    """Load a model at the shapes of its row."""
    try:
        return load_onnx_at(path, parse_shapes(row.get("run_shapes", "")))
    except WorkloadError as error:
        if macs is not None:
            raise
        notes.append(f"loaded with usual extents, since those of the row do not fit: {error}")
        return load_onnx(path, {})


def parse_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """Input shapes from text such as `x=1x3x224x224 sr=scalar`.

    Raises WorkloadError when the text has another form.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for part in text.split():
        name, _, sizes = part.rpartition("=")
        if not name or not (sizes == "scalar" or all(size.isdigit() for size in sizes.split("x"))):
            raise WorkloadError(f"run_shapes: {part!r} is not understood; write NAME=1x3x224x224 or NAME=scalar")
        shapes[name] = () if sizes == "scalar" else tuple(int(size) for size in sizes.split("x"))
    return shapes


def _locate(package: str, file: str, folders: list[str]) -> Path | None:
    """Where an installed package keeps a file, without importing it; None when it is not installed."""
    for candidate in _candidates(package, file, folders):
        if candidate.is_file():
            return candidate
    return None


def _candidates(package: str, file: str, folders: list[str]) -> Iterator[Path]:
    """Places to look: what the package's metadata say, the package's folder, and every search folder."""
    for distribution in distributions(name=package, path=folders):
        yield Path(str(distribution.locate_file(file)))
    top, _, rest = file.partition("/")
    try:
        spec = PathFinder.find_spec(top, folders) if rest and top.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield Path(location) / rest
    for folder in folders:
        yield Path(folder) / file


def _differs(path: Path, sha256_12: str) -> str:
    """Say that a file is another than the one that was counted; empty when it is the same or none is named."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"another file than the one counted: sha256 {found}, not {sha256_12}" if sha256_12 and found != sha256_12 else ""
