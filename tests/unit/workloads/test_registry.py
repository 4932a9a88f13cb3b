from __future__ import annotations

import pytest

from workloads import plugins, registry
from workloads.builder import GraphBuilder
from workloads.errors import WorkloadError
from workloads.registry import list_networks, load_workload, network


@pytest.fixture
def empty(monkeypatch):
    """A registry of its own, so that a test leaves no network behind."""
    monkeypatch.setattr(registry, "_REGISTRY", {})
    monkeypatch.setattr(registry, "_load_all", lambda: None)


def line(name, batch=1, size=8, depth=2, *, width=3):
    b = GraphBuilder(name, batch)
    x = b.input("x", batch, size)
    for _ in range(depth):
        x = b.linear(x, width)
    return b.build(x, dims={"size": size})


def test_integers_before_the_star_are_dimensions(empty):
    network("line", title="Line", paper="nobody 2020")(line)
    assert list_networks()["line"].dims == {"batch": 1, "size": 8, "depth": 2}


def test_fixed_values_are_not_dimensions_and_defaults_can_be_replaced(empty):
    network("line", title="Line", paper="p", dims={"size": 5}, depth=1)(line)
    assert list_networks()["line"].dims == {"batch": 1, "size": 5}
    assert load_workload("line").n_macs == 5 * 3
    assert load_workload("line", size=7).n_macs == 7 * 3


def test_an_alias_builds_the_same_network_under_its_own_name(empty):
    network("line", title="Line", paper="p", aliases=("row",))(line)
    assert list_networks()["row"].alias_of == "line"
    assert list_networks()["line"].alias_of == ""
    assert load_workload("row").name == "row"
    assert load_workload("row").n_macs == load_workload("line").n_macs


def test_a_name_is_given_once(empty):
    network("line", title="Line", paper="p")(line)
    with pytest.raises(WorkloadError, match="network 'line' is registered twice"):
        network("row", title="Row", paper="p", aliases=("line",))(line)


def test_a_network_tells_its_paper(empty):
    network("line", title="Line", paper="nobody 2020")(line)
    assert load_workload("line").source == "nobody 2020"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(WorkloadError, match=r"'resnet5O' is neither a network of the zoo nor an .onnx file; did you mean 'resnet50'\?"):
        load_workload("resnet5O")


def test_an_unknown_dimension_suggests_the_nearest():
    with pytest.raises(WorkloadError, match=r"resnet18: dimension 'heigth' is not known; did you mean 'height'\?"):
        load_workload("resnet18", heigth=3)
    with pytest.raises(WorkloadError, match="dimension 'seq' is not known"):
        load_workload("resnet18", seq=3)


@pytest.mark.parametrize(
    ("dims", "hint"), [({"seq": 0}, "1 or more"), ({"past": -1}, "0 or more"), ({"batch": 0}, "1 or more"), ({"seq": 1.5}, "1")]
)
def test_a_dimension_out_of_range_is_refused(dims, hint):
    with pytest.raises(WorkloadError, match=f"gpt2: dimension .* is out of range; choose a whole number of {hint}"):
        load_workload("gpt2", **dims)


def test_a_past_of_zero_is_a_prefill():
    assert load_workload("gpt2", seq=4, past=0).dims["past"] == 0


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg8", "bert_base", "gpt2", "mlp", "lenet5", "mobilenet_v2", "llama3.2_1b"])
def test_short_names_build(name):
    net = load_workload(name, batch=2)
    assert net.name == name
    assert net.batch == net.dims["batch"] == 2


class _Point:
    name, value = "broken", "no_such_package:net"

    def load(self):
        raise ImportError("No module named 'no_such_package'")


def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [_Point()])
    with pytest.raises(WorkloadError, match=r"entry point 'broken' of group cosim.workloads \(no_such_package:net\) cannot be loaded"):
        registry._load_all.__wrapped__()
