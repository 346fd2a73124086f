"""Data sets as arrays: the stored form, its checks, and what a network is trained on."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from puzzles.errors import DataError
from puzzles.files import atomic
from puzzles.labels import corrupt, random_labels
from puzzles.specs import NetworkSpec
from puzzles.streams import stream

KEYS = ("train_x", "train_y", "test_x", "test_y")


@dataclass(frozen=True)
class Dataset:
    """A data set as it is stored: images [N, H, W, C] uint8, labels [N] int64."""

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    @property
    def num_classes(self) -> int:
        """The classes are 0 to C - 1, as found in the training labels."""
        return int(self.train_y.max()) + 1

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        total = hashlib.sha256()
        for key in KEYS:
            array = np.ascontiguousarray(getattr(self, key))
            total.update(f"{key} {array.shape} {array.dtype}".encode())
            total.update(array)
        return total.hexdigest()


def checked(arrays: dict[str, np.ndarray], source: str, name: str) -> Dataset:
    """A ``Dataset`` from arrays ``train_x, train_y, test_x, test_y``: uint8 images NHWC or NHW and integer labels.

    Raises:
        DataError: one line that starts with ``source``.
    """

    def fail(what: str) -> None:
        raise DataError(f"{source}: {what}")

    for key in KEYS:
        if key not in arrays:
            fail(f"{key} is missing, expected the arrays {', '.join(KEYS)}; found {', '.join(arrays) or 'none'}")
    for split in ("train", "test"):
        _check_split(split, arrays[f"{split}_x"], arrays[f"{split}_y"], fail)
    if arrays["test_x"].shape[1:] != arrays["train_x"].shape[1:]:
        found, expected = arrays["test_x"].shape[1:], arrays["train_x"].shape[1:]
        fail(f"test_x has images of shape {found}, expected {expected} as in train_x")
    classes = int(arrays["train_y"].max()) + 1
    missing = np.setdiff1d(np.arange(min(classes, 10_000)), arrays["train_y"])
    if classes < 2 or len(missing):
        fail(
            f"train_y lacks the label {int(missing[0]) if len(missing) else 1}, expected every class from 0 to {classes - 1}"
        )
    if arrays["test_y"].max() >= classes:
        fail(f"test_y holds the label {arrays['test_y'].max()}, expected at most {classes - 1}, the largest of train_y")
    shaped = {key: arrays[key] for key in KEYS}
    for key in ("train_x", "test_x"):
        shaped[key] = shaped[key][..., None] if shaped[key].ndim == 3 else shaped[key]
    for key in ("train_y", "test_y"):
        shaped[key] = shaped[key].astype(np.int64)
    return Dataset(name, **shaped)


def _check_split(split: str, x: np.ndarray, y: np.ndarray, fail: Callable[[str], None]) -> None:
    if x.dtype != np.uint8:
        fail(f"{split}_x has dtype {x.dtype}, expected uint8")
    if x.ndim not in (3, 4) or 0 in x.shape:
        fail(f"{split}_x has shape {x.shape}, expected [N, H, W] or [N, H, W, C] with nothing empty")
    if x.shape[1] != x.shape[2]:
        fail(f"{split}_x has shape {x.shape}, expected square images")
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        fail(f"{split}_y has shape {y.shape} and dtype {y.dtype}, expected [N] integers")
    if len(y) != len(x):
        fail(f"{split}_y has {len(y)} labels, expected {len(x)}, one for each image of {split}_x")
    if y.min() < 0:
        fail(f"{split}_y holds the label {y.min()}, expected labels from 0")


def read_npz(path: str | Path, name: str) -> Dataset:
    """Read and check an npz file.

    Raises:
        DataError: the file is missing, damaged or of the wrong form.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected an npz with {', '.join(KEYS)}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # zipfile, zlib and numpy each have their own for a damaged file
        raise DataError(f"{path}: damaged or no npz file ({type(error).__name__}: {error})".replace("\n", " ")) from error
    return checked(arrays, str(path), name)


def write_npz(dataset: Dataset, path: str | Path) -> None:
    """Write the stored form, whole or not at all."""
    with atomic(path) as temporary:
        np.savez(temporary, **{key: getattr(dataset, key) for key in KEYS})


