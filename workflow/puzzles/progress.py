"""How far a training job is: a bar on a terminal, sparse lines in the log."""

import logging
import sys
import time
from datetime import timedelta
from pathlib import Path

from tqdm import tqdm

from puzzles.files import Lock
from puzzles.members import Member
from puzzles.specs import NetworkSpec

log = logging.getLogger(__name__)

REDRAW = 0.2  # seconds


class Progress:
    """Networks done, epoch, loss, error and time left of one job.

    Args:
        title: what is trained, e.g. ``train init_3layer``.
        missing: the specs that have to be trained.
        done: how many of the job's networks were there already.
        every: seconds between two lines in the log.
    """

    def __init__(self, title: str, missing: list[NetworkSpec], done: int, every: float) -> None:
        self.title, self.every = title, every
        self.done, self.total = done, done + len(missing)
        self.epochs = {spec.hash: spec.epochs for spec in missing}
        self.ahead: dict[str, int] = {}  # epochs done in this job
        self.started = self.said = self.drawn = time.monotonic()
        self._slot = _free_slot()
        self.bar = tqdm(
            total=sum(self.epochs.values()) or 1,
            desc=title,
            position=self._slot[0],
            leave=False,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
            bar_format="{desc} {percentage:3.0f}% |{bar}|",
        )

    def start(self) -> None:
        """Say what there is to do."""
        found = f"{self.done} of {self.total} networks are in the cache"
        self._say(f"{self.title}: {found}" + (f", training {self.total - self.done}" if self.done < self.total else ""))

    def epoch(self, members: list[Member]) -> None:
        """Called after every epoch of a population."""
        for member in members:
            self.ahead[member.spec.hash] = self.ahead.get(member.spec.hash, 0) + 1
            self.epochs[member.spec.hash] = max(self.epochs[member.spec.hash], member.epoch)
        worst = max(members, key=lambda m: m.history[-1]["train_error"])
        row = worst.history[-1]
        state = (
            f"{self.done}/{self.total} networks, epoch {worst.epoch}/{_most_epochs(worst)}, "
            f"loss {row['train_loss']:.2g}, error {row['train_error']:.3f}, {self._left(members)}"
        )
        self.bar.total = sum(self.epochs.values())
        self.bar.n = min(self.bar.total, self.bar.total - self._epochs_left(members))
        self.bar.set_description_str(f"{self.title}: {state}", refresh=False)
        if time.monotonic() - self.drawn >= REDRAW:
            self.bar.refresh()
            self.drawn = time.monotonic()
        if time.monotonic() - self.said >= self.every:
            self._say(f"{self.title}: {state}")

    def finished(self, spec: NetworkSpec) -> None:
        """Called when a network is done, here or in another job."""
        self.done += 1
        self.epochs.pop(spec.hash, None)

    def end(self) -> None:
        """Say that all is done."""
        self.bar.close()
        self._slot[1].release()
        self._say(f"{self.title}: {self.done}/{self.total} networks, {time.monotonic() - self.started:.0f} s")

    def _epochs_left(self, members: list[Member]) -> int:
        at = {member.spec.hash: member.epoch for member in members}
        return sum(epochs - at.get(key, 0) for key, epochs in self.epochs.items())

    def _left(self, members: list[Member]) -> str:
        epochs = self._epochs_left(members)
        if epochs == 0:
            return "going on until zero training error"
        speed = sum(self.ahead.values()) / (time.monotonic() - self.started)
        return f"{timedelta(seconds=round(epochs / speed))} left"

    def _say(self, line: str) -> None:
        self.said = time.monotonic()
        log.info(line)
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)


def _most_epochs(member: Member) -> int:
    return member.spec.epochs if member.epoch <= member.spec.epochs else member.spec.last_epoch


def _free_slot() -> tuple[int, Lock]:
    """A line of the terminal that no other job's bar uses."""
    slot = 0
    while not (lock := Lock(Path(".snakemake") / "bars" / str(slot))).acquire():
        slot += 1
    return slot, lock
