"""Data sets as they are stored: arrays, checks of their form, npz files."""

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puzzles.base.errors import DataError
from puzzles.base.files import atomic

KEYS = ("train_x", "train_y", "test_x", "test_y")
CHANNELS = (1, 3, 4)  # as pictures have them


@dataclass(frozen=True)
class Dataset:
    """A data set as it is stored: images [N, H, W, C] uint8, or float32 on a scale of the user's, labels [N] int64."""

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
            total.update(array.data)
        return total.hexdigest()


def checked(arrays: dict[str, np.ndarray], source: str, name: str) -> Dataset:
    """A ``Dataset`` from arrays ``train_x, train_y, test_x, test_y``: images NHWC, NHW or NCHW, and integer labels.

    Images are uint8, or floats, which are taken as they are. [N, C, H, W] is recognized where C is 1, 3 or 4 and the last
    axis is longer.

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
        first, advice = int(missing[0]) if len(missing) else 1, "np.unique(y, return_inverse=True)[1] leaves no gaps"
        fail(f"train_y lacks the label {first}, expected every class from 0 to {classes - 1}: {advice}")
    if arrays["test_y"].max() >= classes:
        fail(f"test_y holds the label {arrays['test_y'].max()}, expected at most {classes - 1}, the largest of train_y")
    shaped = {key: arrays[key] for key in KEYS}
    for key in ("train_x", "test_x"):
        shaped[key] = _nhwc(shaped[key])
    for key in ("train_y", "test_y"):
        shaped[key] = shaped[key].astype(np.int64)
    return Dataset(name, **shaped)


def _nhwc(x: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C], uint8 or float32."""
    x = x[..., None] if x.ndim == 3 else x
    if x.shape[1] in CHANNELS and x.shape[3] > max(CHANNELS):
        x = x.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x, None if x.dtype == np.uint8 else np.float32)


def _check_split(split: str, x: np.ndarray, y: np.ndarray, fail: Callable[[str], None]) -> None:
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        advice = "x.astype(np.uint8) for values 0 to 255" if np.issubdtype(x.dtype, np.integer) else "x.astype(float)"
        fail(f"{split}_x has dtype {x.dtype}, expected uint8 or floats: {advice}")
    if x.ndim not in (3, 4) or 0 in x.shape:
        advice = ": x.reshape(-1, H, W) or (-1, H, W, C)" if x.ndim == 2 else ""
        fail(f"{split}_x has shape {x.shape}, expected [N, H, W] or [N, H, W, C] with nothing empty{advice}")
    if x.dtype != np.uint8 and not np.abs(x).max() <= np.finfo(np.float32).max:
        fail(f"{split}_x holds values that are not finite in float32, expected numbers only")
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        advice = "y.argmax(axis=1)" if y.ndim == 2 and y.shape[1] > 1 else "y.reshape(-1).astype(int)"
        fail(f"{split}_y has shape {y.shape} and dtype {y.dtype}, expected [N] integers: {advice}")
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
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist() if entry.filename.removesuffix(".npy") in KEYS)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if size > memory:
            raise DataError(
                f"{path}: its arrays take {size / 1e9:.0f} GB, expected at most this machine's {memory / 1e9:.0f} GB"
            )
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] if key in KEYS else np.empty(0) for key in stored.files}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise different ones for a damaged file
        raise DataError(f"{path}: damaged, or no npz file; expected one with {', '.join(KEYS)} (numpy.savez)") from error
    return checked(arrays, str(path), name)


def write_npz(dataset: Dataset, path: str | Path) -> None:
    """Write a data set to an npz file, atomically."""
    with atomic(path) as temporary:
        np.savez(temporary, **{key: getattr(dataset, key) for key in KEYS})


def read_dataset(path: str | Path) -> Dataset:
    """The stored data set at ``path``; its file name is its name.

    Raises:
        DataError: as ``read_npz``.
    """
    return read_npz(path, Path(path).stem)
