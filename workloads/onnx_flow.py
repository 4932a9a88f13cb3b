"""Who makes and who reads each tensor of a list of steps, kept up to date while steps are merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workloads.onnx_facts import Fact, Step


class Flow:
    """Steps in order with their producers and readers; a view counts as the tensor that holds its elements."""

    def __init__(self, steps: Iterable[Step], outputs: Iterable[Fact]) -> None:
        self._steps = list(steps)
        self._dropped: set[int] = set()
        self._kept = {id(base) for fact in outputs for base in _bases(fact)}
        self._maker: dict[int, Step] = {}
        self._readers: dict[int, list[Step]] = {}
        for step in self._steps:
            self._link(step)

    def __iter__(self) -> Iterator[Step]:
        """Iterate over the steps that are left, in order."""
        return (step for step in self._steps if id(step) not in self._dropped)

    def _link(self, step: Step) -> None:
        """Enter a step's edges."""
        for fact in step.outputs:
            if fact is not None:
                self._maker[id(fact)] = step
        for fact in step.inputs:
            for base in _bases(fact):
                self._readers.setdefault(id(base), []).append(step)

    def _unlink(self, step: Step) -> None:
        """Remove a step's edges."""
        for fact in step.inputs:
            for base in _bases(fact):
                self._readers[id(base)].remove(step)
        for fact in step.outputs:
            if fact is not None and self._maker.get(id(fact)) is step:
                del self._maker[id(fact)]

    def maker(self, fact: Fact | None) -> Step | None:
        """The step that makes a tensor, None for inputs and stored tensors."""
        return None if fact is None else self._maker.get(id(fact.base))

    def readers(self, fact: Fact) -> list[Step]:
        """Steps that read a tensor or a view of it; a step that reads it twice is listed twice."""
        return self._readers.get(id(fact.base), [])

    def is_used(self, fact: Fact) -> bool:
        """Whether anything reads a tensor."""
        return bool(self.readers(fact)) or self.is_output(fact)

    def is_output(self, fact: Fact) -> bool:
        """Whether a tensor is a result of the graph."""
        return id(fact.base) in self._kept

    def only_reader(self, fact: Fact) -> Step | None:
        """The one step that reads a tensor, if there is exactly one and the tensor is no result of the graph."""
        readers = self.readers(fact)
        return readers[0] if len(readers) == 1 and not self.is_output(fact) else None

    def absorb(self, host: Step, guest: Step, operands: Iterable[Fact] = ()) -> None:
        """Let a step swallow the only reader of its output: it makes the guest's output, from its operands too."""
        self._unlink(host)
        self._unlink(guest)
        self._dropped.add(id(guest))
        host.inputs = [*host.inputs, *operands]
        host.own_result = host.result
        host.outputs = list(guest.outputs)
        self._link(host)

    def replace(self, sink: Step, others: Iterable[Step], inputs: list[Fact | None], op_type: str, members: list[str]) -> None:
        """Turn a group of steps into one, at the place of the last of them."""
        for step in others:
            self._unlink(step)
            self._dropped.add(id(step))
        self._unlink(sink)
        sink.op_type, sink.inputs, sink.domain, sink.members = op_type, inputs, "", members
        self._link(sink)


def _bases(fact: Fact | None) -> Iterator[Fact]:
    """What holds the elements of a tensor, or of the parts of a sequence."""
    if fact is None:
        return
    if fact.items is None:
        yield fact.base
    else:
        yield from (item.base for item in fact.items)