@dataclass(frozen=True)
class Examples:
    """What one network sees: images [N, H, W, C] float32, scaled, and labels [N] int64, for training and for testing."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    black: torch.Tensor  # [C] what a black pixel is after scaling

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        height, width, channels = self.train_x.shape[1:]
        return channels, height, width


class Preparation:
    """Prepares examples on a device, and keeps the scaled images that networks of one population share."""

    def __init__(self, dataset: Dataset, device: torch.device | str = "cpu") -> None:
        self.dataset = dataset
        self.device = torch.device(device)
        self._scaled: dict[tuple, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._subsets: dict[tuple, torch.Tensor] = {}

    def examples(self, spec: NetworkSpec) -> Examples:
        """The examples of a spec: subset, labels and scaling, each from the spec's own streams."""
        data = self.dataset
        subset = train_subset(data.train_y, spec.train_size, spec.subset_seed, data.name)
        train_y, test_y = data.train_y[subset], data.test_y
        if spec.labels == "random":
            train_y = random_labels(len(train_y), data.num_classes, spec.seed, "random_labels/train")
            test_y = random_labels(len(test_y), data.num_classes, spec.seed, "random_labels/test")
        train_y = corrupt(train_y, spec.corruption, spec.corruption_rule, data.num_classes, spec.seed)
        train_x, test_x, black = self._images(spec)
        if len(subset) < len(train_x):
            key = (*_scaling(spec), spec.train_size, spec.subset_seed)
            if key not in self._subsets:
                self._subsets[key] = train_x[torch.from_numpy(subset)]
            train_x = self._subsets[key]
        labels = (torch.from_numpy(y).to(self.device) for y in (train_y, test_y))
        return Examples(train_x, next(labels), test_x, next(labels), black)

    def reference_image(self, spec: NetworkSpec, index: int = 0) -> torch.Tensor:
        """x0 [H, W, C] of the output norm: one image of the whole training set, the same for every network."""
        train = self._images(spec)[0]
        if index >= len(train):
            raise DataError(
                f"{self.dataset.name}: found {len(train)} training images, expected more than output_image = {index}"
            )
        return train[index]

    def reference_images(self, spec: NetworkSpec, count: int) -> torch.Tensor:
        """The first ``count`` images of the whole training set (all, if there are fewer), [n, H, W, C]."""
        return self._images(spec)[0][:count]

    def _images(self, spec: NetworkSpec) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        key = _scaling(spec)
        if key not in self._scaled:
            train, test = (_floats(x, spec.image_size) for x in (self.dataset.train_x, self.dataset.test_x))
            mean, std = _statistics(train, spec, self.dataset.name)
            for images in (train, test):
                images.sub_(mean).div_(std)
            self._scaled[key] = tuple(images.to(self.device) for images in (train, test, -mean / std))
        return self._scaled[key]


def _scaling(spec: NetworkSpec) -> tuple:
    """What the scaled images of a data set depend on."""
    return (spec.image_size, spec.input_mean, spec.input_std)


def train_subset(labels: np.ndarray, size: int, seed: int, name: str) -> np.ndarray:
    """Indices of a class-stratified training subset; smaller ones are prefixes of larger ones. 0 takes all, in order.

    Examples are permuted, then dealt so that every prefix holds each class in its share of the whole (to one example).
    """
    if size == 0 or size == len(labels):
        return np.arange(len(labels))
    if size > len(labels):
        raise DataError(f"{name}: found {len(labels)} training examples, expected at least train_size = {size}")
    order = stream(seed, "train_subset").permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(shuffled == label)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(rank, kind="stable")][:size]


def _floats(images: np.ndarray, size: int) -> torch.Tensor:
    """uint8 [N, H, W, C] to float32 on the scale 0 to 1, bilinear to ``size`` pixels a side."""
    x = torch.from_numpy(np.array(images)).to(torch.float32).div_(255)
    if size and size != x.shape[1]:
        x = x.permute(0, 3, 1, 2)
        x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        x = x.permute(0, 2, 3, 1)
    return x.contiguous()


def _statistics(train: torch.Tensor, spec: NetworkSpec, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    channels = train.shape[-1]
    flat = train.reshape(-1, channels).numpy()
    given = (("input_mean", spec.input_mean, np.mean), ("input_std", spec.input_std, np.std))
    found = []
    for field, values, statistic in given:
        if len(values) not in (0, 1, channels):
            raise DataError(f"{name}: found {len(values)} numbers for {field}, expected 1 or {channels}, the channels")
        value = np.array(values) if values else statistic(flat, axis=0, dtype=np.float64)
        found.append(torch.from_numpy(np.broadcast_to(value, channels).astype(np.float32)))
    if not (found[1] > 0).all():
        raise DataError(f"{name}: a channel's standard deviation is {found[1].min():g}, expected above 0")
    return found[0], found[1]


def load(path: str | os.PathLike) -> Dataset:
    """The stored data set at ``path``; its file name is its name."""
    return read_npz(path, Path(path).stem)
