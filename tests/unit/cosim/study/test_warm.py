"""What a search is told before it begins: rows of stores, and tables of measurements; what is refused names file and line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.judge import ALL_COLUMNS, StudyJudge, padded
from cosim.study.optimise import Search, Stop
from cosim.study.scores import wanted_of
from cosim.study.store import Origin, Store
from cosim.study.study_file import load_study
from cosim.study.warm import warm_start
from workloads.errors import SpecError, StoreError

TEXT = """
name: warm
chip: edge_cim_soc
workload: lenet5
axes:
  weight_bits: [4, 8, 99]
  devices.cim.n_macros: [2, 1640]
  devices.cpu.clock: [1 GHz, 500 MHz]
objectives: [energy]
bounds: [latency <= 1 s]
fidelities: {bound: 0.1, event: 1}
"""
LIMIT = "latency <= 1.000 s"
HEAD = "weight_bits,devices.cim.n_macros,devices.cpu.clock,energy,latency"
POINT = {"weight_bits": 8, "devices.cim.n_macros": 2, "devices.cpu.clock": "1 GHz"}


@pytest.fixture
def read(tmp_path):
    def loaded(text=TEXT):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return loaded


@pytest.fixture
def table(tmp_path, read):
    """Warm start from the text of a table."""

    def told(text, study=TEXT, encoding="utf-8", name="known.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return start(path, read(study))

    return told


def start(path, study):
    with StudyJudge(study, wanted_of(study)) as judge:
        return warm_start(path, study, study.space, judge)


def swept(path, study, fidelity="event", codes=None):
    """A store with the rows of a study's points."""
    rows = padded(Evaluator(study, fidelity).evaluate(study.space.listed if codes is None else codes))
    with Store(path, ALL_COLUMNS, write=True) as store:
        store.write(rows, Origin(study.name, "0", fidelity, "m"), [one.name for one in study.workloads])
    return rows


class TestTable:
    def test_a_row_is_a_point_its_values_in_si_and_the_top_fidelity(self, table):
        assert table(f"{HEAD}\n8,2,1 GHz,2 uJ,3 ms\n") == [(POINT, {"energy": pytest.approx(2e-6), LIMIT: pytest.approx(3e-3)}, "event")]

    def test_a_row_may_name_its_fidelity(self, table):
        found = table(f"fidelity,{HEAD}\nbound,8,2,1 GHz,2 uJ,3 ms\n,8,2,1 GHz,3 uJ,3 ms\nevent,4,2,1 GHz,4 uJ,3 ms\n")
        assert [(fidelity, values["energy"]) for _, values, fidelity in found] == [
            ("bound", pytest.approx(2e-6)),
            ("event", pytest.approx(3e-6)),
            ("event", pytest.approx(4e-6)),
        ]

    def test_a_level_is_its_text_or_what_it_means(self, table):
        lines = ("8,2,1 GHz", "8.0,2,1000 MHz", "8,2.0,1000000 kHz")
        found = table("\n".join([HEAD, *(f"{line},1 J,1 s" for line in lines)]))
        assert [point for point, _, _ in found] == [POINT] * 3

    def test_truth_values_and_inactive_levels_have_their_words(self, table):
        text = TEXT.replace("devices.cpu.clock: [1 GHz, 500 MHz]", "memory.pin_weights: [true, false]").replace(
            "devices.cim.n_macros: [2, 1640]", "devices.cim.n_macros: {levels: [2, 1640], when: weight_bits == 8}"
        )
        head = HEAD.replace("devices.cpu.clock", "memory.pin_weights")
        found = table(f"{head}\n8,2,True,1 J,1 s\n8,2,false,1 J,1 s\n4,,FALSE,1 J,1 s\n", text)
        assert [(point["memory.pin_weights"], point["devices.cim.n_macros"]) for point, _, _ in found] == [
            (True, 2),
            (False, 2),
            (False, None),
        ]

    def test_columns_stand_in_any_order_and_others_are_left_alone(self, table):
        found = table("note,latency,energy,devices.cpu.clock,weight_bits,devices.cim.n_macros\nmine,3 ms,2 uJ,1 GHz,8,2\n")
        assert [point for point, _, _ in found] == [POINT]

    @pytest.mark.parametrize(("encoding", "name"), [("utf-8-sig", "known.csv"), ("utf-8", "KNOWN.CSV")])
    def test_as_a_spreadsheet_writes_it(self, table, encoding, name):
        text = f"{HEAD}\r\n8,2,1 GHz,2 uJ,3 ms\r\n"
        assert [point for point, _, _ in table(text, encoding=encoding, name=name)] == [POINT]

    def test_without_rows_nothing_is_known(self, table):
        assert table(f"{HEAD}\n") == []

    def test_several_workloads_have_a_column_each_for_bounds_of_their_own(self, table):
        text = TEXT.replace("workload: lenet5", "workloads: [{name: lenet5, bounds: [latency <= 2 ms]}, {name: mlp_mnist}]")
        head = f"{HEAD},latency (lenet5)"
        ((_, values, _),) = table(f"{head}\n8,2,1 GHz,2 uJ,3 ms,1 ms\n", text)
        assert values == pytest.approx({"energy": 2e-6, LIMIT: 3e-3, "latency <= 2.000 ms (lenet5)": 1e-3})
        with pytest.raises(SpecError, match=r"known.csv:1: column 'latency \(lenet5\)' is missing; did you mean 'latency'"):
            table(f"{HEAD}\n", text)

    def test_values_of_a_bound_and_an_objective_of_one_metric_come_from_one_column(self, table):
        ((_, values, _),) = table(f"{HEAD}\n8,2,1 GHz,2 uJ,3 ms\n", TEXT.replace("latency <= 1 s", "energy <= 1 J, latency <= 1 s"))
        assert values["energy"] == values["energy <= 1.000 J"] == pytest.approx(2e-6)


