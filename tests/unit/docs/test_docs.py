"""The documents say what the tool does: their commands and Python blocks run, their links lead somewhere, the examples work.

In a fenced block, `title="x"` writes the block to file x before what follows; a ```text block titled "output" is what the
Python block before it prints. Each page runs in an empty folder. Lines that end with `# not run in tests` need pip or a network.
"""

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import onnx
import pytest
from ruamel.yaml import YAML

import cosim
from cosim.cli import main
from cosim.validation.page import offline_results, render
from hw_models import registry as device_registry

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NOT_RUN = "# not run in tests"
JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}
SLOW_WITHOUT_JIT = {"train_here_run_there"}  # exact products of arrays in each batch of training
ON_ARRAYS = {"README.md", "docs/trust.md", "docs/howto/accuracy.md", "docs/howto/compress.md", "docs/models/accuracy.md"}
FENCE = re.compile(r'^\s*```(\w*)(?: +title="([^"]+)")?\s*$')

# What a reader has and the test has to give: README runs the reader's own network.
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_squeezenet.onnx"
GIVEN = {"README.md": {"my_network.onnx": LIGHT}}


def page_id(path):
    return str(path.relative_to(ROOT))


@dataclass
class Block:
    """One fenced block: its language, title, text and the line of its fence."""

    language: str
    title: str
    text: str
    line: int


def blocks_of(path):
    """Fenced blocks of a page, in order."""
    blocks, fence, lines = [], None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        opening = FENCE.match(line)
        if fence is None and opening:
            fence, lines = (opening[1], opening[2] or "", number), []
        elif fence is not None and line.strip() == "```":
            blocks.append(Block(fence[0], fence[1], "\n".join(lines) + "\n", fence[2]))
            fence = None
        elif fence is not None:
            lines.append(line)
    assert fence is None, f"{path}: a block is not closed"
    return blocks


