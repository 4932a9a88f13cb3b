"""IR drop of crossbars against Kirchhoff's laws written out node by node, against ladders by hand, and against its closed forms."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cim.parasitics import Wires, column_currents, effective_conductance, estimated_conductance, mean_kept
from hw_models.kernels._jit import numba
from workloads.errors import SimulationError, SpecError

COMPILED = not numba.config.DISABLE_JIT
ONE_OHM = Wires(row_ohm=1.0, col_ohm=1.0)


def nodal_currents(cells, volts, wires):
    """Dense nodal analysis: two nodes a cell, every resistor stamped by itself, every wire resistance above 0."""
    rows, cols = cells.shape
    matrix, right = np.zeros((2 * rows * cols, 2 * rows * cols)), np.zeros((2 * rows * cols, volts.shape[0]))

    def stamp(p, q, siemens):
        for node, other in ((p, q), (q, p)):
            matrix[node, node] += siemens
            matrix[node, other] -= siemens

    sense = 1 / (wires.col_ohm + wires.sense_ohm)
    for i in range(rows):
        for j in range(cols):
            row_node, col_node = 2 * (i * cols + j), 2 * (i * cols + j) + 1
            stamp(row_node, col_node, cells[i, j])
            if j == 0:
                drive = 1 / (wires.row_ohm + wires.driver_ohm)
                matrix[row_node, row_node] += drive
                right[row_node] += drive * volts[:, i]
            else:
                stamp(row_node, row_node - 2, 1 / wires.row_ohm)
            if i == rows - 1:
                matrix[col_node, col_node] += sense
            else:
                stamp(col_node, col_node + 2 * cols, 1 / wires.col_ohm)
    nodes = np.linalg.solve(matrix, right)
    return sense * nodes[[2 * ((rows - 1) * cols + j) + 1 for j in range(cols)]].T


def crossbar(rows, cols, seed=0, full=1e-4, n_vectors=3):
    rng = np.random.default_rng(seed)
    return full * rng.uniform(0.01, 1, (rows, cols)), 0.2 * rng.integers(0, 2, (n_vectors, rows))


# --- the solver -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (5, 9), (16, 12)])
@pytest.mark.parametrize("wires", [ONE_OHM, Wires(3.0, 0.5, 200.0, 40.0), Wires(50.0, 80.0)])
def test_currents_are_those_of_a_dense_nodal_solve(shape, wires):
    cells, volts = crossbar(*shape)
    volts[0] = 0.2
    assert column_currents(cells, volts, wires) == pytest.approx(nodal_currents(cells, volts, wires), rel=1e-8, abs=1e-18)


def schur_currents(cells, volts, wires):
    """Dense nodal analysis with the row nodes eliminated one row at a time, so that 128 x 128 takes a second."""
    rows, cols = cells.shape

    def chain(n, first, between):
        ladder = np.zeros((n, n))
        for k in range(n - 1):
            ladder[k : k + 2, k : k + 2] += between * np.array([[1, -1], [-1, 1]])
        ladder[0, 0] += first
        return ladder

    drive, link, sense = 1 / (wires.row_ohm + wires.driver_ohm), 1 / wires.col_ohm, 1 / (wires.col_ohm + wires.sense_ohm)
    # One block column of the elimination for each row of column nodes, sense end last.
    reduced, source = [], []
    for i in range(rows):
        inverse = np.linalg.inv(chain(cols, drive, 1 / wires.row_ohm) + np.diag(cells[i]))
        reduced.append(np.diag(cells[i]) - cells[i][:, None] * inverse * cells[i][None, :])
        source.append(np.outer(cells[i] * inverse[:, 0] * drive, volts[:, i]))
    block, right = reduced[0] + link * np.eye(cols), source[0]
    for i in range(1, rows):
        passed = np.linalg.solve(block, np.hstack([link * np.eye(cols), right])) * link
        below = link if i < rows - 1 else sense
        block, right = reduced[i] + (link + below) * np.eye(cols) - passed[:, :cols], source[i] + passed[:, cols:]
    return sense * np.linalg.solve(block, right).T


def test_the_block_elimination_is_the_nodal_solve():
    cells, volts = crossbar(6, 5)
    wires = Wires(3.0, 0.5, 200.0, 40.0)
    assert schur_currents(cells, volts, wires) == pytest.approx(nodal_currents(cells, volts, wires), rel=1e-10)


@pytest.mark.parametrize("wires", [ONE_OHM, Wires(5.0, 2.0, 500.0, 100.0)] if COMPILED else [ONE_OHM])
def test_128_rows_and_columns_agree_with_the_nodal_solve_within_one_millionth(wires):
    cells, volts = crossbar(128, 128, n_vectors=2 if COMPILED else 1)
    assert column_currents(cells, volts, wires) == pytest.approx(schur_currents(cells, volts, wires), rel=1e-6)


@pytest.mark.skipif(not COMPILED, reason="a million cells, some 80 times: minutes without the compiler")
@pytest.mark.parametrize("wires", [ONE_OHM, Wires(5.0, 5.0, 1000.0, 100.0)])
def test_1024_rows_and_columns_converge_at_realistic_values(wires):
    cells, volts = crossbar(1024, 1024, n_vectors=1)
    currents = column_currents(cells, volts, wires)
    assert (currents > 0).all()
    assert (currents < volts @ cells).all()


def test_no_wire_resistance_gives_exactly_the_product():
    cells, volts = crossbar(9, 4)
    assert (column_currents(cells, volts, Wires()) == volts @ cells).all()
    assert (effective_conductance(cells, Wires()) == cells).all()
    nearly = column_currents(cells, volts, Wires(1e-9, 1e-9))
    assert nearly == pytest.approx(volts @ cells, rel=1e-10)


def test_one_cell_is_a_divider_of_its_own_and_four_other_resistances():
    (current,) = column_currents([[1 / 1000]], [[1.0]], Wires(10.0, 20.0, 30.0, 40.0))[0]
    assert current == pytest.approx(1 / (1000 + 10 + 20 + 30 + 40))


def test_two_cells_of_a_column_share_the_segment_at_the_sense_node():
    # Driven cell at the far end: its current flows through both segments, and some of it back into the undriven row.
    cell, wire = 1000.0, 100.0
    parallel = 1 / (1 / wire + 1 / cell)  # sense segment beside the undriven cell, whose driver is at 0 V
    total = 1.0 / (cell + wire + parallel)
    (current,) = column_currents([[1 / cell], [1 / cell]], [[1.0, 0.0]], Wires(col_ohm=wire))[0]
    assert current == pytest.approx(total * parallel / wire)


def test_wires_of_zero_resistance_on_one_side_only_are_no_special_case():
    cells, volts = crossbar(8, 8)
    for some in (Wires(row_ohm=2.0), Wires(col_ohm=2.0), Wires(driver_ohm=100.0), Wires(sense_ohm=100.0)):
        almost = Wires(*(max(ohm, 1e-6) for ohm in (some.row_ohm, some.col_ohm, some.driver_ohm, some.sense_ohm)))
        assert column_currents(cells, volts, some) == pytest.approx(nodal_currents(cells, volts, almost), rel=1e-6, abs=1e-15)


def test_an_open_cell_carries_nothing_and_a_silent_vector_gives_nothing():
    cells, volts = crossbar(5, 4)
    cells[:, 2] = 0
    volts[1] = 0
    currents = column_currents(cells, volts, ONE_OHM)
    assert (currents[:, 2] == 0).all()
    assert (currents[1] == 0).all()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_the_network_is_linear_and_reciprocal(rows, cols, seed):
    cells, volts = crossbar(rows, cols, seed, n_vectors=4)
    wires = Wires(7.0, 3.0, 20.0, 11.0)
    whole = effective_conductance(cells, wires)
    assert volts @ whole == pytest.approx(column_currents(cells, volts, wires), rel=1e-7, abs=1e-16)
    # Driving the columns at their sense ends and sensing the rows at their drivers shows the same conductances.
    turned = effective_conductance(cells[::-1, ::-1].T, wires.reversed)
    assert turned.T[::-1, ::-1] == pytest.approx(whole, rel=1e-7, abs=1e-16)


@given(st.floats(0.01, 30), st.floats(1.1, 3), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_more_wire_resistance_leaves_less_current(ohm, more, seed):
    cells, volts = crossbar(6, 7, seed)
    volts[:] = 0.2
    less = column_currents(cells, volts, Wires(more * ohm, more * ohm, more * ohm, more * ohm))
    assert (less < column_currents(cells, volts, Wires(ohm, ohm, ohm, ohm))).all()


# --- closed forms -----------------------------------------------------------------------------------------------


def test_a_uniform_column_keeps_what_the_ladder_says():
    # One column of n equal cells at one voltage: cosh-shaped potential, I / (n G V) = tanh(sqrt a) / sqrt a, a = n^2 G r.
    n, g, ohm = 400, 1e-5, 1.0
    kept = column_currents(np.full((n, 1), g), np.full((1, n), 0.2), Wires(col_ohm=ohm)) / (n * g * 0.2)
    a = n * n * g * ohm
    assert kept[0, 0] == pytest.approx(np.tanh(a**0.5) / a**0.5, rel=0.003)
    assert kept[0, 0] == pytest.approx(mean_kept(n, 1, g, Wires(col_ohm=ohm)), rel=0.003)


def test_a_first_order_drop_of_a_few_cells_by_hand():
    # a = 2^2 * 1e-6 * 1 = 4e-6: the drop is a / 3 of the current for many cells.
    lost = 1 - mean_kept(2, 1, 1e-6, Wires(col_ohm=1.0))
    assert lost == pytest.approx(4e-6 / 3, rel=1e-3)
    assert mean_kept(64, 64, 1e-5, Wires()) == 1


@pytest.mark.parametrize("n", [16, 32, 64])
@pytest.mark.parametrize("wires", [ONE_OHM, Wires(0.3, 3.0), Wires(2.0, 0.1, 100.0, 50.0)])
def test_the_mean_drop_in_closed_form_has_the_size_of_the_solved_one(n, wires):
    cells, volts = crossbar(n, n, n_vectors=4)
    solved = 1 - column_currents(cells, volts, wires).sum() / (volts @ cells).sum()
    closed = 1 - mean_kept(n, n, cells.mean(), wires)
    assert 0.8 < closed / solved < 1.25


@pytest.mark.parametrize("wires", [ONE_OHM, Wires(0.3, 3.0), Wires(2.0, 0.1, 100.0, 50.0)])
def test_estimated_conductances_lose_about_what_solved_ones_do_and_less_than_all(wires):
    cells, volts = crossbar(48, 40, n_vectors=4)
    ideal = volts @ cells
    solved, closed = (1 - volts @ which(cells, wires) / ideal for which in (effective_conductance, estimated_conductance))
    assert np.abs(closed / solved - 1).max() < 0.25
    assert (estimated_conductance(cells, Wires(50.0, 500.0)) >= 0).all()
    assert (estimated_conductance(cells, Wires()) == cells).all()


def test_a_row_at_0_v_draws_from_the_column_so_that_the_share_lost_does_not_depend_on_how_many_are_driven():
    g, n, wires = 1e-5, 100, Wires(col_ohm=1.0)
    cells = np.full((n, 1), g)
    all_rows, every_fifth = np.ones((1, n)), (np.arange(n) % 5 == 2)[None, :].astype(float)
    kept = [column_currents(cells, volts, wires)[0, 0] / (g * volts.sum()) for volts in (all_rows, every_fifth)]
    assert kept[1] == pytest.approx(kept[0], rel=1e-3)
    assert 1 - kept[0] == pytest.approx(1 - mean_kept(n, 1, g, wires), rel=0.03)


def test_the_estimate_of_a_column_follows_the_published_polynomial():
    # c = a (0.05 a^2 - 0.2 a + 0.5) times 2/3, the mean of 1 - (1 - x)^2, for a uniform column (IBM aihwkit, IR drop).
    n, g = 1000, 1e-6
    for a in (0.1, 0.5, 1.0, 1.5, 2.0):
        kept = estimated_conductance(np.full((n, 1), g), Wires(col_ohm=a / (n * n * g))).mean() / g
        assert 1 - kept == pytest.approx(2 / 3 * a * (0.05 * a * a - 0.2 * a + 0.5), rel=0.08)


def test_sweeps_broadcast():
    kept = mean_kept(np.array([64, 128, 256])[:, None], 128, np.array([1e-6, 1e-5]), ONE_OHM)
    assert kept.shape == (3, 2)
    assert (np.diff(kept, axis=0) < 0).all()
    assert (kept[:, 1] < kept[:, 0]).all()


# --- refusals ---------------------------------------------------------------------------------------------------


def test_no_convergence_says_where_what_and_the_way_out():
    cells, volts = crossbar(12, 12)
    with pytest.raises(SimulationError, match=r"12 x 12 crossbar: vector \d .* after 3 iterations.*max_iterations"):
        column_currents(cells, volts, Wires(1e5, 1e5), max_iterations=3)
    with pytest.raises(SimulationError, match="lower wire resistance"):
        effective_conductance(cells, Wires(1e5, 1e5), max_iterations=3)


@pytest.mark.parametrize(
    ("cells", "volts", "message"),
    [
        ([[1e-6, -1e-6]], [[0.1]], "0 or more"),
        ([[np.nan]], [[0.1]], "finite"),
        ([1e-6], [[0.1]], "shape (1,)"),
        (np.zeros((0, 3)), [[]], "at least one"),
        ([[1e-6]], [[0.1, 0.2]], "one for each row"),
        ([[1e-6]], [[np.inf]], "finite values"),
    ],
)
def test_what_no_crossbar_has_is_refused(cells, volts, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        column_currents(cells, volts, ONE_OHM)


@pytest.mark.parametrize("ohm", [-1.0, float("nan"), float("inf")])
def test_a_wire_without_a_resistance_is_refused(ohm):
    with pytest.raises(SpecError, match="col_ohm"):
        Wires(col_ohm=ohm)
