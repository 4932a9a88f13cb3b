"""Rows of the five tables as networks and ways to read them."""

from __future__ import annotations

from collections import Counter

import pytest

from cosim.validation.accuracy_cases import DATA, TABLES, Reading, read_cases
from cosim.validation.tables import read_table
from workloads.errors import WorkloadError

STRESS = "net,recipe,seed,noise_std,acc\n"
SWEEP = "seed,rows,adc_bits,adc_range,cell_std,acc,float_acc,qat_digital_acc\n"
ANCHOR = "recipe,seed,passes,acc,acc_at_90pct_coverage,ece\n"
BASE = "dataset,net,recipe,wbits,seed,mapping,gdc,time,t_s,acc,std_programmings,acc_min,reps,train_cpu_s\n"


@pytest.fixture
def cases_of(tmp_path):
    """Cases of one table with the given text."""

    def made(name, text):
        (tmp_path / name).write_text(text)
        return read_cases(tmp_path)[0]

    return made


def test_every_row_that_ships_is_a_number_of_a_group():
    cases, absent = read_cases()
    rows = {name: len(read_table(DATA / name)[1]) for name in TABLES}
    assert absent == []
    found = Counter(case.file for case in cases)
    assert found["training_baselines"] == rows["training_baselines.csv"] == 707
    assert found["training_stress"] == rows["training_stress.csv"] == 126
    assert found["adc_aware"] == 2 * rows["adc_aware.csv"] == 16  # before and after
    assert found["uncertainty_anchor"] == 3 * rows["uncertainty_anchor.csv"] == 90  # three quantities
    assert found["adc_sweep"] == rows["adc_sweep.csv"] + 2 * 3 == 117  # and, once for each of three seeds, two without converters


def test_no_group_holds_a_seed_twice():
    keys = Counter((case.group, case.seed) for case in read_cases()[0])
    assert set(keys.values()) == {1}


def test_a_row_of_cells_says_how_it_is_read(cases_of):
    text = BASE + "digits8x8,mlp,float,float,3,layer,1.0,1d,86400.0,96.1,0.2,95.5,5,\n"
    (case,) = cases_of("training_baselines.csv", text)
    assert case.reading == Reading("cells", 5, mapping="layer", compensated=True, t_s=86400.0)
    assert case.group == ("training_baselines", "mlp", "float", "layer, 86400 s, compensated")
    assert (case.seed, case.expected) == (3, 96.1)


def test_gaussian_rows_and_bits_of_weights(cases_of):
    text = BASE + "digits8x8,mlp,control,float,0,column,,gaussian weight noise 0.2,,88.0,1,80,8,\nmnist5k,cnn,qat,2,0,digital,,,,97,,,1,3\n"
    noisy, digital = cases_of("training_baselines.csv", text)
    assert noisy.reading == Reading("gaussian", 8, sigma=0.2)
    assert digital.recipe == "qat, 2 bits"
    assert digital.reading.label == "digital"


def test_no_noise_is_drawn_once_and_noise_eight_times(cases_of):
    none, some = cases_of("training_stress.csv", STRESS + "cnn,float,0,0.0,97\ncnn,float,0,0.2,90\n")
    assert (none.reading.n_draws, some.reading.n_draws) == (1, 8)


def test_what_a_network_does_without_converters_stands_once(cases_of):
    rows = '0,64,2,"unit-step,clip",0,77.8,92.5,93.2\n0,128,4,full-range,0.1,65.0,92.5,93.2\n'
    cases = cases_of("adc_sweep.csv", SWEEP + rows)
    assert [(case.recipe, case.reading.label) for case in cases] == [
        ("4-bit", "64 rows, 2 bits, unit step"),
        ("float", "digital"),
        ("4-bit", "digital"),
        ("4-bit", "128 rows, 4 bits, full range, cells 0.1"),
    ]


def test_sixteen_passes_are_shared_out_and_errors_are_in_points(cases_of):
    cases = cases_of("uncertainty_anchor.csv", ANCHOR + "control,0,4,93.0,97.0,0.06\n")
    assert [case.expected for case in cases] == [93.0, 97.0, 6.0]
    assert {(case.reading.passes, case.reading.n_draws) for case in cases} == {(4, 4)}


def test_tables_that_are_not_there_are_named(tmp_path):
    (tmp_path / "training_stress.csv").write_text(STRESS + "mlp,float,0,0.1,95\n")
    cases, absent = read_cases(tmp_path)
    assert len(cases) == 1
    assert absent == [name for name in TABLES if name != "training_stress.csv"]


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"holds none of training_baselines\.csv"):
        read_cases(tmp_path)
    with pytest.raises(WorkloadError, match="is no folder"):
        read_cases(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("training_stress.csv", STRESS + "rnn,float,0,0.1,95\n", "line 2: net: 'rnn' is not known"),
        ("training_stress.csv", STRESS + "mlp,float,,0.1,95\n", "line 2: seed: is empty"),
        ("training_stress.csv", STRESS + "mlp,float,0,0.1,95\nmlp,float,0,nan,95\n", "line 3: noise_std: 'nan'"),
        ("training_stress.csv", "net,recipe,seed\n", "column 'noise_std' is missing"),
        ("adc_sweep.csv", SWEEP + "0,64,2,wide,0,77,92,93\n", "adc_range: 'wide' is not known; choose unit-step,clip or full-range"),
        ("training_baselines.csv", BASE + "d,mlp,float,float,0,colunm,1,1d,1,96,,,5,\n", "did you mean 'column'"),
    ],
)
def test_a_cell_that_is_not_understood_is_named_with_its_line(cases_of, name, text, message):
    with pytest.raises(WorkloadError, match=message):
        cases_of(name, text)
