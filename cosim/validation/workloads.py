"""`cosim validate workloads`: the ONNX importer and the zoo against reference counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosim.validation.tables import read_table
from workloads.errors import WorkloadError

DATA = Path(__file__).parent / "data"
ONNX_CSV, ZOO_CSV = "onnx_models.csv", "networks.csv"
ONNX_KEYS = ("package", "file", "sha256_12")
ZOO_KEYS = ("name", "input_shape", "macs")
MAX_REL_ERROR = 0.005  # target of the project: counts within 0.5 % of the published ones

Rows = list[dict[str, Any]]


def validate_workloads(path: Path | None = None) -> dict[str, Any]:
    """Compare MACs and parameters of networks with a reference table, or with both of a folder.

    `path` is a CSV in the format of onnx_models.csv or networks.csv, a folder that may hold files of these names, or
    None for what ships. Passed when something was compared, nothing failed and every relative error is at most 0.5 %.
    Raises WorkloadError when the path does not exist or a file has the columns of neither table.
    """
    tables, skipped = _find(path)
    rows: Rows = []
    for table, csv_path in tables:
        compared = _compare_onnx(csv_path) if table == "onnx" else _compare_zoo(csv_path)
        rows += [{"table": table, **row} for row in compared]
    metrics = {table: _metrics([row for row in rows if row["table"] == table]) for table in ("onnx", "zoo")}
    n = sum(int(part["n"]) for part in metrics.values())
    good = all(
        not part["n_failed"] and max(part["max_macs_rel_error"], part["max_params_rel_error"]) <= MAX_REL_ERROR for part in metrics.values()
    )
    return {"area": "workloads", "n": n, "metrics": metrics, "rows": rows, "passed": n > 0 and good, "skipped_files": skipped}


def _find(path: Path | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """Return (table, file) pairs to compare and the names of the files that a folder lacks."""
    folder = DATA if path is None else path
    if folder.is_dir():
        known = (("onnx", folder / ONNX_CSV), ("zoo", folder / ZOO_CSV))
        return [pair for pair in known if pair[1].is_file()], [csv_path.name for _, csv_path in known if not csv_path.is_file()]
    columns, _ = read_table(folder)
    lacking = {table: [key for key in keys if key not in columns] for table, keys in (("onnx", ONNX_KEYS), ("zoo", ZOO_KEYS))}
    for table, missing in lacking.items():
        if not missing:
            return [(table, folder)], []
    raise WorkloadError(
        f"{folder}: is neither {ONNX_CSV} (missing: {', '.join(lacking['onnx'])}) nor {ZOO_CSV} (missing: {', '.join(lacking['zoo'])})"
    )


def _metrics(rows: Rows) -> dict[str, float]:
    """Compared rows, failed rows, and the largest relative errors (0 when nothing was compared)."""
    compared = [row for row in rows if row["status"] == "ok"]
    worst = {
        f"max_{key}_rel_error": max((row[f"{key}_rel_error"] for row in compared if row[f"{key}_rel_error"] is not None), default=0.0)
        for key in ("macs", "params")
    }
    return {"n": len(compared), "n_failed": sum(row["status"] == "failed" for row in rows), **worst}


def _compare_onnx(csv_path: Path) -> Rows:
    """Compare ONNX files; imported here because onnx costs 0.2 s."""
    from cosim.validation.onnx_models import compare_onnx  # noqa: PLC0415  (see above)

    return compare_onnx(csv_path)


def _compare_zoo(csv_path: Path) -> Rows:
    """Compare the zoo; imported here like its sibling."""
    from cosim.validation.zoo import compare_zoo  # noqa: PLC0415  (lazy like the other table)

    return compare_zoo(csv_path)
