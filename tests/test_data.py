"""Data sets: what is accepted, what is refused with one line, what is left behind."""

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

from puzzles.base.errors import DataError
from puzzles.data.dataset import Dataset, checked, read_dataset, read_npz, write_npz
from puzzles.data.download import Fetch, fetch, fetch_to
from puzzles.data.preparation import Preparation, train_subset


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
    ({"train_x": np.zeros((20, 8, 8, 3))}, "train_x has dtype float64, expected uint8"),
    ({"train_x": np.zeros((20, 64), np.uint8)}, "train_x has shape (20, 64), expected [N, H, W]"),
    ({"train_x": np.zeros((20, 8, 9, 3), np.uint8)}, "train_x has shape (20, 8, 9, 3), expected square images"),
    ({"train_x": np.zeros((0, 8, 8, 3), np.uint8), "train_y": np.zeros(0, int)}, "with nothing empty"),
    ({"train_y": np.arange(19) % 4}, "train_y has 19 labels, expected 20"),
    ({"train_y": (np.arange(20) % 4).astype(float)}, "train_y has shape (20,) and dtype float64, expected [N] integers"),
    ({"train_y": np.eye(20, 4, dtype=int)}, "train_y has shape (20, 4)"),
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
