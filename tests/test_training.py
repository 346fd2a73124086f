"""The cache: what is trained, what is not, and what happens to damaged entries."""

import json
import multiprocessing
import os
import re
import tempfile
import weakref
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import small_spec
from safetensors import safe_open

from puzzles.base import paths
from puzzles.base.errors import TrainingError
from puzzles.base.files import atomic
from puzzles.base.stale_lock import clear_stale_lock
from puzzles.config.configuration import Config, load_config
from puzzles.config.specs import NetworkSpec, Select
from puzzles.data.dataset import Dataset
from puzzles.training import cache, devices, population
from puzzles.training.experiment_files import read_networks, write_history, write_networks
from puzzles.training.missing import requests_for, train_missing

LAST = [Select("last")]
QUIET = {"checkpoint_seconds": 1e9, "population": 3}


def want(*specs: NetworkSpec, select: list[Select] = LAST) -> dict:
    return {spec.hash: (spec, select) for spec in specs}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes of the networks whose training is started, in order."""
    started: list[str] = []
    original = population.Population._member

    def spy(self: population.Population, spec: NetworkSpec, select: list[Select]) -> population.Member:
        started.append(spec.hash)
        return original(self, spec, select)

    monkeypatch.setattr(population.Population, "_member", spy)
    return started


def test_only_what_is_missing_is_trained(digits: Dataset, workdir: Path, trained: list[str]) -> None:
    specs = [small_spec(seed=seed) for seed in range(5)]
    train_missing("t", want(*specs[:4]), digits, {}, QUIET)
    assert trained == [s.hash for s in specs[:4]]
    train_missing("t", want(*specs), digits, {}, QUIET)
    assert trained[4:] == [specs[4].hash]


def test_a_new_snapshot_trains_again_to_the_same_bits_and_keeps_the_others(
    digits: Dataset, workdir: Path, trained: list[str]
) -> None:
    spec, closest = small_spec(epochs=6), Select("closest_to_train_loss", 1.0)
    train_missing("t", want(spec), digits, {}, QUIET)
    before = cache.load_entry(spec, digits.digest)
    train_missing("t", want(spec, select=[closest]), digits, {}, QUIET)
    after = cache.load_entry(spec, digits.digest)
    assert trained == [spec.hash] * 2
    assert set(after.snapshots) == {"last", closest.name}
    assert after.history == before.history
    assert all((after.snapshots["last"][k] == v).all() for k, v in before.snapshots["last"].items())
    train_missing("t", want(spec, select=[closest, *LAST]), digits, {}, QUIET)
    assert len(trained) == 2


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_entry_is_noticed_and_trained_again(
    digits: Dataset, workdir: Path, trained: list[str], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = small_spec()
    train_missing("t", want(spec), digits, {}, QUIET)
    path = paths.cached_network(spec.hash)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes({"flip": bytes(content), "truncate": bytes(content[:-100]), "empty": b""}[damage])
    assert cache.load_entry(spec, digits.digest) is None
    assert "damaged" in caplog.text
    train_missing("t", want(spec), digits, {}, QUIET)
    assert len(trained) == 2
    assert cache.load_entry(spec, digits.digest) is not None


def test_other_data_of_the_same_name_are_noticed(digits: Dataset, workdir: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = small_spec()
    train_missing("t", want(spec), digits, {}, QUIET)
    caplog.set_level("INFO")
    assert cache.load_entry(spec, "another digest") is None
    assert "trained on other data named digits" in caplog.text


def _work(folder: str, digits: Dataset, log: str) -> None:
    os.chdir(folder)
    original = population.Population._member

    def spy(self: population.Population, spec: NetworkSpec, select: list[Select]) -> population.Member:
        with Path(log).open("a") as file:
            file.write(spec.hash + "\n")
        return original(self, spec, select)

    population.Population._member = spy
    train_missing("t", want(*(small_spec(seed=s, epochs=10) for s in range(6))), digits, {}, {**QUIET, "population": 1})


def test_two_jobs_share_out_the_networks_they_both_want(digits: Dataset, workdir: Path) -> None:
    log = workdir / "trained.txt"
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_work, args=(str(workdir), digits, str(log))) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
        assert job.exitcode == 0
    assert sorted(log.read_text().split()) == sorted(small_spec(seed=s, epochs=10).hash for s in range(6))


@pytest.fixture
def plan(raw: dict) -> Config:
    experiment = raw["experiments"]["init_3layer"]
    experiment["network"] = {
        "dataset": "digits",
        "architecture": "small",
        "init": "gaussian",
        "train_size": 300,
        "epochs": 2,
    }
    experiment["groups"]["random_labels"]["network"] = {"labels": "random"}
    del experiment["groups"]["large_std"]
    experiment["sweep"]["values"], experiment["select"] = [0.1, 0.2], ["last", {"closest_to_train_loss": 1.0}]
    raw["architectures"]["small"] = {"builder": "conv", "widths": [3], "stride": 2, "bias": "first"}
    raw["run"]["experiments"] = ["init_3layer"]
    return load_config(raw)


def test_the_files_others_rely_on(digits: Dataset, workdir: Path, plan: Config) -> None:
    experiment = plan.experiments["init_3layer"]
    train_missing("t", requests_for(experiment.networks, plan), digits, {}, QUIET)
    write_networks("trained.safetensors", experiment.networks, experiment.select, digits.digest)
    write_history("history.csv", experiment, digits.digest)
    with safe_open("trained.safetensors", framework="pt") as file:
        assert set(file.metadata()) == {"about"}
        about = json.loads(file.metadata()["about"])
        specs = about["specs"]
        assert about["engines"] == {key: ["loop on cpu"] for key in specs}
        assert list(specs) == sorted(specs)
        assert {key.split("/")[0] for key in file.keys()} == set(specs)  # noqa: SIM118
        assert {key.split("/")[1] for key in file.keys()} == {"conv1.weight", "conv1.bias", "linear.weight"}  # noqa: SIM118
    read, states = read_networks("trained.safetensors")
    for network in experiment.networks:
        assert read[network.name] == network.spec
        assert f"{network.name}@closest_to_train_loss_1" in states
    history = pd.read_csv("history.csv")
    assert set(history.epoch) == {0, 1, 2}
    assert len(history) == 3 * len(experiment.networks)


def test_atomic_files_appear_whole_or_not_at_all(workdir: Path) -> None:
    with atomic("a.txt") as temporary:
        temporary.write_text("first")
        assert not Path("a.txt").exists()
    with pytest.raises(RuntimeError), atomic("a.txt") as temporary:
        temporary.write_text("second")
        raise RuntimeError
    assert Path("a.txt").read_text() == "first"
    assert [p.name for p in workdir.iterdir()] == ["a.txt"]
    left = Path(".partial-here-1-a.txt")
    left.write_text("what a killed process left")
    with atomic("a.txt") as temporary:
        temporary.write_text("third")
    assert left.exists()  # it may still be written
    os.utime(left, (0, 0))
    with atomic("a.txt") as temporary:
        temporary.write_text("fourth")
    assert [p.name for p in workdir.iterdir()] == ["a.txt"]


def test_a_dead_runs_lock_is_cleared_and_a_live_ones_is_not(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = workdir / ".snakemake" / "locks" / "0.input.lock"
    runs: list[list] = [[], [], [], []]

    def start(k: int) -> None:
        monkeypatch.setattr("puzzles.base.stale_lock._alive", runs[k])
        clear_stale_lock()

    def end(k: int) -> None:
        runs[k].pop().close()

    start(0)
    file.parent.mkdir()
    file.write_text("the lock of run 1")
    start(1)
    end(0)
    start(2)  # 0 has ended, but 1 is alive
    assert file.exists()
    end(1)
    end(2)
    start(3)  # nobody is
    assert not file.exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_out_of_memory_halves_the_population_and_goes_on(
    digits: Dataset,
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: RuntimeError,
) -> None:
    original, sizes, old = population.LoopEngine.train_epoch, [], []

    def of_little_memory(self: population.LoopEngine, members: list) -> None:
        sizes.append(len(members))
        if len(members) > 2:
            old.extend(weakref.ref(member.network) for member in members)
            raise error
        if len(sizes) == 2:  # nothing of the first attempt takes memory from the second
            assert [network() for network in old] == [None] * 5
        original(self, members)

    monkeypatch.setattr(population.LoopEngine, "train_epoch", of_little_memory)
    specs = [small_spec(seed=seed, epochs=1) for seed in range(5)]
    train_missing("t", want(*specs), digits, {}, {"population": 5})
    assert sizes[0] == 5
    assert max(sizes[1:]) == 2
    assert all(cache.load_entry(spec, digits.digest) for spec in specs)
    assert "out of memory with 5 networks at once; going on with 2" in caplog.text
    monkeypatch.setattr(population.LoopEngine, "train_epoch", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(RuntimeError, match=re.escape(str(error))):  # one alone does not fit: that is an error
        train_missing("t", want(small_spec(seed=9)), digits, {}, {"population": 5})


def test_another_error_is_no_lack_of_memory(digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(population.LoopEngine, "train_epoch", fails)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        train_missing("t", want(*(small_spec(seed=seed) for seed in range(3))), digits, {}, {"population": 3})


def test_tf32_is_refused_where_there_is_none(digits: Dataset, workdir: Path) -> None:
    with pytest.raises(TrainingError, match="found precision tf32 on a CPU, expected fp32 there, or a GPU"):
        train_missing("t", want(small_spec(precision="tf32")), digits, {}, {"device": "cpu"})


def test_without_a_gpu_training_falls_back_to_the_cpu_and_says_so(
    digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    train_missing("t", want(small_spec(epochs=1)), digits, {}, {"device": "cuda"})
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == ["no CUDA GPU found: computing on the CPU"]
    assert cache.load_entry(small_spec(epochs=1), digits.digest)


def test_each_job_takes_a_gpu_of_its_own_and_waits_while_there_is_none(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(devices, "_taken", [])
    monkeypatch.setattr(tempfile, "tempdir", str(workdir))
    two, waits = ["GPU-a", "GPU-b"], []

    def free_the_second(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            devices._taken[1].release()

    assert [devices._take_gpu(two) for _ in range(2)] == [0, 1]
    assert devices._take_gpu(two, free_the_second) == 1
    assert len(waits) == 3 and caplog.text.count("waiting for one") == 1
    assert devices._take_gpu(["GPU-c"]) == 0  # that of another machine, or another partition of the same one
