"""How fast networks train here: each training job keeps a record in the cache, from which others learn."""

import contextlib
import csv
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from puzzles.base import paths
from puzzles.base.errors import PuzzleError
from puzzles.base.files import atomic
from puzzles.config.specs import NetworkSpec

PUBLISHED = paths.REFERENCE / "bench" / "compare.csv"
IMAGES, BATCH = 50_000, 128  # what an epoch and a step are in PUBLISHED
SILENT = 60  # seconds without a word after which a job is taken for dead; several lines of progress


@dataclass
class Record:
    """How far a training job is, and how much it has trained in how much time."""

    title: str
    device: str  # cpu or cuda
    processes: int  # how many train at once
    kinds: list[str]  # of its networks
    work: float = 0.0  # done so far, see ``work.work``
    seconds: float = 0.0  # that it took, of all processes together
    epochs: dict[str, int] = field(default_factory=dict)  # of its unfinished networks, by hash
    updated: float = 0.0
    every: float = 10.0  # seconds until the next update is due
    ended: bool = False

    @property
    def alive(self) -> bool:
        """Whether its job seems to be running."""
        return not self.ended and time.time() - self.updated < max(SILENT, 3 * self.every)

    def write(self, name: str) -> None:
        """Write it for others. A training does not fail because nobody can be told how far it is."""
        self.updated = time.time()
        with contextlib.suppress(OSError, PuzzleError), atomic(paths.training_record(name)) as temporary:
            temporary.write_text(json.dumps(asdict(self)))


def read_records() -> list[Record]:
    """The records of all training jobs in this folder; those that cannot be read are left out."""
    found = []
    for file in sorted(paths.training_record("").parent.glob("[!.]*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(Record(**json.loads(file.read_text())))
    return found


def kind(spec: NetworkSpec) -> str:
    """Networks of one kind train at one speed, more or less: the same layers on the same data."""
    a = spec.architecture
    return f"{a.builder} {a.widths or a.depth} on {spec.dataset}"


class Speeds:
    """Work that a process does in a second, learned from the jobs that trained on this kind of device.

    If none did, the speed is that of the published benchmark on CPU cores. On a GPU nothing was measured.
    """

    def __init__(self, records: Iterable[Record], device: str) -> None:
        measured = [r for r in records if r.device == device and r.work > 0 and r.seconds > 0]
        self._known: dict[str, list[float]] = {}
        now = {k for r in measured if r.alive for k in r.kinds}  # in training: it is as fast as it is now
        for record in measured:
            own = [k for k in record.kinds if record.alive or k not in now]
            for key in {"", *own, *(k.split()[0] for k in record.kinds)}:
                total = self._known.setdefault(key, [0.0, 0.0])
                total[0] += record.work
                total[1] += record.seconds
        jobs = f"{len(measured)} training job{'s' * (len(measured) > 1)} here"
        self.basis = f"at the speed of {jobs}"  # in words, for a user
        self._published: float | None = None
        if not measured:
            self._published, self.basis = _published() if device == "cpu" else (None, "")

    def of(self, spec: NetworkSpec) -> float | None:
        """That of networks of this kind, or of this builder, or of all; None if nothing is known."""
        for key in (kind(spec), spec.architecture.builder, ""):
            if key in self._known:
                return self._known[key][0] / self._known[key][1]
        return self._published


def _published(file: Path = PUBLISHED) -> tuple[float | None, str]:
    """Operations per second of one core in the published benchmark, and which machine that was."""
    if not file.is_file():
        return None, ""
    with file.open() as lines:
        rows = [row for row in csv.DictReader(lines) if "digits" not in row["network"]]
    speeds = []
    for row in rows:
        step = float(row["pflop_per_epoch"]) * 1e15 / IMAGES * BATCH
        speeds.append(step * float(row["network_steps_per_s"]) / int(row["device"].split()[0]))
    machine = rows[0]["device"].split(" of ")[-1].split(",")[0]
    return median(speeds), f"as fast as the published benchmark, {machine}: nothing was trained here yet"
