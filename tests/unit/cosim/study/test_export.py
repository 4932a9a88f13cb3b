"""The table of a store as CSV, JSON and Parquet: sorted, whole, and the same for every run that has the same rows."""

import csv
import io
import json
import math
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study.export import FORMATS, HEAD, Export, write_export
from cosim.study.store import Store, StoredRow
from workloads.errors import StoreError

VALUES = ("latency_s", "energy_j")


def row(key="a0", values=(1.0, 2.0), *, design=None, error="", **more):
    said = {"workload": "net", "fidelity": "event", "model_version": "m1", "seed": 0, "cost": 1.0, **more}
    return StoredRow(
        key=key, failed=bool(error), error=error, design={"bits": 4} if design is None else design, values=tuple(values), **said
    )


def cells(export):
    return list(csv.reader(io.StringIO("".join(export.csv()), newline="")))


def objects(export):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads("".join(export.json()), parse_constant=refuse)


class TestLines:
    def test_columns_are_what_a_row_is_then_axes_then_values(self):
        export = Export([row(design={"node": "7nm", "bits": 4})], VALUES)
        assert export.names == (*HEAD, "bits", "node", *VALUES)
        assert list(export.lines()) == [("a0", "net", "event", "m1", 0, "ok", "", 1.0, 4, "7nm", 1.0, 2.0)]

    def test_a_failed_row_says_so(self):
        line = next(Export([row(values=(None, None), error="no room")], VALUES).lines())
        assert line[5:7] == ("failed", "no room")
        assert line[-2:] == (None, None)

    def test_rows_of_several_studies_have_the_axes_of_all(self):
        export = Export([row("a", design={"bits": 4}), row("b", design={"node": "7nm"}), row("c", design={})], VALUES)
        assert export.axes == ("bits", "node")
        assert [line[8:10] for line in export.lines()] == [(4, None), (None, "7nm"), (None, None)]

    def test_axes_of_one_study_have_its_order_and_its_levels(self):
        designs = {"a0": {"node": "7nm", "bits": 8}, "a1": {"node": None, "bits": 4}}
        export = Export([row(design={"other": 1}), row("a1")], VALUES, designs)
        assert export.axes == ("node", "bits")
        assert [line[8:10] for line in export.lines()] == [("7nm", 8), (None, 4)]

    def test_a_row_that_the_study_does_not_know_has_no_levels(self):
        assert [line[8] for line in Export([row(), row("b0")], VALUES, {"a0": {"bits": 4}}).lines()] == [4, None]

    @pytest.mark.parametrize("name", ["cost", "workload", "latency_s"])
    def test_an_axis_called_like_a_column_is_told_apart(self, name):
        export = Export([row(design={name: 7, "bits": 4})], VALUES)
        assert sorted(export.names[8:10]) == sorted([f"axis.{name}", "bits"])
        assert len(set(export.names)) == len(export.names)
        assert objects(export)[0][f"axis.{name}"] == 7

    def test_rows_may_be_read_once(self):
        export = Export((row(key) for key in "ab"), VALUES)
        assert len(list(export.lines())) == len(list(export.lines())) == 2


class TestCsv:
    def test_by_hand(self):
        rows = [row("a0", (0.1, None), design={"bits": 4, "node": "7nm"}), row("a1", (1e-300, -2.0), design={"bits": 8, "node": None})]
        assert "".join(Export(rows, VALUES).csv()) == (
            "key,workload,fidelity,model_version,seed,status,error,cost,bits,node,latency_s,energy_j\n"
            "a0,net,event,m1,0,ok,,1.0,4,7nm,0.1,\n"
            "a1,net,event,m1,0,ok,,1.0,8,,1e-300,-2.0\n"
        )

    @given(st.floats(allow_nan=False))
    def test_floats_read_back_the_same(self, value):
        text = cells(Export([row(values=(value, 1.0))], VALUES))[1][-2]
        assert text == repr(value)
        assert float(text) == value
        assert math.copysign(1, float(text)) == math.copysign(1, value)

    def test_levels_are_written_as_they_are_written_in_a_study(self):
        design = {"a": True, "b": False, "c": None, "d": 0.5, "e": 4, "f": "x"}
        assert cells(Export([row(design=design)], VALUES))[1][8:14] == ["true", "false", "", "0.5", "4", "x"]

    @given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1))
    def test_any_text_is_one_cell(self, text):
        found = cells(Export([row(error=text)], VALUES))
        assert len(found) == 2
        assert found[1][6] == text

    @pytest.mark.parametrize(
        ("text", "cell"),
        [("a,b", '"a,b"'), ('say "no"', '"say ""no"""'), ("a\rb", '"a\rb"'), ("a\nb", '"a\nb"'), ("a b;c'", "a b;c'"), ("", "")],
    )
    def test_only_what_needs_quotes_has_them(self, text, cell):
        assert list(Export([row(error=text)], ()).csv())[1].startswith(f"a0,net,event,m1,0,{'failed' if text else 'ok'},{cell},1.0")

    def test_names_are_quoted_too(self):
        assert cells(Export([row(design={"a,b": 1})], VALUES))[0][8] == "a,b"

    def test_no_rows_are_a_head(self):
        assert "".join(Export([], VALUES).csv()) == ",".join((*HEAD, *VALUES)) + "\n"


