"""Train all networks of the accuracy tables, and write the table of groups and its page: minutes; can be stopped and started again.

Run: python benchmarks/accuracy_table.py [--jobs 2] [--out accuracy_runs]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from cosim.validation.accuracy import validate_accuracy
from cosim.validation.accuracy_page import TABLE, page
from cosim.validation.accuracy_score import Group, write_groups

PAGE = Path(__file__).parents[1] / "docs" / "accuracy_table.md"


def main() -> None:
    """Run everything and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("accuracy_runs"), help="folder that keeps what is done (default: accuracy_runs)")
    given = parser.parse_args()
    result = validate_accuracy(jobs=given.jobs, folder=given.out)
    names = [field.name for field in fields(Group)]
    write_groups(TABLE, [Group(*(row[name] for name in names)) for row in result["rows"]])
    PAGE.write_text(page(), encoding="utf-8")
    for name, value in result["metrics"].items():
        sys.stdout.write(f"{name:<28} {value}\n")


if __name__ == "__main__":
    main()
