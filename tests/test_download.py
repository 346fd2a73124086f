"""Downloads through torchvision, from a server of our own that fails in every way a server can."""

import gzip
import hashlib
import http.server
import pickle
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from torchvision.datasets import CIFAR10, MNIST

from puzzles.base.errors import DataError
from puzzles.data.download import CIFAR10_TEST_LABELS, OFFICIAL, Fetch, fetch

NAMES = [name for name, _ in MNIST.resources]


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; ``behaviour`` lists what it does to the next requests of an archive, ``good`` when it is empty."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.behaviour, self.asked = folder, [], []
        self.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/")
        probe = self.headers.get("Method") == "HEAD"  # torchvision asks for redirects first
        self.server.asked.append(name)
        behaviour = "good" if probe or not self.server.behaviour else self.server.behaviour.pop(0)
        content = (self.server.folder / name).read_bytes()
        if behaviour == "refuse":
            self.send_error(503)
            return
        if behaviour == "stall":
            time.sleep(3)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if probe:
            return
        if behaviour == "drop":
            content = content[: len(content) // 2]
        if behaviour == "wrong":
            content = bytes(len(content))
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    serving = Server(real_data / "MNIST" / "raw")
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [serving.url])
    yield serving
    serving.shutdown()


def how(folder: Path, **changes: object) -> Fetch:
    return Fetch(folder / "none", **{"attempts": 3, "timeout": 1, "pause": 0.01} | changes)


