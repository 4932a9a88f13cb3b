"""Labeled inputs: which rows are training, validation and test, how raw values are scaled, and how they fit a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosim.training.loaders import Raw, read_digits, read_folder, read_mnist5k, read_npz
from workloads.errors import WorkloadError, suggest

Inputs = NDArray[np.float32]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]
Kind = Literal["standard", "unit", "raw"]

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2  # assumed: of a user's data that come without a test set
PAD_PIXELS = 2  # each side: LeCun et al. 1998, section II.B, sets digits of 28 x 28 into 32 x 32


class Scale(NamedTuple):
    """How raw values become inputs: (x / full - mean) / std."""

    full: float
    mean: float
    std: float


class Split(NamedTuple):
    """Row numbers of training, validation and test, each ascending; no row is in two."""

    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Raw inputs [n, ...] with labels [n] in 0 .. n_classes - 1, the rows held out as test, and the scale to normalize with."""

    name: str
    inputs: Inputs
    labels: Labels
    n_classes: int
    is_test: NDArray[np.bool_]
    scale: Scale
    split_seed: int = 0
    class_names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.inputs.shape[1:]

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.labels)


class _Source(NamedTuple):
    """A data set by name: its reader, test rows a class, and scale."""

    read: Callable[[], Raw]
    n_test: int
    scale: Scale


# Test rows and scales are conventions of this project; mean and std are those of the pixels of MNIST and of the digits, rounded.
MNIST, DIGITS = Scale(255.0, 0.1307, 0.3081), Scale(16.0, 0.305, 0.376)
_NAMED = {
    "digits8x8": _Source(read_digits, 45, DIGITS),
    "mnist5k": _Source(read_mnist5k, 100, MNIST),
}
DATASETS = tuple(sorted(_NAMED))
ROTATED = "_rotated"


def load_data(source: str | Path, split_seed: int = 0) -> Dataset:
    """Return the data set of a name (`digits8x8`, `mnist5k`), an .npz file, or a folder of images.

    A name with `_rotated` behind it has each image turned by an angle of its own, drawn by `split_seed` (`rotated`).
    Test rows: for each class in order, its row numbers are permuted with one generator of `split_seed` that all classes share, and the
    first 45 (digits8x8), 100 (mnist5k) or fifth (other data) of them are test. Data that bring a test set keep it.

    Raises
    ------
    WorkloadError
        A name that is not known, a package that is missing, a file or folder that does not hold what it should, or a split seed for data
        whose own test set cannot be drawn again.
    """
    if str(source) in _NAMED:
        named = _NAMED[str(source)]
        raw = named.read()
        return _dataset(str(source), raw, split_seed, held_out(raw.labels, split_seed, named.n_test), named.scale)
    if str(source).removesuffix(ROTATED) in _NAMED:
        return rotated(load_data(str(source).removesuffix(ROTATED), split_seed), split_seed)
    path = Path(source)
    if not path.exists():
        raise WorkloadError(f"data {str(source)!r}: no such data set, file or folder; {suggest(str(source), _NAMED)}")
    raw = read_folder(path) if path.is_dir() else read_npz(path)
    if raw.is_test is None:
        return _dataset(path.stem, raw, split_seed, held_out(raw.labels, split_seed), None)
    if split_seed:
        raise WorkloadError(f"{path}: it says which rows are test, so split seed {split_seed} has no meaning; leave it at 0")
    return _dataset(path.stem, raw, split_seed, raw.is_test, None)


def _dataset(name: str, raw: Raw, split_seed: int, is_test: NDArray[np.bool_], scale: Scale | None) -> Dataset:
    n_classes = max(len(raw.class_names), int(raw.labels.max()) + 1)
    if is_test.all() or not is_test.any():
        raise WorkloadError(
            f"{name}: {len(raw.labels)} rows leave none to {'train on' if is_test.all() else 'test'}; give more of each class"
        )
    largest = np.finfo(np.float32).max
    if raw.inputs.max() > largest or raw.inputs.min() < -largest:
        raise WorkloadError(f"{name}: inputs beyond ±{largest:.2g} do not fit float32; scale them down")
    used = scale or _measured(raw.inputs, is_test)
    inputs = np.ascontiguousarray(raw.inputs, dtype=np.float32)
    return Dataset(name, inputs, raw.labels, n_classes, is_test, used, split_seed, raw.class_names)


def _measured(inputs: NDArray[np.generic], is_test: NDArray[np.bool_]) -> Scale:
    """Return the scale of a user's data: full scale of bytes is 255, else 1; mean and deviation are those of the rows that are not test."""
    full = 255.0 if inputs.dtype == np.uint8 else 1.0
    values = inputs[~is_test].astype(np.float64) / full
    return Scale(full, float(values.mean()), float(values.std()) or 1.0)


def held_out(labels: Labels, seed: int, n_each: int | None = None) -> NDArray[np.bool_]:
    """Return which rows [n] are test: of each class the first `n_each` of its rows permuted; None takes a fifth, rounded."""
    return _first_of_each(labels, np.arange(len(labels)), seed, lambda n: round(TEST_SHARE * n) if n_each is None else n_each)


def _first_of_each(labels: Labels, rows: Rows, seed: int, n_first: Callable[[int], int]) -> NDArray[np.bool_]:
    """Mark the first rows of each class, permuted with one generator shared by the classes in order."""
    rng = np.random.default_rng(seed)
    marked = np.zeros(len(labels), dtype=bool)
    for number in range(int(labels.max()) + 1):
        own = rng.permutation(rows[labels[rows] == number])
        marked[own[: n_first(own.size)]] = True
    return marked


