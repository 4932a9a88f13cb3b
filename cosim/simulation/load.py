"""A chip under load: inferences of one or several networks arrive while others still run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cosim.engine.problem import Playback
from cosim.provenance import provenance
from cosim.scheduling.instance import Goal
from cosim.simulation import load_measure as measure
from cosim.simulation.arrivals import Arrivals, Stream, backlog, draw_arrivals
from cosim.simulation.joules import standby
from cosim.simulation.load_bed import Bed, prepare
from cosim.simulation.load_result import Energy, Little, LoadResult, Records, StreamLoad, Use
from cosim.simulation.power import Gating
from cosim.simulation.replicate import Replica, replicate
from cosim.simulation.tenants import unique_names
from hw_models.chip import Chip
from workloads.errors import SimulationError, suggest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Order = Literal["fifo", "priority", "edf"]
ORDERS: tuple[str, ...] = get_args(Order)
DEFAULT_INFERENCES = 2000  # where no trace says how many
SAY_FROM_FLOWS = 200_000  # ops and edges from which a run takes long enough to say so


@dataclass(frozen=True)
class Load:
    """Streams of inferences on a chip, placed once by a policy, and started as they arrive.

    n_inferences  of all streams together; None: the whole trace, else 2000
    order         of ready ops: that of the inferences' arrival (fifo), their streams' priority, or their deadlines (edf); never preemptive
    warmup        share of the inferences that is played but not counted (saturated: at both ends)
    saturated     all inferences wait at time 0: largest throughput, and the interval between two ends
    in_flight     inferences of one stream that may be on the chip at once, those that have ended not counted; None: any number
    dvfs          device → scale of its clock, at the lowest supply that allows it
    gating        what an idle device draws; None: its idle power

    Raises SimulationError for what is out of range, and a CosimError where chip, workloads, policy and fidelity do not fit together.
    """

    chip: Chip
    streams: Sequence[Stream]
    policy: str = "portfolio"
    fidelity: str = "event"
    seed: int = 0
    n_inferences: int | None = None
    order: str = "fifo"
    warmup: float = 0.1
    saturated: bool = False
    in_flight: int | None = None
    dvfs: Mapping[str, float] = field(default_factory=dict)
    gating: Gating | None = None
    weight_bits: int = 8
    activation_bits: int = 8
    goal: Goal = field(default_factory=Goal)

    def run(self, say: Callable[[str], None] = lambda _: None) -> LoadResult:
        """Place, refuse a load that cannot be carried, play all arrivals and measure the steady state; `say` is told of long waits."""
        self._check()
        rng = np.random.default_rng(self.seed)
        of_policy, of_arrivals, of_intervals = rng.spawn(3)
        bed = self._bed(of_policy)
        offered = self.offered(bed)
        self._refuse_unstable(bed, offered)
        arrivals = self._arrivals(of_arrivals)
        network = np.array(bed.tenants.network_of, np.int64)[arrivals.stream]
        place, waits_for = self._places(arrivals), self._waits(arrivals)
        replica = replicate(bed.placed.problem, bed.tenants.first_op, network, arrivals.time_s, place, waits_for=waits_for)
        if replica.task.size + replica.edge.size >= SAY_FROM_FLOWS:
            say(f"playing {arrivals.n:,} inferences: {replica.task.size:,} ops and {replica.edge.size:,} edges ...")
        playback = bed.play(replica.problem)
        return _measured(self, bed, offered, arrivals, network, replica, playback, of_intervals)

    def bed(self) -> Bed:
        """Return the networks placed on the chip, as `run` places them."""
        self._check()
        return self._bed(np.random.default_rng(self.seed).spawn(1)[0])

    def offered(self, bed: Bed) -> Floats:
        """[n_resources] offered load: sum over streams of rate times seconds that one inference occupies; 0 where nothing is given."""
        rates = np.array([stream.mean_rate_per_s for stream in self.streams])
        rates[~np.isfinite(rates)] = 0.0  # all at once: a burst, not a rate
        return np.asarray(rates @ bed.demand_s[list(bed.tenants.network_of)])

    def _bed(self, rng: np.random.Generator) -> Bed:
        workloads, bits = [stream.workload for stream in self.streams], (self.weight_bits, self.activation_bits)
        return prepare(self.chip, workloads, self.policy, self.fidelity, bits=bits, dvfs=self.dvfs, goal=self.goal, rng=rng)

    def _check(self) -> None:
        """Refuse numbers out of range, and combinations without meaning."""
        if not self.streams:
            raise SimulationError("load: no stream is given; name at least one workload")
        if self.order not in ORDERS:
            raise SimulationError(f"load: order {self.order!r} is not known; {suggest(self.order, ORDERS)}")
        if self.seed < 0:
            raise SimulationError(f"load: seed {self.seed} is negative; choose 0 or more")
        if self.n_inferences is not None and self.n_inferences < 2:
            raise SimulationError(f"load: {self.n_inferences} inferences are too few; choose 2 or more")
        if not 0.0 <= self.warmup < (0.5 if self.saturated else 1.0):
            raise SimulationError(
                f"load: warm-up share {self.warmup} is out of range; choose 0 to less than {0.5 if self.saturated else 1}"
            )
        if self.in_flight is not None and self.in_flight < 1:
            raise SimulationError(f"load: {self.in_flight} inferences in flight are too few; choose 1 or more")
        for stream in () if self.saturated else self.streams:
            if stream.kind == "saturated":
                raise SimulationError(
                    f"load: stream {stream.label} has no rate; give one ({stream.label}@100), a trace, or a saturated load"
                )
        if self.order == "edf" and all(stream.deadline_s is None for stream in self.streams):
            raise SimulationError("load: order edf needs the deadline of at least one stream; give one, or choose fifo")
        if self.saturated and self.order != "fifo" and len(self.streams) > 1:
            raise SimulationError(f"load: a saturated load in the order {self.order!r} would run one stream after the other; choose fifo")

    def _refuse_unstable(self, bed: Bed, offered: Floats) -> None:
        """Raise SimulationError when something would have more to do than there is time; a trace ends, and is played all the same."""
        rho = np.where(bed.binds, offered, 0.0)
        worst = int(rho.argmax())
        if self.saturated or rho[worst] < 1.0 or any(stream.kind == "trace" for stream in self.streams):
            return
        kind, name, scale = bed.kinds[worst], bed.resources[worst], 1.0 / rho[worst]
        given = " + ".join(f"{stream.label} at {stream.mean_rate_per_s:.4g}/s" for stream in self.streams)
        largest = sum(stream.mean_rate_per_s for stream in self.streams) * scale
        raise SimulationError(
            f"load: unstable: {given} would keep {kind} {name.removeprefix('link ')!r} of {bed.chip.name} busy {rho[worst]:.1%} of the "
            f"time, so queues would grow for ever; it is not overloaded below {largest:.4g} inferences/s ({scale:.3g} times that)"
        )

    def _arrivals(self, rng: np.random.Generator) -> Arrivals:
        traces = [len(stream.arrivals_s) if stream.arrivals_s is not None else None for stream in self.streams]
        whole = None if None in traces or self.saturated else sum(n for n in traces if n is not None)
        n = self.n_inferences or whole or DEFAULT_INFERENCES
        return backlog(self.streams, n) if self.saturated else draw_arrivals(self.streams, n, rng)

    def _places(self, arrivals: Arrivals) -> Ints:
        """[n] place of each inference in the order of dispatch; ties: the earlier arrival."""
        number = np.arange(arrivals.n)
        key = np.zeros(arrivals.n)
        if self.order == "priority":
            key = -np.array([stream.priority for stream in self.streams])[arrivals.stream]
        if self.order == "edf":
            deadline_s = np.array([math.inf if stream.deadline_s is None else stream.deadline_s for stream in self.streams])
            key = arrivals.time_s + deadline_s[arrivals.stream]
        place = np.empty(arrivals.n, np.int64)
        place[np.lexsort((number, key))] = number
        return place

    def _waits(self, arrivals: Arrivals) -> Ints | None:
        """[n] inference that has to end before one may start: of the same stream, `in_flight` before it."""
        if self.in_flight is None:
            return None
        waits_for = np.full(arrivals.n, -1, np.int64)
        for stream in range(len(self.streams)):
            own = np.flatnonzero(arrivals.stream == stream)
            waits_for[own[self.in_flight :]] = own[: -self.in_flight]
        return waits_for


def _measured(
    load: Load, bed: Bed, offered: Floats, arrivals: Arrivals, network: Ints, replica: Replica, playback: Playback, rng: np.random.Generator
) -> LoadResult:
    """Cut the window of the steady state out of a playback, and measure."""
    start_s, end_s = replica.span_s(playback)
    from_s = start_s if load.saturated else arrivals.time_s
    counted, window_s = _window(load, from_s, end_s)
    length_s = window_s[1] - window_s[0]
    records = Records(arrivals.stream, arrivals.time_s, start_s, end_s, counted)
    latency_s = end_s - from_s
    ended = (end_s > window_s[0]) & (end_s <= window_s[1])
    rate = 1.0 / length_s if length_s > 0 else 0.0
    began = (from_s > window_s[0]) & (from_s <= window_s[1])
    mean_s = float(latency_s[counted].mean())
    little = Little(measure.mean_number(from_s, end_s, window_s), float(began.sum()) * rate, mean_s)
    slope, keeps_up = measure.growth(from_s, end_s, window_s, int(counted.sum()))
    mix = np.bincount(network, minlength=len(bed.tenants.networks)) / network.size
    demand = np.where(bed.binds, mix @ bed.demand_s, 0.0)
    worst = int(demand.argmax())
    most = measure.most_open(start_s, end_s)
    return LoadResult(
        chip=load.chip,
        workload=bed.placed.workload,
        policy=load.policy,
        fidelity=load.fidelity,
        order=load.order,
        seed=load.seed,
        saturated=load.saturated,
        in_flight=load.in_flight,
        streams=_streams(load, bed, records, latency_s, ended, rate, rng),
        uses=_uses(load, bed, offered, replica, playback, window_s),
        window_s=window_s,
        throughput_per_s=float(ended.sum()) * rate,
        bound_per_s=1.0 / float(demand[worst]) if demand[worst] > 0 else math.inf,
        bottleneck=bed.resources[worst],
        little=little,
        growth_per_s=slope,
        keeps_up=keeps_up or load.saturated,
        most_in_flight=most,
        energy=_energy(load, bed, network[ended], replica, playback, window_s),
        points=bed.points,
        records=records,
        schedule=bed.schedule(load.policy),
        notes=(*bed.placed.workload.notes, *load.chip.notes, *_notes(load, bed, offered, most)),
        provenance=provenance(bed.placed.workload, load.chip.digest, seed=load.seed, policy=load.policy, fidelity=load.fidelity),
    )


def _window(load: Load, from_s: Floats, end_s: Floats) -> tuple[NDArray[np.bool_], tuple[float, float]]:
    """Return which inferences count, and from when to when averages over time are taken.

    Open: those after the warm-up, from the arrival of the first to that of the last. Saturated: those that end after the warm-up
    share and before the last such share, from the end before them to their last one.
    """
    n = from_s.size
    skip = min(int(load.warmup * n), n - 2) if n > 1 else 0
    if load.saturated:
        ends, last = np.sort(end_s), max(n - 1 - skip, skip + 1)
        window_s = (float(ends[skip]), float(ends[min(last, n - 1)]))
        counted = (end_s > window_s[0]) & (end_s <= window_s[1])
        return counted if counted.any() else np.ones(n, np.bool_), window_s
    counted = np.arange(n) >= skip
    last_s = float(from_s[-1]) if from_s[-1] > from_s[skip] else float(end_s.max())
    return counted, (float(from_s[skip]), last_s)


def _streams(
    load: Load, bed: Bed, records: Records, latency_s: Floats, ended: NDArray[np.bool_], rate: float, rng: np.random.Generator
) -> tuple[StreamLoad, ...]:
    names = unique_names([stream.label for stream in load.streams])
    found = []
    for i, stream in enumerate(load.streams):
        own = records.counted & (records.stream == i)
        deadline_s = None if load.saturated else stream.deadline_s
        found.append(
            StreamLoad(
                name=names[i],
                kind="saturated" if load.saturated else stream.kind,
                rate_per_s=stream.mean_rate_per_s,
                priority=stream.priority,
                deadline_s=deadline_s,
                n=int(own.sum()),
                throughput_per_s=float((ended & (records.stream == i)).sum()) * rate,
                unloaded_s=float(bed.unloaded_s[bed.tenants.network_of[i]]),
                latency=measure.latency_estimates(latency_s[own], rng),
                misses=None if deadline_s is None else int((latency_s[own] > deadline_s * (1 + 1e-9)).sum()),
            )
        )
    return tuple(found)


def _uses(load: Load, bed: Bed, offered: Floats, replica: Replica, playback: Playback, window_s: tuple[float, float]) -> tuple[Use, ...]:
    length_s = window_s[1] - window_s[0]
    busy_s = measure.busy_by_device(replica, playback, window_s)
    carried_s = measure.carried_s(replica, playback, bed.placed.problem.n_tasks, bed.flow_demand_s, window_s)
    used = np.concatenate([busy_s, carried_s]) / length_s if length_s > 0 else np.zeros(len(bed.resources))
    known = not load.saturated
    rows = zip(bed.resources, bed.kinds, offered.tolist(), used.tolist(), strict=True)
    return tuple(Use(name, kind, rho if known else None, part) for name, kind, rho, part in rows)


def _energy(load: Load, bed: Bed, network: Ints, replica: Replica, playback: Playback, window_s: tuple[float, float]) -> Energy:
    """Joules of the inferences that end in the window, and of standby over the window less what gating saves, an inference."""
    length_s, n = window_s[1] - window_s[0], network.size
    if not n:
        return Energy(0.0, 0.0, 0.0, 0.0)
    saved_j = 0.0
    for d, device in enumerate(load.chip.devices.values()):
        own = replica.problem.assignment == d
        if load.gating is not None and device.idle_w > 0:
            saved_j += device.idle_w * load.gating.saved_s(playback.start_s[own], playback.end_s[own], window_s)
    dynamic_j = float(bed.energy_j[network].sum())
    standby_j = sum(power_w for _, power_w, *_ in standby(load.chip)) * length_s - saved_j
    power_w = (dynamic_j + standby_j) / length_s if length_s > 0 else 0.0
    return Energy(dynamic_j / n, standby_j / n, saved_j / n, power_w)


def _notes(load: Load, bed: Bed, offered: Floats, most: int) -> list[str]:
    """Say what the numbers rest on that a reader would not expect."""
    told = []
    shared = load.chip.shared
    if shared is not None and bed.peak_shared_bytes * most > shared.capacity_bytes:
        told.append(
            f"up to {most} inferences are on the chip at once; {shared.name} is planned for the activations of one, so bytes of the others "
            "are counted as if they found room (a limit in flight bounds them)"
        )
    worst = int(np.where(bed.binds, offered, 0.0).argmax())
    if not load.saturated and offered[worst] >= 1.0:
        told.append(f"the trace offers {bed.resources[worst]} a load of {offered[worst]:.2f}: while it lasts, queues grow")
    return told
