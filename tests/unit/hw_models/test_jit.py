"""The kernel cache: named by the sources, so an edited helper can never be answered from an old build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw_models.kernels import _jit

HELPER = """
from hw_models.kernels._jit import kernel


@kernel
def rate(x: float) -> float:
    return {factor} * x
"""
CALLER = """
from hw_models.kernels._jit import kernel
from twofold import rate


@kernel
def price(x: float) -> float:
    return rate(x) + 1.0
"""
RUN = """
import sys
from pathlib import Path
from hw_models.kernels import _jit
folder, *others = map(Path, sys.argv[1:])
_jit.register_sources(folder, *others)
sys.path.insert(0, sys.argv[1])
from priced import price
value = price(3.0)
hits = sum(price.stats.cache_hits.values()) if hasattr(price, "stats") else -1
print(_jit.cache_dir(folder).name, value, hits, _jit.is_compiled(folder))
"""


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "twofold.py").write_text(HELPER.format(factor="2.0"))
    (folder / "priced.py").write_text(CALLER)
    return folder


def run(folder: Path, cache: Path, *others: Path, **environment: str) -> list[str]:
    """Import the kernels of a folder in a fresh interpreter; return cache folder, value, cache hits, compiled."""
    env = {key: value for key, value in os.environ.items() if key != "NUMBA_DISABLE_JIT"}
    env |= {"COSIM_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"} | environment
    done = subprocess.run([sys.executable, "-c", RUN, str(folder), *map(str, others)], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_an_edited_helper_changes_the_cache_folder_and_the_result(sources, tmp_path):
    first = run(sources, tmp_path / "cache")
    (sources / "twofold.py").write_text(HELPER.format(factor="5.0"))
    second = run(sources, tmp_path / "cache")
    assert first[0] != second[0]
    assert (float(first[1]), float(second[1])) == (7.0, 16.0)


def test_a_second_process_loads_what_the_first_compiled(sources, tmp_path):
    first, second = run(sources, tmp_path / "cache"), run(sources, tmp_path / "cache")
    assert first[0] == second[0]
    assert first[1:3] == ["7.0", "0"]
    assert second[1:] == ["7.0", "1", "True"]


def test_without_jit_a_kernel_is_plain_python_and_gives_the_same(sources, tmp_path):
    plain = run(sources, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    assert plain[1:3] == ["7.0", "-1"]


def test_the_cache_goes_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path / "here"))
    assert _jit.cache_root() == tmp_path / "here"
    assert _jit.cache_dir().parent == tmp_path / "here" / "kernels"
    assert not _jit.is_compiled()


def test_a_folder_that_cannot_be_made_falls_back_to_a_temporary_one(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert _jit.cache_root().is_dir()


def test_kernels_leave_the_cache_folder_of_other_packages_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("COSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_jit.config, "CACHE_DIR", "theirs")
    _jit.kernel(lambda x: x)
    assert _jit.config.CACHE_DIR == "theirs"


def test_a_folder_that_another_uses_is_part_of_its_key_and_unrelated_ones_are_not(sources, tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "tie.py").write_text("first = min\n")
    alone = run(sources, tmp_path / "cache")
    using = run(sources, tmp_path / "cache", rules)
    (rules / "tie.py").write_text("first = max\n")
    assert len({alone[0], using[0], run(sources, tmp_path / "cache", rules)[0]}) == 3
    assert run(sources, tmp_path / "cache")[0] == alone[0]


def test_every_folder_of_kernels_has_a_key_of_its_own(tmp_path):
    assert len(_jit.source_hash()) == len(_jit.source_hash(tmp_path)) == 16


def test_a_part_writes_into_the_arrays_it_is_handed_and_leaves_them_alive():
    @_jit.part
    def add(values, place: int, x: float) -> float:
        values[place] += x
        return values[place]

    @_jit.kernel
    def sums(n: int):
        made = np.zeros(n)
        for place in range(n):
            add(made[place:], 0, float(place))
        return made

    for _ in range(100):  # a count of references that is off by one frees what is still read
        assert sums(50).tolist() == [float(place) for place in range(50)]


def test_a_part_that_is_inlined_computes_what_it_would_alone():
    @_jit.inlined
    def square(x: float) -> float:
        return x * x

    @_jit.kernel
    def norm(x: float, y: float) -> float:
        return square(x) + square(y)

    assert norm(3.0, 4.0) == square(3.0) + square(4.0) == 25.0
