"""The page `docs/validation.md`: results of `cosim validate` as tables, the same text wherever it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cosim.validation import contention, workloads
from cosim.validation.registry import validate

Result = Mapping[str, Any]
Row = Mapping[str, Any]

# ONNX files of packages that cosim itself depends on: they are there wherever cosim is.
SHIPPED_PACKAGES = frozenset({"onnx"})
# Differences below this are rounding of float64 and differ from platform to platform.
ROUNDING = 1e-12

_HEAD = """\
# Validation

Relative errors of the models against reference data that ships with cosim. `cosim validate [AREA] [--data PATH]` runs the same
comparisons, or those with your own data in the same format ([command line](cli.md#cosim-validate)). A relative error is
|found - expected| / expected; below 1e-12 it is rounding of float64 and shown as 0.

This page is made by `cosim.validation.page` and a test compares it, byte for byte, with what the code gives now. To make it again, in the
root of the repository:

```python title="refresh_validation.py"
from pathlib import Path

from cosim.validation.page import offline_results, render

Path("docs/validation.md").write_text(render(offline_results()), encoding="utf-8")
```
"""

_TAIL = """\
## Comparisons that run as tests only

These references are checked by the test suite and are not areas of `cosim validate` yet. The bounds are those that the tests assert.

| model | reference | bound | test |
|---|---|---|---|
| DRAM bandwidth | DRAMsim3 and Ramulator 2.1 | within 14 %, half of the rows within 3 % | `tests/golden/test_dram_golden.py` |
| DRAM energy | DRAMsim3, from given command counts | 0.1 % | `tests/golden/test_dram_golden.py` |
| systolic cycles | SCALE-Sim 3.0.0, 110 ideal rows | 1 cycle | `tests/golden/test_scalesim.py` |

Policies are compared by `cosim validate scheduling` and `cosim validate placement`, which are not on this page because searches are given
CPU time ([scheduling](models/scheduling.md#measured-error), [real networks](placement_table.md)). Accuracy of noisy and low-bit networks
is compared by `cosim validate accuracy`, which trains them ([trained networks](accuracy_table.md)). The sampler of studies is held
against exact optima by `cosim validate bo` ([several fidelities](models/multi_fidelity.md#measured-error)).

## What has no reference yet

Latency, energy and area of whole chips and of processors have not been compared with measurements.
Their intervals rest on the ranges of their inputs ([uncertainty](models/uncertainty.md)), not on observed errors.
"""


def offline_results() -> dict[str, dict[str, Any]]:
    """Run the areas on the shipped data, without ONNX files of packages that cosim does not depend on.

    The result does not depend on what else is installed.
    """
    counts = validate("workloads")
    counts["rows"] = [row for row in counts["rows"] if row["table"] == "zoo" or row["package"] in SHIPPED_PACKAGES]
    counts["n"] = sum(row["status"] == "ok" for row in counts["rows"])
    return {"cim": validate("cim"), "contention": validate("contention"), "workloads": counts}


def render(results: Mapping[str, Result]) -> str:
    """Return the page for results of `validate` by area, in the order given."""
    parts = [_HEAD, _summary(results)]
    parts += [_SECTIONS.get(area, _metrics_section)(area, result) for area, result in results.items()]
    return "\n".join([*parts, _TAIL])


def _summary(results: Mapping[str, Result]) -> str:
    rows = [
        (f"[{area}](#{area})", str(result["n"]), _error(_worst(result)), _TARGETS.get(area, ""), "yes" if result["passed"] else "**no**")
        for area, result in results.items()
    ]
    return "## Summary\n\n" + _table(("area", "rows compared", "largest relative error", "target", "holds"), rows)


def _worst(result: Result) -> float | None:
    """Largest relative error among the rows of an area; None when it has none."""
    errors = [value for row in result["rows"] for key, value in row.items() if key.endswith("rel_error") and value is not None]
    return max(errors, default=None)


def _contention_section(area: str, result: Result) -> str:
    """One line a mode of sharing."""
    modes = dict.fromkeys(row["mode"] for row in result["rows"])
    lines = []
    for mode in sorted(modes):
        rows = [row for row in result["rows"] if row["mode"] == mode and "rel_error" in row]
        lines.append((mode, str(len(rows)), _error(max((row["rel_error"] for row in rows), default=None))))
    return (
        f"## {area}\n\n"
        "The event engine against fixed placements whose times are known from exact rational arithmetic "
        "(`cosim/validation/data/scheduling_golden/contention.json`); the error of a case is the largest over all starts, ends and the "
        "makespan. Modes: `none` shares nothing, `fifo` has one bus, `fair` shares one memory max-min ([engine](models/engine.md)).\n\n"
        + _table(("mode", "cases", "largest relative error"), lines)
    )


def _workloads_section(area: str, result: Result) -> str:
    """One line a network, zoo and ONNX files apart."""
    zoo = [row for row in result["rows"] if row["table"] == "zoo"]
    files = [row for row in result["rows"] if row["table"] == "onnx"]
    columns = ("MACs", "error", "parameters", "error")
    return (
        f"## {area}\n\n"
        "MACs and parameters against counts of other programs; conventions in [workloads](models/workloads.md). An empty error means that "
        "the reference has no count.\n\n"
        "### Zoo\n\nReference: `cosim/validation/data/networks.csv`.\n\n"
        + _table(("network", "variant", "input", *columns), (_line(row, row["name"], row["variant"], row["input_shape"]) for row in zoo))
        + _left_out(zoo, "name")
        + "\n### ONNX files\n\nReference: `cosim/validation/data/onnx_models.csv`. Shown are the files inside the `onnx` package, which is "
        "always there; `cosim validate workloads` also compares those of other packages that are installed.\n\n"
        + _table(("file", *columns), (_line(row, row["file"].rpartition("/")[2]) for row in files))
        + _left_out(files, "file")
    )


def _line(row: Row, *names: str) -> tuple[str, ...] | None:
    """Cells of a compared or failed network; None of a skipped one."""
    if row["status"] == "skipped":
        return None
    if row["status"] == "failed":
        return (*names, "**failed**", row["reason"], "", "")
    return (*names, f"{row['macs']:,}", _error(row["macs_rel_error"]), f"{row['params']:,}", _error(row["params_rel_error"]))


def _left_out(rows: Sequence[Row], key: str) -> str:
    """Names of skipped rows by reason, as text after a table; nothing when there are none."""
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["status"] == "skipped":
            reasons.setdefault(row["reason"], {})[f"`{row[key]}`"] = None
    return "".join(f"\nNot compared ({reason}): {', '.join(names)}.\n" for reason, names in reasons.items())


def _cim_section(area: str, result: Result) -> str:
    """One line a kind of macro, and of each other quantity that is scored."""
    shown = ("n_papers", "n_predicted", "median_factor", "p90_factor", "geomean_factor", "coverage_90", "interval_factor")
    lines = ("baseline_median_factor", "baseline_p90_factor")
    columns = ("", "papers", "rows", "median", "p90", "geomean", "coverage of 90 %", "interval", "regression median", "its p90")
    rows = [
        (name, *(_short(found.get(key)) for key in (*shown, *lines))) for name, found in result["metrics"].items() if found.get("n_papers")
    ]
    return (
        f"## {area}\n\n"
        "Energy of published compute-in-memory macros (`cosim/validation/data/cim_macros.csv`), each paper predicted by constants fitted "
        "**without it**; factors of prediction over silicon, scored by paper ([calibration](models/cim_calibration.md)). `interval` is the "
        "median factor from the prediction to the edge of its interval. `latency`, `area` and `density` are scored the same way.\n\n"
        + _table(columns, rows)
    )


def _short(value: float | None) -> str:
    """Three digits, whole numbers as they are."""
    return "" if value is None else f"{value:.3g}"


def _metrics_section(area: str, result: Result) -> str:
    """Any other area: its metrics as they are."""
    return f"## {area}\n\n" + _table(("metric", "value"), ((name, _error(value)) for name, value in _flat(result["metrics"])))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _error(value: float | None) -> str:
    """Two digits; rounding noise is not told from 0, so that the text is the same on every platform."""
    if value is None:
        return ""
    return f"{value if value >= ROUNDING else 0:.2g}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str] | None]) -> str:
    """Write a Markdown table; rows that are None are left out."""
    lines = [columns, ["---"] * len(columns), *(row for row in rows if row is not None)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


_SECTIONS: Mapping[str, Callable[[str, Result], str]] = {
    "cim": _cim_section,
    "contention": _contention_section,
    "workloads": _workloads_section,
}
_TARGETS: Mapping[str, str] = {"contention": f"{contention.MAX_REL_ERROR:g}", "workloads": f"{workloads.MAX_REL_ERROR:g}"}
