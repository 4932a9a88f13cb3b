"""Accuracy in a study: one measurement for all points that share arrays and bits."""

from __future__ import annotations

import os

import numpy as np
import pytest

from cosim.study.accuracy import ACCURACY_COLUMNS, AccuracyEvaluator, interval_pct
from cosim.study.columns import COLUMNS
from cosim.study.study_file import load_study
from cosim.training.accuracy import Score
from workloads.errors import CosimError

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
TEXT = """
chips: [edge_npu_soc, edge_cim_soc]
workload: mlp_digits
axes:
  cim.adc.bits: [1, 8]
  cim.n_macros: [1000, 1640]
  dram.part: [lpddr4x_4266, lpddr5_6400]
  weight_bits: [2, 8]
objectives: [energy, accuracy]
accuracy: {data: digits8x8, inputs: 60}
"""


@pytest.fixture
def study_of(tmp_path):
    def read(text: str = TEXT):
        path = tmp_path / "accuracy.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return read


def test_memories_share_an_accuracy_and_arrays_and_bits_do_not(study_of):
    study = study_of()
    evaluator = AccuracyEvaluator(study)
    codes = study.space.listed
    points = study.space.decode(codes)
    keys = evaluator.keys(codes)
    assert len(codes) == 4 + 16
    by_key: dict[str, set[tuple[object, ...]]] = {}
    for key, point in zip(keys, points, strict=True):
        by_key.setdefault(key, set()).add((point["chip"], point["cim.adc.bits"], point["cim.n_macros"], point["weight_bits"]))
    assert all(len(shared) == 1 for shared in by_key.values())
    assert len(by_key) == 2 + 8
    assert len(evaluator.distinct(codes)) == len(by_key)


@pytest.mark.skipif(JIT_OFF, reason="exact products of arrays take half a minute without the compiler")
def test_a_one_bit_converter_destroys_accuracy_and_a_digital_chip_keeps_it(study_of):
    study = study_of()
    evaluator = AccuracyEvaluator(study)
    codes = study.space.encode(
        [
            {"chip": chip, "cim.adc.bits": bits, "cim.n_macros": n, "dram.part": "dram/lpddr5_6400_x32", "weight_bits": 8}
            for chip, bits, n in (("edge_npu_soc", None, None), ("edge_cim_soc", 8, 1640), ("edge_cim_soc", 1, 1640))
        ]
    )
    told = []
    rows = evaluator.evaluate(codes, lambda i, n: told.append((i, n)))
    assert told == [(0, 3), (1, 3), (2, 3)]
    digital, analog, crude = rows.values[:, len(COLUMNS)]
    assert digital > 90
    assert analog > crude + 20
    assert (rows.status == 0).all()
    again = evaluator.evaluate(codes[::-1])
    assert np.array_equal(again.values[::-1], rows.values, equal_nan=True)
    assert again.keys[::-1] == rows.keys


def test_low_and_high_surround_the_mean():
    mean, low, high = interval_pct(Score((90.0, 92.0)), 100)
    # by hand: variance of seeds 2 / 2 = 1, binomial 91 * 9 / 100 = 8.19
    assert mean == 91.0
    assert (low, high) == pytest.approx((91.0 - 1.6448536 * np.sqrt(9.19), 91.0 + 1.6448536 * np.sqrt(9.19)))
    assert interval_pct(Score((100.0,)), 10) == (100.0, 100.0, 100.0)


def test_only_accuracy_columns_are_filled(study_of):
    study = study_of()
    rows = AccuracyEvaluator(study).evaluate(study.space.listed[:1])
    assert rows.values.shape == (1, len(COLUMNS) + len(ACCURACY_COLUMNS))
    assert np.isnan(rows.values[0, : len(COLUMNS)]).all()
    assert not np.isnan(rows.values[0, len(COLUMNS) :]).any()


def test_arrays_that_cannot_be_built_fail_with_their_reason(study_of):
    study = study_of(TEXT.replace("cim.n_macros: [1000, 1640]", "cim.rows_active: [256, 512]"))
    codes = study.space.listed
    bad = codes[[p["cim.rows_active"] == 512 for p in study.space.decode(codes)]][:1]
    rows = AccuracyEvaluator(study).evaluate(bad)
    assert rows.status.tolist() == [1]
    assert "rows_active 512 is more than the 256 rows" in rows.error[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("workload: mlp_digits", "workload: resnet18", "workload 'resnet18' has no accuracy"),
        ("data: digits8x8", "data: digits9x9", "digits9x9"),
        ("workload: mlp_digits", "workload: cnn_small", "choose other data"),
        ("weight_bits: [2, 8]", "layers.fc1.weight_bits: [2, 8]", "uniform bits"),
        ("accuracy: {data: digits8x8, inputs: 60}", "", "names no data"),
    ],
)
def test_what_has_no_accuracy_is_refused(study_of, old, new, says):
    study = study_of(TEXT.replace(old, new))
    with pytest.raises(CosimError, match=says):
        AccuracyEvaluator(study).evaluate(study.space.listed[:1])