class TestJson:
    def test_one_object_a_row(self):
        found = objects(Export([row(design={"on": True, "v": 0.5}), row("a1", (None, 2.0), design={}, error='say "no"')], VALUES))
        assert found[0] == {
            **{
                "key": "a0",
                "workload": "net",
                "fidelity": "event",
                "model_version": "m1",
                "seed": 0,
                "status": "ok",
                "error": "",
                "cost": 1.0,
            },
            **{"on": True, "v": 0.5, "latency_s": 1.0, "energy_j": 2.0},
        }
        assert (found[1]["status"], found[1]["error"], found[1]["latency_s"]) == ("failed", 'say "no"', None)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_floats_read_back_the_same(self, value):
        found = objects(Export([row(values=(value, 1.0))], VALUES))[0]["latency_s"]
        assert repr(found) == repr(value)

    def test_it_is_json_whatever_the_values(self):
        found = objects(Export([row(values=(math.inf, -math.inf)), row("a1", (math.nan, 1.0))], VALUES))
        assert [(one["latency_s"], one["energy_j"]) for one in found] == [(None, None), (None, 1.0)]

    def test_no_rows_are_an_empty_list(self):
        assert "".join(Export([], VALUES).json()) == "[]\n"

    def test_a_line_a_row(self):
        assert len("".join(Export([row(key) for key in "abc"], VALUES).json()).splitlines()) == 5


class TestTable:
    def test_kinds(self):
        table = Export([row(design={"bits": 4, "node": "7nm", "on": True, "v": 0.5})], VALUES).table()
        kinds = dict(zip(table.column_names, table.schema.types, strict=True))
        assert (kinds["seed"], kinds["cost"], kinds["key"]) == (pa.int64(), pa.float64(), pa.string())
        assert (kinds["bits"], kinds["node"], kinds["on"], kinds["v"]) == (pa.int64(), pa.string(), pa.bool_(), pa.float64())
        assert kinds["latency_s"] == kinds["energy_j"] == pa.float64()

    @pytest.mark.parametrize(
        ("levels", "kind", "found"),
        [
            ((4, 0.5), pa.float64(), [4.0, 0.5]),
            ((4, None), pa.int64(), [4, None]),
            ((True, None), pa.bool_(), [True, None]),
            ((4, "auto"), pa.string(), ["4", "auto"]),
            ((True, 4), pa.string(), ["true", "4"]),
            ((0.5, "auto"), pa.string(), ["0.5", "auto"]),
            ((None, None), pa.string(), [None, None]),
        ],
    )
    def test_levels_of_an_axis_are_of_the_kind_that_holds_them_all(self, levels, kind, found):
        table = Export([row(str(i), design={"x": level}) for i, level in enumerate(levels)], VALUES).table()
        assert table.schema.field("x").type == kind
        assert table["x"].to_pylist() == found

    def test_floats_are_the_same_bits(self):
        values = [5e-324, math.inf, -math.inf, 0.1 + 0.2, None]
        table = Export([row(str(i), (value, 1.0)) for i, value in enumerate(values)], VALUES).table()
        assert table["latency_s"].to_pylist() == values

    def test_no_rows_are_columns_without_rows(self):
        table = Export([], VALUES, {"a0": {"bits": 4}}).table()
        assert tuple(table.column_names) == (*HEAD, "bits", *VALUES)
        assert table.num_rows == 0
        assert table.schema.field("latency_s").type == pa.float64()


