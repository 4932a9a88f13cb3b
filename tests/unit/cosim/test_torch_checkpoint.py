"""Checkpoints: what is read back, whole or not at all, and runs that do not belong together."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from cosim.training import torch_checkpoint as store
from cosim.training.torch_fit import Progress
from workloads.errors import StoreError

CONFIG = {"seed": 3, "then": {"epochs": 4, "clip_row": None}, "network": "n"}


def progress(epoch=2):
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.5]))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    return Progress(epoch, {"layer.weight": weight.detach().clone()}, optimizer.state_dict())


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "seed3_final_aware.pt"
    store.save(path, progress(), CONFIG)
    return path


def test_what_is_read_back_is_what_was_kept(kept):
    found, wanted = store.load(kept, CONFIG), progress()
    assert found.epoch == 2
    torch.testing.assert_close(found.net, wanted.net, rtol=0, atol=0)
    torch.testing.assert_close(found.optimizer["state"], wanted.optimizer["state"], rtol=0, atol=0)
    assert found.optimizer["param_groups"] == wanted.optimizer["param_groups"]


def test_no_file_is_a_run_that_has_not_begun(tmp_path):
    assert store.load(tmp_path / "none.pt", CONFIG) is None


def test_the_last_epoch_takes_the_place_of_the_one_before_and_nothing_else_is_left(kept):
    store.save(kept, progress(3), CONFIG)
    assert store.load(kept, CONFIG).epoch == 3
    assert sorted(path.name for path in kept.parent.iterdir()) == ["seed3_final_aware.json", "seed3_final_aware.pt"]


def test_the_configuration_can_be_read_without_torch(kept):
    assert json.loads(kept.with_suffix(".json").read_text()) == CONFIG


def test_tuples_and_lists_are_one_configuration(kept):
    store.save(kept, progress(), {"off": ("read", "drift")})
    assert store.load(kept, {"off": ["read", "drift"]}).epoch == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 4}, "was trained with seed = 3, now asked for is 4"),
        ({"network": None}, "was trained with network = 'n', now asked for is None"),
        ({"path": "exact"}, "was trained with path = None, now asked for is 'exact'"),
        (
            {"then": {"epochs": 5, "clip_row": None}},
            "was trained with then = {'clip_row': None, 'epochs': 4}, now asked for is {'epochs': 5",
        ),
    ],
)
def test_another_run_is_refused_by_the_key_that_differs(kept, change, said):
    with pytest.raises(StoreError) as error:
        store.load(kept, {**CONFIG, **change})
    assert said in str(error.value)
    assert str(error.value).startswith(str(kept))
    assert "another --out, or start without --resume" in str(error.value)


def test_a_configuration_that_is_gone_or_broken_is_named(kept):
    beside = kept.with_suffix(".json")
    beside.write_text("{")
    with pytest.raises(StoreError, match=r"seed3_final_aware\.json: the configuration of seed3_final_aware\.pt cannot be read"):
        store.load(kept, CONFIG)
    beside.unlink()
    with pytest.raises(StoreError, match=r"No such file.*start without --resume"):
        store.load(kept, CONFIG)


@pytest.mark.parametrize("content", ["[1]", '"text"', "3", "null"])
def test_a_configuration_that_is_no_object_is_refused(kept, content):
    kept.with_suffix(".json").write_text(content)
    with pytest.raises(StoreError, match=r"the configuration of seed3_final_aware\.pt cannot be read"):
        store.load(kept, CONFIG)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_is_no_checkpoint(kept, share):
    data = kept.read_bytes()
    kept.write_bytes(data[: int(share * len(data))])
    with pytest.raises(StoreError, match=r"is no checkpoint of cosim .*; remove it, or start without --resume"):
        store.load(kept, CONFIG)


@pytest.mark.parametrize("content", [{"epoch": 1, "net": {}}, {"epoch": "one", "net": {}, "optimizer": {}}, [1, 2], "text"])
def test_a_file_of_torch_that_holds_something_else_is_no_checkpoint(kept, content):
    torch.save(content, kept)
    with pytest.raises(StoreError, match="is no checkpoint of cosim"):
        store.load(kept, CONFIG)


def test_a_file_that_would_run_code_is_refused_before_it_does(kept, tmp_path):
    class Opens:
        def __reduce__(self):
            return open, (str(tmp_path / "opened"), "w")

    torch.save({"epoch": 1, "net": Opens(), "optimizer": {}}, kept, pickle_module=pickle)
    with pytest.raises(StoreError, match="is no checkpoint of cosim"):
        store.load(kept, CONFIG)
    assert not (tmp_path / "opened").exists()


def test_a_folder_that_is_none_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        store.save(tmp_path / "file" / "run.pt", progress(), CONFIG)
