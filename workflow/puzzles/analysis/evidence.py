"""The tables of a run that claims are judged by, and the result of a statistic of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.columns import derived
from puzzles.config.configuration import Config

INTERVAL, RANGE, EXACT = "95 % interval", "range", ""
FEWEST = 4  # networks that a correlation or a line needs


@dataclass(frozen=True)
class Found:
    """The result of a statistic; ``nan`` if the run cannot tell, and ``because`` says why."""

    value: float
    low: float = np.nan
    high: float = np.nan
    kind: str = EXACT
    because: str = ""


@dataclass(frozen=True)
class Evidence:
    """The tables of a run."""

    config: Config
    networks: pd.DataFrame
    fits: pd.DataFrame
    history: pd.DataFrame

    @cached_property
    def table(self) -> pd.DataFrame:
        """All measurements, with the columns computed from them."""
        return derived(self.networks)

    def rows(self, test: dict, experiments: Iterable[str]) -> pd.DataFrame:
        """The measurements for a test: unless it says otherwise first snapshot and norm, fitted groups, criterion met."""
        parts = []
        for name in experiments:
            experiment = self.config.experiments[name]
            table = self.table[self.table.experiment == name]
            table = table[table.snapshot == test.get("snapshot", experiment.select[0].name)]
            table = table[table.norm == test.get("norm", experiment.norms[0])]
            table = table[table.group.isin(test.get("groups", experiment.fit_groups))]
            parts.append(table)
        table = pd.concat(parts, ignore_index=True)
        for column, value in test.get("where", {}).items():
            table = table[table[column] == value]
        if test.get("labels", "any") != "any":
            table = table[table.random_labels == (test["labels"] == "random")]
        return table[table.met_criterion] if test.get("met", True) else table


def fitted_line(evidence: Evidence, experiment: str, norm: str, networks: str) -> pd.Series | None:
    """A line of the table of fits, for the first snapshot of an experiment."""
    table, snapshot = evidence.fits, evidence.config.experiments[experiment].select[0].name
    match = (table.experiment == experiment) & (table.snapshot == snapshot) & (table.norm == norm)
    found = table[match & (table.networks == networks)]
    return found.iloc[0] if len(found) else None


def estimate(function: Callable[..., float], table: pd.DataFrame, *columns: str, fewest: int = FEWEST) -> Found:
    """A statistic with its interval; nan if fewer networks than ``fewest`` have a value."""
    table = table[table[list(columns)].notna().all(axis=1)]
    if len(table) < fewest:
        return Found(np.nan, because=f"only {len(table)} such networks, needs {fewest}")
    value, low, high = intervals.interval(function, table, *columns)
    if not np.isfinite(value):
        return Found(np.nan, because="the same value for all networks")
    return Found(value, low, high, INTERVAL)
