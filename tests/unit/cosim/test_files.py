from __future__ import annotations

from pathlib import Path

import pytest

from cosim.files import write_file
from workloads.errors import StoreError


def test_a_file_is_written_with_its_folder_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "a.bin"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["a.bin"]


def test_a_folder_in_the_way_is_named_and_kept(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError, match=r"a: cannot be written: "):
        write_file(tmp_path / "a", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"b: cannot be written: "):
        write_file(tmp_path / "file" / "b", b"x")


def test_what_cannot_be_moved_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_file(path, b"old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StoreError, match="a: cannot be written: No space left on device"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
