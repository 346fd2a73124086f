"""Say how far a run is: while it runs, after it was interrupted, or when it has ended. Everything is read from files.

python -m puzzles.output.status [demo] [--configfile my.yaml ...]
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import yaml

from puzzles.base import paths
from puzzles.base.environment import has_gpu
from puzzles.base.errors import PuzzleError, ResultsError
from puzzles.base.failures import error_in
from puzzles.base.stale_lock import is_running
from puzzles.config.checks import check_files
from puzzles.config.configuration import Config, load_config, load_config_files
from puzzles.config.speed import Record, read_records
from puzzles.config.whole import PRETRAIN, Started, Whole, cached, checkpointed, duration
from puzzles.output.announcements import how_long
from puzzles.output.reuse import reusable

OVERLAYS = paths.WORKFLOW / "runs"
COLUMNS = ("networks", "cached", "training", "checkpoint", "failed", "missing", "tables")


@dataclass(frozen=True)
class Failure:
    """A job that has not ended well since the run was last started."""

    stage: str  # the folder of its log
    name: str
    why: str
    log: Path


def find(run: str | None, files: Iterable[str]) -> Config:
    """The configuration of a run: of configuration files; or as it was started or finished; or of the overlay of its name.

    Args:
        run: its name; None for the one that was started last, or else that of config.yaml.
        files: overlays, as after ``--configfile``.

    Raises:
        ResultsError: there is no such run.
        ConfigError: a file has a mistake.
    """
    files = list(files)
    if files:
        for file in files:
            if not Path(file).is_file():
                raise ResultsError(f"{file}: found no such file, expected a configuration")
        check_files(files)
        return load_config_files(paths.PAPER_CONFIG, *files)
    if run is None:
        last = max(_started_runs(), key=lambda pair: pair[1], default=("", 0.0))[0]
        if not last:
            return load_config_files(paths.PAPER_CONFIG)
        run = last
    record = Started.read(run)
    if record is not None:
        return load_config(record.config)
    finished, overlay = Path(paths.run(run, "config.yaml")), OVERLAYS / f"{run}.yaml"
    if finished.is_file():
        return load_config(yaml.safe_load(finished.read_text()))
    if overlay.is_file():
        return load_config_files(paths.PAPER_CONFIG, overlay)
    paper = load_config_files(paths.PAPER_CONFIG)
    if run == paper.run:
        return paper
    known = sorted({name for name, _ in _started_runs()} | {f.stem for f in OVERLAYS.glob("*.yaml")} | {paper.run})
    raise ResultsError(f"{run}: found no run of this name, expected one of: {', '.join(known)} (or CONFIG=my.yaml)")


def _started_runs() -> list[tuple[str, float]]:
    files = [f for f in paths.RESULTS.glob("*/logs/started.json") if f == paths.started(f.parts[-3])]
    return [(f.parts[-3], f.stat().st_mtime) for f in files]


class Status:
    """The state of a run, as its files tell it.

    Args:
        config: the run.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.folder = config, Path(paths.run(config.run))
        self._states: dict[str, str] = {}
        self.started = Started.read(config.run)
        newest = max(_started_runs(), key=lambda pair: pair[1], default=("", 0.0))[0]
        self.running = newest == config.run and is_running()
        self.reused = reusable(config)
        jobs = [
            [rule, name]
            for name, e in config.experiments.items()
            for rule in ([PRETRAIN] if e.pretrainings else []) + ["train"]
            if name not in self.reused
        ]
        cores = self.started.cores if self.started else None
        everything = Started(0.0, cores, [], jobs, {}, {})
        self.whole = Whole(config, everything)
        now = self.started if self.running else None
        self.to_do = Whole(config, now or replace(everything, cores=cores or os.cpu_count()))  # what the time left is about
        self.alive = [r for r in read_records() if r.alive and self.running]
        self.failures = list(self._failures())

    def _failures(self) -> Iterator[Failure]:
        """Jobs whose log ends with an error, or that were killed: these leave no benchmark after their log."""
        logs, since = self.folder / "logs", self.started.time if self.started else 0.0
        for log in sorted(logs.rglob("*.log")):
            if log.stat().st_mtime < since:
                continue
            stage = log.relative_to(logs).parts[0] if log.parent != logs else log.stem
            error = error_in(log)
            benchmark = self.folder / "benchmarks" / log.relative_to(logs).with_suffix(".tsv")
            ended = stage == "reuse" or (benchmark.is_file() and benchmark.stat().st_mtime >= log.stat().st_mtime)
            if error:
                yield Failure(stage, log.stem, error, log)
            elif not ended and not self.running:
                yield Failure(stage, log.stem, "stopped before its end (interrupted or killed)", log)

    def rows(self) -> list[tuple[str, ...]]:
        """For each training job of the run: its networks, where they are, and whether the tables are up to date."""
        done, kept = cached(), checkpointed()
        now = {key for record in self.alive for key in record.epochs}
        failed = {(f.stage, f.name.partition("-")[0]) for f in self.failures if f.stage in (PRETRAIN, "train")}
        rows, seen = [], set[str]()
        for rule, name in self.whole.jobs:
            specs = {n.spec.hash for n in self.whole.networks(rule, name)}
            label = f"{name}, pretraining" if rule == PRETRAIN else name
            rows.append((label, *self._counts(specs, done, now, kept, (rule, name) in failed), self._tables(rule, name)))
            seen |= specs
        some = any((rule, name) in failed for rule, name in self.whole.jobs)
        total = self._counts(seen, done, now, kept, False)
        if some:  # what is missing may be missing for more than one reason
            total = (*total[:4], "", str(int(total[4]) + int(total[5])))
        return [*rows, ("all, each once", *total, "")]

    @staticmethod
    def _counts(specs: set[str], done: set[str], now: set[str], kept: set[str], failed: bool) -> tuple[str, ...]:
        left = specs - done
        training = left & now
        checkpoint = (left & kept) - training
        rest = len(left) - len(training) - len(checkpoint)
        numbers = (len(specs), len(specs & done), len(training), len(checkpoint), rest * failed, rest * (not failed))
        return tuple(str(number) for number in numbers)

    def _tables(self, rule: str, name: str) -> str:
        return "" if rule == PRETRAIN else self.state(f"tables/fits/{name}.csv")

    def state(self, file: str) -> str:
        """Whether a file of the run is ``missing``, ``old`` (older than what it is made from) or ``there``."""
        if file not in self._states:
            self._states[file] = self._look(file)
        return self._states[file]

    def _look(self, file: str) -> str:
        path = self.folder / file
        if not path.is_file():
            return "missing"
        for source in self._sources(file):
            inputs = self.folder / source
            if self.state(source) != "there" or inputs.stat().st_mtime > path.stat().st_mtime:
                return "old"
        return "there"

    def _sources(self, file: str) -> list[str]:
        """What a file is made from, as far as its age tells whether it is up to date."""
        folder, _, name = file.rpartition("/")
        stem = name.partition(".")[0]
        experiments = list(self.config.experiments)
        if folder == "tables/fits":
            return [f"measurements/{name}"]
        if folder == "measurements" and stem not in self.reused:
            return [f"trained/{stem}.safetensors"]
        if folder == "trained" and self.config.experiments[stem].pretrainings:
            return [f"pretrained/{stem}.safetensors"]
        if folder == "figures":
            return [f"tables/fits/{e}.csv" for e in self.config.figure_experiments(stem)]
        if file == "tables/scorecard.csv":
            return [f"tables/fits/{e}.csv" for e in experiments]
        if file == "report.html":
            return ["tables/scorecard.csv", *(f"figures/{figure}.png" for figure in self.config.figures)]
        return []

    def lines(self) -> Iterator[str]:
        """The status as text."""
        yield f"{self.folder}: {self._how()}"
        yield from _table(self.rows())
        for run in sorted(set(self.reused.values())):
            yield f"taken from the published run {run}: {', '.join(n for n, r in self.reused.items() if r == run)}"
        for record in self.alive:
            yield _now(record)
        for failure in self.failures:
            yield f"failed: {failure.stage} {failure.name}: {failure.why}  ({failure.log})"
        yield f"outputs: {self._outputs()}"
        left = self.to_do.left("cuda" if self.config.runtime.get("device", "auto") != "cpu" and has_gpu() else "cpu")
        if left.networks:
            yield f"left: {left.networks} networks{how_long(self.to_do, left)}"
        elif left.jobs:
            known = f", about {duration(left.seconds)}" if left.seconds else ""
            yield f"left: {left.jobs} jobs that measure, fit or draw{known}"
        if not self.running and not self.finished:
            yield "the same snakemake command again goes on from here; with -n it says what it would do"

    def _how(self) -> str:
        if self.started is None:
            return "finished" if self.finished else "not started"
        at = datetime.fromtimestamp(self.started.time).strftime("%Y-%m-%d %H:%M")
        asked = " ".join(self.started.targets)
        if self.running:
            return f"running since {at} ({asked})"
        return f"{'finished' if self.finished else 'not running, and not finished'}; last started {at} ({asked})"

    @property
    def finished(self) -> bool:
        """Whether what was asked for last is there."""
        asked = self.started.targets if self.started else []
        figures = [f"figures/{name}.png" for name in asked if name in self.config.figures]
        tables = ["tables/scorecard.csv"] if {"tables", "scorecard"} & set(asked) else []
        everything = [f"figures/{name}.png" for name in self.config.figures] if "figures" in asked else []
        wanted = figures + tables + everything or ["report.html"]
        return not self.failures and all(self.state(file) == "there" for file in wanted)

    def _outputs(self) -> str:
        figures = {name: self.state(f"figures/{name}.png") for name in self.config.figures}
        there = sum(state == "there" for state in figures.values())
        old = [name for name, state in figures.items() if state == "old"]
        text = f"{there} of {len(figures)} figures" + (f" (older than their tables: {', '.join(old)})" if old else "")
        return f"{text}, scorecard {self.state('tables/scorecard.csv')}, report {self.state('report.html')}"


def _now(record: Record) -> str:
    epochs = sorted(record.epochs.values()) or [0]
    at = f"epoch {epochs[0]}" if epochs[0] == epochs[-1] else f"epochs {epochs[0]} to {epochs[-1]}"
    return f"now: {record.title}, {len(record.epochs)} networks at {at}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    rows = [("", *COLUMNS), *rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()


def main(arguments: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m puzzles.output.status", description="How far a run is.")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--configfile", nargs="+", default=[])
    given = parser.parse_args(arguments)
    try:
        for line in Status(find(given.run, given.configfile)).lines():
            print(line)
    except PuzzleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
