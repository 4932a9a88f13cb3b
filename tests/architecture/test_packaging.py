"""What is imported when, what the wheel holds, and what the public names are."""

import subprocess
import sys
import tomllib
from pathlib import Path

import cosim

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "pandas", "numba", "matplotlib", "onnx", "pydantic", "rich", "ruamel")


def run(code, cwd=None, flags=("-P",)):
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from cosim.cli import cli
try:
    cli(["--help"])
except SystemExit:
    pass
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(str(loaded) if loaded else 0)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "Commands" in done.stdout


def test_public_names_are_sorted_and_resolve():
    assert cosim.__all__ == sorted(cosim.__all__)
    for name in cosim.__all__:
        assert getattr(cosim, name) is not None
    assert set(cosim.__all__) <= set(dir(cosim))


def test_an_unknown_public_name_is_an_attribute_error():
    done = run("import cosim; cosim.nothing_of_this_name")
    assert done.returncode == 1
    assert "no attribute 'nothing_of_this_name'" in done.stderr


def test_a_folder_that_shadows_a_package_is_named(tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("")
    done = run("import cosim", cwd=tmp_path, flags=())
    assert done.returncode == 1
    assert str(tmp_path / "reports") in done.stderr
    assert "rename that folder" in done.stderr


def test_a_module_of_that_name_that_was_imported_before_is_named(tmp_path):
    (tmp_path / "reports.py").write_text("")
    done = run("import reports, sys; sys.path.pop(0); import cosim", cwd=tmp_path, flags=())
    assert done.returncode == 1
    assert str(tmp_path / "reports.py") in done.stderr


def test_the_model_version_does_not_depend_on_the_folder_of_the_installation(tmp_path, monkeypatch):
    from cosim import provenance

    versions = []
    for folder in ("site", "validation"):  # a folder of our own of that name is left out of the hash
        source = tmp_path / folder / "cosim" / "provenance.py"
        source.parent.mkdir(parents=True)
        source.write_text("x = 1\n")
        monkeypatch.setattr(provenance, "__file__", str(source))
        versions.append(provenance.model_version.__wrapped__())
    assert versions[0] == versions[1]
    source.write_text("x = 2\n")
    assert provenance.model_version.__wrapped__() != versions[0]


def test_the_wheel_holds_four_packages_with_their_data(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from zipfile import ZipFile

    names = ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"cosim", "hw_models", "workloads", "reports"}
    for needed in (
        "hw_models/chips/edge_cim_soc.yaml",
        "cosim/validation/data/networks.csv",
        "reports/templates/base.html.j2",
        "reports/style.mplstyle",
        "cosim/py.typed",
    ):
        assert needed in names


def test_the_version_is_written_once():
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    assert (ROOT / "CITATION.cff").read_text().count(cosim.__version__) == 1
