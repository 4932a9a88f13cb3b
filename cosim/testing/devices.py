"""Laws of devices: a physical cost table, a batch that gives what its members give alone, and a peak that is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import product
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cosim.testing.judge import TOLERANCE, Judge, close
from hw_models.cost import OUTPUT, Category, CostTable
from hw_models.registry import Device
from hw_models.specs import Spec
from workloads.errors import CosimError, MappingError, SpecError
from workloads.graph import OpKind
from workloads.optable import COLUMNS, OpTable

# A device takes its fastest mapping, and that of a larger batch may spend less (a matrix unit that one row left idle): twice
# the work for half the energy is seen. Sixteen times the work is more than any mapping gives back.
MORE_BATCH = 16

# Fields of a cost table with axes [n_specs, n_ops, ...], and those of them that an op adds up to.
_ARRAYS = tuple(item.name for item in fields(CostTable) if item.name not in {"components", "limits", "latency_spreads", "output_snr"})
_AMOUNTS = tuple(name for name in _ARRAYS if name != "latency_s" and name.endswith(("_s", "_j", "n_bytes", "n_arrays")))


def sample_ops(batch: int = 1) -> OpTable:
    """Ops of every kind in many shapes and bits, `batch` inferences of each together."""
    rows: list[tuple[int, ...]] = []
    gemms = (
        (1, 1, 1, 1), (1, 1, 512, 1000), (1, 196, 1152, 256), (1, 3136, 27, 64), (1, 7, 13, 5), (1, 16, 300, 85), (1, 64, 2304, 771),
        (32, 196, 9, 1), (4, 49, 288, 64), (3, 5, 100, 7),
    )  # fmt: skip
    for (groups, m, k, n), pair in product(gemms, ((8, 8), (4, 8), (8, 4), (3, 5), (13, 12), (16, 16))):
        out = groups * m * n * batch
        rows.append((OpKind.MATMUL, groups, m * batch, k, n, 0, out, 0, groups * k * n, groups * m * k * batch, out, *pair))
    for special, bits in product((0, 1), (8, 32)):
        elements = 12 * 64 * 64 * batch
        rows.append((OpKind.MATMUL, 12 * batch, 64, 64, 64, 1, 0, special, elements, elements, elements, bits, bits))
    for kind, special, size, bits in product(list(OpKind)[1:], (0, 1), (1, 1000, 10**6), (8, 16)):
        steps = 0 if kind is OpKind.MOVE else 5 * size * batch
        rows.append((kind, 0, 0, 0, 0, 0, steps, special, 0, size * batch, size * batch, bits, bits))
    return _table(np.array(rows, dtype=np.int64))


def _table(rows: NDArray[np.int64]) -> OpTable:
    """Return rows [n, len(COLUMNS)] as a table in which each occurs once."""
    columns = {name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(COLUMNS)}
    return OpTable(**columns, row_of_op=np.arange(len(rows)), n_repeats=np.ones(len(rows), dtype=np.int64))


def _take(ops: OpTable, mask: NDArray[np.bool_]) -> OpTable:
    """Copy some rows of a table."""
    return _table(np.stack([getattr(ops, name)[mask] for name in COLUMNS], axis=1))


def _op(ops: OpTable, i: int) -> str:
    """What messages call a row."""
    shape = f" {ops.groups[i]}x{ops.m[i]}x{ops.k[i]}x{ops.n[i]}" if ops.n_macs[i] else f" of {ops.output_elements[i]} elements"
    return f"{OpKind(int(ops.kind[i])).name.lower()}{shape} at {ops.weight_bits[i]}/{ops.activation_bits[i]} bits"


def check_device(device_class: type[Device], spec: Spec, *variants: Spec) -> None:
    """Check the laws of a device kind on one spec, and that a batch of specs gives what they give one by one.

    Without `variants` the batch holds copies of the spec with a slower clock, launch or port.
    Raises MappingError for a broken law of the cost table, SpecError for one of area, idle power or arrays.
    """
    name = getattr(device_class, "kind", device_class.__name__)
    judge, device = Judge(f"device kind {name!r}", MappingError), device_class(name, spec)
    _check_standing(Judge(judge.who, SpecError), device)
    ops = sample_ops()
    everything = np.ones(len(ops), dtype=np.bool_)
    before = _take(ops, everything)
    table = _costs(judge, "a table of ops is costed", device_class, [spec], ops)
    kept = all(np.array_equal(getattr(ops, column), getattr(before, column)) for column in COLUMNS)
    judge.law("the op table is left as it was", kept, "`costs` changed a column")
    _check_shapes(judge, table, 1, len(ops))
    _check_numbers(judge, table, ops)
    _check_unsupported(judge, table, ops)
    _check_components(judge, table)
    _check_weights(judge, table, device_class, ops)
    _check_signal(judge, table, ops)
    _check_peak(judge, table, device, ops)
    _check_more(judge, table, device_class, spec, ops)
    again = _costs(judge, "the same ops are costed again", device_class, [spec], _take(ops, everything))
    _check_same(judge, "the same call gives the same table", table, again, ops)
    _check_one_by_one(judge, device_class, [spec, *(variants or _slower(spec))], ops)
    _check_empty(judge, table, device_class, spec, ops)


def _costs(judge: Judge, law: str, device_class: type[Device], specs: Sequence[Spec], ops: OpTable) -> CostTable:
    """Cost ops, and turn an exception that is no CosimError into one."""
    try:
        return device_class.costs(specs, ops)
    except CosimError:
        raise
    except Exception as error:
        raise judge.error(f"{judge.who}: {law}; `costs` raised {type(error).__name__}: {error}") from error


def _slower(spec: Spec) -> list[Spec]:
    """Copies of a spec with one clock, time or rate at three quarters."""
    names = [name for name in type(spec).model_fields if name.endswith(("_hz", "_s")) and isinstance(getattr(spec, name), float)]
    return [spec.model_copy(update={name: 0.75 * getattr(spec, name)}) for name in names] or [spec]


def _check_standing(judge: Judge, device: Device) -> None:
    """Check area, idle power and arrays."""
    area_m2, parts = device.area_m2, device.area_parts_m2
    judge.law("area parts sum to the area", close(sum(parts.values()), area_m2), f"{parts} m2 against {area_m2} m2")
    judge.law("no area is negative", min([area_m2, *parts.values()]) >= 0, f"{area_m2} m2, parts {parts} m2")
    judge.law("idle power is finite and 0 or more", 0 <= device.idle_w < np.inf, f"{device.idle_w} W")
    arrays = (device.n_arrays, device.scratch_arrays)
    judge.law("counts of arrays are 0 or more", min(arrays) >= 0, f"{arrays[0]} arrays, {arrays[1]} scratch arrays")
    judge.law("only a kind that holds weights has arrays", device.holds_weights or arrays == (0, 0), f"{arrays[0]} arrays")


def _check_shapes(judge: Judge, table: CostTable, n_specs: int, n_ops: int) -> None:
    """Check that the axes are specs, then ops."""
    size = f"for {n_specs} specs and {n_ops} ops"
    for name in _ARRAYS:
        shape = getattr(table, name).shape
        judge.law("arrays are [n_specs, n_ops]", shape[:2] == (n_specs, n_ops), f"{name} has shape {shape} {size}")
    lists = (len(table.components), len(table.latency_spreads))
    judge.law("components and spreads are given for each spec", lists == (n_specs, n_specs), f"{lists} {size}")


def _check_numbers(judge: Judge, table: CostTable, ops: OpTable) -> None:
    """Check signs, the fixed part of the latency, and the bytes that have to leave."""
    runs = table.supported[0]
    latency_s, fixed_s, energy_j, n_bytes = table.latency_s[0], table.fixed_s[0], table.energy_j[0], table.n_bytes[0]
    judge.everywhere(
        "energy is finite and 0 or more",
        (np.isfinite(energy_j) & (energy_j >= 0)).all(axis=1),
        lambda i: f"{_op(ops, i)} takes {energy_j[i].tolist()} J",
    )
    judge.everywhere(
        "bytes at the port are finite and 0 or more",
        (np.isfinite(n_bytes) & (n_bytes >= 0)).all(axis=1),
        lambda i: f"{_op(ops, i)} moves {n_bytes[i].tolist()} bytes",
    )
    judge.everywhere(
        "latency is finite and not below its fixed part, which is 0 or more",
        ~runs | (np.isfinite(latency_s) & (latency_s >= fixed_s) & (fixed_s >= 0)),
        lambda i: f"{_op(ops, i)} takes {latency_s[i]} s of which {fixed_s[i]} s are fixed",
    )
    serial_s = table.serial_s[0]
    judge.everywhere(
        "what copies of the weights do not shorten is part of the latency",
        ~runs | ((serial_s >= 0) & (serial_s + fixed_s <= latency_s * (1 + TOLERANCE))),
        lambda i: f"{_op(ops, i)} takes {latency_s[i]} s of which {serial_s[i]} s are serial and {fixed_s[i]} s fixed",
    )
    out = ops.output_bytes
    judge.everywhere(
        "every result crosses the port",
        ~runs | (n_bytes[:, OUTPUT] >= out * (1 - TOLERANCE)),
        lambda i: f"{_op(ops, i)} makes {out[i]} bytes and sends {n_bytes[i, OUTPUT]}",
    )


def _check_unsupported(judge: Judge, table: CostTable, ops: OpTable) -> None:
    """Check that what is not supported takes forever and costs nothing."""
    lost = ~table.supported[0]
    amounts = np.column_stack([getattr(table, name)[0].reshape(len(ops), -1) for name in _AMOUNTS])
    judge.everywhere(
        "an unsupported op is inf in latency and 0 elsewhere",
        ~lost | (np.isinf(table.latency_s[0]) & (amounts == 0).all(axis=1)),
        lambda i: f"{_op(ops, i)} takes {table.latency_s[0, i]} s and {table.energy_j[0, i].sum()} J",
    )


def _check_components(judge: Judge, table: CostTable) -> None:
    """Check names and categories of components, factors of spreads, and names of limits."""
    parts = table.components[0]
    names = [part.name for part in parts]
    judge.law("components have names of their own", len(set(names)) == len(names) == table.energy_j.shape[2], f"{names}")
    for part in parts:
        judge.law("categories are those of the ledger", part.category in get_args(Category), f"{part.name!r} is {part.category!r}")
    for spread in (*(one for part in parts for one in part.spreads), *table.latency_spreads[0]):
        judge.law("a spread is a factor of 1 or more", 1 <= spread.factor < np.inf, f"{spread.name!r} has {spread.factor}")
    used = {int(table.limit.min(initial=0)), int(table.limit.max(initial=0))}
    judge.law("every limit has a name", used <= set(range(len(table.limits))), f"limits {sorted(used)} of {table.limits}")


def _check_weights(judge: Judge, table: CostTable, device_class: type[Device], ops: OpTable) -> None:
    """Check that only stored weights of products take arrays, and only where a kind holds weights."""
    arrays, programs = table.n_arrays[0], np.column_stack([table.program_s[0], table.program_j[0]])
    may = (ops.n_macs > 0) & (ops.dynamic == 0) & device_class.holds_weights
    judge.everywhere(
        "arrays hold stored weights of products, on a kind that holds weights",
        (arrays >= 0) & (may | (arrays == 0)),
        lambda i: f"{_op(ops, i)} takes {arrays[i]} arrays",
    )
    judge.everywhere(
        "writing weights takes 0 or more, and nothing without arrays",
        (programs >= 0).all(axis=1) & ((arrays > 0) | (programs == 0).all(axis=1)),
        lambda i: f"{_op(ops, i)} is written in {programs[i, 0]} s with {programs[i, 1]} J to {arrays[i]} arrays",
    )


def _check_signal(judge: Judge, table: CostTable, ops: OpTable) -> None:
    """Check that an SNR is that of a supported product, and the same when asked again."""
    snr_db = table.output_snr_db[0]
    judge.everywhere(
        "only supported products have an output SNR, which is a number above -inf dB",
        np.isnan(snr_db) | (table.supported[0] & (ops.n_macs > 0) & (snr_db > -np.inf)),
        lambda i: f"{_op(ops, i)} has {snr_db[i]} dB",
    )
    again = table.output_snr() if table.output_snr else table.output_snr_db
    judge.law("the same table gives the same output SNR", np.array_equal(table.output_snr_db, again, equal_nan=True), "it changed")


def _check_peak(judge: Judge, table: CostTable, device: Device, ops: OpTable) -> None:
    """Check that no product beats the peak that the device claims at its bits."""
    bits = zip(ops.weight_bits.tolist(), ops.activation_bits.tolist(), strict=True)
    peak = np.array([device.peak_macs_per_s(*pair) for pair in bits])
    runs = table.supported[0] & (ops.n_macs > 0)
    rate = np.zeros(len(ops))
    with np.errstate(divide="ignore"):
        np.divide(ops.n_macs, table.latency_s[0], out=rate, where=runs)
    judge.everywhere(
        "the peak is never beaten",
        ~runs | (rate <= peak * (1 + TOLERANCE)),
        lambda i: f"{_op(ops, i)} runs at {rate[i]:.6g} MAC/s, `peak_macs_per_s` is {peak[i]:.6g}",
    )


def _check_more(judge: Judge, one: CostTable, device_class: type[Device], spec: Spec, ops: OpTable) -> None:
    """Check that a larger batch takes no less energy."""
    many = _costs(judge, "a larger batch is costed", device_class, [spec], sample_ops(MORE_BATCH))
    before, after = one.energy_j[0].sum(axis=1), many.energy_j[0].sum(axis=1)
    judge.everywhere(
        f"{MORE_BATCH} times the batch takes no less energy",
        ~(one.supported[0] & many.supported[0]) | (after >= before * (1 - TOLERANCE)),
        lambda i: f"{_op(ops, i)} takes {before[i]} J, {MORE_BATCH} of it {after[i]} J",
    )


def _check_same(judge: Judge, law: str, first: CostTable, second: CostTable, ops: OpTable) -> None:
    """Check that two tables of the same ops are equal bit for bit."""
    parts = [list(table.components) for table in (first, second)]
    judge.law(law, parts[0] == parts[1], f"components are {parts[0]} and {parts[1]}")
    for name in _ARRAYS:
        a, b = getattr(first, name), getattr(second, name)
        judge.law(law, a.shape == b.shape, f"{name} has shape {a.shape} and {b.shape}")
        wrong = np.argwhere(a != b)
        at = tuple(wrong[0]) if len(wrong) else (0,) * a.ndim
        numbers = f"{name} of {_op(ops, int(at[1]))} is {a[at]} and {b[at]}" if len(wrong) else ""
        judge.law(law, not len(wrong), numbers)
    if len(ops) > 1:  # an SNR costs too much to be asked for op by op
        snr_db = (first.output_snr_db, second.output_snr_db)
        judge.law(law, np.array_equal(*snr_db, equal_nan=True), f"output_snr_db is {snr_db[0]} and {snr_db[1]}")


def _check_one_by_one(judge: Judge, device_class: type[Device], specs: list[Spec], ops: OpTable) -> None:
    """Check that a batch holds what each spec gives alone, and what each op gives alone, components included."""
    together = _costs(judge, "a batch of specs is costed", device_class, specs, ops)
    _check_shapes(judge, together, len(specs), len(ops))
    for s, spec in enumerate(specs):
        alone = _costs(judge, "one spec is costed", device_class, [spec], ops)
        _check_same(judge, f"spec {s} of a batch of {len(specs)} costs what it costs alone", alone, _part(together, s), ops)
    for i in range(len(ops)):
        single = _take(ops, np.arange(len(ops)) == i)
        alone = _costs(judge, "one op is costed", device_class, specs[:1], single)
        _check_same(judge, "an op of a batch costs what it costs alone", alone, _part(together, 0, i), single)


def _part(table: CostTable, spec: int, op: int | None = None) -> CostTable:
    """Return one spec of a table, with all ops or one."""
    ops = slice(None) if op is None else slice(op, op + 1)
    values = {item.name: getattr(table, item.name) for item in fields(table)}
    values |= {name: values[name][spec : spec + 1, ops] for name in _ARRAYS}
    values["output_snr"] = lambda: table.output_snr_db[spec : spec + 1, ops]
    return CostTable(**{**values, "components": [table.components[spec]], "latency_spreads": [table.latency_spreads[spec]]})


def _check_empty(judge: Judge, table: CostTable, device_class: type[Device], spec: Spec, ops: OpTable) -> None:
    """Check that a table without ops, and one without a supported op, are answered with tables of that size."""
    for law, mask in (
        ("a table without ops is safe", np.zeros(len(ops), dtype=np.bool_)),
        ("a table without a supported op is safe", ~table.supported[0]),
    ):
        few = _costs(judge, law, device_class, [spec], _take(ops, mask))
        _check_shapes(Judge(f"{judge.who}: {law}", judge.error), few, 1, int(mask.sum()))
        judge.law(law, not few.supported.any(), f"{int(few.supported.sum())} ops are supported")
