"""The picture, page, table and numbers of a compression that was made by hand, without training."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from cosim.training.accuracy import Score
from cosim.training.array_energy import energy_on_arrays
from cosim.training.compress import DENSE, Candidate, CompressJob, CompressResult, Measured, Tried
from cosim.training.compress_summary import breakdown, layer_rows, summary
from cosim.training.data import load_data
from cosim.training.network import Network, Steps
from cosim.training.networks import trainable
from cosim.training.skipping import pruned_share, skip
from hw_models.catalog import load_chip
from reports.compress import compress_csv, compress_page, compress_table, front_chart, headline

GATES, STRONG = Candidate("gates", "gates 60", strength=60.0), Candidate("gates", "gates 90", strength=90.0)
PLAIN = Candidate("magnitude", "2/2 bits, 50% pruned", share=0.5, bits=(2, 2))


@pytest.fixture(scope="module")
def result():
    """Dense 100 points, gates with half and a quarter of the columns, magnitude with all columns and more error than the bound."""
    entry, chip = trainable("mlp_digits"), load_chip("edge_cim_soc")
    whole = Network(entry.build(np.random.default_rng(0)))

    def measured(columns: int, bits: int, accuracy: float, *, dense: bool = False) -> Measured:
        weights = {name: np.ones_like(array) for name, array in whole.program.weights.items()}
        weights["fc1.weight"][columns:] = 0
        weights["fc1.bias"][columns:] = 0
        steps = {layer.name: Steps(np.ones(weights[layer.weight].shape[0]), 1.0) for layer in whole.program.layers}
        network = replace(whole, program=whole.program.with_weights(weights), weight_bits=bits, activation_bits=bits, steps=steps)
        left = skip(network, dense=dense)
        return Measured(left.network, accuracy, left, energy_on_arrays(chip, left.workload), pruned_share(whole, left))

    dense = measured(32, 8, 97.0, dense=True)
    tried = (
        Tried(GATES, (measured(16, 2, 96.5),)),
        Tried(STRONG, (measured(8, 2, 90.0),)),
        Tried(PLAIN, (measured(32, 2, 95.0),)),
    )
    final = {"dense": (dense,), "gates": tried[0].runs, "magnitude": tried[2].runs}
    job = CompressJob(entry, load_data("digits8x8"), chip, 1.0, (0,))
    within = {"gates": True, "magnitude": False}
    return CompressResult(
        job, Tried(DENSE, (dense,)), tried, {"gates": GATES, "magnitude": PLAIN}, final, Score((97.5,)), (1, 1, 1), within, 1.0
    )


def test_the_headline_names_the_ratio_and_the_points(result):
    ratio = result.energy_j("dense") / result.energy_j("gates")
    assert headline(result) == f"{ratio:.2f} times less energy, 0.50 points lost"


def test_fronts_leave_out_what_is_beaten(result):
    assert [one.candidate.name for one in result.front("gates")] == ["gates 90", "gates 60"]
    assert [one.candidate.name for one in result.front("magnitude")] == [PLAIN.name]
    assert result.hypervolume("gates").mean > result.hypervolume("magnitude").mean > 0


def test_layers_and_components_add_up_to_the_energy(result):
    rows = layer_rows(result)
    assert [(row.columns, row.dense_columns) for row in rows] == [(16, 32), (10, 10)]
    assert sum(row.energy_j for row in rows) == pytest.approx(result.energy_j("gates"), rel=1e-12)
    assert sum(row.dense_j for row in rows) == pytest.approx(result.energy_j("dense"), rel=1e-12)
    assert sum(breakdown(result.final["dense"]).values()) == pytest.approx(result.energy_j("dense"), rel=1e-12)


def test_the_baseline_is_told_with_its_ratio(result):
    told = summary(result)["baseline"]
    assert told["chosen"] == PLAIN.name
    assert told["drop"] == pytest.approx(2.0)
    assert told["ratio_to_ours"] == pytest.approx(result.energy_j("magnitude") / result.energy_j("gates"))


def test_the_picture_marks_every_network_and_the_page_holds_it(result):
    svg = front_chart(result).svg
    assert svg.count('data-metric="compress_energy_j"') == 4
    assert svg in compress_page(result)


def test_the_table_says_where_no_network_held_the_drop(result):
    table = compress_table(result)
    assert "No network tried by uniform bits and magnitude pruning held the drop" in table
    assert "No network tried by gates" not in table
    assert "16 of 32" in table


def test_the_file_has_a_row_for_each_network_and_seed(result):
    rows = list(csv.DictReader(io.StringIO(compress_csv(result))))
    assert [row["kind"] for row in rows] == ["dense", "gates", "gates", "magnitude"]
    assert float(rows[1]["energy_j"]) == result.energy_j("gates")
