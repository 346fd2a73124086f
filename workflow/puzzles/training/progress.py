"""Show the progress of a training job: a bar on a terminal, a line in the log now and then."""

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from puzzles.base.digests import digest
from puzzles.base.files import Lock
from puzzles.config.specs import NetworkSpec
from puzzles.config.speed import Record, kind
from puzzles.config.whole import Whole, duration
from puzzles.training.members import Member

log = logging.getLogger(__name__)

REDRAW = 0.2  # seconds


@dataclass(frozen=True)
class EpochReport:
    """The progress of one network; small, because worker processes send one after every epoch."""

    spec: NetworkSpec
    epoch: int
    train_loss: float  # when it was last evaluated
    train_error: float

    @classmethod
    def of(cls, member: Member) -> "EpochReport":
        """The state of a member that has been evaluated at least once."""
        last = member.history[-1]
        return cls(member.spec, member.epoch, last["train_loss"], last["train_error"])


class Progress:
    """Shows networks done, epoch, loss, error and time left of one job and, where known, of the whole run.

    It keeps a record of the job (``config.speed``), from which other jobs and later runs learn how fast training is here.

    Args:
        title: what is trained, e.g. ``train init_3layer``.
        missing: the specs that have to be trained.
        done: how many of the job's networks were there already.
        every: seconds between two lines in the log.
        processes: how many train at once.
        whole: what the run has to train, of which this job is a part.
        device: where the job trains, ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        title: str,
        missing: list[NetworkSpec],
        done: int,
        every: float,
        processes: int = 1,
        whole: Whole | None = None,
        device: str = "cpu",
    ) -> None:
        self.title, self.every, self.processes = title, every, processes
        self.whole, self.whole_left = whole, ""
        self.name = digest(sorted(spec.hash for spec in missing))
        self.record = Record(title, device, processes, sorted({kind(spec) for spec in missing}), every=every)
        # what an epoch costs; without a configuration all epochs cost the same
        self.costs = {spec.hash: whole.work(spec) / spec.epochs if whole else 1.0 for spec in missing}
        self.done, self.total = done, done + len(missing)
        self.epochs = {spec.hash: spec.epochs for spec in missing}
        self.running: dict[str, EpochReport] = {}
        self.started = self.said = self.drawn = time.monotonic()
        self.first: float | None = None  # when the first epoch was reported
        self._slot = _free_slot()
        self.bar_length = sum(self.epochs.values()) or 1
        self.bar = tqdm(
            total=self.bar_length,
            desc=title,
            position=self._slot[0],
            leave=False,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
            bar_format="{desc} {percentage:3.0f}% |{bar}|",
        )

    def start(self) -> None:
        """Log how many networks are in the cache and how many are to be trained."""
        found = f"{self.done} of {self.total} networks are in the cache"
        self._say(f"{self.title}: {found}" + (f", training {self.total - self.done}" if self.done < self.total else ""))

    def epoch(self, report: EpochReport) -> None:
        """Called after every epoch of a network."""
        key = report.spec.hash
        if key in self.epochs:
            self.running[key] = report
        if self.first is None:
            self.first = time.monotonic()  # what came before is no measure of speed: to start, to scale the images
        else:
            self.record.work += self.costs.get(key, 0.0)
            self.record.seconds = (time.monotonic() - self.first) * self.processes
        worst = max(self.running.values(), key=lambda r: r.train_error, default=report)
        state = (
            f"{self.done}/{self.total} networks, epoch {worst.epoch}/{_most_epochs(worst)}, "
            f"loss {worst.train_loss:.2g}, error {worst.train_error:.3f}, {self._left()}"
        )
        self.bar.n = self.bar_length - self._epochs_left()
        self.bar.set_description_str(f"{self.title}: {state}{self.whole_left}", refresh=False)
        if time.monotonic() - self.drawn >= REDRAW:
            self.bar.refresh()
            self.drawn = time.monotonic()
        if time.monotonic() - self.said >= self.every:
            self._tell()
            self._say(f"{self.title}: {state}{self.whole_left}")

    def finished(self, spec: NetworkSpec) -> None:
        """Called when a network is done, here or in another job; a second time changes nothing."""
        if self.epochs.pop(spec.hash, None) is not None:
            self.done += 1
            self.running.pop(spec.hash, None)

    def end(self) -> None:
        """Remove the bar and log how long the job has trained."""
        self.bar.close()
        self._slot[1].release()
        self.record.ended = True
        self._tell()
        where = f" in {self.processes} processes" if self.processes > 1 else ""
        self._say(f"{self.title}: {self.done}/{self.total} networks, {time.monotonic() - self.started:.0f} s{where}")

    def _epochs_left(self) -> int:
        return sum(self._epochs_of(key) for key in self.epochs)

    def _epochs_of(self, key: str) -> int:
        report = self.running.get(key)
        return self.epochs[key] if report is None else max(0, self.epochs[key] - report.epoch)

    def _left(self) -> str:
        if self._epochs_left() == 0:
            more = [r for r in self.running.values() if r.epoch >= r.spec.epochs and r.epoch < r.spec.last_epoch]
            return "going on until zero training error" if any(r.train_error > 0 for r in more) else "nearly done"
        if self._just_started():
            return "just started"
        work = sum(self._epochs_of(key) * self.costs[key] for key in self.epochs)
        return f"{duration(work / self.record.work * self.record.seconds / self.processes)} left"

    def _just_started(self) -> bool:
        """Whether a first second has not yet shown how fast the job is."""
        return self.record.seconds < self.processes

    def _tell(self) -> None:
        """Let others know how far this job is; look how far they are."""
        if self.whole is None or not self.record.work or (self._just_started() and not self.record.ended):
            return
        self.record.epochs = {} if self.record.ended else {key: r.epoch for key, r in self.running.items()}
        self.record.write(self.name)
        if not self.record.ended:
            left = self.whole.left(self.record.device)
            if left.seconds is not None:
                self.whole_left = f"; the whole run: {left.networks} networks to go, about {duration(left.seconds)} left"

    def _say(self, line: str) -> None:
        self.said = time.monotonic()
        log.info(line)
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)


def _most_epochs(report: EpochReport) -> int:
    return report.spec.epochs if report.epoch <= report.spec.epochs else report.spec.last_epoch


def _free_slot() -> tuple[int, Lock]:
    """A line of the terminal that no other job's bar uses."""
    slot = 0
    while not (lock := Lock(Path(".snakemake") / "bars" / str(slot))).acquire():
        slot += 1
    return slot, lock
