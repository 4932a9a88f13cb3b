from __future__ import annotations

import csv

import pytest

from cosim.validation.zoo import compare_zoo
from workloads.errors import WorkloadError
from workloads.registry import load_workload


def compare(tmp_path, name, input_shape, macs="1", params="1", variant="", **more):
    """The result of a file of one row."""
    row = {"name": name, "variant": variant, "input_shape": input_shape, "params": params, "macs": macs, **more}
    path = tmp_path / "nets.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, row)
        writer.writeheader()
        writer.writerow(row)
    (result,) = compare_zoo(path)
    return result


def test_a_row_holds_counts_expected_counts_and_errors(tmp_path):
    result = compare(tmp_path, "mlp_mnist", "784", macs="50816", params="50000", variant="v")
    assert result == {
        "name": "mlp_mnist",
        "variant": "v",
        "input_shape": "784",
        "status": "ok",
        "reason": "",
        "macs": 50816,
        "macs_expected": 50816,
        "macs_rel_error": 0.0,
        "params": 50890,
        "params_expected": 50000,
        "params_rel_error": pytest.approx(0.0178),
    }


def test_a_name_that_the_zoo_lacks_is_skipped(tmp_path):
    result = compare(tmp_path, "yolov5n", "3x640x640", macs="7")
    assert (result["status"], result["reason"], result["macs"], result["macs_expected"]) == ("skipped", "not in the zoo", None, 7)


def test_an_empty_count_is_not_compared(tmp_path):
    result = compare(tmp_path, "vgg8", "3x32x32", params="")
    assert (result["status"], result["params"], result["params_expected"], result["params_rel_error"]) == ("ok", 12973440, None, None)
    assert compare(tmp_path, "vgg8", "3x32x32", params="", macs="")["status"] == "skipped"


@pytest.mark.parametrize(
    ("name", "input_shape", "dims"),
    [
        ("resnet18", "3x192x160", {"height": 192, "width": 160}),
        ("vit_b_16", "3x192x192", {"height": 192, "width": 192}),
        ("lenet5", "1x28x28", {"height": 28, "width": 28}),
        ("mlp", "100", {"inputs": 100}),
        ("mlp_mnist", "1x28x28", {}),
        ("mlperf_tiny_dscnn_kws", "1x49x10", {}),
        ("bert_base_uncased", "384 tokens", {"seq": 384}),
        ("gpt2", "512 tokens, past 0", {"seq": 512, "past": 0}),
        ("gpt2", "1 token, past 512", {"seq": 1, "past": 512}),
        ("llama2_7b", "16 tokens", {"seq": 16, "past": 0}),
    ],
)
def test_a_network_is_built_at_the_shape_of_its_row(tmp_path, name, input_shape, dims):
    result = compare(tmp_path, name, input_shape)
    net = load_workload(name, **dims)
    assert (result["status"], result["reason"]) == ("ok", "")
    assert (result["macs"], result["params"]) == (net.n_macs, net.n_params)


@pytest.mark.parametrize("variant", ["CIFAR-100, 100 classes", "100 labels"])
def test_a_variant_may_name_its_classes(tmp_path, variant):
    result = compare(tmp_path, "resnet18", "3x32x32", variant=variant)
    assert result["params"] == load_workload("resnet18", classes=100).n_params


def test_batch_is_that_of_the_row(tmp_path):
    assert compare(tmp_path, "mlp_digits", "64", batch="3")["macs"] == 3 * (64 * 32 + 320)
    assert compare(tmp_path, "mlp_digits", "64", batch="")["macs"] == 64 * 32 + 320


@pytest.mark.parametrize(
    ("name", "input_shape", "reason"),
    [
        ("mlp_mnist", "640", "takes an input of 784, not 640"),
        ("resnet18", "1x224x224", "takes an input of 3x224x224, not 1x224x224"),
        ("resnet18", "3x224", "takes an input of 3x224x224, not 3x224"),
        ("resnet18", "big", "input shape 'big' is not understood"),
        ("resnet18", "12 tokens", "dimension 'seq' is not known"),
        ("bert_base", "8 tokens, past 3", "has no key and value cache"),
        ("bert_base", "3x224x224", "takes an input of 128, not 3x224x224"),
        ("bert_base", "1000 tokens", "1000 positions asked of a table of 512"),
        ("vit_b_16", "3x225x225", "not a whole number of 16x16 patches"),
        ("lenet5", "1x4x4", "has no result"),
    ],
)
def test_a_shape_that_does_not_fit_fails_its_row_with_a_reason(tmp_path, name, input_shape, reason):
    result = compare(tmp_path, name, input_shape)
    assert result["status"] == "failed"
    assert reason in result["reason"]
    assert result["macs"] is None


@pytest.mark.parametrize("column", ["name", "variant", "input_shape", "params", "macs"])
def test_a_missing_column_is_named(tmp_path, column):
    columns = [name for name in ("name", "variant", "input_shape", "params", "macs") if name != column]
    path = tmp_path / "nets.csv"
    path.write_text(",".join(columns) + "\n")
    with pytest.raises(WorkloadError, match=rf"nets\.csv: column '{column}' is missing"):
        compare_zoo(path)


def test_a_count_that_is_no_number_is_named_with_its_line(tmp_path):
    with pytest.raises(WorkloadError, match=r"nets\.csv: line 2: column 'params': 'lots'"):
        compare(tmp_path, "vgg8", "3x32x32", params="lots")
