"""What must hold for every chip of the catalog, and for every chip with every network of the zoo that is quick to run."""

from __future__ import annotations

import pytest

from cosim.simulation.run import Simulation
from cosim.testing import check_chip, check_run, check_workload, tiny_network
from hw_models.catalog import list_chips, load_chip
from workloads.errors import MappingError
from workloads.registry import list_networks, load_workload

SMALL = {"seq": 2, "past": 3}


@pytest.mark.parametrize("name", list_chips())
def test_a_chip_obeys_the_laws(name):
    check_chip(load_chip(name))


@pytest.mark.parametrize("name", list_chips())
def test_a_chip_runs_the_tiny_network(name):
    """`check_chip` lets a chip refuse a network; those of the catalog have no reason to."""
    result = Simulation(load_chip(name), tiny_network()).run()
    assert result.latency_s > 0
    assert result.energy_j > 0


@pytest.mark.parametrize("network", ["lenet5", "mlperf_tiny_resnet8_cifar", "dscnn_kws", "bert_tiny", "gpt2"])
@pytest.mark.parametrize("name", list_chips())
def test_small_networks_run_by_the_laws(name, network):
    """Or are refused by name: Eyeriss has no tanh for LeNet-5, a microcontroller no room for GPT-2."""
    dims = {key: value for key, value in SMALL.items() if key in list_networks()[network].dims}
    check_run(load_chip(name), load_workload(network, **dims))


def test_a_chip_that_lacks_an_op_says_which_and_what_would_help():
    with pytest.raises(MappingError, match=r"lenet5: op 'conv_0' .* runs on no device of eyeriss_isscc_2016: .*add a device"):
        Simulation(load_chip("eyeriss_isscc_2016"), load_workload("lenet5")).run()


@pytest.mark.parametrize("name", list_networks())
def test_a_network_obeys_the_laws(name):
    dims = {key: value for key, value in SMALL.items() if key in list_networks()[name].dims}
    check_workload(load_workload(name, **dims))


def test_the_tiny_network_has_one_op_of_each_common_kind_and_obeys_the_laws():
    net = tiny_network()
    check_workload(net)
    # 16 x 16 pixels: 8 channels of 3 x 3 x 3 taps, 8 of 3 x 3, then 8 x 10
    assert net.n_macs == 256 * 8 * 27 + 256 * 8 * 9 + 80
    assert {op.kind.name for op in net} == {"MATMUL", "ELEMENTWISE", "POOL"}
