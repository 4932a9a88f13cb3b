"""Arrays that grow, and spreads by number."""

import numpy as np
import pytest

from cosim.study.stacks import Spreads, Stack
from hw_models.cost import Spread


def test_a_stack_keeps_its_rows_while_it_doubles_and_widens():
    stack = Stack(np.float64, fill=-1)
    places = [stack.add([i, i]) for i in range(9)]
    wide = stack.add([1, 2, 3])
    assert places == list(range(9))
    assert wide == 9
    np.testing.assert_array_equal(stack.data[8], [8, 8, -1])
    np.testing.assert_array_equal(stack.data[9], [1, 2, 3])
    assert stack.add([7]) == 10
    np.testing.assert_array_equal(stack.data[10], [7, -1, -1])
    assert stack.n_bytes == stack.data.nbytes


def test_a_stack_widens_every_axis():
    stack = Stack(np.int64)
    stack.add(np.ones((2, 1)))
    stack.add(np.ones((1, 3)))
    np.testing.assert_array_equal(stack.data[0], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(stack.data[1], [[1, 1, 1], [0, 0, 0]])


def test_equal_sets_of_spreads_have_one_number_and_names_are_shared():
    spreads = Spreads()
    assert spreads.number(()) == 0
    a = spreads.number([Spread("law", 2.0), Spread("cell", 1.5)])
    assert spreads.number((Spread("law", 2.0), Spread("cell", 1.5))) == a
    b = spreads.number([Spread("law", 3.0)])
    first, name, log = spreads.arrays
    assert list(first) == [0, 0, 2, 3]
    assert name[first[b]] == name[first[a]]
    assert log[first[b]] == pytest.approx(np.log(3.0))
    c = spreads.number([Spread("new", 1.1)])
    assert spreads.arrays[0][c + 1] == 4
