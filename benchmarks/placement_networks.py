"""Make the table of real networks on the chips of the catalog, and its page: hours of CPU time; can be stopped and started again.

Run: python benchmarks/placement_networks.py [--search-s 10] [--file cosim/validation/data/placement_table.csv] [NETWORK ...]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cosim.validation.placement import TABLE, holds_of, metrics_of
from cosim.validation.placement_page import page
from cosim.validation.placement_runs import all_pairs, measure_all
from cosim.validation.placement_table import write_rows

PAGE = Path(__file__).parents[1] / "docs" / "placement_table.md"


def main() -> None:
    """Measure all pairs, or those of the networks that are named, and write table and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search-s", type=float, default=10.0, help="CPU seconds of the long search on each pair (default: 10)")
    parser.add_argument("--file", type=Path, default=TABLE, help="the table; what is in it already is not measured again")
    parser.add_argument("networks", nargs="*", help="names (default: all)")
    given = parser.parse_args()
    rows = measure_all(all_pairs(given.networks or None), given.search_s, given.file)
    if not given.networks:
        write_rows(given.file, rows)  # without pairs that are no more
    if given.file == TABLE:
        PAGE.write_text(page(), encoding="utf-8")
    metrics = metrics_of(rows)
    for name, value in {**metrics, **holds_of(metrics)}.items():
        sys.stdout.write(f"{name:<60} {value:.4f}\n" if isinstance(value, float) else f"{name:<60} {value}\n")


if __name__ == "__main__":
    main()
