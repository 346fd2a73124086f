"""What claims are judged by: the tables of a run, and what a statistic of them is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.columns import derived, diverged
from puzzles.config.configuration import Config

INTERVAL, RANGE, EXACT = "95 % interval", "range", ""
FEWEST = 4  # networks that a correlation or a line needs


@dataclass(frozen=True)
class Found:
    """One statistic of a run; ``nan`` where the run cannot tell, and then ``because`` says why.

    ``kind`` INTERVAL means that the statistic has a 95 % interval, which is nan where there are too few networks for one.
    ``absent``: the run does not have at all what the statistic is about.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    kind: str = EXACT
    because: str = ""
    absent: bool = False


@dataclass(frozen=True)
class Evidence:
    """The tables of a run.

    ``correct``: by experiment, which test examples each network gets right at its first snapshot
    (``experiment_analyses.read_correct``); without it, intervals count the chance of drawing networks alone.
    """

    config: Config
    networks: pd.DataFrame
    fits: pd.DataFrame
    history: pd.DataFrame
    correct: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @cached_property
    def table(self) -> pd.DataFrame:
        """All measurements of networks that have not diverged, with the columns that follow from others.

        Column ``data`` says what the data are, as found by their digest; a table without it is taken by its word.
        """
        table = derived(self.networks[~diverged(self.networks)])
        return table.assign(data=table["data"].fillna("unknown") if "data" in table else table.dataset)

    def rows(self, test: dict, experiments: Iterable[str]) -> pd.DataFrame:
        """The measurements that a test is about: first snapshot and norm, fitted groups and met criteria unless it says.

        ``snapshot: first`` is the first of the experiment, whatever its name.
        """
        parts = []
        for name in experiments:
            experiment = self.config.experiments[name]
            snapshot = test.get("snapshot", "first")
            table = self.table[self.table.experiment == name]
            table = table[table.snapshot == (experiment.select[0].name if snapshot == "first" else snapshot)]
            table = table[table.norm == test.get("norm", experiment.norms[0])]
            table = table[table.group.isin(test.get("groups", experiment.fit_groups))]
            parts.append(table)
        table = pd.concat(parts, ignore_index=True)
        for column, value in test.get("where", {}).items():
            table = table[table[column] == value]
        if test.get("labels", "any") != "any":
            table = table[table.random_labels == (test["labels"] == "random")]
        return table[table.met_criterion] if test.get("met", True) else table

    def test_examples(self, table: pd.DataFrame) -> Mapping[str, np.ndarray] | None:
        """Which test examples the networks of some rows get right; None for several experiments or a later snapshot."""
        if not {"experiment", "snapshot"} <= set(table) or table.experiment.nunique() != 1:
            return None
        name = table.experiment.iloc[0]
        at_first = (table.snapshot == self.config.experiments[name].select[0].name).all()
        return self.correct.get(name) if at_first else None

    def histories(self, test: dict, experiments: Iterable[str]) -> pd.DataFrame:
        """The epochs that a test is about, of networks that never diverged, each network once.

        ``labels`` as for ``rows``; ``batch_norm``: true or false for networks with or without it. Column ``pretrained_from``
        says what counts as one.
        """
        about = {}
        for name in experiments:
            experiment = self.config.experiments[name]
            for n in experiment.networks:
                random, normed = n.spec.labels == "random", n.spec.architecture.batch_norm
                wanted = test.get("labels", "any") in ("any", "random" if random else "natural")
                if n.group in experiment.fit_groups and wanted and test.get("batch_norm", normed) == normed:
                    about[n.name] = n.spec.pretrained
        table = self.history[self.history.network.isin(about.keys()) & self.history.experiment.isin(list(experiments))]
        table = table[~table.network.isin(table[diverged(table)].network)]
        table = table.drop_duplicates(["network", "epoch"])  # experiments may share networks; their names hold their hashes
        return table.assign(pretrained_from=table.network.map(about))


def fitted_line(evidence: Evidence, experiment: str, norm: str, networks: str) -> pd.Series | None:
    """A line of the table of fits, for the first snapshot of an experiment."""
    table, snapshot = evidence.fits, evidence.config.experiments[experiment].select[0].name
    match = (table.experiment == experiment) & (table.snapshot == snapshot) & (table.norm == norm)
    found = table[match & (table.networks == networks)]
    return found.iloc[0] if len(found) else None


def estimate(
    evidence: Evidence, function: Callable[..., float], table: pd.DataFrame, *columns: str, fewest: int = FEWEST
) -> Found:
    """A statistic with its interval; nan when fewer networks than it needs have a value."""
    table = table[table[list(columns)].notna().all(axis=1)]
    if len(table) < fewest:
        return Found(np.nan, because=f"only {len(table)} such networks, needs {fewest}")
    value, low, high = intervals.interval(function, table, *columns, correct=evidence.test_examples(table))
    if not np.isfinite(value):
        return Found(np.nan, because="the same value for all networks")
    return Found(value, low, high, INTERVAL)
