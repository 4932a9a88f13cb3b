"""Trainings of the tables, one after another or in processes of one thread each; what is done is kept, so that a stop loses little."""

from __future__ import annotations

import json
import multiprocessing
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cosim.files import write_file
from cosim.study.processes import end_with_parent, one_thread_each
from cosim.training.network import Network
from cosim.training.network_file import load_network, save_network
from cosim.training.recipe import Phase
from cosim.validation.accuracy_cases import Case, Net, Reading
from cosim.validation.accuracy_recipes import EPOCH_S, Made, changed, made_of

Values = dict[tuple[Made, int, Reading], float]
Tell = Callable[[float], None]  # CPU seconds, about, of what was just done
READ_S: dict[Net, float] = {"cnn": 0.15, "mlp": 0.001, "adc": 0.2}  # CPU seconds of reading the test set once, about


@dataclass(frozen=True)
class Work:
    """One network that is trained, and all that is read off it. Readings of several quantities are one, that of accuracy."""

    made: Made
    seed: int
    readings: tuple[Reading, ...]

    @property
    def cost_s(self) -> float:
        """CPU seconds, about."""
        return self.made.cost_s + READ_S[self.made.net] * sum(one.n_draws * one.passes for one in self.readings)

    @property
    def config(self) -> dict[str, Any]:
        """What decides the numbers."""
        return {"made": self.made.words, "seed": self.seed, "readings": [asdict(one) for one in self.readings]}

    @property
    def key(self) -> str:
        """Name of the file that keeps them."""
        return f"{self.made.net}_seed{self.seed}_{zlib.crc32(json.dumps(self.config, sort_keys=True).encode()):08x}.json"


@dataclass(frozen=True)
class Start:
    """A float network that several works go on from."""

    net: Net
    first: Phase
    seed: int

    @property
    def cost_s(self) -> float:
        """CPU seconds, about."""
        return self.first.epochs * EPOCH_S[self.net]

    @property
    def key(self) -> str:
        """Name of the file that keeps it."""
        return f"{self.net}_seed{self.seed}_{zlib.crc32(changed(self.first).encode()):08x}.npz"


def works_of(cases: Iterable[Case], seeds: Sequence[int] | None = None) -> list[Work]:
    """What has to be trained for these numbers: with the seeds of the tables, or with `seeds` for every group."""
    found: dict[tuple[Made, int], dict[Reading, None]] = defaultdict(dict)
    for case in cases:
        made, reading = made_of(case), plain(case.reading)
        for seed in [case.seed] if seeds is None else seeds:
            found[made, seed][reading] = None
    return [Work(made, seed, tuple(readings)) for (made, seed), readings in found.items()]


def plain(reading: Reading) -> Reading:
    """All quantities of a reading come at once."""
    return replace(reading, quantity="acc")


def start_of(work: Work) -> Start:
    """The float network of a work."""
    return Start(work.made.net, work.made.first, work.seed)


def measure_all(works: Sequence[Work], folder: Path, jobs: int = 1, tell: Tell = lambda _: None) -> dict[Work, list[dict[str, float]]]:
    """Values by quantity of each reading, in the order of a work; float networks first, what `folder` holds already is taken from there.

    jobs: processes of one thread each; 0 works in this one. Numbers do not depend on it.
    """
    todo = [work for work in works if stored(work, folder) is None]
    starts = [start for start in dict.fromkeys(start_of(work) for work in todo) if not (folder / start.key).exists()]
    tell(cost_s(works, ()) - cost_s(todo, ()) + cost_s([], {start_of(w) for w in works}) - cost_s([], starts))
    waves: tuple[list[Work | Start], ...] = ([*starts], [*todo])
    for tasks in waves:
        for task in _done(tasks, folder, jobs):
            tell(task.cost_s)
    return {work: stored(work, folder) or [] for work in works}


def cost_s(works: Iterable[Work], starts: Iterable[Start] | None = None) -> float:
    """CPU seconds of all of it, about."""
    works = list(works)
    return sum(work.cost_s for work in works) + sum(s.cost_s for s in ({start_of(w) for w in works} if starts is None else starts))


def stored(work: Work, folder: Path) -> list[dict[str, float]] | None:
    """Values of a work that was done, None where it was not, or was done another way."""
    try:
        data: Mapping[str, Any] = json.loads((folder / work.key).read_text())
    except (OSError, ValueError):
        return None
    if data.get("config") != json.loads(json.dumps(work.config)):
        return None
    values: list[dict[str, float]] = data["values"]
    return values


def do(task: Work | Start, folder: Path) -> Work | Start:
    """Train and read, or train a float network; keep it in the folder."""
    from cosim.validation.accuracy_networks import float_network, prepared, readings  # noqa: PLC0415  (processes that only wait need no more)

    if isinstance(task, Start):
        save_network(float_network(task.net, task.first, task.seed), folder / task.key)
        return task
    if stored(task, folder) is not None:  # by another run in the same folder
        return task
    start: Network = load_network(folder / start_of(task).key)
    network = prepared(task.made, start, task.seed)
    values = [readings(task.made.net, network, reading, task.seed) for reading in task.readings]
    write_file(folder / task.key, json.dumps({"config": task.config, "values": values}, indent=1).encode())
    return task


def _done(tasks: Sequence[Work | Start], folder: Path, jobs: int) -> Iterator[Work | Start]:
    """Do all tasks, the longest first; yields each as it ends."""
    longest_first = sorted(tasks, key=lambda task: -task.cost_s)
    if jobs == 0 or not tasks:
        yield from (do(task, folder) for task in longest_first)
        return
    spawn = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(min(jobs, len(tasks)), spawn, initializer=end_with_parent) as pool:
        running = [pool.submit(do, task, folder) for task in longest_first]
        try:
            yield from (future.result() for future in as_completed(running))
        finally:
            for future in running:
                future.cancel()
