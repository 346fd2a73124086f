"""Data sets: what is accepted, what is refused with one line, what is left behind."""

import gzip
import io
import os
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_spec
from PIL import Image

from puzzles.base.errors import DataError
from puzzles.config.specs import Architecture, Select
from puzzles.data.dataset import Dataset, checked, read_dataset, read_npz, write_npz
from puzzles.data.download import Fetch, fetch, fetch_to
from puzzles.data.preparation import Preparation, train_subset
from puzzles.training import cache
from puzzles.training.population import Population


def arrays(**changes: object) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    good = {
        "train_x": draw.integers(256, size=(20, 8, 8, 3), dtype=np.uint8),
        "train_y": np.arange(20) % 4,
        "test_x": draw.integers(256, size=(8, 8, 8, 3), dtype=np.uint8),
        "test_y": np.arange(8) % 4,
    }
    good.update(changes)
    return {key: value for key, value in good.items() if value is not None}


BROKEN = [
    ({"test_y": None}, "test_y is missing, expected the arrays train_x, train_y, test_x, test_y"),
    ({"train_x": np.zeros((20, 8, 8, 3), int)}, "train_x has dtype int64, expected uint8 or floats: x.astype(np.uint8)"),
    ({"train_x": np.full((20, 8, 8, 3), np.nan)}, "train_x holds values that are not finite in float32"),
    ({"train_x": np.full((20, 8, 8, 3), 1e300)}, "train_x holds values that are not finite in float32"),
    ({"train_x": np.zeros((20, 64), np.uint8)}, "train_x has shape (20, 64), expected [N, H, W]"),
    ({"train_x": np.zeros((0, 8, 8, 3), np.uint8), "train_y": np.zeros(0, int)}, "with nothing empty"),
    ({"train_y": np.arange(19) % 4}, "train_y has 19 labels, expected 20"),
    ({"train_y": (np.arange(20) % 4).astype(float)}, "train_y has shape (20,) and dtype float64, expected [N] integers"),
    (
        {"train_y": np.eye(20, 4, dtype=int)},
        "train_y has shape (20, 4) and dtype int64, expected [N] integers: y.argmax(axis=1)",
    ),
    ({"train_y": np.arange(20) % 4 - 1}, "train_y holds the label -1, expected labels from 0"),
    ({"train_y": np.arange(20) % 4 * 2}, "train_y lacks the label 1, expected every class from 0 to 6"),
    ({"train_y": np.zeros(20, int)}, "train_y lacks the label 1"),
    ({"test_y": np.arange(8)}, "test_y holds the label 7, expected at most 3, the largest of train_y"),
    ({"test_x": np.zeros((8, 9, 9, 3), np.uint8)}, "test_x has images of shape (9, 9, 3), expected (8, 8, 3)"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=[m[:40] for _, m in BROKEN])
def test_one_line_for_each_wrong_npz(tmp_path: Path, changes: dict, message: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(DataError) as error:
        read_npz(path, "mine")
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "pickle", "missing"])
def test_one_line_for_each_damaged_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays())
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "pickle":
        np.savez(path, **arrays(train_y=np.array([{"a": 1}] * 20, dtype=object)))
    else:
        path.unlink()
    with pytest.raises(DataError) as error:
        read_npz(path, "mine")
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_hostile_archives_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that would leave the folder, an array larger than any memory, a bomb: one line, and nothing is written."""
    path = tmp_path / "data" / "mine.npz"
    path.parent.mkdir()
    np.savez(path, **arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil.npy", b"x" * 100)
    before = sorted(tmp_path.rglob("*"))
    read_npz(path, "mine")
    assert sorted(tmp_path.rglob("*")) == before
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**13, 8, 8, 3)}
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(lying, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_x.npy", lying.getvalue() + bytes(100))
    with pytest.raises(DataError, match=r"mine.npz: damaged, or no npz file"):
        read_npz(path, "mine")
    np.savez_compressed(path, **arrays(train_x=np.zeros((20, 64, 64, 3), np.uint8)))
    monkeypatch.setattr(os, "sysconf", lambda name: 100)  # a machine of 10,000 bytes
    with pytest.raises(DataError, match=r"mine.npz: its arrays take .* GB, expected at most this machine's"):
        read_npz(path, "mine")


def test_an_npz_comes_back_as_it_was(tmp_path: Path) -> None:
    grey = arrays(train_x=arrays()["train_x"][..., 0], test_x=arrays()["test_x"][..., 0])
    dataset = checked(grey, "here", "grey")
    assert dataset.train_x.shape == (20, 8, 8, 1)
    write_npz(dataset, tmp_path / "grey.npz")
    again = read_dataset(tmp_path / "grey.npz")
    assert again.name == "grey"
    assert again.digest == dataset.digest
    assert replace(again, test_y=again.test_y[::-1]).digest != dataset.digest


def test_the_users_npz_is_found_below_data_dir(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays())
    dataset, provenance = fetch("own", {"source": "npz", "path": "mine.npz"}, Fetch(tmp_path))
    assert (dataset.name, dataset.num_classes) == ("own", 4)
    assert provenance["origin"] == "mine.npz from data_dir"


def test_an_npz_that_is_not_the_data_set_it_is_named_after_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", **arrays())
    with pytest.raises(DataError, match=r"mnist.npz: train_x has shape \(20, 8, 8, 3\), expected \(60000, 28, 28, 1\)"):
        fetch("mnist", {"source": "mnist"}, Fetch(tmp_path))


def test_digits(digits: Dataset) -> None:
    assert digits.train_x.shape == (1437, 8, 8, 1)
    assert digits.test_x.shape == (360, 8, 8, 1)
    assert digits.train_x.max() == 255
    counts = np.bincount(digits.train_y) / np.bincount(np.concatenate([digits.train_y, digits.test_y]))
    assert np.ptp(counts) < 0.01  # stratified


def test_digits_with_a_larger_test_set() -> None:
    dataset, provenance = fetch("digits_few", {"source": "digits", "test_size": 1697}, Fetch())
    assert (dataset.name, len(dataset.train_y), len(dataset.test_y)) == ("digits_few", 100, 1697)
    assert provenance["test"]["examples"] == 1697
    assert set(np.bincount(dataset.train_y)) <= {9, 10, 11}  # stratified


def test_train_subsets_are_stratified_prefixes(digits: Dataset) -> None:
    sizes = [10, 50, 100, 500, 1437]
    subsets = [train_subset(digits.train_y, size, 3, "digits") for size in sizes]
    for size, subset in zip(sizes, subsets, strict=True):
        assert len(set(subset.tolist())) == size
        expected = np.bincount(digits.train_y) * size / len(digits.train_y)
        assert np.abs(np.bincount(digits.train_y[subset], minlength=10) - expected).max() <= 1
    for small, large in pairwise(subsets[:4]):
        assert small.tolist() == large[: len(small)].tolist()
    with pytest.raises(DataError, match="digits: found 1437 training examples, expected at least train_size = 2000"):
        train_subset(digits.train_y, 2000, 0, "digits")


def test_scaling(digits: Dataset) -> None:
    standard = Preparation(digits).examples(small_spec(train_size=0))
    assert standard.train_x.shape == (1437, 8, 8, 1)
    assert float(standard.train_x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(standard.train_x.std()) == pytest.approx(1, abs=1e-3)
    half = Preparation(digits).examples(small_spec(input_mean=(0.5,), input_std=(0.5,), image_size=12))
    assert half.train_x.shape == (300, 12, 12, 1)
    assert (float(half.train_x.min()), float(half.black)) == pytest.approx((-1, -1), abs=1e-5)
    assert float(half.train_x.max()) <= 1 + 1e-5
    with pytest.raises(DataError, match="found 2 numbers for input_mean, expected 1 or 1"):
        Preparation(digits).examples(small_spec(input_mean=(0.5, 0.5)))


def test_random_labels_are_drawn_for_training_and_for_testing(digits: Dataset) -> None:
    preparation = Preparation(digits)
    natural, random = (preparation.examples(small_spec(labels=kind, train_size=0)) for kind in ("natural", "random"))
    assert torch.equal(natural.train_y, torch.from_numpy(digits.train_y))
    for split in ("train_y", "test_y"):
        agree = float((getattr(natural, split) == getattr(random, split)).double().mean())
        assert 0.03 < agree < 0.17


def test_a_channel_that_is_the_same_everywhere_is_named_before_training(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(256, size=(40, 8, 8, 4), dtype=np.uint8)
    images[..., 3] = 255  # an opaque alpha channel
    labels = np.arange(40) % 4
    np.savez(tmp_path / "mine.npz", train_x=images, train_y=labels, test_x=images, test_y=labels)
    settings, how = {"source": "npz", "path": "mine.npz"}, Fetch(tmp_path)
    with pytest.raises(DataError, match=r"^mine.npz from data_dir: channel 3 is 255 everywhere in train_x"):
        fetch_to(tmp_path / "out.npz", settings, how, [small_spec()])
    assert not (tmp_path / "out.npz").exists()
    with pytest.raises(DataError, match="has 4 channels, expected 3, for which input_std has numbers"):
        fetch_to(tmp_path / "out.npz", settings, how, [small_spec(input_std=(0.2, 0.2, 0.2))])
    fetch_to(tmp_path / "out.npz", settings, how, [small_spec(input_std=(0.5,))])
    assert (tmp_path / "out.npz").is_file()


@pytest.mark.parametrize("form", ["grey", "nchw", "nchw, one channel", "float", "half", "rectangular"])
def test_forms_that_people_have(tmp_path: Path, form: str) -> None:
    """Each is taken for the images that it holds, and a network trains on it."""
    draw = np.random.default_rng(0)
    images = draw.integers(256, size=(40, 8, 12 if form == "rectangular" else 8, 3), dtype=np.uint8)
    if form in ("grey", "nchw, one channel"):
        images = images[..., :1]
    stored = {
        "grey": images[..., 0],
        "nchw": images.transpose(0, 3, 1, 2),
        "nchw, one channel": images.transpose(0, 3, 1, 2),
        "float": images / 100 - 1,
        "half": (images / 256).astype(np.float16),
        "rectangular": images,
    }[form]
    labels = np.arange(40) % 4
    np.savez(tmp_path / "mine.npz", train_x=stored[:30], train_y=labels[:30], test_x=stored[30:], test_y=labels[30:])
    dataset = read_npz(tmp_path / "mine.npz", "mine")
    expected = {"float": np.float32(images / 100 - 1), "half": np.float32(np.float16(images / 256))}.get(form, images)
    assert np.array_equal(dataset.train_x, expected[:30])
    examples = Preparation(dataset).examples(small_spec(input_mean=(0.0,), input_std=(1.0,), train_size=0))
    on_scale = expected[:30] if expected.dtype == np.float32 else np.float32(expected[:30] / 255)
    assert np.allclose(examples.train_x.numpy(), on_scale, atol=1e-6)
    done: list[cache.Entry] = []
    spec = small_spec(architecture=Architecture("conv", (3, 3), 3, bias="first"), batch_size=10, epochs=2, train_size=0)
    Population(dataset, {}, 1e9).train([(spec, [Select("last")])], lambda s, entry: done.append(entry))
    assert done[0].history[-1]["train_loss"] > 0


def pictures(folder: Path, mode: str = "RGB", sizes: tuple[int, ...] = (8, 8, 8)) -> dict[str, np.ndarray]:
    """Three pictures for each of two classes and splits; by split what they hold, in order of classes and names."""
    draw, found = np.random.default_rng(0), {}
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for k, size in enumerate(sizes):
                array = draw.integers(256, size=(size, size) if mode == "L" else (size, size, 3), dtype=np.uint8)
                Image.fromarray(array).save(folder / split / name / f"{k}.png")
                found.setdefault(split, []).append(array)
    return found


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_folder_of_pictures(tmp_path: Path, mode: str) -> None:
    expected = pictures(tmp_path / "pets", mode)
    dataset, about = fetch("pets", {"source": "folder", "path": "pets"}, Fetch(tmp_path))
    assert np.array_equal(dataset.train_x.squeeze(), np.stack(expected["train"]))
    assert dataset.train_x.shape[3] == (1 if mode == "L" else 3)
    assert dataset.test_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert about["data"] == "other"


def test_what_is_wrong_with_a_folder_of_pictures_is_one_line(tmp_path: Path) -> None:
    def said(path: str, **settings: object) -> str:
        with pytest.raises(DataError) as error:
            fetch("pets", {"source": "folder", "path": path, **settings}, Fetch(tmp_path))
        assert "\n" not in str(error.value)
        return str(error.value)

    pictures(tmp_path / "sizes", sizes=(8, 8, 9))
    assert "2.png: found 9x9 pixels, 8x8 in" in said("sizes")
    assert fetch("pets", {"source": "folder", "path": "sizes", "resize": 6}, Fetch(tmp_path))[0].train_x.shape == (
        6,
        6,
        6,
        3,
    )
    assert f"{tmp_path}/nowhere/train: expected a folder of pictures for each class" in said("nowhere")
    pictures(tmp_path / "damaged")
    whole = (tmp_path / "damaged/test/dog/1.png").read_bytes()
    (tmp_path / "damaged/test/dog/1.png").write_bytes(whole[:-60])
    assert "damaged/test/dog/1.png: damaged, or no picture" in said("damaged")
    (tmp_path / "damaged/test/dog").rename(tmp_path / "damaged/test/mouse")
    assert "found the class dog in only one of train and test" in said("damaged")


@pytest.mark.parametrize("packed", [True, False])
def test_files_in_mnists_format(tmp_path: Path, packed: bool) -> None:
    draw, opened = np.random.default_rng(0), gzip.open if packed else open
    images, labels = draw.integers(256, size=(30, 9, 7), dtype=np.uint8), (np.arange(30) % 3).astype(np.uint8)
    for prefix, part in (("train", slice(20)), ("t10k", slice(20, 30))):
        for name, array in ((f"{prefix}-images-idx3-ubyte", images[part]), (f"{prefix}-labels-idx1-ubyte", labels[part])):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            with opened(tmp_path / f"{name}{'.gz' if packed else ''}", "wb") as file:
                file.write(header + array.tobytes())
    dataset, _ = fetch("fashion", {"source": "idx", "path": "."}, Fetch(tmp_path))
    assert np.array_equal(dataset.train_x[..., 0], images[:20])
    assert np.array_equal(dataset.test_y, labels[20:])
    file = next(tmp_path.glob("t10k-labels*"))
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.*: damaged"):
        fetch("fashion", {"source": "idx", "path": "."}, Fetch(tmp_path))
    file.unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: no such file"):
        fetch("fashion", {"source": "idx", "path": "."}, Fetch(tmp_path))
