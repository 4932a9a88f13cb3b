"""Who makes and reads what, while steps are merged."""

from __future__ import annotations

from workloads.onnx_facts import Fact, Step, view
from workloads.onnx_flow import Flow


def step(name, inputs, outputs, op_type="Op"):
    return Step(name, op_type, None, list(inputs), list(outputs), members=[op_type])


def chain():
    """x → a → b → c, where step b reads a through a view."""
    x, a, b, c = (Fact(name, (4,)) for name in "xabc")
    seen = view(a, "a again", (2, 2))
    return (x, a, b, c), [step("A", [x], [a]), step("B", [seen], [b]), step("C", [b], [c])]


def test_a_view_counts_as_what_holds_its_elements():
    (x, a, b, c), (first, second, third) = chain()
    flow = Flow([first, second, third], [c])
    assert flow.maker(view(a, "v", (4, 1))) is first
    assert flow.readers(a) == [second]
    assert flow.only_reader(a) is second
    assert flow.maker(x) is None
    assert flow.maker(None) is None
    assert flow.readers(x) == [first]
    assert (flow.is_used(b), flow.is_used(c), flow.is_output(c)) == (True, True, True)


def test_a_result_of_the_graph_has_no_only_reader():
    (_, a, _, c), steps = chain()
    assert Flow(steps, [a, c]).only_reader(a) is None


def test_a_step_that_reads_twice_is_two_readers():
    x, y = Fact("x", (2,)), Fact("y", (2,))
    flow = Flow([step("square", [x, x], [y])], [y])
    assert len(flow.readers(x)) == 2
    assert flow.only_reader(x) is None


def test_absorbing_the_only_reader_takes_over_its_output():
    (x, _, b, c), (first, second, third) = chain()
    extra = Fact("w", (4,), stored=True)
    flow = Flow([first, second, third], [c])
    flow.absorb(first, second, [extra])
    assert [s.name for s in flow] == ["A", "C"]
    assert first.outputs == [b]
    assert first.inputs == [x, extra]
    assert first.result.name == "a", "what the step itself computes stays known"
    assert flow.maker(b) is first
    flow.absorb(first, third)
    assert (first.out, first.result.name) == (c, "a")
    assert list(flow) == [first]


def test_replacing_a_group_leaves_one_step_at_its_end():
    (x, _, b, c), (first, second, third) = chain()
    flow = Flow([first, second, third], [c])
    flow.replace(second, [first], [x], "Merged", ["Op", "Op"])
    assert [(s.name, s.op_type) for s in flow] == [("B", "Merged"), ("C", "Op")]
    assert flow.readers(x) == [second]
    assert flow.maker(b) is second
    assert second.members == ["Op", "Op"]


def test_parts_of_a_sequence_are_read_through_it():
    a, b, y = Fact("a", (2,)), Fact("b", (2,)), Fact("y", (4,))
    join = step("join", [Fact("s", (), items=[a, b])], [y])
    flow = Flow([join], [y])
    assert flow.readers(a) == flow.readers(b) == [join]
    assert flow.is_output(y)


def test_absent_inputs_and_outputs_are_passed_over():
    x, y = Fact("x", (2,)), Fact("y", (2,))
    only = step("s", [None, x], [None, y])
    assert (only.out, only.present, only.input(0), only.input(7)) == (y, [x], None, None)
    assert list(Flow([only], [y])) == [only]
