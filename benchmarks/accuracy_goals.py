"""Train what the goals of accuracy ask for, and write their numbers and page: an hour and more; can be stopped and started again.

Run: python benchmarks/accuracy_goals.py [--again NAME ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cosim.validation.accuracy_goals import GOALS, check_goals
from cosim.validation.accuracy_goals_page import NUMBERS, page

PAGE = Path(__file__).parents[1] / "docs" / "accuracy_goals.md"


def main() -> None:
    """Run every goal that has no number yet, and those that are asked for again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", nargs="*", default=[], metavar="NAME", help="goals to run whether they have a number or not")
    again = parser.parse_args().again
    check_goals(again)
    done = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for name, goal in GOALS.items():
        if name not in done or name in again or "all" in again:
            done[name] = goal.reach()
            sys.stdout.write(f"{name:<28} {done[name]['value']:.3f}  target {done[name]['target']:g}  {done[name]['passed']}\n")
        ordered = {key: done[key] for key in GOALS if key in done}
        NUMBERS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
