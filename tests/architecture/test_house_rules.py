"""The rules of the house that no linter knows."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cosim", "hw_models", "workloads", "reports")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_one_subject_and_a_function_fits_a_screen(path):
    assert len(path.read_text().splitlines()) <= 500
    long = [f"{node.name}: {node.end_lineno - node.lineno + 1}" for node in functions(path) if node.end_lineno - node.lineno + 1 > 60]
    assert not long


def test_functions_are_short_in_the_median():
    lengths = sorted(node.end_lineno - node.lineno + 1 for path in SOURCES for node in functions(path))
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[int(0.95 * len(lengths))] <= 45


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_holds_no_assert_print_or_global_statement(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert | ast.Global)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print"


def test_tests_are_about_as_long_as_what_they_test():
    source = sum(len(path.read_text().splitlines()) for path in SOURCES)
    tests = sum(len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    assert tests >= 0.9 * source, f"{tests} test lines for {source} source lines"


def test_the_readme_gives_exactly_two_set_up_commands():
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert lines == [
        "python3 -m venv .venv && . .venv/bin/activate && pip install -e . && cosim demo",
        'python3 -m venv .venv && . .venv/bin/activate && pip install -e ".[test]" && pytest',
    ]


def test_import_contracts_ignore_nothing():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert len(settings["contracts"]) >= 8
    assert not any("ignore_imports" in contract for contract in settings["contracts"])


def test_every_module_says_what_it_is_about():
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text())), path