def prose_of(path):
    """The page without its fenced blocks."""
    return re.sub(r"^\s*```.*?^\s*```\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clean(monkeypatch):
    """Undo what pages and examples register or import."""
    tables = (
        device_registry._DEVICES,
        import_module("cosim.scheduling.base")._POLICIES,
        import_module("workloads.registry")._REGISTRY,
    )
    device_registry.device_kinds(), import_module("cosim.scheduling.base").policy_classes(), cosim.list_networks()
    before, modules = [dict(table) for table in tables], set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for name in set(sys.modules) - modules:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(Path.cwd()):
            del sys.modules[name]


@pytest.fixture
def folder(clean, monkeypatch, tmp_path):
    """An empty folder to work in; the fixture before it cleans up while this is still the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run_line(line, monkeypatch):
    """Run `cosim ...` or `python FILE ...`, optionally `> FILE`; returns the exit code, what was printed, and what was complained."""
    words = shlex.split(line, comments=True)
    target = words.pop() if len(words) > 2 and words[-2] == ">" else None
    words = words[:-1] if target else words
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if words[0] == "cosim":
                monkeypatch.setattr(sys, "argv", words)
                main()
            else:
                monkeypatch.setattr(sys, "argv", words[1:])
                runpy.run_path(words[1], run_name="__main__")
        except SystemExit as done:
            code = done.code or 0
    if target:
        Path(target).write_text(out.getvalue(), encoding="utf-8")
    return code, out.getvalue(), err.getvalue()


def commands_of(block):
    """Lines of a shell block that are run here."""
    lines = [line.strip() for line in block.text.splitlines()]
    return [line for line in lines if line.startswith(("cosim ", "python ")) and not line.endswith(NOT_RUN)]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_command_and_python_block_of_a_page_runs(path, folder, monkeypatch):
    if JIT_OFF and page_id(path) in ON_ARRAYS:
        pytest.skip("whole networks on arrays take minutes without the compiler")
    for name, source in GIVEN.get(page_id(path), {}).items():
        shutil.copy(source, folder / name)
    names, printed = {"__name__": "page"}, ""
    for block in blocks_of(path):
        where = f"{page_id(path)}:{block.line}"
        if block.language == "text" and block.title == "output":
            assert printed == block.text, f"{where}: the block before prints\n{printed}"
        elif block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "bash":
            for line in commands_of(block):
                code, out, err = run_line(line, monkeypatch)
                assert code == 0, f"{where}: {line}\n{out}{err}"
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block.text, where, "exec"), names)
            printed = out.getvalue()


def test_only_what_needs_pip_or_a_network_is_not_run():
    marked = [line for path in PAGES for block in blocks_of(path) for line in block.text.splitlines() if NOT_RUN in line]
    assert all(re.search(r"\b(pip|mkdocs|git)\b", line) for line in marked), marked


@pytest.mark.parametrize("path", EXAMPLES, ids=page_id)
def test_an_example_runs_is_short_and_writes_to_out_only(path, folder, monkeypatch):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    if JIT_OFF and path.stem in SLOW_WITHOUT_JIT:
        pytest.skip("minutes without the compiler")
    code, out, err = run_line(f"python {shlex.quote(str(path))}", monkeypatch)
    assert code == 0, err
    assert out.strip(), "an example shows something"
    assert [entry.name for entry in folder.iterdir()] in ([], ["out"])


def test_the_examples_are_there():
    assert {path.stem for path in EXAMPLES} >= {"first_run", "compare_chips", "own_chip_variant", "sweep_sram", "train_here_run_there"}


# --- links and names --------------------------------------------------------------------------------------------


def anchors_of(path):
    """Anchors of the headings, as GitHub and Python-Markdown both make them of plain text."""
    found = []
    for line in prose_of(path).splitlines():
        heading = re.match(r"^#+ +(.*?)\s*$", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            found.append(re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()))
    return found


def links_of(path):
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose_of(path))


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_and_anchors_resolve(path):
    for link in links_of(path):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{page_id(path)}: {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{page_id(path)}: {link}: no such heading"


@pytest.mark.parametrize("path", DOCS, ids=page_id)
def test_pages_of_the_site_link_within_the_site_and_have_unique_headings(path):
    for link in links_of(path):
        if not re.match(r"[a-z]+:|#", link):
            assert (path.parent / link.partition("#")[0]).resolve().is_relative_to(ROOT / "docs"), f"{page_id(path)}: {link}"
    anchors = anchors_of(path)
    assert len(anchors) == len(set(anchors))


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_that_a_page_names_exist(path):
    named = re.findall(r"`(?:pytest )?((?:cosim|hw_models|workloads|reports|tests|docs|examples)/[\w./-]+)`", prose_of(path))
    for name in named:
        assert (ROOT / name).exists(), f"{page_id(path)}: {name}"


def test_every_page_is_in_the_menu_and_every_entry_is_a_page():
    settings = YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def leaves(node):
        if isinstance(node, str):
            return [node]
        return [leaf for part in (node.values() if isinstance(node, dict) else node) for leaf in leaves(part)]

    assert sorted(leaves(settings["nav"])) == [str(path.relative_to(ROOT / "docs")) for path in DOCS]


# --- contracts --------------------------------------------------------------------------------------------------

MODEL_HEADINGS = ("What it computes", "Equations", "Symbols", "Sources", "Valid range", "What is not modeled", "Measured error")


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "models").glob("[!i]*.md")), ids=page_id)
def test_a_model_page_says_what_a_reader_has_to_know(path):
    headings = re.findall(r"^## (.*)$", prose_of(path), flags=re.MULTILINE)
    assert [name for name in MODEL_HEADINGS if name not in headings] == []


@pytest.mark.parametrize("path", DOCS, ids=page_id)
def test_equations_fit_the_column_of_the_site(path):
    wide = [line for block in blocks_of(path) if block.language == "text" for line in block.text.splitlines() if len(line) > 82]
    assert wide == []


def test_the_validation_page_is_what_the_code_gives_now():
    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert page == render(offline_results()), "docs/validation.md is stale; its first paragraph says how to make it again"


def test_the_unit_table_is_what_its_block_prints():
    page = ROOT / "docs" / "reference" / "units.md"
    block = next(block for block in blocks_of(page) if block.language == "python")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(block.text, str(page), "exec"), {})
    assert out.getvalue() in page.read_text(encoding="utf-8"), f"the table has to read\n{out.getvalue()}"


def keys_in_table(heading):
    """First column of the table under a heading of the command page, whose cells name JSON keys."""
    text = prose_of(ROOT / "docs" / "cli.md")
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


JSON_TABLES = {
    "Keys of a run": ("cosim run lenet5 --chip edge_npu_soc --json", None),
    "Keys of a placement": ("cosim place lenet5 --chip edge_npu_soc --json", None),
    "Keys of a load": ("cosim load lenet5@2000 --chip edge_npu_soc --policy heft --inferences 50 --json", None),
    "Keys of a comparison": ("cosim compare lenet5 --chips edge_npu_soc,edge_cim_soc --json", None),
    "Keys of a sweep": ("cosim sweep one_chip --limit 1 --workers 1 --json", None),
    "Keys of a search": ("cosim optimise one_chip --budget 2 --sampler random --json", None),
    "Keys of a study": ("cosim study show one_chip --dry-run --json", None),
    "Keys of a validation": ("cosim validate workloads --json", None),
    "Provenance": ("cosim run lenet5 --chip edge_npu_soc --json", "provenance"),
    "Keys of a workload": ("cosim show lenet5 --json", None),
}


@pytest.mark.parametrize(("heading", "command", "key"), [(h, c, k) for h, (c, k) in JSON_TABLES.items()], ids=JSON_TABLES)
def test_the_command_page_lists_exactly_the_keys_of_the_json(folder, monkeypatch, heading, command, key):
    code, out, err = run_line(command, monkeypatch)
    assert code == 0, err
    data = json.loads(out)
    assert keys_in_table(heading) == set(data[key] if key else data)


def test_the_command_page_names_every_command_and_option():
    from cosim.cli import _COMMANDS, cli
    from cosim.cli.place import SUBCOMMANDS

    text = prose_of(ROOT / "docs" / "cli.md")
    for name in _COMMANDS:
        commands = [cli.get_command(None, name)]
        if name == "place":
            commands += [import_module(f"cosim.cli.{module}").command for module in SUBCOMMANDS.values()]
            assert all(f"## cosim {name} {word}\n" in text for word in SUBCOMMANDS)
        assert f"## cosim {name}\n" in text
        for option in (option for command in commands for option in command.params):
            for flag in option.opts:
                assert not flag.startswith("--") or flag in text, f"cosim {name}: {flag}"


@pytest.mark.parametrize(("claim", "end"), [("the digital chip wins", "low"), ("the in-memory chip wins", "high")])
def test_the_cases_that_the_readme_says_a_chip_wins_are_decided_so(folder, monkeypatch, claim, end):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in readme.splitlines() if claim in line]
    code, out, _ = run_line(f"{line.partition('#')[0].strip()} --json", monkeypatch)
    assert code == 0
    bound = json.loads(out)["ratio_intervals"]["energy_j"]["edge_cim_soc"][end]
    assert bound > 1 if end == "low" else bound < 1


def test_entry_point_groups_in_the_pages_are_those_of_the_code():
    sources = [path for package in ("cosim", "hw_models", "workloads") for path in (ROOT / package).rglob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in sources)
    groups = {group for path in PAGES for group in re.findall(r"\bcosim\.(?:devices|policies|workloads|chips)\b", path.read_text())}
    assert groups
    assert all(f'"{group}"' in source for group in groups)
