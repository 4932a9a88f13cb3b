"""The fake study for tests of stores and engines; its folder is put where other processes find it too."""

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)

# With the compiler off, those that between them call every kernel; a search by a model would take minutes.
CALL_KERNELS = {
    f"test_{name}.py" for name in ("evaluate", "improvement", "kernels_ehvi", "networks", "point_kernels", "run_fields", "stacks")
}
CALL_KERNELS |= {"test_surrogate_gp.py", "test_variants.py", "test_keys_plans.py"}
if os.environ.get("NUMBA_DISABLE_JIT") == "1":
    collect_ignore = [path.name for path in Path(HERE).glob("test_*.py") if path.name not in CALL_KERNELS]


@pytest.fixture
def fake(monkeypatch):
    """The module `fake_study`, importable by name here and in processes that start."""
    monkeypatch.syspath_prepend(HERE)
    yield import_module("fake_study")
    sys.modules.pop("fake_study", None)