class TestWrite:
    @pytest.fixture
    def export(self):
        return Export([row(), row("a1", (None, 0.1), error="é, no\nroom")], VALUES)

    def test_to_a_file(self, tmp_path, export):
        for form in FORMATS:
            write_export(export, form, tmp_path / "new" / f"t.{form}")
        assert (tmp_path / "new" / "t.csv").read_bytes().decode() == "".join(export.csv())
        assert (tmp_path / "new" / "t.json").read_bytes().decode() == "".join(export.json())
        assert pq.read_table(tmp_path / "new" / "t.parquet").equals(export.table())
        assert sorted(one.name for one in (tmp_path / "new").iterdir()) == ["t.csv", "t.json", "t.parquet"]

    def test_to_stdout(self, export, capsys):
        for form, text in (("csv", export.csv()), ("json", export.json())):
            write_export(export, form, None)
            assert capsys.readouterr().out == "".join(text)

    def test_parquet_is_no_text(self, export, capsys):
        with pytest.raises(StoreError, match="Parquet is no text; name a file with --output"):
            write_export(export, "parquet", None)
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_place_that_cannot_be_written(self, tmp_path, export, form):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_text("kept")
        with pytest.raises(StoreError, match="folder: cannot be written: Is a directory"):
            write_export(export, form, tmp_path / "folder")
        with pytest.raises(StoreError, match=r"below: cannot be written: (Not a directory|File exists)"):
            write_export(export, form, tmp_path / "file" / "below")
        assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]
        assert (tmp_path / "file").read_text() == "kept"

    def test_a_file_is_replaced_whole_or_not_at_all(self, tmp_path, export, monkeypatch):
        path = tmp_path / "t.csv"
        path.write_text("before")

        def torn(_self):
            yield "key,"
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Export, "csv", torn)
        with pytest.raises(StoreError, match=r"t\.csv: cannot be written: No space left on device"):
            write_export(export, "csv", path)
        assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("t.csv", "before")]

    def test_parquet_without_pyarrow(self, tmp_path, export, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(StoreError, match="Parquet needs pyarrow"):
            write_export(export, "parquet", tmp_path / "t.parquet")
        write_export(export, "csv", tmp_path / "t.csv")  # the others do without


class TestOfStore:
    def stored(self, fake, path, order):
        """A store of the whole fake study, written point by point in some order."""
        with Store(path, fake.COLUMNS, write=True) as store:
            for i in order:
                store.write(fake.Fake((0, 1)).evaluate(fake.SPACE.listed[i : i + 1]), fake.origin(), fake.NETS, cpu_s=float(i))
            return Export(store.read(), fake.COLUMNS)

    def test_equal_rows_are_equal_bytes_however_they_came(self, fake, tmp_path):
        exports = [
            self.stored(fake, tmp_path / "a.db", range(48)),
            self.stored(fake, tmp_path / "b.db", [*np.random.default_rng(0).permutation(48).tolist(), 3, 5]),
        ]
        for form in FORMATS:
            for name, export in zip("ab", exports, strict=True):
                write_export(export, form, tmp_path / f"{name}.{form}")
            assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()

    def test_rows_are_sorted_and_have_the_values_of_the_study(self, fake, tmp_path):
        head, *lines = cells(self.stored(fake, tmp_path / "a.db", range(48)))
        assert [line[0] for line in lines] == sorted(line[0] for line in lines)
        assert len(lines) == 96
        for line in lines:
            one = dict(zip(head, line, strict=True))
            a = {"22nm": 0, "7nm": 1, "": 2}[one["node"]]
            b, c = {"4": 0, "5": 1, "6": 2, "8": 3}[one["bits"]], {"32": 0, "64": 1, "128": 2, "256": 3}[one["rows"]]
            expected = (a + b / 3 + c / 7) * {"tiny": 1, "small": 2}[one["workload"]]
            assert one["latency_s"] == ("" if b == 1 else repr(expected))
            assert (one["status"], bool(one["error"])) == (("failed", True) if b == 1 else ("ok", False))
            assert (one["min_snr_db"] == "") == (b == 1 or a == 1)

    def test_what_a_row_took_is_left_out(self, fake, tmp_path):
        assert "cpu_s" not in self.stored(fake, tmp_path / "a.db", range(2)).names
