"""The page `docs/placement_table.md`: real networks on the chips of the catalog, from the table that ships."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cosim.validation.placement import MAX_GEOMEAN, MAX_RATIO, MIN_CLOSED, TABLE, geomean, holds_of, metrics_of
from cosim.validation.placement_table import HEADROOM, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from cosim.validation.placement_table import Row

# CPU seconds that a lower bound takes, about.
BOUND_S = 0.4

_HEAD = """\
# Placement of real networks

How good the [learned policy](models/scheduling.md) with 20 ms of search is on real networks: every network of the zoo (under its first
name) and every `light_*` model of the onnx package, at batch 1 and 8 bits, on every chip of the catalog with two or more compute devices
that it fits on. Makespans are those that the [event engine](models/engine.md) plays, with memories and links shared.

- HEFT plans without contention. The portfolio plays the plans of all classic policies and takes the best.
- Learned + 20 ms: `--policy learned_search` with 20 ms of CPU time for everything, roll-outs and classic policies included; mean over
  seeds 0 to 2.
- Best: the shortest schedule that was found, by `--policy search` with {search_s:g} s of CPU time or by any of the others. The search had
  less ({short_s:g} s or more) where HEFT is less than 10 % above the lower bound, or less than 5 % above what a short search found.
- Bound: what [no placement beats](howto/place.md#how-good-it-can-get), with memories shared.

`cosim validate placement` measures a dozen of these networks in about a minute; `--data FILE` other pairs. The whole table is made by

```text
python benchmarks/placement_networks.py --search-s 10
```

which takes about {time} of CPU time for {n} pairs, most of it for searches and lower bounds, and can be stopped and started again.
HEFT, the portfolio and the bounds depend on the models and on nothing else; what a search finds in a given CPU time depends on the
machine too. The table is `cosim/validation/data/placement_table.csv`, with a file beside it that says how it was made; a test compares
this page with it.

Arrays hold the copies of weights that they have [before anything is placed](models/residency.md): that is what policies see. `cosim run`
gives arrays that a placement leaves empty to more copies, so that its latency may be shorter, for all policies alike.
"""


def render(rows: Sequence[Row]) -> str:
    """Return the page for the rows of a table."""
    long_s = max(row.search_s for row in rows)
    cpu_s = sum(row.search_s + 3 * row.cpu_s + BOUND_S for row in rows)
    head = _HEAD.format(search_s=long_s, short_s=min(row.search_s for row in rows), time=_duration(cpu_s), n=len(rows))
    return "\n".join([head, _targets(rows), _chips(rows), _headroom(rows), _all(rows)])


def page(table: Path = TABLE) -> str:
    """Return the page for a table on disk; raises WorkloadError when it cannot be read."""
    return render(read_rows(table))


def _targets(rows: Sequence[Row]) -> str:
    found = metrics_of(rows)
    holds = list(holds_of(found).values())
    closed = found["min_gap_closed"]
    lines = [
        ("learned + 20 ms / portfolio, geometric mean", f"{found['geomean_vs_portfolio']:.4f}", f"<= {MAX_GEOMEAN:g}"),
        ("learned + 20 ms / portfolio, worst", f"{found['worst_vs_portfolio']:.4f}", f"<= {MAX_RATIO:g}"),
        ("schedules below their lower bound", f"{found['below_bound']}", "0"),
    ]
    if closed is not None:
        lines.append((f"gap closed, least of {found['n_headroom']} pairs with headroom", f"{closed:.2f}", f">= {MIN_CLOSED:g}"))
    shown = [(*line, "yes" if ok else "**no**") for line, ok in zip(lines, holds, strict=True)]
    more = (
        f"\nGeometric means of learned + 20 ms: {found['geomean_vs_heft']:.4f} of HEFT, {found['geomean_vs_best']:.4f} of the best,"
        f" {found['geomean_vs_bound']:.3f} of the bound. CPU time: {1e3 * found['mean_cpu_s']:.1f} ms on average,"
        f" {1e3 * found['max_cpu_s']:.0f} ms at most: seeds are made whatever they take, and a search looks at its clock now and then.\n"
    )
    return f"## Targets\n\n{len(rows)} pairs.\n\n" + _table(("", "found", "target", "holds"), shown) + more


def _chips(rows: Sequence[Row]) -> str:
    lines = []
    for chip in sorted({row.chip for row in rows}):
        own = [row for row in rows if row.chip == chip]
        best = [row.best_s for row in own]
        ratios = [
            geomean([value / one for value, one in zip(values, best, strict=True)])
            for values in ([r.heft_s for r in own], [r.portfolio_s for r in own], [r.learned_search_s for r in own])
        ]
        bound = geomean([row.best_s / row.lower_bound_s for row in own])
        lines.append((chip, str(len(own)), *(f"{ratio:.4f}" for ratio in ratios), f"{bound:.3f}"))
    columns = ("chip", "networks", "HEFT / best", "portfolio / best", "learned + 20 ms / best", "best / bound")
    return (
        "## By chip\n\nGeometric means. Networks that do not fit on a chip, or have ops that none of its devices runs, are left out.\n\n"
        + (_table(columns, lines))
    )


def _headroom(rows: Sequence[Row]) -> str:
    found = [row for row in rows if row.has_headroom]
    lines = [
        (
            row.network,
            row.chip,
            f"{row.heft_s / row.best_s:.3f}",
            f"{row.portfolio_s / row.best_s:.3f}",
            f"{row.learned_search_s / row.best_s:.3f}",
            f"{row.gap_closed:.2f}",
        )
        for row in found
    ]
    text = (
        f"## Where HEFT loses\n\nPairs where HEFT is {100 * (HEADROOM - 1):.0f} % or more above the best schedule known."
        " Gap closed: (HEFT - learned) / (HEFT - best).\n"
    )
    columns = ("network", "chip", "HEFT / best", "portfolio / best", "learned + 20 ms / best", "gap closed")
    return text + ("\n" + _table(columns, lines) if lines else "\nNone.\n")


def _all(rows: Sequence[Row]) -> str:
    columns = (
        "network",
        "chip",
        "ops",
        "best, ms",
        "best / bound",
        "HEFT / best",
        "portfolio / best",
        "learned + 20 ms / best",
        "/ portfolio",
    )
    lines = [
        (
            row.network,
            row.chip,
            str(row.n_ops),
            f"{1e3 * row.best_s:.4g}",
            f"{row.best_s / row.lower_bound_s:.3f}",
            f"{row.heft_s / row.best_s:.4f}",
            f"{row.portfolio_s / row.best_s:.4f}",
            f"{row.learned_search_s / row.best_s:.4f}",
            f"{row.vs_portfolio:.4f}",
        )
        for row in rows
    ]
    return "## All pairs\n\n" + _table(columns, lines)


def _duration(seconds: float) -> str:
    """Round a time to what a reader plans with."""
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join("| " + " | ".join(line) + " |\n" for line in (columns, ["---"] * len(columns), *rows))
