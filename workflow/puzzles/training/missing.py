"""Train the networks that the cache lacks. Locks divide them among jobs, and among the processes of a job."""

import gc
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from puzzles.base import paths
from puzzles.base.errors import TrainingError
from puzzles.base.files import Lock
from puzzles.config.configuration import Config
from puzzles.config.experiments import Network
from puzzles.config.specs import NetworkSpec, Select
from puzzles.config.whole import Whole
from puzzles.data.dataset import Dataset
from puzzles.training import cache
from puzzles.training.devices import choose_device
from puzzles.training.members import Member, Request
from puzzles.training.population import Population
from puzzles.training.progress import EpochReport, Progress
from puzzles.training.workers import run_workers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A network that is in the cache now."""

    spec: NetworkSpec


# In the words of CUDA, cuBLAS and cuDNN, where torch has no error of its own for it.
OUT_OF_MEMORY = ("out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")

Report = Callable[[object], None]  # takes ``EpochReport`` and ``Finished``


def requests_for(networks: Iterable[Network], config: Config) -> dict[str, Request]:
    """The specs of networks, by hash, and for each every snapshot that this configuration asks for."""
    return {n.spec.hash: (n.spec, config.snapshots(n.spec)) for n in networks}


def train_missing(
    title: str,
    requests: dict[str, Request],
    dataset: Dataset,
    pretrained: dict[str, cache.State],
    runtime: dict,
    processes: int = 1,
    whole: Whole | None = None,
) -> None:
    """Train every requested network that the cache lacks, or of which it lacks a snapshot.

    Jobs that need the same networks divide them: the process that holds a network's lock trains it, and the others then
    find it in the cache. A network is cached as soon as it is finished, so that a killed job loses none.

    Args:
        title: what is trained, for the progress shown.
        requests: by hash of the spec.
        pretrained: weights by spec hash, for networks that start from another one.
        runtime: the configuration's ``runtime``.
        processes: how many train at once, each with one thread; on a GPU one process trains them all.
        whole: what the run has to train, for the time left that is shown.

    Raises:
        TrainingError: one of several processes was killed; or the precision is one that this device has not.
    """
    device = choose_device(runtime.get("device", "auto"))
    if device.type == "cpu":
        torch.set_num_threads(1)  # the bits of a sum depend on the number of threads
        if any(spec.precision != "fp32" for spec, _ in requests.values()):
            raise TrainingError(f"{title}: found precision tf32 on a CPU, expected fp32 there, or a GPU")
    trainer = Trainer(title, dataset, pretrained, runtime, device)
    missing = {key: request for key, request in requests.items() if not _cached(*request, trainer.population.digest)}
    missing = dict(sorted(missing.items(), key=lambda item: _longest_first(item[1][0], dataset)))
    specs, found = [spec for spec, _ in missing.values()], len(requests) - len(missing)
    count = max(1, min(processes, len(missing))) if device.type == "cpu" else 1
    progress = Progress(title, specs, found, runtime.get("progress_seconds", 10), count, whole, device.type)
    progress.start()

    def show(event: object) -> None:
        if isinstance(event, Finished):
            progress.finished(event.spec)
            missing.pop(event.spec.hash, None)
        elif isinstance(event, EpochReport):
            progress.epoch(event)

    if count > 1:
        for spec in specs:
            trainer.population.preparation.scaled_images(spec)  # before forking, so that the processes share them
        run_workers(count, lambda report: trainer.train_unclaimed(dict(missing), report), show)
    while missing:
        if not trainer.train_unclaimed(missing, show):
            time.sleep(1)  # other jobs train the rest
    progress.end()


def _longest_first(spec: NetworkSpec, dataset: Dataset) -> tuple[float, bool]:
    """Key to sort networks by, so that a long training is not left to the end, when other processes have nothing to do."""
    size = spec.train_size or len(dataset.train_y)
    return -spec.last_epoch * size * max(1, sum(spec.architecture.widths)), spec.labels != "random"


class Trainer:
    """Trains networks that no other process is training, a few at a time.

    Args: see ``train_missing``.
    """

    def __init__(
        self, title: str, dataset: Dataset, pretrained: dict[str, cache.State], runtime: dict, device: torch.device
    ) -> None:
        self.title, self.dataset, self.pretrained, self.device = title, dataset, pretrained, device
        self.checkpoint_seconds = runtime.get("checkpoint_seconds", 30)
        self.at_once = runtime.get("population", 1 if device.type == "cpu" else 32)
        self.population = self._new_population()

    def _new_population(self) -> Population:
        return Population(self.dataset, self.pretrained, self.checkpoint_seconds, self.device)

    def train_unclaimed(self, missing: dict[str, Request], report: Report) -> bool:
        """Claim and train networks until others have claimed all that are left; return whether any could be claimed.

        Finished networks are removed from ``missing``. When memory runs out, training goes on with half as many at once.

        Raises:
            RuntimeError: there is too little memory for a single network.
        """
        claimed = False
        while mine := _claim(missing, self.at_once):
            claimed = True
            try:
                self._train(mine, missing, report)
            except RuntimeError as error:
                if len(mine) <= 1 or not is_out_of_memory(error):
                    raise
                self.at_once = len(mine) // 2
                text = "%s: out of memory with %d networks at once; going on with %d"
                log.warning(text, self.title, len(mine), self.at_once)
                error.__traceback__ = None  # it holds on to everything that was on the device
                del self.population
                gc.collect()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                self.population = self._new_population()
            finally:
                for lock in mine.values():
                    lock.release()
        return claimed

    def _train(self, mine: dict[str, Lock], missing: dict[str, Request], report: Report) -> None:
        def store(spec: NetworkSpec, entry: cache.Entry) -> None:
            _store(spec, entry)
            done(spec)

        def done(spec: NetworkSpec) -> None:
            missing.pop(spec.hash, None)
            mine.pop(spec.hash).release()
            report(Finished(spec))

        def epoch(members: list[Member]) -> None:
            for member in members:
                report(EpochReport.of(member))

        for key in list(mine):
            if _cached(*missing[key], self.population.digest):  # by another process in the meantime
                done(missing[key][0])
        self.population.train([missing[key] for key in mine], store, epoch)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether CUDA says in one of its ways that memory has run out."""
    said = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in said for words in OUT_OF_MEMORY)


def _claim(missing: dict[str, Request], most: int) -> dict[str, Lock]:
    claimed: dict[str, Lock] = {}
    for key in missing:
        if len(claimed) == most:
            break
        lock = Lock(paths.network_lock(key))
        if lock.acquire():
            claimed[key] = lock
    return claimed


def _cached(spec: NetworkSpec, select: list[Select], digest: str) -> bool:
    entry = cache.load_entry(spec, digest)
    return entry is not None and {s.name for s in select} <= set(entry.snapshots)


def _store(spec: NetworkSpec, entry: cache.Entry) -> None:
    """Add an entry to the cache, with the snapshots that an earlier training of the same spec has kept."""
    before = cache.load_entry(spec, entry.data_digest)
    if before is not None:
        entry.snapshots |= before.snapshots
    cache.store_entry(spec, entry)
