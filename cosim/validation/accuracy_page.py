"""The page `docs/accuracy_table.md`: trained networks against the tables of another project, from the table that ships."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cosim.validation.accuracy_cases import DATA
from cosim.validation.accuracy_score import FLOORS, MIN_WITHIN, Group, metrics_of, read_groups

TABLE = DATA / "accuracy_table.csv"

_HEAD = """\
# Accuracy of trained networks

What cosim trains against what another program trained: five tables of small networks with noisy and low-bit weights, on pairs of PCM-like
cells and through bit-serial converters (`cosim/validation/data/training/`, with a README that defines each recipe and reading). The same
data, networks and recipes are trained here from other random numbers, and read the same way.

```text
cosim validate accuracy --jobs 2
```

runs all of it; `--nets mlp --seeds 0,1` takes seconds ([command line](cli.md#cosim-validate)). This page and its table are made by
`python benchmarks/accuracy_table.py --jobs 2`; a test compares the page with the table
`cosim/validation/data/training/accuracy_table.csv`.

- A **group** is all numbers that differ in their seed only. It reproduces when |difference of means| is at most
  max(2 sqrt(s² + s_table²), floor), s the standard deviation over seeds of each side (n - 1 in the denominator), with a floor of
  {floors} points. The last column but one of each table is that tolerance.
- The spread over seeds is wide where few bits or much noise bring a network near its limits. So a stricter count is beside it: groups
  within max(2 standard errors of the difference of means, floor).
- Recipes are those of the README. It leaves open, and here is assumed: 20 float and 3 rounding epochs and all learning rates of the
  converters' networks (2e-3, 1e-3, 1e-3), no clip where weights are rounded, no clip in the controls of uncertainty_anchor.csv. These
  rates came nearest to adc_sweep.csv of six settings that were tried, so its rows check converters less strictly than the others check
  cells, and one that is outside may be so for its recipe.
- Rows of `aihwkit's own` recipe were trained by that tool on its own tile; here by stochastic gradient descent with its rate, momentum,
  noise and clip.
- Calibration errors (`ece`) are in points, hundred times the table's.
"""


def render(groups: Sequence[Group]) -> str:
    """Return the page for the groups of a table."""
    floors = ", ".join(f"{floor:g} ({net})" for net, floor in FLOORS.items())
    files = dict.fromkeys(group.file for group in groups)
    return "\n".join([_HEAD.format(floors=floors), _summary(groups), _outside(groups), *(_file(groups, file) for file in files)])


def page(table: Path = TABLE) -> str:
    """Return the page for a table on disk; raises WorkloadError when it cannot be read."""
    return render(read_groups(table))


def _summary(groups: Sequence[Group]) -> str:
    metrics = metrics_of(groups)
    lines = [_counts(f"`{file}.csv`", counts) for file, counts in metrics["per_file"].items()]
    columns = ("table", "groups", "within", "fraction", "beyond twice", "within standard error")
    target = f"\nTarget: at least {100 * MIN_WITHIN:.0f} % within, none beyond twice the tolerance.\n"
    return "## Summary\n\n" + _table(columns, [*lines, _counts("all", metrics)]) + target


def _counts(name: str, counts: dict[str, float]) -> tuple[str, ...]:
    whole = (f"{counts['n']}", f"{counts['n_within']}", f"{100 * counts['fraction_within']:.1f} %")
    return (name, *whole, f"{counts['n_beyond_twice']}", f"{counts['n_within_standard_error']}")


_COLUMNS = ("net", "recipe", "read", "table", "found", "difference", "tolerance", "")


def _outside(groups: Sequence[Group]) -> str:
    lines = [_line(group) for group in groups if not group.is_within]
    return "## Outside their tolerance\n\n" + (_table(_COLUMNS, lines) if lines else "None.\n")


def _file(groups: Sequence[Group], file: str) -> str:
    head = f"## {file}\n\nPercent, mean ± standard deviation over seeds (number of seeds).\n\n"
    return head + _table(_COLUMNS, [_line(group) for group in groups if group.file == file])


def _line(group: Group) -> tuple[str, ...]:
    expected = f"{group.mean_table:.2f} ± {group.std_table:.2f} ({group.n_table})"
    found = f"{group.mean:.2f} ± {group.std:.2f} ({group.n})"
    verdict = "" if group.is_within else "**beyond twice**" if group.is_beyond_twice else "**outside**"
    return group.net, group.recipe, group.reading, expected, found, f"{group.difference:+.2f}", f"{group.tolerance:.2f}", verdict


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("| " + " | ".join(line) + " |\n" for line in (columns, ["---"] * len(columns), *rows))
