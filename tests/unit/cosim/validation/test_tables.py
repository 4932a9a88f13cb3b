from __future__ import annotations

import pytest

from cosim.validation.tables import count_in, read_table, rel_error
from workloads.errors import WorkloadError


def test_columns_and_rows_of_a_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeffname,text\nx,"a, b"\ny\n', encoding="utf-8")
    assert read_table(path, ["name"]) == (["name", "text"], [{"name": "x", "text": "a, b"}, {"name": "y", "text": ""}])


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(WorkloadError, match="there is no such file"):
            read_table(path)


def test_a_missing_column_is_named_with_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,params\n")
    with pytest.raises(WorkloadError, match=r"a\.csv: column 'macs' is missing; the file has name, params"):
        read_table(path, ["name", "macs"])


@pytest.mark.parametrize("content", [b"\xff\xfe\x00name", b'name\n"open quote'])
def test_what_is_not_csv_is_refused(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(WorkloadError, match=r"a\.csv: is not a CSV file in UTF-8"):
        read_table(path)


def test_an_empty_file_has_no_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("")
    with pytest.raises(WorkloadError, match="the file has none"):
        read_table(path, ["name"])


def test_counts_are_whole_numbers_or_absent():
    assert count_in({"macs": " 12 "}, "macs", "f") == 12
    assert count_in({"macs": ""}, "macs", "f") is None


@pytest.mark.parametrize("text", ["many", "1.5", "0", "-3"])
def test_other_counts_are_refused_with_their_place(text):
    with pytest.raises(WorkloadError, match=r"f: line 3: column 'macs': '.*' is not a whole number of 1 or more"):
        count_in({"macs": text}, "macs", "f: line 3")


def test_relative_error_is_a_fraction_of_what_is_expected():
    assert rel_error(110, 100) == pytest.approx(0.1)
    assert rel_error(90, 100) == pytest.approx(0.1)
    assert rel_error(90, None) is None
