"""The fake study for tests of stores and engines; its folder is put where other processes find it too."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture
def fake(monkeypatch):
    """The module `fake_study`, importable by name here and in processes that start."""
    monkeypatch.syspath_prepend(HERE)
    yield import_module("fake_study")
    sys.modules.pop("fake_study", None)
