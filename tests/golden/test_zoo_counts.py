"""Published parameter and MAC counts of the zoo's networks."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim.validation
from cosim.validation.zoo import compare_zoo
from workloads.registry import list_networks, load_workload

CSV = Path(cosim.validation.__file__).parent / "data" / "networks.csv"
ROWS = compare_zoo(CSV)
COMPARED = [row for row in ROWS if row["status"] != "skipped"]

# Model tables of docs.pytorch.org/vision/stable/models.html: num_params, GFLOPS (which are GMAC).
TORCHVISION = {
    "densenet161": (28681000, 7.728),
    "densenet169": (14149480, 3.360),
    "densenet201": (20013928, 4.291),
    "resnet34": (21797672, 3.664),
    "resnet152": (60192808, 11.514),
    "resnext101_32x8d": (88791336, 16.414),
    "resnext101_64x4d": (83455272, 15.460),
    "squeezenet1_1": (1235496, 0.349),
    "vgg11": (132863336, 7.609),
    "vgg13": (133047848, 11.308),
    "vgg11_bn": (132868840, 7.609),
    "vgg13_bn": (133053736, 11.308),
    "vgg19_bn": (143678248, 19.632),
    "vit_b_32": (88224232, 4.409),
    "vit_l_16": (304326632, 61.555),
    "vit_l_32": (306535400, 15.378),
    "wide_resnet50_2": (68883240, 11.398),
    "wide_resnet101_2": (126886696, 22.753),
}

# Parameters: model cards, or the numbers that the papers round to.
PUBLISHED_PARAMS = {
    "bert_tiny": 4.4e6,  # Turc et al. (arXiv:1908.08962), table 1
    "bert_mini": 11.3e6,
    "bert_small": 29.1e6,
    "bert_medium": 41.7e6,
    "gemma2_9b": 9.24e9,  # 8324 M without embeddings + 918 M (arXiv:2408.00118, table 2)
    "gpt2_xl": 1.558e9,  # released as model 1558M; the paper says 1542M
    "llama3_70b": 70.6e9,
    "llama3.1_405b": 406e9,
    "llama3.2_3b": 3.21e9,  # model card
    "llama_65b": 65.2e9,  # arXiv:2302.13971, table 2
    "llama_30b": 32.5e9,
    "qwen2.5_1.5b": 1.54e9,  # model card
    "qwen2.5_14b": 14.7e9,
    "resnet32_cifar": 0.46e6,  # arXiv:1512.03385, table 6
    "resnet110_cifar": 1.7e6,
    "resnet1202_cifar": 19.4e6,
    "vit_h_14": 632e6,  # arXiv:2010.11929, table 1
}


def test_every_family_of_the_table_that_the_zoo_holds_is_compared():
    assert len(COMPARED) >= 68
    assert {row["name"] for row in ROWS} & set(list_networks()) == {row["name"] for row in COMPARED}


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: f"{row['name']}-{row['input_shape']}")
def test_counts_equal_the_published_ones_exactly(row):
    assert (row["status"], row["reason"]) == ("ok", "")
    assert (row["macs"], row["params"]) == (row["macs_expected"], row["params_expected"])


@pytest.mark.parametrize("name", TORCHVISION)
def test_other_depths_equal_the_tables_of_torchvision(name):
    net = load_workload(name)
    params, gmac = TORCHVISION[name]
    assert net.n_params == params
    assert net.n_macs == pytest.approx(gmac * 1e9, abs=0.6e6)


@pytest.mark.parametrize("name", PUBLISHED_PARAMS)
def test_other_sizes_are_as_large_as_published(name):
    assert load_workload(name).n_params == pytest.approx(PUBLISHED_PARAMS[name], rel=0.02)


def test_trainable_parameters_of_visual_wake_words():
    """MLPerf Tiny: Keras total 221794, of which 5472 running statistics; 7.5 M MACs."""
    net = load_workload("mlperf_tiny_mobilenet_vww")
    assert net.n_params == 221794 - 5472
    assert net.n_macs == pytest.approx(7.5e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "mmacs", "mparams"), [("mobilenetv1_075", 325, 2.6), ("mobilenetv1_050", 149, 1.3), ("mobilenetv1_025", 41, 0.5)]
)
def test_mobilenet_v1_multipliers(name, mmacs, mparams):
    """arXiv:1704.04861, table 6 (M mult-adds, M parameters)."""
    net = load_workload(name)
    assert net.n_macs == pytest.approx(mmacs * 1e6, rel=0.02)
    assert round(net.n_params / 1e6, 1) == mparams


@pytest.mark.parametrize(("size", "mmacs"), [(192, 418), (160, 290), (128, 186)])
def test_mobilenet_v1_resolutions(size, mmacs):
    """arXiv:1704.04861, table 7 (M mult-adds)."""
    assert load_workload("mobilenetv1_100", height=size, width=size).n_macs == pytest.approx(mmacs * 1e6, rel=0.01)