class TestRefusedTable:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (f"{HEAD.replace('energy', 'enrgy')}\n", "known.csv:1: column 'energy' is missing; did you mean 'enrgy'?"),
            (f"{HEAD.replace('weight_bits', 'bits')}\n", "known.csv:1: column 'weight_bits' is missing"),
            (f"{HEAD.removesuffix(',latency')}\n", "known.csv:1: column 'latency' is missing"),
            ("", "known.csv:1: column 'weight_bits' is missing; nothing is known here"),
            (
                f"{HEAD}\n8,2,1 GHz,2 uJ,3 ms\n7,2,1 GHz,2 uJ,3 ms\n",
                "known.csv:3: axis 'weight_bits' has no level '7'; choose one of: 4, 8, 99",
            ),
            (f"{HEAD}\n8,2,2 GHz,2 uJ,3 ms\n", "known.csv:2: axis 'devices.cpu.clock' has no level '2 GHz'; choose one of: 1 GHz, 500 MHz"),
            (f"{HEAD}\n8,2,,2 uJ,3 ms\n", "known.csv:2: axis 'devices.cpu.clock' has no level ''"),
            (f"{HEAD}\n8,2,1 GHz,2,3 ms\n", "known.csv:2: write a quantity in J, such as"),
            (f"{HEAD}\n8,2,1 GHz,2 ms,3 ms\n", "known.csv:2: write a quantity in J, such as"),
            (f"{HEAD}\n8,2,1 GHz,,3 ms\n", "known.csv:2: write a quantity in J, such as"),
            (f"{HEAD}\n8,2,1 GHz\n", "known.csv:2: write a quantity in J, such as"),
            (
                f"fidelity,{HEAD}\nevnt,8,2,1 GHz,2 uJ,3 ms\n",
                "known.csv:2: fidelity 'evnt' is not among the study's; did you mean 'event'",
            ),
            (f"fidelity,{HEAD}\nmapped,8,2,1 GHz,2 uJ,3 ms\n", "known.csv:2: fidelity 'mapped' is not among the study's"),
            (f'{HEAD}\n"8,2,1 GHz,2 uJ,3 ms\n', "known.csv: is not a CSV file in UTF-8"),
        ],
    )
    def test_names_the_line_and_what_would_do(self, table, text, message):
        with pytest.raises(SpecError) as caught:
            table(text)
        assert message in str(caught.value)

    def test_names_the_line_of_the_file_where_a_cell_spans_two(self, table):
        with pytest.raises(SpecError, match=r"known.csv:4: axis 'weight_bits' has no level '5'"):
            table(f'note,{HEAD}\n"two\nlines",8,2,1 GHz,2 uJ,3 ms\nx,5,2,1 GHz,2 uJ,3 ms\n')

    def test_other_text_than_utf_8(self, table):
        with pytest.raises(SpecError, match=r"known.csv: is not a CSV file in UTF-8"):
            table(f"{HEAD}\n8,2,1 GHz,2 µJ,3 ms\n", encoding="latin-1")


