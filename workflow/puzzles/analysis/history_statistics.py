"""Statistics of what happens while networks train."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.evidence import INTERVAL, Evidence, Found, estimate
from puzzles.analysis.registry import statistic


def _by_network(table: pd.DataFrame, function: Callable[[pd.DataFrame], float]) -> pd.DataFrame:
    """One row for each network where the function of its epochs has a value."""
    rows = [
        {"network": network, "pretrained_from": epochs.pretrained_from.iloc[0], "value": function(epochs)}
        for network, epochs in table.groupby("network")
    ]
    return pd.DataFrame(rows, columns=["network", "pretrained_from", "value"]).dropna(subset="value")


@statistic
def rising_rho(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The share of steps between evaluated epochs in which rho grows, once the training error is 0: mean over networks."""

    def share(epochs: pd.DataFrame) -> float:
        steps = epochs[(epochs.train_error == 0).cummax()].rho.diff().dropna()
        return float((steps > 0).mean()) if len(steps) else np.nan

    table = _by_network(evidence.histories(test, experiments), share)
    if table.empty:
        return Found(np.nan, because="no network was evaluated twice after reaching zero training error")
    return estimate(intervals.mean, table, "value", fewest=1)


@statistic
def within_network_kendall(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Kendall's tau of two columns over the epochs of one network (but the first): the median over networks.

    ``minus``: less that of another column than x. Networks that share their pretraining count as one, with their mean.
    """

    def tau(epochs: pd.DataFrame) -> float:
        later = epochs[epochs.epoch > 0]
        value = intervals.kendall(later[test["x"]].to_numpy(), later[test["y"]].to_numpy())
        other = intervals.kendall(later[test["minus"]].to_numpy(), later[test["y"]].to_numpy()) if "minus" in test else 0.0
        return value - other

    table = _by_network(evidence.histories(test, experiments), tau)
    if table.empty:
        return Found(np.nan, because="no network was evaluated often enough")
    return Found(*intervals.median(table, "value"), INTERVAL, because=f"{len(table)} networks")


@statistic
def stopping_regret(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How much larger the test error is where x is smallest than at the best epoch: mean over networks.

    ``minus``: less that of another column than x.
    """

    def regret(epochs: pd.DataFrame) -> float:
        errors = epochs.test_error.to_numpy()
        there = errors[int(np.argmin(epochs[test["x"]].to_numpy()))]
        best = errors[int(np.argmin(epochs[test["minus"]].to_numpy()))] if "minus" in test else errors.min()
        return float(there - best)

    return estimate(intervals.mean, _by_network(evidence.histories(test, experiments), regret), "value", fewest=1)
