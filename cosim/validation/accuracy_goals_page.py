"""The page `docs/accuracy_goals.md`: what shipped recipes reach beside their controls, from the numbers that ship."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosim.validation.accuracy_cases import DATA
from cosim.validation.accuracy_goals import GOALS

NUMBERS = DATA / "goals.json"

_HEAD = """\
# Accuracy goals

What the [recipes that ship](models/training.md) reach on test images, beside their controls: mean ± standard deviation over seeds. Recipes
were frozen on validation images; each network meets the test images once for each number. A control has the same epochs, schedule,
clipping, bits and distillation, and trains without the noise or the converters. Goals that are missed stay in the table.

```text
cosim validate accuracy --goals all
```

trains all of it, half an hour of CPU time and more; a name runs one goal. This page is made by `python benchmarks/accuracy_goals.py`, which
keeps what is done in `cosim/validation/data/training/goals.json`, so that it can be stopped and started again; a test compares the page
with that file.
"""


def render(numbers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page for the numbers of goals by name."""
    n_passed = sum(bool(one["passed"]) for one in numbers.values())
    rows = [
        ("goal", "value", "control", "target", "passed"),
        ("---",) * 5,
        *(_row(one, at_most=name in GOALS and GOALS[name].at_most) for name, one in numbers.items()),
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return f"{_HEAD}\n{n_passed} of {len(numbers)} goals are reached.\n\n" + "\n".join(lines) + "\n"


def page(numbers: Path = NUMBERS) -> str:
    """Return the page for numbers on disk."""
    return render(json.loads(numbers.read_text(encoding="utf-8")))


def _row(one: Mapping[str, Any], *, at_most: bool) -> tuple[str, ...]:
    digits = 3 if abs(one["target"]) < 0.1 and one["target"] else 2
    control = "" if one["control"] is None else f"{one['control']:.{digits}f}"
    value = f"{one['value']:.{digits}f} ± {one['std']:.{digits}f} ({one['n_seeds']})"
    return one["title"], value, control, f"{'<=' if at_most else '>='} {one['target']:g}", "yes" if one["passed"] else "**no**"
