"""A point of a study is what `Simulation.run` says of the chip with these fields set: latency bit for bit, joules and intervals to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.study.columns import COLUMNS
from cosim.study.evaluate import Evaluator
from cosim.study.single import row_of, simulation_of
from cosim.study.space import Axis, Space
from cosim.study.spec import Study, StudyWorkload
from workloads.errors import CosimError

RUN = {"weight_bits": [4, 8], "activation_bits": [8, 6], "policy": ["heft", "single", "portfolio", "greedy"]}
CHIPS = {
    "edge_cim_soc": {
        "devices.cim.adc.n_bits": [6, 7, 8],
        "devices.cim.n_macros": [100, 400, 1640],
        "devices.cim.scratch_macros": [None, 8, 64],
        "memory.backing.part": ["dram/lpddr5_6400_x32", "dram/ddr4_3200_x64"],
        "memory.weights.part": [None, "flash/embedded_flash_40nm"],
        "memory.shared.capacity": ["256 KiB", "3 MiB"],
        "memory.pin_weights": [True, False],
        "devices.cpu.n_cores": [1, 4],
        "links.cim.latency": ["1 us", "3 us"],
        "area.interconnect_and_io": ["6 mm2", "3 mm2"],
    },
    "edge_npu_soc": {
        "devices.npu.rows": [32, 64],
        "memory.shared.capacity": ["1 MiB", "3 MiB"],
        "devices.gpu.clock": ["400 MHz", "850 MHz"],
    },
    "cortex_m7_mcu": {"devices.cpu.clock": ["200 MHz", "400 MHz"], "memory.backing.capacity": ["256 KiB", "1 MiB"]},
    "isaac_isca_2016": {"memory.backing.n_banks": [84, 168]},
    "neurram_nature_2022": {"links.default.bandwidth": ["1 GB/s", "2 GB/s"]},
    "tpu_v1_isca_2017": {"links.default.latency": ["1 us", "2 us"]},
    "a100_sxm": {"devices.gpu.clock": ["1 GHz", "1.41 GHz"]},
}
CASES = [
    ("edge_cim_soc", "resnet18"),
    ("edge_cim_soc", "mobilenetv2_035"),
    ("edge_cim_soc", "bert_tiny"),
    ("edge_cim_soc", "lenet5"),
    ("edge_npu_soc", "bert_tiny"),
    ("edge_npu_soc", "lenet5"),
    ("cortex_m7_mcu", "lenet5"),
    ("isaac_isca_2016", "lenet5"),
    ("neurram_nature_2022", "lenet5"),
    ("tpu_v1_isca_2017", "resnet18"),
    ("a100_sxm", "resnet18"),
]
N_POINTS = {"resnet18": 1, "mobilenetv2_035": 2, "bert_tiny": 3, "lenet5": 4}


def study_of(chip, network, axes, **settings):
    space = Space(tuple(Axis(path, "categorical", tuple(levels), (path,)) for path, levels in axes.items()))
    return Study("s", "", space, (chip,), (StudyWorkload(network, network),), (), **settings)


def check(study, codes, fidelity):
    rows = Evaluator(study, fidelity).evaluate(codes)
    for i, point in enumerate(study.space.decode(codes)):
        expected, told = said(study, point, fidelity)
        assert rows.error[i] == told
        assert rows.status[i] == (told != "")
        np.testing.assert_allclose(rows.values[i, 0], expected[0], rtol=1e-12, atol=0)
        np.testing.assert_allclose(rows.values[i], expected, rtol=1e-9, atol=0, err_msg=f"{point} {COLUMNS}")


def said(study, point, fidelity):
    """Row and error of one simulation."""
    try:
        return np.array(row_of(simulation_of(study, point, fidelity=fidelity).run())), ""
    except CosimError as error:
        return np.full(len(COLUMNS), np.nan), str(error)


@pytest.mark.parametrize("fidelity", ["event", "mapped", "bound"])
@pytest.mark.parametrize(("chip", "network"), CASES, ids=str)
def test_a_point_is_what_one_simulation_says(chip, network, fidelity):
    study = study_of(chip, network, {**CHIPS[chip], **RUN})
    codes = study.space.random(np.random.default_rng(len(chip) + 7 * len(network)), N_POINTS[network])
    check(study, codes, fidelity)


def test_layers_of_their_own_bits_batches_and_other_networks_are_fields_like_others():
    axes = {
        "layers.conv_0.weight_bits": [None, 4],
        "layers.linear_5.weight_bits": [None, 6],
        "layers.conv_2.activation_bits": [None, 4],
        "weight_bits": [8, 4],
        "batch": [1, 3],
        "network": ["lenet5", "mlp"],
        "devices.cim.n_adcs": [8, 4],
    }
    study = study_of("edge_cim_soc", "lenet5", axes)
    check(study, study.space.random(np.random.default_rng(1), 12), "event")
