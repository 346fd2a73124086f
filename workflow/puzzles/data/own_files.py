"""Images of one's own that are no npz: a folder of pictures for each class, or files in MNIST's format."""

import gzip
import tempfile
import typing
from pathlib import Path

import numpy as np

from puzzles.base.errors import DataError
from puzzles.data.dataset import Dataset, checked

if typing.TYPE_CHECKING:
    from PIL import Image  # at run time only where pictures are read

SPLITS = {"train": "train", "test": "t10k"}  # and what MNIST calls them
LARGEST = 2**32  # bytes of an unpacked archive: MNIST's have 47 million


def read_folder(path: Path, name: str, resize: int) -> Dataset:
    """Pictures ``train/<class>/<file>`` and ``test/<class>/<file>``, through torchvision; classes by name.

    Grey if every picture is, else RGB.

    Args:
        resize: pixels a side, bilinear after the larger side is cropped in the middle; 0 takes pictures as they are.

    Raises:
        DataError: a folder is missing, a picture is damaged, or sizes or classes differ.
    """
    from torchvision.datasets import ImageFolder

    arrays: dict[str, np.ndarray] = {}
    classes: list[str] = []
    splits = {}
    for split in SPLITS:
        try:
            splits[split] = ImageFolder(str(path / split))
        except (FileNotFoundError, OSError) as error:
            found = " ".join(str(error).split())
            raise DataError(f"{path / split}: expected a folder of pictures for each class; found: {found}") from error
        if classes and splits[split].classes != classes:
            odd = sorted(set(classes) ^ set(splits[split].classes))[0]
            raise DataError(f"{path}: found the class {odd} in only one of train and test, expected it in both")
        classes = splits[split].classes
    grey = all(_picture(file).mode == "L" for pictures in splits.values() for file, _ in pictures.samples)
    for split, pictures in splits.items():
        images = [_pixels(Path(file), grey, resize) for file, _ in pictures.samples]
        sizes = {image.shape[:2]: file for image, (file, _) in zip(images, pictures.samples, strict=True)}
        if len(sizes) > 1:
            (a, first), (b, second), *_ = sizes.items()
            raise DataError(
                f"{second}: found {b[0]}x{b[1]} pixels, {a[0]}x{a[1]} in {first}; expected one size (set resize)"
            )
        arrays |= {f"{split}_x": np.stack(images), f"{split}_y": np.array(pictures.targets)}
    return checked(arrays, str(path), name)


def _picture(file: str | Path) -> "Image.Image":
    from PIL import Image

    try:
        return Image.open(file)
    except Exception as error:  # PIL raises different ones for a damaged file
        raise DataError(f"{file}: damaged, or no picture: {' '.join(str(error).split())}") from error


def _pixels(file: Path, grey: bool, resize: int) -> np.ndarray:
    from PIL import Image, ImageOps

    with _picture(file) as picture:
        try:
            converted = picture.convert("L" if grey else "RGB")
        except Exception as error:
            raise DataError(f"{file}: damaged, or no picture: {' '.join(str(error).split())}") from error
    if resize:
        converted = ImageOps.fit(converted, (resize, resize), Image.Resampling.BILINEAR)
    return np.asarray(converted)


def read_idx(path: Path, name: str) -> Dataset:
    """A folder with files in MNIST's format, as MNIST, Fashion-MNIST and their like come: packed with gzip or not.

    ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte``.

    Raises:
        DataError: a file is missing or damaged.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    arrays = {}
    with tempfile.TemporaryDirectory(prefix="puzzles-") as scratch:
        for split, prefix in SPLITS.items():
            for key, suffix, read in (("x", "images-idx3", read_image_file), ("y", "labels-idx1", read_label_file)):
                file = _unpacked(path, f"{prefix}-{suffix}-ubyte", Path(scratch))
                try:
                    arrays[f"{split}_{key}"] = read(str(file)).numpy()
                except Exception as error:  # torchvision asserts, and numpy raises, where a file is cut
                    raise DataError(f"{path}/{file.name}: damaged, or not in MNIST's format") from error
    return checked(arrays, str(path), name)


def _unpacked(folder: Path, name: str, scratch: Path) -> Path:
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file():
        return plain
    if not packed.is_file():
        raise DataError(f"{plain}: no such file, nor {packed.name}; expected one of them, in MNIST's format")
    target = scratch / name
    try:
        with gzip.open(packed) as source, target.open("wb") as copy:
            while chunk := source.read(2**24):
                copy.write(chunk)
                if copy.tell() > LARGEST:
                    raise DataError(f"{packed}: unpacks to more than {LARGEST / 1e9:.0f} GB, expected images like MNIST's")
    except (OSError, EOFError) as error:
        raise DataError(f"{packed}: damaged, or not packed with gzip") from error
    return target
