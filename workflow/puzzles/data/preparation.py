"""Prepare the examples of one network: a subset of a data set, its labels, its scaled images."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from puzzles.base.errors import DataError
from puzzles.base.randomness import generator
from puzzles.config.specs import NetworkSpec
from puzzles.data.dataset import Dataset
from puzzles.data.labels import corrupt, random_labels


@dataclass(frozen=True)
class Examples:
    """The examples of one network: scaled images [N, H, W, C] float32 and labels [N] int64, for training and for testing."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    black: torch.Tensor  # [C] value of a black pixel after scaling

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        height, width, channels = self.train_x.shape[1:]
        return channels, height, width


class Preparation:
    """Prepares examples on a device; networks of a population share the scaled images that it keeps."""

    def __init__(self, dataset: Dataset, device: torch.device | str = "cpu") -> None:
        self.dataset = dataset
        self.device = torch.device(device)
        self._scaled: dict[tuple, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._subsets: dict[tuple, torch.Tensor] = {}

    def examples(self, spec: NetworkSpec) -> Examples:
        """The examples of a spec: subset, labels and scaling, each from the spec's own streams.

        Raises:
            DataError: the data set has too few training examples, or other channels than the spec.
        """
        data = self.dataset
        subset = train_subset(data.train_y, spec.train_size, spec.subset_seed, data.name)
        train_y, test_y = data.train_y[subset], data.test_y
        if spec.labels == "random":
            train_y = random_labels(len(train_y), data.num_classes, spec.seed, "random_labels/train")
            test_y = random_labels(len(test_y), data.num_classes, spec.seed, "random_labels/test")
        train_y = corrupt(train_y, spec.corruption, spec.corruption_rule, data.num_classes, spec.seed)
        train_x, test_x, black = self.scaled_images(spec)
        if len(subset) < len(train_x):
            key = (*_scaling(spec), spec.train_size, spec.subset_seed)
            if key not in self._subsets:
                self._subsets[key] = train_x[torch.from_numpy(subset)]
            train_x = self._subsets[key]
        labels = (torch.from_numpy(y).to(self.device) for y in (train_y, test_y))
        return Examples(train_x, next(labels), test_x, next(labels), black)

    def reference_image(self, spec: NetworkSpec, index: int = 0) -> torch.Tensor:
        """x0 [H, W, C] of the output norm: one image of the whole training set, the same for every network.

        Raises:
            DataError: there is no image of this index, or the data set has other channels than the spec.
        """
        train = self.scaled_images(spec)[0]
        if index >= len(train):
            raise DataError(
                f"{self.dataset.name}: found {len(train)} training images, expected more than output_image = {index}"
            )
        return train[index]

    def reference_images(self, spec: NetworkSpec, count: int) -> torch.Tensor:
        """The first ``count`` images of the whole training set (all, if there are fewer), [n, H, W, C].

        Raises:
            DataError: as ``scaled_images``.
        """
        return self.scaled_images(spec)[0][:count]

    def scaled_images(self, spec: NetworkSpec) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All training images and all test images [N, H, W, C] as a spec scales them, and a black pixel [C].

        Raises:
            DataError: the spec has numbers for other channels than the images have, or a channel is the same everywhere.
        """
        key = _scaling(spec)
        if key not in self._scaled:
            train, test = (_floats(x, spec.image_size) for x in (self.dataset.train_x, self.dataset.test_x))
            mean, std = _statistics(train, spec, self.dataset.name)
            for images in (train, test):
                images.sub_(mean).div_(std)
            black = -mean / std
            self._scaled[key] = (train.to(self.device), test.to(self.device), black.to(self.device))
        return self._scaled[key]


def check_images(dataset: Dataset, specs: Iterable[NetworkSpec], place: str) -> None:
    """Look at the pixels once, before anything trains: what networks on them need.

    Args:
        place: where the data are from, for the message.

    Raises:
        DataError: numbers for other channels than the images have; or a channel that is the same in every image, where its
            standard deviation is to divide it.
    """
    channels = dataset.train_x.shape[-1]
    flat = dataset.train_x.reshape(-1, channels)
    constant = [k for k in range(channels) if flat[:, k].min() == flat[:, k].max()]
    for spec in {_scaling(spec): spec for spec in specs}.values():
        for field in ("input_mean", "input_std"):
            count = len(getattr(spec, field))
            if count not in (0, 1, channels):
                raise DataError(f"{place}: has {channels} channels, expected {count}, for which {field} has numbers")
        if constant and not spec.input_std:
            found = f"channel {constant[0]} is {flat[0, constant[0]]} everywhere in train_x"
            raise DataError(f"{place}: {found}, expected it to differ (or numbers for input_std)")


def _scaling(spec: NetworkSpec) -> tuple:
    """The settings that the scaled images of a data set depend on."""
    return (spec.image_size, spec.input_mean, spec.input_std)


def train_subset(labels: np.ndarray, size: int, seed: int, name: str) -> np.ndarray:
    """Indices of a class-stratified training subset; smaller ones are prefixes of larger ones. 0 takes all, in order.

    Examples are permuted, then ordered so that in every prefix each class has its share of the whole, to one example.

    Raises:
        DataError: there are fewer examples than ``size``.
    """
    if size == 0 or size == len(labels):
        return np.arange(len(labels))
    if size > len(labels):
        raise DataError(f"{name}: found {len(labels)} training examples, expected at least train_size = {size}")
    order = generator(seed, "train_subset").permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(shuffled == label)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(rank, kind="stable")][:size]


def _floats(images: np.ndarray, size: int) -> torch.Tensor:
    """uint8 [N, H, W, C] to float32 on the scale 0 to 1 (floats keep theirs), bilinear to ``size`` pixels a side."""
    x = torch.from_numpy(np.array(images)).to(torch.float32)
    if images.dtype == np.uint8:
        x.div_(255)
    if size and (size, size) != tuple(x.shape[1:3]):
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
