"""Study files: what they say, and what a mistake in one is answered with."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.designs import distinct, drawn, points_of
from cosim.study.study_file import list_studies, load_study
from workloads.errors import CosimError

TEXT = """
name: small
chips: [edge_npu_soc, edge_cim_soc]
workloads: [{name: resnet18, weight: 2}, {name: small, source: mobilenet_v2, bounds: [latency <= 5 ms]}]
axes:
  cim.adc.bits: 4..8
  cim.rows_active: {levels: [32, 64, 128], when: "weight_bits >= 6"}
  dram.part: [lpddr4x_4266, lpddr5_6400]
  weight_bits: 4..8
constraints: ["weight_bits != 5", "area <= 90 mm2", fits]
objectives: [energy, maximize accuracy]
bounds: [latency <= 50 ms]
accuracy: {data: digits8x8, seeds: [0, 1]}
fidelities: {bound: 0.05, event: 1}
design: {method: sobol, n: 20}
batch: 2
"""


@pytest.fixture
def study_of(tmp_path):
    def read(text: str):
        path = tmp_path / "small.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return read


def test_a_study_says_what_varies_and_what_is_wanted(study_of):
    study = study_of(TEXT)
    assert study.space.names == ("chip", "cim.adc.bits", "cim.rows_active", "dram.part", "weight_bits")
    assert study.axis_of["cim.adc.bits"].paths == ("devices.cim.adc.n_bits",)
    assert study.axis_of["dram.part"].levels == ("dram/lpddr4x_4266", "dram/lpddr5_6400_x32")
    assert [one.name for one in study.objectives] == ["energy", "accuracy"]
    assert [bound.text for bound in (*study.bounds, *study.known)] == ["latency <= 50.00 ms", "area <= 90 mm2"]
    assert [(one.name, one.source, one.weight) for one in study.workloads] == [
        ("resnet18", "resnet18", 2.0),
        ("small", "mobilenet_v2", 1.0),
    ]
    assert study.workloads[1].bounds[0].limit == pytest.approx(5e-3)
    assert (study.fits, study.batch, study.ladder) == (True, 2, {"bound": 0.05, "event": 1.0})
    assert study.accuracy is not None
    assert study.accuracy.seeds == (0, 1)


def test_an_axis_of_one_chip_is_inactive_on_the_others_and_where_its_condition_fails(study_of):
    study = study_of(TEXT)
    points = study.space.decode(study.space.listed)
    assert {p["cim.adc.bits"] for p in points if p["chip"] == "edge_npu_soc"} == {None}
    active = {(p["chip"], p["weight_bits"]) for p in points if p["cim.rows_active"] is not None}
    assert active == {("edge_cim_soc", bits) for bits in (6, 7, 8)}
    assert all(p["weight_bits"] != 5 for p in points)
    assert len(points) == 2 * 4 + 2 * 5 * (1 + 3 * 3)


def test_a_workload_and_a_chip_by_name_are_enough(study_of):
    study = study_of("chip: edge_cim_soc\nworkload: resnet18\naxes: {cim.adc.bits: 6..8}\n")
    assert study.name == "small"
    assert [one.name for one in study.objectives] == ["energy", "latency"]
    assert (study.fidelity, study.policy, study.weight_bits, study.design.method) == ("event", "heft", 8, "grid")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cim.adc.bits: 4..8", "cim.adc.bit: 4..8", r"small.yaml:6: axes.cim.adc.bit: .*did you mean 'cim.adc.n_bits'"),
        ("cim.adc.bits: 4..8", "cim.adc.bits: []", r"small.yaml:6: axes.cim.adc.bits: there are no levels"),
        ("cim.adc.bits: 4..8", "cim.adc.bits: {levels: [4], from: 4}", "give levels, or from and to"),
        ("cim.adc.bits: 4..8", "cim.adc.bits: {level: [4]}", "did you mean 'levels'"),
        ("lpddr4x_4266", "lpddr9", r"small.yaml:8: axes.dram.part: part 'lpddr9' is not in the catalog"),
        ("weight_bits >= 6", "weigt_bits >= 6", "did you mean 'weight_bits'"),
        ("weight_bits != 5", "weight_bits > 9", r"small.yaml:10: constraints: no point was found that keeps to 'weight_bits > 9'"),
        ("area <= 90 mm2", "area <= 90", "without a unit"),
        ("objectives: [energy", "objectives: [joules", r"small.yaml:11: objectives: 'joules' is nothing that a run measures"),
        ("latency <= 50 ms", "latency <= 50", "without a unit"),
        ("design: {method: sobol, n: 20}", "design: sobol", "sobol needs a number of points"),
        ("design: {method: sobol, n: 20}", "design: {method: sobl, n: 20}", "did you mean 'sobol'"),
        ("batch: 2", "batch: 0", "a whole number of 1 or more"),
        ("batch: 2", "bach: 2", r"small.yaml:\d+: bach: unknown key; did you mean 'batch'"),
        ("{bound: 0.05, event: 1}", "{event: 1, bound: 0.05}", "write the cheapest fidelity first"),
        ("{bound: 0.05, event: 1}", "{simpy: 1}", "'simpy' is not known"),
        ("{data: digits8x8, seeds: [0, 1]}", "{path: exact}", "name a data set"),
        ("weight: 2", "weight: 0", "a number above 0"),
        ("name: small, source", "name: resnet18, source", "'resnet18' is named twice"),
        ("edge_npu_soc, ", "edge_npu_sox, ", "did you mean 'edge_npu_soc'"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_way_out(study_of, old, new, says):
    assert old in TEXT
    with pytest.raises(CosimError, match=says):
        study_of(TEXT.replace(old, new, 1))


@pytest.mark.parametrize("missing", ["chips:", "workloads:", "axes:"])
def test_what_every_study_needs_is_asked_for(study_of, missing):
    text = "chips: edge_cim_soc\nworkloads: resnet18\naxes: {cim.rows: [64, 128]}\n"
    with pytest.raises(CosimError, match=missing[:4]):
        study_of("\n".join(line for line in text.splitlines() if not line.startswith(missing)) + "\n")


def test_own_designs_are_checked(study_of):
    base = "chip: edge_cim_soc\nworkload: resnet18\naxes: {cim.rows: [64, 128], weight_bits: 4..8}\nconstraints: [weight_bits != 5]\n"
    study = study_of(base + "designs: [{cim.rows: 128, weight_bits: 8}]\n")
    assert study.space.decode(points_of(study, study.space))[0] == {"cim.rows": 128, "weight_bits": 8}
    with pytest.raises(CosimError, match="does not keep to the constraints"):
        study_of(base + "designs: [{cim.rows: 128, weight_bits: 5}]\n")
    with pytest.raises(CosimError, match="no level 32"):
        study_of(base + "designs: [{cim.rows: 32, weight_bits: 8}]\n")


def test_an_unknown_study_suggests_the_shipped_ones():
    with pytest.raises(CosimError, match="neither shipped nor a YAML file"):
        load_study("no_such_study")


@pytest.mark.parametrize("name", list_studies())
def test_shipped_studies_can_be_read(name):
    assert load_study(name).space.size > 1


@pytest.mark.parametrize("method", ["random", "lhs", "sobol"])
def test_drawn_points_are_feasible_distinct_and_repeatable(study_of, method):
    space = study_of(TEXT).space
    none = np.empty((0, 5), dtype=np.int64)
    one, two = (drawn(space, method, 30, np.random.default_rng(5), none) for _ in range(2))
    assert (one == two).all()
    assert len(distinct(one)) == 30
    assert space.feasible(one).all()


def test_a_latin_hypercube_takes_every_level_equally_often(study_of):
    space = study_of("chip: edge_cim_soc\nworkload: resnet18\naxes: {cim.adc.bits: 1..8, weight_bits: 1..8}\n").space
    codes = drawn(space, "lhs", 8, np.random.default_rng(0), np.empty((0, 2), dtype=np.int64))
    assert [sorted(column) for column in codes.T.tolist()] == [list(range(8))] * 2


def test_a_space_smaller_than_asked_for_is_taken_whole(study_of):
    space = study_of("chip: edge_cim_soc\nworkload: resnet18\naxes: {cim.rows: [64, 128]}\n").space
    assert len(drawn(space, "random", 50, np.random.default_rng(0), np.empty((0, 1), dtype=np.int64))) == 2
