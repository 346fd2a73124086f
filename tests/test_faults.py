"""Faults, really made: each ends with the bytes of an undisturbed training, or with one line that says what is wrong."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import small_spec
from workspace import flip_a_bit

from puzzles.base import paths
from puzzles.base.errors import ResultsError, StorageError
from puzzles.base.files import atomic
from puzzles.config.experiments import Network
from puzzles.config.specs import NetworkSpec, Select
from puzzles.data.dataset import Dataset
from puzzles.training import cache
from puzzles.training.experiment_files import read_networks, read_pretrained, write_networks
from puzzles.training.members import Member
from puzzles.training.missing import train_missing
from puzzles.training.population import Population

LAST = [Select("last")]
QUIET = {"checkpoint_seconds": 1e9, "population": 3}
SPECS = [small_spec(seed=seed) for seed in range(3)]


class KilledError(Exception):
    pass


def train(digits: Dataset, specs: list[NetworkSpec] = SPECS) -> bytes:
    """Train what the cache lacks; the bytes of the file that an experiment makes of it."""
    train_missing("t", {s.hash: (s, LAST) for s in specs}, digits, {}, QUIET)
    return assembled(digits, specs)


def assembled(digits: Dataset, specs: list[NetworkSpec] = SPECS) -> bytes:
    networks = [Network(f"n{k}", "natural", "seed", k, spec) for k, spec in enumerate(specs)]
    write_networks(Path("trained.safetensors"), networks, LAST, digits.digest)
    return Path("trained.safetensors").read_bytes()


def stop_at_epoch(digits: Dataset, epoch: int, specs: list[NetworkSpec]) -> None:
    """Train, with a checkpoint at every epoch, until a member reaches an epoch."""

    def die(members: list[Member]) -> None:
        if members[0].epoch == epoch:
            raise KilledError

    population = Population(digits, {}, checkpoint_seconds=0)
    with pytest.raises(KilledError):
        population.train([(spec, LAST) for spec in specs], lambda spec, entry: None, die)


def test_an_entry_under_another_networks_name_is_not_taken(
    digits: Dataset, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = train(digits)
    shutil.copy(paths.cached_network(SPECS[0].hash), paths.cached_network(SPECS[1].hash))
    assert cache.load_entry(SPECS[1], digits.digest) is None
    assert "holds another network" in caplog.text
    assert train(digits) == undisturbed


def test_a_folder_in_place_of_an_entry_is_refused_before_training(digits: Dataset, workdir: Path) -> None:
    paths.cached_network(SPECS[1].hash).mkdir(parents=True)
    with pytest.raises(ResultsError, match=f"{SPECS[1].hash}.safetensors: found a folder, expected a file"):
        train(digits)
    assert [p for p in paths.CACHE.rglob("*.safetensors") if p.is_file()] == []


@pytest.mark.parametrize("fault", ["flip", "truncate", "another", "text"])
def test_a_checkpoint_that_is_not_whole_or_not_its_own_is_not_resumed(
    digits: Dataset, workdir: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    specs = [small_spec(seed=seed, epochs=6) for seed in range(2)]
    undisturbed = train(digits, specs)
    shutil.rmtree(paths.CACHE)
    stop_at_epoch(digits, 4, specs)
    first, second = (paths.checkpoint(spec.hash) for spec in specs)
    assert first.is_file() and second.is_file()
    if fault == "flip":
        flip_a_bit(first, place=-1000)
    elif fault == "another":
        shutil.copy(second, first)
    else:
        first.write_bytes(b"no checkpoint" if fault == "text" else first.read_bytes()[:-100])
    assert cache.load_checkpoint(specs[0], digits.digest) is None
    assert cache.load_checkpoint(specs[1], digits.digest) is not None
    assert ("holds another network" if fault == "another" else "damaged") in caplog.text
    assert train(digits, specs) == undisturbed


def test_a_damaged_file_of_an_experiment_is_named_where_it_is_read(digits: Dataset, workdir: Path) -> None:
    whole, path = train(digits), Path("trained.safetensors")
    for damage in ("flip", "truncate"):
        path.write_bytes(whole if damage == "flip" else whole[:-100])
        if damage == "flip":
            flip_a_bit(path)
        for read in (read_networks, read_pretrained):
            with pytest.raises(
                ResultsError, match=r"^trained.safetensors: damaged.*delete it and run the same command again"
            ):
                read(path)
    path.write_bytes(whole)
    assert set(read_networks(path)[0]) == {"n0", "n1", "n2"}


def test_every_network_that_ends_in_an_epoch_is_kept_though_one_cannot_be_stored(digits: Dataset, workdir: Path) -> None:
    undisturbed = train(digits)
    shutil.rmtree(paths.CACHE)
    stored: list[str] = []

    def store(spec: NetworkSpec, entry: cache.Entry) -> None:
        if spec == SPECS[0] and not stored:
            stored.append("none")
            raise StorageError("full")
        stored.append(spec.hash)
        cache.store_entry(spec, entry)

    requests = [(spec, LAST) for spec in SPECS]
    with pytest.raises(StorageError, match="full"):
        Population(digits, {}, 1e9).train(requests, store)
    assert stored == ["none", SPECS[1].hash, SPECS[2].hash]
    trained: list[int] = []
    Population(digits, {}, 1e9).train(requests[:1], store, lambda members: trained.append(members[0].epoch))
    assert trained == []  # it was at its end already
    assert assembled(digits) == undisturbed


def test_a_file_gets_the_permissions_of_the_umask(workdir: Path, digits: Dataset) -> None:
    before = os.umask(0)
    os.umask(before)
    train(digits, SPECS[:1])
    assert paths.cached_network(SPECS[0].hash).stat().st_mode & 0o777 == 0o666 & ~before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a file system of its own can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_said_in_one_line_and_loses_no_training(
    digits: Dataset, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    undisturbed = train(digits)
    size = paths.cached_network(SPECS[0].hash).stat().st_size
    monkeypatch.chdir(small_disk)
    room = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    filler = small_disk / "filler"
    filler.write_bytes(bytes(room - 2 * size - 20_000))  # room for two networks and little more
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)"):
        train(digits)
    kept = [s for s in SPECS if paths.cached_network(s.hash).is_file() or paths.checkpoint(s.hash).is_file()]
    assert len(kept) >= 2
    assert not list(small_disk.rglob(".partial-*"))
    filler.unlink()
    assert train(digits) == undisturbed


def test_a_folder_that_cannot_be_written_to_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = pytest.raises(StorageError, match=r"disk/file.txt: cannot be written \(Read-only file system\)")
    with said, atomic(small_disk / "file.txt") as temporary:
        temporary.write_text("x")
