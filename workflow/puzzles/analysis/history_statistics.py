"""Statistics of what happens while networks train."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.evidence import INTERVAL, Evidence, Found, estimate
from puzzles.analysis.monitoring import stop, stopping_points, tau
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
    return estimate(evidence, intervals.mean, table, "value", fewest=1)


@statistic
def within_network_kendall(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Kendall's tau of the test error with column x over the epochs of one network (``monitoring.tau``): the median.

    ``minus``: less that of another column than x. Networks that share their pretraining count as one, with their mean.
    """

    def difference(points: pd.DataFrame) -> float:
        return tau(points, test["x"]) - (tau(points, test["minus"]) if "minus" in test else 0.0)

    table = _by_network(stopping_points(evidence.histories(test, experiments)), difference)
    if table.empty:
        return Found(np.nan, because="no network was evaluated often enough")
    return Found(*intervals.median(table, "value"), INTERVAL, because=f"{len(table)} networks")


@statistic
def stopping_regret(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How much larger the test error is where x is smallest (``monitoring.stop``) than at the best epoch: the mean.

    ``minus``: less that of another column than x.
    """

    def regret(points: pd.DataFrame) -> float:
        stopped, other = stop(points, test["x"]), stop(points, test["minus"]) if "minus" in test else None
        if stopped is None:
            return np.nan
        return float(stopped.test_error - (points.test_error.min() if other is None else other.test_error))

    table = _by_network(stopping_points(evidence.histories(test, experiments)), regret)
    return estimate(evidence, intervals.mean, table, "value", fewest=1)