def split(dataset: Dataset, seed: int) -> Split:
    """Return training, validation and test rows: validation is a tenth of each class of what is not test, drawn by `seed`.

    The test rows are the data set's, whatever the seed.

    Raises
    ------
    WorkloadError
        Where a tenth of each class, rounded, is nothing.
    """
    learned = np.flatnonzero(~dataset.is_test)
    held = _first_of_each(dataset.labels, learned, seed, lambda n: round(VALIDATION_SHARE * n))
    if not held.any():
        raise WorkloadError(f"{dataset.name}: {learned.size} training rows are too few for a validation set; give about 10 of each class")
    return Split(np.flatnonzero(~dataset.is_test & ~held), np.flatnonzero(held), np.flatnonzero(dataset.is_test))


def normalized(dataset: Dataset, kind: Kind | tuple[float, float, float] = "standard") -> Inputs:
    """Return inputs [n, ...] as a network sees them.

    Equation: (x / full - mean) / std of the data set's scale ("standard") or of a given one, x / full ("unit"), or x ("raw").
    """
    if kind == "raw":
        return dataset.inputs
    full, mean, std = dataset.scale if isinstance(kind, str) else kind
    if kind == "unit":
        mean, std = 0.0, 1.0
    return ((dataset.inputs.astype(np.float64) / full - mean) / std).astype(np.float32)


# --- shapes ------------------------------------------------------------------------------------------------------


def check_shape(dataset: Dataset, input_shape: Sequence[int], network: str) -> None:
    """Raise WorkloadError with both shapes unless the examples are, or can be made, what a network takes (without its batch)."""
    if not _reshapes(dataset.shape, tuple(input_shape)) and not _margins(dataset.shape, tuple(input_shape)):
        raise WorkloadError(
            f"{network} takes inputs of shape {list(input_shape)}; {dataset.name} has {list(dataset.shape)}, "
            f"{math.prod(dataset.shape)} values for {math.prod(input_shape)}; choose other data or build the network for this shape"
        )


def fitted(dataset: Dataset, input_shape: Sequence[int], network: str = "the network") -> Dataset:
    """Return the data in the shape that a network takes: flat or with channels, or an image of 28 x 28 with a margin of 2 raw zeros.

    Raises
    ------
    WorkloadError
        Where neither makes them fit; both shapes are in the message.
    """
    shape = tuple(input_shape)
    check_shape(dataset, shape, network)
    if _reshapes(dataset.shape, shape):
        return dataset if dataset.shape == shape else replace(dataset, inputs=dataset.inputs.reshape(-1, *shape))
    images = dataset.inputs.reshape(-1, *_image(dataset.shape))
    padded = np.pad(images, ((0, 0), (0, 0), *[(PAD_PIXELS, PAD_PIXELS)] * 2))
    return replace(dataset, inputs=padded.reshape(-1, *shape))


def _reshapes(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether shapes differ by axes of one, or one of them is flat."""
    same = [size for size in given if size != 1] == [size for size in wanted if size != 1]
    return math.prod(given) == math.prod(wanted) and (same or 1 in {len(given), len(wanted)})


def _margins(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an image is wanted with a margin on all sides, channels as they are."""
    if min(len(given), len(wanted)) < 2 or max(len(given), len(wanted)) > 3:
        return False
    (channels, rows, columns), (channels_wanted, *sides) = _image(given), _image(wanted)
    return channels == channels_wanted and sides == [rows + 2 * PAD_PIXELS, columns + 2 * PAD_PIXELS]


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channels, rows, columns) of an image with or without channels."""
    channels, rows, columns = (1, *shape)[-3:]
    return channels, rows, columns


# --- made from other data -----------------------------------------------------------------------------------------


def rotated(dataset: Dataset, seed: int, degrees: float = 360.0, step_degrees: float | None = None) -> Dataset:
    """Return the images, each turned counterclockwise by its own random angle, for networks that know symmetries.

    Angles are uniform in [0, degrees), or among the multiples of `step_degrees` below `degrees`. Multiples of 90 degrees move pixels;
    others are interpolated linearly about the center, with zeros outside. Rotated MNIST draws all angles likewise (Larochelle et al.,
    An empirical evaluation of deep architectures, ICML 2007).

    Raises
    ------
    WorkloadError
        Inputs that are no square images, or a step that is not above zero.
    """
    if dataset.inputs.ndim < 3 or dataset.shape[-1] != dataset.shape[-2]:
        raise WorkloadError(
            f"{dataset.name}: {list(dataset.shape)} are no square images and cannot be turned; give [n, channels, side, side]"
        )
    if degrees <= 0 or (step_degrees is not None and step_degrees <= 0):
        raise WorkloadError(f"rotated: degrees {degrees:g} and step {step_degrees} have to be above 0")
    rng = np.random.default_rng(seed)
    angles: NDArray[np.floating] = rng.uniform(0.0, degrees, dataset.n)
    if step_degrees is not None:
        angles = step_degrees * rng.integers(math.ceil(degrees / step_degrees - 1e-9), size=dataset.n)
    turned = np.stack([_turned(image, float(angle)) for image, angle in zip(dataset.inputs, angles, strict=True)])
    return replace(dataset, name=f"{dataset.name}{ROTATED}", inputs=turned)


def _turned(image: Inputs, angle_degrees: float) -> Inputs:
    """Return an image [..., side, side] turned counterclockwise."""
    quarters = angle_degrees / 90.0
    if quarters == round(quarters):
        return np.ascontiguousarray(np.rot90(image, round(quarters), axes=(-2, -1)))
    from scipy import ndimage  # noqa: PLC0415  (only this needs it)

    return np.asarray(ndimage.rotate(image, angle_degrees, axes=(-1, -2), reshape=False, order=1), dtype=np.float32)
