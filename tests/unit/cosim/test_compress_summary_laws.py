"""Numbers of a compression as plain data, from runs whose energies and layers are made up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training.accuracy import Score
from cosim.training.array_energy import ProductEnergy, WorkloadEnergy
from cosim.training.compress_summary import LayerRow, _baseline, _layer, breakdown, layer_rows
from cosim.training.skipping import Occupied


def run(products, accuracy=90.0, pruned=0.5):
    """A measured run of products (name, k, n, parts, traffic) and what of each is in use."""
    energies = tuple(ProductEnergy(name, 1, k, n, 2, 4, k, parts, traffic_j, 0.0) for name, k, n, parts, traffic_j in products)
    layers = {name: Occupied(1, k, n, 3, k * n // 2) for name, k, n, _, _ in products}
    skipped = SimpleNamespace(layers=layers, mean_bits=3.0)
    return SimpleNamespace(energy=WorkloadEnergy(energies, 0.0), skipped=skipped, accuracy=accuracy, pruned=pruned)


def result(**final):
    def test(kind):
        return Score(tuple(one.accuracy for one in final[kind]))

    def energy_j(kind):
        return sum(one.energy.products_j for one in final[kind]) / len(final[kind])

    named = {kind: SimpleNamespace(name=f"best {kind}") for kind in final}
    return SimpleNamespace(final=final, test=test, energy_j=energy_j, chosen=named, within=dict.fromkeys(final, True))


DENSE = run([("fc1", 8, 4, {"adc": 6.0}, 2.0), ("fc2", 4, 2, {"adc": 1.0}, 1.0)])
OURS = (
    run([("fc1", 6, 4, {"adc": 2.0, "cells": 1.0}, 0.5), ("fc2", 4, 2, {"adc": 1.0}, 0.5)]),
    run([("fc1", 4, 2, {"adc": 1.0}, 0.5), ("fc2", 2, 2, {"adc": 0.5}, 0.5)]),
)


def test_a_layer_is_the_mean_over_seeds_beside_the_dense_one():
    first, second = layer_rows(result(dense=(DENSE,), gates=OURS))
    assert (first.rows, first.columns, first.dense_rows, first.dense_columns) == (5, 3, 8, 4)
    assert (first.energy_j, first.dense_j) == (2.5, 8.0)  # 3.5 and 1.5
    assert (first.n_weights, first.n_arrays, first.weight_bits, first.activation_bits) == (8, 5, 3, 4)
    assert (first.density, second.density) == (0.5, 0.5)
    assert (second.rows, second.energy_j) == (3, 1.25)


def test_a_component_that_one_seed_lacks_counts_as_nothing_there():
    assert breakdown(OURS) == {"adc": 2.25, "operands": 1.0, "cells": 0.5}


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=4))
def test_components_and_operands_add_up_to_the_mean_of_all_runs(energies):
    runs = [run([("a", 2, 2, {"adc": x, "cells": y}, z), ("b", 2, 2, {"adc": z}, x)]) for x, y, z in energies]
    assert sum(breakdown(runs).values()) == pytest.approx(sum(one.energy.products_j for one in runs) / len(runs))


def test_a_layer_is_plain_data_under_the_names_of_the_contract():
    row = LayerRow("fc", 1.0, 2.0, 3.0, 4.0, 5.0, 0.6, 7.0, 8.0, 9, 10, 11.0)
    assert _layer(row) == {
        "name": "fc",
        "rows": 1.0,
        "cols": 2.0,
        "bits": 3.0,
        "activation_bits": 4.0,
        "n_weights": 5.0,
        "density": 0.6,
        "arrays": 7.0,
        "energy": 8.0,
        "dense": {"rows": 9, "cols": 10, "energy": 11.0},
    }


def test_a_baseline_is_told_beside_ours_and_the_dense_network():
    plain = (run([("fc1", 8, 4, {"adc": 5.0}, 0.0)], accuracy=88.5, pruned=0.9),)
    told = _baseline(result(dense=(DENSE,), gates=OURS, magnitude=plain))
    assert (told["chosen"], told["within_bound_on_validation"]) == ("best magnitude", True)
    assert (told["drop"], told["weights_pruned"], told["energy_dynamic_j"]) == (1.5, 0.9, 5.0)
    assert told["ratio_to_ours"] == pytest.approx(5.0 / 3.75)


def test_no_baseline_is_told_where_none_was_tried():
    assert _baseline(result(dense=(DENSE,), gates=OURS)) is None
