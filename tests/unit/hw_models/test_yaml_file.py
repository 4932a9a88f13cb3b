"""YAML with places: every key knows its file and line, and mistakes are named where they stand."""

import pytest

from hw_models.yaml_file import Document, Place, merge, read_yaml
from workloads.errors import SpecError


def write(tmp_path, text, name="chip.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_every_key_knows_its_line(tmp_path):
    path = write(tmp_path, "name: a\ndevices:\n  npu:\n    rows: 64\n")
    document = read_yaml(path)
    assert document.data == {"name": "a", "devices": {"npu": {"rows": 64}}}
    assert document.place("devices.npu.rows") == Place(path, 4)
    assert str(document.place("devices.npu")) == f"{path}:3"


def test_an_unwritten_key_has_the_place_of_its_nearest_parent(tmp_path):
    document = read_yaml(write(tmp_path, "devices:\n  npu: {rows: 64}\n"))
    assert document.place("devices.npu.cols.more").line == 2
    assert document.place("links").line == 1


def test_values_are_plain_python(tmp_path):
    data = read_yaml(write(tmp_path, "a: 1\nb: 1.5\nc: true\nd: 1e-9\ne: [1, x]\nf: null\ng: 'on'\n")).data
    assert data == {"a": 1, "b": 1.5, "c": True, "d": 1e-9, "e": [1, "x"], "f": None, "g": "on"}
    assert all(type(value) in {int, float, bool, str, list, type(None)} for value in data.values())


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: [1, 2\n", 3, "expected"),
        ("a: 1\na: 2\n", 2, "duplicate key"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("- 1\n- 2\n", 1, "a mapping of keys to values"),
        ("", 1, "a mapping of keys to values"),
    ],
)
def test_malformed_files_are_refused_with_file_and_line(tmp_path, text, line, reason):
    path = write(tmp_path, text)
    with pytest.raises(SpecError, match=reason) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}:{line}:")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.yaml: no such file"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "chip.yaml"
    path.write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(SpecError, match="UTF-8"):
        read_yaml(path)


def test_merging_lays_keys_over_keys_and_keeps_both_places(tmp_path):
    base = read_yaml(write(tmp_path, "a: {x: 1, y: 2}\nb: [1]\n", "base.yaml"))
    over = read_yaml(write(tmp_path, "\na: {y: 3}\nb: [2, 3]\n", "over.yaml"))
    merged = merge(base, over)
    assert merged.data == {"a": {"x": 1, "y": 3}, "b": [2, 3]}
    assert merged.place("a.x").path.name == "base.yaml"
    assert merged.place("a.y") == Place(tmp_path / "over.yaml", 2)


def test_merging_leaves_the_base_as_it_was():
    base = Document({"a": {"x": 1}})
    merge(base, Document({"a": {"x": 2}}))
    assert base.data == {"a": {"x": 1}}


def test_a_mapping_that_replaces_a_scalar_forgets_the_old_places(tmp_path):
    base = read_yaml(write(tmp_path, "a: {x: 1}\n", "base.yaml"))
    merged = merge(base, read_yaml(write(tmp_path, "a: 5\n", "over.yaml")))
    assert merged.data == {"a": 5}
    assert merged.place("a.x").path.name == "over.yaml"