class TestStore:
    def test_every_point_with_the_values_that_a_search_would_find(self, read, tmp_path):
        study = read()
        rows = swept(tmp_path / "s.db", study)
        found = start(tmp_path / "s.db", study)
        assert len(found) == len(study.space.listed)
        assert {fidelity for _, _, fidelity in found} == {"event"}
        for point, values, _ in found:
            i = study.space.listed.tolist().index(study.space.encode([point])[0].tolist())
            expected = {"energy": "energy_j", LIMIT: "latency_s"}
            assert values == pytest.approx({k: rows.values[i, COLUMNS.index(v)] for k, v in expected.items()}, nan_ok=True)
        assert sum(math.isnan(values["energy"]) for _, values, _ in found) == 4  # 99 bits are known to fail

    def test_the_judge_remembers_which_rows_it_took(self, read, tmp_path):
        study = read()
        swept(tmp_path / "s.db", study, "event", study.space.listed[:2])
        with StudyJudge(study, wanted_of(study)) as judge:
            told = warm_start(tmp_path / "s.db", study, study.space, judge)
            (values,) = [values for point, values, _ in told if not study.space.encode([point])[0].any()]  # in the order of keys
            taken = [judge.taken(study.space.listed[i], fidelity) for i, fidelity in ((0, "event"), (0, "bound"), (2, "event"))]
            assert taken[1:] == [None, None]
            assert taken[0].objectives[0] == values["energy"]
            assert judge.values(taken[0].keys)[0, COLUMNS.index("energy_j")] == values["energy"]

    def test_every_rung_of_the_ladder(self, read, tmp_path):
        study = read()
        swept(tmp_path / "s.db", study, "bound", study.space.listed[:3])
        swept(tmp_path / "s.db", study, "event", study.space.listed[2:4])
        swept(tmp_path / "s.db", study, "mapped")
        found = sorted(fidelity for _, _, fidelity in start(tmp_path / "s.db", study))
        assert found == ["bound"] * 3 + ["event"] * 2

    def test_another_study_of_the_same_chips_and_networks_counts_where_points_are_the_same(self, read, tmp_path):
        other = read(TEXT.replace("name: warm", "name: other").replace("[4, 8, 99]", "[8, 16]").replace("energy]", "latency]"))
        swept(tmp_path / "s.db", other)
        found = start(tmp_path / "s.db", read())
        assert len(found) == 4
        assert {point["weight_bits"] for point, _, _ in found} == {8}

    def test_another_chip_network_or_seed_tells_nothing(self, read, tmp_path):
        for i, change in enumerate([("edge_cim_soc", "edge_npu_soc"), ("lenet5", "mlp_mnist"), ("fidelities", "seed: 4\nfidelities")]):
            text = TEXT.replace("devices.cim.n_macros: [2, 1640]", "activation_bits: [8, 16]")
            swept(tmp_path / f"{i}.db", read(text.replace(*change)))
            assert start(tmp_path / f"{i}.db", read(text)) == []

    def test_a_study_with_other_axes_tells_nothing(self, read, tmp_path):
        swept(tmp_path / "s.db", read(TEXT.replace("  devices.cpu.clock: [1 GHz, 500 MHz]\n", "")))
        assert start(tmp_path / "s.db", read()) == []

    def test_a_point_whose_second_replicate_is_missing_is_not_known(self, read, tmp_path):
        swept(tmp_path / "s.db", read())
        assert start(tmp_path / "s.db", read(TEXT + "replicates: 2\n")) == []

    @pytest.mark.parametrize("name", ["none.db", "none.csv"])
    def test_that_is_not_there(self, read, tmp_path, name):
        with pytest.raises(StoreError, match=rf"--warm-start .*{name}: there is no such file; give a store or a .csv file"):
            start(tmp_path / name, read())

    def test_that_is_none(self, read, tmp_path):
        (tmp_path / "s.db").write_text("energy\n" * 2000)
        with pytest.raises(StoreError, match=r"s\.db"):
            start(tmp_path / "s.db", read())


def test_a_search_begins_with_what_is_known(read, tmp_path):
    """Sixteen evaluations of others stand in for start-up points: the best of them is where annealing begins."""
    study = read(TEXT.replace("[4, 8, 99]", "[4, 5, 6, 8]").replace("[2, 1640]", "[2, 400, 800, 1200, 1640]"))
    wanted = wanted_of(study)
    costs = {"bound": 0.1, "event": 1.0}
    swept(tmp_path / "s.db", study, "event", study.space.listed[::2])
    with StudyJudge(study, wanted) as judge:
        known = warm_start(tmp_path / "s.db", study, study.space, judge)
        assert len(known) == 20
        (trial,) = Search(study.space, wanted, costs, "sa", known=known).trials(judge, Stop(evaluations=1))
    best = min(known, key=lambda one: one[1]["energy"])[0]
    assert np.count_nonzero(trial.row != study.space.encode([best])[0]) == 1
