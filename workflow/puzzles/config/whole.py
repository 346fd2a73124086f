"""The whole that a run has to train: what is left of it, and how long that takes. Known from files, so any job can ask."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from puzzles.base import paths
from puzzles.base.files import atomic
from puzzles.config.configuration import Config
from puzzles.config.experiments import Network
from puzzles.config.specs import NetworkSpec
from puzzles.config.speed import Record, Speeds, read_records
from puzzles.config.work import form_of, work

PRETRAIN = "pretrain"  # the rule
START = 4.0  # seconds that a training job takes beside training: to start, to read the data, to write its files


@dataclass(frozen=True)
class Started:
    """What a Snakemake process has set out to do."""

    time: float
    cores: int | None  # that share the work; None on a cluster, where nobody knows
    targets: list[str]
    jobs: list[list[str]]  # rule and experiment of each job that trains
    others: dict[str, list[str]]  # of the other jobs, by kind, the benchmark file that each writes at its end
    config: dict

    def write(self, run: str) -> None:
        """Keep it beside the logs of the run."""
        with atomic(paths.started(run)) as temporary:
            temporary.write_text(json.dumps(self.__dict__))

    @classmethod
    def read(cls, run: str) -> "Started | None":
        """What the last process of a run has set out to do, if one has."""
        try:
            return cls(**json.loads(paths.started(run).read_text()))
        except (OSError, ValueError, TypeError):  # nothing started, or by another version
            return None


@dataclass(frozen=True)
class Left:
    """What is left of a whole."""

    networks: int  # to train
    jobs: int  # that do not train
    seconds: float | None  # None: no speed is known
    basis: str  # what the speed is based on


class Whole:
    """The networks that a run trains, and its other jobs.

    Args:
        config: the run.
        started: what of it is to be done, and where.
    """

    def __init__(self, config: Config, started: Started) -> None:
        self.config, self.started = config, started
        self.jobs = [(rule, name) for rule, name in started.jobs if name in config.experiments]  # it may have changed since

    @classmethod
    def of(cls, config: Config) -> "Whole | None":
        """That of the Snakemake process which runs now, or ran last."""
        started = Started.read(config.run)
        return None if started is None else cls(config, started)

    def networks(self, rule: str, experiment: str) -> tuple[Network, ...]:
        """Those that a training job is about."""
        e = self.config.experiments[experiment]
        return e.pretrainings if rule == PRETRAIN else e.networks

    @cached_property
    def all(self) -> dict[str, Network]:
        """Every network of the training jobs, by hash."""
        return {n.spec.hash: n for job in self.jobs for n in self.networks(*job)}

    @cached_property
    def _forms(self) -> dict[str, tuple[int, int, int]]:
        folder, found = Path(self.config.raw.get("data_dir", "data")), {}
        for name, settings in self.config.raw["datasets"].items():
            own = [folder / settings["path"]] if "path" in settings else []
            found[name] = form_of(settings, [paths.dataset(name), *own])
        return found

    def work(self, spec: NetworkSpec) -> float:
        """What a network costs, see ``work.work``."""
        return work(spec, self._forms[spec.dataset])

    def left(self, device: str) -> Left:
        """What is left to train, and about how long that takes, other jobs included as far as known.

        A network counts as done when the cache has a file for it. Of those in training, finished epochs are done.

        Args:
            device: where networks train, ``cpu`` or ``cuda``.
        """
        records = read_records()
        done = cached()
        todo = {key: n for key, n in self.all.items() if key not in done}
        speeds, epochs, others = Speeds(records, device), epochs_of(records), self._others()
        seconds: dict[str, float] = {}
        for key, network in todo.items():
            speed = speeds.of(network.spec)
            if speed is None:
                return Left(len(todo), len(others), None, "")
            share = 1 - min(1.0, epochs.get(key, 0) / network.spec.epochs)
            seconds[key] = self.work(network.spec) * share / speed
        chains = [seconds[k] + (seconds.get(n.pretraining.hash, 0) if n.pretraining else 0) for k, n in todo.items()]
        cores = self.started.cores or max(1, sum(r.processes for r in records if r.alive))
        training = max(sum(seconds.values()) / cores, max(chains, default=0.0))
        return Left(len(todo), len(others), training + self._starts(todo) + sum(others) / cores, speeds.basis)

    def _starts(self, todo: Iterable[str]) -> float:
        """Seconds for the jobs that have something to train to start: one after the other, since each takes all cores."""
        left = set(todo)
        jobs = [job for job in self.jobs if any(n.spec.hash in left for n in self.networks(*job))]
        return START * len(jobs) if self.started.cores else START

    def _others(self) -> list[float]:
        """Seconds of each job left that does not train: as long as those of its kind took here, 0 if none has run yet."""
        found: list[float] = []
        for stage, files in self.started.others.items():
            left = sum(not _written(file, self.started.time) for file in files)
            took = _seconds(stage) if left else []
            found += [sum(took) / len(took) if took else 0.0] * left
        return found


def cached() -> set[str]:
    """The hashes of the networks that have a file in the cache."""
    return _names(paths.cached_network("").parent)


def checkpointed() -> set[str]:
    """The hashes of the networks that have a checkpoint."""
    return _names(paths.checkpoint("").parent)


def _names(folder: Path) -> set[str]:
    files = folder.iterdir() if folder.is_dir() else ()  # nothing is asked of each file, however many there are
    return {file.name.partition(".")[0] for file in files if not file.name.startswith(".")}


def epochs_of(records: Iterable[Record]) -> dict[str, int]:
    """The epochs that networks in training have behind them, by hash; where a job was killed, only with a checkpoint."""
    kept = checkpointed()
    found: dict[str, int] = {}
    for record in records:
        for key, epoch in record.epochs.items():
            if record.alive or key in kept:
                found[key] = max(epoch, found.get(key, 0))
    return found


def duration(seconds: float) -> str:
    """A duration as short as it is true: minutes and seconds up to an hour, then hours, then days."""
    if seconds < 3600:
        return str(timedelta(seconds=round(seconds)))
    return f"{seconds / 3600:.1f} hours" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} days"


def _written(file: str, after: float) -> bool:
    path = Path(file)
    return path.is_file() and path.stat().st_mtime >= after


def _seconds(stage: str) -> list[float]:
    """What each job of a kind took, in all runs of this folder, from Snakemake's benchmark files."""
    found = []
    for file in paths.RESULTS.glob(f"*/benchmarks/{stage}{'' if stage.endswith('.tsv') else '/*.tsv'}"):
        found += [float(line.partition("\t")[0]) for line in file.read_text().splitlines()[1:]]
    return found