def leftovers(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("failure", ["refuse", "stall", "drop", "wrong"])
def test_a_failed_download_is_tried_again(
    server: Server, tmp_path: Path, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server.behaviour = [failure]
    dataset, provenance = fetch("mnist", {"source": "mnist"}, how(tmp_path))
    assert dataset.train_x.shape == (60000, 28, 28, 1)
    assert provenance["train"]["official"]
    assert provenance["test"]["official"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failure", ["refuse", "stall", "drop", "wrong"])
def test_a_download_that_keeps_failing_says_which_files_to_put_where(
    server: Server, tmp_path: Path, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server.behaviour = [failure] * 20
    with pytest.raises(DataError) as error:
        fetch("mnist", {"source": "mnist"}, how(tmp_path, attempts=2))
    line = str(error.value)
    assert "MNIST: download failed 2 times" in line
    assert f"put {', '.join(NAMES)} into {tmp_path / 'none'}/ and run again" in line
    assert "\n" not in line
    assert leftovers(tmp_path) == []


def test_a_dead_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataError, match="MNIST: download failed 2 times"):
        fetch("mnist", {"source": "mnist"}, how(tmp_path, attempts=2))


def test_archives_of_the_users_are_used_without_a_download(server: Server, tmp_path: Path, real_data: Path) -> None:
    shutil.copytree(real_data / "MNIST" / "raw", tmp_path / "own")
    dataset, provenance = fetch("mnist", {"source": "mnist"}, Fetch(tmp_path / "own"))
    assert server.asked == []
    assert dataset.num_classes == 10
    assert provenance["origin"] == "archives from data_dir, md5 verified"
    assert sorted(p.name for p in (tmp_path / "own").iterdir()) == sorted(NAMES)  # nothing is written there


@pytest.mark.parametrize("damage", ["truncated", "wrong"])
def test_a_damaged_archive_of_the_users_is_named(server: Server, tmp_path: Path, real_data: Path, damage: str) -> None:
    shutil.copytree(real_data / "MNIST" / "raw", tmp_path / "own")
    path = tmp_path / "own" / NAMES[1]
    path.write_bytes(path.read_bytes()[:-10] if damage == "truncated" else gzip.compress(b"something else"))
    with pytest.raises(DataError) as error:
        fetch("mnist", {"source": "mnist"}, Fetch(tmp_path / "own"))
    assert str(error.value).startswith(f"{path}: truncated, damaged or wrong archive: md5 is ")
    assert server.asked == []


def cifar_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive in CIFAR-10's form, with torchvision told its checksums."""
    import pickle

    draw = np.random.default_rng(0)
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]
    inside = folder / "cifar-10-batches-py"
    inside.mkdir(parents=True)
    sums = {}
    for name in names:
        content = {
            "data": draw.integers(256, size=(10_000, 3072), dtype=np.uint8),
            "labels": (np.arange(10_000) % 10).tolist(),
        }
        content = {"label_names": list("abcdefghij")} if name == "batches.meta" else content
        (inside / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((inside / name).read_bytes()).hexdigest()
    with tarfile.open(folder / CIFAR10.filename, "w:gz", compresslevel=0) as archive:
        archive.add(inside, inside.name)
    shutil.rmtree(inside)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5((folder / CIFAR10.filename).read_bytes()).hexdigest())
    monkeypatch.setattr(CIFAR10, "train_list", [(name, sums[name]) for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [("test_batch", sums["test_batch"])])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return folder


def test_cifar_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cifar_archive(tmp_path / "own", monkeypatch)
    dataset, provenance = fetch("cifar10", {"source": "cifar10"}, Fetch(folder))
    assert dataset.train_x.shape == (50000, 32, 32, 3)
    assert dataset.test_y[:12].tolist() == [*range(10), 0, 1]
    assert provenance["train"]["official"] is False  # these pictures are noise, and the provenance says so
    archive = folder / CIFAR10.filename
    archive.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: truncated, damaged or wrong archive"):
        fetch("cifar10", {"source": "cifar10"}, Fetch(folder))


def test_files_that_are_unpacked_already_are_used_and_checked(tmp_path: Path, real_data: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in NAMES:
        with gzip.open(real_data / "MNIST" / "raw" / archive) as packed:
            (raw / archive.removesuffix(".gz")).write_bytes(packed.read())
    dataset, provenance = fetch("mnist", {"source": "mnist"}, Fetch(tmp_path / "data"))
    assert (provenance["data"], provenance["origin"]) == ("mnist", "unpacked files from data_dir")
    assert dataset.train_x.shape == (60_000, 28, 28, 1)
    images = raw / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match="not the official ones; put the archive into"):
        fetch("mnist", {"source": "mnist"}, Fetch(tmp_path / "data"))
    images.write_bytes(b"")
    with pytest.raises(DataError, match="missing or damaged"):
        fetch("mnist", {"source": "mnist"}, Fetch(tmp_path / "data"))


def test_unpacked_cifar_is_loaded_only_if_it_is_the_official_one(tmp_path: Path) -> None:
    """Its files are pickles: one that is not the official one is never opened."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    trap = tmp_path / "sprung"
    for name in (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
        "batches.meta",
    ):
        (folder / name).write_bytes(pickle.dumps(Trap(str(trap))))
    with pytest.raises(DataError, match="cifar-10-batches-py: unpacked files are missing or damaged"):
        fetch("cifar10", {"source": "cifar10"}, Fetch(tmp_path))
    assert not trap.exists()


class Trap:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (self.path, "w")


def test_the_data_cards_have_the_checksums_of_the_code() -> None:
    cards = {part.splitlines()[0]: part for part in (ROOT / "docs" / "data.md").read_text().split("\n## ")[1:]}
    assert list(cards) == ["CIFAR-10", "CIFAR-100", "MNIST", "Digits"]
    names = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "mnist": "MNIST"}
    for (source, split), digest in OFFICIAL.items():
        assert f"checksum, {'training' if split == 'train' else split} | `{digest}`" in cards[names[source]]
    assert CIFAR10_TEST_LABELS in cards["CIFAR-10"]
    for card in cards.values():
        for row in (
            "used for",
            "what it is",
            "source",
            "licence",
            "cite",
            "order",
            "checksum",
            "exactness",
            "normalization",
        ):
            assert f"\n| {row}" in card
