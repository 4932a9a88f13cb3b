"""The systolic cycle law against SCALE-Sim 3.0.0 (validation/data/mapping_golden/README.md)."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import cosim
from hw_models.compute.spatial import SpatialArray, SpatialArraySpec
from hw_models.kernels.systolic import array_bits
from workloads.graph import OpKind
from workloads.ops import conv_gemm
from workloads.optable import COLUMNS, OpTable

FOLDER = Path(cosim.__file__).parent / "validation" / "data" / "mapping_golden"
FLOWS = ("os", "ws", "is")


def rows(name):
    with (FOLDER / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


IDEAL, LIMITED = rows("scalesim_ideal"), rows("scalesim_limited_bw")


def op_row(row):
    m, k, n = (int(row[name]) for name in "MKN")
    return (int(OpKind.MATMUL), 1, m, k, n, 0, 0, 0, k * n, m * k, m * n, 8, 8)


def table(row):
    columns = np.array([op_row(row)], dtype=np.int64)
    named = {name: np.ascontiguousarray(columns[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**named, row_of_op=np.zeros(1, dtype=np.int64), n_repeats=np.ones(1, dtype=np.int64))


def array(row, dataflows):
    buffer = f"{row['sram_kb_each']} KiB"
    return SpatialArraySpec.model_validate(
        {
            "node": "22 nm",
            "clock": "1 GHz",
            "rows": int(row["array_rows"]),
            "cols": int(row["array_cols"]),
            "dataflows": dataflows,
            "weight_buffer": buffer,
            "input_buffer": buffer,
            "output_buffer": buffer,
            "buffer_width_bits": 256,
            "vector_lanes": 32,
            "port_bandwidth": "1000 TB/s",
            "launch": "0 s",
            "control_fraction": 0.1,
            "area_overhead": 2,
        }
    )


def cycles(row, dataflows):
    return SpatialArray.costs([array(row, dataflows)], table(row)).latency_s[0, 0] * 1e9


@pytest.mark.parametrize("row", IDEAL, ids=lambda row: f"{row['case']}-{row['array_rows']}x{row['array_cols']}-{row['dataflow']}")
def test_cycles_of_every_ideal_row_within_one(row):
    """The tool prints one cycle less than a machine takes."""
    assert cycles(row, [row["dataflow"]]) - int(row["total_cycles"]) == pytest.approx(1, abs=1e-5)


def test_the_golden_rows_cover_all_dataflows_and_kinds():
    assert len(IDEAL) == 110
    assert Counter(row["dataflow"] for row in IDEAL).keys() == set(FLOWS)
    assert Counter(row["kind"] for row in IDEAL).keys() == {"gemm", "conv"}


@pytest.mark.parametrize("row", IDEAL, ids=lambda row: f"{row['case']}-{row['array_rows']}x{row['array_cols']}-{row['dataflow']}")
def test_operand_reads_of_every_ideal_row(row):
    """Words read from the filter and ifmap memories; sums written, except in os, where the tool counts idle edge rows too."""
    m, k, n, r, c = (int(row[name]) for name in ("M", "K", "N", "array_rows", "array_cols"))
    along_rows, along_cols = {"os": (m, n), "ws": (k, n), "is": (k, m)}[row["dataflow"]]
    flow = FLOWS.index(row["dataflow"])
    weight_bits, input_bits, sums = array_bits(np.array(op_row(row)), flow, -(-along_rows // r), -(-along_cols // c), 1, 1, 1)
    assert (weight_bits / 8, input_bits / 8) == (float(row["filter_sram_reads"]), float(row["ifmap_sram_reads"]))
    if row["dataflow"] == "os":
        assert sums <= float(row["ofmap_sram_writes"])
    else:
        assert sums == float(row["ofmap_sram_writes"])


def test_utilization_of_every_ideal_row():
    """overall_util_pct = 100 MACs / (cycles R C), printed with six digits and one cycle less."""
    for row in IDEAL:
        m, k, n, r, c = (int(row[name]) for name in ("M", "K", "N", "array_rows", "array_cols"))
        ours = 100 * m * k * n / ((cycles(row, [row["dataflow"]]) - 1) * r * c)
        assert ours == pytest.approx(float(row["overall_util_pct"]), rel=1e-4)


def test_convolution_rows_are_the_gemms_of_their_shapes():
    """M, N, K of a convolution as the importer lowers it; the tool rounds output sizes up."""
    for row in (row for row in IDEAL if row["kind"] == "conv"):
        h, w, fh, fw, c, f, s = (int(row[x]) for x in ("ifmap_h", "ifmap_w", "filt_h", "filt_w", "channels", "filters", "stride"))
        pixels = -(-(h - fh + s) // s) * -(-(w - fw + s) // s)
        lowered = conv_gemm(1, c, f, fh * fw, pixels)
        assert (lowered.m, lowered.k, lowered.n) == (int(row["M"]), int(row["K"]), int(row["N"]))


def test_limited_bandwidth_is_never_faster_than_the_law():
    """Sanity only: stalls of the tool are known to be too large."""
    for row in LIMITED:
        assert int(row["total_cycles"]) >= cycles(row, [row["dataflow"]]) - 1 - 1e-5


def test_the_best_of_three_is_the_least_golden_total():
    """Where one shape was run in all dataflows on one array, free choice gives the least of the totals."""
    totals: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in IDEAL:
        totals.setdefault((row["case"], row["array_rows"], row["array_cols"]), {})[row["dataflow"]] = int(row["total_cycles"])
    complete = {key: flows for key, flows in totals.items() if len(flows) == 3}
    assert complete
    for row in IDEAL:
        key = (row["case"], row["array_rows"], row["array_cols"])
        if key in complete:
            assert cycles(row, list(FLOWS)) == pytest.approx(min(complete[key].values()) + 1, abs=1e-5)
