"""How soon a search finds the best of a study that was swept whole, beside random search.

A search may take 2 % of the sweep's evaluations; it has succeeded when its best is within 1 % of the sweep's.

Run: python benchmarks/study_search.py [STUDY] [--objective edp] [--seeds 20]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosim.study.evaluate import Evaluator
from cosim.study.feasible import feasible_space
from cosim.study.judge import ALL_COLUMNS, StudyJudge, padded
from cosim.study.objectives import read_objective
from cosim.study.optimise import Search, Stop, scores_of
from cosim.study.scores import Wanted, wanted_of
from cosim.study.space import Space
from cosim.study.spec import Study
from cosim.study.study_file import load_study

SHARE, WITHIN = 0.02, 0.01
SAMPLERS = ("gp", "random")


def main() -> None:
    """Sweep once, then search with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", default="edge_soc_area")
    parser.add_argument("--objective", default=None)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    study = replace(load_study(given.study), replicates=1)
    wanted = wanted_of(study, [read_objective(given.objective)] if given.objective else None)
    space = feasible_space(study)
    y = _swept(study, space, wanted)
    budget = int(SHARE * y.size)
    sys.stdout.write(
        f"{study.name}, {wanted.objectives[0].name}: {y.size:,} feasible points, {np.mean(y <= _limit(y.min())):.3%} of them within "
        f"{WITHIN:.0%} of the best, {wanted.objectives[0].metric.show(y.min())}; {budget} evaluations a search\n"
    )
    with StudyJudge(study, wanted) as judge:
        for sampler in SAMPLERS:
            needed = []
            for seed in range(given.seeds):
                search = Search(space, wanted, {study.fidelity: 1.0}, sampler, seed, study.batch)
                best = _best_so_far(search, judge, budget)
                hits = np.flatnonzero(best <= _limit(y.min()))
                needed.append(int(hits[0]) + 1 if len(hits) else None)
                sys.stdout.write(f"  {sampler:<8} seed {seed:>2}: {best[-1] / y.min() - 1:9.3%} above the best; {_reached(needed[-1])}\n")
                sys.stdout.flush()
            sys.stdout.write(_summary(sampler, needed))


def _swept(study: Study, space: Space, wanted: Wanted) -> NDArray[np.float64]:
    """Values of all feasible points, to be minimized."""
    codes = space.listed
    values = padded(Evaluator(study).evaluate(codes)).values.reshape(len(codes), len(study.workloads), -1)
    scores = wanted.score({name: values[:, :, i] for i, name in enumerate(ALL_COLUMNS)})
    return np.asarray(scores.minimized[scores.feasible, 0])


def _limit(best: float) -> float:
    """Largest value within 1 % of the best."""
    return best + WITHIN * abs(best)


def _best_so_far(search: Search, judge: StudyJudge, budget: int) -> NDArray[np.float64]:
    """Least value of feasible points after each evaluation."""
    scores = scores_of(search.wanted, [trial.outcome for trial in search.trials(judge, Stop(budget))])
    return np.minimum.accumulate(np.where(scores.feasible, scores.minimized[:, 0], np.inf))


def _reached(n: int | None) -> str:
    return f"within {WITHIN:.0%} after {n}" if n is not None else f"never within {WITHIN:.0%}"


def _summary(sampler: str, needed: Sequence[int | None]) -> str:
    good = [n for n in needed if n is not None]
    median = f"; median of theirs {np.median(good):g} evaluations" if good else ""
    return f"{sampler}: {len(good)} of {len(needed)} seeds within {WITHIN:.0%}{median}\n"


if __name__ == "__main__":
    main()
