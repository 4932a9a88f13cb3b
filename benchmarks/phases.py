"""Phases of the kernel of design points, each repeated on the same points in compiled loops."""

from __future__ import annotations

import time
from typing import Any

import numba
import numpy as np
from timing import median_s

from cosim.engine.kernels.simulate import simulate, unpack
from cosim.study.chip_points import ChipPoints
from cosim.study.evaluate import Evaluator
from cosim.study.kernels.point_data import N_RESULTS
from cosim.study.kernels.point_energy import account
from cosim.study.kernels.point_path import expose_latency
from cosim.study.kernels.point_tables import fill_chip, gather, second_look, see, settle
from cosim.study.kernels.points import finish_point, plan_by_heft
from cosim.study.spec import Study

PHASES = (
    "nothing", "cost rows", "chip", "residency and traffic", "what HEFT sees", "HEFT", "second residency", "event engine",
    "critical path and its spreads", "joules and intervals", "whole row",
)  # fmt: skip
N_POINTS, N_REPEATS = 400, 20


@numba.njit
def repeated(which, network, chips, points, s, a, detail, out, n):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Play each point once, then one phase of it `n` times."""
    tables = unpack(s.ints, s.floats)
    for point in points:
        gather(network, chips, point, s)
        fill_chip(network, chips, point, s, tables)
        s.pinned[:] = False
        settle(network, chips, point, s, tables, s.free, which < 0, detail)
        see(network, tables, a)
        plan_by_heft(network, s, a)
        for _ in range(n):
            if which == 1:
                gather(network, chips, point, s)
            elif which == 2:
                fill_chip(network, chips, point, s, tables)
            elif which == 3:
                settle(network, chips, point, s, tables, s.free, which < 0, detail)
            elif which == 4:
                see(network, tables, a)
            elif which == 5:
                plan_by_heft(network, s, a)
            elif which == 6:
                second_look(network, chips, point, s, tables, which < 0, detail)
            elif which == 7:
                simulate(s.ints, s.floats, s.assignment, s.priority, s.out)
            elif which == 8:
                expose_latency(network, chips, point, s, tables, a)
            elif which == 9:
                account(network, chips, point, s, tables, s.assignment, 1e-3, which < 0, out)
            elif which == 10:
                finish_point(network, chips, point, s, a, which < 0, 1e-3, out)


class Phases:
    """Some points of a study, ready for the kernel."""

    def __init__(self, study: Study) -> None:
        """Build and cost their variants."""
        evaluator = Evaluator(study, "event")
        codes = study.space.random(np.random.default_rng(0), N_POINTS)
        evaluator.evaluate(codes)
        self.batch = next(iter(evaluator.runner._batches.values()))
        network = self.batch.blocks.network
        rows, _ = ChipPoints(evaluator.chips[0]).rows(codes)
        runs = [evaluator.runs.fields(number) for number in evaluator.runs.numbers(codes).tolist()]
        works = [network.work(run.weight_bits, run.activation_bits, run.weights, run.activations) for run in runs]
        self.points = evaluator.runner._points(self.batch, network, rows, runs, works)

    def us(self) -> dict[str, float]:
        """Microseconds of each phase, those of nothing taken off."""
        given: tuple[Any, ...] = (
            self.batch.blocks.network.arrays(), self.batch._chips(), self.points, self.batch._scratch(), self.batch.arrays,
            np.zeros(2), np.zeros(N_RESULTS),
        )  # fmt: skip
        repeated(0, *given, 1)
        spent = []
        for which in range(len(PHASES)):
            start = time.process_time()
            repeated(which, *given, N_REPEATS)
            spent.append((time.process_time() - start) / N_POINTS * 1e6)
        return {name: (us - spent[0]) / N_REPEATS for name, us in zip(PHASES[1:], spent[1:], strict=True)}

    def interval_ratio(self) -> float:
        """Time of points over that of the same points when nothing about their chip is uncertain."""
        with_s = median_s(lambda: self.batch.run(self.points))
        spreads = self.batch.blocks.chip.spreads
        first, name, log = spreads.arrays
        spreads._arrays = np.zeros_like(first), name, log
        without_s = median_s(lambda: self.batch.run(self.points))
        spreads._arrays = first, name, log
        return with_s / without_s
